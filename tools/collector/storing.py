"""The storing of one verified batch, inside a transaction that is alone on its agent and its nodes.

What it guarantees: of each frame (node, boot, number) the first content stays, is stored once, and every
batch that brings it again stays provable by the hash of its entry; an entry that was left out is filled in
when the batch comes again with it; what was erased is not stored again.
"""

from typing import Any

from protocol import batch as batches
from protocol import frames, handover, receipts
from protocol.errors import FrameError
from protocol.records import read_record
from tools.collector import attestations, linkage, schema
from tools.collector.migrations import filed_under
from tools.collector.signing import Signing
from tools.collector.store import Store, StoredBatch

MALFORMED = -1
"""Kind, in the store, of a frame that its agent signed for but that is not one."""

_CLONE = "it says that another program signs with its key while it runs: a copy, or a stolen key"
_FRAME = "node, boot, seq, kind, channel, t_us, plaintext, received_ms, batch, position"


class Storing:
    """One batch; `run` once. `wire_bytes`: of the message that brought it."""

    def __init__(self, store: Store, signing: Signing, batch: batches.Batch, wire_bytes: int, now_ms: int):
        self._store = store
        self._signing = signing
        self._batch = batch
        self._wire_bytes = wire_bytes
        self._now_ms = now_ms
        self._row = 0
        self._frames = 0
        self._malformed = 0
        self._duplicates = 0
        self._introduced: set[bytes] = set()
        self._touched: dict[tuple[bytes, bytes], list[int]] = {}
        self._attests: list[tuple[bytes, bytes, int, Any]] = []

    def run(self) -> bytes:
        """Store what is new of it; the receipt. BatchError (retired_key, bad_handover) before anything is
        written.
        """
        batch, store = self._batch, self._store
        self._check_key()
        store.hear(batch.agent_id, self._now_ms)
        stored = next(
            (
                one
                for one in store.batches(batch.agent_id, batch.chain_id, batch.number)
                if one.head_hash == batch.head_hash
            ),
            None,
        )
        if stored is not None:
            return self._again(stored)
        self._row = store.add_batch(batch, self._wire_bytes, self._now_ms, schema.WAITING)
        self._take(range(batch.count))
        left_out = self._leave_out()
        receipt = self._receipt(self._duplicates, left_out)
        for name, n in (("batches", 1), ("entries", batch.count), ("wire_bytes", self._wire_bytes)):
            store.count("stored", name, n)
        linkage.settle(store, batch.agent_id, batch.chain_id, batch.number, self._now_ms)
        self._settle_attestations()
        return receipt

    def _again(self, stored: StoredBatch) -> bytes:
        """The batch is here. What was left out of it and is in it now is filled in, and receipted anew."""
        batch, store = self._batch, self._store
        self._row = stored.row
        found: list[int] = []
        if stored.left_out:
            holes = store.db.execute(
                "SELECT position FROM holes WHERE batch = ? AND cause = ? ORDER BY position",
                (stored.row, schema.LEFT_OUT),
            ).fetchall()
            found = [position for (position,) in holes if batch.entries[position] is not None]
        if not found:
            store.count("stored", "batches_again")
            return stored.receipt
        for position in found:
            store.db.execute("DELETE FROM holes WHERE batch = ? AND position = ?", (stored.row, position))
        self._take(found)
        store.count("stored", "filled_in", len(found))
        # An erased person's frames may be among them.
        store.db.execute(
            "UPDATE erasures SET done_batch = ? WHERE done_batch >= ?", (stored.row - 1, stored.row)
        )
        receipt = self._receipt(stored.duplicates + self._duplicates, stored.left_out - len(found))
        self._settle_attestations()
        return receipt

    # ---- keys

    def _check_key(self) -> None:
        """Refuse a batch by a retired key; keep hand-overs that are new, and name what they condemn."""
        batch, store = self._batch, self._store
        here = store.handovers(batch.agent_id)
        if not here and not batch.handovers:
            return
        keys = self._chain_of(here)
        carried = [one.record for one in batch.handovers]
        handover.check_head(batch.chain_id, batch.number, carried, keys, batch.cited)
        for one in batch.handovers[len(here) :]:
            store.db.execute(
                "INSERT INTO handovers VALUES (?, ?, ?)", (batch.agent_id, one.number, one.record)
            )
            self._condemn(one)

    def _chain_of(self, records: list[bytes]) -> list[handover.Handover]:
        """Hand-overs that were verified when they came."""
        steps: list[handover.Handover] = []
        for number, record in enumerate(records):
            if number < len(self._batch.handovers) and self._batch.handovers[number].record == record:
                steps.append(self._batch.handovers[number])
            else:
                fields = handover.read_handover(record)
                steps.append(handover.Handover(fields, steps[-1].new_pub if steps else b"", record))
        return steps

    def _condemn(self, one: handover.Handover) -> None:
        """What the old key signed after it was handed over, and is here already, is by a thief or a copy."""
        where, given = "agent = ? AND generation < ?", [self._batch.agent_id, one.number]
        if one.last is not None:
            where += " AND chain = ? AND number > ?"
            given += [one.last[0], one.last[1]]
        for chain, number in self._store.db.execute(
            f"SELECT chain, number FROM batches WHERE {where}", given
        ).fetchall():
            name = f"agent {self._batch.agent_id.hex()} chain {chain.hex()} batch {number}"
            self._store.alarm(
                self._now_ms, "retired_key", f"{name} is signed by key {one.number - 1}, handed over before"
            )

    # ---- entries

    def _take(self, positions: "range | list[int]") -> None:
        batch, store = self._batch, self._store
        rows: list[tuple[Any, ...]] = []
        others: list[tuple[Any, ...]] = []
        for position in positions:
            fields, entry = batch.parsed[position], batch.entries[position]
            if fields is None or entry is None:
                continue
            if fields[0] == batches.ENTRY_FRAME:
                rows.append(self._frame_row(position, fields))
                continue
            if fields[0] == batches.ENTRY_IDENTITY:
                self._introduce(fields[1], fields[2], fields[3])
            clone = fields[:2] == [batches.ENTRY_STATEMENT, "clone"]
            if clone and not linkage.told(store, batch.agent_id):
                store.alarm(self._now_ms, "two_agents", f"agent {batch.agent_id.hex()}: {_CLONE}")
            if fields[0] == batches.ENTRY_ERASURE:
                self._note_erasure(position, fields[1])
            others.append((self._row, position, entry, *filed_under(entry, fields)))
        store.db.insert("statements", "batch, position, entry, kind, node", others)
        self._store_frames(self._without_erased(rows))

    def _note_erasure(self, position: int, record: bytes) -> None:
        """people.py carries it out, once it finds that an operator signed it."""
        fields = read_record(record)
        row = (self._row, position, fields["person"], fields["made_at_ms"], 0, 0)
        self._store.db.insert("erasures", "batch, position, person, made_ms, done_batch, scrubbed", [row])

    def _frame_row(self, position: int, fields: "list[Any]") -> tuple[Any, ...]:
        _, node, boot, seq, plaintext, received_ms = fields
        try:
            kind, t_us, body = frames.unpack(plaintext)
        except FrameError:
            kind, t_us, body = None, 0, {}
        filed = columns_of(kind, t_us, body)
        if kind == frames.KIND_ATTEST:
            self._attests.append((node, boot, seq, body))
        return (node, boot, seq, *filed, plaintext, received_ms, self._row, position)

    def _store_frames(self, rows: "list[tuple[Any, ...]]") -> None:
        """Store those that are not here; of the others keep the hash of the entry."""
        store, new = self._store, rows
        if store.db.insert("frames", _FRAME, rows) != len(rows):
            stored = store.db.execute("SELECT position FROM frames WHERE batch = ?", (self._row,)).fetchall()
            mine = {position for (position,) in stored}
            new = [row for row in rows if row[-1] in mine]
            self._repeat([row for row in rows if row[-1] not in mine])
        self._frames = len(new)
        self._malformed = sum(1 for row in new if row[3] == MALFORMED)
        here = {row[:3] for row in new}
        for row in new:
            self._touched.setdefault((row[0], row[1]), []).append(row[2])
        for node, boot, seq, body in self._attests:
            if (node, boot, seq) in here:
                attestations.add(store, node, boot, seq, body)
        for name, n in (("frames", self._frames), ("frames_malformed", self._malformed)):
            if n:
                store.count("stored", name, n)

    def _repeat(self, rows: "list[tuple[Any, ...]]") -> None:
        store = self._store
        for node, boot, seq, *_, plaintext, _received_ms, _row, position in rows:
            self._duplicates += 1
            store.db.execute(
                "INSERT INTO repeats VALUES (?, ?, ?)", (self._row, position, self._batch.leaves[position])
            )
            if store.frame(node, boot, seq) != plaintext:
                self._conflict(node, boot, seq, plaintext)
        store.count("stored", "duplicates", len(rows))

    def _conflict(self, node: bytes, boot: bytes, seq: int, plaintext: bytes) -> None:
        """The same frame number with other content: somebody made one of the two up.

        The first stands, both are kept.
        """
        if self._store.db.insert(
            "conflicts", "node, boot, seq, plaintext, batch", [(node, boot, seq, plaintext, self._row)]
        ):
            self._store.count("stored", "conflicts")
            where = f"node {node.hex()} boot {boot.hex()} frame {seq}"
            self._store.alarm(self._now_ms, "conflict", f"{where} came again with other content")

    def _without_erased(self, rows: "list[tuple[Any, ...]]") -> "list[tuple[Any, ...]]":
        """Those of which no erased frame is known; the hash of the others is kept, as of a repeat."""
        store = self._store
        found = {
            node
            for node in {row[0] for row in rows}
            if store.db.execute(
                "SELECT 1 FROM holes WHERE cause = ? AND node = ? LIMIT 1", (schema.ERASED, node)
            ).fetchone()
        }
        if not found:
            return rows
        kept: list[tuple[Any, ...]] = []
        for row in rows:
            if row[0] in found and store.is_erased(row[0], row[1], row[2]):
                self._duplicates += 1
                leaf = self._batch.leaves[row[-1]]
                store.db.execute("INSERT INTO repeats VALUES (?, ?, ?)", (self._row, row[-1], leaf))
                store.count("stored", "duplicates")
            else:
                kept.append(row)
        return kept

    def _leave_out(self) -> int:
        """Keep the hashes of the entries that were left out; how many those are."""
        batch = self._batch
        rows = [
            (self._row, position, batch.leaves[position], schema.LEFT_OUT)
            for position, entry in enumerate(batch.entries)
            if entry is None
        ]
        self._store.db.insert("holes", "batch, position, leaf, cause", rows)
        return len(rows)

    # ---- what follows

    def _receipt(self, duplicates: int, left_out: int) -> bytes:
        batch = self._batch
        signer, handovers = self._signing.current()
        receipt = receipts.make_receipt(
            signer,
            batch.agent_id,
            batch.chain_id,
            batch.number,
            batch.head_hash,
            batch.count - duplicates - left_out,
            duplicates,
            self._now_ms,
            handovers,
            left_out,
        )
        self._store.finish_batch(self._row, receipt, self._now_ms, duplicates, left_out)
        return receipt

    def _introduce(self, node: bytes, ed_pub: bytes, x_pub: bytes) -> None:
        """Keep a node's keys. They cannot be other than before: the id is their fingerprint's beginning."""
        if self._store.db.insert("nodes", "node, ed25519, x25519", [(node, ed_pub, x_pub)]):
            self._introduced.add(node)

    def _settle_attestations(self) -> None:
        for node in self._introduced:
            attestations.settle(self._store, node, None, self._now_ms)
        for (node, boot), seqs in self._touched.items():
            if node not in self._introduced:
                attestations.settle(self._store, node, (boot, min(seqs), max(seqs)), self._now_ms)


def columns_of(kind: int | None, t_us: int, body: Any) -> tuple[int, int | None, int]:
    """What a frame is looked up by: (kind, channel, t_us). `kind` is None of one that is malformed."""
    if kind is None:
        return MALFORMED, None, 0
    return kind, body[frames.WAVE_CHANNEL] if kind == frames.KIND_WAVE else None, t_us
