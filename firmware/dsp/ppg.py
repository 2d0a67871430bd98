"""The PPG chain: red and infrared samples in; SpO2, pulse rate, perfusion index and quality out."""

from array import array

from firmware.dsp.ecg_kernel import INDEX_MASK
from firmware.dsp.kernels import WORD_SHIFT, ppg_block, ppg_curved, ppg_moments, ppg_shape
from firmware.dsp.oximetry import (
    UNIT,
    agreement,
    bent,
    by_height,
    check_table,
    led_wanted,
    perfusion_x100,
    quotient,
    ratio_of_ratios,
    spo2_x10,
    without_noise,
)
from firmware.dsp.ppg_kernel import (
    ALIKE,
    APART,
    BEAT_MAX,
    BLOCK_MAX,
    CANDIDATES,
    CURVED,
    CURVED_N,
    FINGER,
    FINGER_AT,
    FINGER_BELOW,
    FOUND,
    FROM,
    FULL,
    IR_DC,
    IR_IR,
    IR_PP,
    IR_SHIFT,
    NOISE,
    POINTS,
    RED_DC,
    RED_IR,
    RED_RED,
    RED_SHIFT,
    SHIFT,
    STATE_SIZE,
    T,
    prime,
)
from firmware.dsp.pulse import ARTEFACT, BEAT, LEARN, PulseDetector
from firmware.dsp.rate import RateWindow

FS_HZ = 100
QUALITY_FLOOR = 40  # below it there is no reading at all
FINGER_ON = 30000  # counts of 18 bits: infrared with a finger on the sensor
FINGER_OFF = 20000
LED = 36  # register of both LEDs, 0.2 mA a step
LED_CAP = 100  # 20 mA: warmth of the skin, and the battery

_BEATS = 8  # beats that a reading rests on
_BEATS_MIN = 3
_GOOD_SHARE = 5  # of _BEATS
_RATE_WINDOW = 8 * FS_HZ
_SILENCE = 4 * FS_HZ
_LATENCY = 40  # samples from the upstroke until its candidate is known
_SETTLED = LEARN + 6 * FS_HZ
_FULL_SCALE = 262143
_DISTURBED = 3 * FS_HZ  # after full scale or too much light: the filters, and the beat they end in
_LED_PAUSE = 2 * FS_HZ
_LED_BLANK = 6  # samples of a step that may be of either current
_NOISE = 310  # noise behind the filters, half as much again, from the mean third difference (times 256)
_NOISY = 2500  # DC by noise: more is not let off
_NOISE_MAX = 819  # of the power of a beat (in 1/4096) may be noise
_APART = 40  # of it may be what red does not share with infrared, all the quality gone
_APART_FAST = 80  # the same, of the curvature
_REST = 1152  # and in 1/2**20: of what red does not share with infrared in this beat, but did in others
_JUMP = 5  # halves: a beat so much higher than what was usual is not believed at once
_PI_MIN = 5
_PI_MAX = 2000  # 0.01 %


