"""What a receiver drops on a connection beyond what cannot be parsed: the bytes, and the cause it counts."""

from typing import Any

from protocol import cbor, cobs, frames, messages, seal
from tools.vectors.connection import BOOT, CONTENT_KEY, SECOND_NONCE, session_vectors
from tools.vectors.frames import VITALS_BODY
from tools.vectors.keys import AGENT, COLLECTOR, NODE, sealing, secret


def refusal_vectors() -> Any:
    """The content of refusals.json."""
    steps = session_vectors()["steps"]
    rules = [step["rule"] for step in steps]
    hello = len(rules) - 1 - rules[::-1].index("hello")
    welcome, asked = rules.index("welcome"), rules.index("downlink-message")
    message = {i: bytes.fromhex(step["message"]) for i, step in enumerate(steps)}
    frame = message[rules.index("data-message")]
    to_agent, to_node = [hello], [i for i in range(welcome) if steps[i]["from"] == "agent"]
    body = messages.parse_clear(message[hello])[1]["body"]
    other = messages.hello_body(1, COLLECTOR.id, secret("refused nonce", 16), 1, [[BOOT, [], 1, [[0, 1]]]])
    boots = cbor.loads(body)[5]
    again = messages.hello_body(1, NODE.id, secret("refused nonce", 16), 2, boots)
    older = [bytes(11) + b"\x01", [], 1, [[0, 1]]]
    two = messages.hello_body(1, NODE.id, secret("refused nonce", 16), 2, [*boots, older])
    tag = seal.BootKeys(CONTENT_KEY, BOOT).hello_tag
    vitals = frames.pack(frames.KIND_VITALS, 1, VITALS_BODY)
    sealed = sealing(CONTENT_KEY, BOOT).seal(9, vitals)
    cases: list[tuple[str, str, list[int], bytes, str]] = [
        ("agent", "a stretch that is no COBS", [], b"\x05ab\0", "malformed_cobs"),
        ("agent", "longer than a message may be", [], b"\x01" * (cobs.MAX_ENCODED + 1) + b"\0", "oversize"),
        ("agent", "a frame before any hello", [], cobs.encode(frame), "no_session"),
        ("agent", "a node that is not paired", [], _hello(other, bytes(16)), "unknown_node"),
        ("agent", "a changed tag of a hello", [], _hello(body, bytes(16)), "bad_tag"),
        ("agent", "a changed frame", to_agent, cobs.encode(_changed(frame)), "bad_tag"),
        ("agent", "a header of another algorithm", to_agent, cobs.encode(_algorithm(frame)), "bad_header"),
        (
            "agent",
            "a boot that the hello does not list",
            to_agent,
            cobs.encode(messages.data(3, sealed)),
            "malformed_message",
        ),
        (
            "agent",
            "a hello with a number that was used",
            to_agent,
            _hello(again, tag(again)),
            "replayed_hello",
        ),
        (
            "agent",
            "a frame of a boot whose key is for others",
            [],
            _hello(two, tag(two)) + cobs.encode(messages.data(1, sealed)),
            "no_header no_key",
        ),
        ("node", "longer than a message may be", [], b"\x01" * (cobs.MAX_ENCODED + 1) + b"\0", "oversize"),
        ("node", "a stretch that is no COBS", [], b"\x05ab\0", "malformed_cobs"),
        ("node", "sealed, before any welcome", to_node, cobs.encode(message[asked]), "out_of_turn"),
        (
            "node",
            "a welcome that answers another hello",
            to_node,
            cobs.encode(messages.welcome(1, AGENT.id, secret("refused enc"), bytes(16))),
            "replayed_welcome",
        ),
        (
            "node",
            "a welcome of an agent that is not paired",
            to_node,
            cobs.encode(messages.welcome(1, COLLECTOR.id, secret("refused enc"), SECOND_NONCE)),
            "unknown_agent",
        ),
        ("node", "a changed message", [*to_node, welcome], cobs.encode(_changed(message[asked])), "bad_tag"),
        (
            "node",
            "a message again",
            [*to_node, welcome, asked],
            cobs.encode(message[asked]),
            "replayed_downlink",
        ),
    ]
    return {
        "refusals": [
            {"what": what, "role": role, "after": after, "wire": wire.hex(), "causes": cause.split()}
            for role, what, after, wire, cause in cases
        ]
    }


def _hello(body: bytes, tag: bytes) -> bytes:
    return cobs.encode(messages.hello(body, tag))


def _changed(message: bytes) -> bytes:
    return message[:-1] + bytes([message[-1] ^ 1])


def _algorithm(message: bytes) -> bytes:
    return message.replace(b"\x43\xa1\x01\x0a", b"\x43\xa1\x01\x0b", 1)
