"""Batches and receipts: what verifies, and the cause by which everything else is refused."""

from typing import Any

import pytest

from protocol import batch, cbor, cose, crypto, merkle
from protocol.errors import BatchError
from protocol.identity import Identity, generate_steps

CHAIN = b"chain id"
BOOT = bytes(12)
NOW = 1_700_000_000_000


def party(seed: int) -> Identity:
    return crypto.run(generate_steps(bytes([seed]) * 64))


AGENT, COLLECTOR, NODE, STRANGER = (party(seed) for seed in (1, 2, 3, 4))

ENTRIES = [
    batch.identity_entry(NODE.id, *NODE.public()),
    *(batch.frame_entry(NODE.id, BOOT, seq, b"\x83\x03\x00\xa0", NOW + seq) for seq in range(5)),
    batch.clock_entry(NODE.id, BOOT, 1_000_000, NOW * 1000, -20_000, 700),
    batch.statement_entry("frames_lost", {"count": 2}),
]


def made(
    entries: "list[bytes]" = ENTRIES, signer: Identity = AGENT, agent_id: bytes = AGENT.id, **head: Any
) -> bytes:
    fields = {"number": 0, "previous": batch.FIRST_PREVIOUS, "made_at_ms": NOW, **head}
    encoded = batch.make_head(agent_id, CHAIN, entries=entries, **fields)
    return batch.encode_batch(batch.sign_head(signer, encoded), entries)


def cause(call: Any, *arguments: Any) -> str:
    with pytest.raises(BatchError) as refused:
        call(*arguments)
    assert refused.value.layer == "batch" and refused.value.detail
    return refused.value.cause


def parsed(data: bytes) -> batch.Batch:
    return batch.parse_batch(data, AGENT.ed_pub, AGENT.id)


def refused(data: bytes) -> str:
    return cause(batch.parse_batch, data, AGENT.ed_pub, AGENT.id)


def test_the_whole_way() -> None:
    data = made()
    sealed = batch.seal_batch(data, AGENT.id, COLLECTOR.x_pub, COLLECTOR.id)
    assert sealed != batch.seal_batch(data, AGENT.id, COLLECTOR.x_pub, COLLECTOR.id)
    agent_id, clear = batch.open_batch(sealed, COLLECTOR)
    assert (agent_id, clear) == (AGENT.id, data)
    got = parsed(clear)
    assert (got.agent_id, got.chain_id, got.number, got.count) == (AGENT.id, CHAIN, 0, len(ENTRIES))
    assert (got.previous, got.made_at_ms, got.cited, got.reason) == (batch.FIRST_PREVIOUS, NOW, None, None)
    assert got.root == merkle.root([merkle.leaf_hash(entry) for entry in ENTRIES])
    assert got.entries == ENTRIES and got.parsed == [cbor.loads(entry) for entry in ENTRIES]
    assert got.head_hash == crypto.sha256(cose.split1(got.signed_head, "head")[0])
    follower = parsed(made(ENTRIES[:1], number=1, previous=got.head_hash))
    assert follower.previous == got.head_hash


def test_an_empty_batch_and_a_chain_that_cites() -> None:
    got = parsed(made([], cited=(b"old one.", 9, bytes(32)), reason="store set aside"))
    assert got.count == 0 and got.root == crypto.sha256(b"")
    assert got.cited == [b"old one.", 9, bytes(32)] and got.reason == "store set aside"


def test_changed_in_any_byte_it_does_not_open() -> None:
    sealed = batch.seal_batch(made(ENTRIES[:1]), AGENT.id, COLLECTOR.x_pub, COLLECTOR.id)
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        assert cause(batch.open_batch, changed, COLLECTOR) in (
            "bad_seal",
            "malformed_batch",
            "unknown_version",
        )
    for end in range(len(sealed)):
        assert cause(batch.open_batch, sealed[:end], COLLECTOR) in ("malformed_batch", "bad_seal")


