"""A store that was changed around its signatures: `verify` says what is wrong with it."""

import pytest

from protocol import batch, frames, waveform
from tests.tools.collector_rig import (
    AGENT,
    BOOT,
    NODE,
    NODE_KEYS,
    NOW,
    Chain,
    Rig,
    attestation,
    frame,
    vitals,
)

FIRST, SECOND = b"chain--1", b"chain--2"


def wave(seq: int) -> bytes:
    body = {
        frames.WAVE_CHANNEL: frames.CH_ECG,
        frames.WAVE_COUNT: 20,
        frames.WAVE_PERIOD_NS: 4_000_000,
        frames.WAVE_LSB: 3052,
        frames.WAVE_CODEC: waveform.CODEC,
        frames.WAVE_DATA: waveform.encode(list(range(20)), 20),
    }
    return batch.frame_entry(NODE.id, BOOT, seq, frames.pack(frames.KIND_WAVE, seq, body), NOW)


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path)
    first, second = Chain(chain=FIRST), Chain(chain=SECOND)
    rig.receipt(first.make([NODE_KEYS, frame(0), frame(1)]))
    rig.receipt(first.make([frame(2), frame(3, attestation([vitals(n) for n in range(3)]))]))
    rig.receipt(first.make([wave(4)]))
    cited = (first.chain, 2, first.previous)
    rig.receipt(second.make([NODE_KEYS, frame(1), frame(5)], cited=cited, reason="store restored"))
    rig.receipt(second.make([frame(6)]))
    report = rig.verify()
    assert report.sound, report.problems
    assert (report.chains, report.attestations["proved"], report.boots[0].stored) == (2, 1, 7)
    rig.store.db.execute("PRAGMA foreign_keys=OFF")
    yield rig
    rig.store.close()


ROW = f"(SELECT id FROM batches WHERE chain = x'{FIRST.hex()}' AND number = 1)"
LAST = f"(SELECT id FROM batches WHERE chain = x'{SECOND.hex()}' AND number = 1)"
OTHER = b"chain--3".hex()
ATTESTS = "the attestation of frames 0 to 2 (frame 3) is not listed"

