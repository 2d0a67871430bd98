"""Batches from an agent to a collector, and its answers (docs/wire-protocol.md §11). CPython only.

An agent makes entries, a head over them (`make_head`), signs it (`sign_head`), encodes both
(`encode_batch`) and seals them to the collector (`seal_batch`). The collector opens (`open_batch`),
verifies (`parse_batch`) and answers with a signed receipt; the agent verifies that (`verify_receipt`)
before anything becomes freeable.

Signatures are COSE_Sign1 (RFC 9052 §4.2) with Ed25519; encryption is HPKE mode Base (RFC 9180) with
DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-128-GCM; trees are RFC 9162 §2.1.1.
"""

from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey, KEMKeyInterface, KEMKeyPair
from pyhpke.exceptions import PyHPKEError

from protocol import cbor, crypto, merkle
from protocol.checks import is_bytes, is_list, is_map, is_uint
from protocol.cose import VERSION, loads, sign1, verify1, versioned
from protocol.errors import BatchError
from protocol.identity import Identity, node_id
from protocol.receipts import (
    Receipt,
    Refusal,
    is_refusal,
    make_ask,
    make_head_statement,
    make_receipt,
    make_refusal,
    parse_ask,
    parse_refusal,
    verify_receipt,
)
from protocol.records import ASSIGNMENT, MANUAL, read_record

__all__ = (
    "Batch",
    "Receipt",
    "Refusal",
    "assignment_entry",
    "clock_entry",
    "encode_batch",
    "frame_entry",
    "head_hash",
    "identity_entry",
    "is_refusal",
    "make_ask",
    "make_head",
    "make_head_statement",
    "make_receipt",
    "make_refusal",
    "manual_entry",
    "open_batch",
    "parse_ask",
    "parse_batch",
    "parse_entry",
    "parse_head",
    "parse_refusal",
    "seal_batch",
    "sign_head",
    "statement_entry",
    "verify_head",
    "verify_receipt",
)

ENTRY_FRAME = 0
ENTRY_IDENTITY = 1
ENTRY_CLOCK = 2
ENTRY_STATEMENT = 3
ENTRY_ASSIGNMENT = 4
ENTRY_MANUAL = 5

FIRST_PREVIOUS = bytes(32)
"""The previous head's hash in number 0 of a chain."""

_SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES128_GCM)
_T_END = 1 << 53
_SEQ_END = 1 << 32


class Batch:
    """A verified batch: the head's fields, the entries as bytes and as lists, in store order.

    Attributes: agent_id, chain_id, number, previous, root, count, made_at_ms, cited ([chain id, number,
    hash] or None), reason (or None), signed_head, head_hash, entries, parsed.
    """

    def __init__(self, fields: "dict[int, Any]", signed_head: bytes, head: bytes, entries: "list[bytes]"):
        self.agent_id: bytes = fields[2]
        self.chain_id: bytes = fields[3]
        self.number: int = fields[4]
        self.previous: bytes = fields[5]
        self.root: bytes = fields[6]
        self.count: int = fields[7]
        self.made_at_ms: int = fields[8]
        self.cited: list[Any] | None = fields.get(9)
        self.reason: str | None = fields.get(10)
        self.signed_head = signed_head
        self.head_hash = head_hash(head)
        self.entries = entries
        self.parsed = [parse_entry(entry) for entry in entries]


# Entries


def frame_entry(node: bytes, boot_id: bytes, seq: int, plaintext: bytes, received_ms: int) -> bytes:
    """A frame as it was opened; `received_ms` is the agent's Unix time in ms."""
    return cbor.dumps([ENTRY_FRAME, node, boot_id, seq, plaintext, received_ms])


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


def parse_entry(entry: bytes) -> "list[Any]":
    """The checked fields of an entry, its type first, or BatchError; unknown types are carried.

    Of a signed record the shape is checked, not the signature: records.open_record.
    """
    fields = loads(entry, "entry")
    if not is_list(fields) or not fields or not is_uint(fields[0]):
        raise BatchError("entry: not an array that begins with a type")
    kind, rest = fields[0], fields[1:]
    if kind == ENTRY_FRAME:
        good = _fits(rest, (8, 12, None, None, None)) and _below(rest[2], _SEQ_END)
        good = good and isinstance(rest[3], bytes) and _below(rest[4], _T_END)
    elif kind == ENTRY_IDENTITY:
        good = _fits(rest, (8, 32, 32))
        if good and node_id(rest[1], rest[2]) != rest[0]:
            raise BatchError("entry: the keys do not give the node id", cause="bad_identity")
    elif kind == ENTRY_CLOCK:
        good = _fits(rest, (8, 12, None, None, None, None)) and _below(rest[2], _T_END)
        good = good and _is_int(rest[3]) and _is_int(rest[4]) and _below(rest[5], _T_END)
    elif kind == ENTRY_STATEMENT:
        good = len(rest) == 2 and isinstance(rest[0], str) and is_map(rest[1])
    elif kind in (ENTRY_ASSIGNMENT, ENTRY_MANUAL):
        good = len(rest) == 1 and isinstance(rest[0], bytes)
        good = good and read_record(rest[0])["record"] == (ASSIGNMENT, MANUAL)[kind - ENTRY_ASSIGNMENT]
    else:
        good = True
    if not good:
        raise BatchError(f"entry of type {kind}: a field is missing, of a wrong type or out of range")
    return fields


# The agent's side


