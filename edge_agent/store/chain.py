"""The chain of batches as the store keeps it: which stretches of the journal are signed, sent for, and
receipted.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from edge_agent.store.loading import credit
from edge_agent.store.rows import JournalRow, journal_rows
from edge_agent.store.store import Store
from protocol import cbor


class Cited(NamedTuple):
    """The batch of an older chain that a new chain follows."""

    chain: bytes
    number: int
    hash: bytes


class Tip(NamedTuple):
    """The end of a chain: its newest batch's number and head hash; number -1 before the first."""

    chain: bytes
    number: int
    hash: bytes


class Batch(NamedTuple):
    """A signed batch: the stretch of the journal that it covers, both ends in, and the entries before it."""

    id: int
    chain: bytes
    number: int
    first_id: int
    last_id: int
    preamble: list[bytes]
    signed: bytes
    hash: bytes
    made_ms: int
    delivered: bool = False


class Stretch(NamedTuple):
    """Journal rows in order, at most so many bytes; `full` when more would not have fitted."""

    rows: list[JournalRow]
    full: bool


_BATCH = "id, chain, number, first_id, last_id, preamble, signed, hash, made_ms, delivered"
# What is pruned is not here to be sent: it waits for no far end any more.
_MISSING = "pruned = 0 AND NOT EXISTS (SELECT 1 FROM receipts WHERE batch = batches.id AND forwarder = ?)"
# What a leaf entry is longer than the plaintext in it: ids, numbers, heads.
ENTRY_OVERHEAD = 48


# Of the batches that are sent at a time, so many are the newest.
LIVE_PLACES = 2


