"""Reading one standard device: connect whenever it can be heard, take what it says, until it goes.

A blood pressure monitor or a spot-check oximeter is on air for some seconds after a measurement; a strap or a
bedside oximeter for hours. When a value was is dating.py's. Stored values that come again are known by their
bytes and left out (taken.py). Deleting them on the device (`forget`) is asked for only once all of them came,
and are durable.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError

from edge_agent.backoff import Backoff
from edge_agent.keys import KeyFileError
from edge_agent.nodes.hub import Hub
from edge_agent.standard import characteristics as c
from edge_agent.standard import meanings, racp
from edge_agent.standard.dating import Look, dated
from edge_agent.standard.deputy import Boot, Deputy
from edge_agent.standard.devices import Device, Devices
from edge_agent.standard.taken import Taken, digest_of
from edge_agent.tasks import end
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
FIND_S = 30.0
# Without a record, or the end of them.
CONTROL_S = 60.0
MAX_FIRMWARE = 64


class Reader:
    """One device. `state`: searching, reading, waiting; `problem`: why not, or None; `heard`: values taken,
    `refused`: malformed ones, `repeated`: stored ones that had come before, `missed`: those that could not be
    taken here, or came faster than anything measures.
    """

    def __init__(self, hub: Hub, devices: Devices, device: Device) -> None:
        self.device = device
        self.state = "searching"
        self.problem: str | None = None
        self.heard = self.refused = self.repeated = self.missed = 0
        self._hub = hub
        self._devices = devices
        self._deputies: dict[int | None, Deputy] = {}
        self._boots: dict[tuple[int | None, int], Boot] = {}
        self._taken = Taken(devices, device)
        self._firmware = ""
        self._look: Look | None = None
        # Of the stored ones that were asked for: how often each has come. None: none were.
        self._asked: Counter[bytes] | None = None
        self._answers: asyncio.Queue[racp.Answer] = asyncio.Queue()

    @property
    def nodes(self) -> list[bytes]:
        """The ids under which it has been heard in this run."""
        return [deputy.node for deputy in self._deputies.values()]

    async def run(self) -> None:
        """Read it for ever."""
        backoff = Backoff(first_s=1.0, max_s=60.0)
        me = asyncio.current_task()
        # A client that is just leaving may take the cancellation for its own.
        while me is not None and not me.cancelling():
            self.state = "searching"
            try:
                found = await BleakScanner.find_device_by_address(self.device.address, timeout=FIND_S)
                if found is None:
                    self.problem = None
                    continue
                await self._read(found)
                backoff.succeeded()
                self.problem = None
            except Exception as e:
                # Whatever it is, the device may be read again, and the others are.
                known = isinstance(e, BleakError | OSError | TimeoutError)
                self._complain(str(e) or type(e).__name__, None if known else e)
                self.state = "waiting"
                await asyncio.sleep(backoff.failed())

    def _complain(self, why: str, error: Exception | None = None) -> None:
        if why != self.problem:
            log.warning("%s: %s", self.device.name, why, exc_info=error)
        self.problem = why

    async def _read(self, found: Any) -> None:
        gone = asyncio.Event()
        async with BleakClient(found, disconnected_callback=lambda client: gone.set()) as client:
            self.state = "reading"
            try:
                await self._about(client)
                asking = self._stored(client) if await self._subscribe(client) else None
                await _until(gone, asking)
            finally:
                self._leave()

    async def _about(self, client: BleakClient) -> None:
        """What it says of itself: firmware, and how far its clock is off."""
        self._firmware = ""
        self._look = None
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
            self._look = Look(at, self._hub.unix_us())

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
        """Ask for all stored records, and have them deleted where that is wanted. What it measures is taken
        whatever becomes of that.
        """
        left_out = self.refused + self.missed
        try:
            self._asked = Counter()
            answer = await self._ask(client, racp.REPORT_ALL)
            self._asked = None
            if not answer.done:
                self._complain(f"stored records: {answer.meaning}")
            elif self.device.forget and answer.code == racp.SUCCESS:
                if self.refused + self.missed > left_out:
                    self._complain("stored records: some could not be taken, so none is deleted")
                    return
                await self._taken.settled()
                answer = await self._ask(client, racp.DELETE_ALL)
                if not answer.done:
                    self._complain(f"deleting stored records: {answer.meaning}")
        except TimeoutError:
            self._complain(f"stored records: no answer in {CONTROL_S:.0f} s")
        except (BleakError, OSError) as e:
            self._complain(f"stored records: {e}")
        finally:
            self._asked = None

    async def _ask(self, client: BleakClient, request: bytes) -> racp.Answer:
        """The answer to this request. TimeoutError when neither that nor a value comes for CONTROL_S."""
        while not self._answers.empty():
            self._answers.get_nowait()
        await client.write_gatt_char(CONTROL, request, response=True)
        while True:
            came = self._came
            try:
                async with asyncio.timeout(CONTROL_S):
                    answer = await self._answers.get()
            except TimeoutError:
                if self._came == came:
                    raise
            else:
                # Others are of an earlier request, or of nobody's.
                if answer.records is None and answer.to == request[0]:
                    return answer

    @property
    def _came(self) -> int:
        return self.heard + self.refused + self.repeated + self.missed

    # What it measured

    def _said(self, of: str, data: bytes) -> None:
        if self._taken.floods(self._hub.monotonic()):
            self._miss("device_flood", "values come faster than anything measures")
            return
        try:
            said = READ[of](data)
        except c.Malformed as e:
            self.refused += 1
            self._hub.reject("malformed_device", str(e), self.device.name)
            return
        digest = self._digest(of, data, said)
        if digest is not None and self._taken.came_before(digest):
            self.repeated += 1
            return
        try:
            self._take(said, digest)
        except (KeyFileError, OSError) as e:
            self._miss("device_keys", str(e))
            return
        self.heard += 1

    def _miss(self, cause: str, why: str) -> None:
        self.missed += 1
        self._hub.reject(cause, why, self.device.name)

    def _digest(self, of: str, data: bytes, said: Any) -> bytes | None:
        """What tells a stored measurement from others: its time stamp; without a sound one, how often these
        bytes have come of those that were asked for. None: it is not stored.
        """
        if getattr(said, "at", None) is not None:
            return digest_of(of, data)
        if of != PLX_SPOT or self._asked is None:
            return None
        self._asked[data] += 1
        return digest_of(of, data, self._asked[data])

    def _take(self, said: Any, digest: bytes | None) -> None:
        stored: bool | None = False
        stamp = None
        if isinstance(said, c.BloodPressure):
            stored = None if said.stamped else False
            stamp = said.at
        elif isinstance(said, c.Oximetry):
            stored = said.spot and (self._asked is not None or bool(said.status & c.STORED))
            stamp = said.at if said.clock_set else None
        t_us, bound_us = dated(stamp, stored, self._look, self._hub.unix_us())
        boot = self._boot(getattr(said, "user", None), bound_us)
        if isinstance(said, c.BloodPressure):
            boot.pressures += 1
            kind, body = frames.KIND_BP, meanings.blood_pressure(said, boot.pressures, t_us)
        else:
            kind = frames.KIND_VITALS
            is_rate = isinstance(said, c.HeartRate)
            body = meanings.heart_rate(said) if is_rate else meanings.oximetry(said)
        boot.say(kind, body, t_us, self._taken.begin(digest))

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
        self._taken.leave()
        for deputy in self._deputies.values():
            view = self._hub.view(deputy.node)
            view.live, view.link = False, None


async def _until(gone: asyncio.Event, asking: Coroutine[Any, Any, None] | None) -> None:
    """Until it is gone; `asking` ends then, too."""
    task = None if asking is None else asyncio.create_task(asking)
    try:
        await gone.wait()
    finally:
        if task is not None:
            await end(task)
    if task is not None and not task.cancelled():
        task.result()