BROKEN = {
    "a chain's name changed": (
        [f"UPDATE chains SET chain = x'{OTHER}' WHERE chain = x'{FIRST.hex()}'"],
        ["has batches, but is not in the list of chains", "none of its 3 batches is here"],
    ),
    "a chain is not listed": (
        [f"DELETE FROM chains WHERE chain = x'{SECOND.hex()}'"],
        ["has batches, but is not in the list of chains"],
    ),
    "a batch filed under another chain": (
        [f"UPDATE batches SET chain = x'{OTHER}' WHERE id = {ROW}"],
        [
            "filed under another agent, chain or number",
            f"batch 1 of chain {FIRST.hex()} is missing",
            "has batches, but is not in the list of chains",
        ],
    ),
    "a batch filed under another agent": (
        [f"UPDATE batches SET agent = x'{bytes(8).hex()}' WHERE id = {ROW}"],
        ["its agent is not known here", f"batch 1 of chain {FIRST.hex()} is missing"],
    ),
    "a batch gone": (
        [f"DELETE FROM batches WHERE id = {ROW}"],
        [
            f"batch 1 of chain {FIRST.hex()} is missing (agent {AGENT.id.hex()})",
            "2 frames are of a batch that is not here",
            "batches: 5 were stored, 4 are here",
        ],
    ),
    "a batch gone with its frames": (
        [f"DELETE FROM frames WHERE batch = {ROW}", f"DELETE FROM batches WHERE id = {ROW}"],
        [f"batch 1 of chain {FIRST.hex()} is missing"],
    ),
    "the last batch gone with its frames": (
        [f"DELETE FROM frames WHERE batch = {LAST}", f"DELETE FROM batches WHERE id = {LAST}"],
        ["is listed with 2 batches up to number 1; 1 up to number 0 are here"],
    ),
    "the statements of a batch that is gone": (
        [f"DELETE FROM frames WHERE batch < {ROW}", f"DELETE FROM batches WHERE id < {ROW}"],
        ["1 statements are of a batch that is not here", f"batch 0 of chain {FIRST.hex()} is missing"],
    ),
    "the repeats of a batch that is gone": (
        [f"DELETE FROM batches WHERE chain = x'{SECOND.hex()}' AND number = 0"],
        ["1 repeats are of a batch", "1 statements are of a batch"],
    ),
    "all batches of a chain gone": (
        [
            f"DELETE FROM {table} WHERE batch IN (SELECT id FROM batches WHERE chain = x'{SECOND.hex()}')"
            for table in ("frames", "statements", "repeats")
        ]
        + [f"DELETE FROM batches WHERE chain = x'{SECOND.hex()}'"],
        [f"chain {SECOND.hex()} of agent", "none of its 2 batches is here"],
    ),
    "a chain gone without a trace": (
        [
            f"DELETE FROM {table} WHERE batch IN (SELECT id FROM batches WHERE chain = x'{SECOND.hex()}')"
            for table in ("frames", "statements", "repeats")
        ]
        + [f"DELETE FROM {table} WHERE chain = x'{SECOND.hex()}'" for table in ("batches", "chains")],
        ["batches: 5 were stored, 3 are here", "frames: 7 were stored, 5 are here"],
    ),
    "attestations gone": (["DELETE FROM attestations"], [ATTESTS]),
    "an attestation of another range": (["UPDATE attestations SET count = 2"], [ATTESTS, "does not say so"]),
    "an attestation called pending": (
        ["UPDATE attestations SET state = 1"],
        ["frames 0 to 2 is listed as pending; it is proved"],
    ),
    "a node's name changed": (
        [f"UPDATE nodes SET node = x'{bytes(8).hex()}'"],
        [
            "the keys it is listed with are not its own",
            f"node {NODE.id.hex()} was introduced, but is not listed",
            "the node's key to check their signature is not",
        ],
    ),
    "a citation's hash rewritten": (
        ["UPDATE chains SET cited_hash = zeroblob(32) WHERE cited_hash IS NOT NULL"],
        ["the citation or reason it is listed with is not the one that was signed"],
    ),
    "a citation's number rewritten": (
        ["UPDATE chains SET cited_number = 1 WHERE cited_hash IS NOT NULL"],
        ["the citation or reason"],
    ),
    "a reason rewritten": (
        ["UPDATE chains SET reason = 'nothing' WHERE reason IS NOT NULL"],
        ["the citation or reason"],
    ),
    "a reason given where there was none": (
        [f"UPDATE chains SET reason = 'x' WHERE chain = x'{FIRST.hex()}'"],
        ["the citation or reason"],
    ),
    "a kind": (["UPDATE frames SET kind = 4 WHERE seq = 1"], ["frame 1 is filed under another kind"]),
    "a channel": (["UPDATE frames SET channel = 1 WHERE seq = 4"], ["frame 4 is filed under another kind"]),
    "a time": (["UPDATE frames SET t_us = 7 WHERE seq = 0"], ["frame 0 is filed under another kind"]),
    "an attest frame called something else": (
        ["UPDATE frames SET kind = 9 WHERE kind = 8"],
        ["frame 3 is filed under another kind"],
    ),
    "a linkage": (["UPDATE batches SET linkage = 1 WHERE number = 1"], ["is filed as waiting; it is linked"]),
    "a batch's time": (["UPDATE batches SET made_ms = 1"], ["is not the one that was signed"]),
    "a batch's arrival": (["UPDATE batches SET received_ms = 1"], ["are not those of its receipt"]),
    "a value of a type that never was": (
        ["UPDATE chains SET chain = 'text' WHERE id = 1"],
        ["table chains: 1 value of chain is not of type BLOB"],
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_was_changed_is_named(rig, how):
    changes, words = BROKEN[how]
    for change in changes:
        assert rig.store.db.execute(change).rowcount > 0
    problems = rig.verify().problems
    for expected in words:
        assert any(expected in problem for problem in problems), problems


def test_every_byte_of_the_rows_that_file_things_counts(rig):
    """No bit of a column that names something can be flipped unseen."""
    for table in ("chains", "batches", "nodes", "frames", "repeats", "attestations"):
        for _, column, declared, *_ in rig.store.db.execute(f"PRAGMA table_info({table})").fetchall():
            if declared != "BLOB":
                continue
            (value,) = rig.store.db.execute(
                f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"
            ).fetchone()
            changed = bytes([value[0] ^ 1]) + value[1:]
            rig.store.db.execute("BEGIN")
            rig.store.db.execute(
                f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {column} = ?", (changed, value)
            )
            rig.store.db.execute("COMMIT")
            assert not rig.verify().sound, (table, column)
            rig.store.db.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (value, changed))
            assert rig.verify().sound, (table, column)
