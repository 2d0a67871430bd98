"""What the ECG says beyond single beats: whether the intervals are irregular, and whether it can be analysed.

Integers below 2**30, no allocation; both classes are fed by the chain (ecg.py).
"""

from array import array

_INTERVALS = 32
_ALIKE = 12  # two intervals are alike within a twelfth of the mean
_TURNS, _TURNS_STAY = 17, 13  # of 30 possible; a random series has 20
_SPAN = 5000  # samples: 20 s

_STEP = (
    4  # samples summed into one: 62.5 a second, with a null there, so that 60 Hz does not fold down to 2.5
)
_PERIOD = 63  # of them make a period, 1.008 s
_PERIODS = 4
_LAGS = 3, 12  # half of a wave's period in steps: 10.4 to 2.6 Hz
_COLUMNS = 5  # sums of a period: heights, differences, lag sums, what those could be, greatest height


class Irregularity:
    """Whether the RR intervals are random: no order, no trend, no pattern that comes back.

    `add(interval)` takes each interval in samples (250 a second), 0 where one is not known: then all is
    forgotten. `irregular` needs 32 intervals and 20 s of it.

    Of the pairs of intervals that are alike, less than a third are followed by alike ones (sample entropy
    with m = 1 and a tolerance of the mean interval, which decides for the coefficient of sample entropy: Lake
    and Moorman, Am. J. Physiol. Heart Circ. Physiol. 300:H319, 2011), and at least half of the intervals are
    turning points (Dash et al., Ann. Biomed. Eng. 37:1701, 2009), which breathing does not reach. Bigeminy
    and other patterns that repeat are not irregular by that; ectopic beats in no order are.
    """

    def __init__(self):
        self._ring = array("i", [0] * _INTERVALS)
        self.forget()

    def forget(self):
        """What is known ends here."""
        self._count = 0
        self._span = 0
        self._met = False
        self.irregular = False

    def add(self, interval):
        """Take an interval."""
        if interval == 0:
            self.forget()
            return
        self._ring[self._count % _INTERVALS] = interval
        self._count += 1
        if self._met:
            self._span = min(self._span + interval, _SPAN)
        if self._count < _INTERVALS:
            return
        if self._count % 4 == 0:
            met = self._random()
            if met and not self._met:
                self._span = min(sum(self._ring), _SPAN)
            self._met = met
            self.irregular = met and self._span >= _SPAN
        if self._count >= 2 * _INTERVALS:
            self._count -= _INTERVALS

    def _random(self):
        ring = self._ring
        start = self._count
        alike = sum(ring) // (_INTERVALS * _ALIKE)
        turns = moved = 0
        a = ring[start % _INTERVALS]
        b = ring[(start + 1) % _INTERVALS]
        for k in range(2, _INTERVALS):
            c = ring[(start + k) % _INTERVALS]
            if (b - a) * (c - b) < 0:
                turns += 1
            moved += abs(c - b)
            a = b
            b = c
        if turns < (_TURNS_STAY if self._met else _TURNS) or moved < alike * _INTERVALS // 2:
            return False
        pairs = followed = 0
        for i in range(1, _INTERVALS):
            a = ring[(start + i - 1) % _INTERVALS]
            b = ring[(start + i) % _INTERVALS]
            for j in range(i + 1, _INTERVALS):
                if -alike <= ring[(start + j - 1) % _INTERVALS] - a <= alike:
                    pairs += 1
                    if -alike <= ring[(start + j) % _INTERVALS] - b <= alike:
                        followed += 1
        return followed * 5 < pairs * 2 if self._met else followed * 3 < pairs


