"""When to try again: doubling delays with jitter, on an injected clock."""

import random
import time
from collections.abc import Callable


class Backoff:
    """Delays for one thing that fails and is tried again for ever.

    The n-th failure in a row gives a delay drawn from [d/2, d], d = first_s · 2^(n-1), at most max_s. A
    success that lasted less than `stable_s` does not count as one, so that a port which opens and dies at
    once is not hammered. Seconds throughout.
    """

    def __init__(
        self,
        first_s: float = 0.5,
        max_s: float = 30.0,
        stable_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._stable_s = stable_s
        self._clock = clock
        self._uniform = uniform
        self._succeeded_at: float | None = None
        self.failures = 0
        self.due = clock()

    def failed(self) -> float:
        """Note a failure; gives the seconds to wait before the next attempt."""
        now = self._clock()
        if self._succeeded_at is not None and now - self._succeeded_at >= self._stable_s:
            self.failures = 0
        self._succeeded_at = None
        self.failures += 1
        # The exponent is bounded so that years of failures do not make a number too large for a float.
        ceiling = min(self._max_s, self._first_s * 2 ** min(self.failures - 1, 30))
        delay = self._uniform(ceiling / 2, ceiling)
        self.due = now + delay
        return delay

    def succeeded(self) -> None:
        """Note a success; the delays begin anew if it lasts."""
        self._succeeded_at = self._clock()
        self.due = self._succeeded_at

    def wait_s(self) -> float:
        """Seconds until the next attempt is due, never negative."""
        return max(0.0, self.due - self._clock())
