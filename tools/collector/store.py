"""The collector's store: what was received, once, and what is known about it."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protocol import attest, merkle
from protocol.batch import Batch
from tools.collector import database, migrations, schema


class StoreError(Exception):
    """The store cannot be used. `path` is the file or what may be shown of the database's address, `reason`
    why, `hint` what to do.
    """

    def __init__(self, path: Path | str, reason: str, hint: str = ""):
        super().__init__(f"{path}: {reason}" + (f"; {hint}" if hint else ""))
        self.path = path
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True)
class StoredBatch:
    """A batch as it lies in the store.

    `row` is its row number, hashes are 32 bytes, times Unix milliseconds; `left_out`: of its entries, by its
    agent, and still; `generation`: hand-overs of the key before the one that signed it.
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
    left_out: int
    generation: int


_COLUMNS = (
    "b.id, b.agent, b.chain, b.number, b.head_hash, b.previous, b.signed, b.entries, b.duplicates,"
    " b.made_ms, b.received_ms, b.linkage, b.receipt, b.left_out, b.generation"
)
_BATCH = f"SELECT {_COLUMNS} FROM batches b"
_WITH_CHAIN = f"{_BATCH} LEFT JOIN chains c ON c.agent = b.agent AND c.chain = b.chain"


_HINT = "restore it from a backup, or move it away to begin anew"


