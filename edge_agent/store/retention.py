"""Making room: what may go by its age, and what has to go because the disk or the quota is full.

*Retention*: a batch that is delivered and old enough gives up its waves (`wave_days`), later all its frames
(`retention_days`): it is pruned to its signed head and receipts, or, where records, statements or what is
withheld lie in it as well, to the hashes that those are proved by. *Quota*: over `quota_mib`, or with less
than `min_free_mib` left on the disk, data goes in this order: what is delivered before what is not; waves,
then strips, then trends; the oldest first. Alarms, blood pressures, attestations, losses, boots, statements
and records never go for want of room. What goes undelivered is stated in the journal by the transaction that
takes it.

Where data went by the quota its hashes stay. The rows of a batch are written anew then: the pages that they
were thinly spread over become free, and the file takes new rows into them. One call does one batch, so that
commits wait for some milliseconds only.
"""

import os
import time
from typing import NamedTuple

from edge_agent.store import evictions
from edge_agent.store.changes import Changes
from edge_agent.store.database import Database
from edge_agent.store.evictions import Gone
from edge_agent.store.rows import hashes_of, journal_rows
from edge_agent.store.schema import (
    CLASS_KEPT,
    CLASS_TREND,
    CLASS_WAVE,
    ENTRY_CLOCK,
    ENTRY_FRAME,
    GONE_EVICTED,
    GONE_RETENTION,
)
from edge_agent.store.store import Store

DAY_MS = 86_400_000
MIB = 1 << 20
# Once begun, making room goes on to this share of the quota.
ENOUGH = 0.95
# Pages given back to the system at a time, and how many free ones the file keeps for what comes.
GIVE_BACK_PAGES = 512
SPARE_PAGES = 4096
# Entries that are in no batch yet go so many at a time.
AT_ONCE = 500


class Limits(NamedTuple):
    """As configured; 0: no such limit."""

    quota_mib: int = 0
    retention_days: int = 0
    wave_days: int = 0
    min_free_mib: int = 0


