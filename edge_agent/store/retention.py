"""Making room: what may go by its age, and what has to go because the disk or the quota is full.

*Retention*: a batch that is delivered and old enough gives up its waves (`wave_days`), later all its frames
(`retention_days`): it is pruned to its signed head and receipts, or, where records, statements or what is
withheld lie in it as well, to the hashes that those are proved by. *Want of room*: over `quota_mib`, or with
less than `min_free_mib` left on the disk, what is delivered goes: waves, then strips, then trends, then whole
batches as by their age; each time the oldest first, and once begun, to a little less than the limit. Over
`quota_mib` only, no further than to that, and only if it makes enough room, what is not delivered goes as
well: waves, then strips, then trends. Of that, alarms, blood pressures,
attestations, losses and boots never go, nor do statements, records and what is withheld from a far end. What
goes undelivered is stated in the journal by the transaction that takes it.

Where data went for want of room its hashes stay until the batch goes. The rows of a batch are written anew
then: the pages that they were thinly spread over become free, and the file takes new rows into them. One
call does some entries of one batch, however large that is, so that commits wait for some milliseconds only
(`python -m tools.bench evictions`).
"""

import logging
import os
import time
from typing import NamedTuple

from edge_agent.store import evictions, undelivered
from edge_agent.store.changes import Changes
from edge_agent.store.compacting import PAGES, give_back
from edge_agent.store.database import Database
from edge_agent.store.errors import StoreCorrupt, StoreUnwritable
from edge_agent.store.evictions import Gone
from edge_agent.store.portions import Portion
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

log = logging.getLogger("vitalwire.store")

DAY_MS = 86_400_000
MIB = 1 << 20
# Once begun, making room goes on to this share of the quota, by what is delivered.
ENOUGH = 0.95
# How many free pages the file keeps for what comes.
SPARE_PAGES = 4096
# At a time, at least and at most: entries that go, entries that are looked through for some that may.
AT_ONCE = 100, 500
LOOKED_THROUGH = 500, 20_000
# When giving up what is not delivered would not be enough, that is reckoned again after so many seconds.
HOPELESS_S = 600.0
# `freed` of a batch that has given up all that goes by itself; of one that has nothing more to give.
ALL_SORTS, EMPTY = CLASS_TREND + 1, CLASS_TREND + 2
OVER, LOW = "the store is over quota_mib", "less than min_free_mib is free on the disk"
TOO_MUCH = (
    "the store is over quota_mib, and what else is in it may not go: raise quota_mib, or see why it is not "
    "delivered"
)
TOO_LITTLE = (
    "less than min_free_mib is free, and nothing that is delivered is left to go: make room on the disk"
)


class Limits(NamedTuple):
    """As configured; 0: no such limit."""

    quota_mib: int = 0
    retention_days: int = 0
    wave_days: int = 0
    min_free_mib: int = 0


