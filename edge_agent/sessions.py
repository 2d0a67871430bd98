"""Links and sessions together: bytes become events, events become items for the store, commits become
acknowledgements.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from edge_agent.flow import NORMAL, FlowPolicy
from edge_agent.ingest import Ingest
from edge_agent.links.ports import PortError
from edge_agent.links.serial import SerialLink
from edge_agent.nodes import NodeView, item_of
from edge_agent.orders import Orders
from edge_agent.peers import Peers, PeersError
from edge_agent.store.items import Count, Held, Hello, Outcome
from protocol import frames, messages
from protocol import session_events as ev
from protocol import session_states as st
from protocol.identity import Identity
from protocol.session_agent import AgentSession

log = logging.getLogger("vitalwire.link")

# A ping has no retransmission: while the node has not proved itself it is asked again and again, then enough
# for a good fit of its clock.
PING_PROVING_MS = 2000
PING_FITTING_MS = 1000
PING_STEADY_MS = 10_000
FITTING_ECHOES = 6
# An idle node may have missed the solicit, or be one that has just been flashed.
SOLICIT_AGAIN_MS = 10_000
RATE_WINDOW_S = 5
LOG_EVERY_S = 10.0
MAX_UNPAIRED = 32
MAX_PINGS = 8


class Hub:
    """What all links share: paired nodes, the store's intake, views of the nodes, counts by cause.

    `rejected` counts since the store was made; `refused` are refusals that nodes sent us, by name; `unpaired`
    are nodes that announced themselves, unverified; `carried`: what is of a later protocol, by sort, of
    connections that are over. `flow`: what nodes are asked to spare us; `orders`: what they are to do.
    """

    def __init__(
        self,
        identity: Identity,
        peers: Peers,
        ingest: Ingest,
        hellos: dict[bytes, tuple[int, int]],
        counters: dict[str, int],
        monotonic: Callable[[], float] = time.monotonic,
        unix_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.identity = identity
        self.peers = peers
        self.ingest = ingest
        self.monotonic = monotonic
        self.unix_us = unix_us
        self.views: dict[bytes, NodeView] = {}
        self.rejected = dict(counters)
        self.refused: dict[str, int] = {}
        self.unpaired: dict[bytes, tuple[str, int]] = {}
        self.carried: dict[str, int] = {}
        self.flow = FlowPolicy()
        self.orders = Orders(ingest.add, self.now_ms, lambda: self.unix_us() // 1000)
        self.frames = 0
        self.wire_bytes = 0
        self._hellos = dict(hellos)
        self._recent: deque[tuple[int, int]] = deque()
        self._logged: dict[str, float] = {}
        self._kept = dict(counters)

    def now_ms(self) -> int:
        """Milliseconds of the monotonic clock, as sessions want them."""
        return int(self.monotonic() * 1000)

    def lookup(self, node: bytes) -> tuple[bytes, bytes] | None:
        """The public keys of a paired node, for sessions."""
        try:
            return self.peers.lookup(node)
        except PeersError as e:
            self.reject("peers_unreadable", str(e), "the file of paired nodes")
            return None

    def last_hello(self, node: bytes) -> tuple[int, int] | None:
        """The newest (boot counter, connection number) accepted of a node, for sessions."""
        return self._hellos.get(node)

    def hello(self, node: bytes, counter: int, conn: int) -> None:
        """A hello was accepted: remember its position now, and durably soon."""
        keys = self.lookup(node)
        if keys is not None:
            self._hellos[node] = (counter, conn)
            self.ingest.add(Hello(node, keys[0], keys[1], counter, conn))

    def view(self, node: bytes) -> NodeView:
        """What is known of a node, from now on."""
        return self.views.setdefault(node, NodeView(node))

    def announced(self, node: bytes, port: str, at_ms: int) -> None:
        """Somebody said hello who is not paired; anybody can, under any name."""
        self.unpaired.pop(node, None)
        self.unpaired[node] = (port, at_ms)
        while len(self.unpaired) > MAX_UNPAIRED:
            del self.unpaired[next(iter(self.unpaired))]

    def reject(self, cause: str, detail: str, where: str) -> None:
        """Count what was not accepted; log it, but not each time when somebody floods us."""
        self.rejected[cause] = self.rejected.get(cause, 0) + 1
        now = self.monotonic()
        if now - self._logged.get(cause, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged[cause] = now
            log.warning("%s: refused (%s): %s [%d so far]", where, cause, detail, self.rejected[cause])

    def keep_counts(self) -> None:
        """Have what was counted since the last call made durable."""
        for cause, count in self.rejected.items():
            more = count - self._kept.get(cause, 0)
            if more:
                self._kept[cause] = count
                self.ingest.add(Count(cause, more))

    def counted(self, wire_bytes: int) -> None:
        """One more authentic frame."""
        self.frames += 1
        self.wire_bytes += wire_bytes
        second = int(self.monotonic())
        if self._recent and self._recent[-1][0] == second:
            self._recent[-1] = (second, self._recent[-1][1] + 1)
        else:
            self._recent.append((second, 1))
            while self._recent[0][0] < second - RATE_WINDOW_S:
                self._recent.popleft()

    def frames_per_s(self) -> float:
        """Authentic frames a second, over the last whole seconds."""
        now = int(self.monotonic())
        return sum(n for second, n in self._recent if now - RATE_WINDOW_S <= second < now) / RATE_WINDOW_S


class LinkSession:
    """One link and the session on it; the owner of its SerialLink. All of it in the event loop's thread."""

    def __init__(self, hub: Hub, port: str) -> None:
        self.port = port
        self.state = "opening"
        self.problem: PortError | None = None
        self.retry_s = 0.0
        self.opened_count = 0
        self.last_rejected: str | None = None
        self.last_refused: str | None = None
        self._hub = hub
        self._link: SerialLink | None = None
        self._compared: tuple[bytes, int] | None = None
        self._session = self._new_session()
        self._hello: ev.HelloAccepted | None = None
        self._pings: dict[int, int] = {}
        self._ping_at = 0
        self._echoes = 0
        self._solicited_at = 0
        self._pump_due = False
        self._asked = NORMAL

    def _new_session(self) -> AgentSession:
        return AgentSession(self._hub.identity, self._hub.lookup, self._last_hello, os.urandom)

    def _last_hello(self, node: bytes) -> tuple[int, int] | None:
        last = self._hub.last_hello(node)
        self._compared = None if last is None else (node, last[0])
        return last

    def _why_replayed(self) -> str:
        """What a person can do when a node itself says hello as if it were younger than it is."""
        if self._compared is None:
            return ""
        node, counter = self._compared
        return (
            f"; node {node.hex()} has been at boot {counter}. If its count began anew, its boot record was"
            f" lost: reset it until it is past {counter}, or erase it and pair it as a new node."
            " Otherwise somebody repeats old messages"
        )

    # SerialLink tells us

    def opened(self, link: SerialLink) -> None:
        """A new pipe: nothing of the old session holds. Ask whoever is there to say hello."""
        log.info("%s: open", self.port)
        self._link = link
        self._hello = None
        self.state, self.problem = "open", None
        self.opened_count += 1
        self._begin_anew()
        self._pump()

    def _begin_anew(self) -> None:
        for cause, n in self._session.unknown.items():
            self._hub.carried[cause] = self._hub.carried.get(cause, 0) + n
        self._session = self._new_session()
        self._pings.clear()
        self._solicited_at = self._hub.now_ms()
        self._session.solicit()

    def drop(self, node: bytes) -> None:
        """That node is paired no longer: what it still says on this link is not for us."""
        if self.node == node:
            self._leave()
            self._begin_anew()

    def closed(self, link: SerialLink, error: PortError, retry_s: float) -> None:
        """No pipe any more."""
        if self.problem is None or self.problem.condition != error.condition:
            log.warning("%s; trying again until it works", error)
        self._leave()
        self._link = None
        self.state, self.problem, self.retry_s = "waiting", error, retry_s

    def stopped(self) -> None:
        """The agent ends: this link carries nothing more."""
        self._leave()
        self._link = None
        self.state = "stopped"

    def written(self, link: SerialLink) -> None:
        """The port takes more."""
        self._pump()

    def received(self, link: SerialLink, data: bytes, unix_us: int) -> None:
        """Bytes from the node."""
        if link is not self._link:
            return
        session = self._session
        for event in session.feed(data, self._hub.now_ms()):
            # A session that one of its own events has ended says nothing to the next; it is counted still.
            if session is self._session or isinstance(event, ev.Rejected):
                self._on(event, unix_us)
        self._pump()

    def tick(self) -> None:
        """Timers; call it every 50 ms or so."""
        if self._link is None:
            return
        now = self._hub.now_ms()
        if self._session.state == st.WAITING:
            if now - self._solicited_at >= SOLICIT_AGAIN_MS:
                self._solicited_at = now
                self._session.solicit()
        else:
            if now >= self._ping_at:
                self._ping(now)
            self._instruct()
        self._pump()

    def _instruct(self) -> None:
        """How much we can take, and what is to be done."""
        if self._asked != self._hub.flow.level:
            self._asked = self._hub.flow.level
            self._session.flow(self._asked.waves, self._asked.bytes_s, self._asked.window)
        if self._session.state != st.LIVE or self._hello is None:
            return
        node, boot = self._hello.node_id, self._hello.boots[0][0]
        fix = self._hub.view(node).fix(self._hub.unix_us())
        for order in self._hub.orders.due(node, boot, None if fix is None else fix.t_us):
            if order.kind == frames.KIND_UNPAIR:
                self._session.unpair(order.id)
            else:
                self._session.order(order.kind, order.body)

    # Within

    @property
    def unknown(self) -> dict[str, int]:
        """What is of a later protocol, by sort, on this connection."""
        return self._session.unknown

    @property
    def node(self) -> bytes | None:
        """The node on this link, once its hello was accepted."""
        return self._hello.node_id if self._hello else None

    @property
    def session_state(self) -> str:
        """waiting, proving or live."""
        return self._session.state

    def _leave(self) -> None:
        if self._hello is not None:
            view = self._hub.view(self._hello.node_id)
            if view.link == self.port:
                view.live, view.link = False, None
        self._hello = None

    def _pump_soon(self) -> None:
        """Write once for a whole group of commits, so that their acknowledgements share a message."""
        if not self._pump_due:
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        if self._link is not None and self._link.ready:
            data = self._session.pull(self._hub.now_ms())
            if data:
                self._link.write(data)

    def _ping(self, now: int) -> None:
        if self._session.state == st.PROVING:
            pause = PING_PROVING_MS
        else:
            pause = PING_FITTING_MS if self._echoes < FITTING_ECHOES else PING_STEADY_MS
        self._ping_at = now + pause
        # The clock is read before the question can leave: the interval that an echo proves is never too
        # narrow.
        sent_us = self._hub.unix_us()
        self._pings[self._session.ping()] = sent_us
        while len(self._pings) > MAX_PINGS:
            del self._pings[next(iter(self._pings))]

    def _on(self, event: Any, unix_us: int) -> None:
        if isinstance(event, ev.FrameIn):
            self._frame(event, unix_us)
        elif isinstance(event, ev.TimeEcho):
            self._echo(event, unix_us)
        elif isinstance(event, ev.Rejected):
            detail = event.detail + self._why_replayed() if event.cause == "replayed_hello" else event.detail
            self.last_rejected = f"{event.cause}: {detail}"
            self._hub.reject(event.cause, detail, self.port)
        elif isinstance(event, ev.HelloAccepted):
            self._greeted(event)
        elif isinstance(event, ev.Live):
            self._lives(unix_us)
        elif isinstance(event, ev.Announced):
            self._hub.announced(event.node_id, self.port, unix_us // 1000)
            if self._hub.lookup(event.node_id) is None:
                self.drop(event.node_id)
        elif isinstance(event, ev.Refused):
            name = messages.REFUSE_NAMES.get(event.code, "for a reason we do not know")
            self.last_refused = name
            self._hub.refused[name] = self._hub.refused.get(name, 0) + 1

    def _greeted(self, event: ev.HelloAccepted) -> None:
        self._leave()
        newest = event.boots[0][0]
        self._hub.hello(event.node_id, int.from_bytes(newest[:4], "big"), event.conn)
        self._hub.unpaired.pop(event.node_id, None)
        self._hello = event
        self._asked = NORMAL
        self._pings.clear()
        self._echoes = 0
        self._ping(self._hub.now_ms())

    def _lives(self, unix_us: int) -> None:
        if self._hello is None:
            return
        node, boots = self._hello.node_id, self._hello.boots
        log.info(
            "%s: node %s is live (boot %d)", self.port, node.hex(), int.from_bytes(boots[0][0][:4], "big")
        )
        view = self._hub.view(node)
        view.live, view.link, view.boot = True, self.port, boots[0][0]
        view.live_ms = unix_us // 1000
        self.last_rejected = self.last_refused = None
        held = tuple((boot, next_seq, tuple((f, n) for f, n in ranges)) for boot, next_seq, ranges in boots)
        self._hub.ingest.add(Held(node, held, unix_us // 1000))

    def _frame(self, event: ev.FrameIn, unix_us: int) -> None:
        item, frame = item_of(event, unix_us // 1000)
        self._hub.counted(event.wire_bytes)
        self._hub.view(event.node_id).said(event.boot_id, event.seq, frame, unix_us, event.past)
        if frame is not None and frame[0] == frames.KIND_ANSWER:
            self._hub.orders.answered(event.node_id, frame[2])
        session = self._session

        def committed(outcome: Outcome) -> None:
            if outcome is Outcome.CONFLICT:
                detail = f"frame {event.seq} of node {event.node_id.hex()} came again with other content"
                self._hub.reject("conflict", detail, self.port)
            session.ack(event.boot_id, [(event.seq, 1)])
            self._pump_soon()

        self._hub.ingest.add(item, committed)

    def _echo(self, event: ev.TimeEcho, unix_us: int) -> None:
        sent_us = self._pings.pop(event.token, None)
        if sent_us is None or self._hello is None:
            return
        self._echoes += 1
        entry = self._hub.view(self._hello.node_id).echo(event, sent_us, unix_us)
        if entry is not None:
            self._hub.ingest.add(entry)
