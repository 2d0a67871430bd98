"""Erasing a person: which rows of the store are theirs, and destroying them, a piece at a time.

Frames that were measured while a node was that person's go, and those that can have been: a frame that may
be of two persons belongs to neither's record, so it is missed by nobody. What was typed goes too, what was
ordered of their nodes, and when they had alarms. What stays is said in docs/people.md: the hashes, by which
the chain and what nodes signed can still be checked, and the signed records that say that there was somebody.

Each piece is one durable step, and a piece that is done is not found again: whoever was cut off begins again.
"""

import logging
from collections.abc import Iterator
from typing import Any

from edge_agent.people.dates import Dates
from edge_agent.people.state import PeopleState
from edge_agent.store import details
from edge_agent.store.rows import JournalRow, SealBroken, journal_rows
from edge_agent.store.schema import ENTRY_FRAME, ENTRY_MANUAL
from edge_agent.store.store import Store
from protocol import batch as wire
from protocol import cbor
from protocol.errors import ProtocolError
from protocol.records import read_record

log = logging.getLogger("vitalwire.people")

# Rows that are looked at, and destroyed, between two moments at which others have the store.
PIECE = 500


def rows_of(db: Any, state: PeopleState, person: bytes, after: int = 0) -> Iterator[list[int]]:
    """Journal ids after `after` of everything kept of a person, in pieces; some are empty."""
    typed: list[int] = []
    for (at,) in db.execute(
        f"SELECT id FROM journal WHERE kind = {ENTRY_MANUAL} AND data IS NOT NULL AND id > ? ORDER BY id",
        (after,),
    ).fetchall():
        row = _opened(db, at)
        if row is not None and _about(row.data) == person:
            typed.append(at)
    yield typed
    for node in sorted({span.node for span in state.spans(person)}):
        dates = Dates(db)
        for (boot,) in db.execute("SELECT id FROM boots WHERE node = ? ORDER BY boot", (node,)).fetchall():
            reached = -1
            while True:
                found = db.execute(
                    f"SELECT id, seq FROM journal WHERE kind = {ENTRY_FRAME} AND boot = ? AND seq > ? "
                    "ORDER BY seq LIMIT ?",
                    (boot, reached, PIECE),
                ).fetchall()
                if not found:
                    break
                reached = found[-1][1]
                mine: list[int] = []
                for at, _ in found:
                    row = _opened(db, at) if at > after else None
                    if row is not None and row.data is not None and person in dates.may_be(state, row):
                        mine.append(at)
                yield mine


def conflicts_of(db: Any, state: PeopleState, person: bytes) -> list[int]:
    """Rows in `conflicts` that can be that person's; of the other frame with that number the data may be gone
    long since.
    """
    found: list[int] = []
    for node in sorted({span.node for span in state.spans(person)}):
        dates = Dates(db)
        for at, boot, seq, data, received_ms in db.execute(
            "SELECT c.rowid, b.boot, c.seq, c.data, c.received_ms FROM conflicts c "
            "JOIN boots b ON b.id = c.boot WHERE b.node = ?",
            (node,),
        ).fetchall():
            row = JournalRow(0, ENTRY_FRAME, node, boot, seq, data, received_ms)
            if person in dates.may_be(state, row):
                found.append(at)
    return found


def alarms_of(db: Any, state: PeopleState, person: bytes) -> tuple[list[int], list[int]]:
    """Rows of `strips` and of `alarm_windows` that can be that person's: who had an alarm when.

    A strip that is the newest of all stays until there is a newer one: forwarders go by ids, none of which
    may be given twice.
    """
    newest = db.execute("SELECT max(id) FROM strips").fetchone()[0]
    strips: list[int] = []
    windows: list[int] = []
    for node in sorted({span.node for span in state.spans(person)}):
        dates = Dates(db)
        for found, sql in (
            (strips, "SELECT id, boot, from_us, to_us, made_ms FROM strips WHERE node = ?"),
            (windows, "SELECT id, boot, at_us, at_us, heard_ms FROM alarm_windows WHERE node = ?"),
        ):
            for at, boot, from_us, to_us, made_ms in db.execute(sql, (node,)).fetchall():
                low_ms = dates.of(_moment(node, boot, from_us, made_ms)).low_ms
                high_ms = dates.of(_moment(node, boot, to_us, made_ms)).high_ms
                if person in state.persons_between(node, low_ms, high_ms):
                    found.append(at)
    return [at for at in strips if at != newest], windows


def _moment(node: bytes, boot: bytes, t_us: int, received_ms: int) -> JournalRow:
    """A node time, for Dates.of, as if a frame had been made then."""
    return JournalRow(0, ENTRY_FRAME, node, boot, 0, cbor.dumps([0, t_us, {}]), received_ms)


def _opened(db: Any, at: int) -> JournalRow | None:
    try:
        # To its end: what is still being read holds up the emptying of the log.
        found = list(journal_rows(db, at, at))
    except SealBroken as e:
        # Nobody can read it, nor say whose it is.
        log.error("entry %d: %s: it is left as it is", at, e)
        return None
    return found[0] if found else None


def _about(entry: bytes | None) -> bytes | None:
    try:
        return None if entry is None else read_record(wire.parse_entry(entry)[1])["person"]
    except ProtocolError:
        return None


class Erasure:
    """The erasure of one person; `step()` from the store's thread until it says that all is gone. SealBroken:
    an entry under one of the keys is damaged, so that it cannot be told from somebody else's.
    """

    def __init__(self, store: Store, state: PeopleState, person: bytes) -> None:
        self._store = store
        self._person = person
        self._name = f"erased {person.hex()}"
        self._upto = store.last_journal
        after: int = store.meta(self._name) or 0
        self._pieces = rows_of(store.db, state, person, after)
        self._state = state
        self.erased = 0

    def _theirs(self, node: bytes, since_ms: int, made_ms: int) -> bool:
        return self._person in self._state.persons_between(node, since_ms, made_ms)

    def step(self) -> bool:
        """Destroy the next piece, durably; whether there is more. StoreUnwritable: as if not begun."""
        for piece in self._pieces:
            if piece:
                self.erased += self._store.erase(piece)
            return True
        self._store.db.pragma("secure_delete", True)
        with self._store.transaction() as db:
            for at in conflicts_of(db, self._state, self._person):
                db.execute("DELETE FROM conflicts WHERE rowid = ?", (at,))
            strips, windows = alarms_of(db, self._state, self._person)
            db.executemany("DELETE FROM strips WHERE id = ?", [(at,) for at in strips])
            db.executemany("DELETE FROM alarm_windows WHERE id = ?", [(at,) for at in windows])
            self.erased += details.erase(db, self._store.sealer, self._person, self._theirs)
            self._store.set_meta(db, self._name, self._upto)
        # Keys and log: last, so that nothing is written after, and each time, in case it was cut off here.
        self._store.erased(self._person)
        return False
