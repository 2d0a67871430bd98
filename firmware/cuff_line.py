"""The pressure line of a cuff during one run: read, dated, resampled, sent; and what is done with it: zero,
inflate, hold, bleed, empty. For firmware/bp_run.py and firmware/cuff_check.py, and forgotten with them; how a
run starts is firmware/cuff_proof.py.

The pump is the interlock's (firmware/cuff_safety.py): this only asks, beats, and passes on every reading.
Pressure is read as the loop comes round, every 10 ms or, when others hold it up, later; a conversion is dated
by when it was asked for, and the waveform's samples are interpolated between two of them, on a grid of 10 ms.
Inflation is 9 mmHg/s. To deflate, the valve follows a falling reference, 2.5 mmHg a beat and no more than 4
mmHg/s, by a proportional-integral rule that is slow beside the pulse. Pressures in Pa.
"""

from array import array

from drivers.errors import DriverError
from firmware import cuff_safety
from firmware.dsp import kernels
from protocol import frames, waveform

PERIOD_US = 10000
CONVERSION_HALF_US = 2500
BLOCK = 10
FRAME = 200
WAVE_BITS = 18
# Grid samples between conversions further apart are told as late.
APART_US = 25000
# The interlock trips long before; between runs nobody else gives up on a sensor.
SILENCE_US = 1000000
MOST_WAIT_MS = 45000

LEAST_PA = 16000  # 120 mmHg: a pulse that is gone below that is none that was there
ZERO_PA = 800  # 6 mmHg: the error band of the part and some weather
END_PA = 2666

FULL = 65535
PUMP_LEAST = 14000
RISE_PA = 1200  # a second
PUMP_GAIN = 2
SLOW_PA = 333  # a second: less is a leak
SLOW_FROM_PA = 4000
SLOW_US = 3000000
LOST_PA = 2666
STIFF_PA = 2133  # in 200 ms: nothing there that could be filled
RISEN_PA = 1067
# By a pump that turns although its pin is off; only the slowest pulses climb for 0.4 s.
CLIMB_PA = 40  # in 100 ms
CLIMBS = 4
CLIMBED_PA = 533

SEARCH = 160
STRIDE = 450  # where nothing is known and nothing lets go; twice that far from full duty
AGO = 7  # the first of 10 blocks
KNOWN = 15  # blocks
SEARCHES = 44
LETS_GO_PA = 60
BACK = 1200
SEARCH_LEAST = 33000
FELL_PA = 300
FALL_US = 4000000
RATE_PA = 267  # a second, while no beat is known: 3 mmHg a beat at 40 /min
RATE_MOST_PA = 533
BEAT_PA = 333  # 2.5 mmHg
RUN_OFF_PA = 300
TOTAL_US = 140000000
RELEASE_US = 1200000
EMPTY_US = 15000000
FALLING_US = 2000000


class Ended(Exception):
    """The run is over without a result: `refusal` says why."""

    def __init__(self, refusal):
        super().__init__(refusal)
        self.refusal = refusal


