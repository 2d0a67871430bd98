"""The store: what links bring, in groups that are each one durable transaction; frames once, whoever repeats
them.

One thread uses a Store at a time. What commit() has returned for is on the disk; what it raised for is not,
and nothing of it is remembered either. Beside the tables it keeps every boot's facts in memory
(ledger/facts.py), brought up to date after each commit.
"""

import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edge_agent.ledger.facts import BootFacts
from edge_agent.ledger.ledger import Ledger, account
from edge_agent.ledger.ranges import Ranges
from edge_agent.ops.measures import COMMIT_BUCKETS, Durations
from edge_agent.store import bulk, database, details, erasure, hearing, rows
from edge_agent.store.changes import Changes
from edge_agent.store.compacting import EMPTY_LOG
from edge_agent.store.database import Database
from edge_agent.store.errors import StoreCorrupt, StoreError, StoreUnwritable
from edge_agent.store.integrity import Mark, Watch, is_corrupt
from edge_agent.store.items import Entry, Frame, Held, Hello, Item, Outcome, Sealed, Write
from edge_agent.store.loading import load_facts, load_summaries, statements, withheld
from edge_agent.store.schema import ENTRY_FRAME, ENTRY_STATEMENT
from edge_agent.store.sealing import Sealer
from protocol import cbor

# Of a boot so many frames with other content than the first are kept as evidence: nothing ever makes room of
# them, and a node may make any number.
MOST_CONFLICTS = 1000


