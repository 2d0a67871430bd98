"""Blood pressure from the pulses in a cuff's pressure: beats, their envelope, and the artery that fits it."""

from array import array

from firmware.dsp.artery import POINTS, Artery
from protocol import frames

FS_HZ = 100
BEATS_MAX = 200
# samples, twice: -3 dB at 8 Hz, at 4 Hz where there is noise; what it takes from a peak is its bend by _BENT
_SMOOTH = 4
_SMOOTHER = 8
_BENT = 7
_BENT_MORE = 2
_NOISY = 30  # Pa, mean second difference of the first second: some 0.11 mmHg rms of white noise
_FLOOR = 40  # % of the mean second difference: what noise adds to a height
_RING = 512
_MASK = 511
_RISE = 12
_TREND = 128
_REFRACTORY = 30
_LONGEST = 220  # samples from foot to foot
_MMHG = 133  # Pa
_LEAST_SLOPE = 9  # Pa in _RISE samples
_LEAST_NOISE = 10  # % of the mean second difference: half an SD of what white noise rises
_LEAST_POINTS = 6
_LEAST_SHARE = 3  # of the top: lower heights tell of noise
_DECAYS = 15 * _MMHG  # from half the top on: an artery that collapses in 14 mmHg is at a sixth there
_GO_ON = 4  # beats


