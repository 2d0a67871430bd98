"""Making the proof of one frame from a store, and saying in a sentence what a proof proves (protocol.proof).

Frames around it may be evicted or erased: their hashes stand for them. What cannot be proved yet (no batch,
no attestation, no clock fit, no receipt) is left out, and the sentence says so.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from edge_agent.custody.signing import Signing
from edge_agent.keys import PublicKeys
from edge_agent.readable import counted
from edge_agent.store.database import Database
from edge_agent.store.leaves import Leaves, leaves_of
from edge_agent.store.rows import JournalRow, frames_of, journal_rows
from edge_agent.store.schema import ENTRY_CLOCK, GONE_ERASED, GONE_EVICTED, GONE_RETENTION
from protocol import attest, cbor, frames, merkle, proof
from protocol.cose import split1
from protocol.errors import BatchError, ProtocolError
from protocol.frame_names import KIND_NAMES
from protocol.handover import SigningKey
from protocol.proof import Attested, Held, Proved
from protocol.receipts import RECEIPT

# Attestations come every 64 frames or 30 s, and are numbered after what they cover.
SEARCHED = (256, 4096, 1 << 32)
# Clock fits come once a minute for each node, beside all other entries.
FIT_WINDOW = 200_000
WHY_GONE = {
    GONE_RETENTION: "its time was over",
    GONE_EVICTED: "evicted for want of room",
    GONE_ERASED: "erased",
}


class ProveError(Exception):
    """That frame cannot be proved; the text says why, and what to do."""


def make(db: Database, agent: PublicKeys, node: bytes, boot: str, seq: int) -> bytes:
    """The proof of frame `seq` of a node's boot, named by its counter, or its id in hex. ProveError."""
    row, name = _boot(db, node, boot)
    frame = next(iter(frames_of(db, row, seq, seq)), None)
    which = f"frame {seq} of boot {int.from_bytes(name[:4], 'big')} of node {node.hex()}"
    if frame is None:
        raise ProveError(f"{which} is not in this store: `vitalwire ledger` says what became of it")
    if frame.data is None:
        raise ProveError(f"{which}: its data is gone ({WHY_GONE.get(frame.gone or 0, 'no reason kept')})")
    try:
        frames.unpack(frame.data)
    except ProtocolError as e:
        raise ProveError(f"{which} is malformed, as its node made it: no proof could say what it is") from e
    keys = db.execute("SELECT ed_pub, x_pub FROM nodes WHERE node = ?", (node,)).fetchone()
    if keys is None:
        raise ProveError(f"the keys of node {node.hex()} are not in this store")
    prover = _Prover(db, agent)
    held = prover.held(frame, row)
    if held is None:
        raise ProveError(f"{which} is in no signed batch yet: try again when the agent has signed it")
    clock = next(prover.fits(frame), None)
    first = next(iter(frames_of(db, row, 0, 0)), None)
    is_boot = first is not None and (first.data or b"").startswith(bytes((0x83, frames.KIND_BOOT)))
    start = prover.held(first, row) if first is not None and is_boot else None
    return proof.make_proof(agent.id, keys[1], held, clock, start, prover.receipts(frame))