class Store:
    """An open store; open_store() of opening.py makes one. Times are Unix milliseconds.

    `reader` gives another connection to it, which only reads; Error as it comes.
    """

    def __init__(self, path: Path, db: Database, mark: Mark, reader: Callable[[], Database]) -> None:
        self.path = path
        self.reader = reader
        self.db = db
        self.fsync = Durations(COMMIT_BUCKETS)
        self._mark = mark
        self._watch = Watch(path)
        self.check()
        self.id: bytes = self.meta("store")
        self.agent_id: bytes = self.meta("agent")
        self.sealer = Sealer(db)
        self.recent = bulk.Recent()
        self._statements: tuple[tuple[str, dict[str, Any], int], ...] = ()
        self._stated = 0
        # Rows of boots that have more stored than the checkpoint says.
        self.uncharted: set[int] = set()
        self.facts = load_facts(db)
        self.summaries = load_summaries(db)
        self.boots = {(f.node, f.boot): f for f in self.facts.values()}
        self.seen_live: set[int] = set()
        self.uncharted.update(
            row
            for (row,) in db.execute(
                "SELECT DISTINCT boot FROM journal WHERE kind = 0 AND id > ?", (self.meta("checkpoint") or 0,)
            )
        )
        self.hellos: dict[bytes, tuple[int, int]] = {
            node: (counter, conn)
            for node, counter, conn in db.execute("SELECT node, counter, conn FROM nodes")
        }
        self.counters: dict[str, int] = dict(db.execute("SELECT name, count FROM counters").fetchall())
        self.last_journal: int = db.execute("SELECT coalesce(max(id), 0) FROM journal").fetchone()[0]
        self.last_batch: int = db.execute("SELECT coalesce(max(id), 0) FROM batches").fetchone()[0]
        self.frames: int = sum(f.stored.count for f in self.facts.values())

    # Transactions

    @contextmanager
    def transaction(self) -> Generator[Database]:
        """All of it durable at the end, or nothing: StoreUnwritable or StoreCorrupt."""
        try:
            with self.sealer.changes():
                self.db.execute("BEGIN IMMEDIATE")
                yield self.db
                began = time.perf_counter()
                self.db.execute("COMMIT")
                self.fsync.add(time.perf_counter() - began)
        except BaseException as e:
            if self.db.in_transaction:
                try:
                    self.db.execute("ROLLBACK")
                except database.Error as failed:
                    raise self.named(failed) from e
            if isinstance(e, database.Error):
                raise self.named(e) from e
            raise

    def check(self) -> None:
        """StoreCorrupt when the file, or its log, is no longer the one that is open."""
        problem = self._watch.problem()
        if problem is not None:
            raise StoreCorrupt(self.path, problem)

    def give_back(self, sql: str) -> Any:
        """Run what makes the files shorter; its first row. StoreUnwritable, StoreCorrupt."""
        self.check()
        try:
            # To the end: some give back a page a step.
            found = self.db.execute(sql).fetchall()
            pages, page = self.db.value("PRAGMA page_count"), self.db.value("PRAGMA page_size")
        except database.Error as e:
            raise self.named(e) from e
        folded = sql == EMPTY_LOG and not found[0][0]
        self._watch.cut_by_us(None if folded else pages * page)
        return found[0] if found else None

    def named(self, error: database.Error) -> StoreError:
        """What an error of SQLite means: StoreCorrupt or StoreUnwritable."""
        if is_corrupt(error):
            return StoreCorrupt(self.path, str(error))
        hint = "free some space: the agent goes on by itself" if "full" in str(error) else "see the disk"
        return StoreUnwritable(self.path, str(error), hint)

    def write_mark(self) -> None:
        """Note beside the store how far it has come (integrity.Mark)."""
        self._mark.write(self.id, self.last_journal, self.last_batch)

    def close(self) -> None:
        """Close the file; its write-ahead log is folded in."""
        if self.uncharted and not self.db.in_transaction:
            # Nothing depends on it: without, the next start reads more.
            with suppress(StoreError):
                self.checkpoint()
        self.db.close()
        self._mark.close()

    # Small values

    def meta(self, key: str) -> Any:
        """A value of the table of small values, or None."""
        found = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def set_meta(self, db: Database, key: str, value: Any) -> None:
        """Set one, inside a transaction; None removes it."""
        if value is None:
            db.execute("DELETE FROM meta WHERE key = ?", (key,))
        else:
            db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, value))

    # What links bring

    def commit(self, items: Sequence[Item]) -> list[Outcome]:
        """Make these durable, all or none; the outcome of each, in order. StoreUnwritable, StoreCorrupt."""
        changes = Changes()
        changes.journal = self.last_journal
        # Both before, because what is written next may fill up what was cut off, and after it.
        self.check()
        with self.transaction() as db:
            outcomes = bulk.put_all(self, db, items, changes)
        # Before anything is acknowledged: the transaction may have gone into a file that is deleted.
        self.check()
        changes.apply(self)
        return outcomes

    def put(self, db: Database, item: Item, changes: Changes) -> Outcome:
        """Put one in, inside a transaction."""
        if isinstance(item, Frame):
            return self._put_frame(db, item, changes)
        if isinstance(item, Hello):
            db.execute(
                "INSERT INTO nodes(node, ed_pub, x_pub, counter, conn) VALUES(?, ?, ?, ?, ?) "
                "ON CONFLICT(node) DO UPDATE SET counter = excluded.counter, conn = excluded.conn",
                item,
            )
            changes.hellos.append(item)
        elif isinstance(item, Held):
            self._put_held(db, item, changes)
        elif isinstance(item, Entry):
            self.put_entry(db, item, changes)
        elif isinstance(item, Write):
            db.execute(*item)
        elif isinstance(item, Sealed):
            details.put(db, self.sealer, item)
        else:
            db.execute(
                "INSERT INTO counters VALUES(?, ?) "
                "ON CONFLICT(name) DO UPDATE SET count = count + excluded.count",
                item,
            )
            changes.counts.append(item)
        return Outcome.STORED

    def put_entry(self, db: Database, entry: Entry, changes: Changes) -> int:
        """Append an entry, inside a transaction; its journal id."""
        kind, data, made_ms, person = entry
        key = None
        if person is not None:
            key, aead = self.sealer.key(made_ms, person=person)
            data = rows.seal(aead, data, rows.ENTRY_BINDING)
        db.execute(
            "INSERT INTO journal(kind, data, made_ms, key) VALUES(?, ?, ?, ?)", (kind, data, made_ms, key)
        )
        changes.journal = db.last_insert_rowid()
        changes.rows.append(rows.JournalRow(changes.journal, kind, None, None, None, entry.data, made_ms))
        return changes.journal

    def boot(self, db: Database, node: bytes, boot: bytes, changes: Changes) -> BootFacts:
        """The facts of a boot, which is noted now if it is new; inside a transaction."""
        key = (node, boot)
        facts = self.boots.get(key) or changes.boots.get(key)
        if facts is None:
            db.execute("INSERT INTO boots(node, boot) VALUES(?, ?)", key)
            facts = changes.boots[key] = BootFacts(db.last_insert_rowid(), node, boot)
        return facts

    def _put_frame(self, db: Database, frame: Frame, changes: Changes) -> Outcome:
        boot = self.boot(db, frame.node, frame.boot, changes)
        if frame.seq in boot.stored:
            return self._again(db, boot, frame, changes)
        key, aead = self.sealer.key(frame.received_ms, frame.node)
        sealed = rows.seal(aead, frame.plaintext, rows.binding(frame.boot, frame.seq))
        sort = rows.class_of(frame.plaintext)
        db.execute(
            "INSERT INTO journal(kind, boot, seq, data, made_ms, key, class) VALUES(?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (ENTRY_FRAME, boot.row, frame.seq, sealed, frame.received_ms, key, sort),
        )
        if db.changes() == 0:
            return self._again(db, boot, frame, changes)
        changes.journal = db.last_insert_rowid()
        changes.frames.append((boot, frame.seq, frame.received_ms))
        row = changes.journal, ENTRY_FRAME, frame.node, frame.boot, frame.seq, frame.plaintext
        changes.rows.append(rows.JournalRow(*row, frame.received_ms))
        for first, count, reason in frame.losses:
            db.execute("INSERT OR IGNORE INTO losses VALUES(?, ?, ?, ?)", (boot.row, first, count, reason))
            changes.losses.append((boot, first, count, reason))
        for boot_id, first, count, reason in frame.lost_before:
            facts = self.boot(db, frame.node, boot_id, changes)
            db.execute("INSERT OR IGNORE INTO losses VALUES(?, ?, ?, ?)", (facts.row, first, count, reason))
            changes.losses.append((facts, first, count, reason))
        for said in frame.earlier:
            hearing.put(self, db, frame, said, changes)
        if frame.previous is not None:
            hearing.put(self, db, frame, frame.previous, changes)
        for write in frame.along:
            db.execute(*write)
        return Outcome.STORED

    def put_statement(
        self, db: Database, code: str, detail: dict[str, Any], at_ms: int, changes: Changes
    ) -> int:
        """Append a statement of the agent's, inside a transaction; its journal id."""
        statement = cbor.dumps([ENTRY_STATEMENT, code, detail])
        return self.put_entry(db, Entry(ENTRY_STATEMENT, statement, at_ms), changes)

    def _again(self, db: Database, boot: BootFacts, frame: Frame, changes: Changes) -> Outcome:
        if rows.is_same(db, boot.row, frame.node, frame.boot, frame.seq, frame.plaintext):
            db.execute("UPDATE boots SET resent = resent + 1 WHERE id = ?", (boot.row,))
            changes.resent.append(boot)
            return Outcome.RESENT
        if boot.conflicts + sum(one is boot for one in changes.conflicts) >= MOST_CONFLICTS:
            return Outcome.CONFLICT
        db.execute(
            "INSERT OR IGNORE INTO conflicts VALUES(?, ?, ?, ?)",
            (boot.row, frame.seq, frame.plaintext, frame.received_ms),
        )
        if db.changes():
            db.execute("UPDATE boots SET conflicts = conflicts + 1 WHERE id = ?", (boot.row,))
            changes.conflicts.append(boot)
        return Outcome.CONFLICT

    def _put_held(self, db: Database, held: Held, changes: Changes) -> None:
        listed = {boot: (next_seq, Ranges(ranges)) for boot, next_seq, ranges in held.boots}
        for boot in listed:
            self.boot(db, held.node, boot, changes)
        incident = self.meta("incident") or 0
        for (node, boot), facts in {**self.boots, **changes.boots}.items():
            if node != held.node:
                continue
            there = boot in listed
            if not there and not facts.listed:
                continue
            # What it held last is kept: it is what a reset can have taken.
            next_seq, ranges = listed.get(boot, (0, facts.held))
            next_seq = max(next_seq, facts.next_seq)
            live_ms = held.live_ms if there else facts.live_ms
            db.execute(
                "UPDATE boots SET next_seq = ?, held = ?, listed = ?, live_ms = ? WHERE id = ?",
                (next_seq, cbor.dumps(list(ranges)), there, live_ms, facts.row),
            )
            changes.held.append((facts, next_seq, ranges, there, live_ms))
            if there and facts.examined < incident:
                self._examine(db, facts, next_seq, ranges, incident, held.live_ms, changes)

    # What goes

    def new_data_key(self, node: bytes, person: bytes | None, now_ms: int) -> None:
        """From now on that node's frames are sealed under a new key, destroyed with that person's data."""
        with self.transaction():
            self.sealer.begin(now_ms, node, person)

    def erase(self, ids: Iterable[int]) -> int:
        """Take the data of these journal rows; how many had some. Hashes stay."""
        return erasure.erase(self, ids)

    def erased(self, person: bytes) -> None:
        """Every row of that person's is gone: destroy the keys, empty the log."""
        erasure.destroy_keys(self, person)

    def apply_evicted(self, lost: Mapping[int, int]) -> None:
        """So many frames of these boots (their rows) went before they were delivered."""
        for row, count in lost.items():
            self.facts[row].evicted_here += count

    # Incidents: something happened to this store, so acknowledged frames may be missing from it

    def declare(self, code: str, detail: dict[str, Any], at_ms: int, chain_reason: str | None) -> None:
        """State an incident in the journal, make a new chain due for `chain_reason`, look for what is gone.

        From now on numbers that a live node no longer holds, that are not here and that no loss frame names
        are recorded as lost at the agent.
        """
        changes = Changes()
        changes.journal = self.last_journal
        with self.transaction() as db:
            incident = self.put_statement(db, code, detail, at_ms, changes)
            self.set_meta(db, "incident", incident)
            if chain_reason is not None:
                self.set_meta(db, "chain_due", chain_reason)
            for facts in self.boots.values():
                if facts.row in self.seen_live:
                    self._examine(db, facts, facts.next_seq, facts.held, incident, at_ms, changes)
        changes.apply(self)

    def _examine(
        self,
        db: Database,
        facts: BootFacts,
        next_seq: int,
        held: Ranges,
        incident: int,
        at_ms: int,
        changes: Changes,
    ) -> None:
        db.execute("UPDATE boots SET examined = ? WHERE id = ?", (incident, facts.row))
        arrived = Ranges((seq, 1) for boot, seq, _ in changes.frames if boot is facts)
        gone = Ranges([(0, next_seq)]).minus(facts.stored).minus(arrived).minus(held).minus(facts.losses)
        gone = gone.minus(facts.elsewhere).minus(facts.agent_losses)
        changes.examined.append((facts, incident, gone))
        if not gone:
            return
        for first, count in gone:
            db.execute("INSERT OR REPLACE INTO agent_losses VALUES(?, ?, ?)", (facts.row, first, count))
        detail = {
            "node": facts.node,
            "boot": facts.boot,
            "frames": gone.count,
            "ranges": [list(pair) for pair in gone][:64],
        }
        self.put_statement(db, "frames_lost", detail, at_ms, changes)

    # Questions

    def ledger(self) -> Ledger:
        """The ledger from the facts in memory, without reading the frames again."""
        newest = self.last_journal
        self._statements += statements(self.db, self._stated)
        self._stated = newest
        rows = account(self.facts.values(), self.summaries)
        return Ledger(rows, self._statements, withheld(self.db))

    def checkpoint(self) -> None:
        """Write down what the ledger needs, so that the next start reads only what comes after. Durable."""
        dirty = [facts for facts in self.facts.values() if facts.row in self.uncharted]
        with self.transaction() as db:
            db.executemany(
                "UPDATE boots SET stored = ?, heard_ms = ? WHERE id = ?",
                [(cbor.dumps(list(one.stored)), one.heard_ms, one.row) for one in dirty],
            )
            self.set_meta(db, "checkpoint", self.last_journal)
            if not any(facts.duplicates for facts in self.facts.values()):
                self.set_meta(db, "checkpoint_batch", self.last_batch)
        self.uncharted.clear()

    def size(self) -> int:
        """Bytes on the disk, write-ahead log included."""
        total = 0
        for side in ("", "-wal"):
            try:
                total += os.stat(f"{self.path}{side}").st_size
            except FileNotFoundError:
                continue
        return total
