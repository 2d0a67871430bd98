"""A node's clock against the agent's: offset, rate and an error bound, from round-trip time echoes.

Each echo says: what the node's clock called `rx_us` happened between the moment the question left
(`sent_us`) and the moment the answer came back less the time that the node kept it (`tx_us - rx_us`). So an
echo is an interval, whatever the link's delays were, and delays that are not symmetric cost width, never
truth. All intervals must be met by one straight line (the node's crystal) whose rate lies within
`MAX_RATE_PPB`; the pairs of intervals bound the rate, and the intervals carried along that rate to one
reference moment are intersected. The rate is never taken for better known than `WANDER_PPB`, which pays for a
crystal's drift with temperature, so the bound grows with age (cf. Marzullo & Owicki 1983; interval
synchronisation).
"""

from typing import NamedTuple

PPB = 1_000_000_000
# A bare ESP32 crystal is within ±10 ppm, a bad board with ageing and temperature within ±100.
MAX_RATE_PPB = 200_000
WANDER_PPB = 2_000
MAX_SAMPLES = 48
MAX_AGE_US = 3600 * 1_000_000
# Node and agent read their clocks in whole microseconds, twice each.
READING_US = 4
# After so many contradictions in a row the clock is taken to run at a rate of its own (a simulated clock may
# run k times faster).
CONTRADICTIONS = 3


class Fix(NamedTuple):
    """Node time `t_us` is Unix time `unix_us` ± `bound_us`; the node's clock runs `rate_ppb` fast."""

    t_us: int
    unix_us: int
    rate_ppb: int
    bound_us: int


class _Sample(NamedTuple):
    t_us: int
    low_us: int
    high_us: int


class ClockFit:
    """The clock of one boot of one node.

    Times in microseconds: `t_us` on the node's clock, the others Unix.
    """

    def __init__(self) -> None:
        self._samples: list[_Sample] = []
        self._slope_low = -MAX_RATE_PPB
        self._slope_high = MAX_RATE_PPB
        self._reference: _Sample | None = None
        self._contradicted = 0
        self._free = False
        self.echoes = 0
        self.steps = 0

    def echo(self, sent_us: int, received_us: int, rx_us: int, tx_us: int) -> bool:
        """Take one echo; False when it is impossible in itself (answered before it was asked)."""
        high = received_us - (tx_us - rx_us)
        if tx_us < rx_us or high + READING_US < sent_us:
            return False
        self.echoes += 1
        if self._samples and rx_us <= self._samples[-1].t_us:
            return True
        sample = _Sample(rx_us, sent_us - READING_US, max(high, sent_us) + READING_US)
        if self._fits(sample):
            self._contradicted = 0
        else:
            # Someone set the agent's clock, or the node's is not what was assumed: the past is no guide.
            self.steps += 1
            self._contradicted += 1
            if self._contradicted >= CONTRADICTIONS:
                self._free = True
            self._samples = self._samples[-1:] if self._free else []
            self._fits(sample)
        return True

    def _fits(self, new: _Sample) -> bool:
        samples = [s for s in self._samples if new.t_us - s.t_us <= MAX_AGE_US]
        samples.append(new)
        slope = self._slope(samples)
        if slope is None:
            return False
        reference = self._intersect(samples, slope)
        if reference is None:
            return False
        if len(samples) > MAX_SAMPLES:
            # The narrowest tell the offset, the oldest tells the rate, the newest is the newest.
            widest = max(samples[1:-1], key=lambda s: s.high_us - s.low_us)
            samples.remove(widest)
        self._samples = samples
        self._slope_low, self._slope_high = slope
        self._reference = reference
        return True

    def _slope(self, samples: list[_Sample]) -> tuple[int, int] | None:
        """Bounds on how many ns the Unix clock gains on each second of the node's.

        None when no line meets all.
        """
        limit = 1_000_000 * PPB if self._free else MAX_RATE_PPB
        low, high = -limit, limit
        for i, a in enumerate(samples):
            for b in samples[i + 1 :]:
                span = b.t_us - a.t_us
                low = max(low, (b.low_us - a.high_us - span) * PPB // span)
                high = min(high, -((span - b.high_us + a.low_us) * PPB // span))
        if low > high:
            return None
        if high - low < 2 * WANDER_PPB:
            middle = (low + high) // 2
            low, high = middle - WANDER_PPB, middle + WANDER_PPB
        return low, high

    @staticmethod
    def _intersect(samples: list[_Sample], slope: tuple[int, int]) -> _Sample | None:
        at = samples[-1].t_us
        low = max(s.low_us + (at - s.t_us) + (at - s.t_us) * slope[0] // PPB for s in samples)
        high = min(s.high_us + (at - s.t_us) - ((s.t_us - at) * slope[1] // PPB) for s in samples)
        return None if low > high else _Sample(at, low, high)

    @property
    def rate_ppb(self) -> int:
        """How fast the node's clock runs against the agent's."""
        gain = (self._slope_low + self._slope_high) // 2
        return PPB * PPB // (PPB + gain) - PPB if gain > -PPB else PPB

    def fix(self, t_us: int) -> Fix | None:
        """What Unix time node time `t_us` is, with its bound; None before the first echo.

        Past and future alike widen the bound.
        """
        reference = self._reference
        if reference is None:
            return None
        away = t_us - reference.t_us
        gain = (self._slope_low + self._slope_high) // 2
        unix_us = (reference.low_us + reference.high_us) // 2 + away + away * gain // PPB
        spread = abs(away) * (self._slope_high - self._slope_low) // (2 * PPB)
        half = (reference.high_us - reference.low_us + 1) // 2
        return Fix(t_us, unix_us, self.rate_ppb, half + spread + 1)

    @property
    def last_us(self) -> int | None:
        """Node time of the newest echo taken in."""
        return None if self._reference is None else self._reference.t_us
