"""Hand-overs of signing keys: what leads from the first key to the one that signs, and what does not."""

from typing import Any

import pytest

from protocol import batch, cbor, cose, handover, receipts
from protocol.errors import BatchError, LocalError
from tests.protocol.test_batch import AGENT, CHAIN, COLLECTOR, ENTRIES, NOW, STRANGER, cause

SECOND, THIRD, FOURTH = (handover.SigningKey.from_seed(bytes([i]) * 32) for i in (22, 33, 44))
LAST = (CHAIN, 4, b"\4" * 32)
ONE = handover.make_handover(AGENT, SECOND, AGENT.id, NOW, 1, LAST)
TWO = handover.make_handover(SECOND, THIRD, AGENT.id, NOW + 1, 2)


def made(signer: Any = THIRD, handovers: Any = (ONE, TWO), number: int = 5) -> bytes:
    head = batch.make_head(AGENT.id, CHAIN, number, b"\1" * 32, ENTRIES, NOW)
    return batch.encode_batch(batch.sign_head(signer, head), ENTRIES, (), handovers)


def parsed(data: bytes, known: "tuple[bytes, ...]" = ()) -> batch.Batch:
    steps = handover.read_chain(AGENT.ed_pub, known, AGENT.id)
    return batch.parse_batch(data, AGENT.ed_pub, AGENT.id, steps)


def test_the_chain_is_followed_from_the_first_key() -> None:
    assert handover.follow(AGENT.ed_pub, []) == AGENT.ed_pub
    assert handover.follow(AGENT.ed_pub, [ONE], AGENT.id) == SECOND.ed_pub
    assert handover.follow(AGENT.ed_pub, [ONE, TWO], AGENT.id) == THIRD.ed_pub
    first, second = handover.read_chain(AGENT.ed_pub, [ONE, TWO])
    assert (first.old_pub, first.new_pub, first.made_at_ms, first.number) == (
        AGENT.ed_pub,
        SECOND.ed_pub,
        NOW,
        1,
    )
    assert (first.last, second.last, second.agent_id, second.record) == (LAST, None, AGENT.id, TWO)


BACK = handover.make_handover(THIRD, AGENT, AGENT.id, NOW, 3)


@pytest.mark.parametrize(
    ("chain", "why"),
    [
        ([TWO], "bad_handover"),
        ([TWO, ONE], "bad_handover"),
        ([ONE, ONE], "bad_handover"),
        ([ONE, TWO, BACK], "bad_handover"),
        ([handover.make_handover(STRANGER, SECOND, AGENT.id, NOW, 1)], "bad_handover"),
        ([handover.make_handover(AGENT, SECOND, STRANGER.id, NOW, 1)], "bad_handover"),
        ([ONE, handover.make_handover(SECOND, THIRD, STRANGER.id, NOW, 2)], "bad_handover"),
        ([handover.make_handover(AGENT, AGENT, AGENT.id, NOW, 1)], "bad_handover"),
        ([ONE] * 65, "bad_handover"),
        ([b""], "malformed_batch"),
        ([batch.sign_head(AGENT, batch.make_head(AGENT.id, CHAIN, 0, bytes(32), [], 1))], "malformed_batch"),
    ],
)
def test_what_does_not_lead_on(chain: "list[bytes]", why: str) -> None:
    assert cause(handover.follow, AGENT.ed_pub, chain, AGENT.id) == why


def test_every_bit_of_a_handover_counts() -> None:
    for bit in range(8 * len(ONE)):
        changed = bytearray(ONE)
        changed[bit >> 3] ^= 1 << (bit & 7)
        assert cause(handover.follow, AGENT.ed_pub, [bytes(changed)], AGENT.id) in (
            "bad_handover",
            "malformed_batch",
            "unknown_version",
        )
    for end in range(len(ONE)):
        assert cause(handover.follow, AGENT.ed_pub, [ONE[:end]], AGENT.id) == "malformed_batch"


def test_nobody_hands_over_to_a_key_that_did_not_accept() -> None:
    fields = cbor.loads(cose.split1(ONE, "hand-over")[0])
    for changes in ({4: FOURTH.ed_pub}, {5: NOW + 1}, {7: bytes(64)}):
        record = cose.sign1(AGENT, cbor.dumps({**fields, **changes}))
        with pytest.raises(BatchError, match="did not accept") as refused:
            handover.follow(AGENT.ed_pub, [record], AGENT.id)
        assert refused.value.cause == "bad_handover"


@pytest.mark.parametrize(
    "changes",
    [
        {1: 2},
        {2: "handovers"},
        {3: bytes(7)},
        {4: bytes(31)},
        {5: -1},
        {5: 1 << 53},
        {6: 0},
        {6: 65},
        {6: True},
        {7: bytes(63)},
        {8: None},
        {8: [CHAIN, 4]},
        {8: [CHAIN, -1, bytes(32)]},
        {8: [CHAIN[1:], 4, bytes(32)]},
        {8: [CHAIN, 4, bytes(31)]},
    ],
)
def test_a_signed_handover_must_be_sound(changes: "dict[int, Any]") -> None:
    fields = cbor.loads(cose.split1(ONE, "hand-over")[0])
    record = cose.sign1(AGENT, cbor.dumps({**fields, **changes}))
    assert cause(handover.read_handover, record) in ("malformed_batch", "unknown_version")


