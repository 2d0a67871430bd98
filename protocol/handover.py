"""Hand-overs of a signing key (docs/wire-protocol.md §11.2): by a chain of them, what a party signs today
verifies with the key that it was known by first. CPython only.

The old key signs the hand-over, and the new key signs inside it that it takes over, so nobody hands over to a
key that is not theirs. It names the last head that the old key signed: whatever that key signs beyond it, in
that chain, is by a thief or a copy (`retired_key`).
"""

from collections.abc import Sequence
from typing import Any

from protocol import cbor, crypto
from protocol.checks import is_bytes, is_list, is_uint
from protocol.cose import VERSION, Signer, sign1, split1, verify1, versioned
from protocol.errors import BatchError, LocalError

HANDOVER = "handover"
MAX_HANDOVERS = 64
"""Of one party; each of its batches carries them all. A key a year lasts longer than any node."""

_T_END = 1 << 53


class SigningKey:
    """An Ed25519 key pair that only signs; 32 bytes each. `ed_seed` is secret and never shown."""

    def __init__(self, ed_seed: bytes, ed_pub: bytes):
        self.ed_seed = ed_seed
        self.ed_pub = ed_pub

    @classmethod
    def from_seed(cls, ed_seed: bytes) -> "SigningKey":
        """The key pair of a secret: 32 fresh random bytes, or those that were stored."""
        return cls(ed_seed, crypto.run(crypto.ed25519_public_steps(ed_seed)))

    def __repr__(self) -> str:
        return f"<SigningKey {self.ed_pub[:8].hex()}>"


class Handover:
    """A verified hand-over: agent_id (of the party, be it a collector), old_pub, new_pub, made_at_ms, number
    (from 1), last ((chain id, number, head hash), or None when the old key signed no head), record.
    """

    def __init__(self, fields: "dict[int, Any]", old_pub: bytes, record: bytes):
        self.agent_id: bytes = fields[3]
        self.old_pub = old_pub
        self.new_pub: bytes = fields[4]
        self.made_at_ms: int = fields[5]
        self.number: int = fields[6]
        last = fields.get(8)
        self.last: tuple[bytes, int, bytes] | None = None if last is None else tuple(last)
        self.record = record


def make_handover(
    old: Signer,
    new: Signer,
    agent_id: bytes,
    made_at_ms: int,
    number: int,
    last: "tuple[bytes, int, bytes] | None" = None,
) -> bytes:
    """The record by which `old` hands over to `new`; `last`: the newest head that `old` signed."""
    if not 1 <= number <= MAX_HANDOVERS:
        raise LocalError(f"hand-over {number}; a party makes at most {MAX_HANDOVERS}")
    accepted = _accepted(agent_id, old.ed_pub, new.ed_pub, number, made_at_ms)
    signature = crypto.run(crypto.ed25519_sign_steps(new.ed_seed, new.ed_pub, accepted))
    fields: dict[int, Any] = {1: VERSION, 2: HANDOVER, 3: agent_id, 4: new.ed_pub, 5: made_at_ms, 6: number}
    fields[7] = signature
    if last is not None:
        fields[8] = last
    return sign1(old, cbor.dumps(fields))


def read_handover(record: bytes) -> "dict[int, Any]":
    """The checked fields of a hand-over, by key; not verified."""
    fields = versioned(split1(record, "hand-over")[0], "hand-over")
    good = fields.get(2) == HANDOVER and is_bytes(fields.get(3), 8) and is_bytes(fields.get(4), 32)
    good = good and _below(fields.get(5), _T_END) and is_bytes(fields.get(7), 64)
    number, last = fields.get(6), fields.get(8)
    good = good and is_uint(number) and 1 <= number <= MAX_HANDOVERS
    if 8 in fields:
        good = good and is_list(last) and len(last) == 3 and is_bytes(last[0], 8)
        good = good and is_list(last) and _below(last[1], _T_END) and is_bytes(last[2], 32)
    if not good:
        raise BatchError("hand-over: a field is missing, of a wrong type or out of range")
    return fields


def verify_handover(record: bytes, old_pub: bytes, number: int) -> Handover:
    """The hand-over number `number`, signed by `old_pub` and accepted by the new key; BatchError
    (bad_handover) otherwise.
    """
    fields = read_handover(record)
    try:
        verify1(record, old_pub, "hand-over")
    except BatchError as error:
        raise BatchError(
            f"hand-over {number}: not signed by the key that it takes over from", cause="bad_handover"
        ) from error
    if fields[6] != number:
        raise BatchError(f"hand-over {fields[6]} stands where {number} belongs", cause="bad_handover")
    accepted = _accepted(fields[3], old_pub, fields[4], number, fields[5])
    if not crypto.run(crypto.ed25519_verify_steps(fields[4], accepted, fields[7])):
        raise BatchError(f"hand-over {number}: the new key did not accept it", cause="bad_handover")
    return Handover(fields, old_pub, record)