class Keeper:
    """Makes room in a store, from its thread; `problem` says why there is too little and nothing to give.

    `alone`: there is no far end, now or to come: what is in a signed batch may go.
    """

    def __init__(self, store: Store, limits: Limits, alone: bool) -> None:
        self.limits = limits
        self._alone = alone
        self.problem: str | None = None
        self.evicted = 0
        self.freed = 0
        self.pruned = 0
        self.longest_ms = 0.0
        self._store = store
        self._making_room = False
        # By class: up to which entry nothing of it is left, among those that are in no batch.
        self._taken: dict[int, int] = {}

    def step(self, now_ms: int) -> bool:
        """One small transaction, if there is something to do; whether to call again at once.

        StoreUnwritable: nothing of it is done.
        """
        began = time.perf_counter()
        try:
            return self._prune(now_ms) or self._age(now_ms) or self._evict(now_ms) or self._give_back()
        finally:
            self.longest_ms = max(self.longest_ms, (time.perf_counter() - began) * 1000)

    def told(self) -> dict[str, str | int | None]:
        """For the status: `problem`; since the start, `freed` frames gave up their data, `evicted` of them
        undelivered, and `pruned` batches went by their age.
        """
        return {
            "problem": self.problem,
            "freed": self.freed,
            "evicted": self.evicted,
            "pruned": self.pruned,
        }

    def used(self) -> int:
        """Bytes of the pages that hold something; the log comes on top, for which there is LOG_LIMIT."""
        db = self._store.db
        pages = db.value("PRAGMA page_count") - db.value("PRAGMA freelist_count")
        return pages * db.value("PRAGMA page_size")

    def short(self) -> bool:
        """Whether room has to be made."""
        store, limits = self._store, self.limits
        share = ENOUGH if self._making_room else 1.0
        over = bool(limits.quota_mib) and self.used() > limits.quota_mib * MIB * share
        if not over and limits.min_free_mib:
            disk = os.statvfs(store.path.parent)
            spare = store.db.value("PRAGMA freelist_count") * store.db.value("PRAGMA page_size")
            over = disk.f_bavail * disk.f_frsize + spare < limits.min_free_mib * MIB / share
        self._making_room = over
        return over

    # By age

    def _prune(self, now_ms: int) -> bool:
        if not self.limits.retention_days:
            return False
        found = self._oldest(CLASS_TREND + 2, True, now_ms - self.limits.retention_days * DAY_MS)
        if found is None:
            return False
        batch, first, last = found
        if not self._nothing_else(first, last):
            return self._free(found, CLASS_KEPT, GONE_RETENTION, now_ms)
        if last > (self._store.meta("checkpoint") or 0):
            # What the ledger knows of these frames is only in their rows yet.
            self._store.checkpoint()
        with self._store.transaction() as db:
            db.execute("DELETE FROM journal WHERE id BETWEEN ? AND ?", (first, last))
            db.execute("UPDATE batches SET pruned = 1, freed = ? WHERE id = ?", (CLASS_TREND + 2, batch))
        self.pruned += 1
        return True

    def _nothing_else(self, first: int, last: int) -> bool:
        """Whether a stretch holds nothing but what goes by its age. The end of the journal never goes: its
        numbers would be used again.
        """
        return last < self._store.last_journal and not self._store.db.value(
            f"SELECT count(*) FROM journal WHERE id BETWEEN ? AND ? AND (kind NOT IN ({ENTRY_FRAME}, "
            f"{ENTRY_CLOCK}) OR id IN (SELECT journal FROM withheld WHERE journal BETWEEN ? AND ?))",
            (first, last, first, last),
        )

    def _age(self, now_ms: int) -> bool:
        if not self.limits.wave_days:
            return False
        found = self._oldest(CLASS_WAVE + 1, True, now_ms - self.limits.wave_days * DAY_MS)
        return found is not None and self._free(found, CLASS_WAVE, GONE_RETENTION, now_ms)

    # For want of room

    def _evict(self, now_ms: int) -> bool:
        if not self.short():
            self.problem = None
            return False
        for delivered in (True, False):
            for sort in range(CLASS_WAVE, CLASS_TREND + 1):
                found = self._oldest(sort + 1, delivered, now_ms)
                if found is None and not delivered:
                    found = self._unsigned(sort)
                if found is not None:
                    return self._free(found, sort, GONE_EVICTED, now_ms)
        self.problem = "no room is left, and nothing in the store may go: raise quota_mib, or make room"
        return False

    def _oldest(self, freed: int, delivered: bool, before_ms: int) -> tuple[int, int, int] | None:
        """The oldest batch from before then that has given up fewer than so many classes: id, first, last."""
        # With no far end at all, what is signed is as safe as it will be.
        which = "(0, 1)" if self._alone else "(1)" if delivered else "(0)"
        return self._store.db.execute(
            f"SELECT id, first_id, last_id FROM batches WHERE delivered IN {which} AND freed < ? "
            "AND made_ms < ? AND pruned = 0 ORDER BY made_ms LIMIT 1",
            (freed, before_ms),
        ).fetchone()

    def _unsigned(self, sort: int) -> tuple[None, int, int] | None:
        """The oldest entries in no batch yet, some at a time, where frames up to that class have their data:
        while the chain cannot begin (the collector has never answered) there are ever more. Their hashes are
        signed when it does.
        """
        db, last = self._store.db, self._store.last_journal
        batched = db.value("SELECT coalesce(max(last_id), 0) FROM batches")
        first = db.value(
            f"SELECT id FROM journal WHERE id > ? AND kind = {ENTRY_FRAME} AND class <= ? AND data NOTNULL "
            "ORDER BY id LIMIT 1",
            (max(batched, self._taken.get(sort, 0)), sort),
        )
        self._taken[sort] = last if first is None else first - 1
        return None if first is None else (None, first, min(last, first + AT_ONCE - 1))

    def _free(self, found: tuple[int | None, int, int], sort: int, cause: int, now_ms: int) -> bool:
        """Take the data of a batch's frames (None: of a stretch in none) up to that class; hashes stay."""
        batch, first, last = found
        store = self._store
        changes = Changes()
        changes.journal = store.last_journal
        with store.transaction() as db:
            gone = _rewritten(db, first, last, sort, cause)
            delivered = batch and db.value("SELECT delivered FROM batches WHERE id = ?", (batch,))
            statement = None
            if gone and cause == GONE_EVICTED and not delivered:
                statement = self._state(db, gone, sort, now_ms, changes)
            lost = evictions.note(db, gone, cause, statement) if cause == GONE_EVICTED else {}
            db.execute("UPDATE batches SET freed = max(freed, ?) WHERE id = ?", (sort + 1, batch))
        if statement is not None:
            changes.apply(store)
        store.apply_evicted(lost)
        self._store.recent.clear()
        self.freed += len(gone)
        self.evicted += sum(lost.values())
        return True

    def _state(self, db: Database, gone: list[Gone], sort: int, now_ms: int, changes: Changes) -> int:
        spans: dict[int, list[int]] = {}
        for one in gone:
            spans.setdefault(one.boot, []).append(one.seq)
        ranges = [
            [self._store.facts[boot].node, self._store.facts[boot].boot, min(found), max(found), len(found)]
            for boot, found in list(spans.items())[:64]
        ]
        detail = {"cause": "quota", "class": sort, "frames": len(gone), "boots": len(spans), "ranges": ranges}
        return self._store.put_statement(db, "frames_evicted", detail, now_ms, changes)

    def _give_back(self) -> bool:
        """Shorten the file when the disk is short, or when it is mostly free pages."""
        db = self._store.db
        free, pages = db.value("PRAGMA freelist_count"), db.value("PRAGMA page_count")
        if free < SPARE_PAGES or free < pages // 4:
            return False
        self._store.give_back(f"PRAGMA incremental_vacuum({GIVE_BACK_PAGES})")
        return True


def _rewritten(db: Database, first: int, last: int, sort: int, cause: int) -> list[Gone]:
    """Write the rows of a stretch anew, without the data of frames up to that class; those that had some."""
    columns = "id, kind, boot, seq, data, made_ms, key, class, gone, leaf, attested"
    raw = db.execute(
        f"SELECT {columns} FROM journal WHERE id BETWEEN ? AND ? ORDER BY id", (first, last)
    ).fetchall()
    held_back = {
        one
        for (one,) in db.execute("SELECT journal FROM withheld WHERE journal BETWEEN ? AND ?", (first, last))
    }
    gone: list[Gone] = []
    new: list[tuple[object, ...]] = []
    for row, opened in zip(raw, journal_rows(db, first, last), strict=True):
        at, kind, boot, seq, _, made_ms, key, its, _, _, _ = row
        spared = cause == GONE_RETENTION and at in held_back
        if kind != ENTRY_FRAME or its > sort or opened.data is None or spared:
            new.append(row)
            continue
        leaf, attested = hashes_of(opened)
        new.append((at, kind, boot, seq, None, made_ms, key, its, cause, leaf, attested))
        gone.append(Gone(at, boot, seq, its))
    if gone:
        db.execute("DELETE FROM journal WHERE id BETWEEN ? AND ?", (first, last))
        db.executemany(f"INSERT INTO journal({columns}) VALUES({', '.join('?' * 11)})", new)
    return gone