def test_it_is_sealed_to_one_collector_by_one_agent() -> None:
    sealed = batch.seal_batch(made(), AGENT.id, COLLECTOR.x_pub, COLLECTOR.id)
    assert cause(batch.open_batch, sealed, STRANGER) == "bad_seal"
    fields = cbor.loads(sealed)
    assert cause(batch.open_batch, cbor.dumps({**fields, 2: STRANGER.id}), COLLECTOR) == "bad_seal"
    assert cause(batch.open_batch, cbor.dumps({**fields, 1: 2}), COLLECTOR) == "unknown_version"
    for point in (bytes(32), b"\1" + bytes(31)):
        assert cause(batch.open_batch, cbor.dumps({**fields, 3: point}), COLLECTOR) == "bad_seal"
        assert cause(batch.seal_batch, b"", AGENT.id, point, COLLECTOR.id) == "bad_seal"


def test_signature_agent_count_and_root() -> None:
    assert refused(made(signer=STRANGER)) == "bad_signature"
    assert refused(made(agent_id=STRANGER.id)) == "wrong_agent"
    fields = cbor.loads(made())
    assert refused(cbor.dumps({1: fields[1], 2: ENTRIES[:-1]})) == "bad_count"
    assert refused(cbor.dumps({1: fields[1], 2: [*ENTRIES, ENTRIES[0]]})) == "bad_count"
    assert refused(cbor.dumps({1: fields[1], 2: ENTRIES[::-1]})) == "bad_root"
    other = [*ENTRIES[:-1], batch.statement_entry("frames_lost", {"count": 3})]
    assert refused(cbor.dumps({1: fields[1], 2: other})) == "bad_root"


def test_every_bit_of_a_signed_head_counts() -> None:
    fields = cbor.loads(made(ENTRIES[:1]))
    signed = fields[1]
    for bit in range(8 * len(signed)):
        changed = bytearray(signed)
        changed[bit >> 3] ^= 1 << (bit & 7)
        assert refused(cbor.dumps({1: bytes(changed), 2: ENTRIES[:1]})) in (
            "bad_signature",
            "malformed_batch",
        )


def signed_head(**changes: Any) -> bytes:
    """A batch of one entry whose signed head has other fields; None takes a field away."""
    keys = {
        "version": 1,
        "agent": 2,
        "chain": 3,
        "number": 4,
        "previous": 5,
        "root": 6,
        "count": 7,
        "made": 8,
    }
    keys |= {"cited": 9, "reason": 10}
    head = cbor.loads(batch.make_head(AGENT.id, CHAIN, 0, batch.FIRST_PREVIOUS, ENTRIES[:1], NOW))
    for name, value in changes.items():
        head[keys[name]] = value
        if value is None:
            del head[keys[name]]
    return batch.encode_batch(cose.sign1(AGENT, cbor.dumps(head)), ENTRIES[:1])


@pytest.mark.parametrize(
    "changes",
    [
        {"agent": bytes(7)},
        {"chain": b""},
        {"number": -1},
        {"number": None},
        {"number": True},
        {"previous": bytes(31)},
        {"previous": b"\1" * 32},
        {"root": None},
        {"count": "1"},
        {"made": 1 << 53},
        {"cited": [b"old one.", 9]},
        {"cited": [b"old one.", -9, bytes(32)]},
        {"reason": 5},
        {"number": 1, "previous": bytes(32), "reason": "not in number 0"},
        {"number": 1, "cited": [b"old one.", 9, bytes(32)]},
    ],
)
def test_a_signed_head_must_be_sound(changes: "dict[str, Any]") -> None:
    assert refused(signed_head(**changes)) == "malformed_batch"


def test_another_version_of_a_head() -> None:
    assert refused(signed_head(version=2)) == "unknown_version"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (b"\x80", "malformed_batch"),
        (b"\xa0", "malformed_batch"),
        (cbor.dumps(["0"]), "malformed_batch"),
        (cbor.dumps([0, NODE.id, BOOT, 0, b""]), "malformed_batch"),
        (cbor.dumps([0, NODE.id, BOOT, 0, b"", NOW, 0]), "malformed_batch"),
        (cbor.dumps([0, NODE.id, BOOT, 1 << 32, b"", NOW]), "malformed_batch"),
        (cbor.dumps([0, NODE.id, BOOT, 0, "", NOW]), "malformed_batch"),
        (cbor.dumps([0, bytes(7), BOOT, 0, b"", NOW]), "malformed_batch"),
        (cbor.dumps([0, NODE.id, bytes(11), 0, b"", NOW]), "malformed_batch"),
        (cbor.dumps([0, NODE.id, BOOT, 0, b"", -1]), "malformed_batch"),
        (cbor.dumps([1, NODE.id, *STRANGER.public()]), "bad_identity"),
        (cbor.dumps([1, NODE.id, NODE.ed_pub]), "malformed_batch"),
        (cbor.dumps([2, NODE.id, BOOT, 0, 0, 0, -1]), "malformed_batch"),
        (cbor.dumps([2, NODE.id, BOOT, 0, 0, "0", 1]), "malformed_batch"),
        (cbor.dumps([3, 5, {}]), "malformed_batch"),
        (cbor.dumps([3, "x", []]), "malformed_batch"),
    ],
)
def test_a_bad_entry_refuses_the_batch(entry: bytes, why: str) -> None:
    assert cause(batch.parse_entry, entry) == why
    assert refused(made([*ENTRIES, entry])) == why


