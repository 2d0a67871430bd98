"""A disk that is full or read-only when it is told to be, beneath the agent's store."""

from collections.abc import Callable

from edge_agent.store import database
from tools.crash.victim import DISK_FULL, DISK_READ_ONLY
from tools.faults.disk import Disk

NAME = "steered"


class _Steered(Disk):
    """Asks at every write how it is."""

    def __init__(self, state: Callable[[], int]) -> None:
        self._state = state
        super().__init__(NAME)

    def step(self) -> None:
        super().step()
        state = self._state()
        self.room = 0 if state == DISK_FULL else None
        self.read_only = state == DISK_READ_ONLY


def register(state: Callable[[], int]) -> None:
    """All stores that this process opens lie on it from now on."""
    database.beneath = _Steered(state).name