class Keeper:
    """Makes room in a store, from its thread; `problem` says why there is too little and nothing to give,
    `wanting` why the last room was made that was not made by age, `shrinks` whether the file can get shorter.

    `alone`: there is no far end, now or to come: what is in a signed batch may go.
    """

    def __init__(self, store: Store, limits: Limits, alone: bool) -> None:
        self.limits = limits
        self._alone = alone
        self.problem: str | None = None
        self.wanting: str | None = None
        self.evicted = 0
        self.freed = 0
        self.evicted_ms: int | None = evictions.newest_ms(store.db)
        self.pruned = 0
        self.longest_ms = 0.0
        self.shrinks = True
        self._store = store
        self._making_room = False
        # By class: up to which entry nothing of it is left, among those that are in no batch.
        self._taken: dict[int, int] = {}
        # So many bytes too many are within reach of what is not delivered, by what this pass found; until
        # when it is believed that those there are now are not.
        self._in_reach = 0
        self._hopeless_until = 0.0
        # The batch that is half done: its id, the class and the cause, and the entry that comes next.
        self._begun: tuple[int | None, int, int] | None = None
        self._next = 0
        self._entries, self._looked = Portion(*AT_ONCE), Portion(*LOOKED_THROUGH)
        self._pages = Portion(*PAGES)

    def step(self, now_ms: int) -> bool:
        """One small transaction, if there is something to do; whether to call again at once.

        StoreUnwritable: nothing of it is done.
        """
        began = time.perf_counter()
        try:
            return self._prune(now_ms) or self._age(now_ms) or self._evict(now_ms) or self._give_back()
        except OSError as e:
            # How much is free cannot be said: of a disk that fails, or was taken out.
            raise StoreUnwritable(self._store.path, str(e), "see the disk") from e
        finally:
            self.longest_ms = max(self.longest_ms, (time.perf_counter() - began) * 1000)

    def told(self) -> dict[str, str | int | None]:
        """For the status: `problem`; since the start, `freed` frames gave up their data, `evicted` of them
        undelivered, and `pruned` batches went whole; `evicted_ms`: when last some went undelivered, ever.
        """
        return {
            "problem": self.problem,
            "freed": self.freed,
            "evicted": self.evicted,
            "evicted_ms": self.evicted_ms,
            "pruned": self.pruned,
        }

    def used(self) -> int:
        """Bytes of the pages that hold something; the log comes on top, for which there is LOG_LIMIT."""
        db = self._store.db
        pages = db.value("PRAGMA page_count") - db.value("PRAGMA freelist_count")
        return pages * db.value("PRAGMA page_size")

    def over(self) -> int:
        """How many bytes over its quota the store is."""
        quota = self.limits.quota_mib * MIB
        return max(0, self.used() - quota) if quota else 0

    def low(self) -> bool:
        """Whether too little is free on the disk."""
        least = self.limits.min_free_mib * MIB
        return bool(least) and self._free_bytes() < least

    def _goes_on(self) -> bool:
        """Whether there is less room than where making it stops once it has begun."""
        quota, least = self.limits.quota_mib * MIB, self.limits.min_free_mib * MIB
        return (quota > 0 and self.used() > quota * ENOUGH) or (
            least > 0 and self._free_bytes() < least / ENOUGH
        )

    def _free_bytes(self) -> int:
        """Of the disk, and in the file."""
        disk, db = os.statvfs(self._store.path.parent), self._store.db
        spare = db.value("PRAGMA freelist_count") * db.value("PRAGMA page_size")
        return disk.f_bavail * disk.f_frsize + spare

    # By age

    def _prune(self, now_ms: int) -> bool:
        if not self.limits.retention_days:
            return False
        found = self._aged(EMPTY, now_ms - self.limits.retention_days * DAY_MS)
        return found is not None and self._whole(found, GONE_RETENTION, now_ms)

    def _whole(self, found: tuple[int, int, int], cause: int, now_ms: int) -> bool:
        """A batch goes, but for its signed head and receipts; where more has to stay, to hashes."""
        batch, first, last = found
        if not self._nothing_else(first, last):
            return self._free(found, CLASS_KEPT, cause, now_ms)
        if last > (self._store.meta("checkpoint") or 0):
            # What the ledger knows of these frames is only in their rows yet.
            self._store.checkpoint()
        with self._store.transaction() as db:
            if cause == GONE_EVICTED:
                left = db.execute(
                    "SELECT id, boot, seq, class FROM journal WHERE id BETWEEN ? AND ? AND data NOTNULL "
                    f"AND kind = {ENTRY_FRAME}",
                    (first, last),
                ).fetchall()
                evictions.note(db, [Gone(*one) for one in left], cause, None)
                self.freed += len(left)
            db.execute("DELETE FROM journal WHERE id BETWEEN ? AND ?", (first, last))
            db.execute(f"UPDATE batches SET pruned = 1, freed = {EMPTY} WHERE id = ?", (batch,))
        self._store.recent.clear()
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
        found = self._aged(CLASS_WAVE + 1, now_ms - self.limits.wave_days * DAY_MS)
        return found is not None and self._free(found, CLASS_WAVE, GONE_RETENTION, now_ms)

    def _aged(self, freed: int, before_ms: int) -> tuple[int, int, int] | None:
        """As _oldest(); with no far end at all, what is signed is as safe as it will be."""
        found = self._oldest(freed, True, before_ms)
        return self._oldest(freed, False, before_ms) if found is None and self._alone else found

    # For want of room

    def _evict(self, now_ms: int) -> bool:
        over, low = self.over(), self.low()
        if not over:
            self._in_reach, self._hopeless_until = 0, 0.0
        self._making_room = bool(over) or low or (self._making_room and self._goes_on())
        if not self._making_room:
            self.problem = None
            return False
        if over or low:
            self.wanting = OVER if over else LOW
        # Also where there is no far end: what nobody else has is given up for a quota only.
        for sort in range(CLASS_WAVE, CLASS_TREND + 1):
            found = self._oldest(sort + 1, True, now_ms)
            if found is not None:
                return self._free(found, sort, GONE_EVICTED, now_ms)
        # Its numbers would be used again: the end of the journal stays.
        found = self._oldest(EMPTY, True, now_ms, self._store.last_journal)
        if found is not None:
            return self._whole(found, GONE_EVICTED, now_ms)
        if over and self._is_worth_it(over):
            for sort in range(CLASS_WAVE, CLASS_TREND + 1):
                some = self._oldest(sort + 1, False, now_ms)
                if some is None and self._look_on(sort):
                    return True
                some = some or self._unsigned(sort)
                if some is not None:
                    return self._free(some, sort, GONE_EVICTED, now_ms)
        self.problem = TOO_MUCH if over else TOO_LITTLE if low else None
        self._in_reach = 0
        return False

    def _is_worth_it(self, over: int) -> bool:
        """Whether what is not delivered would make so many bytes of room: else it would go for nothing."""
        if over > self._in_reach and time.monotonic() >= self._hopeless_until:
            if undelivered.room(self._store.db, self._store.last_journal) >= over:
                self._in_reach = over
            else:
                self._in_reach, self._hopeless_until = 0, time.monotonic() + HOPELESS_S
        return over <= self._in_reach

    def _oldest(
        self, freed: int, delivered: bool, before_ms: int, ends_before: int = 1 << 62
    ) -> tuple[int, int, int] | None:
        """The oldest batch from before then that has given up fewer than so many classes: id, first, last.

        One question each, so that the index has the order.
        """
        found = [
            self._store.db.execute(
                "SELECT made_ms, id, first_id, last_id FROM batches WHERE delivered = ? AND freed = ? "
                "AND made_ms < ? AND pruned = 0 AND last_id < ? ORDER BY made_ms LIMIT 1",
                (delivered, given_up, before_ms, ends_before),
            ).fetchone()
            for given_up in range(freed)
        ]
        oldest = min((one for one in found if one is not None), default=None)
        return None if oldest is None else oldest[1:]

    # Entries in no batch yet: while the chain cannot begin (the collector has never answered) there are ever
    # more. Their hashes are signed when it does.

    def _looked_through(self, sort: int) -> int:
        """Up to which entry there is nothing to look for."""
        batched = self._store.db.value("SELECT coalesce(max(last_id), 0) FROM batches")
        return max(batched, self._taken.get(sort, 0))

    def _look_on(self, sort: int) -> bool:
        """Look through some; whether in vain although there are more."""
        begin, last = self._looked_through(sort), self._store.last_journal
        if begin >= last:
            return False
        with self._looked.taken() as some:
            end = min(last, begin + some)
            found = self._store.db.value(
                f"SELECT id FROM journal WHERE id > ? AND id <= ? AND kind = {ENTRY_FRAME} AND class <= ? "
                "AND data NOTNULL ORDER BY id LIMIT 1",
                (begin, end, sort),
            )
        self._taken[sort] = end if found is None else found - 1
        return found is None

    def _unsigned(self, sort: int) -> tuple[None, int, int] | None:
        """The oldest in no batch, some at a time; the first of them has its data (_look_on)."""
        first, last = self._looked_through(sort) + 1, self._store.last_journal
        return (None, first, min(last, first + self._entries.size - 1)) if first <= last else None

    def _free(self, found: tuple[int | None, int, int], sort: int, cause: int, now_ms: int) -> bool:
        """Take the data of a batch's frames (None: of a stretch in none) up to that class; hashes stay."""
        batch, first, last = found
        which = batch, sort, cause
        if batch is not None and self._begun == which:
            first = max(first, self._next)
        end = min(last, first + self._entries.size - 1)
        store = self._store
        changes = Changes()
        changes.journal = store.last_journal
        with self._entries.taken(), store.transaction() as db:
            delivered = batch and db.value("SELECT delivered FROM batches WHERE id = ?", (batch,))
            gone = evictions.rewritten(
                db, first, end, sort, cause, bool(delivered) or cause == GONE_RETENTION
            )
            statement = None
            if gone and cause == GONE_EVICTED and not delivered:
                statement = self._state(db, gone, sort, now_ms, changes)
            lost = evictions.note(db, gone, cause, statement) if cause == GONE_EVICTED else {}
            if end == last:
                db.execute("UPDATE batches SET freed = max(freed, ?) WHERE id = ?", (sort + 1, batch))
        self._begun, self._next = which, end + 1
        if statement is not None:
            changes.apply(store)
        store.apply_evicted(lost)
        self._store.recent.clear()
        self.freed += len(gone)
        if lost:
            self.evicted += sum(lost.values())
            self.evicted_ms = now_ms
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
        if not self.shrinks:
            return False
        db = self._store.db
        free, pages = db.value("PRAGMA freelist_count"), db.value("PRAGMA page_count")
        if free < SPARE_PAGES or free < pages // 4:
            return False
        try:
            with self._pages.taken() as some:
                self._store.give_back(give_back(some))
        except StoreCorrupt:
            # An unused page may be what cannot be read. It loses nothing, and opening the store anew finds
            # nothing: the file stays as long as it is.
            if db.value("PRAGMA quick_check(1)") != "ok":
                raise
            self.shrinks = False
            log.error("%s: unused pages are damaged, so it gets no shorter: see the disk", self._store.path)
            return False
        return True