@pytest.mark.parametrize("edge", [0, 23, 24, 255, 256, 65535, 65536, (1 << 32) - 1, 1 << 32, (1 << 53) - 1])
def test_a_frame_entry_is_the_one_encoding(edge: int) -> None:
    for seq, size, at in ((edge, 3, 5), (7, min(edge, 70_000), 5), (7, 3, edge)):
        plain = [batch.ENTRY_FRAME, NODE.id, BOOT, seq, bytes(size), at]
        assert batch.frame_entry(NODE.id, BOOT, seq, bytes(size), at) == cbor.dumps(plain)
    short = [batch.ENTRY_FRAME, b"", BOOT, edge, b"", edge]
    assert batch.frame_entry(b"", BOOT, edge, b"", edge) == cbor.dumps(short)


def test_an_entry_of_a_type_to_come_is_carried() -> None:
    later = cbor.dumps([9, "anything", {1: 2}])
    assert parsed(made([later])).parsed == [[9, "anything", {1: 2}]]


@pytest.mark.parametrize(
    "data", [b"", b"\xa0", cbor.dumps({1: b"", 2: []}), cbor.dumps({1: b"\xd2\x80", 2: []})]
)
def test_what_is_no_batch(data: bytes) -> None:
    assert refused(data) == "malformed_batch"


def test_entries_must_be_byte_strings() -> None:
    assert refused(cbor.dumps({1: b"", 2: [5]})) == "malformed_batch"


# Receipts


def receipt(signer: Identity = COLLECTOR) -> bytes:
    return batch.make_receipt(signer, AGENT.id, CHAIN, 3, bytes(32), 8, 1, NOW)


def test_a_receipt_comes_back() -> None:
    got = batch.verify_receipt(receipt(), COLLECTOR.ed_pub)
    assert (got.statement, got.agent_id, got.chain_id, got.number) == ("receipt", AGENT.id, CHAIN, 3)
    assert (got.head_hash, got.stored, got.duplicates, got.received_at_ms) == (bytes(32), 8, 1, NOW)
    assert got.nonce is None


def test_a_head_statement_comes_back() -> None:
    newest = (CHAIN, 3, bytes(32))
    data = batch.make_head_statement(COLLECTOR, AGENT.id, newest, 8, 1, NOW, bytes(16))
    got = batch.verify_receipt(data, COLLECTOR.ed_pub)
    assert (got.statement, got.chain_id, got.number, got.nonce) == ("head", CHAIN, 3, bytes(16))
    none = batch.verify_receipt(
        batch.make_head_statement(COLLECTOR, AGENT.id, None, 0, 0, NOW, bytes(16)), COLLECTOR.ed_pub
    )
    assert (none.chain_id, none.number, none.head_hash) == (None, None, None)
    assert got.highest == [newest] and none.highest == []
    beyond = [(CHAIN, 9, bytes(32)), (bytes(8), 0, bytes(32))]
    for known in (newest, None):
        data = batch.make_head_statement(COLLECTOR, AGENT.id, known, 8, 1, NOW, bytes(16), beyond)
        got = batch.verify_receipt(data, COLLECTOR.ed_pub)
        assert got.highest == beyond and got.number == (3 if known else None)


