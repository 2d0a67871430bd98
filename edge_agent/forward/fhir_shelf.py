"""What the FHIR forwarder reads in the store: which batches go together, and what is known of a boot.

Batches of one chain, one after the other, that were signed within one minute are one group, 64 at most: what
they hold of a minute becomes one observation. The evidence that is kept for a batch says which one its group
ended with, so a group that is sent again, by whatever cause, makes the same resources. Used in the store's
thread.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from edge_agent.forward.fhir_map import Batch
from edge_agent.nodes.clockfit import Fix
from edge_agent.people.dates import Dates
from edge_agent.store.database import Database
from edge_agent.store.rows import frames_of
from edge_agent.store.store import Store
from protocol import frames as f
from protocol.errors import ProtocolError

NAME = "fhir"
MINUTE_MS = 60_000
GROUP = 64
# An agent that signs nothing more leaves a minute open for so long after its end.
SETTLED_MS = 10_000


class People(Protocol):
    """Whose a node was, and what they agreed to."""

    def person_at(self, node: bytes, unix_ms: int) -> bytes | None:
        """Whose node it was then."""
        ...

    def allows(self, forwarder: str, purpose: str, person: bytes, unix_ms: int) -> bool:
        """Whether the person agreed."""
        ...


class Group(NamedTuple):
    """Batches that are mapped together: their ids, what proves them, whether there will be no more."""

    ids: list[int]
    batches: list[Batch]
    closed: bool


class Letter(NamedTuple):
    """A dead letter: its row, the first batch of its group, the name of what was refused, why, and when."""

    id: int
    batch: int
    item: str
    reason: str
    at_ms: int


def retry_file(state_dir: Path) -> Path:
    """Its being there asks the agent to try the dead letters again; the agent takes it away."""
    return state_dir / "dead-letters.retry"


def group_of(db: Database, batch: int, now_ms: int) -> Group:
    """The group that a batch belongs to: that in which it was taken, or the one which it begins."""
    chain, number, made_ms = db.execute(
        "SELECT chain, number, made_ms FROM batches WHERE id = ?", (batch,)
    ).fetchone()
    minute, block = made_ms // MINUTE_MS, number // GROUP
    found = db.execute(
        "SELECT b.id, b.chain, b.number, b.signed, b.made_ms, r.receipt FROM batches b "
        "LEFT JOIN receipts r ON r.batch = b.id AND r.forwarder = ? "
        "WHERE b.chain = ? AND b.number BETWEEN ? AND ? ORDER BY b.number",
        (NAME, chain, block * GROUP, block * GROUP + GROUP - 1),
    ).fetchall()
    ends = {row[0]: None if row[5] is None else _end(row[0], row[5]) for row in found}
    # One that follows members of a group which was cut off while it was confirmed belongs to that.
    taken = max((end for one, end in ends.items() if end is not None and one <= batch <= end), default=None)
    if taken is not None:
        members = [
            row for row in found if ends[row[0]] == taken or (row[0] <= taken and ends[row[0]] is None)
        ]
        return _group(members, True)
    members: list[Any] = []
    for row in found:
        if row[0] < batch:
            continue
        if row[4] // MINUTE_MS != minute or ends[row[0]] is not None:
            break
        members.append(row)
    (newest,) = db.execute("SELECT max(id) FROM batches").fetchone()
    over = now_ms >= (minute + 1) * MINUTE_MS + SETTLED_MS
    return _group(members, over or newest > members[-1][0])


def _group(rows: list[Any], closed: bool) -> Group:
    return Group([row[0] for row in rows], [Batch(*row[1:5]) for row in rows], closed)


def _end(batch: int, evidence: bytes) -> int:
    """The last batch of the group in which one was taken: its own evidence, or where that is to be seen."""
    return int(json.loads(evidence).get("see", batch))


def letters(db: Database, forwarder: str, limit: int = 1000) -> list[Letter]:
    """The oldest dead letters of a forwarder."""
    found = db.execute(
        "SELECT id, batch, item, reason, at_ms FROM dead_letters WHERE forwarder = ? ORDER BY id LIMIT ?",
        (forwarder, limit),
    )
    return [Letter(*row) for row in found]


def has_letter(db: Database, forwarder: str, batch: int, item: str) -> bool:
    """Whether that is a dead letter already."""
    question = "SELECT 1 FROM dead_letters WHERE forwarder = ? AND batch = ? AND item = ?"
    return db.value(question, (forwarder, batch, item)) is not None


def forget(store: Store, letter: int) -> None:
    """What a dead letter is about was taken after all, or is gone. StoreUnwritable."""
    with store.transaction() as db:
        db.execute("DELETE FROM dead_letters WHERE id = ?", (letter,))


class Shelf:
    """fhir_gather.Look on a store. Without `people` nobody is known, so nothing leaves."""

    def __init__(self, db: Database, people: People | None) -> None:
        self._db = db
        self._people = people
        self._dates = Dates(db)
        self._rows: dict[tuple[bytes, bytes], int | None] = {}

    def person_at(self, node: bytes, unix_ms: int) -> bytes | None:
        """Whose node it was then."""
        return None if self._people is None else self._people.person_at(node, unix_ms)

    def allows(self, forwarder: str, purpose: str, person: bytes, unix_ms: int) -> bool:
        """Whether the person agreed."""
        return self._people is not None and self._people.allows(forwarder, purpose, person, unix_ms)

    def fix(self, node: bytes, boot: bytes, t_us: int) -> Fix | None:
        """The clock fit of that boot that is nearest to a node time; where fits contradict each other, one
        that holds them all.
        """
        row = self._row(node, boot)
        clock = None if row is None else self._dates.clock(row)
        return Fix(*clock.around(t_us)) if clock else None

    def boot_frame(self, boot: bytes, node: bytes) -> dict[int, Any] | None:
        """The body of the frame that the boot begins with."""
        for _, plaintext in self.frames(node, boot, 0, 2):
            try:
                kind, _, body = f.unpack(plaintext)
            except ProtocolError:
                continue
            if kind == f.KIND_BOOT:
                return body
        return None

    def frames(self, node: bytes, boot: bytes, first: int, count: int) -> list[tuple[int, bytes]]:
        """The frames of that range that are in the store: (number, plaintext)."""
        row = self._row(node, boot)
        if row is None:
            return []
        found = frames_of(self._db, row, first, first + count - 1)
        return [(one.seq, one.data) for one in found if one.seq is not None and one.data is not None]

    def _row(self, node: bytes, boot: bytes) -> int | None:
        key = (node, boot)
        if key not in self._rows:
            self._rows[key] = self._db.value("SELECT id FROM boots WHERE node = ? AND boot = ?", key)
        return self._rows[key]
