"""The ECG chain: raw samples in, display signal, beats, heart rate and quality out."""

from array import array

from firmware.dsp.ecg_kernel import (
    BLOCK_MAX,
    CANDIDATES,
    FOUND,
    INDEX_MASK,
    NOTCH,
    RING_BAND,
    RING_SHARP,
    SHIFT,
    SPIKE,
    SPIKED,
    STATE_SIZE,
    T,
    prime,
)
from firmware.dsp.kernels import WORD_SHIFT, ecg_block
from firmware.dsp.mains import MainsWatch
from firmware.dsp.qrs import LEARN, QrsDetector
from firmware.dsp.rate import RateWindow
from firmware.dsp.rhythm import Fibrillation, Irregularity

FS_HZ = 250
QUALITY_FLOOR = 15  # below it there is no heart rate
BEATS_KEPT = 32
LATENCY = 120  # samples from an R peak until its beat is known, unless search-back finds it

_RATE_WINDOW = 8 * FS_HZ
_SILENCE = 4 * FS_HZ
_CAP = 60 * FS_HZ
_GAP = FS_HZ // 4  # so much can be missing and no beat in it
_SETTLED = LEARN + LATENCY
_FLOOR_NV = 52000000  # worth of a QRS of 0.2 mV that lasts 60 ms, the least of 0.3 mV; times the LSB in nV
_SPIKE_NV = 5000000  # twice 2.5 mV above the chord: a QRS of 5 mV and 40 ms stays below
_FIBRILLATION_NV = 100000  # greatest height: below 0.2 mV peak to peak it is called asystole

VF_LIKE = 1  # of `cannot_analyse`
SATURATED = 2
NOISE = 3
_BAD_PERIODS = 4  # of quality below the floor
_WEAK_PERIODS = 300
_SPIKED = 110  # samples in a period in whose place another was held: eight spikes, more than pacing makes
_RECOVERY = 6  # points of quality a period
_SPREAD = 25  # so many points of quality at most do irregular intervals cost
_JUMP_NV = 1000000
_PAUSE = 2 * FS_HZ
_EVERY = 8  # samples between two that are looked at for noise, a power of two
_LOOKS = 32  # of them, about a second, make a mean

# b0 (= b2), b1, -a1, -a2 in 1/8192; zeros on the unit circle at the mains frequency, poles at 0.95 of it
_NOTCHES = {50: (7797, -4819, 4810, -7393), 60: (7793, -978, 977, -7393)}