@pytest.mark.parametrize(
    "highest",
    [
        None,
        [],
        {},
        [[CHAIN, 3]],
        [[CHAIN, 3, bytes(31)]],
        [[CHAIN, -1, bytes(32)]],
        [[CHAIN[:7], 3, bytes(32)]],
        [[CHAIN, 2, bytes(32)]],
        [[CHAIN, 3, b"\1" + bytes(31)]],
        [[bytes(8), 3, bytes(32)]],
        [[CHAIN, 3, bytes(32)]] * 17,
    ],
)
def test_a_head_statement_whose_highest_batches_are_none(highest: Any) -> None:
    """Malformed, or below the batch before the hole."""
    fields = {1: 1, 2: "head", 3: AGENT.id, 4: CHAIN, 5: 3, 6: bytes(32), 7: 0, 8: 0, 9: NOW, 10: bytes(16)}
    if highest is not None:
        fields[11] = highest
    message = cose.sign1(COLLECTOR, cbor.dumps(fields))
    assert cause(batch.verify_receipt, message, COLLECTOR.ed_pub) == "malformed_batch"


def test_a_receipt_is_the_collectors() -> None:
    assert cause(batch.verify_receipt, receipt(STRANGER), COLLECTOR.ed_pub) == "bad_signature"
    sound = receipt()
    for bit in range(8 * len(sound)):
        changed = bytearray(sound)
        changed[bit >> 3] ^= 1 << (bit & 7)
        assert cause(batch.verify_receipt, bytes(changed), COLLECTOR.ed_pub) in (
            "bad_signature",
            "malformed_batch",
        )
    for end in range(len(sound)):
        assert cause(batch.verify_receipt, sound[:end], COLLECTOR.ed_pub) == "malformed_batch"


@pytest.mark.parametrize(
    "changes",
    [
        {2: "recipt"},
        {3: bytes(7)},
        {4: None},
        {5: -1},
        {6: bytes(31)},
        {7: None},
        {8: "1"},
        {9: -5},
        {10: b"n" * 8},
    ],
)
def test_a_signed_receipt_must_be_sound(changes: "dict[int, Any]") -> None:
    sound = {1: 1, 2: "receipt", 3: AGENT.id, 4: CHAIN, 5: 3, 6: bytes(32), 7: 8, 8: 1, 9: NOW}
    data = cose.sign1(COLLECTOR, cbor.dumps({**sound, **changes}))
    assert cause(batch.verify_receipt, data, COLLECTOR.ed_pub) == "malformed_batch"


def test_a_head_of_an_agent_is_no_receipt() -> None:
    """One key, two uses: what an agent signs can never pass for a statement of a collector with that key."""
    head = batch.make_head(AGENT.id, CHAIN, 0, batch.FIRST_PREVIOUS, ENTRIES, NOW)
    assert cause(batch.verify_receipt, batch.sign_head(AGENT, head), AGENT.ed_pub) == "malformed_batch"
    fields = cbor.loads(made())
    assert refused(cbor.dumps({1: receipt(AGENT), 2: fields[2]})) == "malformed_batch"


def test_questions_and_refusals() -> None:
    assert batch.parse_ask(batch.make_ask(AGENT.id, bytes(16))) == (AGENT.id, bytes(16))
    for bad in (cbor.dumps({1: 1, 2: AGENT.id}), cbor.dumps({1: 1, 2: AGENT.id, 3: bytes(7)}), b"\x05"):
        assert cause(batch.parse_ask, bad) == "malformed_batch"
    data = batch.make_refusal(AGENT.id, "bad_root", "why", b"the message")
    got = batch.parse_refusal(data)
    assert (got.agent_id, got.code, got.detail, got.refused) == (
        AGENT.id,
        "bad_root",
        "why",
        crypto.sha256(b"the message"),
    )
    assert batch.is_refusal(data) and not batch.is_refusal(receipt()) and not batch.is_refusal(b"")
    assert batch.parse_refusal(batch.make_refusal(AGENT.id, "x", "y")).refused is None
    for key, wrong in ((2, "receipt"), (3, b""), (4, 5), (5, None), (6, b"short")):
        assert cause(batch.parse_refusal, cbor.dumps({**cbor.loads(data), key: wrong})) == "malformed_batch"


def test_a_standard_library_verifies_what_is_signed() -> None:
    cwt = pytest.importorskip("cwt")
    key = cwt.COSEKey.new({1: 1, -1: 6, 3: -8, -2: COLLECTOR.ed_pub})  # OKP, Ed25519, EdDSA
    payload = cwt.COSE.new().decode(receipt(), key)
    assert cbor.loads(payload)[2] == "receipt"