class Store:
    """Opens what `place` names, making it when absent. Changes happen inside `transaction()`; reading needs
    none.

    `place`: an SQLite file, which one collector writes, or the address of a PostgreSQL database
    (postgresql://…), which any number of them may. `writer`: names this one among them.
    """

    def __init__(self, place: Path | str, read_only: bool = False, writer: bytes = b""):
        self.writer = writer
        shared = isinstance(place, str) and database.is_postgres(place)
        self.path = None if shared else Path(place)
        self.db = self._postgres(str(place)) if shared else self._sqlite(Path(place), read_only)
        self.name = self.db.name
        try:
            version = self.db.version() if read_only else migrations.bring_up(self.db)
        except database.unavailable():
            self.db.close()
            raise
        except database.errors() as e:
            self.db.close()
            raise StoreError(self.name, str(e), _HINT) from e
        except BaseException:
            self.db.close()
            raise
        if version != schema.VERSION:
            self.db.close()
            hint = (
                "start the collector once: it brings it up"
                if 0 < version < schema.VERSION
                else (
                    "run the collector first: there is no store yet"
                    if version == 0
                    else "use the release that made it"
                )
            )
            raise StoreError(self.name, f"store version {version}, expected {schema.VERSION}", hint)

    @staticmethod
    def _sqlite(path: Path, read_only: bool) -> database.Database:
        # An empty file is a database to SQLite, but never was a store: one is born whole (opening.py).
        if path.is_file() and path.stat().st_size == 0:
            raise StoreError(path, "damaged: truncated to 0 bytes", _HINT)
        try:
            return database.Sqlite(path, read_only)
        except sqlite3.DatabaseError as e:
            raise StoreError(path, str(e), _HINT) from e

    @staticmethod
    def _postgres(address: str) -> database.Database:
        try:
            return database.Postgres(address)
        except database.AddressError as e:
            raise StoreError("--database", str(e)) from e

    def close(self) -> None:
        """Close it; what is committed stays."""
        self.db.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One moment of the store: what a collector writes meanwhile is not seen."""
        self.db.begin(read_only=True)
        try:
            yield
        finally:
            self.db.rollback()

    @contextmanager
    def transaction(self, locks: Iterable[bytes] = ()) -> Iterator[None]:
        """All or nothing; on leaving, what was written is on the disk.

        `locks`: the ids of the agents and nodes that are touched; what others write of them is waited for,
        and seen.
        """
        self.db.begin(locks)
        try:
            yield
            self.db.commit()
        except BaseException:
            self.db.rollback()
            raise

    # ---- small facts

    def meta(self, name: str) -> bytes | None:
        """What was kept under a name, or None."""
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def set_meta(self, name: str, value: bytes) -> None:
        """Keep `value` under a name, in place of what was there."""
        self.db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def count(self, name: str, cause: str = "", n: int = 1) -> None:
        """Add `n` to a counter that outlives the process."""
        self.db.execute(
            "INSERT INTO counters VALUES (?, ?, ?, ?)"
            " ON CONFLICT (name, cause, writer) DO UPDATE SET n = counters.n + excluded.n",
            (name, cause, self.writer, n),
        )

    def counters(self, name: str) -> dict[str, int]:
        """Cause → number, of all collectors that write this store."""
        rows = self.db.execute(
            "SELECT cause, CAST(sum(n) AS BIGINT) FROM counters WHERE name = ? GROUP BY cause ORDER BY cause",
            (name,),
        )
        return dict(rows.fetchall())

    def alarm(self, at_ms: int, code: str, detail: str) -> None:
        """Something a person must look at. The same thing said again is one alarm."""
        self.db.execute(
            "INSERT INTO alarms (at_ms, code, detail) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (at_ms, code, detail),
        )

    def alarm_over(self, code: str, detail: str) -> None:
        """That is over."""
        self.db.execute("DELETE FROM alarms WHERE code = ? AND detail = ?", (code, detail))

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
        order = "coalesce(c.id, 0), b.chain, b.number, b.id"
        rows = self.db.stream(f"{_WITH_CHAIN} ORDER BY b.agent, {order}")
        return (StoredBatch(*row) for row in rows)

    def newest_chains(self, agent: bytes, limit: int) -> list[bytes]:
        """The agent's chains that no other chain follows, the one that was first seen last first."""
        rows = self.db.execute(
            "SELECT c.chain FROM chains c WHERE c.agent = ? AND c.chain NOT IN"
            " (SELECT o.cited_chain FROM chains o WHERE o.agent = c.agent AND o.cited_chain IS NOT NULL)"
            " AND EXISTS (SELECT 1 FROM batches b WHERE b.agent = c.agent AND b.chain = c.chain)"
            " ORDER BY c.id DESC LIMIT ?",
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
            "SELECT b.number FROM batches b WHERE b.agent = ? AND b.chain = ? AND NOT EXISTS (SELECT 1 FROM"
            " batches n WHERE n.agent = b.agent AND n.chain = b.chain AND n.number = b.number + 1)"
            " ORDER BY b.number LIMIT 1",
            (agent, chain),
        ).fetchone()
        return self.batches(agent, chain, number)[0]

    def add_batch(self, batch: Batch, wire_bytes: int, received_ms: int, linkage: int) -> int:
        """The row of a new batch, and of its chain if that is new too; `finish_batch` completes it."""
        self.db.execute(
            "INSERT INTO chains (agent, chain, newest, batches) VALUES (?, ?, ?, 1)"
            " ON CONFLICT (agent, chain) DO UPDATE SET batches = chains.batches + 1, newest ="
            " CASE WHEN excluded.newest > chains.newest THEN excluded.newest ELSE chains.newest END",
            (batch.agent_id, batch.chain_id, batch.number),
        )
        if batch.number == 0:
            cited = batch.cited or (None, None, None)
            self.db.execute(
                "UPDATE chains SET cited_chain = ?, cited_number = ?, cited_hash = ?, reason = ?"
                " WHERE agent = ? AND chain = ?",
                (*cited, as_text(batch.reason), batch.agent_id, batch.chain_id),
            )
        return self.db.insert_id(
            "INSERT INTO batches (agent, chain, number, head_hash, previous, signed, entries, duplicates,"
            " wire_bytes, made_ms, received_ms, linkage, receipt, generation)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)",
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
                b"",
                len(batch.handovers),
            ),
        )

    def finish_batch(
        self, row: int, receipt: bytes, received_ms: int, duplicates: int, left_out: int
    ) -> None:
        """What is known once its entries are stored."""
        self.db.execute(
            "UPDATE batches SET receipt = ?, received_ms = ?, duplicates = ?, left_out = ? WHERE id = ?",
            (receipt, received_ms, duplicates, left_out, row),
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

    def is_erased(self, node: bytes, boot: bytes, seq: int) -> bool:
        """Whether the frame was here, and was erased."""
        row = self.db.execute(
            "SELECT 1 FROM holes WHERE cause = ? AND node = ? AND boot = ? AND seq = ?",
            (schema.ERASED, node, boot, seq),
        ).fetchone()
        return row is not None

    def attested_leaves(self, node: bytes, boot: bytes, first: int, count: int) -> list[bytes]:
        """The leaf hashes, in the node's own tree, of the frames of a range that are or were here, ascending:
        fewer than `count` when some are missing.
        """
        given = (node, boot, first, first + count)
        where = "node = ? AND boot = ? AND seq >= ? AND seq < ?"
        rows = self.db.execute(f"SELECT seq, plaintext FROM frames WHERE {where}", given).fetchall()
        leaves = {seq: merkle.leaf_hash(attest.leaf(boot, seq, plaintext)) for seq, plaintext in rows}
        if len(leaves) < count:
            erased = f"SELECT seq, attested FROM holes WHERE cause = {schema.ERASED} AND {where}"
            leaves.update(self.db.execute(erased, given).fetchall())
        return [leaves[seq] for seq in sorted(leaves)]

    def node_keys(self, node: bytes) -> tuple[bytes, bytes] | None:
        """(ed25519, x25519) public keys of a node that an agent has introduced."""
        return self.db.execute("SELECT ed25519, x25519 FROM nodes WHERE node = ?", (node,)).fetchone()

    # ---- agents and their keys

    def handovers(self, party: bytes) -> list[bytes]:
        """The hand-overs of an agent's signing key, or this collector's, from the first on."""
        rows = self.db.execute("SELECT record FROM handovers WHERE party = ? ORDER BY number", (party,))
        return [record for (record,) in rows.fetchall()]

    def heard(self) -> dict[bytes, int]:
        """Agent id → when it spoke last, Unix ms."""
        return dict(self.db.execute("SELECT agent, at_ms FROM heard").fetchall())

    def hear(self, agent: bytes, at_ms: int) -> None:
        """The agent spoke."""
        self.db.execute(
            "INSERT INTO heard VALUES (?, ?) ON CONFLICT (agent) DO UPDATE SET at_ms ="
            " CASE WHEN excluded.at_ms > heard.at_ms THEN excluded.at_ms ELSE heard.at_ms END",
            (agent, at_ms),
        )


def as_text(text: str | None) -> str | None:
    """Text of an agent as it can be filed: PostgreSQL takes no NUL in one."""
    return None if text is None else text.replace("\0", "\N{REPLACEMENT CHARACTER}")
