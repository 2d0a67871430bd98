"""The node's side of a session, without I/O: feed() takes bytes, pull() gives bytes, take_events() tells,
steps() is slow work.

docs/wire-protocol.md §4, §7 and §10. The owner calls tick() at least every 200 ms, drives the generators
that steps() hands out in slices, and passes `now_ms` from one monotonic clock. Bad input is counted by
cause in `rejected` and changes nothing else; what is of a later protocol, in `unknown`.
"""

from protocol import cobs, frames, messages, on_demand
from protocol import session_events as ev
from protocol import session_states as st
from protocol.errors import HelloError, ProtocolError
from protocol.node_party import NodeParty
from protocol.seal import Downlink
from protocol.window import Window, flow_limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from protocol.identity import Identity
    from protocol.node_party import Steps
    from protocol.outbox import Outbox
    from protocol.seal import BootKeys


HELLO_REPEATS_MS = (2000, 4000, 8000, 8000)
SILENCE_MS = 30000
OPENING_MS = 10000
SOLICIT_EVERY_MS = 2000
KNOWN_KEYS = {frames.KIND_TIME_DOWN: (1,), frames.KIND_FLOW: (1, 2, 3)}
MAX_DOWNLINK = 256
MAX_EARLY = 8
# An agent asks for the time once a second at most.
TIMES_A_SECOND = 4


