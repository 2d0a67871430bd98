"""Targets that are sessions: a program (programs.py) says what a real one is fed, also by a paired peer.

Who peers with it holds genuine keys and means harm: it seals whatever it likes, under any number. After the
program a genuine peer connects, and must be served.
"""

from protocol import cbor, cobs, crypto, frames, messages
from protocol import session_events as ev
from protocol import session_states as st
from protocol.errors import ProtocolError
from protocol.identity import pair_message
from protocol.outbox import Outbox
from protocol.seal import BootKeys
from protocol.session_agent import AgentSession
from protocol.session_node import NodeSession
from tools.fuzz.outcome import CAUSES, COUNTED, Broken, expect, hexed, shown
from tools.fuzz.parties import Boot, Random, party, sealed
from tools.fuzz.programs import steps_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RAW = 0
MESSAGE = 1
TIME = 2
# to an agent
HELLO = 3
FRAME = 4
ASK = 5
ECHO = 6
PAIR_REPLY = 7
GREET = 8
# to a node
WELCOME = 3
SEALED = 4
NUMBERED = 5
TURN = 6
MAKE = 7
ACCEPT = 8
UNPAIRED = 9

SESSION_STEPS = 10

_NAMED = set(COUNTED)
for _causes in CAUSES.values():
    _NAMED.update(_causes)


def told(events: "list[Any]") -> str:
    """What events say, in a form that two interpreters can compare; words for people are left out."""
    out = []
    for event in events:
        facts = {key: value for key, value in event.__dict__.items() if key != "detail"}
        if isinstance(event, ev.Rejected):
            expect(event.cause in _NAMED, f"undocumented cause {event.cause}: {event.detail}")
        out.append(type(event).__name__ + shown(facts))
    return " ".join(out)


class Agent:
    """A program of what reaches an agent: see `run`."""

    name = "session_agent"

    def __init__(self) -> None:
        self.node = party("node")
        self.agent = party("agent")
        self.boots = [Boot(self.node, self.agent, counter) for counter in (7, 6)]

    def run(self, data: bytes) -> str:
        """What the session told its owner, and wrote. Then the node says hello, and its frames arrive.

        Steps: RAW bytes as a piece of the stream; MESSAGE framed; TIME passes (u16 ms); HELLO with a genuine
        tag around any body; FRAME: boot index, number (u32), plaintext, sealed with that boot's key; ASK:
        what the owner wants (solicit, ping, acks, pairing, bytes); ECHO of the newest ping, under a number
        (u32); PAIR_REPLY with a genuine signature; GREET: the genuine hello, next connection.
        """
        link = AgentLink(self)
        for what, content in steps_of(data):
            link.step(what % SESSION_STEPS, content)
        link.serve()
        return "=" + "\n".join(link.story)

    def hello(self, conn: int) -> bytes:
        """The genuine hello of a connection."""
        boots = [[boot.boot_id, [boot.header], 70, [[0, 3], [5, 65]]] for boot in self.boots]
        body = messages.hello_body(1, self.node.id, Random(conn)(16), conn, boots)
        return messages.hello(body, self.boots[0].tag(body))