def _boot(db: Database, node: bytes, boot: str) -> tuple[int, bytes]:
    found: list[tuple[int, bytes]] = [
        (row, name)
        for row, name in db.execute("SELECT id, boot FROM boots WHERE node = ? ORDER BY boot", (node,))
        if boot.lower() == name.hex() or (boot.isdecimal() and int(boot) == int.from_bytes(name[:4], "big"))
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ProveError(f"no boot {boot} of node {node.hex()} in this store: `vitalwire ledger` lists them")
    names = ", ".join(name.hex() for _, name in found)
    raise ProveError(f"boot {boot} is one of several: name it in hex ({names})")


class _Prover:
    """Finds what a proof is made of; batches that were read are kept for the next question."""

    def __init__(self, db: Database, agent: PublicKeys) -> None:
        self._db = db
        rows = db.execute("SELECT handover FROM signers WHERE handover IS NOT NULL ORDER BY id")
        self._signing = Signing(SigningKey(b"", agent.ed_pub), [record for (record,) in rows])
        self._leaves: dict[int, tuple[Leaves, bytes, int]] = {}

    def held(self, row: JournalRow, boot: int | None) -> Held | None:
        """The way from that entry to its batch's head; of a frame of the boot `boot`, to its node's signature
        as well. None: it is not signed.
        """
        batch = self._batch(row.id)
        if batch is None or row.data is None:
            return None
        leaves, signed, first = batch
        at = len(leaves.entries) - len(leaves.rows) + row.id - first
        entry = leaves.entries[at]
        assert entry is not None
        handovers = self._signing.handovers[: self._signing.steps_of(signed)]
        attested = None if boot is None else self._attested(row, boot)
        return Held(entry, at, merkle.path(leaves.hashes, at), signed, handovers, attested)

    def _batch(self, journal: int) -> tuple[Leaves, bytes, int] | None:
        found = self._db.execute(
            "SELECT id, first_id, last_id, preamble, signed FROM batches "
            "WHERE last_id >= ? ORDER BY last_id LIMIT 1",
            (journal,),
        ).fetchone()
        if found is None or found[1] > journal:
            return None
        batch, first, last, preamble, signed = found
        if batch not in self._leaves:
            rows = list(journal_rows(self._db, first, last))
            if len(rows) != last - first + 1:
                raise ProveError("entries of its batch are no longer kept, so the way to its root is lost")
            self._leaves[batch] = leaves_of(cbor.loads(preamble), rows), signed, first
        return self._leaves[batch]

    def _attested(self, row: JournalRow, boot: int) -> Attested | None:
        seq = row.seq or 0
        start = seq + 1
        for span in SEARCHED:
            for one in frames_of(self._db, boot, start, min(start + span, (1 << 32) - 1), kept_only=True):
                body = _attestation(one)
                if body is None or not 0 <= seq - body[attest.FIRST] < body[attest.COUNT]:
                    continue
                first, count = body[attest.FIRST], body[attest.COUNT]
                leaves = [
                    attested_leaf(frame) for frame in frames_of(self._db, boot, first, first + count - 1)
                ]
                if len(leaves) != count or None in leaves:
                    return None
                path = merkle.path([leaf for leaf in leaves if leaf is not None], seq - first)
                return Attested(first, count, body[attest.ROOT], body[attest.SIGNATURE], path)
        return None

    def fits(self, row: JournalRow) -> Iterator[Held]:
        """The clock entries of the frame's boot that are signed, the nearest first."""
        assert row.data is not None and row.node is not None and row.boot is not None
        t_us: int = frames.unpack(row.data)[1]
        begins = b"\x87\x02\x48" + row.node + b"\x4c" + row.boot
        found = self._db.execute(
            f"SELECT id, data FROM journal WHERE kind = {ENTRY_CLOCK} AND id BETWEEN ? AND ? "
            "AND substr(data, 1, 24) = ?",
            (row.id - FIT_WINDOW, row.id + FIT_WINDOW, begins),
        ).fetchall()
        for journal, _ in sorted(found, key=lambda one: abs(cbor.loads(one[1])[3] - t_us)):
            for entry in journal_rows(self._db, journal, journal):
                held = self.held(entry, None)
                if held is not None:
                    yield held

    def receipts(self, row: JournalRow) -> list[bytes]:
        """The signed receipts for the frame's batch, of all forwarders that have one."""
        found = self._db.execute(
            "SELECT receipt FROM receipts JOIN batches ON batches.id = batch "
            "WHERE first_id <= ? AND last_id >= ? ORDER BY forwarder",
            (row.id, row.id),
        ).fetchall()
        return [receipt for (receipt,) in found if _is_receipt(receipt)]


def _attestation(row: JournalRow) -> dict[int, Any] | None:
    if row.data is None or not row.data.startswith(bytes((0x83, frames.KIND_ATTEST))):
        return None
    try:
        return frames.unpack(row.data)[2]
    except ProtocolError:
        return None


def attested_leaf(row: JournalRow) -> bytes | None:
    """A frame as a leaf of its node's attestation; None when nothing of it is kept."""
    if row.data is None:
        return row.attested
    return merkle.leaf_hash(attest.leaf(row.boot or b"", row.seq or 0, row.data))


def _is_receipt(evidence: bytes) -> bool:
    try:
        return cbor.loads(split1(evidence, "receipt")[0])[2] == RECEIPT
    except (ProtocolError, BatchError, KeyError, TypeError):
        return False


# In words


def sentence(proved: Proved) -> str:
    """What a proof proves and what it does not, in one sentence."""
    what = KIND_NAMES.get(proved.kind, f"kind {proved.kind}").replace("_", " ")
    boot = int.from_bytes(proved.boot_id[:4], "big")
    frame = f"frame {proved.seq} ({what}) of its boot {boot}"
    node, agent = proved.node_id.hex(), proved.agent_id.hex()
    who = f"node {node} made and signed" if proved.attested else f"agent {agent} says that node {node} sent"
    if proved.read_by is not None:
        who = f"agent {proved.read_by.hex()} made, for the device that it knows as node {node},"
    said = [f"{who} {frame}"]
    if proved.time_us is not None:
        low, high = proved.time_us
        middle, half_ms = (low + high) // 2, -((low - high) // 2000)
        said.append(f"at {_utc(middle // 1000)} ± {half_ms} ms by the agent's clock")
    said.append(
        f"agent {agent} received it at {_utc(proved.received_ms)} and signed for it in batch "
        f"{proved.number} of chain {proved.chain_id.hex()}"
    )
    for collector, received_ms, left_out in proved.receipts:
        who = "the collector" if collector is None else f"collector {collector.hex()}"
        but = f", but for {left_out} of its entries" if left_out else ""
        said.append(f"{who} signed at {_utc(received_ms)} that it holds that batch{but}")
    text = f"Proved: {said[0]} " + "; ".join(said[1:]) if proved.time_us else "Proved: " + "; ".join(said)
    return f"{text}. Not proved: {'; '.join(_not_proved(proved))}."


def _not_proved(proved: Proved) -> Iterator[str]:
    if not proved.attested:
        yield "that the node signed it (no attestation covers it yet, so the agent's word stands alone)"
    if proved.time_us is None:
        yield "when it was measured (no clock fit of that boot is signed)"
    else:
        yield from _too_late(proved.time_us[0] // 1000, proved)
    if proved.unchecked_receipts:
        yield (
            f"that it was received ({counted(proved.unchecked_receipts, 'receipt')} in it not"
            " checked: give the collector's key)"
        )
    elif not proved.receipts:
        yield "that any collector has it (no receipt)"
    elif all(left_out for *_, left_out in proved.receipts):
        yield "that the collector holds this very frame"
    source = proved.body.get(frames.SOURCE) if proved.kind in (frames.KIND_WAVE, frames.KIND_VITALS) else None
    if proved.read_by is not None:
        yield "that the device is genuine, or said so (it signs nothing itself)"
    elif proved.input:
        yield f"that it was measured on a body (that boot's input was {proved.input!r}, no sensor)"
    elif source:
        yield f"that it was measured on a body (its source was {source!r}, no sensor)"
    elif proved.input is None:
        yield "that sensors were its source (the boot frame is not in the proof)"
    elif not proved.input_attested:
        yield "by the node itself, that sensors were its source (its boot frame is not attested)"
    yield "whose body it was"


def _too_late(measured_ms: int, proved: Proved) -> Iterator[str]:
    """Nothing was received before it was measured: where it says so, one of the clocks was wrong."""
    late_ms = measured_ms - proved.received_ms
    if late_ms > 0:
        yield (
            f"when it was measured (that date is {late_ms / 1000:.3f} s after the agent received it: the "
            "agent's clock was set in between)"
        )
        return
    late_ms = max((measured_ms - received_ms for _, received_ms, _ in proved.receipts), default=0)
    if late_ms > 0:
        yield (
            f"when it was measured (that date is {late_ms / 1000:.3f} s after the collector's receipt: one "
            "of the two clocks is wrong)"
        )


def _utc(unix_ms: int) -> str:
    try:
        when = datetime.fromtimestamp(unix_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{unix_ms} ms"
    return when.strftime("%Y-%m-%d %H:%M:%S.") + f"{unix_ms % 1000:03d} UTC"
