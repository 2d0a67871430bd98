"""When a FIFO's samples were taken: the chip's sample clock, tracked against the node's ticks.

A FIFO does not say when its samples came. But each drain that empties it is a bracket: the newest sample is
not younger than the end of the drain, and the one after it had not come when the drain began. The tracker
intersects these brackets as they come: the newest sample's moment lies between two bounds that only ever
widen by what the chip's oscillator may have drifted since, and its middle is the estimate. So reading late or
unevenly does not move the timestamps, it sharpens them. How far the middle wanders tells the oscillator's
true period.

All values are small integers on a 32-bit node: ticks in µs (30 bits, as time.ticks_us), everything else in
ns.
"""

# How much a period may still be wrong, as a divisor: 0.5 % while nothing is known, 50 ppm once it has been
# tracked.
DRIFT_FIRST = 200
DRIFT_SETTLED = 20000
# Samples over which the wander of the estimate is gathered before the period follows it, and how many such
# spans make it settled.
SPAN_SAMPLES = 1500
SETTLE_SPANS = 3
# Furthest that a part's oscillator is taken to be off its nominal rate, as a divisor of the period (5 %).
PULL_DIVISOR = 20


class SampleClock:
    """`last`: ticks of the newest sample; `period_ns`: tracked period; `worst_us`: largest correction of the
    settled clock.

    `clock` is the node's Clock, for the arithmetic of its ticks.
    """

    def __init__(self, nominal_ns, clock):
        self._add = clock.ticks_add
        self._diff = clock.ticks_diff
        self.nominal_ns = nominal_ns
        self.period_ns = nominal_ns
        self.worst_us = 0
        self._spans = 0
        self.restart()

    def restart(self):
        """Forget the phase, not the period; the next bracket sets it."""
        self.last = None
        self._below = 0
        self._above = 0
        self._fraction_ns = 0
        self._wander = 0
        self._span = 0

    def advance(self, n, begin, end):
        """A drain from ticks `begin` to `end` emptied the FIFO of n samples; returns how many samples are
        missing before them.

        After it, `last` is the moment of the newest sample. Samples are missing when the bracket begins a
        whole period or more after the moment at which the next sample was due (a drain that failed, a FIFO
        that was reset).
        """
        period = self.period_ns
        if self.last is None:
            self._lock(begin, end)
            return 0
        elapsed = n * period
        fraction = elapsed + self._fraction_ns
        last = self._add(self.last, fraction // 1000)
        overdue_us = self._diff(begin, last) - period // 1000
        if overdue_us >= period // 1000:
            self._lock(begin, end)
            return overdue_us // (period // 1000) + 1
        settled = self._spans >= SETTLE_SPANS
        drift = elapsed // (DRIFT_SETTLED if settled else DRIFT_FIRST) + 1
        fraction %= 1000
        at_least = (overdue_us * 1000) - fraction
        at_most = self._diff(end, last) * 1000 - fraction
        below = max(self._below - drift, at_least)
        above = min(self._above + drift, at_most)
        if below > above:
            if settled and below - above > period // 2:
                self._lock(begin, end)
                return 1 if below == at_least else 0
            # The period is further off than the drift allows for: the newest evidence is right.
            if below == at_least:
                above = below
            else:
                below = above
        move = (below + above) // 2
        self._below = below - move
        self._above = above - move
        fraction += move
        self.last = self._add(last, fraction // 1000)
        self._fraction_ns = fraction % 1000
        self._follow(move, n, settled)
        return 0

    def skip(self, n):
        """n samples went by without a bracket: read from a FIFO that was full, or counted as lost by the
        chip.
        """
        if self.last is not None:
            fraction = n * self.period_ns + self._fraction_ns
            self.last = self._add(self.last, fraction // 1000)
            self._fraction_ns = fraction % 1000

    def before(self, n):
        """Ticks of the sample n places before the newest."""
        return self._add(self.last, -(n * self.period_ns // 1000))

    def _lock(self, begin, end):
        """Start from one bracket alone."""
        width = self._diff(end, begin)
        half_us = (self.period_ns // 1000 + width) // 2
        self.last = self._add(end, -half_us)
        self._below = -half_us * 1000
        self._above = half_us * 1000
        self._fraction_ns = 0
        self._wander = 0
        self._span = 0

    def _follow(self, move, n, settled):
        """An estimate that wanders one way over a whole span is the oscillator's doing: the period takes it
        over.
        """
        if settled and abs(move) > self.worst_us * 1000:
            self.worst_us = abs(move) // 1000
        self._wander += move
        self._span += n
        if self._span >= SPAN_SAMPLES:
            limit = self.nominal_ns // PULL_DIVISOR
            gain = 2 if settled else 1
            period = self.period_ns + self._wander // (self._span * gain)
            self.period_ns = min(max(period, self.nominal_ns - limit), self.nominal_ns + limit)
            self._spans += 1
            self._wander = 0
            self._span = 0
