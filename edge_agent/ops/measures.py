"""Counts of how long things take, kept all the while at a few additions each; metrics.py shows them."""

from bisect import bisect_left
from collections.abc import Sequence

# Seconds. From an SSD's commit to a disk that nobody should use.
COMMIT_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 1.0, 5.0)


class Durations:
    """A histogram of seconds; used from one thread, read from any."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.total = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Prometheus's buckets: (upper bound, how many took no longer), "+Inf" last."""
        out: list[tuple[str, float]] = []
        so_far = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), list(self._counts), strict=True):
            so_far += count
            out.append((bound, so_far))
        return out


class Measures:
    """What one agent measures of itself, in seconds.

    `commit`: from a group's hand-over to the store until it is durable; `fsync`: its
    COMMIT alone, which is the disk's; `lag`: how late the event loop comes.
    """

    def __init__(self) -> None:
        self.commit = Durations(COMMIT_BUCKETS)
        self.fsync = Durations(COMMIT_BUCKETS)
        self.lag = Durations(LAG_BUCKETS)
