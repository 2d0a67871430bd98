"""Phones that read a node by the standard services: who may, and what they hear. Real pairing, over a link
layer of software; the node's agent has its pipe meanwhile. Each test goes on where the one before has ended.
"""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from boards.virtual.ble import central
from boards.virtual.ble.peripheral import Peripheral
from boards.virtual.ble.radio import Radio
from boards.virtual.rig import VirtualNode
from edge_agent import keys
from edge_agent.agent import Agent
from edge_agent.config import Config
from edge_agent.standard import characteristics
from edge_agent.standard.devices import Device, Devices
from edge_agent.store.database import open_file
from edge_agent.store.rows import journal_rows
from hil_tests.ble_central import PATIENCE_S, found, on_air, ours
from hil_tests.ble_home import BleHome
from hil_tests.rig_file import RigFile
from protocol import cbor, frames

ROOT = Path(__file__).resolve().parents[1]
BASE = "0000%s-0000-1000-8000-00805f9b34fb"
SERVICES = {BASE % short for short in ("180d", "1822", "1810")}
HEART_RATE, PLACE, OXIMETRY, PRESSURE = (BASE % short for short in ("2a37", "2a38", "2a5f", "2a35"))
FEATURES = (BASE % "2a60", BASE % "2a49")
REFUSED = r"INSUFFICIENT_(ENCRYPTION|AUTHENTICATION)"


class Place:
    """A kit that is somebody's and lives on Bluetooth, and its agent, which does not run yet."""

    def __init__(self, node: VirtualNode, chip: Peripheral, home: BleHome, radio: Radio) -> None:
        self.node, self.chip, self.home, self.radio = node, chip, home, radio
        self.bonds = node.flash_dir / "state" / "phones"
        self._white = threading.Event()
        self._settled = threading.Event()
        self._before = node.bench.pins.watch
        node.bench.pins.watch = self._changing

    @asynccontextmanager
    async def let_in(self) -> AsyncIterator[BLEDevice]:
        """Somebody holds its button until its light says that phones may bond."""
        self._white.clear()
        self.node.bench.pins["BUTTON"] = 1
        try:
            assert await asyncio.to_thread(self._white.wait, PATIENCE_S)
        finally:
            self.node.bench.pins["BUTTON"] = 0
        device, data = await found(offers)
        assert set(data.service_uuids) == SERVICES
        yield device

    def _changing(self, name: str, level: int) -> None:
        if name == "LED_WHITE" and level:
            self._white.set()
        elif name in ("LED_BLUE", "LED_GREEN") and level:
            self._settled.set()
        if self._before is not None:
            self._before(name, level)

    def settle(self) -> None:
        """Until its light is done with being new and just paired, which are white, too."""
        assert self._settled.wait(PATIENCE_S)

    def on_flash(self) -> bytes:
        """What is on flash of the bonds."""
        return self.bonds.read_bytes() if self.bonds.exists() else b""

    async def kept(self, fact: Callable[[bytes], Any]) -> None:
        """Until what is on flash of the bonds is as wanted."""
        async with asyncio.timeout(PATIENCE_S):
            while not fact(self.on_flash()):
                await asyncio.sleep(0.05)


