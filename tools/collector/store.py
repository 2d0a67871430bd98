"""The collector's store: what was received, once, and what is known about it.

One writer, one transaction a batch.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protocol.batch import Batch
from tools.collector import schema


class StoreError(Exception):
    """The store cannot be used. `path` is the file, `reason` why, `hint` what to do."""

    def __init__(self, path: Path, reason: str, hint: str):
        super().__init__(f"{path}: {reason}; {hint}")
        self.path = path
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True)
class StoredBatch:
    """A batch as it lies in the store.

    `row` is its row number, hashes are 32 bytes, times Unix milliseconds.
    """

    row: int
    agent: bytes
    chain: bytes
    number: int
    head_hash: bytes
    previous: bytes
    signed: bytes
    entries: int
    duplicates: int
    made_ms: int
    received_ms: int
    linkage: int
    receipt: bytes


_BATCH = (
    "SELECT b.id, b.agent, b.chain, b.number, b.head_hash, b.previous, b.signed, b.entries, b.duplicates,"
    " b.made_ms, b.received_ms, b.linkage, b.receipt FROM batches b"
)
_WITH_CHAIN = f"{_BATCH} LEFT JOIN chains c ON c.agent = b.agent AND c.chain = b.chain"


_HINT = "restore it from a backup, or move it away to begin anew"


class Store:
    """Opens `path`, making it when absent. Changes happen inside `transaction()`; reading needs none."""

    def __init__(self, path: Path, read_only: bool = False):
        self.path = path
        # An empty file is a database to SQLite, but never was a store: one is born whole (opening.py).
        if path.is_file() and path.stat().st_size == 0:
            raise StoreError(path, "damaged: truncated to 0 bytes", _HINT)
        try:
            self.db = self._connect(read_only)
            version = self.db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not read_only:
                self.db.executescript(
                    f"BEGIN IMMEDIATE; {schema.TABLES} PRAGMA user_version={schema.VERSION}; COMMIT"
                )
                version = schema.VERSION
        except sqlite3.DatabaseError as e:
            raise StoreError(path, str(e), _HINT) from e
        if version != schema.VERSION:
            self.db.close()
            raise StoreError(
                path, f"store version {version}, expected {schema.VERSION}", "use the release that made it"
            )

    def _connect(self, read_only: bool) -> sqlite3.Connection:
        if read_only:
            return sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA foreign_keys=ON")
        except sqlite3.DatabaseError:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the file; what is committed stays."""
        self.db.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One moment of the store: what a collector writes meanwhile is not seen."""
        self.db.execute("BEGIN")
        try:
            yield
        finally:
            self.db.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; on leaving, what was written is on the disk (synchronous=FULL)."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    # ---- small facts

    def meta(self, name: str) -> bytes | None:
        """What was kept under a name, or None."""
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def set_meta(self, name: str, value: bytes) -> None:
        """Keep `value` under a name, in place of what was there."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def count(self, name: str, cause: str = "", n: int = 1) -> None:
        """Add `n` to a counter that outlives the process."""
        self.db.execute(
            "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            (name, cause, n),
        )

    def counters(self, name: str) -> dict[str, int]:
        """Cause → number."""
        return dict(self.db.execute("SELECT cause, n FROM counters WHERE name = ? ORDER BY cause", (name,)))

    def alarm(self, at_ms: int, code: str, detail: str) -> None:
        """Something a person must look at. The same thing said again is one alarm."""
        self.db.execute(
            "INSERT OR IGNORE INTO alarms (at_ms, code, detail) VALUES (?, ?, ?)", (at_ms, code, detail)
        )

    def alarms(self) -> list[tuple[int, str, str]]:
        """(Unix ms, code, detail) of every alarm, oldest first."""
        return self.db.execute("SELECT at_ms, code, detail FROM alarms ORDER BY id").fetchall()

    # ---- batches and chains

    def batches(self, agent: bytes, chain: bytes, number: int) -> list[StoredBatch]:
        """Every batch with that number: one, or more when the chain has forked there."""
        rows = self.db.execute(
            f"{_BATCH} WHERE agent = ? AND chain = ? AND number = ? ORDER BY id", (agent, chain, number)
        )
        return [StoredBatch(*row) for row in rows]

    def all_batches(self) -> Iterator[StoredBatch]:
        """Agent by agent, chain by chain in the order in which they were first seen, number by number.

        Those whose chain is not listed come first.
        """
        rows = self.db.execute(f"{_WITH_CHAIN} ORDER BY b.agent, c.id, b.chain, b.number, b.id")
        return (StoredBatch(*row) for row in rows)

    def newest_chains(self, agent: bytes, limit: int) -> list[bytes]:
        """The agent's chains that no other chain follows, the one that was first seen last first."""
        rows = self.db.execute(
            "SELECT c.chain FROM chains c WHERE c.agent = ?1 AND c.chain NOT IN"
            " (SELECT cited_chain FROM chains WHERE agent = ?1 AND cited_chain IS NOT NULL)"
            " AND EXISTS (SELECT 1 FROM batches b WHERE b.agent = ?1 AND b.chain = c.chain)"
            " ORDER BY c.id DESC LIMIT ?2",
            (agent, limit),
        )
        return [chain for (chain,) in rows]

    def highest_batch(self, agent: bytes, chain: bytes) -> StoredBatch:
        """The batch with the greatest number of a chain that has any."""
        row = self.db.execute(
            f"{_BATCH} WHERE agent = ? AND chain = ? ORDER BY number DESC, id LIMIT 1", (agent, chain)
        ).fetchone()
        return StoredBatch(*row)

    def contiguous_batch(self, agent: bytes, chain: bytes) -> StoredBatch | None:
        """The newest batch of a chain up to which none is missing; None if its first is."""
        if not self.batches(agent, chain, 0):
            return None
        (number,) = self.db.execute(
            "SELECT b.number FROM batches b WHERE b.agent = ?1 AND b.chain = ?2 AND NOT EXISTS (SELECT 1 FROM"
            " batches n WHERE n.agent = ?1 AND n.chain = ?2 AND n.number = b.number + 1)"
            " ORDER BY b.number LIMIT 1",
            (agent, chain),
        ).fetchone()
        return self.batches(agent, chain, number)[0]

    def add_batch(self, batch: Batch, wire_bytes: int, received_ms: int, linkage: int) -> int:
        """The row of a new batch, and of its chain if that is new too; `finish_batch` completes it."""
        self.db.execute(
            "INSERT INTO chains (agent, chain, newest, batches) VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE"
            " SET newest = max(newest, excluded.newest), batches = batches + 1",
            (batch.agent_id, batch.chain_id, batch.number),
        )
        if batch.number == 0:
            cited = batch.cited or (None, None, None)
            self.db.execute(
                "UPDATE chains SET cited_chain = ?, cited_number = ?, cited_hash = ?, reason = ?"
                " WHERE agent = ? AND chain = ?",
                (*cited, batch.reason, batch.agent_id, batch.chain_id),
            )
        cursor = self.db.execute(
            "INSERT INTO batches (agent, chain, number, head_hash, previous, signed, entries, duplicates,"
            " wire_bytes, made_ms, received_ms, linkage, receipt)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, x'')",
            (
                batch.agent_id,
                batch.chain_id,
                batch.number,
                batch.head_hash,
                batch.previous,
                batch.signed_head,
                batch.count,
                wire_bytes,
                batch.made_at_ms,
                received_ms,
                linkage,
            ),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def finish_batch(self, row: int, receipt: bytes, duplicates: int) -> None:
        """What is known once its entries are stored."""
        self.db.execute(
            "UPDATE batches SET receipt = ?, duplicates = ? WHERE id = ?", (receipt, duplicates, row)
        )

    def set_linkage(self, batch: int, linkage: int) -> None:
        """Say how a batch hangs on its predecessor."""
        self.db.execute("UPDATE batches SET linkage = ? WHERE id = ?", (linkage, batch))

    # ---- frames

    def frame(self, node: bytes, boot: bytes, seq: int) -> bytes | None:
        """The stored plaintext, or None."""
        row = self.db.execute(
            "SELECT plaintext FROM frames WHERE node = ? AND boot = ? AND seq = ?", (node, boot, seq)
        ).fetchone()
        return None if row is None else row[0]

    def plaintexts(self, node: bytes, boot: bytes, first: int, count: int) -> list[bytes]:
        """The frames of a range that are here, ascending: shorter than `count` when some are missing."""
        rows = self.db.execute(
            "SELECT plaintext FROM frames WHERE node = ? AND boot = ? AND seq >= ? AND seq < ? ORDER BY seq",
            (node, boot, first, first + count),
        )
        return [row[0] for row in rows]

    def node_keys(self, node: bytes) -> tuple[bytes, bytes] | None:
        """(ed25519, x25519) public keys of a node that an agent has introduced."""
        return self.db.execute("SELECT ed25519, x25519 FROM nodes WHERE node = ?", (node,)).fetchone()
