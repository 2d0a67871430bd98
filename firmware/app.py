"""The node: sampling, vitals, frames and session as asyncio tasks, from the first frame of a boot to its
orderly end.

`run(board)` is the whole application; the generated main.py calls it. Tasks: sample (drain the sensors'
FIFOs), process (everything that becomes a frame), attest, and three of the link. Only sample goes by a timer:
it wakes the others when there is something to do, because every wake-up costs as much as the work it is for.
A task that dies is reported in an event and started again. Anything long is preceded by a drain, so that no
FIFO runs over behind it.
"""

import asyncio
import gc
import time

from drivers import max30003, max30102
from firmware import aftermath
from firmware.aftermath import Aftermath
from firmware.boots import CommitError
from firmware.clock import Clock
from firmware.dsp import ecg_kernel, kernels, ppg_kernel
from firmware.dsp.ecg import EcgChain
from firmware.dsp.ppg import PpgChain
from firmware.flash import FlashError
from firmware.housekeeping import Heap, status_body
from firmware.link import Link, sliced
from firmware.requests import Requests
from firmware.sampling import EcgSensor, PpgSensor
from firmware.sealer import Sealer
from firmware.start import Start, give_back
from firmware.tasks import describe, keep_alive
from firmware.version import VERSION
from firmware.vitals import Contact, vitals_body
from firmware.wave_frame import wave_body
from protocol import frames
from protocol.session_states import STREAMING

# From drain to drain, in turn: half of what the ECG's FIFO holds, and not a multiple of its sample period, so
# that the brackets of the sample clock fall differently. A turn that comes later than that rests a little.
DRAIN_US = (62000, 65000, 63000, 67000)
REST_US = 5000
# The oximeter's FIFO holds 320 ms: every third drain is enough. The link's timers want 200 ms.
PPG_EVERY = 3
BEAT_EVERY = 3
FRESH_US = 15000
PPG_FRESH_US = 150000
POLL_MS = 50
STATUS_EVERY_S = 10
LOSS_EVERY_S = 5
ALIVE_MS = 4000
FEED_MS = 1000
ECG_FRAME = 250
PPG_FRAME = 200
DRAIN_OUT_MS = 5000
# What must stay free for messages, keys and flash writes; the outbox gives way.
HEAP_RESERVE = 12288
EXIT_STOPPED = 0
EXIT_FAULT = 1
EXIT_RESTART = 2

if kernels.NATIVE:
    # Nobody calls the pure twins then: what they hold of the heap is given back.
    ecg_kernel.ecg_block = ppg_kernel.ppg_block = ppg_kernel.ppg_moments = None