def make_head(
    agent_id: bytes,
    chain_id: bytes,
    number: int,
    previous: bytes,
    entries: Sequence[bytes],
    made_at_ms: int,
    cited: "tuple[bytes, int, bytes] | None" = None,
    reason: "str | None" = None,
) -> bytes:
    """The encoded head over `entries`; `cited` and `reason` only in number 0 of a chain that follows one."""
    head: dict[int, Any] = {
        1: VERSION,
        2: agent_id,
        3: chain_id,
        4: number,
        5: previous,
        6: merkle.root([merkle.leaf_hash(entry) for entry in entries]),
        7: len(entries),
        8: made_at_ms,
    }
    if cited is not None:
        head[9] = cited
    if reason is not None:
        head[10] = reason
    return cbor.dumps(head)


def head_hash(head: bytes) -> bytes:
    """SHA-256 of an encoded head: what the next head and the receipt name it by."""
    return crypto.sha256(head)


def sign_head(identity: Identity, head: bytes) -> bytes:
    """The head as COSE_Sign1."""
    return sign1(identity, head)


def encode_batch(signed_head: bytes, entries: Sequence[bytes]) -> bytes:
    """The batch in clear: the signed head and its entries."""
    return cbor.dumps({1: signed_head, 2: entries})


def seal_batch(
    batch: bytes, agent_id: bytes, collector_x_pub: bytes, collector_id: bytes, eph_sk: "bytes | None" = None
) -> bytes:
    """The batch encrypted to a collector. `eph_sk`: 32 fresh random bytes; left out, they are drawn here."""
    pair = None
    if eph_sk is not None:
        private = X25519PrivateKey.from_private_bytes(eph_sk)
        pair = KEMKeyPair(_kem_key(private), _kem_key(private.public_key()))
    try:
        public = _kem_key(X25519PublicKey.from_public_bytes(collector_x_pub))
        enc, context = _SUITE.create_sender_context(public, _info(agent_id, collector_id), eks=pair)
        sealed = context.seal(batch, b"")
    except (PyHPKEError, ValueError) as error:
        raise BatchError("the collector's X25519 key gives no secret", cause="bad_seal") from error
    return cbor.dumps({1: VERSION, 2: agent_id, 3: enc, 4: sealed})


# The collector's side


def open_batch(message: bytes, collector_identity: Identity) -> "tuple[bytes, bytes]":
    """(agent id as the sender claims it, batch in clear). BatchError bad_seal: not for this collector."""
    fields = versioned(message, "sealed batch")
    agent_id, enc, sealed = fields.get(2), fields.get(3), fields.get(4)
    if not is_bytes(agent_id, 8) or not is_bytes(enc, 32) or not isinstance(sealed, bytes):
        raise BatchError("sealed batch: a field is missing or of a wrong length")
    private = _kem_key(X25519PrivateKey.from_private_bytes(collector_identity.x_sk))
    try:
        context = _SUITE.create_recipient_context(enc, private, _info(agent_id, collector_identity.id))
        return agent_id, context.open(sealed, b"")
    except (PyHPKEError, ValueError) as error:
        raise BatchError(
            "not encrypted to this collector, or changed on the way", cause="bad_seal"
        ) from error


def parse_batch(batch: bytes, agent_ed_pub: bytes, agent_id: bytes) -> Batch:
    """The batch, verified: signed by this agent, under this agent id, with the right count and root."""
    fields = loads(batch, "batch")
    if not is_map(fields) or not isinstance(fields.get(1), bytes) or not is_list(fields.get(2)):
        raise BatchError("batch: not a map of signed head and entries")
    signed_head: bytes = fields[1]
    entries: list[Any] = fields[2]
    if not all(isinstance(entry, bytes) for entry in entries):
        raise BatchError("batch: an entry is not a byte string")
    head = verify_head(signed_head, agent_ed_pub)
    named = parse_head(head)
    if named[2] != agent_id:
        raise BatchError(f"the head is of agent {named[2].hex()}, not {agent_id.hex()}", cause="wrong_agent")
    if named[7] != len(entries):
        raise BatchError(f"the head counts {named[7]} entries; there are {len(entries)}", cause="bad_count")
    if merkle.root([merkle.leaf_hash(entry) for entry in entries]) != named[6]:
        raise BatchError("the Merkle root is not that of the entries", cause="bad_root")
    return Batch(named, signed_head, head, entries)


def verify_head(signed_head: bytes, agent_ed_pub: bytes) -> bytes:
    """The encoded head that this agent signed; BatchError (bad_signature) otherwise."""
    return verify1(signed_head, agent_ed_pub, "head")


def parse_head(head: bytes) -> "dict[int, Any]":
    """The checked fields of an encoded head, by key."""
    fields = versioned(head, "head")
    good = all(is_bytes(fields.get(key), size) for key, size in ((2, 8), (3, 8), (5, 32), (6, 32)))
    good = good and all(_below(fields.get(key), _T_END) for key in (4, 7, 8))
    if good and fields[4] == 0:
        good = fields[5] == FIRST_PREVIOUS
    elif 9 in fields or 10 in fields:
        good = False
    if 9 in fields:
        cited = fields[9]
        good = good and is_list(cited) and _fits(cited, (8, None, 32)) and _below(cited[1], _T_END)
    if not good or (10 in fields and not isinstance(fields[10], str)):
        raise BatchError("head: a field is missing, of a wrong type or out of range")
    return fields


def _info(agent_id: bytes, collector_id: bytes) -> bytes:
    return cbor.dumps(["vitalwire/1 batch", agent_id, collector_id])


def _kem_key(key: "X25519PrivateKey | X25519PublicKey") -> KEMKeyInterface:
    return KEMKey.from_pyca_cryptography_key(key)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _below(value: Any, end: int) -> bool:
    return is_uint(value) and value < end


def _fits(items: "list[Any]", sizes: "tuple[int | None, ...]") -> bool:
    """As many items as sizes, each a byte string of its size where there is one."""
    if len(items) != len(sizes):
        return False
    return all(size is None or is_bytes(item, size) for item, size in zip(items, sizes))
