"""A proof of one frame, checked with public keys only and without the rest (docs/wire-protocol.md §11.4).

It holds the frame as a leaf entry, the way from there to the batch's root, the signed head, the hand-overs of
the agent's signing key, the way to the root that the node signed, a clock entry and the boot frame with their
own ways, and the collectors' receipts. Every byte of it is checked; what it does not hold is not claimed.
CPython only.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from protocol import attest, cbor, crypto, entries, frames, handover, merkle
from protocol.batch import head_hash, parse_head
from protocol.checks import is_bytes, is_list, is_uint
from protocol.cose import VERSION, versioned
from protocol.errors import BatchError, LocalError, ProtocolError
from protocol.identity import node_id
from protocol.receipts import RECEIPT, verify_receipt

PROOF = "proof"
MAX_PROOF = 1 << 20
MAX_PATH = 64
MAX_RECEIPTS = 8
# A crystal is within so much of its fit, however long ago that was.
DRIFT_PPB = 200_000
PPB = 1_000_000_000
_KEYS = {1, 2, 3, 4, 5, 6, 7, 8}
_U32 = 1 << 32


class Attested(NamedTuple):
    """What the node signed over a range that the frame is in, and the way from the frame to its root."""

    first: int
    frames: int
    root: bytes
    signature: bytes
    path: list[bytes]


class Held(NamedTuple):
    """An entry, and the way to the head that an agent signed over it: the entry's position in the batch, its
    path, the head, the hand-overs of the key that signed. `attested`: of a frame, None where there is none.
    """

    entry: bytes
    position: int
    path: list[bytes]
    signed_head: bytes
    handovers: list[bytes]
    attested: Attested | None = None


class Party(NamedTuple):
    """Whose signatures are believed: the first Ed25519 key, and the id if it is known."""

    ed_pub: bytes
    id: bytes | None = None


class Proved:
    """What holds. Attributes: agent_id, node_id, boot_id, seq, plaintext, kind, t_us, body (of the frame),
    received_ms, chain_id, number, head_hash, made_at_ms, attested (whether the node's signature covers it),
    time_us ((earliest, latest) Unix time, or None), input (None: unknown; "": sensors on a body; else the
    label of what stood in their place), read_by (the agent that made the frames of that boot for a device
    without keys, or None), input_attested, receipts ([(collector id or None, received_at_ms,
    left_out)]), unchecked_receipts.
    """

    def __init__(self, agent_id: bytes, fields: "list[Any]", head: "dict[int, Any]", digest: bytes):
        self.agent_id = agent_id
        self.node_id: bytes = fields[1]
        self.boot_id: bytes = fields[2]
        self.seq: int = fields[3]
        self.plaintext: bytes = fields[4]
        self.received_ms: int = fields[5]
        self.kind, self.t_us, self.body = frames.unpack(self.plaintext)
        self.chain_id: bytes = head[3]
        self.number: int = head[4]
        self.made_at_ms: int = head[8]
        self.head_hash = digest
        self.attested = False
        self.time_us: tuple[int, int] | None = None
        self.input: str | None = None
        self.read_by: bytes | None = None
        self.input_attested = False
        self.receipts: list[tuple[bytes | None, int, int]] = []
        self.unchecked_receipts = 0


def make_proof(
    agent_id: bytes,
    node_x_pub: bytes,
    frame: Held,
    clock: "Held | None" = None,
    boot: "Held | None" = None,
    receipts: Sequence[bytes] = (),
) -> bytes:
    """The proof of `frame`; `clock`: a clock entry of its boot, `boot`: its boot frame. LocalError."""
    fields: dict[int, Any] = {1: VERSION, 2: PROOF, 3: agent_id, 4: node_x_pub, 5: _listed(frame)}
    if clock is not None:
        fields[6] = _listed(clock)
    if boot is not None:
        fields[7] = _listed(boot)
    if receipts:
        fields[8] = receipts[:MAX_RECEIPTS]
    made = cbor.dumps(fields)
    if len(made) > MAX_PROOF:
        raise LocalError("a proof of %d bytes; %d at most" % (len(made), MAX_PROOF))
    return made


def verify_proof(proof: bytes, node: Party, agent: Party, collector: "Party | None" = None) -> Proved:
    """What the proof proves, by these keys; BatchError (bad_proof) says what does not fit.

    Without `collector`, receipts in it are counted, not checked.
    """
    if len(proof) > MAX_PROOF:
        raise _bad("%d bytes; a proof has %d at most" % (len(proof), MAX_PROOF))
    fields = versioned(proof, "proof")
    good = fields.get(2) == PROOF and is_bytes(fields.get(3), 8) and is_bytes(fields.get(4), 32)
    if not good or not set(fields) <= _KEYS:
        raise _bad("a part is missing, of a wrong type, or not known")
    agent_id: bytes = fields[3]
    if agent.id is not None and agent.id != agent_id:
        raise _bad("it is by agent %s, not by %s" % (agent_id.hex(), agent.id.hex()))
    frame, head, digest = _held(fields.get(5), "frame", agent, agent_id)
    said = _entry(frame, entries.ENTRY_FRAME, "frame")
    if node_id(node.ed_pub, fields[4]) != said[1]:
        raise _bad("the frame is of node %s, which does not have this key" % said[1].hex())
    try:
        proved = Proved(agent_id, said, head, digest)
    except ProtocolError as error:
        raise _bad("what was sealed as a frame is none: " + error.detail) from error
    proved.attested = _attested(frame, said, node, "frame")
    if 6 in fields:
        _date(proved, _held(fields[6], "clock", agent, agent_id)[0])
    if 7 in fields:
        _source(proved, _held(fields[7], "boot frame", agent, agent_id)[0], node)
    if 8 in fields:
        _receipts(proved, fields[8], collector)
    return proved


# Parts


def _listed(held: Held) -> "list[Any]":
    return [*held[:5], None if held.attested is None else list(held.attested)]


def _held(part: Any, what: str, agent: Party, agent_id: bytes) -> "tuple[Held, dict[int, Any], bytes]":
    """An entry that is under a head which the agent signed: (it, the head's fields, the head's hash)."""
    good = is_list(part) and len(part) == 6 and isinstance(part[0], bytes) and is_uint(part[1])
    if not good or not _are_hashes(part[2]) or not isinstance(part[3], bytes):
        raise _bad(f"the {what}'s part is malformed")
    handovers = part[4]
    if not is_list(handovers) or not all(isinstance(one, bytes) for one in handovers):
        raise _bad(f"the {what}'s hand-overs are no list of byte strings")
    attested = None
    if part[5] is not None:
        five = part[5]
        if not is_list(five) or len(five) != 5 or not is_bytes(five[3], 64) or not _are_hashes(five[4]):
            raise _bad(f"the {what}'s attestation is malformed")
        if not all(is_uint(n) and n < _U32 for n in five[:2]) or not is_bytes(five[2], 32):
            raise _bad(f"the {what}'s attestation is malformed")
        attested = Attested(*five)
    held = Held(part[0], part[1], part[2], part[3], handovers, attested)
    try:
        steps = handover.read_chain(agent.ed_pub, held.handovers, agent_id)
        signed = handover.signed_by(held.signed_head, agent.ed_pub, steps, f"head over the {what}")
        head = parse_head(signed)
    except BatchError as error:
        raise BatchError(f"proof: {error.detail}", error.offset, error.cause) from error
    if head[2] != agent_id:
        raise _bad(f"the head over the {what} is of agent {head[2].hex()}")
    leaf = merkle.leaf_hash(held.entry)
    if not merkle.verify_path(leaf, held.position, head[7], held.path, head[6]):
        raise _bad(f"the {what} is not entry {held.position} of the batch: its path leads to another root")
    return held, head, head_hash(signed)


def _entry(held: Held, kind: int, what: str) -> "list[Any]":
    fields = entries.parse_entry(held.entry)
    if fields[0] != kind:
        raise _bad(f"an entry of type {fields[0]} stands where the {what} belongs")
    return fields


def _attested(held: Held, said: "list[Any]", node: Party, what: str) -> bool:
    one = held.attested
    if one is None:
        return False
    leaf = merkle.leaf_hash(attest.leaf(said[2], said[3], said[4]))
    if not merkle.verify_path(leaf, said[3] - one.first, one.frames, one.path, one.root):
        raise _bad(f"the {what} is not under the root that the node signed: its path leads to another")
    message = attest.attested_message(said[1], said[2], one.first, one.frames, one.root)
    if not crypto.run(crypto.ed25519_verify_steps(node.ed_pub, message, one.signature)):
        raise _bad(f"the attestation of the {what} is not signed by this node's key")
    return True


def _date(proved: Proved, held: Held) -> None:
    said = _entry(held, entries.ENTRY_CLOCK, "clock entry")
    if held.attested is not None:
        raise _bad("a clock entry is nothing that a node attests")
    if said[1:3] != [proved.node_id, proved.boot_id]:
        raise _bad("the clock entry is of another boot than the frame")
    t_us, unix_us, rate_ppb, bound_us = said[3:7]
    fitted = unix_us + (proved.t_us - t_us) * PPB // max(1, PPB + rate_ppb)
    spread = bound_us + abs(fitted - unix_us) * DRIFT_PPB // PPB
    proved.time_us = fitted - spread, fitted + spread


def _source(proved: Proved, held: Held, node: Party) -> None:
    said = _entry(held, entries.ENTRY_FRAME, "boot frame")
    if said[1:3] != [proved.node_id, proved.boot_id]:
        raise _bad("the boot frame is of another boot than the frame")
    try:
        kind, _, body = frames.unpack(said[4])
    except ProtocolError as error:
        raise _bad("what stands as the boot frame is none: " + error.detail) from error
    if kind != frames.KIND_BOOT:
        raise _bad("a frame of kind %d stands where the boot frame belongs" % kind)
    proved.input_attested = _attested(held, said, node, "boot frame")
    proved.input = str(body.get(frames.BOOT_INPUT, ""))
    proved.read_by = body.get(frames.BOOT_READ_BY)


def _receipts(proved: Proved, part: Any, collector: "Party | None") -> None:
    if not is_list(part) or not 1 <= len(part) <= MAX_RECEIPTS or not all(isinstance(r, bytes) for r in part):
        raise _bad("the receipts are malformed")
    if collector is None:
        proved.unchecked_receipts = len(part)
        return
    for message in part:
        try:
            told = verify_receipt(message, collector.ed_pub, collector.id)
        except BatchError as error:
            raise BatchError(f"proof: a receipt: {error.detail}", error.offset, error.cause) from error
        named = (told.statement, told.agent_id, told.chain_id, told.number, told.head_hash)
        if named != (RECEIPT, proved.agent_id, proved.chain_id, proved.number, proved.head_hash):
            raise _bad("a receipt is for another batch than the frame's")
        proved.receipts.append((collector.id, told.received_at_ms, told.left_out))


def _are_hashes(value: Any) -> bool:
    return is_list(value) and len(value) <= MAX_PATH and all(is_bytes(one, 32) for one in value)


def _bad(why: str) -> BatchError:
    return BatchError("proof: " + why, cause="bad_proof")
