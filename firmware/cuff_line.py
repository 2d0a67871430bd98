"""The pressure line of a cuff during one run: read, dated, resampled, sent; and what is done with it: zero,
inflate, hold, bleed, empty. For firmware/bp_run.py and firmware/cuff_check.py, and forgotten with them.

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
NO_CUFF_US = 8000000
NO_CUFF_PA = 1067
SLOW_PA = 333  # a second: less is a leak
SLOW_FROM_PA = 4000
SLOW_US = 3000000
LOST_PA = 2666
STIFF_PA = 2000  # in 100 ms: nothing there that could be filled
RISEN_PA = 1067
UNFED_PA = 267

SEARCH = 160
BACK = 1200
SEARCH_LEAST = 30000
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

    `pa`: mean of the newest block, zero taken; `peak` of all.
    """

    def __init__(self, feature, number):
        self._feature = feature
        self._node = feature.node
        self._clock = feature.node.clock
        self._safety = feature.safety
        self._driver = feature.driver
        self._number = number
        self.listener = None
        self.zero = 0
        self.pa = self.peak = 0
        self.blocks = 0
        self._block = array("i", bytes(4 * BLOCK))
        self._n = 0
        self._wave = array("i", bytes(4 * FRAME))
        self._count = self._late = self._began = 0
        self._last = None
        self._at = self._grid = 0
        if feature.driver is None:
            raise Ended(frames.BP_SENSOR_FAULT)
        now = self._clock.ticks_us()
        self._asked = self._turned = self._heard = self.began = now
        self._ask()

    def _ask(self):
        try:
            self._driver.start()
        except DriverError:
            pass

    def since(self, ticks):
        """Microseconds from then to now."""
        return self._clock.ticks_diff(self._clock.ticks_us(), ticks)

    async def block(self, running=True, to_the_end=False):
        """Wait for another block of samples, 100 ms; Ended when the interlock stops the run, or a hand,
        unless it is `to_the_end`.
        """
        blocks = self.blocks
        while self.blocks == blocks:
            await self._turn(running)
        refusal = 0 if to_the_end else self._feature.stopped()
        if refusal:
            raise Ended(refusal)

    async def turn_over(self):
        """Let others have their turn."""
        await self._feature.sleep_ms(0)

    async def _turn(self, running):
        clock = self._clock
        safety = self._safety
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
        diff = self._clock.ticks_diff
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
                self._grid = self._clock.ticks_add(self._grid, PERIOD_US)
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
        safety = self._safety
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

    async def start(self):
        """Show that the pump has no supply unless it is fed, then arm the interlock; Ended when that refuses,
        or the pump has one.
        """
        for duty in (FULL, FULL, FULL, FULL, 0):
            self._safety.unfed(duty)
            await self.block(False)
            if self.pa > UNFED_PA:
                self._safety.trip(cuff_safety.BROKEN)
                raise Ended(frames.BP_INTERLOCK)
        try:
            self._safety.begin()
        except cuff_safety.Refused:
            raise Ended(frames.BP_INTERLOCK)
        self.began = self._clock.ticks_us()

    async def inflate(self, target, listener):
        """Pump until `target` or until the listener's pulse is gone."""
        safety = self._safety
        safety.valve(FULL)
        duty = FULL
        began = slow = self._clock.ticks_us()
        old = [self.pa] * 10
        i = 0
        while self.pa < target and not (listener and listener.gone and self.pa > LEAST_PA):
            safety.pump(duty)
            last = self.pa
            await self.block()
            if self.pa > last + STIFF_PA:
                raise Ended(frames.BP_NO_CUFF)
            rise = self.pa - old[i]
            old[i] = self.pa
            i = (i + 1) % 10
            if self.pa < max(old) - LOST_PA:
                raise Ended(frames.BP_LEAK)
            if self.pa < NO_CUFF_PA and self.since(began) > NO_CUFF_US:
                raise Ended(frames.BP_NO_CUFF)
            if self.pa < SLOW_FROM_PA or rise > SLOW_PA:
                slow = self._clock.ticks_us()
            if self.since(slow) > SLOW_US or self.since(began) > 45000000:
                raise Ended(frames.BP_LEAK)
            if self.pa > NO_CUFF_PA:
                duty = min(max(duty + (RISE_PA - rise) * PUMP_GAIN, PUMP_LEAST), FULL)
        safety.pump(0)

    async def hold(self, us):
        """Wait without the pump; what was lost meanwhile. Ended when it rises: then the pump has not stopped,
        and the end of the run takes its supply away.
        """
        began = self._clock.ticks_us()
        first = self.pa
        while self.since(began) < us:
            await self.block()
            if self.pa > first + RISEN_PA:
                raise Ended(frames.BP_SENSOR_FAULT)
        return first - self.pa

    async def bleed(self, listener):
        """Deflate along a falling reference until the listener is done or the cuff nearly empty."""
        safety = self._safety
        feature = self._feature
        duty = feature.bleed or FULL
        start = self.pa
        while self.pa > start - FELL_PA:
            duty -= SEARCH
            if duty < SEARCH_LEAST:
                safety.trip(cuff_safety.NOT_DEFLATING)
            safety.valve(max(duty, 0))
            await self.block()
        duty += BACK
        feature.bleed = min(duty + BACK, FULL)
        reference = self.pa * 16
        error = before = 0
        old = [self.pa] * 3
        lowest = self.pa
        fell = self._clock.ticks_us()
        while self.pa > END_PA and not listener.done:
            safety.valve(duty)
            await self.block()
            if self.pa < old.pop(0) - LOST_PA:
                raise Ended(frames.BP_LEAK)
            old.append(self.pa)
            if self.pa < lowest - FELL_PA:
                lowest = self.pa
                fell = self._clock.ticks_us()
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

    async def empty(self):
        """Show that the release alone lets go, then open all and wait until the cuff is empty."""
        safety = self._safety
        # What follows is no measurement: the wave ends, too.
        self.listener = None
        if safety.running and self.pa > 2 * END_PA:
            safety.valve(FULL, 0)
            if await self.hold(RELEASE_US) < self.pa // 8:
                safety.trip(cuff_safety.NOT_DEFLATING)
        if safety.running:
            safety.end()
        began = self._clock.ticks_us()
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
    if fault == cuff_safety.NOT_DEFLATING or fault >= cuff_safety.SILENT:
        return frames.BP_TIMEOUT
    return frames.BP_SENSOR_FAULT
