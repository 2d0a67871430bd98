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

from protocol import cbor, crypto, handover, merkle
from protocol.checks import is_bytes, is_list, is_map
from protocol.cose import VERSION, Signer, loads, sign1, split1, verify1, versioned
from protocol.entries import (
    ENTRY_ASSIGNMENT,
    ENTRY_CLOCK,
    ENTRY_CONSENT,
    ENTRY_ERASURE,
    ENTRY_FRAME,
    ENTRY_HANDOVER,
    ENTRY_IDENTITY,
    ENTRY_MANUAL,
    ENTRY_STATEMENT,
    T_END,
    assignment_entry,
    below,
    clock_entry,
    consent_entry,
    erasure_entry,
    fits,
    frame_entry,
    handover_entry,
    identity_entry,
    manual_entry,
    parse_entry,
    statement_entry,
)
from protocol.errors import BatchError
from protocol.identity import Identity
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

__all__ = (
    "ENTRY_ASSIGNMENT",
    "ENTRY_CLOCK",
    "ENTRY_CONSENT",
    "ENTRY_ERASURE",
    "ENTRY_FRAME",
    "ENTRY_HANDOVER",
    "ENTRY_IDENTITY",
    "ENTRY_MANUAL",
    "ENTRY_STATEMENT",
    "Batch",
    "Receipt",
    "Refusal",
    "assignment_entry",
    "clock_entry",
    "consent_entry",
    "count_of",
    "encode_batch",
    "erasure_entry",
    "frame_entry",
    "handover_entry",
    "head_hash",
    "identity_entry",
    "is_refusal",
    "make_ask",
    "make_head",
    "make_head_over",
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

LEFT_OUT = b""
"""What stands in a batch for an entry whose bytes are left out; its hash is given apart."""

FIRST_PREVIOUS = bytes(32)
"""The previous head's hash in number 0 of a chain."""

_SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES128_GCM)


class Batch:
    """A verified batch: the head's fields, the entries as bytes and as lists, in store order.

    Attributes: agent_id, chain_id, number, previous, root, count, made_at_ms, cited ([chain id, number,
    hash] or None), reason (or None), signed_head, head_hash, entries and parsed (None at a hole: an entry
    that is left out), leaves (the hash of every entry), handovers (of the key that signed, verified).
    """

    def __init__(
        self,
        fields: "dict[int, Any]",
        signed_head: bytes,
        head: bytes,
        entries: "list[bytes | None]",
        leaves: "list[bytes]",
        handovers: "list[handover.Handover]",
    ):
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
        self.leaves = leaves
        self.parsed = [None if entry is None else parse_entry(entry) for entry in entries]
        self.handovers = handovers


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
    leaves = [merkle.leaf_hash(entry) for entry in entries]
    return make_head_over(agent_id, chain_id, number, previous, leaves, made_at_ms, cited, reason)


