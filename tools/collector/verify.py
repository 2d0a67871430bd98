"""Proves the whole store again, from its bytes: nothing that was decided at intake is taken for granted."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.keys import load_public
from edge_agent.readable import counted, is_are
from protocol import batch as batches
from protocol import handover, merkle, receipts
from protocol.errors import BatchError, ProtocolError
from tools.collector import filing, frames_again, linkage, schema
from tools.collector.folder import AGENTS, PUBLIC, STORE
from tools.collector.frames_again import BootRow
from tools.collector.store import Store, StoredBatch
from tools.collector.trust import Trust

KeyOf = Callable[[bytes], bytes | None]
"""Agent id → Ed25519 public key, or None for an agent that is not known (any more)."""


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
        """Whether nothing is wrong."""
        return not self.problems


def verify_folder(state: Path, database: str | None = None) -> Report:
    """`verify` for the collector with this state folder. KeyFileError, StoreError, errors of the database."""
    collector = load_public(state / PUBLIC)
    agents = Trust(state / AGENTS)

    def key_of(agent: bytes) -> bytes | None:
        known = agents.lookup(agent)
        return None if known is None else known.ed_pub

    with closing(Store(database or state / STORE, read_only=True)) as store:
        return verify(store, collector.ed_pub, key_of)


def verify(store: Store, collector_ed_pub: bytes, key_of: KeyOf) -> Report:
    """Check every signature, root, receipt, link, attestation and frame number, and that nothing is gone.

    The collector may go on storing meanwhile: what is seen is the store at one moment.
    """
    with store.reading():
        report = Report()
        report.problems.extend(filing.strange_values(store))
        if report.sound:
            _check_batches(report, store, collector_ed_pub, key_of)
            readings = frames_again.read(store)
            report.boots, report.attestations = readings.boots, readings.attestations
            report.frames = sum(row.stored for row in report.boots)
            report.problems.extend(readings.problems)
            report.problems.extend(filing.problems(store))
            for node, boot, seq in store.db.execute("SELECT DISTINCT node, boot, seq FROM conflicts"):
                report.problems.append(
                    f"node {node.hex()} boot {boot.hex()}: frame {seq} was received with two contents"
                )
        return report


def _check_batches(report: Report, store: Store, collector_ed_pub: bytes, key_of: KeyOf) -> None:
    numbers: list[int] = []
    before: list[StoredBatch] = []
    here: list[StoredBatch] = []
    gaps: list[str] = []

    def end_of_chain() -> None:
        if here:
            report.chains += 1
            gaps.extend(filing.missing(here[0].agent, here[0].chain, numbers))

    for batch in store.all_batches():
        report.batches += 1
        if here and (batch.agent, batch.chain) != (here[0].agent, here[0].chain):
            end_of_chain()
            numbers, before, here = [], [], []
        elif here and batch.number != here[0].number:
            before, here = (here if batch.number == here[0].number + 1 else []), []
        if not here:
            numbers.append(batch.number)
        here.append(batch)
        _check_link(report, batch, before, len(here))
        for problem in _batch_problems(store, batch, collector_ed_pub, key_of(batch.agent)):
            report.problems.append(f"{_name(batch)}: {problem}")
    end_of_chain()
    report.problems.extend(gaps)


def _name(batch: StoredBatch) -> str:
    return f"agent {batch.agent.hex()} chain {batch.chain.hex()} batch {batch.number}"


def _check_link(report: Report, batch: StoredBatch, before: list[StoredBatch], branches: int) -> None:
    link = linkage.of(batch, before)
    if link == schema.BROKEN:
        report.problems.append(f"{_name(batch)}: does not follow the batch before it")
    elif link == schema.WAITING:
        report.waiting += 1
    if link != batch.linkage:
        names = schema.LINKAGE_NAMES
        filed = names[batch.linkage] if batch.linkage in range(len(names)) else str(batch.linkage)
        report.problems.append(f"{_name(batch)}: it is filed as {filed}; it is {names[link]}")
    if branches == 2:
        report.problems.append(f"{_name(batch)}: the chain forks here")


def _batch_problems(
    store: Store, batch: StoredBatch, collector_ed_pub: bytes, agent_ed_pub: bytes | None
) -> Iterator[str]:
    if agent_ed_pub is None:
        yield "its agent is not known here any more, so its signature cannot be checked"
        return
    try:
        head, fields = _head(store, batch, agent_ed_pub)
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
    if (fields[7], fields[8]) != (batch.entries, batch.made_ms):
        yield "the count or time it is listed with is not the one that was signed"
    leaves, left_out = entry_hashes(store, batch.row)
    if len(leaves) != fields[7]:
        yield f"{len(leaves)} of {counted(fields[7], 'entry')} {is_are(fields[7])} here"
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
    elif (receipt.stored, receipt.duplicates, receipt.left_out, receipt.received_at_ms) != (
        batch.entries - batch.duplicates - left_out,
        batch.duplicates,
        batch.left_out,
        batch.received_ms,
    ):
        yield "the counts or the time it is listed with are not those of its receipt"


def _head(store: Store, batch: StoredBatch, agent_ed_pub: bytes) -> tuple[bytes, dict[int, Any]]:
    """The head and its fields, signed by the key that the agent's first key was handed over to."""
    records = store.handovers(batch.agent)
    if len(records) < batch.generation:
        raise BatchError(f"hand-over {len(records) + 1} of its agent's key is not here", cause="bad_handover")
    steps = handover.read_chain(agent_ed_pub, records, batch.agent)
    head = handover.signed_by(batch.signed, agent_ed_pub, steps[: batch.generation], "head")
    fields = batches.parse_head(head)
    handover.check_head(fields[3], fields[4], records[: batch.generation], steps, fields.get(9))
    return head, fields


def entry_hashes(store: Store, row: int) -> tuple[list[bytes], int]:
    """The leaf hashes of a stored batch, in order, computed from what is stored of its entries; how many of
    them are of entries that its agent left out.
    """
    found: list[tuple[int, bytes]] = []
    for position, node, boot, seq, plaintext, received_ms in store.db.execute(
        "SELECT position, node, boot, seq, plaintext, received_ms FROM frames WHERE batch = ?", (row,)
    ):
        entry = batches.frame_entry(node, boot, seq, plaintext, received_ms)
        found.append((position, merkle.leaf_hash(entry)))
    for position, entry in store.db.execute("SELECT position, entry FROM statements WHERE batch = ?", (row,)):
        found.append((position, merkle.leaf_hash(entry)))
    found.extend(store.db.execute("SELECT position, leaf FROM repeats WHERE batch = ?", (row,)))
    left_out = 0
    for position, leaf, cause in store.db.execute(
        "SELECT position, leaf, cause FROM holes WHERE batch = ?", (row,)
    ):
        found.append((position, leaf))
        left_out += cause == schema.LEFT_OUT
    return [leaf for _, leaf in sorted(found)], left_out
