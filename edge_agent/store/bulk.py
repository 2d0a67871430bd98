"""A group of frames becomes journal rows in few statements; and the newest rows stay at hand until they are
signed.

SQLite is asked once for up to 64 frames, not once for each: the store's thread then has to wait as seldom
for its turn while the event loop is busy.
"""

import os
from collections import deque
from collections.abc import Sequence
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING

from edge_agent.ledger.facts import BootFacts
from edge_agent.store import database, rows
from edge_agent.store.changes import Changes
from edge_agent.store.database import Database
from edge_agent.store.items import Frame, Item, Outcome
from edge_agent.store.rows import NONCE_BYTES, JournalRow
from edge_agent.store.schema import ENTRY_FRAME

if TYPE_CHECKING:
    from edge_agent.store.store import Store

# Frames in one statement. Few sizes: each is a statement that stays prepared.
SIZES = (64, 16, 4, 1)
# What is not signed meanwhile is read again from the disk.
RECENT_BYTES = 4 << 20

Run = list[tuple[Frame, BootFacts]]


def put_all(store: "Store", db: Database, items: Sequence[Item], changes: Changes) -> list[Outcome]:
    """Put these in, in their order, inside a transaction; the outcome of each."""
    outcomes: list[Outcome] = []
    run: Run = []
    numbers: set[tuple[int, int]] = set()
    for item in items:
        if (
            isinstance(item, Frame)
            and item.previous is None
            and not (item.earlier or item.losses or item.lost_before or item.along)
        ):
            boot = store.boot(db, item.node, item.boot, changes)
            number = boot.row, item.seq
            if item.seq not in boot.stored and number not in numbers:
                numbers.add(number)
                run.append((item, boot))
                continue
        if run:
            outcomes += _put_run(store, db, run, changes)
            run = []
        outcomes.append(store.put(db, item, changes))
    if run:
        outcomes += _put_run(store, db, run, changes)
    return outcomes


@cache
def _insert(count: int) -> str:
    values = ", ".join([f"({ENTRY_FRAME}, ?, ?, ?, ?, ?, ?)"] * count)
    return f"INSERT INTO journal(kind, boot, seq, data, made_ms, key, class) VALUES{values}"


def _put_run(store: "Store", db: Database, run: Run, changes: Changes) -> list[Outcome]:
    outcomes: list[Outcome] = []
    at = 0
    while at < len(run):
        size = next(n for n in SIZES if n <= len(run) - at)
        part = run[at : at + size]
        at += size
        try:
            db.execute(_insert(size), tuple(chain.from_iterable(_sealed(store, part))))
        except database.Constraint:
            # One of these numbers is there although memory does not know it; nothing of this part is.
            outcomes += [store.put(db, frame, changes) for frame, _ in part]
            continue
        changes.journal = db.last_insert_rowid()
        first = changes.journal - size + 1
        for journal, (frame, boot) in enumerate(part, first):
            node, boot_id, seq, plaintext, received_ms, *_ = frame
            changes.frames.append((boot, seq, received_ms))
            changes.rows.append(JournalRow(journal, ENTRY_FRAME, node, boot_id, seq, plaintext, received_ms))
        outcomes += [Outcome.STORED] * size
    return outcomes


def _sealed(store: "Store", part: Run) -> list[tuple[int, int, bytes, int, int, int]]:
    """The values of each row."""
    nonces = os.urandom(NONCE_BYTES * len(part))
    out: list[tuple[int, int, bytes, int, int, int]] = []
    at = 0
    for (node, boot_id, seq, plaintext, received_ms, *_), boot in part:
        key, aead = store.sealer.key(received_ms, node)
        nonce = nonces[at : at + NONCE_BYTES]
        at += NONCE_BYTES
        data = nonce + aead.encrypt(nonce, plaintext, rows.binding(boot_id, seq))
        out.append((boot.row, seq, data, received_ms, key, rows.class_of(plaintext)))
    return out


class Recent:
    """The newest rows of the journal without a hole, as they were committed, RECENT_BYTES at most."""

    def __init__(self) -> None:
        self._rows: deque[JournalRow] = deque()
        self._size = 0

    def add(self, rows: Sequence[JournalRow]) -> None:
        """These are on the disk now, in this order, after all that was."""
        for row in rows:
            if self._rows and row.id != self._rows[-1].id + 1:
                self.clear()
            self._rows.append(row)
            self._size += len(row.data or b"")
        while self._size > RECENT_BYTES:
            self._drop_first()

    def between(self, first: int, last: int) -> Sequence[JournalRow] | None:
        """The rows with these ids, both in, in order; None when not all of them are at hand."""
        if not self._rows or not self._rows[0].id <= first <= last <= self._rows[-1].id:
            return None
        before = self._rows[0].id
        return list(islice(self._rows, first - before, last - before + 1))

    def signed(self, last: int) -> None:
        """All up to that id are not needed any more."""
        while self._rows and self._rows[0].id <= last:
            self._drop_first()

    def clear(self) -> None:
        """Data of some of these may be gone from the disk."""
        self._rows.clear()
        self._size = 0

    def _drop_first(self) -> None:
        self._size -= len(self._rows.popleft().data or b"")
