"""Commands of an authority to an agent, and its answers (docs/wire-protocol.md §11.3). CPython only.

A command is a COSE_Sign1 (RFC 9052 §4.2) with Ed25519 by the authority, an answer one by the agent;
remote_seal.py encrypts them for the way. What moves the cuff or touches alarms has inside it the authority's
signature over the order itself, bound to one boot of the node, which the node checks (orders.py). An agent
can hold such a command back; it cannot make or change one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from protocol import cbor, crypto, frames, handover, orders
from protocol.checks import is_bytes, is_list, is_map, is_uint
from protocol.cose import VERSION, Signer, sign1, split1, verify1, versioned
from protocol.errors import BatchError, LocalError
from protocol.identity import Identity
from protocol.operations import ACKNOWLEDGE as ACKNOWLEDGE
from protocol.operations import BP as BP
from protocol.operations import CONFIG as CONFIG
from protocol.operations import IDENTIFY as IDENTIFY
from protocol.operations import LEAK_TEST as LEAK_TEST
from protocol.operations import LIMITS as LIMITS
from protocol.operations import MARK as MARK
from protocol.operations import MAX_STRIP_S as MAX_STRIP_S
from protocol.operations import MAX_TEXT as MAX_TEXT
from protocol.operations import NODE_OPERATIONS, OPERATIONS, SETTINGS, STRIP, check_arguments
from protocol.operations import RESTART as RESTART
from protocol.operations import STATIC_PRESSURE as STATIC_PRESSURE
from protocol.operations import STRIP_CHANNEL as STRIP_CHANNEL
from protocol.operations import STRIP_NEXT as STRIP_NEXT
from protocol.operations import STRIP_SECONDS as STRIP_SECONDS

# Outcomes. The first four are on the way; of the others one is the end.
RECEIVED, NEEDS_SIGNATURE, SENT, BEGUN = "received", "needs_signature", "sent", "begun"
DONE, REFUSED, FAILED, EXPIRED, UNKNOWN = "done", "refused", "failed", "expired", "unknown"
FINAL = (DONE, REFUSED, FAILED, EXPIRED, UNKNOWN)

MAX_VALID_MS = 3_600_000
MAX_REASON = 200
MAX_DETAIL = 200
MAX_EVIDENCE = 64

_T_END = 1 << 53


@dataclass(frozen=True)
class SignedOrder:
    """The part that the node checks: for one boot, until a moment of its clock; `signature` (64 bytes) is the
    authority's, over `orders.order_message`.
    """

    boot_id: bytes
    expires_us: int
    ordered_ms: int
    signature: bytes


@dataclass(frozen=True)
class Command:
    """What an authority wants of one node. Ids are 8 bytes, times Unix ms; `operation`: one of OPERATIONS, or
    of a later version; `arguments`: of the node's command, settings, or those of a strip.
    """

    agent_id: bytes
    node_id: bytes
    command_id: bytes
    operation: str
    made_ms: int
    expires_ms: int
    authority: bytes
    arguments: "Mapping[int, Any] | None" = None
    reason: str = ""
    order: "SignedOrder | None" = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the command without its order: the same before and after that is signed."""
        return crypto.sha256(_encode(replace(self, order=None)))

    @property
    def for_node(self) -> bool:
        """Whether the node itself has to see the authority's signature."""
        if self.operation == STRIP or self.operation not in OPERATIONS:
            return False
        kind, body = order_of(self)
        return orders.needs_authority(kind, body)


@dataclass(frozen=True)
class Offer:
    """What an authority needs to sign an order: the boot that is live, its clock (`t_us`) when it was
    `unix_ms`, and until when the order would hold.
    """

    boot_id: bytes
    t_us: int
    expires_us: int
    unix_ms: int


@dataclass(frozen=True)
class Answer:
    """What became of a command. `outcome`: one of the above; `cause`: a short name of why not; `result`,
    `node_detail`, `node_value`, `order_digest`: the node's answer; `evidence`: [boot id, first, count] of
    frames; `digest`: the command's.
    """

    agent_id: bytes
    node_id: bytes
    command_id: bytes
    outcome: str
    at_ms: int
    digest: bytes
    cause: str = ""
    detail: str = ""
    offer: "Offer | None" = None
    result: "int | None" = None
    node_detail: "str | None" = None
    node_value: "int | None" = None
    order_digest: "bytes | None" = None
    evidence: "tuple[tuple[bytes, int, int], ...]" = ()

    @property
    def final(self) -> bool:
        """Whether nothing more will come of it."""
        return self.outcome in FINAL


# Orders


