"""Which candidates of the ECG kernel are heart beats: adaptive levels, refractory time, T waves, search-back.

Theory of operation (after Pan & Tompkins 1985 and Hamilton & Tompkins 1986, with medians and without tuning
to single recordings):

- The first LEARN samples only collect candidates: the middle one of the three greatest energies of each third
  sets the QRS level; then those candidates are judged like all later ones, so the first beats come late but
  are not lost.
- A candidate is a beat when its energy exceeds noise + 3/8 (QRS - noise), the medians of the last eight of
  each kind; unless it follows a beat within 360 ms with less than half its slope (a T wave).
- In noise (its level above a fifth of the QRS level) the threshold of what comes before 7/8 of the mean RR
  interval is raised: by seven times that excess right after a beat, then less and less.
- Search-back: when more than 1.5 mean RR intervals have passed, the greatest candidate since the last beat
  (but at least 360 ms after it) is accepted if it exceeds half the threshold, and those after it are judged
  again.
- When 2.5 mean intervals (at least 2 s) pass without a beat the threshold falls by a quarter each second,
  never below twice the noise; a beat found that way makes the fall permanent only if the old threshold would
  have missed it. After 5 s the levels are learnt anew from the last candidates.
- Eight refused ones that are like beats, with nothing between that is half as high and unlike, are beats:
  after noise its level stands just below theirs, and half of a fast, clean rhythm would keep it there. Eight
  beats that are alike, with nothing between them, take old noise away, too: nothing else would.
- An energy above eight times the QRS level is an artefact, unless it keeps coming: then the amplitude has
  changed; or unless it is at most twice what beats were before 5 s without any.

The refractory time is the kernel's: candidates are never closer than 240 ms.
"""

from array import array

from firmware.dsp.ecg_kernel import INDEX_MASK

LEARN = 750  # samples: 3 s
_T_WAVE = 90  # 360 ms
_PENDING = 16  # candidates since the last beat: more than 3 s of them
_LEVELS = 8
_RR_START = 250
_RR_MAX = 500  # an interval counts as at most 2 s in the mean
_PAUSE_MIN = 500
_LOST = 1250  # 5 s
_LONG = 1 << 20  # times are not told apart beyond it: their multiples stay small integers
_ARTEFACT = 8  # times the QRS level
_ALIKE = 8
_NEW_LEVEL = 5  # an artefact counts 2, a beat -1: three in a row, or every other one, are a new level
_BEATS_A_CALL = _PENDING + 1


