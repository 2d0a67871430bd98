"""The agent's side of a session, without I/O: feed() takes bytes and gives events, pull() gives bytes.

docs/wire-protocol.md §4, §7 and §10. Nothing of a session is persisted but the newest hello's (boot
counter, connection number), which the owner keeps and gives back through `last_hello`: so a recorded
connection is refused for ever, also after a restart. Bad input is counted by cause in `rejected`, what is of
a later protocol in `unknown`; neither changes anything else.
"""

from protocol import acks, cobs, crypto, frame_schema, frames, messages
from protocol import session_events as ev
from protocol import session_states as st
from protocol.errors import FrameError, HelloError, LocalError, ProtocolError, SealError
from protocol.identity import node_id as party_id
from protocol.identity import pair_message
from protocol.outbox import add_range
from protocol.seal import BootKeys, Downlink, unwrap_header_steps
from protocol.window import WINDOW_FRAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from protocol.identity import Identity

BURST_BYTES = 200
BURST_PAUSE_MS = 100
SOLICIT_EVERY_MS = 2000
# A node that streams to an agent of before, and has nothing to send, would never find out by itself.
PROVING_MS = 15000
MAX_TOKENS = 8
ACK_RANGES = 12
# The first byte of a data message (messages.sort).
_DATA = 0x82
# Array, protected header, Partial IV, length and tag of the seal are at most 24 bytes; COBS and its end, 2.
MAX_DOWN_PLAINTEXT = BURST_BYTES - 26


def check_order(kind: int, body: "dict[int, Any]") -> None:
    """LocalError unless `body` is what this kind must hold (docs/wire-protocol.md §8.2)."""
    try:
        frame_schema.check(kind, body)
    except FrameError as e:
        raise LocalError("a malformed order: " + e.detail) from None