class EcgChain:
    """Filters, QRS detector and heart rate of one ECG lead.

    fs_hz: 250; mains_hz: 50 or 60, until the signal tells; lsb_nv: nanovolts an input step; full_scale:
    greatest sample that the converter gives. Samples are signed 16-bit values in array('i').

    After `process`: `filtered[:n]` is the display signal (0.5-40 Hz, same LSB, zeros while a lead is off),
    `index` the number of samples so far, `lead_off` as passed in. `beats[:n_beats]` are the sample indices of
    the R (or S) peaks found since `take_beats`, the oldest dropped beyond BEATS_KEPT. Indices count the
    samples passed in and skipped, from 0, modulo INDEX_MASK + 1.
    """

    def __init__(self, fs_hz=FS_HZ, mains_hz=50, lsb_nv=3052, full_scale=16383):
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
        self._state[SPIKE] = _SPIKE_NV // lsb_nv
        self._mains = MainsWatch(mains_hz, lsb_nv)
        self._notch()
        self._floor = _FLOOR_NV // lsb_nv
        self._jump = _JUMP_NV // lsb_nv
        self._detector = QrsDetector(self._floor)
        self._rate = RateWindow(FS_HZ, _RATE_WINDOW, _SILENCE)
        self._irregularity = Irregularity()
        self._fibrillation = Fibrillation(full_scale, _FIBRILLATION_NV // lsb_nv)
        # Greatest energy of a candidate in this period, the last and the one before.
        self._strongest = array("i", [0] * 3)
        self._level = self._weak = 0
        self._forget()
        self._checked = None
        self._reprime = True
        self._restart = True
        self._age = 0

    def _forget(self):
        """What was seen is too old to say anything of now."""
        self._quiet = 0  # samples since the last beat, or since now
        self._beat_known = False
        self._bad = 0
        self._noisy = False
        self._saturated = False
        self._spiky = 0
        self._jumped = False
        self._trust = 100
        self._moved = self._sharp = self._looked = self._mean = self._recent = 0
        self._mains.start()
        self._fibrillation.start()
        self._irregularity.forget()
        for i in range(3):
            self._strongest[i] = 0

    def _notch(self):
        for i, c in enumerate(_NOTCHES[self._mains.hz]):
            self._state[NOTCH + i] = c

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
            self._level = self._weak = 0
            self._forget()
            self._age = 0
            self._restart = False
        ecg_block(samples, state, self.filtered, n)
        self._look(state[T], n)
        self._age = min(self._age + n, _SETTLED)
        self._quiet = min(self._quiet + n, _CAP)
        if self._mains.take(samples, n):
            self._notch()
        if self._fibrillation.take(samples, self.filtered, n):
            self._period()
        i = FOUND
        for _ in range(state[CANDIDATES]):
            self._strongest[0] = max(self._strongest[0], state[i + 1])
            found = self._detector.candidate(state[i], state[i + 1], state[i + 2])
            for k in range(found):
                self._beat(self._detector.found[k])
            i += 3

    def gap(self, missed):
        """`missed` samples were lost before the next block (negative: nobody knows): no RR spans it."""
        self._state[T] = (self._state[T] + max(missed, 0)) & INDEX_MASK
        self._reprime = True
        self._rate.gap()
        if 0 <= missed <= _GAP:
            self._quiet = min(self._quiet + missed, _CAP)
            self._irregularity.forget()
        else:
            self._forget()

    def _look(self, end, n):
        """Take the steepness of the band signal at every eighth of the `n` samples before the index `end`."""
        state = self._state
        for j in range((end - n + _EVERY - 1) & -_EVERY, end, _EVERY):
            d = state[RING_BAND + (j & 127)] - state[RING_BAND + ((j - 3) & 127)]
            self._moved += (d if d > 0 else -d) >> 4
            self._sharp += state[RING_SHARP + (j & 63)]
            self._looked += 1
            if self._looked == _LOOKS:
                # A candidate's worth is the sum of 30 of these.
                self._recent = min(self._moved, 6 * self._sharp + (self._moved >> 2)) // _LOOKS * 30
                self._mean = (self._mean * 2 + self._recent) // 3 if self._mean else self._recent
                self._moved = self._sharp = self._looked = 0

    def _period(self):
        """About a second has passed: what quality and noise are like."""
        full = self._fibrillation.full * 2 > FS_HZ
        if self._saturated and not full:
            self._reprime = self._restart = True  # it came back with a jump, which is no beat
        self._saturated = full
        self._spiky = max(self._spiky - 1, 0)
        if self._state[SPIKED] > _SPIKED:
            self._spiky = _BAD_PERIODS
        self._state[SPIKED] = 0
        if self._quiet < _PAUSE and self._fibrillation.shifted() > self._jump:
            self._jumped = True
        standing = self._standing_out()
        self._trust = 100 if self.settling else min(standing, self._trust + _RECOVERY)
        level = self._detector.qrs_level
        if self._weak and level < self._level >> 2:
            self._weak -= 1
        else:
            self._weak = 0
            # What noise was taken for is no beat's height.
            if self._quiet < _PAUSE and not self._bad:
                self._level = level
        strongest = self._strongest
        strongest[2] = strongest[1]
        strongest[1] = strongest[0]
        strongest[0] = 0
        if self._quiet < _SILENCE and standing < QUALITY_FLOOR and not self.settling:
            self._bad = min(self._bad + 1, _BAD_PERIODS)
        else:
            self._bad = max(self._bad - 2, 0)
        if self._bad == _BAD_PERIODS:
            self._noisy = True
        elif self._bad == 0:
            self._noisy = False

    def _standing_out(self):
        """The detector's quality, less what the band signal moves beyond what so many beats a minute do.

        The mean energy by that of a QRS is 0.17 at 60 narrow beats a minute, 0.51 at 180 wide ones, and in
        noise 0.5 to 0.9, whatever is taken for beats in it.
        """
        level = self._detector.qrs_level >> 8
        if level == 0:
            return 0
        rate = self._rate.rate_x10(self._now()) or 1000
        # Below 40 a minute the mean goes up and down with each beat, and the level is long in coming.
        usual = 80 + rate * 6 // 25 + max(0, 400 - rate) * 2
        beyond = max(0, min(270, (self._mean >> 8) * 1000 // level - usual))
        return self._detector.quality() * (270 - beyond) // 270

    def _beat(self, at):
        if self._quiet >= _PAUSE:
            self._weak = _WEAK_PERIODS
        self._quiet = min((self._state[T] - at) & INDEX_MASK, _CAP)
        self._beat_known = True
        self._jumped = False
        if self.n_beats == BEATS_KEPT:
            for i in range(BEATS_KEPT - 1):
                self.beats[i] = self.beats[i + 1]
                self._rr[i] = self._rr[i + 1]
            self.n_beats -= 1
        self.beats[self.n_beats] = at
        interval = self._rate.add(at)
        self._rr[self.n_beats] = interval
        # Intervals between doubtful beats are random, too.
        self._irregularity.add(0 if self.cannot_analyse else interval)
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
    def since_beat_ms(self):
        """Time since the newest beat's R peak, at most 60000; -1 if there is none since the lead came on."""
        if self.lead_off or not self._beat_known:
            return -1
        return self._quiet * (1000 // FS_HZ)

    @property
    def cannot_analyse(self):
        """0, or why nothing can be said of the rhythm.

        VF_LIKE: one wave after another, no QRS can be told; SATURATED: half of the last second at full scale;
        NOISE: quality below the floor for 4 s, or no beat for 4 s, but something as strong as one, or for two
        more, if the line jumped as they ended; or more spikes than a pacemaker makes.
        """
        if self.lead_off or self._restart:
            return 0
        if self._saturated:
            return SATURATED
        if self._fibrillation.likely:
            return VF_LIKE
        if self._quiet >= _SILENCE + LATENCY:
            least = max(self._floor, min(self._level >> 2, self._floor * 2))
            noisy = self._spiky or max(self._strongest) > least or self._recent * 4 > self._floor * 3
            # The line jumped as the beats ended: perhaps a contact that failed. No longer doubt than that.
            noisy = noisy or (self._jumped and self._quiet < _SILENCE + LATENCY + _PAUSE)
            return NOISE if noisy and not self.settling else 0
        return NOISE if self._noisy or self._spiky or self._is_weak() else 0

    def _is_weak(self):
        """What came after a pause is less than a quarter of the QRS complexes before it: P waves, perhaps."""
        return self._weak > 0 and self._detector.qrs_level < self._level >> 2

    @property
    def asystole(self):
        """True when there has been no QRS for 4 s, nor anything that could be one; until the next beat.

        Told 4.5 s after the last R peak: a beat in the fourth second would be known by then. 6.5 s where the
        line jumped as the beats ended.
        """
        return (
            self._quiet >= _SILENCE + LATENCY
            and not self.lead_off
            and not self._restart
            and self.cannot_analyse == 0
        )

    @property
    def irregular(self):
        """True when the intervals have been random for 20 s and 32 beats (rhythm.Irregularity)."""
        return (
            self._irregularity.irregular and not self._rate.silent(self._now()) and self.cannot_analyse == 0
        )

    @property
    def mains_hz(self):
        """50 or 60: what the notch is set to, as configured until the signal shows the other."""
        return self._mains.hz

    @property
    def quality(self):
        """0-100: how far QRS complexes stand out, and how alike they and their intervals are; falls at once,
        rises by 6 a second. 0 without any, and while nothing can be analysed.
        """
        if self.lead_off or self._restart or self._rate.silent(self._now()) or self.cannot_analyse:
            return 0
        standing = min(self._standing_out(), self._trust)
        return max(0, standing - min(_SPREAD, self._rate.spread * 3 // 2))

    @property
    def hr_x10(self):
        """Mean heart rate of the last 8 s in 0.1 a minute, every beat counted; 0 = no reading."""
        if self.quality < QUALITY_FLOOR:
            return 0
        return self._rate.rate_x10(self._now())

    def _now(self):
        return (self._state[T] - LATENCY) & INDEX_MASK