class AgentLink:
    """An agent's session, its owner, and what reaches it. `story`: what it said, in order."""

    def __init__(self, world: Agent):
        self.world = world
        self.now = 0
        self.conn = 0
        self.last = {}
        self.seen = {}
        self.token = 0
        self.asked = bytes(16)
        self.story = []
        known = {world.node.id: (world.node.ed_pub, world.node.x_pub)}
        self.session = AgentSession(world.agent, known.get, lambda node: self.last.get(node), Random(1))

    def feed(self, data: bytes) -> "list[Any]":
        """A piece of the stream; what it meant."""
        events = self.session.feed(data, self.now)
        for event in events:
            if isinstance(event, ev.HelloAccepted):
                self.last[event.node_id] = (int.from_bytes(event.boots[0][0][:4], "big"), event.conn)
            elif isinstance(event, ev.FrameIn):
                self.seen[event.seq] = event.boot_id
        expect(self.session.state in (st.WAITING, st.PROVING, st.LIVE), f"no state: {self.session.state}")
        self.story.append(told(events))
        return events

    def say(self, message: bytes) -> "list[Any]":
        """A whole message; what it meant."""
        return self.feed(cobs.encode(message))

    def frame(self, index: int, number: int, plaintext: bytes) -> "list[Any]":
        """A frame sealed with the key of boot `index`."""
        boot = self.world.boots[index % 2]
        return self.say(messages.data(index, boot.seal(number, plaintext)))

    def ask(self, what: int) -> None:
        """What an owner may want: 0 solicit, 1 ping, 2 acks, 3 pairing; and the bytes to write."""
        try:
            if what == 0:
                self.session.solicit()
            elif what == 1:
                self.token = self.session.ping()
            elif what == 2:
                for seq in sorted(self.seen):
                    self.session.ack(self.seen[seq], [(seq, 1)])
            elif what == 3:
                self.asked = Random(what)(16)
                self.session.request_pairing(self.asked)
        except ProtocolError as e:
            self.story.append(e.cause)
        for _ in range(4):
            self.story.append(hexed(self.session.pull(self.now)))

    def step(self, what: int, content: bytes) -> None:
        """A step of a program."""
        node = self.world.node
        if what == RAW:
            self.feed(content)
        elif what == MESSAGE:
            self.say(content)
        elif what == TIME:
            self.now += int.from_bytes(content[:2], "big")
        elif what == HELLO:
            self.say(messages.hello(content, self.world.boots[0].tag(content)))
        elif what == FRAME:
            self.frame(content[0] if content else 0, int.from_bytes(content[1:5], "big"), content[5:])
        elif what == ASK:
            self.ask(content[0] % 5 if content else 1)
        elif what == ECHO:
            body = {frames.TIME_TOKEN: self.token, frames.TIME_RECEIVED_US: 5}
            self.frame(0, int.from_bytes(content[:4], "big"), frames.pack(frames.KIND_TIME, 9, body))
        elif what == PAIR_REPLY:
            agent = self.world.agent
            signed = pair_message(agent.ed_pub, agent.x_pub, node.ed_pub, node.x_pub, self.asked)
            signature = crypto.run(crypto.ed25519_sign_steps(node.ed_seed, node.ed_pub, signed))
            self.say(messages.pair_reply(1, node.ed_pub, node.x_pub, self.asked, signature))
        elif what == GREET:
            self.conn += 1
            self.say(self.world.hello(self.conn))

    def serve(self) -> None:
        """The genuine node connects: accepted, a frame arrives, and it is live."""
        self.feed(b"\0")
        self.last = {}
        self.now += 60_000
        events = self.say(self.world.hello(0xFFFF_FF00 + self.conn % 16))
        expect(any([isinstance(event, ev.HelloAccepted) for event in events]), "a genuine hello is refused")
        self.token = self.session.ping()
        wrote = b""
        for _ in range(100):
            self.now += 100
            wrote += self.session.pull(self.now)
        expect(len(cobs.Decoder().feed(wrote)) >= 2, "no welcome and ping")
        events = self.frame(0, 70, frames.pack(frames.KIND_TIME, 9, {1: self.token, 2: 5}))
        kinds = [type(event) for event in events]
        expect(ev.FrameIn in kinds and ev.Live in kinds, "a genuine echo does not make it live")
        expect(self.session.state == st.LIVE, "not live after a genuine echo")


class Node:
    """A program of what reaches a node: see `run`."""

    name = "session_node"

    def __init__(self) -> None:
        self.node = party("node")
        self.agent = party("agent")
        self.boot = Boot(self.node, self.agent, 7)
        self.before = Boot(self.node, self.agent, 6)
        self.keys = BootKeys(self.boot.K, self.boot.boot_id)

    def run(self, data: bytes) -> str:
        """What the session told its owner, and wrote. Then the agent welcomes the node, and is obeyed.

        Steps: RAW bytes as a piece of the stream; MESSAGE framed; TIME passes (u16 ms); WELCOME, genuine,
        for the newest hello; SEALED: a plaintext under the next number; NUMBERED: number (u32), plaintext;
        TURN: timers, slow work, bytes; MAKE a frame of a lane; ACCEPT the newest pair request; UNPAIRED, as
        the first of all: it has no agent.
        """
        steps = steps_of(data)
        link = NodeLink(self, not steps or steps[0][0] % SESSION_STEPS != UNPAIRED)
        for what, content in steps:
            link.step(what % SESSION_STEPS, content)
        link.serve()
        return "=" + "\n".join(link.story)


class Earlier:
    """A boot before, of which three frames are still held."""

    def __init__(self, boot: Boot):
        self.boot_id = boot.boot_id
        self.headers = [boot.header]
        self.box = Outbox(6000)
        for number in range(3):
            self.box.add(number, boot.seal(number, b"a frame of before"), frames.LANE_VITALS)