class Chain:
    """Batches, receipts and forks in a store; used from the store's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        found = store.db.execute("SELECT chain FROM chains ORDER BY id DESC LIMIT 1").fetchone()
        self.tip: Tip | None = self._tip_of(found[0]) if found else None
        self._batched: int = store.db.execute("SELECT coalesce(max(last_id), 0) FROM batches").fetchone()[0]
        self.counts = self._count()
        self.forwarders: frozenset[str] = frozenset()
        self.required: frozenset[str] = frozenset()

    def _tip_of(self, chain: bytes) -> Tip:
        newest = self._store.db.execute(
            "SELECT number, hash FROM batches WHERE chain = ? ORDER BY number DESC LIMIT 1", (chain,)
        ).fetchone()
        return Tip(chain, *newest) if newest else Tip(chain, -1, bytes(32))

    def _count(self) -> dict[str, int]:
        (batches,) = self._store.db.execute("SELECT count(*) FROM batches").fetchone()
        (receipts,) = self._store.db.execute("SELECT count(*) FROM receipts").fetchone()
        (chains,) = self._store.db.execute("SELECT count(*) FROM chains").fetchone()
        (forks,) = self._store.db.execute("SELECT count(*) FROM forks").fetchone()
        letters = self._store.db.value("SELECT count(*) FROM dead_letters")
        return {
            "batches": batches,
            "receipts": receipts,
            "chains": chains,
            "forks": forks,
            "dead_letters": letters,
        }

    # Making

    @property
    def due(self) -> str | None:
        """Why a new chain has to begin, if an incident of the store said so."""
        return self._store.meta("chain_due")

    def begin(self, chain: bytes, cited: Cited | None, reason: str | None, now_ms: int) -> None:
        """A new chain; its batches are numbered from 0."""
        with self._store.transaction() as db:
            db.execute(
                "INSERT INTO chains(chain, begun_ms, cited_chain, cited_number, cited_hash, reason) "
                "VALUES(?, ?, ?, ?, ?, ?)",
                (chain, now_ms, *(cited or (None, None, None)), reason),
            )
            self._store.set_meta(db, "chain_due", None)
        self.tip = Tip(chain, -1, bytes(32))
        self.counts["chains"] += 1

    def origin(self, chain: bytes) -> tuple[Cited | None, str | None]:
        """What number 0 of that chain cites, and why the chain began."""
        cited_chain, number, digest, reason = self._store.db.execute(
            "SELECT cited_chain, cited_number, cited_hash, reason FROM chains WHERE chain = ?", (chain,)
        ).fetchone()
        return (None if cited_chain is None else Cited(cited_chain, number, digest)), reason

    def before_chain_following(self, batch: Tip) -> int | None:
        """The id of the last batch before the newest chain that cites this batch, or a later one of the same
        chain; None when none does.
        """
        found = self._store.db.execute(
            "SELECT chain FROM chains WHERE cited_chain = ?1 AND (cited_number > ?2 OR "
            "(cited_number = ?2 AND cited_hash = ?3)) ORDER BY id DESC LIMIT 1",
            batch,
        ).fetchone()
        if found is None:
            return None
        (first,) = self._store.db.execute(
            "SELECT min(id) FROM batches WHERE chain = ?", (found[0],)
        ).fetchone()
        return self._store.last_batch if first is None else first - 1

    @property
    def waiting(self) -> int:
        """Entries of the journal that are in no batch yet."""
        return self._store.last_journal - self._batched

    def stretch(self, max_bytes: int) -> Stretch:
        """The next entries to be signed: at least one if there is any, about `max_bytes` at most."""
        rows: list[JournalRow] = []
        size = 0
        where = self._batched + 1, self._store.last_journal
        at_hand = self._store.recent.between(*where)
        for row in journal_rows(self._store.db, *where) if at_hand is None else at_hand:
            size += len(row.data or b"") + ENTRY_OVERHEAD
            if rows and size > max_bytes:
                return Stretch(rows, True)
            rows.append(row)
        return Stretch(rows, False)

    def announced(self, chain: bytes) -> set[bytes]:
        """The nodes whose identity that chain holds already."""
        found = self._store.db.execute("SELECT node FROM announced WHERE chain = ?", (chain,)).fetchall()
        return {node for (node,) in found}

    def keys_of(self, node: bytes) -> tuple[bytes, bytes]:
        """A node's public keys, as they were when its hello was accepted."""
        return self._store.db.execute("SELECT ed_pub, x_pub FROM nodes WHERE node = ?", (node,)).fetchone()

    def add(self, batch: Batch, nodes: set[bytes]) -> int:
        """Keep a signed batch, durably; its id. `nodes`: those that its preamble introduces."""
        with self._store.transaction() as db:
            db.execute(
                "INSERT INTO batches(chain, number, first_id, last_id, preamble, signed, hash, made_ms) "
                "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                (*batch[1:5], cbor.dumps(batch.preamble), *batch[6:9]),
            )
            batch_id = db.last_insert_rowid()
            db.executemany("INSERT INTO announced VALUES(?, ?)", [(batch.chain, node) for node in nodes])
        self._store.last_batch = batch_id
        self._store.write_mark()
        self._batched = batch.last_id
        self._store.recent.signed(batch.last_id)
        self.tip = Tip(batch.chain, batch.number, batch.hash)
        self.counts["batches"] += 1
        return self._store.last_batch

    # Sending

    def batch(self, batch_id: int) -> Batch:
        """One batch by its id (KeyError)."""
        found = self._store.db.execute(f"SELECT {_BATCH} FROM batches WHERE id = ?", (batch_id,)).fetchone()
        if found is None:
            raise KeyError(batch_id)
        return _batch(found)

    def rows(self, batch: Batch) -> list[JournalRow]:
        """The journal rows that a batch covers, in order."""
        return list(journal_rows(self._store.db, batch.first_id, batch.last_id))

    def unreceipted(self, forwarder: str, limit: int) -> list[int]:
        """Ids of the oldest batches without a receipt from that forwarder's far end, ascending.

        Where there are more than `limit`, the newest LIVE_PLACES are among them: what is measured now does
        not wait for a backlog of days. Far ends take batches in any order.
        """
        sql = f"SELECT id FROM batches WHERE id > ? AND {_MISSING} ORDER BY id"
        which = self.cursor(forwarder), forwarder
        found = [one for (one,) in self._store.db.execute(f"{sql} LIMIT ?", (*which, limit + 1))]
        if len(found) <= limit or limit <= LIVE_PLACES:
            return found[:limit]
        newest = [one for (one,) in self._store.db.execute(f"{sql} DESC LIMIT ?", (*which, LIVE_PLACES))]
        return sorted({*found[: limit - LIVE_PLACES], *newest})

    def cursor(self, forwarder: str) -> int:
        """The id up to which every batch has its receipt from that forwarder's far end."""
        found = self._store.db.execute("SELECT batch FROM cursors WHERE name = ?", (forwarder,)).fetchone()
        return found[0] if found else 0

    def receipted_after(self, batch_id: int, forwarder: str) -> list[int]:
        """Ids of the batches made after that one which have a receipt from that forwarder's far end, and are
        still here.
        """
        found = self._store.db.execute(
            "SELECT r.batch FROM receipts r JOIN batches b ON b.id = r.batch AND b.pruned = 0 "
            "WHERE r.forwarder = ? AND r.batch > ? ORDER BY r.batch",
            (forwarder, batch_id),
        ).fetchall()
        return [batch_id for (batch_id,) in found]

    def newest(self) -> Batch | None:
        """The batch that was signed last."""
        found = self._store.db.execute(f"SELECT {_BATCH} FROM batches ORDER BY id DESC LIMIT 1").fetchone()
        return _batch(found) if found else None

    def find(self, chain: bytes, number: int) -> Batch | None:
        """The batch of that chain and number, if it is in this store."""
        found = self._store.db.execute(
            f"SELECT {_BATCH} FROM batches WHERE chain = ? AND number = ?", (chain, number)
        ).fetchone()
        return _batch(found) if found else None

    def receipt(self, batch_id: int, forwarder: str) -> bytes | None:
        """What is kept as that forwarder's evidence for a batch."""
        found = self._store.db.execute(
            "SELECT receipt FROM receipts WHERE batch = ? AND forwarder = ?", (batch_id, forwarder)
        ).fetchone()
        return found[0] if found else None

    def receipted_of(self, forwarder: str, batches: Sequence[tuple[bytes, int]]) -> set[tuple[bytes, int]]:
        """Those of these batches, by chain and number, that have a receipt from that forwarder's far end."""
        question = (
            "SELECT 1 FROM batches b JOIN receipts r ON r.batch = b.id AND r.forwarder = ? "
            "WHERE b.chain = ? AND b.number = ?"
        )
        return {one for one in batches if self._store.db.value(question, (forwarder, *one)) is not None}

    def receipted(
        self, batch: Batch, receipt: bytes, forwarder: str, now_ms: int, still_withheld: set[int] | None
    ) -> bool:
        """Keep a verified receipt as evidence and move that forwarder's cursor; False when there was one that
        says the same.

        `still_withheld`: journal ids of the batch that the far end may not have and has not got (None: it may
        have all); what was noted of the others as withheld is delivered now.
        """
        before = self.receipt(batch.id, forwarder)
        kept = still_withheld or set()
        released = [journal for journal in self.withheld(forwarder, batch) if journal not in kept]
        if before is not None and not released:
            return False
        with self._store.transaction() as db:
            db.execute(
                "INSERT INTO receipts VALUES(?, ?, ?, ?) ON CONFLICT(batch, forwarder) DO UPDATE SET "
                "receipt = excluded.receipt, at_ms = excluded.at_ms",
                (batch.id, forwarder, receipt, now_ms),
            )
            db.executemany(
                "DELETE FROM withheld WHERE forwarder = ? AND journal = ?",
                [(forwarder, journal) for journal in released],
            )
            if released:
                # What was spared for them goes by its age from now on.
                db.execute("UPDATE batches SET freed = 0 WHERE id = ?", (batch.id,))
            gap = db.value(
                f"SELECT min(id) FROM batches WHERE id > ? AND {_MISSING}",
                (self.cursor(forwarder), forwarder),
            )
            after = self._store.last_batch if gap is None else gap - 1
            db.execute("INSERT OR REPLACE INTO cursors VALUES(?, ?)", (forwarder, after))
            first_time = not batch.delivered and self._complete(batch.id)
            if first_time:
                db.execute("UPDATE batches SET delivered = 1 WHERE id = ?", (batch.id,))
                credits = [credit(db, batch.first_id, batch.last_id, self.deciding)]
            elif batch.delivered and forwarder in self.deciding:
                credits = [credit(db, journal, journal, self.deciding) for journal in released]
            else:
                credits = []
        self.counts["receipts"] += before is None
        self._credited(credits)
        return True

    def _complete(self, batch_id: int) -> bool:
        """Whether every required far end has that batch; none required: whether any has."""
        found = self._store.db.execute("SELECT forwarder FROM receipts WHERE batch = ?", (batch_id,))
        there = {name for (name,) in found}
        return self.required <= there if self.required else bool(there)

    def _credited(self, credits: list[dict[int, int]]) -> None:
        for counts in credits:
            for row, frames in counts.items():
                self._store.facts[row].delivered += frames

    @property
    def deciding(self) -> frozenset[str]:
        """The forwarders that decide whether a frame is delivered: the required ones, or all there are."""
        return self.required or self.forwarders

    def decide(self, forwarders: frozenset[str], required: frozenset[str]) -> None:
        """Who forwards, and whose receipts are wanted before a batch counts as delivered. Batches that wait
        for nobody any more are delivered from now on. StoreUnwritable.
        """
        self.forwarders, self.required = forwarders, required
        waiting = self._store.db.execute(
            "SELECT id, first_id, last_id FROM batches WHERE delivered = 0 AND id IN "
            "(SELECT batch FROM receipts)"
        ).fetchall()
        complete = [one for one in waiting if self._complete(one[0])]
        if not complete:
            return
        with self._store.transaction() as db:
            db.executemany("UPDATE batches SET delivered = 1 WHERE id = ?", [(one[0],) for one in complete])
            credits = [credit(db, first, last, self.deciding) for _, first, last in complete]
        self._credited(credits)

    # Withheld from a far end

    def withheld(self, forwarder: str, batch: Batch) -> list[int]:
        """Journal ids of a batch that were noted as withheld from that forwarder."""
        found = self._store.db.execute(
            "SELECT journal FROM withheld WHERE forwarder = ? AND journal BETWEEN ? AND ?",
            (forwarder, batch.first_id, batch.last_id),
        )
        return [journal for (journal,) in found]

    def withhold(self, forwarder: str, journal: set[int]) -> None:
        """Note durably what is left out of what goes to that forwarder, before it goes."""
        noted = self._store.db.execute(
            "SELECT journal FROM withheld WHERE forwarder = ? AND journal BETWEEN ? AND ?",
            (forwarder, min(journal), max(journal)),
        )
        if journal <= {one for (one,) in noted}:
            return
        with self._store.transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO withheld VALUES(?, ?)", [(forwarder, one) for one in sorted(journal)]
            )

    def withheld_after(self, forwarder: str, journal: int, limit: int) -> list[tuple[int, JournalRow]]:
        """(batch id, row) of the next entries that were withheld from that forwarder and are not gone."""
        found = self._store.db.execute(
            "SELECT w.journal FROM withheld w JOIN journal j ON j.id = w.journal "
            "WHERE w.forwarder = ? AND w.journal > ? AND j.gone IS NULL ORDER BY w.journal LIMIT ?",
            (forwarder, journal, limit),
        ).fetchall()
        out: list[tuple[int, JournalRow]] = []
        for (one,) in found:
            batch = self._store.db.value(
                "SELECT id FROM batches WHERE last_id >= ? ORDER BY last_id LIMIT 1", (one,)
            )
            out += [(batch, row) for row in journal_rows(self._store.db, one, one)]
        return out

    def dead_letter(self, forwarder: str, batch: int, item: str, reason: str, now_ms: int) -> None:
        """Keep what a far end will never take, with the reason, durably."""
        with self._store.transaction() as db:
            db.execute(
                "INSERT INTO dead_letters(forwarder, batch, item, reason, at_ms) VALUES(?, ?, ?, ?, ?)",
                (forwarder, batch, item, reason, now_ms),
            )
        self.counts["dead_letters"] += 1

    def fork(self, tip: Tip, theirs: bytes, evidence: bytes, now_ms: int) -> bool:
        """Keep the proof that somebody signed, or a collector stored, another batch under our number."""
        with self._store.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO forks VALUES(?, ?, ?, ?, ?, ?)", (*tip, theirs, evidence, now_ms)
            )
            new = db.changes()
        self.counts["forks"] += new
        return bool(new)


def _batch(found: Any) -> Batch:
    values = list(found)
    values[5] = cbor.loads(values[5])
    values[9] = bool(values[9])
    return Batch(*values)
