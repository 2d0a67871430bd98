"""What fails between agent and collector names its layer, its cause, and the offset where bytes are wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from protocol import batch, cbor, cose, records
from protocol.errors import BatchError
from tools.vectors import batches
from tools.vectors.keys import AGENT, COLLECTOR, NODE

EXAMPLES = {one["rule"]: bytes.fromhex(one["bytes"]) for one in batches.batch_vectors()["examples"]}
CLEAR = EXAMPLES["batch"]
SEALED = EXAMPLES["sealed-batch"]
RECEIPT = EXAMPLES["signed-receipt"]
ENTRY = bytes.fromhex(batches.batch_vectors()["entries"][1])
SIGNED, ENTRIES = (cbor.loads(CLEAR)[key] for key in (1, 2))


def changed(data: bytes, at: int = -1) -> bytes:
    out = bytearray(data)
    out[at] ^= 1
    return bytes(out)


def head(**fields: Any) -> bytes:
    """The batch with other head fields, signed by the agent all the same."""
    said = cbor.loads(cbor.loads(SIGNED, 18)[2])
    said.update({int(key[1:]): value for key, value in fields.items()})
    return batch.encode_batch(cose.sign1(AGENT, cbor.dumps(said)), ENTRIES)


def parse(data: bytes) -> batch.Batch:
    return batch.parse_batch(data, AGENT.ed_pub, AGENT.id)


def receipt(data: bytes) -> batch.Receipt:
    return batch.verify_receipt(data, COLLECTOR.ed_pub)


CASES: "list[tuple[str, Callable[[bytes], Any], bytes, str, int | None]]" = [
    ("sealed, cut off", lambda data: batch.open_batch(data, COLLECTOR), SEALED[:-9], "malformed_batch", 49),
    ("sealed, changed", lambda data: batch.open_batch(data, COLLECTOR), changed(SEALED), "bad_seal", None),
    ("sealed to another", lambda data: batch.open_batch(data, NODE), SEALED, "bad_seal", None),
    (
        "sealed, another version",
        lambda data: batch.open_batch(data, COLLECTOR),
        b"\xa1\x01\x02",
        "unknown_version",
        None,
    ),
    ("clear, cut off", parse, CLEAR[:1], "malformed_batch", 0),
    ("clear, a byte more", parse, CLEAR + b"\0", "malformed_batch", len(CLEAR)),
    ("an array", parse, b"\x80", "malformed_batch", None),
    (
        "another's signature",
        lambda data: batch.parse_batch(data, NODE.ed_pub, AGENT.id),
        CLEAR,
        "bad_signature",
        None,
    ),
    (
        "another agent's id",
        lambda data: batch.parse_batch(data, AGENT.ed_pub, NODE.id),
        CLEAR,
        "wrong_agent",
        None,
    ),
    ("a count that is not", parse, head(k7=3), "bad_count", None),
    ("a root that is not", parse, head(k6=bytes(32)), "bad_root", None),
    ("a number below zero", parse, head(k4=-1), "malformed_batch", None),
    ("an entry, cut off", batch.parse_entry, ENTRY[:20], "malformed_batch", 11),
    ("an entry with a float", batch.parse_entry, b"\x82\x00\xf9\x00\x00", "malformed_batch", 2),
    (
        "keys of nobody",
        batch.parse_entry,
        batch.identity_entry(bytes(8), *NODE.public()),
        "bad_identity",
        None,
    ),
    ("a receipt, cut off", receipt, RECEIPT[:9], "malformed_batch", 7),
    ("a receipt, changed", receipt, changed(RECEIPT), "bad_signature", None),
    ("a question, cut off", batch.parse_ask, b"\xa3\x01", "malformed_batch", 0),
    ("a refusal of another version", batch.parse_refusal, b"\xa1\x01\x07", "unknown_version", None),
    ("a record that is none", records.read_record, b"\xd2\x84\x43", "malformed_batch", 1),
]


@pytest.mark.parametrize(("what", "call", "data", "cause", "offset"), CASES, ids=[case[0] for case in CASES])
def test_each_check(
    what: str, call: "Callable[[bytes], Any]", data: bytes, cause: str, offset: "int | None"
) -> None:
    with pytest.raises(BatchError) as caught:
        call(data)
    error = caught.value
    assert (error.layer, error.cause) == ("batch", cause) and error.detail
    assert error.offset == offset, str(error)
    assert str(error).startswith("batch: ")


def test_the_sound_ones_are_taken_afterwards() -> None:
    assert batch.open_batch(SEALED, COLLECTOR) == (AGENT.id, CLEAR)
    assert parse(CLEAR).count == len(ENTRIES)
    assert receipt(RECEIPT).statement == "receipt"
    assert batch.parse_entry(ENTRY)[0] == batch.ENTRY_FRAME
