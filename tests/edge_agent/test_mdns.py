"""The agent's listener on multicast DNS: real zeroconf, on the loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from edge_agent.config import TcpConfig
from edge_agent.links import mdns
from edge_agent.links.mdns import SERVICE, Advert

pytestmark = pytest.mark.usefixtures("own_multicast")

ID = bytes.fromhex("5eed5eed5eed5eed")
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mdns, "LOOK_S", 0.2)


@asynccontextmanager
async def running(advert: Advert) -> AsyncIterator[Advert]:
    task = asyncio.create_task(advert.run())
    try:
        yield advert
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(fact: Callable[[], Any]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while not (found := fact()):
            await asyncio.sleep(0.02)
    return found


async def asked(name: str) -> tuple[int, list[str], dict[bytes, bytes | None]] | None:
    """What a stranger to this code makes of it: port, addresses, TXT."""
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
    try:
        info = AsyncServiceInfo(SERVICE, f"{name}.{SERVICE}")
        if not await info.async_request(zeroconf.zeroconf, 3000):
            return None
        return info.port or 0, info.parsed_addresses(), info.properties
    finally:
        await zeroconf.async_close()


def test_it_is_found_moves_and_goes() -> None:
    port: int | None = None

    async def main() -> None:
        nonlocal port
        async with running(Advert(ID, "127.0.0.1", lambda: port)) as advert:
            await asyncio.sleep(0.3)
            assert advert.name is None, "nobody listens yet"
            port = 7117
            name = await until(lambda: advert.name)
            assert name == "Vitalwire 5eed5eed"
            found = await asked(name)
            assert found == (7117, ["127.0.0.1"], {b"id": ID.hex().encode(), b"version": b"1"})
            port = 7118
            async with asyncio.timeout(PATIENCE_S):
                while (now := await asked(name)) is None or now[0] != 7118:
                    await asyncio.sleep(0.05)
        assert await asked(name) is None

    asyncio.run(main())


def test_a_name_that_somebody_has_gets_a_number() -> None:
    async def main() -> None:
        async with running(Advert(ID, "127.0.0.1", lambda: 7117)) as one:
            await until(lambda: one.name)
            async with running(Advert(ID, "127.0.0.1", lambda: 7118)) as other:
                name = await until(lambda: other.name)
                assert name != one.name and name.startswith("Vitalwire 5eed5eed")
                found = await asked(name)
                assert found is not None and found[0] == 7118

    asyncio.run(main())


def test_addresses_that_change_are_announced_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    where = ["127.0.0.1"]
    monkeypatch.setattr(mdns, "addresses", lambda _: list(where))

    async def main() -> None:
        async with running(Advert(ID, "127.0.0.1", lambda: 7117)) as advert:
            name = await until(lambda: advert.name)
            where[:] = ["127.0.0.2", "::1"]
            async with asyncio.timeout(PATIENCE_S):
                while (now := await asked(name)) is None or now[1] != where:
                    await asyncio.sleep(0.05)
            where[:] = []
            await until(lambda: advert.problem)
            assert "no address" in str(advert.problem)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "mode", "announced"),
    [
        ("127.0.0.1", "network", False),
        ("127.0.0.1", "always", True),
        ("*", "network", True),
        ("192.0.2.1", "network", True),
        ("*", "never", False),
    ],
)
def test_who_is_announced(host: str, mode: str, announced: bool) -> None:
    assert mdns.wanted(TcpConfig(host, 7117, mdns=mode)) is announced


def test_which_addresses() -> None:
    assert mdns.addresses("192.0.2.7") == ["192.0.2.7"]
    assert mdns.addresses("localhost") == ["127.0.0.1"]
    assert mdns.addresses("::1") == ["::1"] and mdns.interfaces("::1") == ["127.0.0.1"]
    everywhere = mdns.addresses("*")
    assert set(mdns.addresses("0.0.0.0")) | set(mdns.addresses("::")) == set(everywhere)
    assert not [address for address in everywhere if address.startswith(("127.", "fe80"))]