class AgentSession:
    """One link.

    `lookup(node_id)` → (ed_pub, x_pub) or None; `last_hello(node_id)` → (boot counter, conn) or None;
    `glance(plaintext)` → (kind, t_us, None) of a sound frame that need not be decoded; or None.
    """

    def __init__(
        self,
        identity: "Identity",
        lookup: "Callable[[bytes], tuple[bytes, bytes] | None]",
        last_hello: "Callable[[bytes], tuple[int, int] | None]",
        random: "Callable[[int], bytes]",
        glance: "Callable[[bytes], tuple[int, int, None] | None] | None" = None,
    ):
        self.identity = identity
        self.state = st.WAITING
        self.node_id: "bytes | None" = None
        self.boot_id: "bytes | None" = None
        self.version = messages.VERSION
        self.rejected: "dict[str, int]" = {}
        self.unknown: "dict[str, int]" = {}
        self._lookup = lookup
        self._last_hello = last_hello
        self._random = random
        self._glance = glance
        self._cobs = cobs.Decoder()
        self._events: "list[Any]" = []
        self._control: "list[bytes]" = []
        self._acks: "dict[int, list[list[int]]]" = {}
        self._boots: "list[BootKeys | None]" = []
        self._index: "dict[bytes, int]" = {}
        self._next_seq = 0
        self._down: "Downlink | None" = None
        self._welcome = b""
        self._newest: "tuple[int, int] | None" = None
        self._hello_said: "tuple[bytes, bytes] | None" = None
        self._tokens: "list[int]" = []
        self._flow: "dict[int, Any] | None" = None
        self._pairing: "bytes | None" = None
        self._wanted: "tuple[Any, bool]" = (None, False)
        self._started_ms = 0
        self._now_ms = 0
        self._burst = 0
        self._burst_ms = 0
        self._solicited_ms = -SOLICIT_EVERY_MS

    # What the owner asks for

    def solicit(self) -> None:
        """Ask the node to say hello (a link has just opened)."""
        self._solicited_ms = self._now_ms
        self._say_once(messages.solicit(messages.VERSION))

    def _solicit_seldom(self) -> None:
        """On what anybody may have said."""
        if self._now_ms - self._solicited_ms >= SOLICIT_EVERY_MS:
            self.solicit()

    def request_pairing(self, nonce: bytes, authority: "Any" = None, button: bool = False) -> None:
        """Ask the node to exchange public keys; a PairReply with the same nonce answers. `authority`,
        `button`: as in messages.pair_request; the reply's signature covers both."""
        self._pairing = nonce
        self._wanted = authority, button
        me = self.identity
        self._say_once(messages.pair_request(messages.VERSION, me.ed_pub, me.x_pub, nonce, authority, button))

    def ping(self) -> int:
        """Ask for a time echo; gives the token that the TimeEcho will carry."""
        token = int.from_bytes(self._random(6), "big")
        self._send(frames.KIND_TIME_DOWN, {frames.TIME_TOKEN: token})
        self._tokens.append(token)
        if len(self._tokens) > MAX_TOKENS:
            self._tokens.pop(0)
        if self._flow is not None:
            # It has no answer, and one that is lost would leave the one before in force for ever.
            self._send(frames.KIND_FLOW, self._flow)
        return token

    def flow(self, waves: bool = True, bytes_s: int = 0, window: int = 0) -> None:
        """What the node may send until the end of this connection: waveforms or none, at most so many bytes a
        second (0: any number) and frames in flight (1 to 16; 0: as many as ever). Alarms always. Each ping
        says it again."""
        if not 0 <= window <= WINDOW_FRAMES or not 0 <= bytes_s < 1 << 32:
            raise LocalError("flow: %d bytes a second, %d frames in flight" % (bytes_s, window))
        body: "dict[int, Any]" = {frames.FLOW_WAVES: waves}
        if bytes_s:
            body[frames.FLOW_BYTES_S] = bytes_s
        if window:
            body[frames.FLOW_WINDOW] = window
        self._send(frames.KIND_FLOW, body)
        self._flow = body

    def order(self, kind: int, body: "dict[int, Any]") -> None:
        """Send a command, config or update; LocalError for one that is malformed.

        The answer is a frame; without one (a new hello drops what has not been written yet) send it again
        with the same id.
        """
        if kind not in (frames.KIND_COMMAND, frames.KIND_CONFIG, frames.KIND_UPDATE):
            raise LocalError("kind %d is no order" % kind)
        check_order(kind, body)
        self._send(kind, body)

    def unpair(self, unpair_id: bytes) -> None:
        """Ask the node to forget this agent; its answer carries the same 8-byte id."""
        check_order(frames.KIND_UNPAIR, {frames.UNPAIR_ID: unpair_id})
        self._send(frames.KIND_UNPAIR, {frames.UNPAIR_ID: unpair_id})

    def _send(self, kind: int, body: "dict[int, Any]") -> None:
        """Needs a welcomed node; LocalError when the message would be longer than a burst."""
        if self._down is None:
            raise st.TransitionError(self.state, "downlink")
        plaintext = frames.pack(kind, self._elapsed_us(), body)
        if len(plaintext) > MAX_DOWN_PLAINTEXT:
            raise LocalError("a downlink frame of %d bytes" % len(plaintext))
        self._control.append(self._down.seal(plaintext))

    def ack(self, boot_id: bytes, ranges: "list[tuple[int, int]]") -> None:
        """These frames are on disk: [(first, count), …].

        Forgotten when the node no longer holds that boot.
        """
        index = self._index.get(boot_id)
        if index is not None:
            into = self._acks.setdefault(index, [])
            for first, count in ranges:
                add_range(into, first, count)

    def _elapsed_us(self) -> int:
        return (self._now_ms - self._started_ms) * 1000

    # Bytes out

    @property
    def waits(self) -> bool:
        """Whether pull() has something to give, now or after its pause."""
        return bool(self._control) or (self._down is not None and bool(self._acks))

    def pull(self, now_ms: int) -> bytes:
        """Framed bytes to write now, or b"": at most 200 until the node says something or 100 ms pass."""
        self._now_ms = now_ms
        if self._burst and now_ms - self._burst_ms >= BURST_PAUSE_MS:
            self._burst = 0
        waited_ms = now_ms - max(self._started_ms, self._solicited_ms)
        if self.state == st.PROVING and waited_ms >= PROVING_MS:
            self.solicit()
        down = self._down
        if down is not None and down.spent:
            # Another connection has another key.
            self.state = st.step(st.AGENT, self.state, st.CLOSE)
            self._down = down = None
            self.solicit()
        out = b""
        control = self._control
        while True:
            if not control:
                if not self._acks or down is None:
                    break
                control.append(self._sealed_ack(down))
            framed = cobs.encode(control[0])
            if self._burst and self._burst + len(framed) > BURST_BYTES:
                break
            del control[0]
            self._burst += len(framed)
            self._burst_ms = now_ms
            out += framed
        return out

    def _sealed_ack(self, down: Downlink) -> bytes:
        index = min(self._acks)
        ranges = self._acks.pop(index)
        if len(ranges) > ACK_RANGES:
            ranges, self._acks[index] = ranges[:ACK_RANGES], ranges[ACK_RANGES:]
        return down.seal(acks.pack(self._elapsed_us(), index, ranges))

    # Bytes in

    def feed(self, data: bytes, now_ms: int) -> "list[Any]":
        """Take bytes from the link; returns what they meant (session_events)."""
        self._now_ms = now_ms
        for message in self._cobs.feed(data):
            self._burst = 0
            try:
                if message[0] == _DATA:
                    self._data(message)
                else:
                    self._clear(message)
            except ProtocolError as e:
                self._reject(e.cause, str(e))
        for fault in self._cobs.faults:
            self._reject(fault.cause, str(fault))
        out, self._events = self._events, []
        return out

    def _reject(self, cause: str, detail: str) -> None:
        self.rejected[cause] = self.rejected.get(cause, 0) + 1
        self._events.append(ev.Rejected(cause, detail))

    def _clear(self, message: bytes) -> None:
        if messages.sort(message) != messages.SORT_CLEAR:
            raise HelloError("neither a clear message nor data", 0)
        try:
            kind, fields = messages.parse_clear(message)
            if kind == messages.MSG_HELLO:
                return self._hello(fields)
        except (HelloError, SealError) as e:
            if e.cause == "unknown_message":
                return self._carried(e.cause)
            versions = messages.VERSIONS if e.code == messages.REFUSE_VERSION else None
            self._say_once(messages.refusal(messages.VERSION, e.code, versions))
            raise
        if kind == messages.MSG_PAIR_REPLY:
            return self._pair_reply(fields)
        if kind == messages.MSG_REFUSAL:
            return self._events.append(ev.Refused(fields["code"], fields["versions"]))
        raise HelloError("an agent takes no such clear message", 0)

    def _say_once(self, message: bytes) -> None:
        """An answer that still waits is not given twice: who asks without end fills no memory."""
        if message not in self._control:
            self._control.append(message)

    def _carried(self, cause: str, count: int = 1) -> None:
        self.unknown[cause] = self.unknown.get(cause, 0) + count

    def _data(self, message: bytes) -> None:
        if self.state == st.WAITING or self.node_id is None:
            self._solicit_seldom()
            return self._reject("no_session", "session: data before a hello")
        index, sealed = messages.split_data(message)
        if index >= len(self._boots):
            raise HelloError("boot index beyond the hello's list", 1)
        boot = self._boots[index]
        if boot is None:
            return self._reject("no_key", "session: boot without a header for this agent")
        seq, plaintext = boot.open(sealed)
        if self.state != st.LIVE:
            self.state = st.step(st.AGENT, self.state, st.FRAME)
        past = index > 0 or seq < self._next_seq
        seen = self._glance(plaintext) if self._glance else None
        event = ev.FrameIn(self.node_id, boot.boot_id, seq, plaintext, seen, len(message), past)
        self._events.append(event)
        if seen is not None:
            return None
        kind, t_us, body = event.frame = frames.unpack(plaintext)
        for cause, n in frame_schema.carried(kind, body):
            self._carried(cause, n)
        if kind == frames.KIND_TIME and body[1] in self._tokens:
            self._tokens.remove(body[1])
            if self.state == st.PROVING:
                self._events.append(ev.Live(self.node_id))
            self.state = st.step(st.AGENT, self.state, st.ECHO)
            self._events.append(ev.TimeEcho(boot.boot_id, body[1], body[2], t_us))
        return None

    def _hello(self, hello: "dict[str, Any]") -> None:
        node_id = hello["node_id"]
        known = self._lookup(node_id)
        if known is None or hello["keys"] is not None:
            ed_pub, x_pub = hello["keys"] or (None, None)
            if ed_pub is not None and x_pub is not None and party_id(ed_pub, x_pub) != node_id:
                raise HelloError("the node id is not that of its keys")
            ours = self.identity.id in [header[0] for header in hello["boots"][0][1]]
            self._events.append(ev.Announced(node_id, ed_pub, x_pub, ours))
            raise HelloError(
                "node %s is not paired with this agent" % node_id.hex(),
                None,
                "unknown_node",
                messages.REFUSE_UNKNOWN,
            )
        newest = (int.from_bytes(hello["boots"][0][0][:4], "big"), hello["conn"])
        if newest == self._newest and (hello["body"], hello["tag"]) == self._hello_said:
            self._say_once(self._welcome)
            return None
        last = self._last_hello(node_id)
        if last is not None and newest <= tuple(last):
            if newest == tuple(last) and self.state == st.WAITING:
                return self._solicit_seldom()
            raise HelloError(
                "connection %d of boot %d is not newer than one seen before" % (newest[1], newest[0]),
                None,
                "replayed_hello",
                messages.REFUSE_REPLAYED,
            )
        boots = self._open_boots(node_id, known[1], hello)
        version = messages.common_version(hello["versions"])
        boot_id, nonce = hello["boots"][0][0], hello["nonce"]
        enc, down = crypto.run(
            Downlink.sender_steps(self.identity, node_id, known[1], boot_id, nonce, self._random(32), version)
        )
        self.state = st.step(st.AGENT, self.state, st.HELLO)
        self.node_id = node_id
        self.boot_id = boot_id
        self.version = version
        self._next_seq = hello["boots"][0][2]
        self._newest = newest
        self._hello_said = hello["body"], hello["tag"]
        self._boots = boots
        self._index = {boot.boot_id: i for i, boot in enumerate(boots) if boot is not None}
        self._acks = {}
        self._tokens = []
        self._flow = None
        self._down = down
        self._started_ms = self._now_ms
        self._welcome = messages.welcome(self.version, self.identity.id, enc, hello["nonce"])
        self._control = [self._welcome]
        self._events.append(
            ev.HelloAccepted(
                node_id,
                hello["conn"],
                [(b[0], b[2], [tuple(r) for r in b[3]]) for b in hello["boots"]],
                [header[0] for header in hello["boots"][0][1]],
            )
        )
        return None

    def _open_boots(
        self, node_id: bytes, node_x_pub: bytes, hello: "dict[str, Any]"
    ) -> "list[BootKeys | None]":
        """The tag comes first: who lists many boots and proves none costs one opening."""
        newest = self._open_boot(node_id, node_x_pub, hello["boots"][0])
        if not crypto.equal(newest.hello_tag(hello["body"]), hello["tag"]):
            raise HelloError("its tag is by another key", None, "bad_tag", messages.REFUSE_BAD_TAG)
        boots: "list[BootKeys | None]" = [newest]
        for listed in hello["boots"][1:]:
            try:
                boots.append(self._open_boot(node_id, node_x_pub, listed))
            except (HelloError, SealError) as e:
                self._reject(e.cause, str(e))
                boots.append(None)
        return boots

    def _open_boot(self, node_id: bytes, node_x_pub: bytes, listed: "list[Any]") -> BootKeys:
        boot_id = listed[0]
        for agent_id, enc, wrapped in listed[1]:
            if agent_id == self.identity.id:
                steps = unwrap_header_steps(enc, wrapped, boot_id, self.identity, node_id, node_x_pub)
                return BootKeys(crypto.run(steps), boot_id)
        raise HelloError(
            "boot %s: no header for this agent" % boot_id.hex(), None, "no_header", messages.REFUSE_BAD_TAG
        )

    def _pair_reply(self, fields: "dict[str, Any]") -> None:
        nonce, asked = fields["nonce"], self._pairing
        if asked is None or nonce != asked:
            return self._reject("out_of_turn", "session: pair reply that nobody asked for")
        self._pairing = None
        keys = fields["ed_pub"], fields["x_pub"]
        message = pair_message(*self.identity.public(), *keys, nonce, *self._wanted)
        ok = crypto.run(crypto.ed25519_verify_steps(keys[0], message, fields["signature"]))
        return self._events.append(ev.PairReply(*keys, nonce, ok))
