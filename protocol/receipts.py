"""What a collector answers: receipts, head statements, refusals (docs/wire-protocol.md §11). CPython only."""

from collections.abc import Sequence
from typing import Any, TypeGuard

from protocol import cbor, crypto, handover
from protocol.checks import is_bytes, is_list, is_map, is_uint
from protocol.cose import VERSION, Signer, loads, sign1, split1, versioned
from protocol.errors import BatchError

RECEIPT = "receipt"
HEAD = "head"
REFUSAL = "refusal"

_T_END = 1 << 53
MAX_CHAINS = 16
"""Chains of an agent that one head statement names."""


class Receipt:
    """A collector's verified statement. `statement`: RECEIPT (a batch was stored) or HEAD (the newest one).

    Attributes: statement, agent_id, chain_id, number, head_hash (these three None in a HEAD that knows no
    chain, or not the beginning of the newest), stored, duplicates, received_at_ms, nonce (HEAD only, else
    None), highest (HEAD: (chain id, number, hash) of the highest batch of each chain that no other follows,
    newest chain first), handovers (of the collector's signing key, from its first on, as records), left_out
    (RECEIPT: entries of the batch that the collector holds by their hash only).
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
        highest = fields.get(11, ()) if self.statement == HEAD else ()
        self.highest: list[tuple[bytes, int, bytes]] = [tuple(one) for one in highest]
        self.handovers: list[bytes] = fields.get(12, [])
        self.left_out: int = fields.get(13, 0) if self.statement == RECEIPT else 0


class Refusal:
    """A collector's unsigned hint: agent_id, code, detail, refused (SHA-256 of what it refused, or None)."""

    def __init__(self, fields: "dict[int, Any]"):
        self.agent_id: bytes = fields[3]
        self.code: str = fields[4]
        self.detail: str = fields[5]
        self.refused: bytes | None = fields.get(6)


def make_receipt(
    identity: Signer,
    agent_id: bytes,
    chain_id: bytes,
    number: int,
    head: bytes,
    stored: int,
    duplicates: int,
    received_at_ms: int,
    handovers: Sequence[bytes] = (),
    left_out: int = 0,
) -> bytes:
    """The collector's signed word that batch `number`, whose head has the hash `head`, is stored durably.

    `left_out`: entries that it holds by their hash only; with `stored` and `duplicates` it gives the batch's
    count. `handovers`: all those of the collector's signing key, when `identity` is not its first one.
    """
    fields: dict[int, Any] = {1: VERSION, 2: RECEIPT, 3: agent_id, 4: chain_id, 5: number, 6: head}
    fields.update({7: stored, 8: duplicates, 9: received_at_ms})
    if left_out:
        fields[13] = left_out
    return _signed(identity, fields, handovers)


def make_head_statement(
    identity: Signer,
    agent_id: bytes,
    newest: "tuple[bytes, int, bytes] | None",
    stored: int,
    duplicates: int,
    now_ms: int,
    nonce: bytes,
    highest: "Sequence[tuple[bytes, int, bytes]] | None" = None,
    handovers: Sequence[bytes] = (),
) -> bytes:
    """The signed answer to a question: the newest batch before any hole, as (chain id, number, head hash), or
    None.

    `stored` and `duplicates` count all entries of that agent so far. `highest`: the same three of the highest
    batch of each chain that no other follows, newest chain first; left out, there is no hole and one chain.
    """
    fields: dict[int, Any] = {1: VERSION, 2: HEAD, 3: agent_id, 7: stored, 8: duplicates, 9: now_ms}
    fields[10] = nonce
    if newest is not None:
        fields[4], fields[5], fields[6] = newest
        highest = highest or (newest,)
    if highest:
        fields[11] = highest[:MAX_CHAINS]
    return _signed(identity, fields, handovers)


def parse_ask(message: bytes) -> "tuple[bytes, bytes]":
    """(agent id, nonce) of a question."""
    fields = versioned(message, "question")
    agent_id, nonce = fields.get(2), fields.get(3)
    if not is_bytes(agent_id, 8) or not _is_nonce(nonce):
        raise BatchError("question: a field is missing or of a wrong length")
    return agent_id, nonce