class Node:
    """One boot. `start` is its Start; what it has to say goes through `sealer`."""

    def __init__(self, board):
        self.board = board
        self.clock = Clock(time)
        self.start = start = Start(board)
        self.session = start.session
        self.sealer = Sealer(start.keys, start.box, start.attester, start.record, self.clock)
        self._aftermath = Aftermath(start, self.sealer)
        mains_hz = board.config["node"]["mains_hz"]
        self.ecg = EcgSensor(
            max30003.PART,
            max30003.PERIOD_NS,
            max30003.LSB_NV,
            self.clock,
            self,
            lambda: max30003.Max30003(*board.ecg()),
            EcgChain(mains_hz=mains_hz),
            ECG_FRAME,
        )
        self.ppg = PpgSensor(
            max30102.PART,
            max30102.PERIOD_NS,
            max30102.LSB_PA,
            self.clock,
            self,
            lambda: max30102.Max30102(board.ppg()),
            PpgChain(),
            PPG_FRAME,
        )
        self.sensors = (self.ecg, self.ppg)
        self.link = Link(board.link(), start.session, self.clock, Requests(self))
        self._label = None
        self._lead = Contact(frames.EVENT_LEAD_OFF, frames.EVENT_LEAD_ON)
        self._finger = Contact(frames.EVENT_FINGER_OFF, frames.EVENT_FINGER_ON)
        self._drained = self._ppg_drained = self.clock.ticks_us()
        self._work = asyncio.Event()
        self._sign = asyncio.Event()
        self._second = 0
        self._processed = 0
        self._heap = None
        self._signing = False
        self._signed = None
        self._sampling = True
        self._ended = asyncio.Event()
        self.exit_code = EXIT_STOPPED
        self.fault = None

    # What others call

    def report(self, code, priority, value=None, text=None):
        """An event of now."""
        self.sealer.event(code, priority, value, text)

    def sensor_recovered(self, sensor):
        """A chip runs again. What its bus leads to may be something else now: then the event says what."""
        try:
            label = self._read_input()
        except OSError:
            label = None
        self.report(frames.EVENT_SENSOR_RECOVERED, frames.PRIORITY_LOW, None, label or sensor.part)

    def wave(self, sensor, ready):
        """Seal a complete frame of each channel of `sensor`; after a failure the next call goes on there."""
        t_us = self.clock.at_us(ready.ticks)
        while ready.sealed < len(sensor.channels):
            if ready.sealed:
                self.drain()
            self.sealer.seal(frames.KIND_WAVE, wave_body(sensor, ready, ready.sealed), t_us)
            ready.sealed += 1
            ready.halved = False

    def restart(self):
        """An orderly end, and another boot after it."""
        self.exit_code = EXIT_RESTART
        self._ended.set()

    def drain(self):
        """Empty the FIFOs unless that has just been done: something long comes next."""
        clock = self.clock
        now = clock.ticks_us()
        if self._sampling and clock.ticks_diff(now, self._drained) > FRESH_US:
            self.ecg.poll()
            if clock.ticks_diff(now, self._ppg_drained) > PPG_FRESH_US:
                self.ppg.poll()
                self._ppg_drained = clock.ticks_us()
            self._drained = clock.ticks_us()

    # The first frame

    def _read_input(self):
        """Ask the board what its sensors are attached to; the label if it is new."""
        label, self.ecg.source, self.ppg.source = self.board.input_info()
        changed = label if label != self._label else None
        self._label = label
        return changed

    def begin(self):
        """The boot frame, then the events of what went wrong before it, then the sensors."""
        start = self.start
        self._read_input()
        body = {
            frames.BOOT_FIRMWARE: VERSION,
            frames.BOOT_BOARD: self.board.name,
            frames.BOOT_RESET_CAUSE: self.board.reset_cause(),
            frames.BOOT_KEYS: start.identity.public(),
            frames.BOOT_CHANNELS: [
                [channel, sensor.part, sensor.period_ns, sensor.lsb]
                for sensor in self.sensors
                for channel in sensor.channels
            ],
            frames.BOOT_ENTROPY: int(start.pool.strong and start.store.strong),
        }
        if self._label is not None:
            body[frames.BOOT_INPUT] = self._label
        if start.record.statement is not None:
            body[frames.BOOT_PREVIOUS] = start.record.statement
        earlier = start.record.earlier()
        if earlier is not None:
            body[frames.BOOT_EARLIER] = earlier
        self.sealer.seal(frames.KIND_BOOT, body, None, True)
        for fault in start.faults:
            self.report(frames.EVENT_INTERNAL_ERROR, frames.PRIORITY_MEDIUM, None, fault)
        self._careful(self._aftermath.tell, self.board.reset_cause())
        for sensor in self.sensors:
            sensor.start(self.clock.now_ms())
        self._heap = Heap()

    # Tasks

    async def sample(self):
        """Drain on time, whatever else goes on, and wake who has something to do; once a second feed the
        watchdog while the other tasks live, too, and see whether somebody wants the node to stop.
        """
        clock = self.clock
        due = clock.ticks_us()
        turn = 0
        fed_ms = 0
        while True:
            self.ecg.poll()
            if turn % PPG_EVERY == 0:
                self.ppg.poll()
                self._ppg_drained = clock.ticks_us()
            elif turn % BEAT_EVERY == 1:
                self.link.beat()
            self._drained = clock.advance()
            if (
                self.ecg.wave.ready is not None
                or self.ppg.wave.ready is not None
                or clock.seconds != self._second
            ):
                self._work.set()
            now_ms = clock.now_ms()
            if now_ms - fed_ms >= FEED_MS:
                fed_ms = now_ms
                if now_ms - min(self.link.alive_ms, self._processed) < ALIVE_MS:
                    self.board.feed_watchdog()
                if self.board.stop_requested():
                    self._ended.set()
                if self.sealer.spent:
                    self.restart()
            now = clock.ticks_us()
            due = clock.ticks_add(due, DRAIN_US[turn & 3])
            if clock.ticks_diff(due, now) < REST_US:
                due = clock.ticks_add(now, REST_US)
            await asyncio.sleep_ms(clock.ticks_diff(due, now) // 1000)
            turn += 1

    async def process(self):
        """Complete waveforms and each second's readings into frames."""
        while True:
            await self._work.wait()
            self._work.clear()
            self._processed = self.clock.now_ms()
            for sensor in self.sensors:
                if sensor.wave.ready is not None:
                    self.drain()
                    # The drain itself may have sealed it, for want of room.
                    if sensor.wave.ready is not None:
                        sensor.flush()
                    self.link.beat()
                    await asyncio.sleep_ms(0)
            if self.clock.seconds != self._second:
                self._second = self.clock.seconds
                self.drain()
                self._each_second(self._second)
                self.link.beat()

    def _each_second(self, second):
        self.sealer.seal(frames.KIND_VITALS, vitals_body(self.ecg, self.ppg))
        for contact, sensor in ((self._lead, self.ecg), (self._finger, self.ppg)):
            event = contact.changed(sensor.off)
            if event:
                self.report(event, frames.PRIORITY_LOW if sensor.off else frames.PRIORITY_INFO)
                contact.told(sensor.off)
        if second % LOSS_EVERY_S == 0 and self.session.state == STREAMING:
            self.sealer.losses()
            self.sealer.elsewhere(self.session)
        if self._signed is not None or self.start.attester.due(self._processed):
            self._sign.set()
        if second % STATUS_EVERY_S == 0:
            body = status_body(self._heap, self.sensors, self.session, self.board.reset_cause(), second)
            self.sealer.seal(frames.KIND_STATUS, body)
            if body[frames.STATUS_HEAP_FREE] < HEAP_RESERVE:
                self.sealer.box.shrink()
        # A flash write may hold everything up for longer than the ECG's FIFO has room.
        self.drain()
        box = self.sealer.box
        self._careful(self.start.record.reserve, box.next_seq, second, not box.holds(0))
        self.drain()
        self._careful(self._aftermath.settle)

    def _careful(self, action, *args):
        """Flash that refuses is told about, and no more."""
        try:
            action(*args)
        except (CommitError, FlashError) as error:
            self.report(frames.EVENT_INTERNAL_ERROR, frames.PRIORITY_MEDIUM, None, str(error))

    async def attest(self):
        """Sign what was measured, range by range."""
        while True:
            await self._sign.wait()
            self._sign.clear()
            await self._attest(self.clock.now_ms())

    async def _attest(self, now_ms):
        self._signing = True
        try:
            if self._signed is None:
                self._signed = await sliced(self.start.attester.sign_steps(now_ms), self.clock)
            self.sealer.seal(frames.KIND_ATTEST, self._signed)
            self._signed = None
        finally:
            self._signing = False

    def died(self, name, error):
        """A task ended by an error: say so if memory allows; a boot whose frames no longer add up ends."""
        try:
            if isinstance(error, MemoryError):
                self.sealer.box.shrink()
            self.report(frames.EVENT_INTERNAL_ERROR, frames.PRIORITY_HIGH, None, describe(name, error))
        except Exception:
            gc.collect()
        if self.sealer.broken and self.fault is None:
            self.exit_code = EXIT_FAULT
            self.fault = error
            self._ended.set()

    # From beginning to end

    async def live(self):
        """All tasks until the end is wanted; then the orderly end, unless the boot is broken."""
        # Nothing may be printed: stdout is the link.
        asyncio.get_event_loop().set_exception_handler(lambda loop, context: None)
        link = self.link
        running = {
            name: asyncio.create_task(keep_alive(name, task, self.died))
            for name, task in (
                ("sample", self.sample),
                ("process", self.process),
                ("attest", self.attest),
                ("receive", link.receive),
                ("send", link.send),
                ("key work", link.work),
            )
        }
        await self._ended.wait()
        if not self.sealer.broken:
            await self._stop(running)

    async def _stop(self, running):
        """Everything measured becomes a frame, everything sealed has its chance to go, and flash says that
        the end was orderly.
        """
        for name in ("sample", "process"):
            running[name].cancel()
        while self._signing:
            await asyncio.sleep_ms(POLL_MS)
        running["attest"].cancel()
        for sensor in self.sensors:
            sensor.poll()
        self._sampling = False
        for sensor in self.sensors:
            if sensor.wave.ready is not None:
                sensor.flush()
            sensor.wave.close()
            if sensor.wave.ready is not None:
                sensor.flush()
        self.report(frames.EVENT_STOP, frames.PRIORITY_INFO)
        self.sealer.losses(True)
        self.sealer.elsewhere(self.session)
        if self._signed is not None or self.start.attester.behind:
            await self._attest(self.clock.now_ms())
        await self._attest(self.clock.now_ms())
        until_ms = self.clock.now_ms() + DRAIN_OUT_MS
        while (
            self.session.state == STREAMING and self.sealer.box.waiting() and self.clock.now_ms() < until_ms
        ):
            self.board.feed_watchdog()
            self.link.beat()
            await asyncio.sleep_ms(POLL_MS)
        try:
            box = self.sealer.box
            self.start.record.close(box.next_seq, not box.holds(0))
        except CommitError:
            # The reservation that flash holds is true, too; it only knows less.
            pass


def run(board):
    """Be a node on `board` until an orderly stop or a fault; ends with board.exit(code, error)."""
    node = None
    try:
        node = Node(board)
        node.begin()
        # A boot begins once: what that takes of the heap is given back.
        give_back()
        Node.__init__ = Node.begin = None  # pyright: ignore[reportAttributeAccessIssue]
        asyncio.run(node.live())
        code, fault = node.exit_code, node.fault
    except KeyboardInterrupt:
        code, fault = EXIT_STOPPED, None
    except Exception as error:
        code, fault = EXIT_FAULT, error
    if fault is not None and node is not None:
        aftermath.keep(node.start, node.clock.now_us() // 1000000, fault)
    board.exit(code, fault)