class Line:
    """The pressure line during one run: reads, dates, resamples; while there is a `listener`, its
    process(block, n) gets the samples, and frames of them are sealed as they fill (`number`: the measurement;
    0: none are).

    `pa`: mean of the newest block, zero taken; `peak` of all; `swing`: the highest pulse that was felt.
    """

    def __init__(self, feature, number):
        self._feature = feature
        self._node = feature.node
        self.clock = feature.node.clock
        self._driver = feature.driver
        self._number = number
        self.listener = None
        self.safety = feature.safety
        self.zero = 0
        self.pa = self.peak = self.swing = 0
        self._low = self._before = self._first = self._climbs = 0
        self.blocks = 0
        self._block = array("i", bytes(4 * BLOCK))
        self._n = 0
        self._wave = array("i", bytes(4 * FRAME))
        self._count = self._late = self._began = 0
        self._last = None
        self._at = self._grid = 0
        if feature.driver is None:
            raise Ended(frames.BP_SENSOR_FAULT)
        now = self.clock.ticks_us()
        self._asked = self._turned = self._heard = self.began = now
        self._ask()

    def _ask(self):
        try:
            self._driver.start()
        except DriverError:
            pass

    def since(self, ticks):
        """Microseconds from then to now."""
        return self.clock.ticks_diff(self.clock.ticks_us(), ticks)

    async def block(self, running=True, to_the_end=False):
        """Wait for another block of samples, 100 ms; Ended when the interlock stops the run, or a hand,
        unless it is `to_the_end`.
        """
        blocks = self.blocks
        while self.blocks == blocks:
            await self._turn(running)
        if not to_the_end and self._feature.stopped():
            raise Ended(self._feature.stopping)

    async def turn_over(self):
        """Let others have their turn."""
        await self._feature.sleep_ms(0)

    async def _turn(self, running):
        clock = self.clock
        safety = self.safety
        safety.beat()
        left_us = PERIOD_US - self.since(self._turned)
        await self._feature.sleep_ms(left_us // 1000 if left_us > 1000 else 1)
        self._turned = clock.ticks_us()
        if running and not safety.running:
            raise Ended(refusal_of(safety.fault))
        try:
            pa = self._driver.read()
        except DriverError:
            # The next may be good; that none comes is the interlock's to find.
            pa = None
            self._asked = clock.ticks_us()
        if pa is None:
            if self.since(self._heard) > SILENCE_US:
                raise Ended(frames.BP_SENSOR_FAULT)
            return
        asked = self._asked
        self._asked = self._heard = clock.ticks_us()
        if running:
            safety.reading(pa, self._driver.raw, asked)
        else:
            safety.level(pa)
        self._take(pa - self.zero, clock.ticks_add(asked, CONVERSION_HALF_US))

    def _take(self, pa, at):
        diff = self.clock.ticks_diff
        if self._last is None:
            self._grid = at
        else:
            span = diff(at, self._at)
            late = span > APART_US
            while diff(at, self._grid) >= 0 and span > 0:
                self._put(
                    self._last + (pa - self._last) * (diff(self._grid, self._at) >> 6) // ((span >> 6) + 1)
                )
                self._late += late
                self._grid = self.clock.ticks_add(self._grid, PERIOD_US)
        self._last = pa
        self._at = at

    def _put(self, pa):
        self._block[self._n] = pa
        self._n += 1
        if self._number and self.listener is not None:
            if self._count == 0:
                self._began = self._grid
            self._wave[self._count] = pa
            self._count += 1
        if self._n == BLOCK:
            self._n = 0
            self.blocks += 1
            self.pa = sum(self._block) // BLOCK
            self.peak = max(self.peak, self.pa)
            if self.listener is not None:
                self.listener.process(self._block, BLOCK)
        if self._count == FRAME:
            self.flush()

    def flush(self):
        """Seal what there is of the waveform."""
        n, self._count = self._count, 0
        if n == 0:
            return
        node = self._node
        body = {
            frames.WAVE_CHANNEL: frames.CH_CUFF,
            frames.WAVE_COUNT: n,
            frames.WAVE_PERIOD_NS: self._driver.period_ns,
            frames.WAVE_LSB: self._driver.lsb,
            frames.WAVE_CODEC: waveform.CODEC,
            frames.WAVE_DATA: waveform.encode(self._wave, n, WAVE_BITS, kernels.wave_predicted),
            frames.WAVE_MEASUREMENT: self._number,
        }
        if self._late:
            body[frames.WAVE_LATE] = self._late
            self._late = 0
        if self._feature.source:
            body[frames.SOURCE] = self._feature.source
        node.drain()
        node.sealer.seal(frames.KIND_WAVE, body, node.clock.at_us(self._began))

    async def rest(self):
        """Until the interlock allows an inflation; Ended when that is too long."""
        safety = self.safety
        if safety.wait_ms() > MOST_WAIT_MS:
            raise Ended(frames.BP_INTERLOCK)
        began = self._node.clock.now_ms()
        while safety.wait_ms():
            await self.block(False)
            if self._node.clock.now_ms() - began > MOST_WAIT_MS:
                raise Ended(frames.BP_INTERLOCK)

    async def take_zero(self):
        """What the sensor shows with everything open; Ended when that is no zero."""
        for _ in range(4):
            await self.block(False)
        if abs(self.pa) > ZERO_PA:
            raise Ended(frames.BP_SENSOR_FAULT)
        self.zero = self.pa
        self._last = None
        self._n = self._count = self.peak = 0

    async def inflate(self, target, listener):
        """Pump until `target` or until the listener's pulse is gone."""
        safety = self.safety
        duty = FULL // 2
        began = slow = self.clock.ticks_us()
        # As if it had risen before: a surge is heard as a pulse.
        old = [self.pa - RISE_PA * (10 - k) // 10 for k in range(10)]
        i = 0
        while self.pa < target and not (listener and listener.gone and self.pa > LEAST_PA):
            safety.pump(duty)
            before = old[i - 2]
            await self.block()
            if self.pa > before + STIFF_PA:
                raise Ended(frames.BP_NO_CUFF)
            rise = self.pa - old[i]
            old[i] = self.pa
            i = (i + 1) % 10
            if self.pa < max(old) - LOST_PA:
                raise Ended(frames.BP_LEAK)
            if self.pa < SLOW_FROM_PA or rise > SLOW_PA:
                slow = self.clock.ticks_us()
            if self.since(slow) > SLOW_US or self.since(began) > 45000000:
                raise Ended(frames.BP_LEAK)
            duty = min(max(duty + (RISE_PA - rise) * PUMP_GAIN, PUMP_LEAST), FULL)
        safety.pump(0)

    def _still(self):
        """The pump is off, from this block on."""
        self._low = self._before = self._first = self.pa
        self._climbs = 0

    def _climbing(self):
        """Ended when with the pump off the pressure climbs as no pulse does: the pump has not stopped, and
        the end of the run takes its supply away; or when it jumps.
        """
        pa = self.pa
        if pa > self._first + STIFF_PA:
            raise Ended(frames.BP_SENSOR_FAULT)
        if pa > self._before + CLIMB_PA:
            self._climbs += 1
            if self._climbs >= CLIMBS and pa - self._low > max(CLIMBED_PA, 2 * self.swing):
                raise Ended(frames.BP_SENSOR_FAULT)
        else:
            self.swing = max(self.swing, min(self._before - self._low, RISEN_PA // 2))
            self._low = pa
            self._climbs = 0
        self._first = self._before
        self._before = pa

    async def hold(self, us):
        """Wait without the pump; what was lost meanwhile. Ended when it rises."""
        began = self.clock.ticks_us()
        first = self.pa
        self._still()
        while self.since(began) < us:
            await self.block()
            self._climbing()
            if self.pa > first + RISEN_PA:
                raise Ended(frames.BP_SENSOR_FAULT)
        return first - self.pa

    async def bleed(self, listener):
        """Deflate along a falling reference until the listener is done or the cuff nearly empty."""
        safety = self.safety
        feature = self._feature
        duty = feature.bleed or FULL
        start = self.pa
        old = [start] * 10
        tries = 0 if feature.bleed else KNOWN
        strode = False
        least = LETS_GO_PA
        self._still()
        while self.pa > start - FELL_PA:
            # In strides, but with care once the pressure falls at all: under the foot of the last pulse.
            strides = tries >= KNOWN and self.pa > min(old[:AGO]) - least
            if strode and not strides:
                duty += STRIDE
                least += LETS_GO_PA
            strode = strides
            duty -= (STRIDE if tries < KNOWN + SEARCHES // 2 else 2 * STRIDE) if strides else SEARCH
            tries += 1
            if duty < SEARCH_LEAST or tries > KNOWN + SEARCHES:
                safety.trip(cuff_safety.NOT_DEFLATING)
            safety.valve(duty)
            await self.block()
            self._climbing()
            old.pop(0)
            old.append(self.pa)
        duty += BACK
        feature.bleed = min(duty + BACK, FULL)
        reference = self.pa * 16
        error = before = 0
        old = [self.pa] * 3
        lowest = self.pa
        fell = self.clock.ticks_us()
        while self.pa > END_PA and not listener.done:
            safety.valve(duty)
            await self.block()
            if self.pa < old.pop(0) - LOST_PA:
                raise Ended(frames.BP_LEAK)
            old.append(self.pa)
            self._climbing()
            if self.pa < lowest - FELL_PA:
                lowest = self.pa
                fell = self.clock.ticks_us()
            elif self.since(fell) > FALL_US:
                safety.trip(cuff_safety.NOT_DEFLATING)
            if self.since(self.began) > TOTAL_US:
                raise Ended(frames.BP_TIMEOUT)
            period = listener.period_ms
            rate = min(BEAT_PA * 1000 // period, RATE_MOST_PA) if period else RATE_PA
            if self.pa * 16 - reference < RUN_OFF_PA * 16:
                reference -= rate * 16 // 10
            before, error = error, self.pa - reference // 16
            duty -= (error - before) * 2 + error // 16
            duty = min(max(duty, 0), FULL)

    async def falls(self, pa, us):
        """Wait until it is lower by `pa`; a trip when it is not within `us`."""
        began = self.clock.ticks_us()
        end = self.pa - pa
        while self.pa > end:
            if self.since(began) > us:
                self.safety.trip(cuff_safety.NOT_DEFLATING)
            await self.block()

    async def empty(self):
        """Show that the release alone lets go, then open all and wait until the cuff is empty."""
        safety = self.safety
        # What follows is no measurement: the wave ends, too.
        self.listener = None
        if safety.running and self.pa > 2 * END_PA:
            safety.valve(FULL, 0)
            await self.falls(self.pa // 8, RELEASE_US)
        if safety.running:
            safety.end()
        began = self.clock.ticks_us()
        first = self.pa
        while not safety.empty:
            await self.block(False, True)
            us = self.since(began)
            if us > EMPTY_US or (us > FALLING_US and self.pa > first * 3 // 4 and not safety.empty):
                safety.trip(cuff_safety.NOT_DEFLATING)
                break


def refusal_of(fault):
    """How a bp frame calls what the interlock tripped by; 0: it was told to end."""
    if not fault:
        return frames.BP_CANCELLED
    if fault <= cuff_safety.SWITCHED:
        return frames.BP_OVER_PRESSURE
    if fault == cuff_safety.NO_RISE:
        return frames.BP_LEAK
    late = fault == cuff_safety.NOT_DEFLATING or fault >= cuff_safety.SILENT
    return frames.BP_TIMEOUT if late else frames.BP_SENSOR_FAULT
