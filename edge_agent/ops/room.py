"""What is logged of making room (store/retention.py): that it happens, its cost, that it is not enough."""

import logging
from typing import Protocol

from edge_agent.readable import counted

log = logging.getLogger("vitalwire.store")


class Kept(Protocol):
    """What a Keeper tells."""

    freed: int
    evicted: int
    pruned: int
    problem: str | None
    wanting: str | None


class RoomLog:
    """Logs after a pass, the 1st, 2nd, 4th, 8th … time: whoever runs at a quota has no line every 10 s."""

    def __init__(self, keeper: Kept) -> None:
        self._keeper = keeper
        self._made = 0
        self._lost = 0
        self._freed = self._evicted = self._pruned = 0
        self._problem: str | None = None

    def after_pass(self) -> None:
        """Say what the pass did. Used in the event loop's thread, between passes."""
        keeper = self._keeper
        freed, evicted, pruned = (
            keeper.freed - self._freed,
            keeper.evicted - self._evicted,
            keeper.pruned - self._pruned,
        )
        self._freed, self._evicted, self._pruned = keeper.freed, keeper.evicted, keeper.pruned
        if evicted:
            self._lost += 1
            if _worth_a_line(self._lost):
                log.warning(
                    "%s: %s given up BEFORE THEY WERE DELIVERED [%d since the start]: see why the far end "
                    "does not take them, or raise quota_mib",
                    keeper.wanting,
                    counted(evicted, "frame"),
                    keeper.evicted,
                )
        elif keeper.wanting is not None and (freed or pruned):
            self._made += 1
            if _worth_a_line(self._made):
                log.warning(
                    "%s: %s and %s whole given up, all of it delivered",
                    keeper.wanting,
                    counted(freed, "frame"),
                    counted(pruned, "batch"),
                )
        if keeper.problem is not None and self._problem is None:
            log.warning("%s", keeper.problem)
        self._problem = keeper.problem


def _worth_a_line(count: int) -> bool:
    return count & (count - 1) == 0
