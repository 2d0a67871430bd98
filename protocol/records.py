"""Records of people: whose node it is, what a person typed, who may have what, and that a person's data are
erased (docs/wire-protocol.md §11.1). CPython only.

A record is a COSE_Sign1 (RFC 9052 §4.2) with Ed25519 by the party whose id it names as its author. People are
16 random bytes; no name is ever in a record. What is typed is never merged with what was measured.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from protocol import cbor
from protocol.checks import is_bytes, is_list, is_uint
from protocol.cose import VERSION, sign1, split1, verify1, versioned
from protocol.errors import BatchError, LocalError
from protocol.identity import Identity
from protocol.nomenclature import by_number

ASSIGNMENT = "assignment"
MANUAL = "manual"
CONSENT = "consent"
ERASURE = "erasure"

CARE, RESEARCH, OWN = "care", "research", "own"
PURPOSES = (CARE, RESEARCH, OWN)

MAX_VALUES = 8
MAX_DEVICE = 64
MAX_NOTE = 200
MAX_FORWARDER = 32
MAX_PURPOSE = 16
MAX_REASON = 200

_T_END = 1 << 53
_U16 = 0xFFFF

# key: (name, required, type, size or least, size or most)
_COMMON = {
    7: ("by", True, "bytes", 8, 8),
    8: ("made_at_ms", True, "int", 0, _T_END - 1),
    9: ("record_id", True, "bytes", 8, 8),
    10: ("replaces", False, "bytes", 8, 8),
}
RECORDS: "dict[str, dict[int, tuple[str, bool, str, int, int]]]" = {
    ASSIGNMENT: {
        3: ("node_id", True, "bytes", 8, 8),
        4: ("person", True, "bytes", 16, 16),
        5: ("from_ms", True, "int", 0, _T_END - 1),
        6: ("to_ms", False, "int", 0, _T_END - 1),
        **_COMMON,
    },
    MANUAL: {
        3: ("person", True, "bytes", 16, 16),
        4: ("values", True, "values", 1, MAX_VALUES),
        5: ("measured_at_ms", True, "int", 0, _T_END - 1),
        **_COMMON,
        11: ("device", False, "text", 0, MAX_DEVICE),
        12: ("note", False, "text", 0, MAX_NOTE),
    },
    CONSENT: {
        3: ("person", True, "bytes", 16, 16),
        4: ("forwarder", True, "text", 1, MAX_FORWARDER),
        5: ("purpose", True, "text", 1, MAX_PURPOSE),
        6: ("from_ms", True, "int", 0, _T_END - 1),
        **_COMMON,
        11: ("to_ms", False, "int", 0, _T_END - 1),
        12: ("granted", True, "bool", 0, 0),
    },
    ERASURE: {
        3: ("person", True, "bytes", 16, 16),
        **_COMMON,
        11: ("reason", False, "text", 0, MAX_REASON),
    },
}


def make_assignment(
    author: Identity,
    node_id: bytes,
    person: bytes,
    from_ms: int,
    made_at_ms: int,
    record_id: bytes,
    to_ms: "int | None" = None,
    replaces: "bytes | None" = None,
) -> bytes:
    """The signed record that a node is `person`'s (16 bytes) from `from_ms` to `to_ms`, or until further
    notice.

    Times are Unix ms; `record_id`: 8 fresh random bytes; `replaces`: the id of a record that this one
    corrects. LocalError for what no record can carry.
    """
    fields = {"node_id": node_id, "person": person, "from_ms": from_ms, "to_ms": to_ms}
    return _signed(author, ASSIGNMENT, fields, made_at_ms, record_id, replaces)


def make_manual(
    author: Identity,
    person: bytes,
    values: "Sequence[tuple[int, int]]",
    measured_at_ms: int,
    made_at_ms: int,
    record_id: bytes,
    replaces: "bytes | None" = None,
    device: "str | None" = None,
    note: "str | None" = None,
) -> bytes:
    """The signed record of what a person typed: (quantity, value) each, with the numbers and scales of
    nomenclature.py.

    The rest as in `make_assignment`; `device` and `note` are at most 64 and 200 bytes of UTF-8.
    """
    pairs = [list(pair) for pair in values]
    fields = {"person": person, "values": pairs, "measured_at_ms": measured_at_ms}
    return _signed(
        author, MANUAL, {**fields, "device": device, "note": note}, made_at_ms, record_id, replaces
    )


def make_consent(
    author: Identity,
    person: bytes,
    forwarder: str,
    purpose: str,
    granted: bool,
    from_ms: int,
    made_at_ms: int,
    record_id: bytes,
    to_ms: "int | None" = None,
    replaces: "bytes | None" = None,
) -> bytes:
    """The signed record that from `from_ms` on (to `to_ms`, or until further notice) `forwarder` may, or may
    not, have `person`'s data for `purpose` (one of PURPOSES).

    Of several that speak of a moment the one made last counts; the rest as in `make_assignment`.
    """
    if purpose not in PURPOSES:
        raise LocalError(f"purpose {purpose!r}; it is one of {', '.join(PURPOSES)}")
    fields = {"person": person, "forwarder": forwarder, "purpose": purpose, "granted": granted}
    return _signed(
        author, CONSENT, {**fields, "from_ms": from_ms, "to_ms": to_ms}, made_at_ms, record_id, replaces
    )


def make_erasure(
    author: Identity, person: bytes, made_at_ms: int, record_id: bytes, reason: "str | None" = None
) -> bytes:
    """The signed record that all that is kept of `person` until now is to be destroyed; `reason` is at most
    200 bytes of UTF-8.
    """
    return _signed(author, ERASURE, {"person": person, "reason": reason}, made_at_ms, record_id, None)


def open_record(record: bytes, ed_pub: bytes) -> "dict[str, Any]":
    """A record's fields by name, verified as signed by `ed_pub`, which must be the key of `by`; BatchError
    (bad_signature, …) otherwise.

    `record`: which of RECORDS; its names there, None where an optional one is absent; in "values" a list of
    [quantity, value].
    """
    return parse_record(verify1(record, ed_pub, "record"))


def read_record(record: bytes) -> "dict[str, Any]":
    """The same, not verified: to learn from `by` whose key to ask for."""
    return parse_record(split1(record, "record")[0])


def parse_record(payload: bytes) -> "dict[str, Any]":
    """The checked fields of what is signed, by name."""
    fields = versioned(payload, "record")
    what = fields.get(2)
    table = RECORDS.get(what) if isinstance(what, str) else None
    if table is None:
        raise BatchError("record: of no sort that is known here")
    named: dict[str, Any] = {"record": what}
    for key in sorted(table):
        name, required, kind_of, least, most = table[key]
        named[name] = fields.get(key)
        if key in fields:
            if not _fits(fields[key], kind_of, least, most):
                raise BatchError(f"record: key {key} ({name}) is of a wrong type or out of range")
        elif required:
            raise BatchError(f"record: key {key} ({name}) is missing")
    if named.get("to_ms") is not None and named["to_ms"] < named["from_ms"]:
        raise BatchError("record: it ends before it begins")
    return named


def _signed(
    author: Identity,
    record: str,
    fields: "Mapping[str, Any]",
    made_at_ms: int,
    record_id: bytes,
    replaces: "bytes | None",
) -> bytes:
    named = {**fields, "by": author.id, "made_at_ms": made_at_ms}
    named.update({"record_id": record_id, "replaces": replaces})
    payload: dict[int, Any] = {1: VERSION, 2: record}
    for key, (name, *_) in RECORDS[record].items():
        if named[name] is not None:
            payload[key] = named[name]
    encoded = cbor.dumps(payload)
    try:
        parse_record(encoded)
    except BatchError as error:
        raise LocalError(error.detail) from error
    return sign1(author, encoded)


def _fits(value: Any, kind_of: str, least: int, most: int) -> bool:
    if kind_of == "int":
        return is_uint(value) and least <= value <= most
    if kind_of == "bytes":
        return is_bytes(value, least)
    if kind_of == "bool":
        return isinstance(value, bool)
    if kind_of == "text":
        return isinstance(value, str) and least <= len(value.encode()) <= most
    return is_list(value) and least <= len(value) <= most and all(_is_value(item) for item in value)


def _is_value(item: Any) -> bool:
    """[quantity, value], within its range and no waveform; a quantity that is not known here is carried."""
    if not is_list(item) or len(item) != 2 or not is_uint(item[0]) or not 1 <= item[0] <= _U16:
        return False
    number, value = item
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    quantity = by_number(number)
    if quantity is None:
        return True
    return (
        quantity.least is not None and quantity.most is not None and quantity.least <= value <= quantity.most
    )
