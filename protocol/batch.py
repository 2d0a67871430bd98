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
from protocol.errors import CborError, ProtocolError
from protocol.identity import Identity, node_id

VERSION = 1

ENTRY_FRAME = 0
ENTRY_IDENTITY = 1
ENTRY_CLOCK = 2
ENTRY_STATEMENT = 3

FIRST_PREVIOUS = bytes(32)
"""The previous head's hash in number 0 of a chain."""

RECEIPT = "receipt"
HEAD = "head"
REFUSAL = "refusal"

_SIGN1_TAG = 18
_PROTECTED = cbor.dumps({1: -8})
_SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES128_GCM)
_T_END = 1 << 53
_SEQ_END = 1 << 32


class BatchError(ProtocolError):
    """A batch, receipt or question that is refused; `cause` says which check failed.

    malformed_batch, unknown_version, bad_seal (not encrypted to this key, or changed), bad_signature,
    wrong_agent, bad_count, bad_root, bad_identity (an identity entry whose keys do not give its node id).
    """

    code = 6
    cause = "malformed_batch"
    layer = "batch"


class Batch:
    """A verified batch: the head's fields, `head_hash`, the entries as bytes and `parsed` as lists, in store order.

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


class Receipt:
    """A collector's verified statement. `statement` is RECEIPT (a batch was stored) or HEAD (the newest batch it knows).

    Attributes: statement, agent_id, chain_id, number, head_hash (these three None in a HEAD that knows no
    chain), stored, duplicates, received_at_ms, nonce (HEAD only, else None).
    """

    def __init__(self, fields: "dict[int, Any]"):
        self.statement: str = fields[2]
        self.agent_id: bytes = fields[3]
        self.chain_id: bytes | None = fields.get(4)
        self.number: int | None = fields.get(5)
        self.head_hash: bytes | None = fields.get(6)
        self.stored: int = fields[7]
        self.duplicates: int = fields[8]
        self.received_at_ms: int = fields[9]
        self.nonce: bytes | None = fields.get(10)


class Refusal:
    """A collector's unsigned hint that it refused something: agent_id, code, detail, refused (SHA-256 or None)."""

    def __init__(self, fields: "dict[int, Any]"):
        self.agent_id: bytes = fields[3]
        self.code: str = fields[4]
        self.detail: str = fields[5]
        self.refused: bytes | None = fields.get(6)


# Entries


def frame_entry(node: bytes, boot_id: bytes, seq: int, plaintext: bytes, received_ms: int) -> bytes:
    """A frame as it was opened; `received_ms` is the agent's Unix time in ms."""
    return cbor.dumps([ENTRY_FRAME, node, boot_id, seq, plaintext, received_ms])


def identity_entry(node: bytes, ed_pub: bytes, x_pub: bytes) -> bytes:
    """A node's public keys, before the first of its frames in a chain."""
    return cbor.dumps([ENTRY_IDENTITY, node, ed_pub, x_pub])


def clock_entry(node: bytes, boot_id: bytes, t_us: int, unix_us: int, rate_ppb: int, bound_us: int) -> bytes:
    """A clock fit: node time `t_us` was Unix time `unix_us` ± `bound_us`; the node's clock runs `rate_ppb` fast."""
    return cbor.dumps([ENTRY_CLOCK, node, boot_id, t_us, unix_us, rate_ppb, bound_us])


def statement_entry(code: str, detail: "dict[Any, Any]") -> bytes:
    """An agent's statement about itself, such as `store_set_aside` or `frames_lost`."""
    return cbor.dumps([ENTRY_STATEMENT, code, detail])


def parse_entry(entry: bytes) -> "list[Any]":
    """The checked fields of an entry, its type first; types that are not known are carried. BatchError otherwise."""
    fields = _loads(entry, "entry")
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
    """The encoded head over `entries`; `cited` and `reason` only in number 0 of a chain that follows another."""
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
    return _sign1(identity, head)


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


