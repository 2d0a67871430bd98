"""Batches that leave entries out: what verifies with the hashes, and what is refused."""

from typing import Any

import pytest

from protocol import batch, cbor, cose, merkle
from protocol.errors import BatchError
from tests.protocol.test_batch import AGENT, BOOT, ENTRIES, NODE, NOW, made, parsed, refused

SIGNED = cbor.loads(made())[1]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]


def leaving_out(*holes: int) -> bytes:
    entries = [None if i in holes else entry for i, entry in enumerate(ENTRIES)]
    return batch.encode_batch(SIGNED, entries, [LEAVES[i] for i in holes])


@pytest.mark.parametrize("holes", [(0,), (2, 5), (1, 2, 3), tuple(range(len(ENTRIES)))])
def test_a_hole_is_known_by_its_hash(holes: "tuple[int, ...]") -> None:
    got, whole = parsed(leaving_out(*holes)), parsed(made())
    assert (got.head_hash, got.root, got.count) == (whole.head_hash, whole.root, whole.count)
    assert got.leaves == whole.leaves == LEAVES
    for i, entry in enumerate(ENTRIES):
        assert got.entries[i] == (None if i in holes else entry)
        assert (got.parsed[i] is None) == (i in holes)


def test_sealed_and_opened_the_holes_stay() -> None:
    sealed = batch.seal_batch(leaving_out(2), AGENT.id, NODE.x_pub, NODE.id)
    assert parsed(batch.open_batch(sealed, NODE)[1]).entries[2] is None


def test_each_truncation_is_refused() -> None:
    data = leaving_out(1, 4)
    for end in range(len(data)):
        assert refused(data[:end]) == "malformed_batch"


def test_each_changed_byte_is_refused() -> None:
    data = leaving_out(1, 4)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert refused(changed) in (
            "malformed_batch",
            "bad_signature",
            "bad_root",
            "bad_holes",
            "bad_count",
            "bad_handover",
        )


def other(entries: Any, hashes: Any = None) -> bytes:
    fields = {1: SIGNED, 2: entries}
    if hashes is not None:
        fields[3] = hashes
    return cbor.dumps(fields)


WITH_HOLE = [b"", *ENTRIES[1:]]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (other(WITH_HOLE), "bad_holes"),
        (other(WITH_HOLE, []), "bad_holes"),
        (other(WITH_HOLE, LEAVES[:2]), "bad_holes"),
        (other(ENTRIES, LEAVES[:1]), "bad_holes"),  # a hole that is given too
        (other(ENTRIES, []), "bad_holes"),
        (other(WITH_HOLE, LEAVES[1:2]), "bad_root"),
        (other([b"", b"", *ENTRIES[2:]], LEAVES[1::-1]), "bad_root"),
        (other(WITH_HOLE[:-1], LEAVES[:1]), "bad_count"),
        (other([*WITH_HOLE, ENTRIES[0]], LEAVES[:1]), "bad_count"),
        (other(WITH_HOLE, [LEAVES[0][:31]]), "malformed_batch"),
        (other(WITH_HOLE, [LEAVES[0] + b"\0"]), "malformed_batch"),
        (other(WITH_HOLE, [5]), "malformed_batch"),
        (other(WITH_HOLE, LEAVES[0]), "malformed_batch"),
        (other(WITH_HOLE, {0: LEAVES[0]}), "malformed_batch"),
    ],
)
def test_hashes_that_do_not_fit_the_holes(data: bytes, why: str) -> None:
    assert refused(data) == why


def test_a_hash_hides_no_bad_entry_of_its_neighbours() -> None:
    bad = cbor.dumps([0, NODE.id, BOOT, -1, b"", NOW])
    whole = made([ENTRIES[0], bad])
    signed = cbor.loads(whole)[1]
    hidden = batch.encode_batch(signed, [ENTRIES[0], None], [merkle.leaf_hash(bad)])
    assert refused(whole) == "malformed_batch" and parsed(hidden).parsed[1] is None
    shown = batch.encode_batch(signed, [None, bad], [LEAVES[0]])
    assert refused(shown) == "malformed_batch"


def test_leaves_are_computed_once_for_head_and_batch() -> None:
    head = batch.make_head(AGENT.id, b"chain id", 0, batch.FIRST_PREVIOUS, ENTRIES, NOW)
    assert head == batch.make_head_over(AGENT.id, b"chain id", 0, batch.FIRST_PREVIOUS, LEAVES, NOW)


def test_a_key_of_a_map_of_a_later_version_is_carried() -> None:
    fields = cbor.loads(leaving_out(0))
    assert parsed(cbor.dumps({**fields, 9: b"later"})).entries[0] is None


def test_error_names_both_counts() -> None:
    with pytest.raises(BatchError, match="1 entries are left out, and 2 hashes given"):
        parsed(other(WITH_HOLE, LEAVES[:2]))


def test_a_receipt_says_how_many_entries_are_missing_there() -> None:
    def receipt(left_out: Any) -> batch.Receipt:
        fields = {1: 1, 2: "receipt", 3: AGENT.id, 4: b"chain id", 5: 3, 6: bytes(32), 7: 8, 8: 1, 9: NOW}
        if left_out is not None:
            fields[13] = left_out
        return batch.verify_receipt(cose.sign1(NODE, cbor.dumps(fields)), NODE.ed_pub)

    assert receipt(None).left_out == 0 and receipt(2).left_out == 2
    made = batch.make_receipt(NODE, AGENT.id, b"chain id", 3, bytes(32), 6, 1, NOW, left_out=2)
    assert batch.verify_receipt(made, NODE.ed_pub).left_out == 2
    for wrong in (0, -1, "1", True, 1 << 53):
        with pytest.raises(BatchError):
            receipt(wrong)
