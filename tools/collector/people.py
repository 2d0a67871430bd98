"""Whose frames a store holds, by the signed records that are in it, and the erasure of a person's.

A record counts when an operator signed it whose public key lies in the collector's `operators/` (a former
one's in `operators/former/`). What is erased leaves the hash of its entry and the node's own leaf hash, so
that batches and attestations stay provable.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_agent.people.operators import Operators
from edge_agent.people.state import PeopleError, PeopleState
from edge_agent.readable import counted
from protocol import attest, batch, frames, merkle
from protocol.errors import ProtocolError
from protocol.records import open_record, read_record
from tools.collector import schema
from tools.collector.dating import Dates
from tools.collector.folder import OPERATORS
from tools.collector.store import Store

NOT_BELIEVED = "erasure_not_believed"
"""The alarm that an erasure came which nobody known here signed; over when somebody is."""

AT_ONCE = 500
"""Frames in one transaction: nobody waits long."""

SETTLED_MS = 600_000
"""A batch of that age is followed by no batch with a lower row number, whichever collector stored it."""

KEPT = (frames.KIND_BOOT, frames.KIND_LOSS, frames.KIND_LOST_BEFORE, frames.KIND_ATTEST)
"""Frames that say nothing of a person: when a boot began, what is missing, what a node signed for."""

_RECORDS = (batch.ENTRY_ASSIGNMENT, batch.ENTRY_CONSENT, batch.ENTRY_ERASURE)


def people(store: Store, folder: Path, now_ms: int) -> PeopleState:
    """What the believed records say together. `folder`: of the operators. KeyFileError, OSError."""
    operators = Operators(folder)
    state = PeopleState()
    for record in _records(store):
        try:
            by = read_record(record)["by"]
            key = operators.key_of(by, past=True)
            if key is not None:
                fields = open_record(record, key)
                state.check(fields, now_ms)
                state.take(fields)
        except (ProtocolError, PeopleError):
            continue  # It says nothing, then; a changed one is verify's to name.
    return state


def _records(store: Store) -> Iterator[bytes]:
    marks = ", ".join("?" * len(_RECORDS))
    for (entry,) in store.db.execute(
        f"SELECT entry FROM statements WHERE kind IN ({marks}) ORDER BY batch, position", _RECORDS
    ).fetchall():
        yield batch.parse_entry(entry)[1]


class Erasing:
    """Carries erasures out. `run` as often as one likes: it goes on where it was."""

    def __init__(self, store: Store, operators: Path):
        self._store = store
        self._operators = operators

    def run(self, now_ms: int) -> list[str]:
        """Erase what is due; sentences for a person to read."""
        store = self._store
        with store.reading():
            due = store.db.execute(
                "SELECT batch, position, person, done_batch, scrubbed FROM erasures ORDER BY batch, position"
            ).fetchall()
            if not due:
                return []
            state = people(store, self._operators, now_ms)
            alarms = store.alarms()
            (highest,) = store.db.execute("SELECT max(id) FROM batches").fetchone()
            (settled,) = store.db.execute(
                "SELECT coalesce(max(id), 0) FROM batches WHERE received_ms < ?", (now_ms - SETTLED_MS,)
            ).fetchone()
        said: list[str] = []
        self._end_alarms(alarms, state)
        for row, position, person, done, scrubbed in due:
            if state.erased_at(person) is None:
                self._alarm(
                    now_ms,
                    NOT_BELIEVED,
                    f"{_name(person)}: no operator known here signed it; put the .pub of who did into"
                    f" {OPERATORS}/",
                )
                continue
            if done >= highest and scrubbed:
                continue
            erased = self._erase(state, person, done, now_ms)
            todo = store.db.scrub() if erased or not scrubbed else ""
            with store.transaction():
                store.db.execute(
                    "UPDATE erasures SET done_batch = ?, scrubbed = 1 WHERE batch = ? AND position = ?",
                    (max(done, min(settled, highest)), row, position),
                )
            if erased or not scrubbed:
                said.append(
                    f"{_name(person)} is erased: {counted(erased, 'entry')}" + (f"; {todo}" if todo else "")
                )
                self._alarm(now_ms, "erased", f"{_name(person)}" + (f": {todo}" if todo else ""))
        return said

    def _end_alarms(self, alarms: list[tuple[int, str, str]], state: PeopleState) -> None:
        """Of erasures that are believed by now."""
        for _, code, detail in alarms:
            if code != NOT_BELIEVED:
                continue
            person = bytes.fromhex(detail.removeprefix("person ").split(":")[0])
            if state.erased_at(person) is not None:
                with self._store.transaction():
                    self._store.alarm_over(code, detail)

    def _alarm(self, now_ms: int, code: str, detail: str) -> None:
        with self._store.transaction():
            self._store.alarm(now_ms, code, detail)

    def _erase(self, state: PeopleState, person: bytes, done: int, now_ms: int) -> int:
        n = 0
        for node in sorted({span.node for span in state.spans(person=person)}):
            dates, after = Dates(self._store, node), (b"", -1)
            while True:
                rows = self._store.db.execute(
                    "SELECT boot, seq, kind, t_us, received_ms FROM frames WHERE node = ?"
                    " AND (boot, seq) > (?, ?) AND batch > ? ORDER BY boot, seq LIMIT ?",
                    (node, *after, done, AT_ONCE),
                ).fetchall()
                if not rows:
                    break
                after = (rows[-1][0], rows[-1][1])
                theirs = [
                    (boot, seq)
                    for boot, seq, kind, t_us, received_ms in rows
                    if kind not in KEPT
                    and person in state.persons_between(node, *dates.of(boot, t_us, received_ms))
                ]
                if theirs:
                    with self._store.transaction([node]):
                        n += sum(self._forget(node, boot, seq) for boot, seq in theirs)
        return n + self._forget_typed(person)

    def _forget(self, node: bytes, boot: bytes, seq: int) -> int:
        db, name = self._store.db, (node, boot, seq)
        where = "WHERE node = ? AND boot = ? AND seq = ?"
        row = db.execute(
            f"SELECT plaintext, received_ms, batch, position FROM frames {where}", name
        ).fetchone()
        if row is None:
            return 0
        plaintext, received_ms, batch_row, position = row
        entry = batch.frame_entry(node, boot, seq, plaintext, received_ms)
        hole = (batch_row, position, merkle.leaf_hash(entry), schema.ERASED)
        attested = merkle.leaf_hash(attest.leaf(boot, seq, plaintext))
        db.execute("INSERT INTO holes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*hole, *name, attested))
        db.execute(f"DELETE FROM frames {where}", name)
        lost = db.execute(f"DELETE FROM conflicts {where}", name).rowcount
        if lost:
            self._store.count("stored", "conflicts", -lost)
        self._store.count("stored", "erased")
        return 1

    def _forget_typed(self, person: bytes) -> int:
        """What was typed about the person."""
        n = 0
        with self._store.transaction([person]):
            db: Any = self._store.db
            for row, position, entry in db.execute(
                "SELECT batch, position, entry FROM statements WHERE kind = ?", (batch.ENTRY_MANUAL,)
            ).fetchall():
                if read_record(batch.parse_entry(entry)[1])["person"] != person:
                    continue
                hole = (row, position, merkle.leaf_hash(entry), schema.ERASED)
                db.execute("INSERT INTO holes (batch, position, leaf, cause) VALUES (?, ?, ?, ?)", hole)
                db.execute("DELETE FROM statements WHERE batch = ? AND position = ?", (row, position))
                n += 1
        return n


def _name(person: bytes) -> str:
    return f"person {person.hex()}"
