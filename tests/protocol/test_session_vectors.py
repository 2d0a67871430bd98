"""The product's own sessions, given the secrets and random bytes of session.json, say what is in it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protocol import crypto, frames, identity
from protocol import session_events as ev
from protocol.outbox import Outbox
from protocol.session_agent import AgentSession
from protocol.session_node import NodeSession
from tests.both.sealing import sealing
from tools.vectors.keys import untagged

VECTORS = json.loads(
    (Path(__file__).resolve().parents[2] / "protocol" / "vectors" / "session.json").read_text("utf-8")
)
STEPS = VECTORS["steps"]
RANDOM = VECTORS["random"]


def party(name: str) -> identity.Identity:
    own = VECTORS["secrets"][name]
    seeds = bytes.fromhex(own["ed_seed"]), bytes.fromhex(own["x_sk"])
    return crypto.run(identity.from_seed_steps(*seeds))


NODE, AGENT = party("node"), party("agent")


def drawn(*named: "tuple[int, str]") -> Callable[[int], bytes]:
    """A source of random bytes that gives these, in this order of each size."""
    waiting = [(size, bytes.fromhex(RANDOM[name])) for size, name in named]

    def draw(n: int) -> bytes:
        for i, (size, data) in enumerate(waiting):
            if size == n:
                del waiting[i]
                return data
        raise AssertionError(f"{n} random bytes that the vectors have not")

    return draw


def wire(*wanted: int) -> bytes:
    """The bytes of these steps."""
    return b"".join(bytes.fromhex(STEPS[i]["wire"]) for i in wanted)


class AgentSide:
    """An agent's owner that does what the vectors' agent did."""

    def __init__(self) -> None:
        self.known: dict[bytes, tuple[bytes, bytes]] = {}
        ephemeral = drawn((32, "downlink_ephemeral"))
        token = RANDOM["time_token"].to_bytes(6, "big")
        self.session = AgentSession(
            AGENT, self.known.get, lambda node: None, lambda n: token if n == 6 else ephemeral(n)
        )
        self.events: list[Any] = []

    def owner(self, step: "dict[str, Any]") -> None:
        """What the step needs of whoever owns the session."""
        session, kind, body = self.session, step.get("kind"), untagged(step.get("body"))
        if step["rule"] == "solicit":
            session.solicit()
        elif step["rule"] == "pair-request":
            session.request_pairing(bytes.fromhex(RANDOM["pair_nonce"]))
        elif kind == frames.KIND_TIME_DOWN:
            session.ping()
        elif kind == frames.KIND_ACK:
            session.ack(bytes.fromhex(RANDOM["boot_id"]), [tuple(one) for one in body[1]])
        elif kind == frames.KIND_COMMAND:
            session.order(kind, body)
        elif kind == frames.KIND_FLOW:
            session.flow(body[frames.FLOW_WAVES])
        elif kind == frames.KIND_UNPAIR:
            session.unpair(body[frames.UNPAIR_ID])

    def hear(self, i: int, now_ms: int) -> None:
        for event in self.session.feed(wire(i), now_ms):
            self.events.append(event)
            if isinstance(event, ev.PairReply) and event.signature_ok:
                self.known[NODE.id] = (event.ed_pub, event.x_pub)


def test_an_agent_says_what_the_vectors_say() -> None:
    side = AgentSide()
    now_ms = 0
    for i, step in enumerate(STEPS):
        if step["from"] == "node":
            side.hear(i, now_ms)
            continue
        now_ms = step.get("t_us", now_ms * 1000) // 1000
        side.session.feed(b"", now_ms)
        side.owner(step)
        assert side.session.pull(now_ms) == wire(i), step["what"]
    taken = [event for event in side.events if isinstance(event, ev.FrameIn)]
    sent = [step for step in STEPS if step["rule"] == "data-message"]
    assert [(one.seq, one.plaintext.hex()) for one in taken] == [
        (one["seq"], one["plaintext"]) for one in sent
    ]
    assert any(isinstance(event, ev.Live) for event in side.events)
    assert set(side.session.rejected) == {"unknown_node"} and not side.session.unknown


class NodeSide:
    """A node's owner that makes the vectors' frames when its node did."""

    def __init__(self) -> None:
        self.keys = sealing(bytes.fromhex(RANDOM["content_key"]), bytes.fromhex(RANDOM["boot_id"]))
        self.box = Outbox(50_000)
        random = drawn((16, "first_hello_nonce"), (32, "header_ephemeral"), (16, "second_hello_nonce"))
        self.session = NodeSession(NODE, self.keys, self.box, random)
        self.events: list[Any] = []

    def make(self, step: "dict[str, Any]") -> None:
        """The frame of a step, sealed and held."""
        body = untagged(step["body"])
        plaintext = frames.pack(step["kind"], step["t_us"], body)
        sealed = self.keys.seal(step["seq"], plaintext)
        self.box.add(step["seq"], sealed, frames.lane(step["kind"], body), step["kind"] == frames.KIND_BOOT)

    def hear(self, data: bytes, now_ms: int) -> None:
        self.session.feed(data, now_ms)
        for event in self.session.take_events():
            self.events.append(event)
            if isinstance(event, ev.PairAsked):
                self.session.accept_pairing(event.ed_pub, event.x_pub, event.nonce)
        self.work(now_ms)

    def work(self, now_ms: int) -> None:
        job = self.session.steps()
        while job is not None:
            crypto.run(job)
            job = self.session.steps()
        self.session.tick(now_ms)
        self.events += self.session.take_events()


def test_a_node_says_what_the_vectors_say() -> None:
    side = NodeSide()
    data = [step for step in STEPS if step["rule"] == "data-message"]
    side.make(next(step for step in data if step["seq"] == 0))
    now_ms = 0
    for i, step in enumerate(STEPS):
        if step["from"] == "agent":
            side.hear(wire(i), now_ms)
            continue
        if step["rule"] == "data-message" and step["seq"]:
            now_ms = step["t_us"] // 1000
            side.make(step)
        side.work(now_ms)
        assert side.session.pull(now_ms).lstrip(b"\0") == wire(i), step["what"]
    assert not side.session.rejected and not side.session.unknown
    assert not side.box.holds(5) and side.box.holds(6)
    asked = [(event.kind, event.body) for event in side.events if isinstance(event, ev.DownlinkIn)]
    orders = [step for step in STEPS if step.get("kind") in (frames.KIND_COMMAND, frames.KIND_UNPAIR)]
    assert asked == [(step["kind"], untagged(step["body"])) for step in orders]