def order_of(command: Command) -> "tuple[int, dict[int, Any]]":
    """(frame kind, body without expiry, time and signature) of the order that a command is to the node; its
    id is the command's. LocalError for a strip, which is none.
    """
    body: dict[int, Any] = {frames.ORDER_ID: command.command_id}
    if command.operation in SETTINGS:
        body[frames.ORDER_WHAT] = dict(command.arguments or {})
        return frames.KIND_CONFIG, body
    if command.operation not in NODE_OPERATIONS:
        raise LocalError(f"{command.operation} is no order to a node")
    body[frames.ORDER_WHAT] = NODE_OPERATIONS[command.operation]
    if command.arguments is not None:
        body[frames.ORDER_ARGS] = dict(command.arguments)
    return frames.KIND_COMMAND, body


def signed_body(command: Command) -> "tuple[int, dict[int, Any]]":
    """(frame kind, whole body) of a command whose order is signed."""
    assert command.order is not None
    kind, body = order_of(command)
    body[frames.ORDER_EXPIRES_US] = command.order.expires_us
    body[frames.ORDER_MS] = command.order.ordered_ms
    body[frames.ORDER_AUTHORITY] = command.authority
    body[frames.ORDER_SIGNATURE] = command.order.signature
    return kind, body


def sign_order(authority: Identity, command: Command, offer: Offer) -> Command:
    """The same command with the order in it that the node asks for: for the offered boot, not beyond the
    offered moment, nor beyond the command's own expiry as the offer's clocks have it, nor for longer than the
    command holds in all, whatever those say.
    """
    left_us = (command.expires_ms - max(offer.unix_ms, command.made_ms)) * 1000
    expires_us = min(offer.expires_us, offer.t_us + left_us)
    if expires_us <= offer.t_us:
        raise LocalError("the offer is for a moment that is over: is the agent's clock right?")
    kind, body = order_of(command)
    body[frames.ORDER_EXPIRES_US] = expires_us
    body[frames.ORDER_MS] = command.made_ms
    crypto.run(orders.sign_steps(authority, command.node_id, offer.boot_id, kind, body))
    signature: bytes = body[frames.ORDER_SIGNATURE]
    return replace(command, order=SignedOrder(offer.boot_id, expires_us, command.made_ms, signature))


def order_good(command: Command, ed_pub: bytes) -> bool:
    """Whether the order inside is signed by this key, as the node will check it."""
    assert command.order is not None
    kind, body = signed_body(command)
    message = orders.order_message(command.node_id, command.order.boot_id, kind, body)
    return crypto.run(crypto.ed25519_verify_steps(ed_pub, message, command.order.signature))


# Commands


def make_command(authority: Signer, command: Command) -> bytes:
    """The signed command. LocalError for one that no agent takes."""
    payload = _encode(command)
    try:
        parse_command(payload)
    except BatchError as error:
        raise LocalError(error.detail) from error
    return sign1(authority, payload)


def read_command(signed: bytes) -> Command:
    """A command, not verified: to learn whose key to ask for."""
    return parse_command(split1(signed, "command")[0])


def open_command(signed: bytes, ed_pub: bytes) -> Command:
    """A command, verified as signed by this key; BatchError (bad_signature, …) otherwise."""
    return parse_command(verify1(signed, ed_pub, "command"))


def parse_command(payload: bytes) -> Command:
    """The checked command that is signed."""
    fields = versioned(payload, "command")
    good = fields.get(2) == "command"
    good = good and all(is_bytes(fields.get(key), 8) for key in (3, 4, 5, 10))
    good = good and all(_below(fields.get(key), _T_END) for key in (8, 9))
    good = good and _text(fields.get(6), 1, 32) and _text(fields.get(11, ""), 0, MAX_REASON)
    if not good:
        raise BatchError("command: a field is missing, of a wrong type or out of range")
    if fields[9] <= fields[8] or fields[9] - fields[8] > MAX_VALID_MS:
        raise BatchError(
            f"command: it must expire later than it was made, by {MAX_VALID_MS // 1000} s at most"
        )
    arguments = fields.get(7)
    try:
        check_arguments(fields[6], arguments)
    except LocalError as error:
        raise BatchError(f"command: {error.detail}") from error
    return Command(
        agent_id=fields[3],
        node_id=fields[4],
        command_id=fields[5],
        operation=fields[6],
        made_ms=fields[8],
        expires_ms=fields[9],
        authority=fields[10],
        arguments=arguments,
        reason=fields.get(11, ""),
        order=_order(fields[12]) if 12 in fields else None,
    )


def _order(value: Any) -> SignedOrder:
    good = is_map(value) and is_bytes(value.get(1), 12) and is_bytes(value.get(4), 64)
    if not good or not _below(value.get(2), frames.T_END) or not _below(value.get(3), _T_END):
        raise BatchError("command: key 12 (order) is not boot id, expiry, time and signature")
    return SignedOrder(value[1], value[2], value[3], value[4])


