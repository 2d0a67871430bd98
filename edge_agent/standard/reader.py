"""Reading one standard device: connect whenever it can be heard, take what it says, until it goes.

A blood pressure monitor or a spot-check oximeter is on air for some seconds after a measurement; a strap or a
bedside oximeter for hours. What a device says without a time stamp is live, and dated by its arrival. What it
had stored is dated by its own clock: less how far that is off where the device shows its clock (Date Time),
else as it stands, with a bound that says so. Stored values that come again are known by their bytes and left
out. Deleting them on the device (`forget`) is asked for only once all of them are durable.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError

from edge_agent.backoff import Backoff
from edge_agent.nodes.hub import Hub
from edge_agent.standard import characteristics as c
from edge_agent.standard import meanings, racp
from edge_agent.standard.deputy import LIVE_BOUND_US, Boot, Deputy
from edge_agent.standard.devices import Device, Devices
from edge_agent.store.items import Outcome
from protocol import frames

log = logging.getLogger("vitalwire.device")

HEART_RATE, PLX_SPOT, PLX_CONTINUOUS, PRESSURE, CONTROL, DATE_TIME, FIRMWARE = (
    f"0000{short}-0000-1000-8000-00805f9b34fb"
    for short in ("2a37", "2a5e", "2a5f", "2a35", "2a52", "2a08", "2a26")
)
READ: dict[str, Callable[[bytes], Any]] = {
    HEART_RATE: c.heart_rate,
    PLX_SPOT: c.plx_spot,
    PLX_CONTINUOUS: c.plx_continuous,
    PRESSURE: c.blood_pressure,
}
SECOND_US = 1_000_000
# A device's clock that was looked at: it says whole seconds, and a person may have set it by summer time.
SEEN_BOUND_US = 5 * SECOND_US
# One that was not: anything within a day.
UNSEEN_BOUND_US = 86_400 * SECOND_US
# A value with a time stamp this near to now was measured just now.
JUST_NOW_US = 120 * SECOND_US
FIND_S = 30.0
CONTROL_S = 60.0
KNOWN = 1024
MAX_FIRMWARE = 64


class Reader:
    """One device. `state`: searching, reading, waiting; `problem`: why not, or None; `heard`: values taken,
    `refused`: malformed ones, `repeated`: stored ones that had come before.
    """

    def __init__(self, hub: Hub, devices: Devices, device: Device) -> None:
        self.device = device
        self.state = "searching"
        self.problem: str | None = None
        self.heard = self.refused = self.repeated = 0
        self._hub = hub
        self._devices = devices
        self._deputies: dict[int | None, Deputy] = {}
        self._boots: dict[tuple[int | None, int], Boot] = {}
        self._known = OrderedDict.fromkeys(devices.known(device))
        self._firmware = ""
        self._offset_us: int | None = None
        self._open = 0
        self._durable = asyncio.Event()
        self._answers: asyncio.Queue[racp.Answer] = asyncio.Queue()

    @property
    def nodes(self) -> list[bytes]:
        """The ids under which it has been heard in this run."""
        return [deputy.node for deputy in self._deputies.values()]

    async def run(self) -> None:
        """Read it for ever."""
        backoff = Backoff(first_s=1.0, max_s=60.0)
        while True:
            self.state = "searching"
            try:
                found = await BleakScanner.find_device_by_address(self.device.address, timeout=FIND_S)
                if found is None:
                    self.problem = None
                    continue
                await self._read(found)
                backoff.succeeded()
                self.problem = None
            except (BleakError, OSError, TimeoutError) as e:
                why = str(e) or type(e).__name__
                if why != self.problem:
                    log.warning("%s: %s", self.device.name, why)
                self.problem = why
                self.state = "waiting"
                await asyncio.sleep(backoff.failed())

    async def _read(self, found: Any) -> None:
        gone = asyncio.Event()
        async with BleakClient(found, disconnected_callback=lambda client: gone.set()) as client:
            self.state = "reading"
            try:
                await self._about(client)
                stored = await self._subscribe(client)
                if stored:
                    await self._stored(client)
                await gone.wait()
            finally:
                self._leave()

    async def _about(self, client: BleakClient) -> None:
        """What it says of itself: firmware, and how far its clock is off."""
        self._firmware = ""
        self._offset_us = None
        for of, take in ((FIRMWARE, self._take_firmware), (DATE_TIME, self._take_clock)):
            characteristic = client.services.get_characteristic(of)
            if characteristic is not None and "read" in characteristic.properties:
                with suppress(BleakError):
                    take(bytes(await client.read_gatt_char(characteristic)))

    def _take_firmware(self, data: bytes) -> None:
        text = data.decode("utf-8", "replace").rstrip("\0")
        self._firmware = "".join(one for one in text if one.isprintable())[: MAX_FIRMWARE // 4]

    def _take_clock(self, data: bytes) -> None:
        at = c.clock(data)
        if at is not None:
            self._offset_us = _unix_us(at) - self._hub.unix_us()

    async def _subscribe(self, client: BleakClient) -> bool:
        """Listen to all that it measures; whether it has a control point for what it stored."""
        wanted = [client.services.get_characteristic(of) for of in READ]
        measures = [found for found in wanted if found is not None]
        if not measures:
            raise BleakError("it has no heart rate, oximeter or blood pressure service")
        control = client.services.get_characteristic(CONTROL)
        if control is not None:
            await client.start_notify(control, self._controlled)
        for found in measures:
            await client.start_notify(found, lambda sender, data: self._said(sender.uuid, bytes(data)))
        return control is not None

    def _controlled(self, sender: object, data: bytearray) -> None:
        answer = racp.answer(bytes(data))
        if answer is not None:
            self._answers.put_nowait(answer)

    async def _stored(self, client: BleakClient) -> None:
        """Ask for all stored records, and have them deleted where that is wanted."""
        answer = await self._ask(client, racp.REPORT_ALL)
        if not answer.done:
            log.warning("%s: stored records: %s", self.device.name, answer.meaning)
        elif self.device.forget and answer.code == racp.SUCCESS:
            if self._open:
                self._durable.clear()
                await self._durable.wait()
            answer = await self._ask(client, racp.DELETE_ALL)
            if not answer.done:
                log.warning("%s: deleting stored records: %s", self.device.name, answer.meaning)

    async def _ask(self, client: BleakClient, request: bytes) -> racp.Answer:
        while not self._answers.empty():
            self._answers.get_nowait()
        await client.write_gatt_char(CONTROL, request, response=True)
        async with asyncio.timeout(CONTROL_S):
            return await self._answers.get()

    # What it measured

    def _said(self, of: str, data: bytes) -> None:
        try:
            said = READ[of](data)
        except c.Malformed as e:
            self.refused += 1
            self._hub.reject("malformed_device", str(e), self.device.name)
            return
        now_us = self._hub.unix_us()
        at = getattr(said, "at", None)
        if at is not None and self._is_known(of, data):
            self.repeated += 1
            return
        t_us, bound_us = self._dated(at, getattr(said, "clock_set", True), now_us)
        user = getattr(said, "user", None)
        boot = self._boot(user, bound_us)
        if isinstance(said, c.BloodPressure):
            boot.pressures += 1
            kind, body = frames.KIND_BP, meanings.blood_pressure(said, boot.pressures, t_us)
        else:
            kind = frames.KIND_VITALS
            is_rate = isinstance(said, c.HeartRate)
            body = meanings.heart_rate(said) if is_rate else meanings.oximetry(said)
        self.heard += 1
        self._open += 1
        boot.say(kind, body, t_us, self._stored_here)

    def _stored_here(self, outcome: Outcome) -> None:
        self._open -= 1
        if not self._open:
            # After the frames: cut between the two, they come twice, not never.
            with suppress(OSError):
                self._devices.keep_known(self.device, list(self._known))
            self._durable.set()

    def _is_known(self, of: str, data: bytes) -> bool:
        """Whether just this came before: a time stamp makes each measurement one of its own."""
        digest = hashlib.sha256(of.encode() + data).digest()[:16]
        known = digest in self._known
        self._known[digest] = None
        self._known.move_to_end(digest)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return known

    def _dated(self, at: datetime | None, clock_set: bool, now_us: int) -> tuple[int, int]:
        """(Unix time in µs, bound) of a measurement that came now."""
        if at is None or not clock_set:
            return now_us, LIVE_BOUND_US
        t_us = _unix_us(at)
        if self._offset_us is not None:
            return min(t_us - self._offset_us, now_us), SEEN_BOUND_US
        if abs(t_us - now_us) <= JUST_NOW_US:
            return min(t_us, now_us), JUST_NOW_US
        return min(t_us, now_us), UNSEEN_BOUND_US

    def _boot(self, user: int | None, bound_us: int) -> Boot:
        boot = self._boots.get((user, bound_us))
        if boot is None:
            boot = self._boots[user, bound_us] = self._deputy(user).begin(bound_us)
        return boot

    def _deputy(self, user: int | None) -> Deputy:
        deputy = self._deputies.get(user)
        if deputy is None:
            about = self.device.name if user is None else f"{self.device.name}, user {user}"
            identity = self._devices.identity(self.device, user)
            deputy = self._deputies[user] = Deputy(self._hub, identity, about, self._firmware)
        view = self._hub.view(deputy.node)
        view.live, view.link, view.live_ms = True, self.device.name, self._hub.unix_us() // 1000
        return deputy

    def _leave(self) -> None:
        for boot in self._boots.values():
            boot.end()
        self._boots.clear()
        for deputy in self._deputies.values():
            view = self._hub.view(deputy.node)
            view.live, view.link = False, None


def _unix_us(at: datetime) -> int:
    """A device's local time is this machine's."""
    return int(at.timestamp()) * SECOND_US