def make_refusal(agent_id: bytes, code: str, detail: str, refused: "bytes | None" = None) -> bytes:
    """An unsigned hint that a message was refused; `refused` is that message, named by its SHA-256."""
    fields: dict[int, Any] = {1: VERSION, 2: REFUSAL, 3: agent_id, 4: code, 5: detail}
    if refused is not None:
        fields[6] = crypto.sha256(refused)
    return cbor.dumps(fields)


def verify_receipt(message: bytes, collector_ed_pub: bytes, collector_id: "bytes | None" = None) -> Receipt:
    """The receipt or head statement that the collector signed; BatchError (bad_signature, …) otherwise.

    `collector_ed_pub` is its first key: hand-overs in the receipt lead from it to the one that signed, and
    must be `collector_id`'s when that is given.
    """
    told = loads(split1(message, "receipt")[0], "receipt")
    records = handover.carried(told, 12, "receipt") if is_map(told) else ()
    steps = handover.read_chain(collector_ed_pub, records, collector_id)
    fields = versioned(handover.signed_by(message, collector_ed_pub, steps, "receipt"), "receipt")
    known = 4 in fields or 5 in fields or 6 in fields
    good = is_bytes(fields.get(3), 8) and all(_below(fields.get(key)) for key in (7, 8, 9))
    if fields.get(2) == RECEIPT and 13 in fields:
        good = good and _below(fields[13]) and fields[13] > 0
    if known or fields.get(2) == RECEIPT:
        good = good and is_bytes(fields.get(4), 8) and _below(fields.get(5)) and is_bytes(fields.get(6), 32)
    if fields.get(2) == HEAD:
        good = good and _is_nonce(fields.get(10)) and _are_highest(fields, known)
    elif fields.get(2) != RECEIPT or 10 in fields:
        good = False
    if not good:
        raise BatchError("receipt: a field is missing, of a wrong type or out of range")
    return Receipt(fields)


def _are_highest(fields: "dict[int, Any]", known: bool) -> bool:
    """Whether key 11 is well formed, and not below the batch that keys 4 to 6 name."""
    highest = fields.get(11)
    if highest is None:
        return not known
    if not is_list(highest) or not 1 <= len(highest) <= MAX_CHAINS:
        return False
    for one in highest:
        if not is_list(one) or len(one) != 3 or not is_bytes(one[0], 8) or not is_bytes(one[2], 32):
            return False
        if not _below(one[1]):
            return False
    chain, number, digest = highest[0]
    if not known:
        return True
    return chain == fields[4] and (number > fields[5] or (number, digest) == (fields[5], fields[6]))


def make_ask(agent_id: bytes, nonce: bytes) -> bytes:
    """An agent's question for the newest head that the collector knows of it."""
    return cbor.dumps({1: VERSION, 2: agent_id, 3: nonce})


def is_refusal(message: bytes) -> bool:
    """Whether a message on the receipt topic is a refusal (a map) rather than signed (a tag)."""
    return len(message) > 0 and message[0] >> 5 == 5


def parse_refusal(message: bytes) -> Refusal:
    """A refusal's fields. It is a hint for people: it is not signed."""
    fields = versioned(message, "refusal")
    good = fields.get(2) == REFUSAL and is_bytes(fields.get(3), 8)
    good = good and isinstance(fields.get(4), str) and isinstance(fields.get(5), str)
    if not good or (6 in fields and not is_bytes(fields[6], 32)):
        raise BatchError("refusal: a field is missing or of a wrong type")
    return Refusal(fields)


def _signed(signer: Signer, fields: "dict[int, Any]", handovers: Sequence[bytes]) -> bytes:
    if handovers:
        fields[12] = handovers
    return sign1(signer, cbor.dumps(fields))


def _is_nonce(value: Any) -> "TypeGuard[bytes]":
    return isinstance(value, bytes) and 8 <= len(value) <= 64


def _below(value: Any) -> bool:
    return is_uint(value) and value < _T_END
