"""Proves the whole store again, from its bytes: nothing that was decided at intake is taken for granted."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edge_agent.keys import load_public
from edge_agent.ranges import Ranges
from protocol import batch as batches
from protocol import frames, merkle, receipts
from protocol.errors import ProtocolError
from tools.collector import attestations, linkage, schema
from tools.collector.folder import AGENTS, PUBLIC, STORE
from tools.collector.store import Store, StoredBatch
from tools.collector.trust import Trust

KeyOf = Callable[[bytes], bytes | None]
"""Agent id → Ed25519 public key, or None for an agent that is not known (any more)."""


class BootRow(NamedTuple):
    """The frames of one boot that are here.

    Counts of frame numbers; `attested` are covered by a proved signature of the node.
    """

    node: bytes
    boot: bytes
    stored: int
    highest: int
    evicted: int
    missing: int
    attested: int


@dataclass
class Report:
    """What was proved and what was not.

    `problems` are sentences; none of them means that the store is sound.
    """

    batches: int = 0
    chains: int = 0
    frames: int = 0
    waiting: int = 0
    attestations: dict[str, int] = field(default_factory=lambda: {"proved": 0, "pending": 0, "failed": 0})
    boots: list[BootRow] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.problems


def verify_folder(state: Path) -> Report:
    """`verify` for the collector with this state folder. KeyFileError, StoreError, sqlite3.DatabaseError."""
    collector = load_public(state / PUBLIC)
    agents = Trust(state / AGENTS)

    def key_of(agent: bytes) -> bytes | None:
        known = agents.lookup(agent)
        return None if known is None else known.ed_pub

    with closing(Store(state / STORE, read_only=True)) as store:
        return verify(store, collector.ed_pub, key_of)


def verify(store: Store, collector_ed_pub: bytes, key_of: KeyOf) -> Report:
    """Check every signature, root, receipt, link, attestation and frame number."""
    report = Report()
    before: list[StoredBatch] = []
    here: list[StoredBatch] = []
    for batch in store.all_batches():
        report.batches += 1
        if here and (batch.agent, batch.chain) != (here[0].agent, here[0].chain):
            before, here = [], []
            report.chains += 1
        elif here and batch.number != here[0].number:
            before, here = (here if batch.number == here[0].number + 1 else []), []
        here.append(batch)
        _check_link(report, batch, before, len(here))
        for problem in _batch_problems(store, batch, collector_ed_pub, key_of(batch.agent)):
            report.problems.append(f"{_name(batch)}: {problem}")
    report.chains += bool(here)
    proved = _check_attestations(report, store)
    report.boots = list(_boots(store, proved))
    report.frames = sum(row.stored for row in report.boots)
    for node, boot, seq in store.db.execute("SELECT DISTINCT node, boot, seq FROM conflicts"):
        report.problems.append(
            f"node {node.hex()} boot {boot.hex()}: frame {seq} was received with two contents"
        )
    return report


def _name(batch: StoredBatch) -> str:
    return f"agent {batch.agent.hex()} chain {batch.chain.hex()} batch {batch.number}"


def _check_link(report: Report, batch: StoredBatch, before: list[StoredBatch], branches: int) -> None:
    link = linkage.of(batch, before)
    if link == schema.BROKEN:
        report.problems.append(f"{_name(batch)}: does not follow the batch before it")
    elif link == schema.WAITING:
        report.waiting += 1
    if branches == 2:
        report.problems.append(f"{_name(batch)}: the chain forks here")


def _batch_problems(
    store: Store, batch: StoredBatch, collector_ed_pub: bytes, agent_ed_pub: bytes | None
) -> Iterator[str]:
    if agent_ed_pub is None:
        yield "its agent is not known here any more, so its signature cannot be checked"
        return
    try:
        head = batches.verify_head(batch.signed, agent_ed_pub)
        fields = batches.parse_head(head)
    except ProtocolError as e:
        yield str(e)
        return
    if batches.head_hash(head) != batch.head_hash:
        yield "the stored hash is not that of the signed head"
    if (fields[2], fields[3], fields[4], fields[5]) != (
        batch.agent,
        batch.chain,
        batch.number,
        batch.previous,
    ):
        yield "it is filed under another agent, chain or number than it was signed for"
    leaves = entry_hashes(store, batch.row)
    if len(leaves) != fields[7]:
        yield f"{len(leaves)} of {fields[7]} entries are here"
    elif merkle.root(leaves) != fields[6]:
        yield "its entries are not those that were signed"
    try:
        receipt = receipts.verify_receipt(batch.receipt, collector_ed_pub)
    except ProtocolError as e:
        yield f"the receipt given for it: {e}"
        return
    if (receipt.agent_id, receipt.chain_id, receipt.number, receipt.head_hash) != (
        batch.agent,
        batch.chain,
        batch.number,
        batch.head_hash,
    ):
        yield "the receipt given for it is for another batch"


def entry_hashes(store: Store, row: int) -> list[bytes]:
    """The leaf hashes of a stored batch, in order, computed from what is stored of its entries."""
    found: list[tuple[int, bytes]] = []
    for position, node, boot, seq, plaintext, received_ms in store.db.execute(
        "SELECT position, node, boot, seq, plaintext, received_ms FROM frames WHERE batch = ?", (row,)
    ):
        entry = batches.frame_entry(node, boot, seq, plaintext, received_ms)
        found.append((position, merkle.leaf_hash(entry)))
    for position, entry in store.db.execute("SELECT position, entry FROM statements WHERE batch = ?", (row,)):
        found.append((position, merkle.leaf_hash(entry)))
    found.extend(store.db.execute("SELECT position, leaf FROM repeats WHERE batch = ?", (row,)))
    return [leaf for _, leaf in sorted(found)]


def _check_attestations(report: Report, store: Store) -> dict[tuple[bytes, bytes], Ranges]:
    """Judge them all again; the frame numbers that each boot has proved."""
    proved: dict[tuple[bytes, bytes], Ranges] = {}
    for node, boot, first, count, seq in store.db.execute(
        "SELECT node, boot, first, count, seq FROM attestations ORDER BY node, boot, first"
    ):
        state = attestations.judge(store, node, boot, first, count, seq)
        report.attestations[("proved", "pending", "failed")[state]] += 1
        if state == schema.PROVED:
            proved.setdefault((node, boot), Ranges()).add(first, count)
        elif state == schema.FAILED:
            where = f"node {node.hex()} boot {boot.hex()}"
            range_ = f"frames {first} to {first + count - 1}"
            report.problems.append(f"{where}: its signature does not cover {range_} as they are stored")
    return proved


def _boots(store: Store, proved: dict[tuple[bytes, bytes], Ranges]) -> Iterator[BootRow]:
    """Boot by boot, oldest first, which frame numbers are here."""
    boots = store.db.execute("SELECT DISTINCT node, boot FROM frames ORDER BY node, boot").fetchall()
    for node, boot in boots:
        stored, lost = Ranges(), Ranges()
        for seq, kind, plaintext in store.db.execute(
            "SELECT seq, kind, plaintext FROM frames WHERE node = ? AND boot = ? ORDER BY seq", (node, boot)
        ):
            stored.add(seq)
            if kind == frames.KIND_LOSS:
                for first, count, _ in frames.unpack(plaintext)[2][frames.LOSS_RANGES]:
                    lost.add(first, count)
        missing = Ranges([(0, stored.end)]).minus(stored)
        evicted = missing.both(lost).count
        attested = stored.both(proved.get((node, boot), Ranges())).count
        yield BootRow(node, boot, stored.count, stored.end - 1, evicted, missing.count - evicted, attested)
