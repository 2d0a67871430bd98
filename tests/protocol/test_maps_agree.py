"""Clear messages, heads, receipts and the rest: for every key, code and schema refuse the same."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol import batch, cbor, cose, handover, messages, receipts
from protocol.errors import CborError, ProtocolError
from tests.protocol.cddl_schema import entry_rule, why_not
from tools.vectors.keys import AGENT, COLLECTOR

VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors"
I63 = (1 << 63) - 1
WRONG: "tuple[Any, ...]" = (
    None,
    True,
    -1,
    0,
    1,
    (1 << 32) - 1,
    1 << 32,
    (1 << 32) + 1,
    (1 << 53) - 1,
    1 << 53,
    I63,
    b"",
    bytes(7),
    bytes(8),
    bytes(9),
    bytes(15),
    bytes(16),
    bytes(17),
    bytes(31),
    bytes(32),
    bytes(33),
    bytes(64),
    bytes(65),
    "",
    "text",
    [],
    [1],
    [1, 2],
    [0],
    [1, 255],
    [256],
    list(range(1, 9)),
    list(range(1, 10)),
    [bytes(32)] * 2,
    [bytes(32)] * 3,
    [bytes(8), 3, bytes(32)],
    [[bytes(8), 3, bytes(32)]],
    [[bytes(8), -1, bytes(32)]],
    [[bytes(8), 3, bytes(32)]] * 17,
    {},
    {1: 1},
)


def of_vectors(name: str, part: str, data: str) -> "list[tuple[str, bytes]]":
    content = json.loads((VECTORS / name).read_text("utf-8"))
    return [
        (one["rule"], bytes.fromhex(one[data])) for one in content[part] if "not known" not in one["name"]
    ]


def subjects() -> "Iterator[tuple[str, dict[int, Any], Callable[[bytes], Any]]]":
    """(rule, sound map, what reads it) of everything that is a map."""
    for rule, data in of_vectors("messages.json", "clear", "message"):
        fields = cbor.loads(data)
        yield rule, fields, messages.parse_clear
        if rule == "hello":
            yield "hello-body", cbor.loads(fields[1]), messages.parse_hello_body
    for rule, data in of_vectors("batch.json", "examples", "bytes"):
        if rule == "head":
            yield rule, cbor.loads(data), batch.parse_head
        elif rule in ("signed-receipt", "signed-head-statement"):
            payload = cbor.loads(cose.split1(data, rule)[0])
            if 12 in payload:
                continue  # by a key that was handed over: test_handover.py
            yield rule.removeprefix("signed-"), payload, signed_and_read
        elif rule == "signed-handover":
            payload = cbor.loads(cose.split1(data, rule)[0])
            yield "handover", payload, lambda payload: handover.read_handover(cose.sign1(AGENT, payload))
        elif rule == "ask":
            yield rule, cbor.loads(data), receipts.parse_ask
        elif rule == "batch-refusal":
            yield rule, cbor.loads(data), receipts.parse_refusal


def signed_and_read(payload: bytes) -> Any:
    return receipts.verify_receipt(cose.sign1(COLLECTOR, payload), COLLECTOR.ed_pub)


# What two keys say together, and which of several versions is meant, is more than CDDL can say.
def beyond_cddl(rule: str, fields: "dict[int, Any]", key: int) -> bool:
    """Whether only code can tell that this is wrong."""
    if rule == "head":
        return key in (4, 5)  # zeros before number 0, and only there a citation
    if rule == "head-statement":
        return key in (4, 5, 6, 11)  # the highest batch of the newest chain is not below the one of 4 to 6
    return rule == "hello-body" and key in (
        1,
        5,
        7,
    )  # newest first, ranges below `next`, key 1 the first of key 7


def sound(read: Callable[[bytes], Any], data: bytes) -> bool:
    try:
        read(data)
    except ProtocolError as error:
        assert error.cause and error.detail
        return False
    return True


@pytest.mark.parametrize(
    ("rule", "fields", "read"), list(subjects()), ids=lambda one: one if isinstance(one, str) else ""
)
def test_code_and_schema_refuse_the_same(
    rule: str, fields: "dict[int, Any]", read: Callable[[bytes], Any]
) -> None:
    assert sound(read, cbor.dumps(fields)) and why_not(rule, cbor.dumps(fields)) is None
    refused = 0
    for key in fields:
        variants = [{other: fields[other] for other in fields if other != key}]
        variants += [{**fields, key: wrong} for wrong in WRONG]
        if read in (messages.parse_clear, messages.parse_hello_body):
            variants += [{**fields, wrong: 0} for wrong in (-1, "a")]
        for variant in variants:
            try:
                data = cbor.dumps(variant)
            except CborError:
                continue
            by_code, why = sound(read, data), why_not(rule, data)
            if by_code != (why is None):
                assert why is None and beyond_cddl(rule, variant, key), (
                    rule,
                    key,
                    variant.get(key),
                    by_code,
                    why,
                )
            refused += not by_code
    assert refused > 20 * len(fields)


@pytest.mark.parametrize("entry", json.loads((VECTORS / "batch.json").read_text("utf-8"))["entries"], ids=len)
def test_code_and_schema_refuse_the_same_entries(entry: str) -> None:
    items = cbor.loads(bytes.fromhex(entry))
    rule = entry_rule(bytes.fromhex(entry))
    variants = [[*items, 0], *(items[:n] for n in range(1, len(items)))]
    variants += [[*items[:at], wrong, *items[at + 1 :]] for at in range(1, len(items)) for wrong in WRONG]
    for variant in variants:
        data = cbor.dumps(variant)
        by_code, why = sound(batch.parse_entry, data), why_not(rule, data)
        if by_code != (why is None):
            # An identity's keys must give its id, which no schema can say.
            assert why is None and rule == "identity-entry", (rule, variant, by_code, why)