class NodeLink:
    """A node's session, its owner, and what reaches it. `story`: what it said, in order."""

    def __init__(self, world: Node, paired: bool = True):
        self.world = world
        self.paired = paired
        self.now = 0
        self.nonce = b""
        self.keys = (bytes(16), bytes(13))
        self.number = 0
        self.asked = None
        self.story = []
        self.up = cobs.Decoder()
        self.box = Outbox(6000)
        earlier = [Earlier(world.before)] if paired else []
        self.session = NodeSession(world.node, world.keys, self.box, Random(2), earlier)
        if paired:
            self.session.add_agent(world.agent.ed_pub, world.agent.x_pub)
            self.turn()
        self.turn()

    def feed(self, data: bytes) -> "list[Any]":
        """A piece of the stream; what it meant."""
        self.session.feed(data, self.now, self.now)
        return self.take()

    def take(self) -> "list[Any]":
        """The session's events."""
        events = self.session.take_events()
        for event in events:
            if isinstance(event, ev.PairAsked):
                self.asked = event
        known = (st.IDLE, st.GREETING, st.OPENING, st.STREAMING)
        expect(self.session.state in known, f"no state: {self.session.state}")
        self.story.append(told(events))
        return events

    def say(self, message: bytes) -> "list[Any]":
        """A whole message; what it meant."""
        return self.feed(cobs.encode(message))

    def turn(self) -> "list[Any]":
        """Timers, slow work to its end, bytes out; the events."""
        self.session.tick(self.now)
        job = self.session.steps()
        while job is not None:
            crypto.run(job)
            job = self.session.steps()
        for _ in range(40):
            wrote = self.session.pull(self.now)
            if not wrote:
                break
            self.story.append(hexed(wrote))
            for message in self.up.feed(wrote):
                if messages.sort(message) == messages.SORT_CLEAR:
                    kind, fields = messages.parse_clear(message)
                    if kind == messages.MSG_HELLO:
                        self.nonce = fields["nonce"]
        return self.take()

    def welcome(self) -> None:
        """The genuine welcome to the newest hello."""
        agent, node, boot = self.world.agent, self.world.node, self.world.boot
        info = cbor.dumps(["vitalwire/1 down", agent.id, node.id, boot.boot_id, self.nonce])
        sending = crypto.hpke_auth_send_steps(node.x_pub, info, agent.x_sk, agent.x_pub, Random(3)(32))
        enc, context = crypto.run(sending)
        shared = crypto.hpke_export(context, b"vitalwire/1 down", 32)
        key = crypto.hkdf(shared, self.nonce, b"vitalwire/1 down key", 16)
        self.keys = (key, crypto.hkdf(shared, self.nonce, b"vitalwire/1 down iv", 13))
        self.number = 0
        self.say(messages.welcome(1, agent.id, enc, self.nonce))

    def down(self, number: int, plaintext: bytes) -> "list[Any]":
        """A plaintext sealed by the paired agent under any number."""
        key, iv = self.keys
        return self.say(sealed(key, iv, 1, self.world.boot.boot_id, number, plaintext))

    def step(self, what: int, content: bytes) -> None:
        """A step of a program."""
        if what == RAW:
            self.feed(content)
        elif what == MESSAGE:
            self.say(content)
        elif what == TIME:
            self.now += int.from_bytes(content[:2], "big")
        elif what == WELCOME:
            self.welcome()
        elif what == SEALED:
            self.down(self.number, content)
            self.number += 1
        elif what == NUMBERED:
            self.down(int.from_bytes(content[:4], "big"), content[4:])
        elif what == TURN:
            self.turn()
        elif what == MAKE:
            number = self.box.next_seq
            plaintext = frames.pack(frames.KIND_EVENT, self.now * 1000, {1: 9, 2: 0})
            self.box.add(number, self.world.boot.seal(number, plaintext), content[0] % 3 if content else 1)
        elif what == ACCEPT and self.asked is not None:
            asked, self.asked = self.asked, None
            try:
                self.session.accept_pairing(asked.ed_pub, asked.x_pub, asked.nonce)
                self.turn()
            except ProtocolError as e:
                self.story.append(e.cause)

    def serve(self) -> None:
        """The genuine agent: a solicit brings a hello, its welcome opens, and what it seals is taken."""
        self.feed(b"\0")
        self.now += 60_000
        self.turn()
        self.now += 60_000
        self.say(messages.solicit(1))
        self.turn()
        if not self.paired:
            events = self.say(messages.pair_request(1, bytes(32), bytes(32), bytes(16)))
            expect(any([isinstance(event, ev.PairAsked) for event in events]), "a pair request is lost")
            return
        self.welcome()
        self.turn()
        events = self.down(0, frames.pack(frames.KIND_TIME_DOWN, 5, {frames.TIME_TOKEN: 77}))
        if not any([isinstance(event, ev.TimeAsked) and event.token == 77 for event in events]):
            raise Broken(f"a genuine sealed message is not taken: {told(events)}")
        expect(self.session.state == st.STREAMING, "not streaming after a genuine message")
