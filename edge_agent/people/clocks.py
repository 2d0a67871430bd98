"""A boot's clock: when a node time was, by the clock fits of that boot, also where these contradict each
other.

A fit says that node time `t_us` was `unix_us` ± `bound_us`, and how fast the node's clock runs. Two fits that
no clock within DRIFT_PPB of its rate can meet contradict each other: the agent's clock was set in between,
and nothing in the boot says before or after which of them it was right. Then each of them may be right for
every frame of the boot, and the date of a frame is an interval that holds them all.

A step within what DRIFT_PPB allows over the time between two fits, and their bounds, is not seen: 2 ms in
10 s, 0.7 s in an hour without a fit. It passes for the crystal's drift, and dates may lie that far outside
their intervals.

Exactly. The fits are taken in the order of node time. *Allowed* is what Unix time the newest can have been by
all of its regime: first its own interval; then what was allowed, carried to the next fit (Fit.at), cut with
that fit's interval. Where nothing is left, that fit begins another regime. The *shift* between the two is the
way from the middle of what the last fit before says of that moment to what the new one says, known to within
the bounds of both there, its *slack*. A node time is dated by the nearest fit. Where there are several
regimes, that interval is also moved by the shifts to the earliest and to the latest of them and made wider by
all slack together: the date is the hull of these.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import NamedTuple

# A crystal is within so much of its fit, however long ago that was (clockfit.MAX_RATE_PPB).
DRIFT_PPB = 200_000
PPB = 1_000_000_000
# So many fits are kept when they become twice as many; fewer make dates wider, never wrong.
MOST_FITS = 64


class Fit(NamedTuple):
    """Node time `t_us` was `unix_us` ± `bound_us`, and ran `rate_ppb` fast."""

    t_us: int
    unix_us: int
    rate_ppb: int
    bound_us: int

    def at(self, t_us: int) -> tuple[int, int]:
        """(earliest, latest) Unix time in us that node time `t_us` can have been."""
        away = t_us - self.t_us
        unix_us = self.unix_us + away * PPB // max(1, PPB + self.rate_ppb)
        spread = self.bound_us + abs(unix_us - self.unix_us) * DRIFT_PPB // PPB
        return unix_us - spread, unix_us + spread


class Kept(NamedTuple):
    """A fit with its regime's shift in us; `name`: whatever whoever added it calls it by."""

    fit: Fit
    shift: int
    name: int


class Clock:
    """The clock of one boot. `regimes`: how many there are: 1, or the fits contradict each other."""

    def __init__(self, fits: Iterable[Fit] = ()) -> None:
        self.regimes = 0
        self.kept: list[Kept] = []
        self._newest: Fit | None = None
        self._allowed = (0, 0)
        self._shift = 0
        self._lowest = self._highest = 0
        self._slack = 0
        for fit in sorted(fits):
            self.add(fit)

    def add(self, fit: Fit, name: int = 0) -> None:
        """One more, which is not of an earlier node time than the newest."""
        before = self._newest
        assert before is None or fit.t_us >= before.t_us
        own = fit.unix_us - fit.bound_us, fit.unix_us + fit.bound_us
        low, high = own
        if before is not None:
            middle = sum(self._allowed) // 2
            carried = before._replace(unix_us=middle, bound_us=self._allowed[1] - middle).at(fit.t_us)
            low, high = max(low, carried[0]), min(high, carried[1])
        if before is None or low > high:
            self.regimes += 1
            self._allowed = own
            if before is not None:
                said = before.at(fit.t_us)
                self._shift += fit.unix_us - sum(said) // 2
                self._slack += (said[1] - said[0] + 1) // 2 + fit.bound_us
        else:
            self._allowed = low, high
        self._newest = fit
        self._lowest, self._highest = min(self._lowest, self._shift), max(self._highest, self._shift)
        insort(self.kept, Kept(fit, self._shift, name))
        if len(self.kept) >= 2 * MOST_FITS:
            self.kept = [*self.kept[:-1:2], self.kept[-1]]

    def __bool__(self) -> bool:
        return bool(self.kept)

    @property
    def last_us(self) -> int:
        """Node time of the newest fit."""
        return 0 if self._newest is None else self._newest.t_us

    @property
    def apart_us(self) -> int:
        """How far apart the regimes are, at most."""
        return self._highest - self._lowest

    def nearest(self, t_us: int) -> Kept:
        """The fit nearest to a node time; there is one."""
        at = bisect_left(self.kept, t_us, key=lambda one: one.fit.t_us)
        return min(self.kept[max(0, at - 1) : at + 1], key=lambda one: abs(one.fit.t_us - t_us))

    def at(self, t_us: int) -> tuple[int, int]:
        """(earliest, latest) Unix time in us that node time `t_us` can have been; there is a fit."""
        fit, shift, _ = self.nearest(t_us)
        low, high = fit.at(t_us)
        if self.regimes == 1:
            return low, high
        return low + self._lowest - shift - self._slack, high + self._highest - shift + self._slack

    def around(self, t_us: int) -> Fit:
        """The nearest fit; where the fits contradict each other, one for that moment that holds them all."""
        fit = self.nearest(t_us).fit
        if self.regimes == 1:
            return fit
        low, high = self.at(t_us)
        return Fit(t_us, (low + high) // 2, fit.rate_ppb, (high - low + 1) // 2)
