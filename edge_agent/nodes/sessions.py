"""Links and sessions together: bytes become events, events become items for the store, commits become
acknowledgements.
"""

import logging
import os
from typing import Any

from edge_agent.links.base import Link
from edge_agent.links.ports import PortError
from edge_agent.nodes import spare
from edge_agent.nodes.flow import NORMAL
from edge_agent.nodes.glance import glance
from edge_agent.nodes.hub import Hub
from edge_agent.nodes.views import item_of
from edge_agent.ops.logs import about
from edge_agent.store.items import Frame, Held, Outcome
from protocol import frames, messages
from protocol import session_events as ev
from protocol import session_states as st
from protocol.session_agent import BURST_PAUSE_MS, AgentSession

log = logging.getLogger("vitalwire.link")

# A ping has no retransmission: while the node has not proved itself it is asked again and again, then enough
# for a good fit of its clock.
PING_PROVING_MS = 2000
PING_FITTING_MS = 1000
PING_STEADY_MS = 10_000
FITTING_ECHOES = 6
# An idle node may have missed the solicit, or be one that has just been flashed.
SOLICIT_AGAIN_MS = 10_000
MAX_PINGS = 8
# A node that has sent so many since the last commit may be waiting for room: it has 16 frames in flight at
# most. Waves, vitals and an attestation of one second are fewer.
SEVERAL = 5