class Fibrillation:
    """Whether the display signal is one wave after another, as in ventricular fibrillation, flutter and fast
    ventricular tachycardia, and how long the input has been at full scale.

    full_scale: greatest height of a raw sample; least: greatest height below which nothing is fibrillation.
    `take(raw, filtered, n)` gives True when a period has passed; then `likely` is judged anew, over 4 s.
    `full` is the number of samples at full scale in the last period (counted in fours).

    VF filter leakage (Kuo and Dillman, Computers in Cardiology 1978; Amann, Tratnig and Unterkofler, BioMed.
    Eng. OnLine 4:60, 2005): the sum of the signal and itself half a mean period before, by what it could be
    at most, is small for a wave. Mean by greatest height (mean signal strength: Anas, Lee and Hasan, BioMed.
    Eng. OnLine 9:43, 2010) is small where there are QRS complexes with a base line between them.
    """

    def __init__(self, full_scale, least):
        self._full_scale = full_scale
        self._least = least
        self._ring = array("i", [0] * 64)
        self._sums = array("i", [0] * (_COLUMNS * _PERIODS))
        self.start()

    def start(self):
        """Begin anew: the signal was off, or samples are missing."""
        self._at = self._phase = self._sum = 0
        self._periods = 0
        self._lag = 8
        self._clipped = self.full = 0
        self.likely = False
        for i in range(_COLUMNS * _PERIODS):
            self._sums[i] = 0

    def take(self, raw, filtered, n):
        """Take `n` samples, fewer than a period; True if a period ended in them."""
        ring = self._ring
        sums = self._sums
        row = self._periods % _PERIODS * _COLUMNS
        ended = False
        phase = self._phase
        total = self._sum
        i = -1
        while i < n - 1:
            i += 1
            if phase == 0 and i + 3 < n:
                total = filtered[i] + filtered[i + 1] + filtered[i + 2] + filtered[i + 3]
                i += 3
            else:
                total += filtered[i]
                phase += 1
                if phase < _STEP:
                    continue
                phase = 0
            if raw[i] >= self._full_scale or raw[i] <= -self._full_scale:
                self._clipped += _STEP
            at = self._at
            x = total >> 2
            total = 0
            ring[at & 63] = x
            before = ring[(at - 1) & 63]
            lagged = ring[(at - self._lag) & 63]
            sums[row + 1] += x - before if x > before else before - x
            s = x + lagged
            sums[row + 2] += s if s > 0 else -s
            if x < 0:
                x = -x
            sums[row] += x
            sums[row + 3] += x + (lagged if lagged > 0 else -lagged)
            if x > sums[row + 4]:
                sums[row + 4] = x
            self._at = at = (at + 1) % (64 * _PERIOD)
            if at % _PERIOD:
                continue
            self._judge()
            ended = True
            row = self._periods % _PERIODS * _COLUMNS
            for k in range(_COLUMNS):
                sums[row + k] = 0
        self._phase = phase
        self._sum = total
        return ended

    def shifted(self):
        """The greatest mean of a quarter of the last second, its sign left out: what a jump leaves."""
        total = most = 0
        for i in range(64):
            total += self._ring[i]
            if i >= 16:
                total -= self._ring[i - 16]
            if i >= 15:
                most = max(most, abs(total))
        return most >> 4

    def _judge(self):
        sums = self._sums
        self.full = self._clipped
        self._clipped = 0
        heights = lagged = possible = top = 0
        for i in range(0, _COLUMNS * _PERIODS, _COLUMNS):
            heights += sums[i]
            lagged += sums[i + 2]
            possible += sums[i + 3]
            top = max(top, sums[i + 4])
        row = self._periods % _PERIODS * _COLUMNS
        other = (self._periods - 1) % _PERIODS * _COLUMNS
        moved = 7 * (sums[row + 1] + sums[other + 1]) + 1
        lag = (22 * (sums[row] + sums[other]) + moved // 2) // moved
        wave = self._periods >= _PERIODS and top >= self._least and lag >= _LAGS[0]
        if self.likely:
            self.likely = wave and lagged * 20 < possible * 13 and heights * 6 > top * _PERIOD * _PERIODS
        else:
            self.likely = wave and lagged * 20 < possible * 12 and heights * 16 > top * _PERIOD * _PERIODS * 3
        self._lag = min(max(lag, 1), _LAGS[1])
        self._periods += 1
        if self._periods == 3 * _PERIODS:
            self._periods -= _PERIODS
