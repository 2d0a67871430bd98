"""How long something has lasted, whatever is done to the machine's clock meanwhile."""

from collections.abc import Callable, Container

# By so much no clock drifts between two looks; and a look that the disk holds up for so long is none.
SET_MS = 10_000


class Lapse:
    """`unix_ms` and `steady_ms`: the machine's clocks; `live`: the nodes that are there."""

    def __init__(
        self, unix_ms: Callable[[], int], steady_ms: Callable[[], int], live: Container[bytes]
    ) -> None:
        self._unix_ms = unix_ms
        self._steady_ms = steady_ms
        self._live = live
        self._seen: tuple[int, int] | None = None
        self._away_ms: dict[bytes, tuple[int, int]] = {}

    def set_by_ms(self) -> int:
        """By how much the clock was set since the last look; 0: it was not."""
        seen = self._unix_ms(), self._steady_ms()
        before, self._seen = self._seen or seen, seen
        by_ms = (seen[0] - before[0]) - (seen[1] - before[1])
        return by_ms if abs(by_ms) >= SET_MS else 0

    def away_ms(self, node: bytes) -> int:
        """How long the node has been away without a break, as long as this is asked all the time."""
        now_ms = self._steady_ms()
        since_ms, asked_ms = self._away_ms.get(node, (now_ms, now_ms))
        if node in self._live or now_ms - asked_ms > SET_MS:
            since_ms = now_ms
        self._away_ms[node] = since_ms, now_ms
        return now_ms - since_ms
