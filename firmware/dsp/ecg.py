"""The ECG chain: raw samples in, display signal, beats, heart rate and quality out."""

from array import array

from firmware.dsp.ecg_kernel import (
    BLOCK_MAX,
    CANDIDATES,
    FOUND,
    INDEX_MASK,
    NOTCH,
    SHIFT,
    STATE_SIZE,
    T,
    prime,
)
from firmware.dsp.kernels import WORD_SHIFT, ecg_block
from firmware.dsp.qrs import LEARN, QrsDetector
from firmware.dsp.rate import RateWindow

FS_HZ = 250
QUALITY_FLOOR = 15  # below it there is no heart rate
BEATS_KEPT = 32
LATENCY = 120  # samples from an R peak until its beat is known, unless search-back finds it

_RATE_WINDOW = 8 * FS_HZ
_SILENCE = 5 * FS_HZ
_SETTLED = LEARN + LATENCY
_FLOOR_NV = 34800000  # energy of a QRS of 0.1 mV, times the LSB in nV

# b0 (= b2), b1, -a1, -a2 in 1/8192; zeros on the unit circle at the mains frequency, poles at 0.95 of it
_NOTCHES = {50: (7797, -4819, 4810, -7393), 60: (7793, -978, 977, -7393)}


class EcgChain:
    """Filters, QRS detector and heart rate of one ECG lead.

    fs_hz: 250; mains_hz: 50 or 60; lsb_nv: nanovolts an input step. Samples are signed 16-bit values in
    array('i').

    After `process`: `filtered[:n]` is the display signal (0.5-40 Hz, same LSB, zeros while a lead is off),
    `index` the number of samples so far, `lead_off` as passed in. `beats[:n_beats]` are the sample indices of
    the R (or S) peaks found since `take_beats`, the oldest dropped beyond BEATS_KEPT. Indices count the
    samples passed in and skipped, from 0, modulo INDEX_MASK + 1.
    """

    def __init__(self, fs_hz=FS_HZ, mains_hz=50, lsb_nv=3052):
        if fs_hz != FS_HZ:
            raise ValueError("fs_hz must be 250")
        if mains_hz not in _NOTCHES:
            raise ValueError("mains_hz must be 50 or 60")
        if not 0 < lsb_nv <= 1000000:
            raise ValueError("lsb_nv must be 1 to 1000000")
        self.filtered = array("i", [0] * BLOCK_MAX)
        self.beats = array("i", [0] * BEATS_KEPT)
        self.n_beats = 0
        self.lead_off = False
        self._rr = array("i", [0] * BEATS_KEPT)
        self._state = array("i", [0] * STATE_SIZE)
        self._state[SHIFT] = WORD_SHIFT
        for i, c in enumerate(_NOTCHES[mains_hz]):
            self._state[NOTCH + i] = c
        self._detector = QrsDetector(_FLOOR_NV // lsb_nv)
        self._rate = RateWindow(FS_HZ, _RATE_WINDOW, _SILENCE)
        self._checked = None
        self._reprime = True
        self._restart = True
        self._age = 0

    @property
    def index(self):
        """Index of the next sample."""
        return self._state[T]

    def process(self, samples, n, lead_off=False):
        """Take the first `n` <= 64 samples of an array('i').

        While `lead_off` the samples only pass; when it ends everything is learnt anew.
        """
        if not 0 <= n <= BLOCK_MAX or n > len(samples):
            raise ValueError("a block holds 0 to 64 samples")
        if samples is not self._checked:
            # the native loop reads raw words: an array of another type would be misread silently
            if len(bytes(memoryview(samples))) != 4 * len(samples):
                raise TypeError("samples must be array('i')")
            self._checked = samples
        if n == 0:
            return
        state = self._state
        self.lead_off = lead_off
        if lead_off:
            self._reprime = self._restart = True
            state[T] = (state[T] + n) & INDEX_MASK
            for i in range(n):
                self.filtered[i] = 0
            return
        if self._reprime:
            prime(state, samples[0])
            self._reprime = False
        if self._restart:
            self._detector.start(state[T])
            self._rate.gap()
            self._age = 0
            self._restart = False
        ecg_block(samples, state, self.filtered, n)
        self._age = min(self._age + n, _SETTLED)
        i = FOUND
        for _ in range(state[CANDIDATES]):
            found = self._detector.candidate(state[i], state[i + 1], state[i + 2])
            for k in range(found):
                self._beat(self._detector.found[k])
            i += 3

    def gap(self, missed):
        """`missed` samples were lost before the next block (negative: nobody knows): no RR spans it."""
        self._state[T] = (self._state[T] + max(missed, 0)) & INDEX_MASK
        self._reprime = True
        self._rate.gap()

    def _beat(self, at):
        if self.n_beats == BEATS_KEPT:
            for i in range(BEATS_KEPT - 1):
                self.beats[i] = self.beats[i + 1]
                self._rr[i] = self._rr[i + 1]
            self.n_beats -= 1
        self.beats[self.n_beats] = at
        self._rr[self.n_beats] = self._rate.add(at)
        self.n_beats += 1

    @property
    def rr_ms(self):
        """RR intervals in ms that ended since `take_beats`, as a new list; none spans a gap."""
        return [self._rr[i] * (1000 // FS_HZ) for i in range(self.n_beats) if self._rr[i]]

    def take_beats(self):
        """The indices of the beats since the last call, as a new list; forgets them and their intervals."""
        taken = [self.beats[i] for i in range(self.n_beats)]
        self.n_beats = 0
        return taken

    @property
    def settling(self):
        """True while a lead is off and for 3 to 3.5 s after it came back: the detector is learning."""
        return self.lead_off or self._restart or (self._age < _SETTLED and self._detector.learning)

    @property
    def quality(self):
        """0-100: how far QRS complexes stand out, and how alike they are; 0 without any."""
        if self.lead_off or self._restart or self._rate.silent(self._now()):
            return 0
        return self._detector.quality()

    @property
    def hr_x10(self):
        """Mean heart rate of the last 8 s in 0.1 a minute, every beat counted; 0 = no reading."""
        if self.quality < QUALITY_FLOOR:
            return 0
        return self._rate.rate_x10(self._now())

    def _now(self):
        return (self._state[T] - LATENCY) & INDEX_MASK
