"""The artery whose pulses in a cuff would have the heights that were seen."""

from array import array

POINTS = 32  # of the envelope, at most
# systolic, diastolic, widths below and above (0.1 mmHg), straightness (%); each from, to
_WIDE = 5
_LIMITS = (400, 2600, 250, 2000, 50, 220, 200, 700, 0, 100)
# what a step of the search changes: one parameter, or two together
_WAYS = (
    (0, 100, 1, 0),
    (1, 100, 0, 0),
    (2, 24, 0, 0),
    (3, 80, 0, 0),
    (4, 50, 0, 0),
    (3, 80, 4, 50),
    (0, 100, 1, 100),
    (0, 100, 1, -100),
    (0, -60, 2, 24),
    (1, 60, 3, 80),
)
# collapse takes about 1/a = 9 mmHg (Babbs): what the envelope's upper flank, the weakest, is helped by
_BELOW = 91
_HALF = 50  # % straight: the flank below tells it badly from the width above
_AGAINST = 150  # a point further off than this (of 1000) pulls no harder


def falling(x):
    """e to the -x/256 in 1/4096, for x >= 0; 0.3 % off at most."""
    x = x * 369 >> 8
    f = x & 255
    x >>= 8
    return (4096 - (f * 2751 >> 8) + (f * f * 703 >> 16)) >> x if x < 13 else 0


class Artery:
    """Fill `x` (cuff pressure, 0.1 mmHg, falling), `y` (height, 1000 = the top) and `count`, set `half` (half
    the top, 0.1 mmHg); `begin`, then `solve` to its end: `values` and `misfit` (mean square of y's errors).

    A height is volume at systolic minus volume at diastolic transmural pressure. Compliance is greatest at 0,
    falls exponentially below (Babbs 2012, doi 10.1186/1475-925X-11-56) and above in a mixture of that and of
    a straight line (doi 10.1109/TBME.2022.3201433). Least squares; a point far off pulls no harder.
    """

    def __init__(self):
        self.x = array("i", [0] * POINTS)
        self.y = array("i", [0] * POINTS)
        self._model = array("i", [0] * POINTS)
        self.values = array("i", [0] * _WIDE)
        self.count = self.half = self.misfit = self._gain = 0

    def begin(self):
        """Start where heights are 55 % and 70 % of the top: inside the published ranges of both ratios."""
        y = self.y
        count = self.count
        for _ in range(2):
            before = y[0]
            for i in range(1, count - 1):
                here = y[i]
                y[i] = (before + 2 * here + y[i + 1] + 2) >> 2
                before = here
        top = max(range(count), key=lambda i: y[i])
        high = self._crossing(top, 0, -1, y[top] * 11 // 20)
        low = self._crossing(top, count - 1, 1, y[top] * 7 // 10)
        self.values[0] = max(high, self.x[top] + 60)
        self.values[1] = min(low, self.values[0] - 150)
        self.values[2] = 110
        self.values[3] = 330
        self.values[4] = 50
        for i in range(_WIDE):
            self.values[i] = min(max(self.values[i], _LIMITS[2 * i]), _LIMITS[2 * i + 1])

    def _crossing(self, i, end, way, level):
        """Cuff pressure (0.1 mmHg) where the envelope falls to `level` between the points `i` and `end`."""
        y = self.y
        while i != end and y[i] > level:
            i += way
        x = self.x[i]
        over = y[i - way] - level
        if y[i] > level or over < 0:
            return x
        return self.x[i - way] + (x - self.x[i - way]) * over // max(y[i - way] - y[i], 1)

    def solve(self):
        """Find the artery in small steps: a generator; each step is some 40 us of a fast machine."""
        fit = self.values
        kept = array("i", fit)
        base = array("i", fit)
        best = self._cost()
        scale = 64
        while scale >= 2:
            before = best
            for i in range(_WIDE):
                base[i] = fit[i]
            for way in range(2 * len(_WAYS)):
                one, step, other, too = _WAYS[way >> 1]
                sign = -scale if way & 1 else scale
                fit[one] += step * sign >> 6
                fit[other] += too * sign >> 6
                best = self._better(kept, best)
                yield
            if best == before:
                scale >>= 1
                continue
            for _ in range(6):  # what helped together is gone on with
                for i in range(_WIDE):
                    fit[i] = 2 * kept[i] - base[i]
                    base[i] = kept[i]
                before = best
                best = self._better(kept, best)
                yield
                if best == before:
                    break
        self.misfit = best // self.count

    def _better(self, kept, best):
        """The cost of the fit if it is less than `best`; else the fit is `kept` again."""
        fit = self.values
        cost = self._cost() if self._allowed() else best
        worse = cost >= best
        for i in range(_WIDE):
            if worse:
                fit[i] = kept[i]
            else:
                kept[i] = fit[i]
        return best if worse else cost

    def _allowed(self):
        fit = self.values
        for i in range(_WIDE):
            if not _LIMITS[2 * i] <= fit[i] <= _LIMITS[2 * i + 1]:
                return False
        return fit[0] - fit[1] >= 120

    def _volume(self, transmural):
        """Volume of the artery from its collapse on, 1/16 of compliance at its peak by 0.1 mmHg."""
        below = self.values[2]
        if transmural < 0:
            return below * falling((-transmural << 8) // below) >> 8
        above = self.values[3]
        bent = above * (4096 - falling((transmural << 8) // above)) >> 8
        end = 2 * above  # where the straight line meets nothing
        x = min(transmural, end)
        straight = (x << 4) - (x * x << 3) // end
        return (below << 4) + bent + (straight - bent) * self.values[4] // 100

    def _cost(self):
        """How far the fit's envelope, scaled to the points, is from them: sum of squares, 1000 = the top."""
        model = self._model
        both = square = 0
        for i in range(self.count):
            half = self.y[i] * self.half // 1000  # the cuff is as much higher at the peak, lower at the foot
            x = self.x[i]
            m = self._volume(self.values[0] - x - half) - self._volume(self.values[1] - x + half) >> 3
            model[i] = m
            both += m * self.y[i]
            square += m * m
        self._gain = gain = both // max(square >> 10, 1)
        off = self.values[2] - _BELOW
        bent = self.values[4] - _HALF
        cost = self.count * (4 * off * off + bent * bent)
        for i in range(self.count):
            off = abs(self.y[i] - (model[i] * gain >> 10))
            cost += off * off if off < _AGAINST else _AGAINST * (2 * off - _AGAINST)
        return cost

    def envelope(self):
        """After `solve`: (cuff pressure in 0.1 mmHg, height, fitted height; 1000 = a top) of each point."""
        points = []
        if not self.count:
            return points
        self._cost()
        for i in range(self.count):
            points.append((self.x[i], self.y[i], self._model[i] * self._gain >> 10))
        return points
