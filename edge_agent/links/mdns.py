"""Where nodes find the agent: multicast DNS (RFC 6762) says at which addresses its TCP listener is.

Service `_vitalwire._tcp.local.`, TXT `id` the agent's id and `version` the protocol's. A listener on loopback
is announced on loopback only. Addresses that come and go (another router, a cable) are looked at again and
again; a name that somebody else has is not fought for: ours gets a number.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import ifaddr
from zeroconf import Error, IPVersion, ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from edge_agent.config import TcpConfig, is_loopback
from edge_agent.links.listener import EVERYWHERE, TcpListener
from protocol.messages import VERSION

log = logging.getLogger("vitalwire.link")

SERVICE = "_vitalwire._tcp.local."
LOOK_S = 5.0
ANY = (EVERYWHERE, "0.0.0.0", "::")


class Advert:
    """Announces the listener while run() runs. `listening()`: the port that it accepts on, or None.

    `problem`: why nodes cannot find it, or None.
    """

    def __init__(self, agent_id: bytes, host: str, listening: Callable[[], int | None]) -> None:
        self.problem: str | None = None
        self.name: str | None = None
        self._id = agent_id.hex()
        self._host = host
        self._listening = listening
        self._zeroconf: AsyncZeroconf | None = None
        self._said: tuple[int, tuple[str, ...]] | None = None

    async def run(self) -> None:
        """Announce, and announce anew what has changed, for ever; take it back at the end."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(LOOK_S if self._said or self._listening() else LOOK_S / 10)
        finally:
            await self._take_back()

    async def _look(self) -> None:
        port = self._listening()
        wanted = None if port is None else (port, tuple(addresses(self._host)))
        if wanted == self._said:
            return
        await self._take_back()
        if wanted is None:
            return
        try:
            await self._announce(*wanted)
            self._said = wanted
            self.problem = None
        except (OSError, Error) as e:
            why = f"nodes cannot find this agent by mDNS: {e or type(e).__name__}"
            if why != self.problem:
                log.warning("%s; trying again until it works", why)
            self.problem = why
            await self._take_back()

    async def _announce(self, port: int, found: tuple[str, ...]) -> None:
        asked: Any = interfaces(self._host)
        if not found or not asked:
            raise OSError("this machine has no address in a network")
        only_v6 = all(":" in address for address in asked)
        self._zeroconf = AsyncZeroconf(
            interfaces=asked, ip_version=IPVersion.V6Only if only_v6 else IPVersion.V4Only
        )
        info = ServiceInfo(
            SERVICE,
            f"Vitalwire {self._id[:8]}.{SERVICE}",
            port=port,
            properties={"id": self._id, "version": str(VERSION)},
            server=f"vitalwire-{self._id[:8]}.local.",
            parsed_addresses=list(found),
        )
        await cast("Any", self._zeroconf).async_register_service(info, allow_name_change=True)
        self.name = info.name.removesuffix(f".{SERVICE}")
        log.info("nodes find this agent as %s at %s, port %d", self.name, ", ".join(found), port)

    async def _take_back(self) -> None:
        zeroconf, self._zeroconf = self._zeroconf, None
        self._said = None
        if zeroconf is not None:
            with suppress(OSError, Error):
                await zeroconf.async_unregister_all_services()
            await zeroconf.async_close()


def addresses(host: str) -> list[str]:
    """The addresses that a node may connect to, IPv4 first: the host's own, or this machine's."""
    if host not in ANY:
        if host.lower() == "localhost":
            return ["127.0.0.1"]
        with suppress(ValueError):
            return [str(ipaddress.ip_address(host))]
        # A name: what it stands for is one of ours.
    found: set[str] = set()
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            one = ipaddress.ip_address(text)
            if one.is_loopback or one.is_unspecified or (one.version == 6 and one.is_link_local):
                continue
            if host in (EVERYWHERE, "0.0.0.0" if one.version == 4 else "::") or host not in ANY:
                found.add(str(one))
    return sorted(found, key=lambda text: (":" in text, text))


def interfaces(host: str) -> list[str]:
    """Where nodes ask: over IPv4, which every node speaks, also for a listener on IPv6 alone."""
    if is_loopback(host):
        return ["127.0.0.1"]
    found = addresses(EVERYWHERE)
    return [address for address in found if ":" not in address] or found


def wanted(config: TcpConfig) -> bool:
    """Whether a listener is to be announced."""
    return config.mdns == "always" or (config.mdns == "network" and not is_loopback(config.host))


def advert(agent_id: bytes, listener: TcpListener[Any]) -> Advert | None:
    """What announces that listener, or None."""
    config = listener.config
    if not wanted(config):
        return None

    def port() -> int | None:
        return None if listener.listening is None else listener.listening[1]

    made = Advert(agent_id, config.host, port)
    listener.found_as = lambda: {"name": made.name, "problem": made.problem}
    return made
