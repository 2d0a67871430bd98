"""Commands of an authority, an agent's answers, and payloads that are neither."""

from typing import Any

from protocol import cbor, cose, frames, orders, remote, remote_seal
from tools.vectors.bodies import without
from tools.vectors.keys import AGENT, AUTHORITY, BOOT_ID, NODE, secret

MADE_MS = 1_700_000_000_000
OFFER = remote.Offer(BOOT_ID, 60_000_000, 180_000_000, MADE_MS + 2_000)


def command(operation: str = remote.BP, **fields: Any) -> remote.Command:
    """A command of the vectors, for two minutes."""
    given = {
        "agent_id": AGENT.id,
        "node_id": NODE.id,
        "command_id": secret("command " + operation, 8),
        "operation": operation,
        "made_ms": MADE_MS,
        "expires_ms": MADE_MS + 120_000,
        "authority": AUTHORITY.id,
    }
    return remote.Command(**{**given, **fields})


def answer(to: remote.Command, outcome: str, **fields: Any) -> remote.Answer:
    """The vectors' agent to a command, a little later."""
    return remote.Answer(
        to.agent_id, to.node_id, to.command_id, outcome, MADE_MS + 2_000, to.digest, **fields
    )


def remote_vectors() -> Any:
    """The content of remote.json."""
    measure = command(reason="before the visit")
    ordered = remote.sign_order(AUTHORITY, measure, OFFER)
    limits = command(remote.LIMITS, arguments={frames.SET_LIMITS: [[frames.EVENT_SPO2_LOW, 88, 15]]})
    strip = command(remote.STRIP, arguments={1: frames.CH_ECG, 2: 30, 3: True})
    commands = [
        ("measure the blood pressure", measure),
        ("the same, its order signed", ordered),
        ("an alarm limit", limits),
        ("a strip of the next 30 s", strip),
        ("a mark", command(remote.MARK, arguments={1: "after the stairs"})),
    ]
    kind, body = remote.signed_body(ordered)
    digest = orders.order_digest(NODE.id, BOOT_ID, kind, body)
    answers = [
        ("sign for this boot", answer(measure, remote.NEEDS_SIGNATURE, offer=OFFER)),
        ("refused", answer(limits, remote.REFUSED, cause="not_authorised", detail="limits are not yours")),
        ("begun", answer(ordered, remote.BEGUN, result=frames.RESULT_BEGUN, order_digest=digest)),
        ("done, with its frame", answer(ordered, remote.DONE, evidence=((BOOT_ID, 71, 1),))),
    ]
    payload = cbor.loads(cose.split1(remote.make_command(AUTHORITY, ordered), "command")[0])
    settings = cbor.loads(cose.split1(remote.make_command(AUTHORITY, limits), "command")[0])
    length = cbor.loads(cose.split1(remote.make_command(AUTHORITY, strip), "command")[0])
    bad = [
        ("no node", without(payload, 4)),
        ("a short id", {**payload, 5: bytes(7)}),
        ("no operation", {**payload, 6: ""}),
        ("an operation of 33 bytes", {**payload, 6: "é" * 16 + "e"}),
        ("arguments that are a list", {**payload, 7: [1]}),
        ("arguments by name", {**payload, 7: {"1": 1}}),
        ("expires when it is made", {**payload, 9: payload[8]}),
        ("good for more than an hour", {**payload, 9: payload[8] + 3_600_001}),
        ("a long reason", {**payload, 11: "é" * 101}),
        ("an order without a boot", {**payload, 12: without(payload[12], 1)}),
        ("a short signature", {**payload, 12: {**payload[12], 4: bytes(63)}}),
        ("an answer", {**payload, 2: "answer"}),
        ("another version", {**payload, 1: 2}),
        ("limits that set the mains frequency", {**settings, 7: {1: 50}}),
        ("limits of nothing", without(settings, 7)),
        ("a strip of no length", {**length, 7: {1: 0, 2: 0}}),
        ("a strip of 301 s", {**length, 7: {1: 0, 2: 301}}),
        ("a strip of no channel", {**length, 7: {2: 30}}),
        ("arguments in lists", {**payload, 7: {1: [[2]]}}),
        ("an argument that the operation has not", {**payload, 7: {1: 2, 2: 2}}),
    ]
    signed = remote.make_command(AUTHORITY, measure)
    reply = remote.make_answer(AGENT, answers[0][1])
    return {
        "agent": AGENT.id.hex(),
        "agent_x_pub": AGENT.x_pub.hex(),
        "agent_ed_pub": AGENT.ed_pub.hex(),
        "authority_x_pub": AUTHORITY.x_pub.hex(),
        "authority_ed_pub": AUTHORITY.ed_pub.hex(),
        "commands": [
            {
                "name": name,
                "rule": "signed-command",
                "command": remote.make_command(AUTHORITY, one).hex(),
                "digest": one.digest.hex(),
            }
            for name, one in commands
        ],
        "answers": [
            {"name": name, "rule": "signed-answer", "answer": remote.make_answer(AGENT, one).hex()}
            for name, one in answers
        ],
        "order_signed": orders.order_message(NODE.id, BOOT_ID, kind, body).hex(),
        "eph_sk": secret("command eph").hex(),
        "sealed_command": remote_seal.seal_command(
            signed, AGENT.id, AGENT.x_pub, secret("command eph")
        ).hex(),
        "sealed_answer": remote_seal.seal_answer(
            reply, AGENT.id, AUTHORITY.id, AUTHORITY.x_pub, secret("command eph")
        ).hex(),
        "malformed": [{"name": name, "payload": cbor.dumps(fields).hex()} for name, fields in bad],
    }
