"""Sets of sequence numbers, kept as ranges: a day of frames is one range, not a million numbers."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Pair = tuple[int, int]


class Ranges:
    """A set of non-negative integers as ascending, disjoint, non-touching ranges.

    Iterates as (first, count).
    """

    __slots__ = ("_ends", "_starts", "count")

    def __init__(self, pairs: Iterable[Iterable[int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.count = 0
        for pair in pairs:
            first, count = pair
            self.add(first, count)

    def add(self, first: int, count: int = 1) -> None:
        """Put first … first+count-1 in; numbers that are there already stay once."""
        if count <= 0:
            return
        if self._ends and first == self._ends[-1]:
            # As nearly always.
            self._ends[-1] += count
            self.count += count
            return
        start, end = first, first + count
        i = bisect_left(self._ends, start)
        j = bisect_right(self._starts, end)
        if i < j:
            start = min(start, self._starts[i])
            end = max(end, self._ends[j - 1])
            self.count -= sum(self._ends[k] - self._starts[k] for k in range(i, j))
        self._starts[i:j] = [start]
        self._ends[i:j] = [end]
        self.count += end - start

    def __contains__(self, number: int) -> bool:
        i = bisect_right(self._starts, number) - 1
        return i >= 0 and number < self._ends[i]

    def __iter__(self) -> Iterator[Pair]:
        for start, end in zip(self._starts, self._ends, strict=True):
            yield start, end - start

    def __len__(self) -> int:
        return len(self._starts)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._starts == other._starts and self._ends == other._ends

    def __hash__(self) -> int:
        raise TypeError("Ranges change; they have no hash")

    def __repr__(self) -> str:
        return f"Ranges({list(self)!r})"

    @property
    def end(self) -> int:
        """One more than the greatest number, or 0 when empty."""
        return self._ends[-1] if self._ends else 0

    def minus(self, other: "Ranges") -> "Ranges":
        """The numbers that are here and not in `other`."""
        out = Ranges()
        for start, end in zip(self._starts, self._ends, strict=True):
            at = start
            k = bisect_right(other._ends, start)
            while k < len(other._starts) and other._starts[k] < end:
                out.add(at, other._starts[k] - at)
                at = max(at, other._ends[k])
                k += 1
            out.add(at, end - at)
        return out

    def both(self, other: "Ranges") -> "Ranges":
        """The numbers that are in both."""
        return self.minus(self.minus(other))

    def union(self, other: "Ranges") -> "Ranges":
        """The numbers that are in either."""
        out = Ranges(self)
        for first, count in other:
            out.add(first, count)
        return out