def make_head_over(
    agent_id: bytes,
    chain_id: bytes,
    number: int,
    previous: bytes,
    leaves: Sequence[bytes],
    made_at_ms: int,
    cited: "tuple[bytes, int, bytes] | None" = None,
    reason: "str | None" = None,
) -> bytes:
    """The same over the entries' leaf hashes (merkle.leaf_hash), for who has computed them already."""
    head: dict[int, Any] = {
        1: VERSION,
        2: agent_id,
        3: chain_id,
        4: number,
        5: previous,
        6: merkle.root(leaves),
        7: len(leaves),
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


def sign_head(signer: Signer, head: bytes) -> bytes:
    """The head as COSE_Sign1."""
    return sign1(signer, head)


def encode_batch(
    signed_head: bytes,
    entries: "Sequence[bytes | None]",
    hashes: Sequence[bytes] = (),
    handovers: Sequence[bytes] = (),
) -> bytes:
    """The batch in clear: the signed head and its entries.

    `hashes`: of each entry that is None, in their order (merkle.leaf_hash); `handovers`: all those of the
    agent's signing key up to the one that signed, when that is not its first.
    """
    fields: dict[int, Any] = {1: signed_head, 2: [LEFT_OUT if one is None else one for one in entries]}
    if hashes:
        fields[3] = hashes
    if handovers:
        fields[4] = handovers
    return cbor.dumps(fields)


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


def parse_batch(
    batch: bytes, agent_ed_pub: bytes, agent_id: bytes, known: "Sequence[handover.Handover]" = ()
) -> Batch:
    """The batch, verified: signed by this agent, under this agent id, with the right count and root.

    `agent_ed_pub` is the agent's first key: the batch's hand-overs lead from it to the one that signed.
    `known`: those that other batches brought, so that a key which was retired signs nothing any more.
    """
    fields = loads(batch, "batch")
    if not is_map(fields) or not isinstance(fields.get(1), bytes) or not is_list(fields.get(2)):
        raise BatchError("batch: not a map of signed head and entries")
    signed_head: bytes = fields[1]
    given: list[Any] = fields[2]
    if not all(isinstance(entry, bytes) for entry in given):
        raise BatchError("batch: an entry is not a byte string")
    records = handover.carried(fields, 4, "batch")
    steps = handover.read_chain(agent_ed_pub, records, agent_id)
    head = handover.signed_by(signed_head, agent_ed_pub, steps, "head")
    named = parse_head(head)
    if named[2] != agent_id:
        raise BatchError(f"the head is of agent {named[2].hex()}, not {agent_id.hex()}", cause="wrong_agent")
    handover.check_head(named[3], named[4], records, known, named.get(9))
    if named[7] != len(given):
        raise BatchError(f"the head counts {named[7]} entries; there are {len(given)}", cause="bad_count")
    entries = [entry or None for entry in given]
    leaves = _leaves(entries, fields)
    if merkle.root(leaves) != named[6]:
        raise BatchError("the Merkle root is not that of the entries", cause="bad_root")
    return Batch(named, signed_head, head, entries, leaves, steps)


def _leaves(entries: "list[bytes | None]", fields: "dict[Any, Any]") -> "list[bytes]":
    """The hash of every entry: computed where it is given, as told where it is left out."""
    hashes = fields.get(3, [])
    if not is_list(hashes) or not all(is_bytes(one, merkle.HASH_BYTES) for one in hashes):
        raise BatchError("batch: the hashes of entries left out are no list of hashes")
    holes = entries.count(None)
    if len(hashes) != holes or (3 in fields and not holes):
        raise BatchError(f"{holes} entries are left out, and {len(hashes)} hashes given", cause="bad_holes")
    told = iter(hashes)
    return [next(told) if entry is None else merkle.leaf_hash(entry) for entry in entries]


def verify_head(signed_head: bytes, agent_ed_pub: bytes) -> bytes:
    """The encoded head that this agent signed; BatchError (bad_signature) otherwise."""
    return verify1(signed_head, agent_ed_pub, "head")


def parse_head(head: bytes) -> "dict[int, Any]":
    """The checked fields of an encoded head, by key."""
    fields = versioned(head, "head")
    good = all(is_bytes(fields.get(key), size) for key, size in ((2, 8), (3, 8), (5, 32), (6, 32)))
    good = good and all(below(fields.get(key), T_END) for key in (4, 7, 8))
    if good and fields[4] == 0:
        good = fields[5] == FIRST_PREVIOUS
    elif 9 in fields or 10 in fields:
        good = False
    if 9 in fields:
        cited = fields[9]
        good = good and is_list(cited) and fits(cited, (8, None, 32)) and below(cited[1], T_END)
    if not good or (10 in fields and not isinstance(fields[10], str)):
        raise BatchError("head: a field is missing, of a wrong type or out of range")
    return fields


def count_of(signed_head: bytes) -> int:
    """The entry count in a head, not verified: for who signed it."""
    return parse_head(split1(signed_head, "head")[0])[7]


def _info(agent_id: bytes, collector_id: bytes) -> bytes:
    return cbor.dumps(["vitalwire/1 batch", agent_id, collector_id])


def _kem_key(key: "X25519PrivateKey | X25519PublicKey") -> KEMKeyInterface:
    return KEMKey.from_pyca_cryptography_key(key)
