"""What a capture is most likely meant to be: by its structure, or by its first bytes where that is broken."""

from functools import cache
from typing import Any

from protocol import cbor, cobs, handover, messages, proof, receipts, records
from protocol.errors import CborError, CobsError
from tools.dissect import cddl

STREAM = "stream"
GLANCED = 8
"""Messages that need only begin like one for it to be a stream; a later one must be whole."""

# By what key 2 says: the rule of the item, signed and by itself.
SIGNED = {
    receipts.RECEIPT: "signed-receipt",
    receipts.HEAD: "signed-head-statement",
    records.ASSIGNMENT: "signed-assignment",
    records.MANUAL: "signed-manual-entry",
    records.CONSENT: "signed-consent",
    records.ERASURE: "signed-erasure",
    handover.HANDOVER: "signed-handover",
    "update": "signed-manifest",
}
UNSIGNED = {said: rule.removeprefix("signed-") for said, rule in SIGNED.items()} | {
    receipts.REFUSAL: "batch-refusal",
    proof.PROOF: "proof",
}


def recognise(data: bytes) -> str:
    """STREAM, or the rule that `data` is most likely meant to be."""
    if data and not data.strip(b"\0"):
        return STREAM
    try:
        return _rule_of(cbor.loads(data, 18 if data[:1] == b"\xd2" else None), data[:1] == b"\xd2")
    except CborError:
        pass
    framed = [chunk for chunk in data.split(b"\0") if chunk]
    if b"\0" in data and any(_is_message(chunk, i >= GLANCED) for i, chunk in enumerate(framed)):
        return STREAM
    return _guess(data)


@cache
def labels() -> "dict[str, dict[int, list[str]]]":
    """The rules of the schema that are arrays with a text in front that says what they are: by that text, and
    by how many items they have.
    """
    found: dict[str, dict[int, list[str]]] = {}
    for name, rule in cddl.load().rules.items():
        if not isinstance(rule, cddl.Array) or not rule.elements:
            continue
        first = rule.elements[0].item
        if isinstance(first, cddl.Literal) and isinstance(first.value, str):
            found.setdefault(first.value, {}).setdefault(len(rule.elements), []).append(name)
    return found


def is_labelled(rule: str) -> bool:
    """Whether it is one of `labels`."""
    return any(rule in named for rules in labels().values() for named in rules.values())


def _by_label(label: Any, items: int, listed: bool) -> "str | None":
    """The rule with that text in front, the one nearest to so many items; None where there is none. Where
    several have as many, one that ends with a fixed value has no array (`listed`) there.
    """
    rules = labels().get(label, {}) if isinstance(label, str) else {}
    if not rules:
        return None
    named = rules[min(rules, key=lambda n: abs(n - items))]
    return next((name for name in named if _ends_fixed(name) != listed), named[0])


def _ends_fixed(name: str) -> bool:
    rule = cddl.load().rules[name]
    if not isinstance(rule, cddl.Array):
        return False
    last = rule.elements[-1].item
    return isinstance(last, cddl.Literal) or last == cddl.Ref("true")


def _is_message(encoded: bytes, whole: bool) -> bool:
    if len(encoded) > cobs.MAX_ENCODED:
        return False
    try:
        message = cobs.decode(encoded)
        if whole:
            cbor.loads(message)
        return messages.sort(message) != 0
    except (CborError, CobsError):
        return False


def _guess(data: bytes) -> str:
    """The rule of something whose CBOR is broken, by its first bytes."""
    first, second = (data[0] if data else 0), (data[1] if len(data) > 1 else 0)
    if first == 0xD2:
        return "signed-receipt"
    if first >> 5 == 4 and second >> 5 == 3:
        return _labelled(data) or "entry"
    if first == 0x83:
        return "sealed" if second >> 5 == 2 else "frame"
    if first == 0x82:
        return "entry" if data[2:3] and data[2] >> 5 == 2 else "data-message"
    if first >> 5 == 4:
        return "entry"
    if first >> 5 == 5:
        return {0: "clear-message", 1: "sealed-batch"}.get(second, "message")
    return "message"


def _labelled(data: bytes) -> "str | None":
    """The rule whose text stands first in an array that is broken further on."""
    try:
        _, items, at = cbor.read_head(data, 0)
        label, at = cbor.loads_prefix(memoryview(data), at)
    except CborError:
        return None
    try:
        for _ in range(items - 2):
            _, at = cbor.loads_prefix(memoryview(data), at)
    except CborError:
        return _by_label(label, items, False)
    return _by_label(label, items, data[at : at + 1] != b"" and data[at] >> 5 == 4)


def _rule_of(item: Any, tagged: bool) -> str:
    if tagged:
        return _signed_rule(item)
    if isinstance(item, list):
        return _array_rule(item)
    return _map_rule(item) if isinstance(item, dict) else "message"


def _signed_rule(item: Any) -> str:
    try:
        said = cbor.loads(item[2])[2]
    except (CborError, IndexError, KeyError, TypeError):
        return "signed-receipt"
    return SIGNED.get(said, "signed-head") if isinstance(said, str) else "signed-head"


def _array_rule(item: "list[Any]") -> str:
    if item and isinstance(item[0], str):
        return _by_label(item[0], len(item), isinstance(item[-1], list)) or (
            "entry" if len(item) > 3 else "frame"
        )
    if len(item) == 2:
        return (
            "data-message"
            if isinstance(item[1], list)
            else "entry"
            if isinstance(item[1], bytes)
            else "frame"
        )
    if len(item) == 3 and isinstance(item[0], bytes):
        return "sealed"
    return "entry" if len(item) > 3 or (len(item) == 3 and isinstance(item[1], str)) else "frame"


def _map_rule(item: "dict[Any, Any]") -> str:
    if 0 in item:
        return "clear-message"
    first, second = item.get(1), item.get(2)
    if isinstance(first, bytes):
        return "batch"
    if isinstance(second, str) and second in UNSIGNED:
        return UNSIGNED[second]
    if isinstance(item.get(5), list):
        return "hello-body"
    if 5 in item:
        return "head"
    return "sealed-batch" if 4 in item else "ask"
