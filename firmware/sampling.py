"""The sensors: drained on time, dated by their own sample clocks, started again after a fault.

A sensor owns its driver, its SampleClock, its WaveBuffer and its signal chain. `poll` is plain code that any
task may call before it does something long: it takes what the chip's FIFO holds and never waits.
"""

from array import array

from drivers.errors import DriverError
from firmware.sample_clock import SampleClock
from firmware.wave import WaveBuffer
from protocol import frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Both chips hold this many samples. A drain that finds so many cannot tell what came after them.
FIFO_DEPTH = 32
ERRORS_TO_FAULT = 3
SILENCE_US = 1000000
BACKOFF_FIRST_MS = 500
BACKOFF_MAX_MS = 8000


class Sensor:
    """What the ECG and the PPG have in common.

    `part`, `period_ns` and `lsb` are the driver's; `open_driver()` makes one (it may raise OSError or
    DriverError). `chain` is the signal chain. `node` gets report() for events and wave(sensor, ready) for a
    frame to seal. Counters since boot: `late`, `missed`, `bus_errors`.
    """

    channels = ()
    # A sample is late when it is read this long after it was taken: the FIFO is nearly full by then.
    late_us = 0
    overflow_event = 0
    # Every which turn of the sampling task it is drained; how old a drain may be when something long comes.
    every = 1
    fresh_us = 15000
    # Electrode or finger off, at the last drain.
    off = False
    # True: the gap of an overflow lies behind the samples of the drain that tells of it; False: in front of
    # them.
    gap_after = False
    # Why it may not sample now; "": it may.
    held = ""

    def __init__(self, part, period_ns, lsb, clock, node, open_driver, chain, frame_samples):
        self.part = part
        self.period_ns = period_ns
        self.lsb = lsb
        self.chain = chain
        self.source = 0
        self.driver: "Any" = None
        self.late = 0
        self.missed = 0
        self.bus_errors = 0
        self._clock = clock
        self._node = node
        self.drained = clock.ticks_us()
        self._open = open_driver
        self._blocks = [array("i", bytes(4 * FIFO_DEPTH)) for _ in self.channels]
        self.wave = WaveBuffer(len(self.channels), frame_samples, lambda ready: node.wave(self, ready))
        self.sample_clock = SampleClock(period_ns, clock)
        self._stopped_us = None
        self._errors_in_row = 0
        self._faulty = False
        self._busy = False
        self._retry_ms = 0
        self._backoff_ms = BACKOFF_FIRST_MS
        self._heard = 0
        self._owed = 0
        self._flags_owed = 0
        self._unkept = 0

    # Start and recovery

    def start(self, now_ms):
        """Find, configure and start the chip; on failure poll() tries again with a growing pause. Returns
        whether it runs.
        """
        try:
            driver = self._open()
            driver.check()
            driver.configure()
            driver.start()
        except (OSError, DriverError) as error:
            self._count(error)
            self._fault(error, now_ms)
            return False
        if self._faulty:
            self._node.sensor_recovered(self)
            self._faulty = False
        self.driver = driver
        self._errors_in_row = 0
        self._heard = self._clock.ticks_us()
        return True

    def _count(self, error):
        if not isinstance(error, DriverError) or hasattr(error, "register"):
            self.bus_errors += 1

    def _fault(self, error, now_ms):
        if self.driver is not None:
            self.driver = None
            self.wave.close()
            if self.sample_clock.last is not None:
                self._stopped_us = self._clock.at_us(self.sample_clock.last)
                self.sample_clock.restart()
        if not self._faulty:
            self._backoff_ms = BACKOFF_FIRST_MS
        self._retry_ms = now_ms + self._backoff_ms
        self._backoff_ms = min(self._backoff_ms * 2, BACKOFF_MAX_MS)
        if not self._faulty:
            text = str(error) if isinstance(error, DriverError) else self.part + ": " + str(error)
            self._node.report(frames.EVENT_SENSOR_FAULT, frames.PRIORITY_MEDIUM, None, text)
            self._faulty = True

    def hold(self, reason):
        """Sample nothing for a reason that is told, as of a fault; "": go on."""
        if reason and not self.held:
            if self.driver is not None:
                try:
                    self.driver.stop()
                except DriverError:
                    pass
            self._fault(DriverError(self.part, reason), self._clock.now_ms())
        self.held = reason

    # Sampling

    def poll(self):
        """Take what the FIFO holds: into the wave buffer and through the signal chain.

        Where that leads to something long, which begins with a drain, the sensor is already being polled.
        """
        if not self._busy:
            self._busy = True
            try:
                self._poll()
            finally:
                self._busy = False
            self.drained = self._clock.ticks_us()

    def flush(self):
        """Have the node seal the complete frame. A drain between two of its channels passes by this sensor:
        where it found no room, it would have the same frame sealed again.
        """
        self._busy = True
        try:
            self._node.wave(self, self.wave.ready)
            self.wave.release()
        finally:
            self._busy = False

    def _poll(self):
        if self.driver is None:
            now_ms = self._clock.now_ms()
            if not self.held and now_ms >= self._retry_ms:
                self.start(now_ms)
            return
        begin = self._clock.ticks_us()
        try:
            n = self._drain()  # pyright: ignore[reportAttributeAccessIssue] - each sensor's own
        except DriverError as error:
            self._count(error)
            self._errors_in_row += 1
            if self._errors_in_row >= ERRORS_TO_FAULT:
                self._fault(error, self._clock.now_ms())
            return
        self._errors_in_row = 0
        self._take(n, begin, self._clock.ticks_us())

    def _take(self, n, begin, end):
        lost = self.driver.overflowed
        if n:
            self._heard = end
        elif self._clock.ticks_diff(end, self._heard) > SILENCE_US:
            # Also of one that does nothing but run over.
            self._fault(DriverError(self.part, "no samples"), self._clock.now_ms())
            return
        elif not lost:
            return
        # Until they are in the buffer, whatever goes wrong on the way: the next frame says that they are not.
        self._unkept += n
        if lost and not self.gap_after:
            self._overflow(lost)
        if n == FIFO_DEPTH or (lost and self.gap_after):
            self.sample_clock.skip(n)
        else:
            missing = self.sample_clock.advance(n, begin, end)
            if lost <= 0:
                self._owed += missing
        if n:
            if self._stopped_us is not None:
                self._owed += self._missed_while_stopped(n)
            unkept = self._unkept - n
            owed = self._owed
            if owed or unkept or self._flags_owed:
                self.wave.gap(self._flags_owed, owed + unkept)
                self.missed += owed + unkept
                self._unkept = n
                self._owed = 0
                self._flags_owed = 0
                self.chain.gap(owed)
            self._keep(n, begin)
            self._unkept = 0
        if lost and self.gap_after:
            self._overflow(lost)

    def _missed_while_stopped(self, n):
        apart_us = self._clock.at_us(self.sample_clock.before(n - 1)) - self._stopped_us
        self._stopped_us = None
        return max(apart_us * 1000 // self.period_ns - 1, 0)

    def _overflow(self, lost):
        """The chip ran over: the next samples taken begin a new frame. `lost` is -1 where the chip cannot say
        how many.
        """
        self._flags_owed = frames.WAVE_OVERFLOWED
        if lost > 0:
            self._owed += lost
            self.sample_clock.skip(lost)
        self._node.report(self.overflow_event, frames.PRIORITY_LOW, lost if lost > 0 else None, self.part)

    def _keep(self, n, begin):
        age = self._clock.ticks_diff(begin, self.sample_clock.before(n - 1)) - self.late_us
        late = 0
        if age > 0:
            late = min(n, age // (self.period_ns // 1000) + 1)
            self.late += late
        flags = frames.WAVE_SATURATED if self.driver.saturated else 0
        self._process(n)  # pyright: ignore[reportAttributeAccessIssue]
        if self.off:
            flags |= frames.WAVE_OFF
        self.wave.put(self._blocks, n, self.sample_clock, flags, late)


class EcgSensor(Sensor):
    """One lead of ECG: lead-off as the chip sees it."""

    channels = (frames.CH_ECG,)
    late_us = 100000
    overflow_event = frames.EVENT_ECG_OVERFLOW
    gap_after = True

    def _drain(self):
        return self.driver.drain(self._blocks[0])

    def _process(self, n):
        self.off = self.driver.lead_off
        self.chain.process(self._blocks[0], n, self.off)


class PpgSensor(Sensor):
    """Red and infrared together: whether there is a finger is what the signal chain says."""

    channels = (frames.CH_PPG_RED, frames.CH_PPG_IR)
    late_us = 250000
    # Its FIFO holds 320 ms.
    every = 3
    fresh_us = 150000
    overflow_event = frames.EVENT_PPG_OVERFLOW

    # The driver whose LEDs are as the chain wants them.
    _lit = None

    def start(self, now_ms):
        """As any sensor; the chip comes up with LEDs of its own."""
        self._lit = None
        return Sensor.start(self, now_ms)

    def _drain(self):
        if self._lit is not self.driver:
            self.driver.set_led(self.chain.led)
            self._lit = self.driver
        return self.driver.drain(self._blocks[0], self._blocks[1])

    def _process(self, n):
        chain = self.chain
        chain.process(self._blocks[0], self._blocks[1], n, self.driver.ambient)
        self.off = chain.no_finger
        if chain.led_step():
            self._lit = None
            try:
                self.driver.set_led(chain.led)
                self._lit = self.driver
            except DriverError:
                # These samples are sound; the next drain tries again, and fails if that does.
                pass