def read_chain(
    original_ed_pub: bytes, handovers: Sequence[bytes], party_id: "bytes | None" = None
) -> "list[Handover]":
    """All of a party's hand-overs, verified from its first key on; BatchError (bad_handover) otherwise.

    `party_id`: whose they must be; left out, of one and the same party.
    """
    if len(handovers) > MAX_HANDOVERS:
        raise BatchError(f"{len(handovers)} hand-overs; {MAX_HANDOVERS} at most", cause="bad_handover")
    found: list[Handover] = []
    key, keys = original_ed_pub, {original_ed_pub}
    for number, record in enumerate(handovers, 1):
        one = verify_handover(record, key, number)
        party_id = party_id or one.agent_id
        if one.agent_id != party_id:
            raise BatchError(f"hand-over {number} is another party's", cause="bad_handover")
        if one.new_pub in keys:
            raise BatchError(f"hand-over {number} goes back to a retired key", cause="bad_handover")
        key = one.new_pub
        keys.add(key)
        found.append(one)
    return found


def follow(original_ed_pub: bytes, handovers: Sequence[bytes], party_id: "bytes | None" = None) -> bytes:
    """The key that a party signs with after these hand-overs; of none, its first. Errors: `read_chain`."""
    chain = read_chain(original_ed_pub, handovers, party_id)
    return chain[-1].new_pub if chain else original_ed_pub


def check_head(
    chain_id: bytes,
    number: int,
    carried: Sequence[bytes],
    known: "Sequence[Handover]",
    cited: "Sequence[Any] | None" = None,
) -> None:
    """Refuse a head that is signed by a key which, as `known` from elsewhere says, was retired before.

    `carried`: the hand-overs that came with the head; `cited`: what it cites ([chain id, number, hash]): a
    chain that follows a batch of after the hand-over began after it. BatchError: retired_key; bad_handover
    when `carried` are not those that are known: an old key was handed over twice.
    """
    for number_of, (record, one) in enumerate(zip(carried, known), 1):
        if record != one.record:
            raise BatchError(f"hand-over {number_of} is another than the one known", cause="bad_handover")
    if len(carried) >= len(known):
        return
    last = known[len(carried)].last
    follows = cited is not None and last is not None and cited[0] == last[0] and cited[1] > last[1]
    if last is None or follows or (chain_id == last[0] and number > last[1]):
        raise BatchError(
            f"batch {number} is signed by key {len(carried)}, which was handed over before",
            cause="retired_key",
        )


def carried(fields: "dict[Any, Any]", key: int, what: str) -> "list[bytes]":
    """The hand-overs under `key` of a decoded map; BatchError when they are no list of byte strings."""
    found = fields.get(key, [])
    if not is_list(found) or not all(isinstance(one, bytes) for one in found):
        raise BatchError(f"{what}: the hand-overs are no list of byte strings")
    if key in fields and not 1 <= len(found) <= MAX_HANDOVERS:
        raise BatchError(f"{what}: {len(found)} hand-overs; 1 to {MAX_HANDOVERS} are carried")
    return found


def signed_by(message: bytes, original_ed_pub: bytes, chain: "Sequence[Handover]", what: str) -> bytes:
    """The payload of a COSE_Sign1 by the key after `chain`; BatchError: retired_key for one before it, else
    bad_signature.
    """
    keys = [original_ed_pub, *(one.new_pub for one in chain)]
    try:
        return verify1(message, keys[-1], what)
    except BatchError as error:
        if error.cause != "bad_signature":
            raise
        for generation, key in enumerate(keys[:-1]):
            if _signed(message, key, what):
                raise BatchError(
                    f"{what}: signed by key {generation}, which is retired", cause="retired_key"
                ) from error
        raise


def _signed(message: bytes, key: bytes, what: str) -> bool:
    try:
        verify1(message, key, what)
    except BatchError:
        return False
    return True


def _accepted(agent_id: bytes, old_pub: bytes, new_pub: bytes, number: int, made_at_ms: int) -> bytes:
    """What the new key signs."""
    return cbor.dumps(["vitalwire/1 handover", agent_id, old_pub, new_pub, number, made_at_ms])


def _below(value: Any, end: int) -> bool:
    return is_uint(value) and value < end