def _median(values, ordered):
    """The fifth smallest of eight; `ordered` becomes the sorted values."""
    for i in range(_LEVELS):
        v = values[i]
        j = i
        while j and ordered[j - 1] > v:
            ordered[j] = ordered[j - 1]
            j -= 1
        ordered[j] = v
    return ordered[_LEVELS // 2]


class QrsDetector:
    """Judge candidates in their order: `start(at)`, then `candidate(...)` for each.

    floor: least energy of a QRS, positive. After each `candidate` call `found[:n]` holds the sample indices
    of the beats that this call accepted, oldest first. All indices are modulo INDEX_MASK + 1.
    """

    def __init__(self, floor):
        self._floor = floor
        self.found = array("i", [0] * _BEATS_A_CALL)
        self._at = array("i", [0] * _PENDING)
        self._energy = array("i", [0] * _PENDING)
        self._slope = array("i", [0] * _PENDING)
        self._qrs = array("i", [0] * _LEVELS)
        self._noise = array("i", [0] * _LEVELS)
        self._rr = array("i", [0] * _LEVELS)
        self._qrs_ordered = array("i", [0] * _LEVELS)
        self._noise_ordered = array("i", [0] * _LEVELS)
        self.start(0)

    def start(self, at):
        """Begin to learn at the sample index `at`; everything known is forgotten."""
        self.learning = True
        self.qrs_level = 0
        self.noise_level = 0
        self._began = self._learnt = at
        self._pending = 0
        self._judged = 0
        self._fill(self._rr, _RR_START)
        self._rr_mean = _RR_START
        self._slot_qrs = self._slot_noise = self._slot_rr = 0
        self._last = at  # index of the last beat
        self._last_slope = 0
        self._beat_known = False
        self._oversize = self._before = self._alike = self._clean = 0

    @staticmethod
    def _fill(ring, value):
        for i in range(_LEVELS):
            ring[i] = value

    def candidate(self, at, energy, slope):
        """Judge a candidate: fiducial index, energy, steepest slope. The number of beats now in `found`."""
        if self.learning and (at - self._began) & INDEX_MASK > INDEX_MASK >> 1:
            return 0  # from before the start: the filters were still filling
        if self._pending == _PENDING:
            self._drop(1)
        i = self._pending
        self._at[i] = at
        self._energy[i] = energy
        self._slope[i] = slope
        self._pending = i + 1
        if self.learning:
            if (at - self._began) & INDEX_MASK < LEARN:
                return 0
            self._learn((self._began + LEARN) & INDEX_MASK)
        elif self._is_lost(at):
            self._learn(at)
        return self._judge()

    def _is_lost(self, at):
        """No beat for so long that what is known of their size must be wrong."""
        return (at - self._last) & INDEX_MASK > _LOST and (at - self._learnt) & INDEX_MASK > _LOST

    def quality(self):
        """0-100: 100 when the greater noise peaks are far below the lesser QRS peaks and the QRS peaks are
        alike.

        Seventh of eight noise energies against second of eight QRS energies, times second against seventh of
        those.
        """
        if self.learning:
            return 0
        low = self._qrs_ordered[1] >> 8
        high = self._qrs_ordered[6] >> 8
        noise = self._noise_ordered[6] >> 8
        if low <= noise:
            return 0
        return (low - noise) * 100 // low * min(100, low * 125 // high) // 100

    def _learn(self, end):
        """Set the levels from the candidates of the LEARN samples before the index `end`."""
        a = b = c = 0
        for i in range(self._pending):
            energy = self._energy[i]
            age = (end - 1 - self._at[i]) & INDEX_MASK
            if age < LEARN // 3:
                a = max(a, energy)
            elif age < LEARN * 2 // 3:
                b = max(b, energy)
            elif age < LEARN:
                c = max(c, energy)
        level = max(min(a, b), min(max(a, b), c), self._floor)
        self._fill(self._qrs, level)
        self._fill(self._noise, level >> 3)
        self.qrs_level = _median(self._qrs, self._qrs_ordered)
        self.noise_level = _median(self._noise, self._noise_ordered)
        self._learnt = end
        self._judged = 0
        self.learning = False

    def _drop(self, n):
        left = self._pending - n
        for i in range(left):
            self._at[i] = self._at[i + n]
            self._energy[i] = self._energy[i + n]
            self._slope[i] = self._slope[i + n]
        self._pending = left
        self._judged = max(0, self._judged - n)

    def _judge(self):
        beats = 0
        while self._judged < self._pending:
            i = self._judged
            since = min((self._at[i] - self._last) & INDEX_MASK, _LONG)
            threshold = self._threshold()
            j = self._missed(since, threshold)
            if j < 0:
                lowered = self._lowered(since, threshold)
                if self._is_beat(i, since, lowered + self._too_early(since)):
                    if self._energy[i] < threshold:
                        self._keep_fall(threshold, lowered)
                    j = i
                else:
                    self._judged = i + 1
                    continue
            self.found[beats] = self._at[j]
            beats += 1
            self._accept(j)
        return beats

    def _threshold(self):
        noise = self.noise_level
        return max(noise + (self.qrs_level - noise) // 8 * 3, self._floor)

    def _missed(self, since, threshold):
        """Search-back: the pending candidate to accept after all, else -1."""
        if not self._beat_known or since * 2 <= self._rr_mean * 3:
            return -1
        best = -1
        for k in range(self._judged):
            if (self._at[k] - self._last) & INDEX_MASK < _T_WAVE or self._energy[k] > self._too_much():
                continue
            if best < 0 or self._energy[k] > self._energy[best]:
                best = k
        if best >= 0 and self._energy[best] > max(threshold >> 1, self._floor):
            return best
        return -1

    def _lowered(self, since, threshold):
        pause = max(_PAUSE_MIN, self._rr_mean * 5 // 2)
        floor = max(2 * self.noise_level, self._floor)
        while since > pause and threshold > floor:
            threshold -= threshold >> 2
            pause += 250
        return threshold

    def _too_early(self, since):
        """What a candidate must have beyond the threshold, `since` samples after a beat."""
        excess = min((self.noise_level - self.qrs_level // 5) >> 6, 1 << 20)
        early = self._rr_mean * 7 // 8 - since
        if excess <= 0 or early <= 0 or not self._beat_known:
            return 0
        return early * 512 // self._rr_mean * excess

    def _too_much(self):
        return self.qrs_level * _ARTEFACT if self.qrs_level < 1 << 26 else 1 << 29

    def _is_beat(self, i, since, threshold):
        energy = self._energy[i]
        if energy > self._too_much():
            self._oversize += 2
            # After a standstill: as great as the beats before it, though not as what was learnt since.
            back = since > _LOST and energy >> 1 < self._before
            if self._oversize < _NEW_LEVEL and not back:
                return False
            self._oversize = 0
            self._fill(self._qrs, energy >> 1)
            self.qrs_level = energy >> 1
            return True
        # As high as the beats are and as steep: a T wave is not.
        level, steep = self.qrs_level, self._last_slope
        like = (
            self._beat_known
            and energy > self._floor
            and self._is_like(energy)
            and self._slope[i] > steep - (steep >> 2)
        )
        if energy > threshold and not (
            self._beat_known and since < _T_WAVE and self._slope[i] * 2 < self._last_slope
        ):
            if not like:
                self._alike = 0
            return True
        if like:
            self._alike += 1
        elif energy > level >> 1:
            self._alike = 0
        if self._alike == _ALIKE:
            self._alike = 0
            self._lower_noise()
            return True
        self._noise[self._slot_noise] = min(energy, threshold)
        self._slot_noise = (self._slot_noise + 1) % _LEVELS
        self.noise_level = _median(self._noise, self._noise_ordered)
        return False

    def _lower_noise(self):
        level = self.qrs_level >> 3
        for i in range(_LEVELS):
            self._noise[i] = min(self._noise[i], level)
        self.noise_level = _median(self._noise, self._noise_ordered)

    def _is_like(self, energy):
        level = self.qrs_level
        return level - (level >> 2) < energy < level + (level >> 1)

    def _keep_fall(self, threshold, lowered):
        """The amplitude has truly fallen: bring the QRS level down as far as the threshold came."""
        while threshold > lowered:
            threshold -= threshold >> 2
            self.qrs_level -= self.qrs_level >> 2
        self._fill(self._qrs, self.qrs_level)

    def _accept(self, j):
        at = self._at[j]
        if self._beat_known:
            self._rr[self._slot_rr] = min((at - self._last) & INDEX_MASK, _RR_MAX)
            self._slot_rr = (self._slot_rr + 1) % _LEVELS
            self._rr_mean = sum(self._rr) // _LEVELS
        self._beat_known = True
        self._last = at
        self._last_slope = self._slope[j]
        self._oversize = max(0, self._oversize - 1)
        self._clean = self._clean + 1 if j == 0 and self._is_like(self._energy[j]) else 0
        if self._clean == _ALIKE:
            # Where nothing is refused, old noise would stay for ever.
            self._clean = 0
            self._lower_noise()
        self._qrs[self._slot_qrs] = min(self._energy[j], 2 * self.qrs_level)
        self._slot_qrs = (self._slot_qrs + 1) % _LEVELS
        self._before = self.qrs_level = _median(self._qrs, self._qrs_ordered)
        self._drop(j + 1)
        self._judged = 0
