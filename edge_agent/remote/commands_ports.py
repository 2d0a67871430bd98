"""What the Commander asks of others, and how often it may be asked itself."""

from collections.abc import Callable
from typing import Any, Protocol

from edge_agent.nodes.orders import Order
from edge_agent.remote.commands_kept import Task

# Messages of any sort, and new commands of one authority: so many at once, so many a second.
MESSAGES = (60, 20.0)
COMMANDS = (20, 0.5)


class Nodes(Protocol):
    """What is asked about nodes."""

    def paired(self, node: bytes) -> bool:
        """Whether it is paired with this agent."""
        ...

    def live(self, node: bytes) -> "tuple[bytes, int] | None":
        """(boot id, the boot's clock now in µs) where it is connected and its clock is known."""
        ...

    def give(
        self, node: bytes, kind: int, name: str, body: dict[int, Any], boot: bytes, valid_s: float
    ) -> Order:
        """Orders.give."""
        ...

    def withdraw(self, order: Order) -> None:
        """Orders.withdraw."""
        ...


class Strips(Protocol):
    """Who serves strips."""

    def begin(self, task: Task, t_us: int) -> dict[int, Any]:
        """What is to be served, for the task's row; the node's clock is at `t_us`."""
        ...

    def serve(self, task: Task, late: bool) -> None:
        """Serve it, and say so by Commander.served(); to be called until then. `late`: the command has
        expired: of what there is.
        """
        ...


class Bucket:
    """`most` at once, `per_s` a second."""

    def __init__(self, most: int, per_s: float, monotonic: Callable[[], float]) -> None:
        self._most, self._per_s, self._monotonic = most, per_s, monotonic
        self._left, self._at = float(most), monotonic()

    def take(self) -> bool:
        """Whether one more may pass."""
        now = self._monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