def test_a_number_out_of_range_is_not_made() -> None:
    for number in (0, 65):
        with pytest.raises(LocalError):
            handover.make_handover(AGENT, SECOND, AGENT.id, NOW, number)


def test_a_batch_of_a_rotated_key_verifies_alone() -> None:
    got = parsed(made())
    assert [one.new_pub for one in got.handovers] == [SECOND.ed_pub, THIRD.ed_pub]
    assert got.entries == ENTRIES
    assert parsed(made(SECOND, [ONE])).handovers[0].record == ONE


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (made(THIRD, [ONE]), "bad_signature"),
        (made(THIRD, ()), "bad_signature"),
        (made(SECOND), "retired_key"),
        (made(AGENT), "retired_key"),
        (made(AGENT, [ONE]), "retired_key"),
        (made(STRANGER), "bad_signature"),
        (made(THIRD, [TWO, ONE]), "bad_handover"),
        (made(THIRD, [ONE, cbor.dumps(5)]), "malformed_batch"),
        (cbor.dumps({**cbor.loads(made(AGENT, ())), 4: []}), "malformed_batch"),
        (cbor.dumps({**cbor.loads(made()), 4: b""}), "malformed_batch"),
        (cbor.dumps({**cbor.loads(made()), 4: [5]}), "malformed_batch"),
        (cbor.dumps({**cbor.loads(made()), 4: [b""] * 65}), "malformed_batch"),
    ],
)
def test_a_batch_and_the_keys_that_came_with_it(data: bytes, why: str) -> None:
    assert cause(parsed, data) == why


def test_a_retired_key_signs_nothing_after_the_last_head_that_it_told() -> None:
    assert parsed(made(AGENT, (), 4), (ONE,)).number == 4
    assert cause(parsed, made(AGENT, (), 5), (ONE,)) == "retired_key"
    assert cause(parsed, made(AGENT, (), 5), (ONE, TWO)) == "retired_key"
    # the second key handed over before it signed any head
    assert cause(parsed, made(SECOND, [ONE], 5), (ONE, TWO)) == "retired_key"
    assert parsed(made(THIRD, [ONE, TWO], 9), (ONE,)).number == 9


def test_a_retired_key_begins_no_chain_that_follows_a_later_batch() -> None:
    """An agent that was restored from a backup of before the hand-over, or a thief who asked for the head."""

    def begun(number: int, chain: bytes = CHAIN) -> bytes:
        cited = (chain, number, bytes(32))
        head = batch.make_head(AGENT.id, b"chain 2.", 0, batch.FIRST_PREVIOUS, ENTRIES, NOW, cited, "why")
        return batch.encode_batch(batch.sign_head(AGENT, head), ENTRIES)

    assert parsed(begun(4), (ONE,)).cited and parsed(begun(9, b"chain 3."), (ONE,)).cited
    assert cause(parsed, begun(5), (ONE,)) == "retired_key"


def test_a_key_that_was_handed_over_twice() -> None:
    other = handover.make_handover(AGENT, FOURTH, AGENT.id, NOW, 1, LAST)
    assert parsed(made(FOURTH, [other])).handovers[0].new_pub == FOURTH.ed_pub
    assert cause(parsed, made(FOURTH, [other]), (ONE,)) == "bad_handover"


def test_an_entry_of_a_handover() -> None:
    entry = batch.handover_entry(ONE)
    assert batch.parse_entry(entry) == [batch.ENTRY_HANDOVER, ONE]
    for bad in ([6], [6, 5], [6, b""], [6, ONE, ONE], [6, ONE[:-1]]):
        assert cause(batch.parse_entry, cbor.dumps(bad)) == "malformed_batch"


STEP = handover.make_handover(COLLECTOR, SECOND, COLLECTOR.id, NOW, 1)


def test_receipts_of_a_collectors_new_key() -> None:
    said = (AGENT.id, CHAIN, 3, bytes(32), 8, 1, NOW)
    receipt = receipts.make_receipt(SECOND, *said, handovers=[STEP])
    got = receipts.verify_receipt(receipt, COLLECTOR.ed_pub, COLLECTOR.id)
    assert (got.number, got.handovers) == (3, [STEP])
    newest = (CHAIN, 3, bytes(32))
    head = receipts.make_head_statement(SECOND, AGENT.id, newest, 8, 1, NOW, bytes(16), handovers=[STEP])
    assert receipts.verify_receipt(head, COLLECTOR.ed_pub).nonce == bytes(16)
    verify = receipts.verify_receipt
    assert cause(verify, receipts.make_receipt(SECOND, *said), COLLECTOR.ed_pub) == "bad_signature"
    retired = receipts.make_receipt(COLLECTOR, *said, handovers=[STEP])
    assert cause(verify, retired, COLLECTOR.ed_pub) == "retired_key"
    assert cause(verify, receipt, COLLECTOR.ed_pub, AGENT.id) == "bad_handover"
    assert cause(verify, receipt, STRANGER.ed_pub) == "bad_handover"
    for at in range(len(receipt)):
        changed = receipt[:at] + bytes([receipt[at] ^ 1]) + receipt[at + 1 :]
        assert cause(verify, changed, COLLECTOR.ed_pub)


def test_no_secret_is_shown() -> None:
    assert SECOND.ed_seed.hex() not in repr(SECOND) and SECOND.ed_pub[:8].hex() in repr(SECOND)
