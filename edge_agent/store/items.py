"""What links bring to the store, and what becomes of it."""

from enum import Enum
from typing import NamedTuple

from edge_agent.hearsay import Summary
from edge_agent.ranges import Pair

Said = tuple[bytes, int, bool, int]


class Frame(NamedTuple):
    """An authentic frame, and what it says of others: a boot frame of earlier boots, a loss frame of its
    neighbours.

    `previous`: a statement (boot, known_next, clean, bound_s); `earlier`: more of them, and summaries, oldest
    first.
    """

    node: bytes
    boot: bytes
    seq: int
    plaintext: bytes
    received_ms: int
    previous: Said | None = None
    earlier: tuple[Said | Summary, ...] = ()
    losses: tuple[tuple[int, int, int], ...] = ()


class Hello(NamedTuple):
    """The position of an accepted hello: no lesser or equal one is ever accepted again."""

    node: bytes
    ed_pub: bytes
    x_pub: bytes
    counter: int
    conn: int


class Held(NamedTuple):
    """What a node whose connection proved live says that it holds: (boot, next number, ranges), newest boot
    first.
    """

    node: bytes
    boots: tuple[tuple[bytes, int, tuple[Pair, ...]], ...]
    live_ms: int


class Entry(NamedTuple):
    """A leaf entry that is not a frame, encoded: kind 2 (clock fit), 3 (statement) …

    `person`: whose it is when it is to be erased with that person's data (kind 5, what was typed).
    """

    kind: int
    data: bytes
    made_ms: int
    person: bytes | None = None


class Count(NamedTuple):
    """So many more of something counted by name."""

    name: str
    more: int


class Write(NamedTuple):
    """A change of a table beside the journal, in one transaction with the items that are added with it."""

    sql: str
    bindings: tuple[bytes | int | str | None, ...]


Item = Frame | Hello | Held | Entry | Count | Write


class Outcome(Enum):
    """What became of an item: STORED now; RESENT: was there already; CONFLICT: the number holds other
    content.
    """

    STORED = 0
    RESENT = 1
    CONFLICT = 2
