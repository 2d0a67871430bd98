"""What a capture is most likely meant to be: by its structure, or by its first bytes where that is broken."""

from typing import Any

from protocol import cbor, cobs, messages, receipts, records
from protocol.errors import CborError, CobsError

STREAM = "stream"
MAX_DETECTED = 8
"""Messages of a stream that are tried to find out whether it is one."""

# By what key 2 says: the rule of the item, signed and by itself.
SIGNED = {
    receipts.RECEIPT: "signed-receipt",
    receipts.HEAD: "signed-head-statement",
    records.ASSIGNMENT: "signed-assignment",
    records.MANUAL: "signed-manual-entry",
    "update": "signed-manifest",
}
UNSIGNED = {said: rule.removeprefix("signed-") for said, rule in SIGNED.items()} | {
    receipts.REFUSAL: "batch-refusal"
}


def recognise(data: bytes) -> str:
    """STREAM, or the rule that `data` is most likely meant to be."""
    try:
        return _rule_of(cbor.loads(data, 18 if data[:1] == b"\xd2" else None), data[:1] == b"\xd2")
    except CborError:
        pass
    framed = [chunk for chunk in data.split(b"\0") if chunk][:MAX_DETECTED]
    if b"\0" in data and any(_is_message(chunk) for chunk in framed):
        return STREAM
    return _guess(data)


def _is_message(encoded: bytes) -> bool:
    try:
        return messages.sort(cobs.decode(encoded)) != 0
    except CobsError:
        return False


def _guess(data: bytes) -> str:
    """The rule of something whose CBOR is broken, by its first bytes."""
    first, second = (data[0] if data else 0), (data[1] if len(data) > 1 else 0)
    if first == 0xD2:
        return "signed-receipt"
    if first == 0x83:
        return "sealed" if second >> 5 == 2 else "frame"
    if first == 0x82:
        return "entry" if data[2:3] and data[2] >> 5 == 2 else "data-message"
    if first >> 5 == 4:
        return "entry"
    if first >> 5 == 5:
        return {0: "clear-message", 1: "sealed-batch"}.get(second, "message")
    return "message"


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