class NodeSession(NodeParty):
    """One node, one boot, one link.

    `random(n)` gives n unpredictable bytes; `box` is the boot's Outbox. `earlier`: boots of which frames are
    still held, newest first, each with boot_id, headers (made in that boot: [[agent id, enc, wrapped K], …])
    and box (window.py says what of it); one that is empty leaves the list at the next hello. `headers`:
    those of this boot, for whoever keeps its frames beyond it.
    """

    def __init__(
        self,
        identity: "Identity",
        boot: "BootKeys",
        box: "Outbox",
        random: "Callable[[int], bytes]",
        earlier: "Sequence[Any]" = (),
    ):
        NodeParty.__init__(self, identity, boot, random)
        self.box = box
        self.agent_id: "bytes | None" = None
        self.unknown: "dict[str, int]" = {}
        self.conn = 0
        self.earlier = list(earlier)
        self.window = Window()
        self._cobs = cobs.Decoder(MAX_DOWNLINK)
        self._down: "Downlink | None" = None
        self._nonce = b""
        self._hello = b""
        self._hello_at = 0
        self._repeat = 0
        self._since_ms = 0
        self._heard_ms = 0
        self._solicited_ms = -SOLICIT_EVERY_MS
        self._asked_time_ms = 0
        self._asked_times = 0
        self._early: "list[tuple[bytes, Any]]" = []
        self._lead_in = True
        self._listed: "list[Any]" = []
        self._left_out = False

    def acked_elsewhere(self) -> "list[list[int]]":
        """[[first, count], …] of this boot that are held no longer, where another agent was served since the
        one that is streaming was told.

        The owner seals them in a loss frame (reason 2, keep), and says at once elsewhere.told(). Until that
        frame has arrived, and when there is nothing to tell: empty.
        """
        if self.state != st.STREAMING or self.agent_id is None or self.box.spool is not None:
            # Of what is in a spool only the whole is known; when it is empty there is still time to tell.
            return []
        return self.elsewhere.tell(self.agent_id, self.box)

    # Time

    def tick(self, now_ms: int) -> None:
        """Timers: hello and its repetition, a welcome that leads nowhere, an agent that went silent;
        headers whose work was lost."""
        self._recover(now_ms)
        if self._loaded and not self._at_work():
            self._loaded = False
            on_demand.forget(on_demand.ALL)
        if self.state == st.IDLE:
            if len(self.headers) == len(self._agents):
                self._begin(now_ms)
        elif self.state == st.GREETING:
            if now_ms - self._hello_at >= HELLO_REPEATS_MS[self._repeat]:
                if self._repeat == len(HELLO_REPEATS_MS) - 1:
                    self._begin(now_ms)
                else:
                    self._repeat += 1
                    self._say_hello(now_ms)
        elif self.state == st.OPENING:
            if now_ms - self._since_ms >= OPENING_MS:
                self._begin(now_ms)
        else:
            silent = self.window.waiting() and now_ms - self._heard_ms >= SILENCE_MS
            if silent or (self._left_out and not all(boot.box.waiting() for boot in self._listed)):
                self._begin(now_ms)

    def silent_ms(self, now_ms: int) -> int:
        """How long frames have been waiting without a word from the agent."""
        if self.state != st.STREAMING or not self.window.waiting():
            return 0
        return now_ms - self._heard_ms

    def _at_work(self) -> bool:
        return self._pairing or self.state == st.OPENING or len(self.headers) != len(self._agents)

    def _begin(self, now_ms: int) -> None:
        self.state = st.step(st.NODE, self.state, st.BEGIN)
        self.conn += 1
        self._nonce = self.random(16)
        self._down = None
        self._early = []
        self._repeat = 0
        self.window.stop()
        if self._hello in self._control:
            self._control.remove(self._hello)
        from protocol import node_clear

        self._loaded = True
        self._hello = node_clear.new_hello(self)
        self._say_hello(now_ms)

    def begin_anew(self, now_ms: int) -> None:
        """Another pipe carries the session from here on: what the last one had begun to say is void."""
        self._cobs = cobs.Decoder(MAX_DOWNLINK)
        if self.state != st.IDLE:
            self._begin(now_ms)

    def _stream(self) -> None:
        """Frames of every boot of the hello that this agent has a key of."""
        boxes: "list[Any]" = [self.box]
        for boot in self._listed:
            mine = [header for header in boot.headers if header[0] == self.agent_id]
            boxes.append(boot.box if mine else None)
        self.window.start(boxes)
        self._events.append(ev.Streaming(self.agent_id or b""))

    def _say_hello(self, now_ms: int) -> None:
        self._hello_at = now_ms
        self._lead_in = True
        if self._hello not in self._control:
            self._control.append(self._hello)

    # Bytes out

    def pull(self, now_ms: int) -> bytes:
        """The next framed message to write, or b"": control messages first, then frames in lane order while
        streaming."""
        if self._control:
            framed = cobs.encode(self._control.pop(0))
            if self._lead_in:
                self._lead_in = False
                return b"\0" + framed
            return framed
        if self.state == st.STREAMING:
            sent = self.window.next_frame(now_ms)
            if sent is not None:
                return cobs.encode(messages.data(sent.index, sent.sealed))
        return b""

    # Bytes in

    def feed(self, data: bytes, now_ms: int, stamp: "Any" = None) -> None:
        """Take bytes from the link; `stamp` comes back in TimeAsked (the owner's finer clock at
        reception)."""
        for message in self._cobs.feed(data):
            self._guarded(self._message, message, now_ms, stamp)
        for fault in self._cobs.faults:
            self._reject(fault.cause, str(fault))

    def _guarded(self, handler: "Callable[..., None]", *args: "Any") -> None:
        try:
            handler(*args)
        except ProtocolError as e:
            self._reject(e.cause, str(e))

    def _carried(self, cause: str) -> None:
        self.unknown[cause] = self.unknown.get(cause, 0) + 1

    def _message(self, message: bytes, now_ms: int, stamp: "Any") -> None:
        sort = messages.sort(message)
        if sort == messages.SORT_CLEAR:
            self._clear(message, now_ms)
        elif sort == messages.SORT_DOWNLINK:
            if self._down is not None:
                self._sealed(message, now_ms, stamp)
            elif self.state == st.OPENING:
                if len(self._early) < MAX_EARLY:
                    self._early.append((message, stamp))
            else:
                raise st.TransitionError(self.state, "sealed message")
        else:
            raise HelloError("neither a clear nor a sealed message", 0)

    def _clear(self, message: bytes, now_ms: int) -> None:
        from protocol import node_clear

        self._loaded = True
        node_clear.take(self, message, now_ms)

    def _open_steps(self, fields: "dict[str, Any]", now_ms: int) -> "Steps":
        on_demand.forget(on_demand.CLEAR)
        from protocol import node_keywork

        return (yield from node_keywork.open_steps(self, fields, now_ms))

    def _sealed(self, message: bytes, now_ms: int, stamp: "Any") -> None:
        if self._down is None:
            raise st.TransitionError(self.state, "sealed message")
        kind, _, body = frames.unpack_down(self._down.open(message))
        after = st.step(st.NODE, self.state, st.AUTHENTIC)
        self._heard_ms = now_ms
        if self.state == st.OPENING:
            self._stream()
        self.state = after
        if kind == frames.KIND_ACK:
            self._acked(body, now_ms)
        elif kind == frames.KIND_TIME_DOWN:
            self._time_asked(body[1], now_ms, stamp)
        elif kind == frames.KIND_FLOW:
            waves, bytes_s, most = flow_limits(body)
            self.window.flow(waves, bytes_s, most)
            self._events.append(ev.FlowChanged(waves, bytes_s, most))
        else:
            if not frames.KIND_ACK <= kind <= frames.KIND_UNPAIR:
                self._carried("unknown_kind")
            self._events.append(ev.DownlinkIn(kind, body))
        for key in body if kind in KNOWN_KEYS else ():
            if key not in KNOWN_KEYS[kind]:
                self._carried("unknown_key")

    def _time_asked(self, token: int, now_ms: int, stamp: "Any") -> None:
        """Each answer is a frame, which takes the room of another."""
        if now_ms - self._asked_time_ms >= 1000:
            self._asked_time_ms = now_ms
            self._asked_times = 0
        self._asked_times += 1
        if self._asked_times > TIMES_A_SECOND:
            return self._reject("too_many_questions", "session: a question for the time too many")
        self._events.append(ev.TimeAsked(token, stamp))
        return None

    def _acked(self, body: "Any", now_ms: int) -> None:
        index, ranges = body
        box = self.window.boxes[index] if index < len(self.window.boxes) else None
        if box is None:
            return self._reject("malformed_frame", "frame: ack of a boot that this agent has no frames of")
        freed = 0
        for first, count in ranges:
            if first + count > box.next_seq:
                self._reject("malformed_frame", "frame: ack of a frame not yet made")
            else:
                freed += self.window.ack(index, first, count, now_ms)
                if index == 0 and self.agent_id is not None:
                    self.elsewhere.acked(self.agent_id, first, count)
        if freed:
            self._events.append(ev.Acked(freed))
        return None
