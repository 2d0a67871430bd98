"""Every stored frame read again: its columns, and what its node has signed for, from the frames alone."""

from dataclasses import dataclass, field
from typing import NamedTuple

from edge_agent.ledger.ranges import Ranges
from protocol import attest, frames
from protocol.errors import FrameError
from tools.collector import attestations, schema
from tools.collector.losses import told_later
from tools.collector.store import Store
from tools.collector.storing import columns_of


class BootRow(NamedTuple):
    """The frames of one boot that are here.

    Counts of frame numbers; `attested` are covered by a proved signature of the node; `erased` were here.
    """

    node: bytes
    boot: bytes
    stored: int
    highest: int
    evicted: int
    missing: int
    attested: int
    erased: int = 0


STATES = ("proved", "pending", "failed")


@dataclass
class Readings:
    """What reading the frames of a store gave, boot by boot, oldest first."""

    boots: list[BootRow] = field(default_factory=list)
    attestations: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    problems: list[str] = field(default_factory=list)


def read(store: Store) -> Readings:
    """Unpack each frame, and judge each attestation among them as if it had just come."""
    readings = Readings()
    boots = store.db.execute(
        "SELECT node, boot FROM frames UNION SELECT node, boot FROM attestations"
        " UNION SELECT node, boot FROM holes WHERE cause = ? AND seq IS NOT NULL ORDER BY node, boot",
        (schema.ERASED,),
    ).fetchall()
    for node, boot in boots:
        _read_boot(store, node, boot, readings)
    return readings


def _read_boot(store: Store, node: bytes, boot: bytes, readings: Readings) -> None:
    name = f"node {node.hex()} boot {boot.hex()}"
    stored, lost = Ranges(), Ranges()
    attests: list[tuple[int, int, int]] = []
    erased = Ranges()
    for (seq,) in store.db.stream(
        "SELECT seq FROM holes WHERE cause = ? AND node = ? AND boot = ? ORDER BY seq",
        (schema.ERASED, node, boot),
    ):
        erased.add(seq)
    for seq, kind, channel, t_us, plaintext in store.db.stream(
        "SELECT seq, kind, channel, t_us, plaintext FROM frames WHERE node = ? AND boot = ? ORDER BY seq",
        (node, boot),
    ):
        stored.add(seq)
        try:
            its_kind, its_t_us, body = frames.unpack(plaintext)
        except FrameError:
            its_kind, its_t_us, body = None, 0, {}
        if (kind, channel, t_us) != columns_of(its_kind, its_t_us, body):
            readings.problems.append(
                f"{name}: frame {seq} is filed under another kind, channel or time than is in it"
            )
        if its_kind == frames.KIND_LOSS:
            for first, count, reason in body[frames.LOSS_RANGES]:
                # What another agent has is not here until that one sends it.
                if reason != frames.LOSS_ELSEWHERE:
                    lost.add(first, count)
        elif its_kind == frames.KIND_ATTEST:
            attests.append((body[attest.FIRST], body[attest.COUNT], seq))
    for first, count, reason in told_later(store, node, boot):
        if reason != frames.LOSS_ELSEWHERE:
            lost.add(first, count)
    proved = _judge(store, node, boot, sorted(attests), readings)
    if stored or erased:
        highest = max(stored.end if stored else 0, erased.end if erased else 0) - 1
        missing = Ranges([(0, highest + 1)]).minus(stored).minus(erased)
        evicted = missing.both(lost).count
        attested = stored.both(proved).count
        row = (stored.count, highest, evicted, missing.count - evicted, attested, erased.count)
        readings.boots.append(BootRow(node, boot, *row))


def _judge(
    store: Store, node: bytes, boot: bytes, attests: list[tuple[int, int, int]], readings: Readings
) -> Ranges:
    """The frame numbers that the node has signed for."""
    proved = Ranges()
    name = f"node {node.hex()} boot {boot.hex()}"
    listed = {
        (first, count, seq): state
        for first, count, seq, state in store.db.execute(
            "SELECT first, count, seq, state FROM attestations WHERE node = ? AND boot = ?", (node, boot)
        )
    }
    for first, count, seq in attests:
        state = attestations.judge(store, node, boot, first, count, seq)
        readings.attestations[STATES[state]] += 1
        range_ = f"frames {first} to {first + count - 1}"
        if state == schema.PROVED:
            proved.add(first, count)
        elif state == schema.FAILED:
            readings.problems.append(f"{name}: its signature does not cover {range_} as they are stored")
        elif len(store.attested_leaves(node, boot, first, count)) == count:
            readings.problems.append(
                f"{name}: {range_} are all here, but the node's key to check their signature is not"
            )
        was = listed.pop((first, count, seq), None)
        if was is None:
            readings.problems.append(f"{name}: the attestation of {range_} (frame {seq}) is not listed")
        elif was != state:
            filed = STATES[was] if was in range(len(STATES)) else str(was)
            readings.problems.append(
                f"{name}: the attestation of {range_} is listed as {filed}; it is {STATES[state]}"
            )
    for first, count, seq in listed:
        readings.problems.append(
            f"{name}: an attestation of frames {first} to {first + count - 1} is listed,"
            f" but frame {seq} does not say so"
        )
    return proved
