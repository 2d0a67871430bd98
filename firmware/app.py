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
from array import array

from firmware import aftermath, interlocks
from firmware.aftermath import Aftermath
from firmware.alarms import Alarms
from firmware.annunciator import Annunciator
from firmware.boots import CommitError
from firmware.clock import Clock
from firmware.dsp import ecg_kernel, kernels, ppg_kernel
from firmware.dsp.ecg import EcgChain
from firmware.dsp.ppg import PpgChain
from firmware.flash import FlashError
from firmware.housekeeping import Heap, status_body
from firmware.link import Link, sliced
from firmware.readings import Readings
from firmware.requests import Requests, forget
from firmware.sampling import EcgSensor, PpgSensor
from firmware.sealer import Sealer
from firmware.settings import Settings
from firmware.signals import Signals
from firmware.start import Start, give_back
from firmware.tasks import describe, keep_alive
from firmware.vitals import Contact, vitals_body
from firmware.wave_frame import wave_body
from protocol import frames, on_demand
from protocol.session_states import STREAMING

# From drain to drain, in turn: half of what the ECG's FIFO holds, and not a multiple of its sample period, so
# that the brackets of the sample clock fall differently. A turn that comes later than that rests a little.
DRAIN_US = (62000, 65000, 63000, 67000)
REST_US = 5000
# The link's timers want 200 ms.
BEAT_EVERY = 3
STATUS_EVERY_S = 10
LOSS_EVERY_S = 5
ALIVE_MS = 4000
FEED_MS = 1000
ECG_FRAME = 250
PPG_FRAME = 200
# What must stay free for messages, keys and flash writes; the outbox gives way.
HEAP_RESERVE = 12288
EXIT_STOPPED = 0
EXIT_FAULT = 1
EXIT_RESTART = 2

if kernels.NATIVE:
    # Nobody calls the pure twins then: what they hold of the heap is given back.
    ecg_kernel.ecg_block = ppg_kernel.ppg_block = ppg_kernel.ppg_moments = None
    ppg_kernel.ppg_curved = ppg_kernel.ppg_shape = None


