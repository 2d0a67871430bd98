"""What the store knows of each boot: what the ledger is made of."""

from dataclasses import dataclass, field

from edge_agent.ledger.hearsay import Statement, agreed
from edge_agent.ledger.ranges import Ranges

# A loss frame's reason (protocol.frames, which a reader of the ledger need not load).
LOSS_ELSEWHERE = 2


@dataclass
class BootFacts:
    """What the store knows of one boot; `row` is its number in the table of boots.

    `held` is by the newest live hello that listed the boot; `listed`: the node's newest one does. `said`:
    every different thing that later boots stated of it.
    """

    row: int
    node: bytes
    boot: bytes
    next_seq: int = 0
    held: Ranges = field(default_factory=Ranges)
    stored: Ranges = field(default_factory=Ranges)
    losses: Ranges = field(default_factory=Ranges)
    elsewhere: Ranges = field(default_factory=Ranges)
    agent_losses: Ranges = field(default_factory=Ranges)
    listed: bool = True
    said: list[Statement] = field(default_factory=list[Statement])
    delivered: int = 0
    evicted_here: int = 0
    duplicates: int = 0
    resent: int = 0
    conflicts: int = 0
    live_ms: int | None = None
    heard_ms: int = 0
    examined: int = 0

    def lost(self, first: int, count: int, reason: int) -> None:
        """A loss frame names these; a reason that is not known counts as an eviction."""
        (self.elsewhere if reason == LOSS_ELSEWHERE else self.losses).add(first, count)

    @property
    def counter(self) -> int:
        """The boot counter, the first four bytes of the boot id."""
        return int.from_bytes(self.boot[:4], "big")

    @property
    def statement(self) -> Statement | None:
        """What counts of all that was said of it."""
        return agreed(self.said)

    @property
    def produced(self) -> int:
        """How many numbers existed, as far as is known."""
        stated = self.statement
        return max(self.next_seq, self.stored.end, stated.known_next if stated else 0)
