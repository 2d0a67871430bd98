"""What links bring to the store, and what becomes of it."""

from enum import Enum
from typing import Any, NamedTuple

from edge_agent.ledger.hearsay import Summary
from edge_agent.ledger.ranges import Pair

Said = tuple[bytes, int, bool, int]


class Write(NamedTuple):
    """A change of a table beside the journal, in one transaction with the items that are added with it."""

    sql: str
    bindings: tuple[bytes | int | str | None, ...]


class Frame(NamedTuple):
    """An authentic frame, and what it says of others: a boot frame of earlier boots, a loss frame of its
    neighbours.

    `previous`: a statement (boot, known_next, clean, bound_s); `earlier`: more of them, and summaries, oldest
    first. `along`: what is made when the frame is stored, in the same transaction, but not again.
    `lost_before`: losses of earlier boots, each (boot, first, count, reason).
    """

    node: bytes
    boot: bytes
    seq: int
    plaintext: bytes
    received_ms: int
    previous: Said | None = None
    earlier: tuple[Said | Summary, ...] = ()
    losses: tuple[tuple[int, int, int], ...] = ()
    along: tuple[Write, ...] = ()
    lost_before: tuple[tuple[bytes, int, int, int], ...] = ()


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


class Sealed(NamedTuple):
    """A row of which a part is sealed under the data key of `node` (None: not), in one transaction with the
    items that are added with it. `sql` takes `bindings`, whose first is the row's name, then the id of the
    key, then what was sealed.
    """

    sql: str
    bindings: tuple[Any, ...]
    secret: bytes
    at_ms: int
    node: bytes | None


Item = Frame | Hello | Held | Entry | Count | Write | Sealed


class Outcome(Enum):
    """What became of an item: STORED now; RESENT: was there already; CONFLICT: the number holds other
    content.
    """

    STORED = 0
    RESENT = 1
    CONFLICT = 2