@pytest.fixture
def place(rig: RigFile, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if not rig.virtual or request.config.getoption("port"):
        pytest.skip("this test reaches into the rig, which only a virtual one allows")
    folder = tmp_path / "place"
    folder.mkdir()
    build = [
        sys.executable,
        "-m",
        "tools.cli",
        "build",
        "--board",
        "virtual_kit",
        "--out",
        str(folder / "tree"),
    ]
    subprocess.run(build, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    with Radio() as radio:
        chip = radio.peripheral()
        home = BleHome(folder / "home", radio, [])
        with VirtualNode(folder / "tree", folder / "kit", log=folder / "kit.log", ble=chip.path) as node:
            try:
                home.pair_over_cable(node)
                node.unplug()
                place = Place(node, chip, home, radio)
                place.settle()
                yield place
            finally:
                home.close()


@pytest.fixture
def attended(place: Place) -> Place:
    """Its agent has its pipe."""
    place.home.start_agent()
    place.home.wait_ble()
    return place


def offers(data: Any) -> bool:
    return bool(SERVICES & set(data.service_uuids))


class Heard:
    """The values of a characteristic, as they come."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self._more = asyncio.Event()

    def __call__(self, _: Any, data: bytearray) -> None:
        self.values.append(bytes(data))
        self._more.set()

    async def more(self, n: int) -> None:
        enough = len(self.values) + n
        async with asyncio.timeout(PATIENCE_S):
            while len(self.values) < enough:
                self._more.clear()
                await self._more.wait()


async def hears(device: BLEDevice, of: str = HEART_RATE, n: int = 2) -> list[bytes]:
    """What a phone that has bonded hears of `of`, `n` values."""
    heard = Heard()
    async with BleakClient(device) as client:
        await client.start_notify(of, heard)
        await heard.more(n)
    return heard.values


async def is_refused(client: BleakClient) -> None:
    for of in (PLACE, *FEATURES):
        with pytest.raises(BleakError, match=REFUSED):
            await client.read_gatt_char(of)


def told(home: BleHome | Path, kind: int) -> list[dict[int, Any]]:
    """The bodies of the frames of that kind in an agent's store."""
    folder = home.agent_dir if isinstance(home, BleHome) else home
    with closing(open_file(folder / "agent.db")) as db:
        rows = [cbor.loads(row.data) for row in journal_rows(db, 0, 1 << 40) if row.boot and row.data]
    return [body for its, _, body in rows if its == kind]


def test_nobody_bonds_unasked(place) -> None:
    async def try_it() -> None:
        device, _ = await found(ours)
        async with BleakClient(device) as client:
            await is_refused(client)
            for of in (HEART_RATE, OXIMETRY, PRESSURE):
                with pytest.raises(BleakError, match=REFUSED):
                    await client.start_notify(of, Heard())
            # Encrypted from here on, and bonded as far as this end knows.
            await client.pair()
            await is_refused(client)

    on_air(place.radio, try_it())
    assert not place.bonds.exists()


def test_an_older_stack_lets_anybody_subscribe_and_the_node_says_nothing(place) -> None:
    place.chip.open_subscriptions = True
    place.node.reset()
    place.home.start_agent()
    place.home.wait_ble()

    async def try_it() -> None:
        heard = Heard()
        async with place.let_in() as device, BleakClient(device) as client:
            for of in (HEART_RATE, OXIMETRY):
                await client.start_notify(of, heard)
            # Vitals are of each second, and so would be what it says.
            seen = len(told(place.home, frames.KIND_VITALS))
            async with asyncio.timeout(PATIENCE_S):
                while len(told(place.home, frames.KIND_VITALS)) < seen + 3:
                    await asyncio.sleep(0.1)
            assert not heard.values
            # Its bond is all that was missing.
            await client.pair()
            await heard.more(2)
            await place.kept(len)

    on_air(place.radio, try_it())


def test_a_bonded_phone_and_our_own_reader_hear_what_the_frames_say(attended, tmp_path) -> None:
    """The bond outlives a reset; the agent has its pipe all the while."""
    place = attended
    central.install(place.radio.hci)

    async def bond() -> str:
        async with place.let_in() as device, BleakClient(device) as client:
            await is_refused(client)
            before = place.on_flash()
            await client.pair()
            assert await client.read_gatt_char(PLACE) == b"\0"
            assert [len(await client.read_gatt_char(of)) for of in FEATURES] == [4, 2]
            await place.kept(lambda now: now != before)
        await central.Adapter.close()
        return device.address

    address = asyncio.run(bond())
    place.node.reset()
    Devices(tmp_path).add(Device(address, "our kit"))
    stop = threading.Event()
    reading = threading.Thread(target=lambda: asyncio.run(read_until(tmp_path, stop)))
    reading.start()
    try:
        rate, saturation = frames.VITALS_HR, frames.VITALS_SPO2
        place.home.wait_until(
            "five rates and an oxygen saturation by the standard services",
            lambda: (
                len([body for body in told(tmp_path, frames.KIND_VITALS) if rate in body]) >= 5
                and any(saturation in body for body in told(tmp_path, frames.KIND_VITALS))
            ),
        )
    finally:
        stop.set()
        reading.join()
    heard = told(tmp_path, frames.KIND_VITALS)
    assert any(frames.VITALS_RR in body for body in heard)

    def explained() -> bool:
        """A phone hears whole beats a minute, maybe before the agent has the frame."""
        own = told(place.home, frames.KIND_VITALS)
        rates = {(body[rate] + 5) // 10 * 10 for body in own if rate in body}
        spo2 = {body[saturation] for body in own if saturation in body}
        return {body[rate] for body in heard if rate in body} <= rates and (
            {body[saturation] for body in heard if saturation in body} <= spo2
        )

    place.home.wait_until("frames with what was heard", explained)
    # The rig's patient is a model, which the oximeter's service can say.
    assert frames.SRC_SYNTHETIC in {body.get(frames.SOURCE_PPG) for body in heard}
    assert place.home.status()["ble"]["connections"] == 1


async def read_until(folder: Path, stop: threading.Event) -> None:
    """An agent that has nothing but that device, until `stop`."""
    keys.load_or_create(folder / "agent.key", "agent")
    over = asyncio.Event()
    running = asyncio.create_task(Agent(Config(folder, folder / "agent.key", ())).run(over))
    while not stop.is_set():
        await asyncio.sleep(0.05)
    over.set()
    await running
    await central.Adapter.close()


def test_a_fifth_phone_takes_the_place_of_the_first_and_a_long_press_forgets_all(attended) -> None:
    place = attended
    phones: list[tuple[Any, Any]] = []

    def as_phone(n: int) -> None:
        """Be it again: an adapter with its address and keys."""
        central.install(place.radio.hci)
        if n < len(phones):
            central.Adapter._address, central.Adapter._keys = phones[n]
        else:
            phones.append((central.Adapter._address, central.Adapter._keys))

    async def bond() -> None:
        before = place.on_flash()
        async with place.let_in() as device, BleakClient(device) as client:
            await client.pair()
            await place.kept(lambda now: now != before)
        await central.Adapter.close()

    async def hear() -> None:
        device, _ = await found(offers)
        values = await hears(device)
        assert all(characteristics.heart_rate(value).contact for value in values)
        await central.Adapter.close()

    async def is_gone() -> None:
        device, _ = await found(offers)
        with pytest.raises(BleakError):
            async with BleakClient(device):
                pass
        await central.Adapter.close()

    for n in range(4):
        as_phone(n)
        asyncio.run(bond())
    as_phone(0)
    asyncio.run(hear())
    as_phone(4)
    asyncio.run(bond())
    as_phone(0)
    asyncio.run(is_gone())
    as_phone(1)
    asyncio.run(hear())
    place.node.bench.pins["BUTTON"] = 1
    place.home.wait_until("all are forgotten", lambda: not place.bonds.exists())
    place.node.bench.pins["BUTTON"] = 0