class PpgChain:
    """Pulse detection and ratio-of-ratios oximetry of one sensor.

    fs_hz: 100; finger_on, finger_off: infrared counts at and above which a finger is there, and below which
    it is not. table: the part's calibration, points (R in 1/1000, SpO2 in 0.1 %) as oximetry.spo2_x10 takes
    them; None: the textbook line, and `calibrated` is False. led: register of both LEDs at the start; led_cap
    the highest ever wanted. Samples are unsigned 18-bit counts in array('i').

    Exactly one of four holds: `no_finger`; `settling`; `bad` (a finger, and quality below QUALITY_FLOOR); or
    there are readings. Without readings they are 0.
    """

    def __init__(
        self, fs_hz=FS_HZ, finger_on=FINGER_ON, finger_off=FINGER_OFF, table=None, led=LED, led_cap=LED_CAP
    ):
        if fs_hz != FS_HZ:
            raise ValueError("fs_hz must be 100")
        if not 0 < finger_off <= finger_on < _FULL_SCALE:
            raise ValueError("finger_off must not exceed finger_on")
        if not 4 <= led <= led_cap <= 255:
            raise ValueError("led must not exceed led_cap")
        self.calibrated = table is not None
        self._table = None if table is None else check_table(table)
        self._state = array("i", [0] * STATE_SIZE)
        self._state[SHIFT] = WORD_SHIFT
        self._state[FINGER_AT] = finger_on
        self._state[FINGER_BELOW] = finger_off
        self._detector = PulseDetector()
        self._rate = RateWindow(FS_HZ, _RATE_WINDOW, _SILENCE)
        self._ratio = array("i", [0] * _BEATS)  # of the last beats: ratio of ratios, 0 = none
        self._perfusion = array("i", [0] * _BEATS)
        self._score = array("i", [0] * _BEATS)
        self._usual_pi = 0  # in 1/1600 %
        self._slot = 0
        self._count = 0
        self._last = 0
        self._whole = False  # the signal has been whole since the last beat
        self._reprime = False
        self._age = 0
        self._quality = -1  # not looked at since the last sample
        self._beats_quality = 0
        self._beats_ratio = self._beats_pi = 0
        self._full = 0
        self._saturated = self._ambient = 0  # samples until it is over
        self.led = self._led_usual = led
        self._led_cap = led_cap
        self._led_age = 0
        self._blank = 0
        self._checked_red = self._checked_ir = None

    @property
    def index(self):
        """Index of the next sample pair, modulo INDEX_MASK + 1."""
        return self._state[T]

    def process(self, red, ir, n, ambient=False):
        """Take the first `n` <= 64 sample pairs of two array('i'). `ambient`: there was more light among them
        than the sensor can subtract.
        """
        if not 0 <= n <= BLOCK_MAX or n > len(red) or n > len(ir):
            raise ValueError("a block holds 0 to 64 samples")
        if red is not self._checked_red or ir is not self._checked_ir:  # as in EcgChain.process
            if len(bytes(memoryview(red))) != 4 * len(red) or len(bytes(memoryview(ir))) != 4 * len(ir):
                raise TypeError("samples must be array('i')")
            self._checked_red = red
            self._checked_ir = ir
        state = self._state
        self._quality = -1
        at = min(self._blank, n)
        self._blank -= at
        state[T] = (state[T] + at) & INDEX_MASK
        state[FROM] = at
        if self._reprime and at < n:
            self._prime(red[at], ir[at])
            self._reprime = False
        self._led_age = min(self._led_age + n, _LED_PAUSE)
        self._saturated = max(0, self._saturated - n)
        self._ambient = _DISTURBED if ambient else max(0, self._ambient - n)
        while state[FROM] < n:
            finger = state[FINGER]
            begin = state[FROM]
            ppg_block(red, ir, state, n)
            at = state[FROM]
            if finger:
                self._age = min(self._age + at - begin, _SETTLED)
                if state[FULL] != self._full:
                    self._full = state[FULL]
                    self._saturated = _DISTURBED
                if state[CANDIDATES]:
                    self._candidate(state[FOUND], state[FOUND + 1])
            elif state[FINGER]:
                self._prime(red[at - 1], ir[at - 1])
                self._restart()

    def _prime(self, red, ir):
        prime(self._state, red, ir)
        self._full = 0

    def _restart(self):
        self._detector.start(self._state[T])
        self._rate.gap()
        self._age = 0
        self._count = self._slot = self._usual_pi = self._beats_quality = 0
        self._led_age = 0
        self._whole = False

    def gap(self, missed):
        """`missed` pairs were lost before the next block (negative: nobody knows): no interval spans it."""
        self._state[T] = (self._state[T] + max(missed, 0)) & INDEX_MASK
        self._reprime = self._state[FINGER] != 0
        self._quality = -1
        self._rate.gap()
        self._whole = False

    def led_step(self):
        """By how much the driver should change the LED register now; 0: not at all.

        The change counts as made: a few samples are passed over, and everything is learnt anew (`settling`).
        """
        state = self._state
        if state[FINGER] == 0:
            wanted = self._led_usual
        elif self._led_age < _LED_PAUSE:
            return 0
        else:
            # sums of 128 samples of 1/5 count
            red = (state[RED_DC] >> 7) // 5
            wanted = led_wanted(
                self.led, self._led_usual, self._led_cap, red, (state[IR_DC] >> 7) // 5, self._saturated
            )
        step = wanted - self.led
        if step:
            self.led = wanted
            self._quality = -1
            self._blank = _LED_BLANK
            self._saturated = 0
            if state[FINGER]:
                self._reprime = True
                self._restart()
        return step

    def _candidate(self, at, slope):
        verdict = self._detector.candidate(at, slope)
        if verdict == ARTEFACT:
            self._whole = False
            self._rate.gap()
            self._note(0, 0, 0)
        elif verdict == BEAT:
            interval = self._rate.add(at)
            if self._whole and 0 < interval <= BEAT_MAX:
                self._measure(interval, slope)
            self._whole = True
            self._last = at

    def _measure(self, interval, slope):
        """Measure the beat between the previous upstroke and this one."""
        state = self._state
        ppg_moments(state, self._last, interval)
        points = min(POINTS, interval // APART)
        ppg_shape(state, self._last, points)
        red_dc = state[RED_DC] >> 7
        ir_dc = state[IR_DC] >> 7
        red_noise = min(state[NOISE] // _NOISE, red_dc // _NOISY) + 1
        ir_noise = min(state[NOISE + 1] // _NOISE, ir_dc // _NOISY) + 1
        score = self._together(22, red_noise, ir_noise, _APART)
        score = min(score, self._together(6, red_noise, ir_noise, _APART_FAST))
        alike = agreement(state[ALIKE], state[ALIKE + 1], state[ALIKE + 2]) * 100 >> 12
        score = min(score, alike * 3 - 80)
        ratio = ratio_of_ratios(state[RED_IR], state[IR_IR], state[RED_SHIFT], state[IR_SHIFT], red_dc, ir_dc)
        apart = UNIT - agreement(state[RED_RED], state[IR_IR], state[RED_IR])
        ratio = without_noise(ratio, min(apart, _NOISE_MAX))
        last, before = self._ratio[(self._slot - 1) % _BEATS], self._ratio[(self._slot - 2) % _BEATS]
        bend = bent(ratio, last, before) if self._count > 1 else 0
        r = min(red_noise * 4000 // (state[ALIKE + 5] + 1), 900)
        i = min(ir_noise * 4000 // (state[ALIKE + 6] + 1), 900)
        red_power = (state[ALIKE + 3] >> 8) + 1
        # six times its power in a second difference, a third more against what follows by half, and some
        noise = quotient(points * 10 * (r * r + i * i) >> 4, red_power)
        rest = max(0, quotient(state[ALIKE + 4], red_power) - noise) + max(0, bend - 2 * noise)
        pi = perfusion_x100(state[IR_PP], ir_dc)
        score = min(score, 100 - by_height(rest, pi) * 100 // _REST)
        if self._is_sudden(pi) or pi < _PI_MIN:
            score = 0
        level = self._detector.level
        score = max(0, min(100, score)) * (50 + min(slope, level) * 50 // max(slope, level, 1)) // 100
        self._note(ratio, pi, score)

    def _together(self, lag, red_noise, ir_noise, apart_max):
        """0-100 of what bends over `lag`: how little red does not share with infrared, noise let off."""
        state = self._state
        ppg_curved(state, lag)
        rr, ii = state[CURVED], state[CURVED + 1]
        r = red_noise >> state[CURVED + 3]
        i = ir_noise >> state[CURVED + 4]
        # the power of a second difference of noise is six times its own
        noise = quotient(6 * CURVED_N * r * r, rr) + quotient(6 * CURVED_N * i * i, ii)
        if lag > 20:
            noise = min(noise, _NOISE_MAX)
        apart = UNIT - agreement(rr, ii, state[CURVED + 2]) - noise
        return max(0, 100 - max(0, apart) * 100 // apart_max)

    def _is_sudden(self, pi):
        """Whether a beat is much higher than beats were: what moves may be the finger. What is usual follows
        upwards by 3 % a beat, downwards at once.
        """
        usual = self._usual_pi
        pi <<= 4
        if usual == 0:
            self._usual_pi = pi
            return False
        self._usual_pi = min(usual + (usual >> 5) + 1, pi) if pi > usual else usual - (usual - pi >> 3)
        return pi * 2 > usual * _JUMP or pi > _PI_MAX << 4

    def _note(self, ratio, perfusion, score):
        if self._saturated or self._ambient:
            score = 0
        self._ratio[self._slot] = ratio
        self._perfusion[self._slot] = perfusion
        self._score[self._slot] = score
        self._slot = (self._slot + 1) % _BEATS
        self._count = min(self._count + 1, _BEATS)
        self._judge()

    def _judge(self):
        """What the last beats say together. Quality: their mean score, and how little the ratio of ratios
        jumps from beat to beat: 5 % on average costs nothing, 25 % everything.
        """
        good = []
        scores = jumps = level = before = 0
        for i in range(self._count):
            slot = (self._slot - 1 - i) % _BEATS
            scores += self._score[slot]
            ratio = self._ratio[slot]
            if ratio and before:
                jumps += abs(ratio - before)
                level += ratio
            before = ratio or before
            if ratio and self._score[slot] >= QUALITY_FLOOR:
                good.append(slot)
        self._beats_quality = 0
        if level and len(good) * _BEATS >= max(self._count, _BEATS_MIN) * _GOOD_SHARE:
            self._beats_quality = (
                scores // self._count * max(0, min(100, (25 - jumps * 100 // level) * 5)) // 100
            )
            self._beats_ratio = self._median(self._ratio, good)
            self._beats_pi = self._median(self._perfusion, good)

    @staticmethod
    def _median(values, slots):
        ordered = sorted([values[slot] for slot in slots])
        return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) // 2

    @property
    def no_finger(self):
        """True while no finger (nothing that reflects) is on the sensor."""
        return self._state[FINGER] == 0

    @property
    def settling(self):
        """True while the first beats after the finger came, or after a step of the LEDs, are awaited, 10 s at
        most.
        """
        return not self.no_finger and self._count < _BEATS_MIN and self._age < _SETTLED

    @property
    def bad(self):
        """True while a finger is there, nothing settles, and the quality is below the floor."""
        return not self.no_finger and not self.settling and self.quality < QUALITY_FLOOR

    @property
    def since_pulse_ms(self):
        """Time since the newest upstroke, at most 60000; -1 where none is known."""
        since = self._rate.since(self._state[T])
        return min(since, 6000) * 10 if since >= 0 else -1

    @property
    def saturated(self):
        """True for 3 s after a sample at full scale."""
        return self._saturated > 0

    @property
    def ambient(self):
        """True for 3 s after there was more light than the sensor can subtract."""
        return self._ambient > 0

    @property
    def quality(self):
        """0-100, of the last 8 beats: how far both colours agree, slow and fast parts each, how alike the
        beats are in shape and height, how little the ratio of ratios jumps. 0 while nothing can be told.
        """
        if self._quality < 0:  # asked for once by each reading
            none = self.no_finger or self._count < _BEATS_MIN or self._saturated or self._ambient
            self._quality = 0 if none or self._rate.silent(self._now()) else self._beats_quality
        return self._quality

    def _reading(self, value):
        return value if self.quality >= QUALITY_FLOOR else 0

    @property
    def spo2_x10(self):
        """SpO2 in 0.1 %, median of the last 8 good beats; 0 = no reading."""
        ratio = self._reading(self._beats_ratio)
        return spo2_x10(ratio, self._table) if ratio else 0

    @property
    def pi_x100(self):
        """Perfusion index in 0.01 %; 0 = no reading."""
        return self._reading(self._beats_pi)

    @property
    def pulse_x10(self):
        """Mean pulse rate of the last 8 s in 0.1 a minute; 0 = no reading."""
        return self._reading(self._rate.rate_x10(self._now()))

    def _now(self):
        return (self._state[T] - _LATENCY) & INDEX_MASK
