"""The PPG chain: red and infrared samples in; SpO2, pulse rate, perfusion index and quality out."""

from array import array

from firmware.dsp.ecg_kernel import INDEX_MASK
from firmware.dsp.kernels import WORD_SHIFT, ppg_block, ppg_moments
from firmware.dsp.oximetry import agreement, perfusion_x100, ratio_of_ratios, spo2_x10
from firmware.dsp.ppg_kernel import (
    BEAT_MAX,
    BLOCK_MAX,
    CANDIDATES,
    FINGER,
    FINGER_AT,
    FINGER_BELOW,
    FOUND,
    FROM,
    IR_DC,
    IR_IR,
    IR_PP,
    IR_SHIFT,
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

_BEATS = 8  # beats that a reading rests on
_BEATS_MIN = 3
_RATE_WINDOW = 8 * FS_HZ
_SILENCE = 4 * FS_HZ
_LATENCY = 40  # samples from the upstroke until its candidate is known
_SETTLED = LEARN + 6 * FS_HZ
_FULL_SCALE = 262143


class PpgChain:
    """Pulse detection and ratio-of-ratios oximetry of one sensor.

    fs_hz: 100; finger_on, finger_off: infrared counts at and above which a finger is there, and below which
    it is not. Samples are unsigned 18-bit counts in array('i').

    Readings are 0 when there is none: no finger, settling, or quality below QUALITY_FLOOR. `calibrated` is
    False: SpO2 is the textbook line for no particular sensor.
    """

    calibrated = False

    def __init__(self, fs_hz=FS_HZ, finger_on=FINGER_ON, finger_off=FINGER_OFF):
        if fs_hz != FS_HZ:
            raise ValueError("fs_hz must be 100")
        if not 0 < finger_off <= finger_on < _FULL_SCALE:
            raise ValueError("finger_off must not exceed finger_on")
        self._state = array("i", [0] * STATE_SIZE)
        self._state[SHIFT] = WORD_SHIFT
        self._state[FINGER_AT] = finger_on
        self._state[FINGER_BELOW] = finger_off
        self._detector = PulseDetector()
        self._rate = RateWindow(FS_HZ, _RATE_WINDOW, _SILENCE)
        self._ratio = array("i", [0] * _BEATS)  # of the last beats: ratio of ratios, 0 = none
        self._perfusion = array("i", [0] * _BEATS)
        self._score = array("i", [0] * _BEATS)
        self._slot = 0
        self._count = 0
        self._last = 0
        self._whole = False  # the signal has been whole since the last beat
        self._reprime = False
        self._age = 0
        self._checked_red = self._checked_ir = None

    @property
    def index(self):
        """Index of the next sample pair, modulo INDEX_MASK + 1."""
        return self._state[T]

    def process(self, red, ir, n):
        """Take the first `n` <= 64 sample pairs of two array('i')."""
        if not 0 <= n <= BLOCK_MAX or n > len(red) or n > len(ir):
            raise ValueError("a block holds 0 to 64 samples")
        if red is not self._checked_red or ir is not self._checked_ir:  # as in EcgChain.process
            if len(bytes(memoryview(red))) != 4 * len(red) or len(bytes(memoryview(ir))) != 4 * len(ir):
                raise TypeError("samples must be array('i')")
            self._checked_red = red
            self._checked_ir = ir
        state = self._state
        state[FROM] = 0
        if self._reprime and n:
            prime(state, red[0], ir[0])
            self._reprime = False
        while state[FROM] < n:
            finger = state[FINGER]
            begin = state[FROM]
            ppg_block(red, ir, state, n)
            at = state[FROM]
            if finger:
                self._age = min(self._age + at - begin, _SETTLED)
                if state[CANDIDATES]:
                    self._candidate(state[FOUND], state[FOUND + 1])
            elif state[FINGER]:
                prime(state, red[at - 1], ir[at - 1])
                self._restart()

    def _restart(self):
        self._detector.start(self._state[T])
        self._rate.gap()
        self._age = 0
        self._count = self._slot = 0
        for i in range(_BEATS):
            self._score[i] = 0
        self._whole = False

    def gap(self, missed):
        """`missed` pairs were lost before the next block (negative: nobody knows): no interval spans it."""
        self._state[T] = (self._state[T] + max(missed, 0)) & INDEX_MASK
        self._reprime = self._state[FINGER] != 0
        self._rate.gap()
        self._whole = False

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
        red_dc = state[RED_DC] >> 7
        ir_dc = state[IR_DC] >> 7
        agreed = agreement(state[RED_RED], state[IR_IR], state[RED_IR])
        level = self._detector.level
        alike = min(slope, level) * 100 // max(slope, level, 1)
        score = max(0, min(100, (agreed - 60) * 5 // 2)) * (50 + alike // 2) // 100
        self._note(
            ratio_of_ratios(state[RED_IR], state[IR_IR], state[RED_SHIFT], state[IR_SHIFT], red_dc, ir_dc),
            perfusion_x100(state[IR_PP], ir_dc),
            score,
        )

    def _note(self, ratio, perfusion, score):
        self._ratio[self._slot] = ratio
        self._perfusion[self._slot] = perfusion
        self._score[self._slot] = score
        self._slot = (self._slot + 1) % _BEATS
        self._count = min(self._count + 1, _BEATS)

    def _good(self, values):
        """Sorted `values` of the remembered beats that reach the quality floor; empty if fewer than three."""
        slots = [(self._slot - 1 - i) % _BEATS for i in range(self._count)]
        good = [values[i] for i in slots if self._score[i] >= QUALITY_FLOOR and self._ratio[i]]
        return sorted(good) if len(good) >= _BEATS_MIN else []

    @staticmethod
    def _median(ordered):
        return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) // 2

    @property
    def no_finger(self):
        """True while no finger (nothing that reflects) is on the sensor."""
        return self._state[FINGER] == 0

    @property
    def settling(self):
        """True while the first beats after the finger came are awaited, 10 s at most."""
        return not self.no_finger and self._count < _BEATS_MIN and self._age < _SETTLED

    @property
    def quality(self):
        """0-100: how well both colours agree in each of the last 8 beats, how alike these are in height, and
        how little the ratio of ratios jumps from beat to beat: 5 % on average costs nothing, 25 % everything.
        """
        if self.no_finger or self._count < _BEATS_MIN or self._rate.silent(self._now()):
            return 0
        scores = jumps = level = steps = before = 0
        for i in range(self._count):
            slot = (self._slot - 1 - i) % _BEATS
            scores += self._score[slot]
            ratio = self._ratio[slot]
            if ratio and before:
                jumps += abs(ratio - before)
                level += ratio
                steps += 1
            before = ratio or before
        if steps < _BEATS_MIN - 1:
            return 0
        jump = jumps * 100 // level
        return scores // self._count * max(0, min(100, (25 - jump) * 5)) // 100

    def _reading(self, values):
        return self._median(self._good(values)) if self.quality >= QUALITY_FLOOR else 0

    @property
    def spo2_x10(self):
        """SpO2 in 0.1 %, median of the last 8 good beats, uncalibrated; 0 = no reading."""
        ratio = self._reading(self._ratio)
        return spo2_x10(ratio) if ratio else 0

    @property
    def pi_x100(self):
        """Perfusion index in 0.01 %; 0 = no reading."""
        return self._reading(self._perfusion)

    @property
    def pulse_x10(self):
        """Mean pulse rate of the last 8 s in 0.1 a minute; 0 = no reading."""
        return self._rate.rate_x10(self._now()) if self.quality >= QUALITY_FLOOR else 0

    def _now(self):
        return (self._state[T] - _LATENCY) & INDEX_MASK