class Node:
    """One boot. `start` is its Start; what it has to say goes through `sealer`."""

    def __init__(self, board, sensors, features):
        self.board = board
        self.clock = clock = Clock(time)
        self.start = start = Start(board)
        self.session = start.session
        self.sealer = Sealer(start.keys, start.box, start.attester, start.record, clock)
        self.aftermath = Aftermath(start, self.sealer)
        self.settings = settings = Settings(start.records, board.config["node"]["mains_hz"])
        if not settings.cuff_size:
            settings.cuff_size = board.config.get("cuff", {}).get("size", frames.CUFF_UNKNOWN)
        self.readings = Readings()
        self.alarms = Alarms(self.sealer, clock, settings, self.repeat_bp)
        self._annunciator = Annunciator(board)
        self.signals = Signals(self)
        self.indicate = self.signals.indicate
        self.sensors = []
        self.ecg = self.ppg = None
        if "ecg" in sensors:
            kind = sensors["ecg"]
            chain = EcgChain(mains_hz=settings.mains_hz, lsb_nv=kind.lsb, full_scale=kind.full_scale)
            self.ecg = self._sensor(EcgSensor, "ecg", kind, chain, ECG_FRAME)
        if "ppg" in sensors:
            chain = PpgChain(table=board.config.get("ppg", {}).get("calibration"))
            self.ppg = self._sensor(PpgSensor, "ppg", sensors["ppg"], chain, PPG_FRAME)
        self.link = features.pop("link", Link)(board.link(), start.session, clock, Requests(self))
        self.features = {name: features[name](self, sensors.get(name)) for name in features}
        self.label = None
        self._lead = Contact(frames.EVENT_LEAD_OFF, frames.EVENT_LEAD_ON)
        self._finger = Contact(frames.EVENT_FINGER_OFF, frames.EVENT_FINGER_ON)
        self._held = self._streamed = False  # the button, and whether an agent was connected, as last seen
        self._work = asyncio.Event()
        self._sign = asyncio.Event()
        self._second = 0
        self._evidence = [0, 0]  # the next number as of ten to twenty seconds ago, and at the last status
        self._processed = 0
        self._heap, self.signing = None, False
        self.signed, self.sampling = None, True  # signed, but no frame yet; sensors drained
        self._ended = asyncio.Event()
        self.exit_code, self.fault = EXIT_STOPPED, None

    def _sensor(self, kind, role, driver, chain, n):
        bus = self.board.bus
        sensor = kind(
            driver.part, driver.period_ns, driver.lsb, self.clock, self, lambda: driver(*bus(role)), chain, n
        )
        self.sensors.append(sensor)
        return sensor

    # What others call

    def report(self, code, priority, value=None, text=None):
        """An event of now."""
        self.sealer.event(code, priority, value, text)

    def sensor_recovered(self, sensor):
        """A chip runs again. What its bus leads to may be something else now: then the event says what."""
        try:
            label = self.read_input()
        except OSError:
            label = None
        self.report(frames.EVENT_SENSOR_RECOVERED, frames.PRIORITY_LOW, None, label or sensor.part)

    def wave(self, sensor, ready):
        """Seal a complete frame of each channel of `sensor`; after a failure the next call goes on there."""
        t_us = self.clock.at_us(ready.ticks)
        while ready.sealed < len(sensor.channels):
            if ready.sealed:
                self.drain()
            if sensor.channels[ready.sealed] not in self.settings.not_sent:
                self.sealer.seal(frames.KIND_WAVE, wave_body(sensor, ready, ready.sealed), t_us)
            ready.sealed += 1
            ready.halved = False

    def repeat_bp(self):
        """An alarm's limit was passed: measure the blood pressure again, where there is a cuff."""
        if "cuff" in self.features:
            self.features["cuff"].request(frames.REASON_REPEAT)

    def restart(self):
        """An orderly end, and another boot after it."""
        self.exit_code = EXIT_RESTART
        self._ended.set()

    def drain(self):
        """Empty the FIFOs unless that has just been done: something long comes next."""
        clock = self.clock
        now = clock.ticks_us()
        if self.sampling:
            for sensor in self.sensors:
                if clock.ticks_diff(now, sensor.drained) > sensor.fresh_us:
                    sensor.poll()

    def read_input(self):
        """Ask the board what its sensors are attached to; the label if it is new."""
        info = self.board.input_info()
        if self.ecg is not None:
            self.ecg.source = info[1]
        if self.ppg is not None:
            self.ppg.source = info[2]
        label = info[0]
        changed = label if label != self.label else None
        self.label = label
        return changed

    def begin(self):
        """The first frames of the boot; the sensors and the features start."""
        from firmware import beginning

        try:
            beginning.first_frames(self)
        finally:
            forget("beginning")
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
            work = False
            for sensor in self.sensors:
                if turn % sensor.every == 0:
                    sensor.poll()
                if sensor.wave.ready is not None:
                    work = True
            if turn % BEAT_EVERY == 1:
                self.link.beat()
                self._look_at_button()
            clock.advance()
            if work or clock.seconds != self._second:
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

    def _look_at_button(self):
        """A press acknowledges; with a cuff that is its affair. A button that sticks is one press."""
        if "cuff" in self.features or not self.alarms.active:
            # What is held before there is an alarm is no press for it.
            self._held = True
            return
        held = self.board.consent()
        if held and not self._held:
            self.alarms.silence()
        self._held = held

    async def process(self):
        """Complete waveforms and each second's readings into frames."""
        while True:
            await self._work.wait()
            self._work.clear()
            self._processed = self.clock.now_ms()
            failed = None
            try:
                for sensor in self.sensors:
                    if sensor.wave.ready is not None:
                        self.drain()
                        # The drain itself may have sealed it, for want of room.
                        if sensor.wave.ready is not None:
                            sensor.flush()
                        self.link.beat()
                        await asyncio.sleep_ms(0)
            except Exception as error:
                # A waveform that cannot be sealed holds up no alarm.
                failed = error
            if self.clock.seconds != self._second:
                self._second = second = self.clock.seconds
                self.drain()
                self._each_second(second)
                self.link.beat()
                # The rest may take as long again: the others have their turn in between.
                await asyncio.sleep_ms(0)
                self._housekeep(second)
            if failed is not None:
                raise failed

    def _each_second(self, second):
        readings = self.readings
        box = self.sealer.box
        try:
            if self.ecg is not None:
                self.ecg.hold(interlocks.refused(self, interlocks.ECG))
            readings.take(self.ecg, self.ppg)
            for feature in self.features.values():
                feature.second(readings)
            if not second % self.sealer.vitals_every_s:
                self.sealer.seal(frames.KIND_VITALS, vitals_body(readings, self.ecg, self.ppg))
        finally:
            # Whatever went wrong before, and where no frame of it can be made: alarms are decided and shown.
            readings.seqs = (self._evidence[0], box.next_seq - self._evidence[0])
            streams = self.session.state == STREAMING
            if streams and not self._streamed:
                self.alarms.again()
            self._streamed = streams
            try:
                self.alarms.second(readings)
            finally:
                self._annunciator.show(self.alarms.active, self.alarms.sounding)
                self.careful(self.alarms.keep, self.drain)
        self._annunciator.indicate(self.signals.second(readings))
        for contact, sensor in ((self._lead, self.ecg), (self._finger, self.ppg)):
            event = contact.changed(sensor.off) if sensor is not None else 0
            if event:
                self.report(event, frames.PRIORITY_LOW if sensor.off else frames.PRIORITY_INFO)
                contact.told(sensor.off)
        if second % LOSS_EVERY_S == 0 and self.session.state == STREAMING:
            self.sealer.losses()
            self.sealer.elsewhere(self.session)
        if self.signed is not None or self.start.attester.due(self._processed):
            self._sign.set()

    def _housekeep(self, second):
        box = self.sealer.box
        if second % STATUS_EVERY_S == 0:
            cause = self.board.reset_cause()
            body = status_body(self._heap, self.sensors, self.session, cause, second, self.readings)
            self._evidence = [self._evidence[1], box.next_seq]
            self.sealer.seal(frames.KIND_STATUS, body)
            if body[frames.STATUS_HEAP_FREE] < HEAP_RESERVE:
                box.shrink()
        # A flash write may hold everything up for longer than the ECG's FIFO has room.
        self.drain()
        self.careful(self.start.record.reserve, box.next_seq, second, not box.holds(0))
        self.drain()
        self.careful(self.aftermath.settle)

    def careful(self, action, *args):
        """Flash that refuses is told about, and no more."""
        try:
            action(*args)
        except (CommitError, FlashError) as error:
            self.signals.trouble()
            self.report(frames.EVENT_INTERNAL_ERROR, frames.PRIORITY_MEDIUM, None, str(error))

    async def attest(self):
        """Sign what was measured, range by range."""
        while True:
            await self._sign.wait()
            self._sign.clear()
            await self.sign_range(self.clock.now_ms())

    async def sign_range(self, now_ms):
        """Sign the frames since the last range, and seal what was signed."""
        self.signing = True
        try:
            if self.signed is None:
                self.signed = await sliced(self.start.attester.sign_steps(now_ms), self.clock)
            self.sealer.seal(frames.KIND_ATTEST, self.signed)
            self.signed = None
        finally:
            self.signing = False

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
        tasks = [
            ("sample", self.sample),
            ("process", self.process),
            ("attest", self.attest),
            ("receive", link.receive),
            ("send", link.send),
            ("key work", link.work),
            ("signal", self._annunciator.run),
        ]
        for feature in self.features.values():
            tasks += feature.tasks()
        running = {name: asyncio.create_task(keep_alive(name, task, self.died)) for name, task in tasks}
        await self._ended.wait()
        if not self.sealer.broken:
            from firmware import ending

            await ending.orderly_end(self, running)


def run(board, sensors, features):
    """Be a node on `board` until an orderly stop or a fault; ends with board.exit(code, error).

    `sensors`, `features`: the classes of the board's drivers and of what they bring, by role.
    """
    node = None
    try:
        node = Node(board, sensors, features)
        # A boot begins once: what that takes of the heap is given back.
        Node.__init__ = Node._sensor = None  # pyright: ignore[reportAttributeAccessIssue]
        node.begin()
        give_back()
        Node.begin = None  # pyright: ignore[reportAttributeAccessIssue]
        node.careful(node.aftermath.tell, board.reset_cause())
        on_demand.kept[0] = on_demand.kept[1] = array("i", bytes(4 * on_demand.REGISTER_WORDS))
        asyncio.run(node.live())
        code, fault = node.exit_code, node.fault
    except KeyboardInterrupt:
        code, fault = EXIT_STOPPED, None
    except Exception as error:
        code, fault = EXIT_FAULT, error
    if fault is not None and node is not None:
        aftermath.keep(node.start, node.clock.now_us() // 1000000, fault)
    board.exit(code, fault)
