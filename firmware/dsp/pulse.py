"""Which candidates of the PPG kernel are pulse beats: not dicrotic waves, not artefacts."""

from array import array

from firmware.dsp.ecg_kernel import INDEX_MASK

LEARN = 400  # samples: 4 s
_EMPTY = 100  # of them at the start, while the band filter fills
_DICROTIC = 45  # 450 ms
_LEVELS = 8
_ARTEFACT = 4  # times the level
_NEW_LEVEL = 5  # an artefact counts 2, a beat -1: three in a row, or every other one, are a new level
_INTERVAL_START = 100
_INTERVAL_MAX = 200
_PAUSE_MIN = 200
_LONG = 1 << 20  # times are not told apart beyond it: their multiples stay small integers

NOT_A_BEAT = 0
BEAT = 1
ARTEFACT = 2


class PulseDetector:
    """Judge upstrokes in their order: `start(at)`, then `candidate(at, slope)` for each.

    A candidate is a beat when its slope exceeds 3/8 of the median of the last eight beats', unless it follows
    a beat within 450 ms with less than half its slope, or within 45 % of the mean interval with less than 3/4
    of the level (a dicrotic wave). A pause of 2.5 mean intervals (at least 2 s) lowers the threshold by a
    quarter a second. More than four times the level is an artefact, or a new level when it keeps coming. The
    first LEARN samples only set the level: the middle of the greatest slopes of three seconds.
    """

    def __init__(self):
        self._slopes = array("i", [0] * _LEVELS)
        self._intervals = array("i", [0] * _LEVELS)
        self._seconds = array("i", [0] * 3)
        self.start(0)

    def start(self, at):
        """Begin to learn at the sample index `at`; everything known is forgotten."""
        self.learning = True
        self.level = 0
        self._began = at
        self._last = at
        self._last_slope = 0
        self._slot = self._slot_interval = 0
        self._mean = _INTERVAL_START
        self._oversize = 0
        for i in range(3):
            self._seconds[i] = 0
        for i in range(_LEVELS):
            self._intervals[i] = _INTERVAL_START

    def _fill(self, level):
        for i in range(_LEVELS):
            self._slopes[i] = level
        self.level = level

    def candidate(self, at, slope):
        """Judge an upstroke at the index `at`: NOT_A_BEAT, BEAT or ARTEFACT."""
        if self.learning:
            since = (at - self._began) & INDEX_MASK
            if since < _EMPTY:
                return NOT_A_BEAT
            if since < LEARN:
                second = (since - _EMPTY) // 100
                self._seconds[second] = max(self._seconds[second], slope)
                return NOT_A_BEAT
            a, b, c = self._seconds
            self._fill(max(min(a, b), min(max(a, b), c)))
            self.learning = False
        since = min((at - self._last) & INDEX_MASK, _LONG)
        if slope > self.level * _ARTEFACT:
            self._oversize += 2
            if self._oversize < _NEW_LEVEL:
                return ARTEFACT
            self._oversize = 0
            self._fill(slope)
        threshold = self.level * 3 >> 3
        lowered = self._lowered(since, threshold)
        if slope <= lowered or self._is_dicrotic(since, slope):
            return NOT_A_BEAT
        if slope <= threshold:
            self._fill(slope)
        self._accept(at, since, slope)
        return BEAT

    def _is_dicrotic(self, since, slope):
        if since < _DICROTIC and slope * 2 < self._last_slope:
            return True
        return since * 20 < self._mean * 9 and slope * 4 < self.level * 3

    def _lowered(self, since, threshold):
        pause = max(_PAUSE_MIN, self._mean * 5 // 2)
        while since > pause and threshold:
            threshold -= (threshold >> 2) + 1
            pause += 100
        return max(threshold, 0)

    def _accept(self, at, since, slope):
        self._oversize = max(0, self._oversize - 1)
        self._last = at
        self._last_slope = slope
        self._intervals[self._slot_interval] = min(since, _INTERVAL_MAX)
        self._slot_interval = (self._slot_interval + 1) % _LEVELS
        self._mean = sum(self._intervals) // _LEVELS
        self._slopes[self._slot] = min(slope, 2 * self.level)
        self._slot = (self._slot + 1) % _LEVELS
        self.level = sorted(self._slopes)[_LEVELS // 2]