def verify_receipt(message: bytes, collector_ed_pub: bytes) -> Receipt:
    """The receipt or head statement that the collector signed; BatchError (bad_signature, …) otherwise."""
    fields = _versioned(_verify_sign1(message, collector_ed_pub, "receipt"), "receipt")
    known = 4 in fields or 5 in fields or 6 in fields
    good = is_bytes(fields.get(3), 8) and all(_below(fields.get(key), _T_END) for key in (7, 8, 9))
    if known or fields.get(2) == RECEIPT:
        good = good and is_bytes(fields.get(4), 8) and is_uint(fields.get(5)) and is_bytes(fields.get(6), 32)
    if fields.get(2) == HEAD:
        good = good and isinstance(fields.get(10), bytes)
    elif fields.get(2) != RECEIPT or 10 in fields:
        good = False
    if not good:
        raise BatchError("receipt: a field is missing, of a wrong type or out of range")
    return Receipt(fields)


def make_ask(agent_id: bytes, nonce: bytes) -> bytes:
    """An agent's question for the newest head that the collector knows of it."""
    return cbor.dumps({1: VERSION, 2: agent_id, 3: nonce})


def is_refusal(message: bytes) -> bool:
    """Whether a message on the receipt topic is a refusal (a map) rather than signed (a tag)."""
    return len(message) > 0 and message[0] >> 5 == 5


def parse_refusal(message: bytes) -> Refusal:
    """A refusal's fields. It is a hint for people: it is not signed."""
    fields = _versioned(message, "refusal")
    good = fields.get(2) == REFUSAL and is_bytes(fields.get(3), 8)
    good = good and isinstance(fields.get(4), str) and isinstance(fields.get(5), str)
    if not good or (6 in fields and not is_bytes(fields[6], 32)):
        raise BatchError("refusal: a field is missing or of a wrong type")
    return Refusal(fields)


# The collector's side


def open_batch(message: bytes, collector_identity: Identity) -> "tuple[bytes, bytes]":
    """(agent id as the sender claims it, batch in clear). BatchError bad_seal when it is not for this collector."""
    fields = _versioned(message, "sealed batch")
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
    """The batch, verified: signed by this agent, under this agent id, with its own entries' count and root."""
    fields = _loads(batch, "batch")
    if not is_map(fields) or not isinstance(fields.get(1), bytes) or not is_list(fields.get(2)):
        raise BatchError("batch: not a map of signed head and entries")
    signed_head: bytes = fields[1]
    entries: list[Any] = fields[2]
    if not all(isinstance(entry, bytes) for entry in entries):
        raise BatchError("batch: an entry is not a byte string")
    head = _verify_sign1(signed_head, agent_ed_pub, "head")
    named = parse_head(head)
    if named[2] != agent_id:
        raise BatchError(f"the head is of agent {named[2].hex()}, not {agent_id.hex()}", cause="wrong_agent")
    if named[7] != len(entries):
        raise BatchError(f"the head counts {named[7]} entries; there are {len(entries)}", cause="bad_count")
    if merkle.root([merkle.leaf_hash(entry) for entry in entries]) != named[6]:
        raise BatchError("the Merkle root is not that of the entries", cause="bad_root")
    return Batch(named, signed_head, head, entries)


def parse_head(head: bytes) -> "dict[int, Any]":
    """The checked fields of an encoded head, by key."""
    fields = _versioned(head, "head")
    good = all(is_bytes(fields.get(key), size) for key, size in ((2, 8), (3, 8), (5, 32), (6, 32)))
    good = good and all(_below(fields.get(key), _T_END) for key in (4, 7, 8))
    if good and fields[4] == 0:
        good = fields[5] == FIRST_PREVIOUS
    elif 9 in fields or 10 in fields:
        good = False
    if 9 in fields:
        cited = fields[9]
        good = good and is_list(cited) and _fits(cited, (8, None, 32)) and is_uint(cited[1])
    if not good or (10 in fields and not isinstance(fields[10], str)):
        raise BatchError("head: a field is missing, of a wrong type or out of range")
    return fields


def make_receipt(
    identity: Identity,
    agent_id: bytes,
    chain_id: bytes,
    number: int,
    head: bytes,
    stored: int,
    duplicates: int,
    received_at_ms: int,
) -> bytes:
    """The collector's signed word that batch `number`, whose head has the hash `head`, is stored durably."""
    fields = {1: VERSION, 2: RECEIPT, 3: agent_id, 4: chain_id, 5: number, 6: head}
    return _sign1(identity, cbor.dumps({**fields, 7: stored, 8: duplicates, 9: received_at_ms}))