class LinkSession:
    """One link and the session on it; the owner of the link. All of it in the event loop's thread."""

    def __init__(self, hub: Hub, port: str, cable: bool = False) -> None:
        self.port = port
        self.cable = cable
        # When a frame of before the connection came last.
        self.past_ms = 0
        self.state = "opening"
        self.problem: PortError | None = None
        self.retry_s = 0.0
        self.opened_count = 0
        self.last_rejected: str | None = None
        self.last_refused: str | None = None
        self._hub = hub
        self._link: Link | None = None
        self._compared: tuple[bytes, int] | None = None
        self._session = self._new_session()
        self._hello: ev.HelloAccepted | None = None
        self._lost: bytes | None = None
        self._pings: dict[int, int] = {}
        self._ping_at = 0
        self._echoes = 0
        self._solicited_at = 0
        self._asked = NORMAL
        self._uncommitted = 0
        self._burst_ms: int | None = None
        self.due_ms: int | None = None

    def _new_session(self) -> AgentSession:
        return AgentSession(self._hub.identity, self._hub.lookup, self._last_hello, os.urandom, glance)

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

    # The link tells us

    def opened(self, link: Link) -> None:
        """A new pipe: nothing of the old session holds. Ask whoever is there to say hello."""
        self._link = link
        self._hello = None
        self.state, self.problem = "open", None
        self.opened_count += 1
        self._begin_anew()
        self._session.solicit()
        self.pump()

    def _begin_anew(self) -> None:
        self._lost = None
        if self._hub.claims is not None:
            self._hub.claims.left(self)
        self._hub.carry(self._session.unknown)
        self._session = self._new_session()
        self._pings.clear()
        self._solicited_at = self._hub.now_ms()

    def drop(self, node: bytes) -> None:
        """That node is paired no longer: what it still says on this link is not for us."""
        if self.node == node:
            self._leave()
            self._begin_anew()
            self._session.solicit()

    def superseded(self) -> None:
        """The node lives on another connection. On a pipe that stays, whoever else is there is asked after a
        while, so that one node with two pipes is not called to and fro."""
        self._leave()
        self._begin_anew()
        if self._link is not None:
            self._link.end("its node has connected anew")

    def closed(self, link: Link, error: PortError, retry_s: float) -> None:
        """No pipe any more."""
        self._leave()
        self._begin_anew()
        self._link = None
        self.state, self.problem, self.retry_s = "waiting", error, retry_s

    def stopped(self) -> None:
        """The agent ends: this link carries nothing more."""
        self._leave()
        self._link = None
        self.state = "stopped"

    def written(self, link: Link) -> None:
        """The pipe takes more."""
        self.pump()

    def received(self, link: Link, data: bytes, unix_us: int) -> int:
        """Bytes from the node; how many messages were in them."""
        if link is not self._link:
            return 0
        session = self._session
        now = self._hub.now_ms()
        events = session.feed(data, now)
        self._burst_ms = None if events else self._burst_ms
        taken = wire_bytes = 0
        for event in events:
            # A session that one of its own events has ended says nothing to the next; it is counted still.
            if session is self._session:
                if type(event) is ev.FrameIn:
                    taken += 1
                    wire_bytes += event.wire_bytes
                    self._frame(event, unix_us)
                else:
                    self._on(event, unix_us)
            elif isinstance(event, ev.Rejected):
                self._on(event, unix_us)
        if taken:
            self._hub.counted(taken, wire_bytes, now)
            self._uncommitted += taken
            if self._uncommitted >= SEVERAL:
                self._hub.ingest.hurry()
        if session is not self._session or self.due_ms is None or session.state != st.LIVE or session.waits:
            self.pump()
        return len(events)

    def tick(self) -> None:
        """Timers; the hub calls it when something is due."""
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
                if self._lost is not None:
                    # Where it would not, because of an alarm.
                    self._session.unpair(os.urandom(8))
            self._instruct()
        self.pump()

    def instruct(self) -> None:
        """What the node is asked to spare us has changed, or there are orders."""
        if self._link is not None and self._session.state != st.WAITING:
            self._instruct()
            self.pump()

    def _instruct(self) -> None:
        if self._asked != self._hub.flow.level:
            self._asked = self._hub.flow.level
            self._session.flow(self._asked.waves, self._asked.bytes_s, self._asked.window)
        if not self._hub.orders.open or self._session.state != st.LIVE or self._hello is None:
            return
        node, boot = self._hello.node_id, self._hello.boots[0][0]
        fix = self._hub.view(node).fix(self._hub.unix_us())
        for order in self._hub.orders.due(node, boot, None if fix is None else fix.t_us):
            if order.kind == frames.KIND_UNPAIR:
                self._session.unpair(order.id)
            else:
                self._session.order(order.kind, order.body)

    def ask_pairing(self, nonce: bytes, button: bool) -> None:
        """Ask whoever is there to pair."""
        if self._link is not None:
            self._session.request_pairing(nonce, None, button)
            self.pump()

    def invite(self) -> None:
        """Ask whoever is there for a hello."""
        if self._link is not None:
            self._session.solicit()
            self.pump()

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
    def asked(self) -> bool:
        """Whether whoever is there is being asked to pair, on somebody's word."""
        return self._hub.claims is not None and self._hub.claims.asks(self)

    @property
    def agents(self) -> tuple[bytes, ...]:
        """The agents that the newest boot of the node on this link is open to."""
        return tuple(self._hello.agents) if self._hello else ()

    @property
    def session_state(self) -> str:
        """waiting, proving or live."""
        return self._session.state

    def _leave(self) -> None:
        if self._hello is not None:
            view = self._hub.view(self._hello.node_id)
            if view.link == self.port:
                view.live, view.link = False, None
            self._hub.left(self._hello.node_id, self)
        self._hello = None

    def pump(self) -> None:
        """Write what waits, and say when to be called next."""
        link = self._link
        if link is None:
            return
        now = self._hub.now_ms()
        session = self._session
        waits = session.waits
        if link.ready and (waits or session.state != st.LIVE):
            data = session.pull(now)
            if data:
                link.write(data)
                self._burst_ms = now
            waits = session.waits
        if link.ready and not waits and session.state == st.LIVE and self._hub.updates is not None:
            self._spare(link, self._hub.updates, now)
        due = self._solicited_at + SOLICIT_AGAIN_MS if session.state == st.WAITING else self._ping_at
        if waits and link.ready:
            due = min(due, now + BURST_PAUSE_MS)
        if self.due_ms is None or due < self.due_ms:
            self._hub.wake_at(self, due)

    def _spare(self, link: Link, updates: spare.Spare, now: int) -> None:
        """Nothing else waits: a message of an update, where one is due and would leave at once, so that what
        comes up next waits for none.
        """
        if self._hello is None or (self._burst_ms is not None and now - self._burst_ms < BURST_PAUSE_MS):
            return
        data = spare.message(updates, self._hello, self._session, link, now)
        if data:
            link.write(data)
            self._burst_ms = now

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
        if isinstance(event, ev.TimeEcho):
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
            stranger = self._hub.announced(event, self.port, unix_us // 1000)
            if self._hub.lookup(event.node_id) is None:
                self.drop(event.node_id)
            if self._hub.claims is not None:
                self._hub.claims.heard(self, event.node_id, stranger)
        elif isinstance(event, ev.PairReply):
            if self._hub.claims is not None:
                self._hub.claims.replied(self, event)
        elif isinstance(event, ev.Refused):
            if self._hub.claims is not None and self._hub.claims.refused(self, event.code):
                return
            name = messages.REFUSE_NAMES.get(event.code, "for a reason we do not know")
            self.last_refused = name
            self._hub.refused[name] = self._hub.refused.get(name, 0) + 1

    def _greeted(self, event: ev.HelloAccepted) -> None:
        self._leave()
        newest = event.boots[0][0]
        self._hub.hello(event.node_id, int.from_bytes(newest[:4], "big"), event.conn)
        self._hub.unpaired.pop(event.node_id, None)
        if self._hub.claims is not None:
            self._hub.claims.left(self)
        self._lost = event.node_id if self._hub.lost(event.node_id) else None
        if self._lost is not None:
            # Nothing that it says is kept: who knows whom it measures.
            self._session.unpair(os.urandom(8))
            if self._hub.ends is not None:
                self._hub.ends.came_back(event.node_id, self.port)
            return
        self._hello = event
        self.past_ms = self._hub.now_ms()
        self._asked = NORMAL
        self._pings.clear()
        self._echoes = 0
        self._ping(self._hub.now_ms())

    def _lives(self, unix_us: int) -> None:
        if self._hello is None:
            return
        node, boots = self._hello.node_id, self._hello.boots
        view = self._hub.view(node)
        view.live, view.link, view.boot, view.live_ms = True, self.port, boots[0][0], unix_us // 1000
        view.others = [agent.hex() for agent in self.agents if agent != self._hub.identity.id]
        told = f"{self.port}: node {node.hex()} is live (boot {int.from_bytes(view.boot[:4], 'big')})"
        told += f", and paired with agent {', '.join(view.others)}, too" if view.others else ""
        about(log, node=node.hex(), link=self.port).info("%s", told)
        self.last_rejected = self.last_refused = None
        self._hub.lives(node, self)
        held = tuple((boot, next_seq, tuple((f, n) for f, n in ranges)) for boot, next_seq, ranges in boots)
        self._hub.ingest.add(Held(node, held, unix_us // 1000))

    def _frame(self, event: ev.FrameIn, unix_us: int) -> None:
        hub = self._hub
        if self._lost is not None:
            return
        if event.past:
            self.past_ms = hub.now_ms()
        item, frame = item_of(event, unix_us // 1000)
        hub.view(event.node_id).said(event.boot_id, event.seq, frame, unix_us, event.past, event.plaintext)
        if frame is not None and frame[2] is not None:
            if frame[0] == frames.KIND_ANSWER:
                hub.orders.answered(event.node_id, frame[2])
            elif frame[0] == frames.KIND_BP:
                hub.orders.measured(event.node_id, event.boot_id, event.seq, frame[2])
            elif frame[0] == frames.KIND_EVENT and hub.on_event is not None:
                along = hub.on_event(event.node_id, event.boot_id, event.seq, frame[1], frame[2])
                item = item._replace(along=along)
        if hub.updates is not None:
            item = spare.heard(hub.updates, event, frame, item)
        hub.ingest.frame(item, self, self._session)

    def committed(self, item: Frame, outcome: Outcome, session: AgentSession) -> None:
        """A frame that came on `session` is on the disk, or was: acknowledge it there."""
        if outcome is Outcome.CONFLICT:
            detail = f"frame {item.seq} of node {item.node.hex()} came again with other content"
            self._hub.reject("conflict", detail, self.port)
        self._uncommitted = 0
        session.ack(item.boot, [(item.seq, 1)])
        self._hub.pump_soon(self)

    def _echo(self, event: ev.TimeEcho, unix_us: int) -> None:
        sent_us = self._pings.pop(event.token, None)
        if sent_us is None or self._hello is None:
            return
        self._echoes += 1
        entry = self._hub.view(self._hello.node_id).echo(event, sent_us, unix_us)
        if entry is not None:
            self._hub.ingest.add(entry)
