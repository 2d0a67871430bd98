"""Which mains frequency hums in the ECG, 50 or 60 Hz, told from the raw samples."""

from array import array

_WINDOW = 50  # samples, 0.2 s: both frequencies have whole periods in it, and it fits between two heartbeats
_PAUSE = 64  # samples between two windows, and up to 60 more, so that they keep step with no heart
_SURE = 10  # windows for one frequency more than for the other
_MOST = 16
_TOP = 8191  # of a second difference
# 127 cos and 127 sin of 2 pi k / 25
_COS = array("b", (127, 123, 111, 93, 68, 39, 8, -24, -54, -81, -103, -118, -126))
_SIN = array("b", (0, 32, 61, 87, 107, 121, 127, 125, 115, 98, 75, 47, 16))


def _height(fold, turns):
    """25 samples' component with that many periods in them, times 25 and 127, within 7 %."""
    re = im = 0
    for k in range(25):
        j = k * turns % 25
        if j < 13:
            re += fold[k] * _COS[j]
            im += fold[k] * _SIN[j]
        else:
            re += fold[k] * _COS[25 - j]
            im -= fold[k] * _SIN[25 - j]
    re = abs(re)
    im = abs(im)
    return max(re, im) + (min(re, im) * 3 >> 3)


class MainsWatch:
    """hz: what is taken for the mains frequency until the signal says otherwise; lsb_nv: nanovolts an input
    step. `take(samples, n)` gives True when `hz` has changed.

    Counted are windows of 0.2 s, one in 0.6 s, whose second difference consists of one of the two for
    the greater part: between heartbeats, without muscle noise. The component is the discrete Fourier
    transform at that frequency (as Goertzel's, Am. Math. Monthly 65:34, 1958), of the window folded to 25
    samples, in which 50 Hz has 5 periods and 60 Hz has 6; it is wide enough for half a hertz more or less. A
    change takes ten windows more for the new one than for the old one: 6 s, after a lasting hum 15 s.
    """

    def __init__(self, hz, lsb_nv):
        self.hz = hz
        self._least = 25 * 127 * max(1, 9000 // lsb_nv)
        self._fold = array("i", [0] * 25)
        self._votes = 0
        self._windows = 0
        self.start()

    def start(self):
        """The signal was off, or samples are missing."""
        self._skip = 0
        self._at = -2
        self._total = 0
        self._older = self._old = 0
        for k in range(25):
            self._fold[k] = 0

    def take(self, samples, n):
        """Take `n` <= 64 samples."""
        i = self._skip
        if i >= n:
            self._skip = i - n
            return False
        fold = self._fold
        at = self._at
        total = self._total
        old = self._old
        older = self._older
        while i < n:
            x = samples[i]
            d = x - 2 * old + older
            older = old
            old = x
            i += 1
            if at >= 0:
                if not -_TOP < d < _TOP:
                    total = 1 << 22  # this window counts for none
                    d = 0
                fold[at % 25] += d
                total += d if d > 0 else -d
            at += 1
            if at == _WINDOW:
                changed = self._count(total)
                self._windows = (self._windows + 1) & 3
                self.start()
                self._skip = _PAUSE + 20 * self._windows - (n - i)
                return changed
        self._skip = 0
        self._at = at
        self._total = total
        self._old = old
        self._older = older
        return False

    def _count(self, total):
        fold = self._fold
        fifty = _height(fold, 5)
        sixty = _height(fold, 6)
        # A sine's component is 0.79 of its mean height, noise's 0.16.
        least = max(total // 2 * 127, self._least)
        if fifty > least:
            self._votes = max(self._votes - 1, -_MOST)
        elif sixty > least:
            self._votes = min(self._votes + 1, _MOST)
        hz = 60 if self._votes >= _SURE else 50 if self._votes <= -_SURE else self.hz
        changed = hz != self.hz
        self.hz = hz
        return changed
