"""How much is done at a time, where commits of a running agent have to come in between."""

import time
from collections.abc import Generator
from contextlib import contextmanager

TARGET_S = 0.015


class Portion:
    """A number of things, from `least` to `most`, that takes about TARGET_S on this machine and disk.

    `size`: how many to take next; it begins small, is halved when they took twice as long and doubled when
    they took less than half.
    """

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most
        self.size = max(least, most // 8)

    @contextmanager
    def taken(self) -> Generator[int]:
        """Around what is done with so many."""
        began = time.perf_counter()
        yield self.size
        took = time.perf_counter() - began
        if took > 2 * TARGET_S:
            self.size = max(self._least, self.size // 2)
        elif took < TARGET_S / 2:
            self.size = min(self._most, self.size * 2)