def make_head_statement(
    identity: Identity,
    agent_id: bytes,
    newest: "tuple[bytes, int, bytes] | None",
    stored: int,
    duplicates: int,
    now_ms: int,
    nonce: bytes,
) -> bytes:
    """The signed answer to a question: the newest batch known, as (chain id, number, head hash), or None.

    `stored` and `duplicates` count all entries of that agent so far.
    """
    fields: dict[int, Any] = {1: VERSION, 2: HEAD, 3: agent_id, 7: stored, 8: duplicates, 9: now_ms}
    fields[10] = nonce
    if newest is not None:
        fields[4], fields[5], fields[6] = newest
    return _sign1(identity, cbor.dumps(fields))


def parse_ask(message: bytes) -> "tuple[bytes, bytes]":
    """(agent id, nonce) of a question."""
    fields = _versioned(message, "question")
    agent_id, nonce = fields.get(2), fields.get(3)
    if not is_bytes(agent_id, 8) or not isinstance(nonce, bytes) or not 8 <= len(nonce) <= 64:
        raise BatchError("question: a field is missing or of a wrong length")
    return agent_id, nonce


def make_refusal(agent_id: bytes, code: str, detail: str, refused: "bytes | None" = None) -> bytes:
    """An unsigned hint that a message was refused; `refused` is that message, named by its SHA-256."""
    fields: dict[int, Any] = {1: VERSION, 2: REFUSAL, 3: agent_id, 4: code, 5: detail}
    if refused is not None:
        fields[6] = crypto.sha256(refused)
    return cbor.dumps(fields)


# COSE_Sign1, HPKE and checks


def _to_be_signed(payload: bytes) -> bytes:
    return cbor.dumps(["Signature1", _PROTECTED, b"", payload])


def _sign1(identity: Identity, payload: bytes) -> bytes:
    signing = crypto.ed25519_sign_steps(identity.ed_seed, identity.ed_pub, _to_be_signed(payload))
    return cbor.head(6, _SIGN1_TAG) + cbor.dumps([_PROTECTED, {}, payload, crypto.run(signing)])


def _verify_sign1(message: bytes, ed_pub: bytes, what: str) -> bytes:
    parts = _loads(message, what, _SIGN1_TAG)
    if not is_list(parts) or len(parts) != 4 or not isinstance(parts[2], bytes) or not is_bytes(parts[3], 64):
        raise BatchError(f"{what}: not a COSE_Sign1")
    if parts[0] != _PROTECTED or parts[1] != {}:
        raise BatchError(f"{what}: COSE headers that are not those in use")
    payload: bytes = parts[2]
    if not crypto.run(crypto.ed25519_verify_steps(ed_pub, _to_be_signed(payload), parts[3])):
        raise BatchError(f"{what}: the signature is not of this key", cause="bad_signature")
    return payload


def _info(agent_id: bytes, collector_id: bytes) -> bytes:
    return cbor.dumps(["vitalwire/1 batch", agent_id, collector_id])


def _kem_key(key: "X25519PrivateKey | X25519PublicKey") -> KEMKeyInterface:
    return KEMKey.from_pyca_cryptography_key(key)


def _loads(encoded: bytes, what: str, tag: "int | None" = None) -> Any:
    try:
        return cbor.loads(encoded, tag)
    except CborError as error:
        raise BatchError(f"{what}: not CBOR: {error.detail}", error.offset) from error


def _versioned(encoded: bytes, what: str) -> "dict[Any, Any]":
    fields = _loads(encoded, what)
    if not is_map(fields) or not is_uint(fields.get(1)):
        raise BatchError(f"{what}: not a map with a version")
    if fields[1] != VERSION:
        raise BatchError(f"{what}: version {fields[1]}", cause="unknown_version", code=1)
    return fields


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _below(value: Any, end: int) -> bool:
    return is_uint(value) and value < end


def _fits(items: "list[Any]", sizes: "tuple[int | None, ...]") -> bool:
    """As many items as sizes, each a byte string of its size where there is one."""
    if len(items) != len(sizes):
        return False
    return all(size is None or is_bytes(item, size) for item, size in zip(items, sizes))