class Oscillometer:
    """Listen to a cuff at 100 Hz: `begin`, `process` blocks of Pa, then `result` when `done` or at the end.

    A beat's height is what rises above the line from its foot to the next one's, at the cuff pressure half
    way up. Systolic and diastolic are those of the artery that fits the heights (firmware/dsp/artery.py);
    mean pressure is at its envelope's maximum.
    """

    def __init__(self):
        self._ring = array("i", [0] * _RING)
        self._one = array("i", [0] * _SMOOTHER)
        self._two = array("i", [0] * _SMOOTHER)
        self._at = array("H", [0] * BEATS_MAX)  # sample index of the peak
        self._pressure = array("H", [0] * BEATS_MAX)  # Pa
        self._height = array("H", [0] * BEATS_MAX)  # Pa; 0: left out
        self.artery = Artery()
        self._recent = array("i", [0] * 8)
        self.begin(True)

    def begin(self, deflating):
        """Forget all; `deflating` False: an inflation is listened to."""
        self._deflating = deflating
        self._t = 0
        self._foot = self._next = self._up = self._last_up = -1
        self._least = _LEAST_SLOPE
        self._best = self._level = self.top = self._strength = 0
        self._top_at = self._since = self._slot = self._top_pressure = self._gap = 0
        self._moving = self._moved = self._left_out = self._over = 0
        self._first = self._lowest = self._fastest = 0
        self.artery.count = self.artery.misfit = self.pulses = self.period_ms = 0
        self._solved = self.gone = self.done = False

    @property
    def motion(self):
        """True while the pressure does what no pulse does."""
        return self._moving > 0

    def process(self, block, n):
        """Take the first `n` samples of array('i'), in Pa (0 to 50000)."""
        for i in range(n):
            self._sample(min(max(block[i], 0), 50000))

    def _sample(self, pa):
        t = self._t
        ring = self._ring
        if t == 0:
            self._first = self._lowest = self._before = pa
            self._rough = self._slope = 0
            for i in range(_RING):
                ring[i] = pa
            self._smooth(_SMOOTH, pa)
        elif t < FS_HZ:
            slope = pa - self._before
            self._rough += abs(slope - self._slope)
            self._slope = slope
            self._before = pa
        elif t == FS_HZ:
            self._least = max(self._rough * _LEAST_NOISE // (100 * FS_HZ), _LEAST_SLOPE)
            if self._rough > _NOISY * FS_HZ:
                self._smooth(_SMOOTHER, ring[(t - 1) & _MASK])
        n = self._n
        slot = t % n
        self._sum_one += pa - self._one[slot]
        self._one[slot] = pa
        pa = self._sum_one // n
        self._sum_two += pa - self._two[slot]
        self._two[slot] = pa
        pa = self._sum_two // n
        ring[t & _MASK] = pa
        if t < 65000:
            self._t = t + 1
        else:
            self.done = True
        if pa < self._lowest:
            self._lowest = pa
        fall = ring[(t - _TREND) & _MASK] - pa
        rise = pa - ring[(t - _RISE) & _MASK] + fall * _RISE // _TREND
        if t < _RISE:
            return
        if self._moving:
            self._moving -= 1
        if self._deflating and t > _TREND and fall > self._fastest:
            self._fastest = fall
        if abs(rise) > 8 * _MMHG + 4 * self._level:
            self._artefact()
        elif rise > self._best and rise > self._least:
            self._best = rise
            self._up = t
        elif self._best and (rise < self._best >> 1 or t - self._up > 25):
            self._upstroke(fall)
        self._quiet(t)

    def _smooth(self, n, pa):
        self._n = n
        self._sum_one = self._sum_two = pa * n
        for i in range(n):
            self._one[i] = self._two[i] = pa

    def _artefact(self):
        self._moved += not self._moving
        self._moving = FS_HZ
        self._foot = self._next = -1
        self._best = 0

    def _quiet(self, t):
        """What follows from no upstroke having come for a while."""
        since = t - self._last_up
        if since > 150 and self._level and since % 50 == 0:
            self._level -= self._level >> 2
        if self._deflating:
            if t > 300 and self._lowest < 20 * _MMHG:
                self.done = True
        elif self.pulses > 3 and not self._moving:
            self.gone = self.gone or t - self._top_at > min(max(200, self.period_ms * 3 // 10), 400)

    def _upstroke(self, fall):
        """The steepest place since the last look was at `_up`: a beat's, if steep enough for its distance."""
        up = self._up
        best = self._best
        self._best = 0
        since = up - self._last_up
        if self._last_up >= 0:
            if best * 3 < self._level:
                return
            near = since < _REFRACTORY
            if near or since * 200 < min(self.period_ms, 1500) * 11:
                if best < self._strength if near else best * 4 < self._level * 3:
                    return
                near = near or best * 3 > self._strength * 4
            if not near:  # else it takes the last one's place
                self._confirm(since)
        self._last_up = up
        self._strength = best
        self._level += (best - self._level) >> 1 if best > self._level else (best - self._level) >> 2
        ring = self._ring
        foot = up - 4
        least = ring[foot & _MASK] << 7
        for back in range(5, 32):
            at = up - back
            value = (ring[at & _MASK] << 7) - fall * back
            if value < least:
                least = value
                foot = at
        self._next = foot

    def _confirm(self, since):
        """The last upstroke was a beat's: measure what lies between its foot and the one before."""
        self._recent[self._slot & 7] = min(since, 300)
        self._slot += 1
        before, foot = self._foot, self._next
        self._foot = foot
        if before >= 0 and 25 < foot - before < _LONGEST:
            self._beat(before, foot)

    def _beat(self, before, foot):
        """Measure what lies between two feet."""
        ring = self._ring
        length = foot - before
        low = ring[before & _MASK]
        drop = low - ring[foot & _MASK]
        height = place = under = 0
        for i in range(1, length):
            over = ring[(before + i) & _MASK] - low + drop * i // length
            if over > height:
                height = over
                place = i
            under = min(under, over)
        pressure = low - drop * place // length + height // 2
        bent = _BENT if self._n == _SMOOTH else _BENT_MORE
        height += (self._bend(before + place) - self._bend(before)) // bent
        good = height + under * 4 > 0 and abs(drop) < 16 * _MMHG and height < 12 * _MMHG
        if self._deflating and drop < -3 * _MMHG:
            good = False
        if height >= self.top >> 2 and height > 20:
            self._intervals()
            self.pulses += 1
            if height >= self.top * 2 // 5:
                self._top_at = foot
        if not self._deflating:
            if good and height > self.top:
                self.top = height
            return
        k = self._since
        if k >= BEATS_MAX:
            self.done = True
            return
        self._at[k] = before + place
        self._pressure[k] = max(pressure, 0)
        # Boyle: the same millilitre is more mmHg the higher the pressure
        self._height[k] = height * 860 // (760 + pressure * 3 // 400) if good else 0
        self._since = k + 1
        if not good:
            self._left_out += 1
        self._judge_end(k)

    def _bend(self, at):
        """How far a peak at `at` stands out from 40 ms before and after."""
        ring = self._ring
        return 2 * ring[at & _MASK] - ring[(at - 4) & _MASK] - ring[(at + 4) & _MASK]

    def _intervals(self):
        if self._slot >= 4:
            ordered = sorted(self._recent[: min(self._slot, 8)])
            self.period_ms = ordered[len(ordered) // 2] * 10

    def _judge_end(self, k):
        """`done` when the last five have been low, and the highest three-in-a-row came before, higher up."""
        height = self._height
        if k < 9:
            return
        middle = sorted(height[k - 2 : k + 1])[1]
        if middle > self.top:
            self.top = middle
            self._top_pressure = self._pressure[k]
        elif self._pressure[k] < self._top_pressure - 8 * _MMHG:
            last = sorted(height[k - 4 : k + 1])
            if last[3] * 20 < self.top * 9:
                self.done = True

    # The result

    def solve(self):
        """Find the result in small steps: a generator, for whom `result` in one piece would be too long."""
        if self._solved:
            return
        self._solved = True
        yield from self._envelope()
        if self.artery.count >= _LEAST_POINTS:
            self.artery.begin()
            self._go_on(self.artery.values[0] * 40 // 3 + _DECAYS)
            for _ in self.artery.solve():
                yield

    def _envelope(self):
        """Give the artery the points: beats that agree with their neighbours, in time and height."""
        height, n = self._height, self._since
        for k in range(n):
            near = sorted(h for h in height[max(0, k - 3) : k + 4] if h)
            if not near or not height[k]:
                continue
            middle = near[(len(near) - 1) // 2]
            if abs(height[k] - middle) * 10 > middle * 4 + 100:
                self._pressure[k] |= 1
            else:
                self._pressure[k] &= 0xFFFE
        yield
        top = 0
        for k in range(n):
            if height[k] and self._pressure[k] & 1:
                height[k] = 0
                self._left_out += 1
            elif height[k] > top:
                top = height[k]
        if top < 25:
            return
        top = self._take_floor(top)
        self.artery.half = top * 3 // 80
        irregular, gap = self._rhythm()
        self._gap = gap = FS_HZ * 600 // gap if gap else 0
        good = []
        for k in range(self._first_beat(top), n):
            if height[k] * _LEAST_SHARE > top and (
                (irregular and height[k] * 5 > top * 2) or self._in_time(k, gap)
            ):
                good.append(k)
        if not good:
            return
        group = (len(good) + POINTS - 1) // POINTS
        count = 0
        for i in range(0, len(good) - group + 1, group):
            x = y = 0
            for k in good[i : i + group]:
                x += self._pressure[k]
                y += height[k]
            self.artery.x[count] = x * 3 // (group * 40)
            self.artery.y[count] = y * 1000 // (group * top)
            count += 1
        self.artery.count = count

    def _go_on(self, pressure):
        """Count the beats above `pressure` that are too high for an artery that is shut there."""
        least = max(self._height[: self._since]) >> 2
        for k in range(self._since):
            if self._pressure[k] > pressure and self._height[k] > least and self._in_time(k, self._gap):
                self._over += 1

    def _take_floor(self, top):
        """Take from all heights what white noise alone makes of one, by the roughness of the first second."""
        height = self._height
        floor = min(self._rough * _FLOOR // (100 * FS_HZ), top // 2)
        for k in range(self._since):
            if height[k]:
                height[k] = max(height[k] - floor, 1)
        return top - floor

    def _first_beat(self, top):
        """The beat from which on the flank rises: above it come two in a row that are too low to tell."""
        height = self._height
        k, low = max(range(self._since), key=lambda i: height[i]), 0
        while k > 0 and low < 2:
            k -= 1
            if height[k]:  # one left out tells nothing: a beat taken for two is two such
                low = low + 1 if height[k] * _LEAST_SHARE <= top else 0
        return k

    def _in_time(self, k, gap):
        """Whether the beat `k` is one interval from a neighbour, give or take a fifth."""
        at = self._at
        return any(0 < j < self._since and abs(at[j] - at[j - 1] - gap) * 5 < gap for j in (k, k + 1))

    def result(self):
        """(refusal, systolic, diastolic, mean in 0.1 mmHg, pulse in 0.1 /min, confidence 0-100, flags).

        refusal: frames.BP_…, 0 when measured; all numbers are 0 otherwise.
        """
        for _ in self.solve():
            pass
        flags = frames.BP_MOTION_LEFT_OUT if self._moved else 0
        irregular, pulse = self._rhythm()
        if irregular:
            flags |= frames.BP_PULSE_IRREGULAR
        refusal = self._refusal(irregular)
        if refusal:
            return refusal, 0, 0, 0, 0, 0, flags
        systolic, diastolic, below, above, _ = self.artery.values
        mean = (below * systolic + above * diastolic) // (below + above)
        confidence = 100 - self.artery.misfit // 60 - 100 * self._left_out // (2 * max(self._since, 1))
        confidence -= max(0, 16 - self.artery.count) * 3 + (15 if irregular else 0)
        return 0, systolic, diastolic, mean, pulse, min(max(confidence, 5), 100), flags

    def _refusal(self, irregular):
        if self._first < 30 * _MMHG:
            return frames.BP_NO_CUFF
        if self._lowest > 40 * _MMHG and self._first - self._lowest < 40 * _MMHG:
            return frames.BP_TIMEOUT
        leaks = self._fastest > 32 * _MMHG
        if self.artery.count < _LEAST_POINTS:
            if leaks:
                return frames.BP_LEAK
            shaken = self._level > _MMHG and self._left_out * 2 > self._since
            return frames.BP_MOTION if shaken or self._moved > 1 else frames.BP_NO_PULSE
        y = self.artery.y
        end = self.artery.count - 1
        if y[end] > 800 or self.artery.x[end] > self.artery.values[1]:
            return frames.BP_LEAK if leaks else frames.BP_TIMEOUT
        highest = min(self._first * 3 // 40, self.artery.x[0] + 250)
        if self._over >= _GO_ON or y[0] > 700 or self.artery.values[0] > highest:
            return frames.BP_MOTION if self._moved > 1 else frames.BP_NO_PULSE  # of the upper flank
        if self._left_out * 2 > self._since:
            return frames.BP_IRREGULAR if irregular else frames.BP_MOTION
        if self.artery.misfit > 20000:
            return frames.BP_IRREGULAR if irregular else frames.BP_MOTION
        return 0

    def _rhythm(self):
        """(whether a fifth of the intervals are a fifth off their median, pulse in 0.1 /min)."""
        top = max(self._height[: self._since]) if self._since else 0
        gaps = []
        for k in range(1, self._since):
            gap = self._at[k] - self._at[k - 1]
            if self._height[k] * 5 > top * 2 and self._height[k - 1] * 5 > top * 2 and gap < _LONGEST:
                gaps.append(gap)
        if len(gaps) < 4:
            return False, 0
        gaps.sort()
        middle = gaps[len(gaps) // 2]
        usual = [gap for gap in gaps if abs(gap - middle) * 5 < middle]
        return len(usual) * 5 < len(gaps) * 4, FS_HZ * 600 * len(usual) // sum(usual)
