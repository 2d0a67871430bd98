"""Leaf entries of batches (docs/wire-protocol.md §11): each one CBOR array, its type first. CPython only."""

from typing import Any

from protocol import cbor, handover
from protocol.checks import is_bytes, is_list, is_map, is_uint
from protocol.cose import loads
from protocol.errors import BatchError
from protocol.identity import node_id
from protocol.records import ASSIGNMENT, CONSENT, ERASURE, MANUAL, read_record

ENTRY_FRAME = 0
ENTRY_IDENTITY = 1
ENTRY_CLOCK = 2
ENTRY_STATEMENT = 3
ENTRY_ASSIGNMENT = 4
ENTRY_MANUAL = 5
ENTRY_HANDOVER = 6
ENTRY_CONSENT = 7
ENTRY_ERASURE = 8

_RECORD_OF = {
    ENTRY_ASSIGNMENT: ASSIGNMENT,
    ENTRY_MANUAL: MANUAL,
    ENTRY_CONSENT: CONSENT,
    ENTRY_ERASURE: ERASURE,
}

T_END = 1 << 53
_SEQ_END = 1 << 32


def frame_entry(node: bytes, boot_id: bytes, seq: int, plaintext: bytes, received_ms: int) -> bytes:
    """A frame as it was opened; `received_ms` is the agent's Unix time in ms."""
    if len(node) != 8 or len(boot_id) != 12 or not 0 <= seq < _SEQ_END or not 0 <= received_ms < T_END:
        return cbor.dumps([ENTRY_FRAME, node, boot_id, seq, plaintext, received_ms])
    # The same bytes at a third of the cost: this is done for each frame that an agent handles.
    size = _head(0x40, len(plaintext))
    return b"".join(
        (b"\x86\x00\x48", node, b"\x4c", boot_id, _head(0, seq), size, plaintext, _head(0, received_ms))
    )


def _head(major: int, n: int) -> bytes:
    """The initial bytes of a CBOR item, in their shortest form (RFC 8949 §3)."""
    if n < 24:
        return bytes((major | n,))
    if n < 1 << 8:
        return bytes((major | 24, n))
    if n < 1 << 16:
        return bytes((major | 25, n >> 8, n & 255))
    if n < 1 << 32:
        return bytes((major | 26,)) + n.to_bytes(4, "big")
    return bytes((major | 27,)) + n.to_bytes(8, "big")


def identity_entry(node: bytes, ed_pub: bytes, x_pub: bytes) -> bytes:
    """A node's public keys, before the first of its frames in a chain."""
    return cbor.dumps([ENTRY_IDENTITY, node, ed_pub, x_pub])


def clock_entry(node: bytes, boot_id: bytes, t_us: int, unix_us: int, rate_ppb: int, bound_us: int) -> bytes:
    """A clock fit: node time `t_us` was `unix_us` ± `bound_us`; the node's clock is `rate_ppb` fast."""
    return cbor.dumps([ENTRY_CLOCK, node, boot_id, t_us, unix_us, rate_ppb, bound_us])


def statement_entry(code: str, detail: "dict[Any, Any]") -> bytes:
    """An agent's statement about itself, such as `store_set_aside` or `frames_lost`."""
    return cbor.dumps([ENTRY_STATEMENT, code, detail])


def assignment_entry(record: bytes) -> bytes:
    """A signed assignment (records.make_assignment)."""
    return cbor.dumps([ENTRY_ASSIGNMENT, record])


def manual_entry(record: bytes) -> bytes:
    """A signed manual entry (records.make_manual)."""
    return cbor.dumps([ENTRY_MANUAL, record])


def handover_entry(record: bytes) -> bytes:
    """A hand-over of the agent's signing key (handover.make_handover)."""
    return cbor.dumps([ENTRY_HANDOVER, record])


def consent_entry(record: bytes) -> bytes:
    """A signed consent (records.make_consent)."""
    return cbor.dumps([ENTRY_CONSENT, record])


def erasure_entry(record: bytes) -> bytes:
    """A signed erasure (records.make_erasure)."""
    return cbor.dumps([ENTRY_ERASURE, record])


def parse_entry(entry: bytes) -> "list[Any]":
    """The checked fields of an entry, its type first, or BatchError; unknown types are carried.

    Of a signed record the shape is checked, not the signature: records.open_record.
    """
    fields = loads(entry, "entry")
    if not is_list(fields) or not fields or not is_uint(fields[0]):
        raise BatchError("entry: not an array that begins with a type")
    kind, rest = fields[0], fields[1:]
    if kind == ENTRY_FRAME:
        good = fits(rest, (8, 12, None, None, None)) and below(rest[2], _SEQ_END)
        good = good and isinstance(rest[3], bytes) and below(rest[4], T_END)
    elif kind == ENTRY_IDENTITY:
        good = fits(rest, (8, 32, 32))
        if good and node_id(rest[1], rest[2]) != rest[0]:
            raise BatchError("entry: the keys do not give the node id", cause="bad_identity")
    elif kind == ENTRY_CLOCK:
        good = fits(rest, (8, 12, None, None, None, None)) and below(rest[2], T_END)
        good = good and _is_int(rest[3]) and _is_int(rest[4]) and below(rest[5], T_END)
    elif kind == ENTRY_STATEMENT:
        good = len(rest) == 2 and isinstance(rest[0], str) and is_map(rest[1])
    elif kind == ENTRY_HANDOVER:
        good = len(rest) == 1 and isinstance(rest[0], bytes) and bool(handover.read_handover(rest[0]))
    elif kind in _RECORD_OF:
        good = len(rest) == 1 and isinstance(rest[0], bytes)
        good = good and read_record(rest[0])["record"] == _RECORD_OF[kind]
    else:
        good = True
    if not good:
        raise BatchError(f"entry of type {kind}: a field is missing, of a wrong type or out of range")
    return fields


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def below(value: Any, end: int) -> bool:
    """Whether it is an unsigned integer below `end`."""
    return is_uint(value) and value < end


def fits(items: "list[Any]", sizes: "tuple[int | None, ...]") -> bool:
    """As many items as sizes, each a byte string of its size where there is one."""
    if len(items) != len(sizes):
        return False
    return all(size is None or is_bytes(item, size) for item, size in zip(items, sizes))