def _encode(command: Command) -> bytes:
    fields: dict[int, Any] = {
        1: VERSION,
        2: "command",
        3: command.agent_id,
        4: command.node_id,
        5: command.command_id,
        6: command.operation,
    }
    if command.arguments is not None:
        fields[7] = dict(command.arguments)
    fields[8], fields[9], fields[10] = command.made_ms, command.expires_ms, command.authority
    if command.reason:
        fields[11] = command.reason
    if command.order is not None:
        order = command.order
        fields[12] = {1: order.boot_id, 2: order.expires_us, 3: order.ordered_ms, 4: order.signature}
    return cbor.dumps(fields)


# Answers


def make_answer(agent: Signer, answer: Answer, handovers: Sequence[bytes] = ()) -> bytes:
    """The signed answer. `handovers`: all those of the agent's signing key up to the one that signs."""
    return sign1(agent, encode_answer(answer, handovers))


def encode_answer(answer: Answer, handovers: Sequence[bytes] = ()) -> bytes:
    """The payload that is signed."""
    fields: dict[int, Any] = {
        1: VERSION,
        2: "answer",
        3: answer.agent_id,
        4: answer.node_id,
        5: answer.command_id,
        6: answer.outcome,
    }
    if answer.cause:
        fields[7] = answer.cause
    if answer.detail:
        fields[8] = cut(answer.detail)
    fields[9] = answer.at_ms
    if answer.offer is not None:
        offer = answer.offer
        fields[10] = {1: offer.boot_id, 2: offer.t_us, 3: offer.expires_us, 4: offer.unix_ms}
    if answer.result is not None:
        said = {1: answer.result, 2: answer.node_detail, 3: answer.node_value, 4: answer.order_digest}
        fields[11] = {key: value for key, value in said.items() if value is not None}
    if handovers:
        fields[12] = list(handovers)
    if answer.evidence:
        fields[13] = [list(one) for one in answer.evidence[:MAX_EVIDENCE]]
    fields[14] = answer.digest
    return cbor.dumps(fields)


def open_answer(signed: bytes, agent_ed_pub: bytes) -> Answer:
    """An answer, verified as signed by the agent whose first Ed25519 key this is; BatchError otherwise."""
    payload = split1(signed, "answer")[0]
    answer = parse_answer(payload)
    fields = versioned(payload, "answer")
    steps = handover.read_chain(agent_ed_pub, handover.carried(fields, 12, "answer"), answer.agent_id)
    handover.signed_by(signed, agent_ed_pub, steps, "answer")
    return answer


def parse_answer(payload: bytes) -> Answer:
    """The checked answer that is signed."""
    fields = versioned(payload, "answer")
    good = fields.get(2) == "answer"
    good = good and all(is_bytes(fields.get(key), 8) for key in (3, 4, 5)) and is_bytes(fields.get(14), 32)
    good = good and _text(fields.get(6), 1, 32) and _text(fields.get(7, ""), 0, 32)
    good = good and _text(fields.get(8, ""), 0, MAX_DETAIL) and _below(fields.get(9), _T_END)
    evidence = fields.get(13, [])
    good = good and is_list(evidence) and len(evidence) <= MAX_EVIDENCE and all(map(_is_evidence, evidence))
    offer = said = None
    if good and 10 in fields:
        offer = fields[10]
        good = is_map(offer) and is_bytes(offer.get(1), 12)
        good = good and all(_below(offer.get(key), frames.T_END) for key in (2, 3, 4))
    if good and 11 in fields:
        said = fields[11]
        good = is_map(said) and _below(said.get(1), 256) and _text(said.get(2, ""), 0, 64)
        good = good and isinstance(said.get(3, 0), int) and (4 not in said or is_bytes(said[4], 8))
    if not good:
        raise BatchError("answer: a field is missing, of a wrong type or out of range")
    node: dict[Any, Any] = said or {}
    return Answer(
        agent_id=fields[3],
        node_id=fields[4],
        command_id=fields[5],
        outcome=fields[6],
        at_ms=fields[9],
        digest=fields[14],
        cause=fields.get(7, ""),
        detail=fields.get(8, ""),
        offer=None if offer is None else Offer(offer[1], offer[2], offer[3], offer[4]),
        result=node.get(1),
        node_detail=node.get(2),
        node_value=node.get(3),
        order_digest=node.get(4),
        evidence=tuple((boot, first, count) for boot, first, count in evidence),
    )


def _is_evidence(value: Any) -> bool:
    return (
        is_list(value)
        and len(value) == 3
        and is_bytes(value[0], 12)
        and is_uint(value[1])
        and is_uint(value[2])
    )


def cut(text: str) -> str:
    """As much of a text as fits into a detail."""
    return text.encode()[:MAX_DETAIL].decode(errors="ignore")


def _text(value: Any, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value.encode()) <= most


def _below(value: Any, end: int) -> bool:
    return is_uint(value) and value < end
