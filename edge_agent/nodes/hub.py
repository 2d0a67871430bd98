"""What all links share: the paired nodes, the store's intake, views of the nodes, counts, and whose turn it
is.

A session is not asked again and again whether it has something to do. It says when it wants to be called
(`wake_at`), and those that have acknowledgements to write after a commit are called one after another
(`pump_soon`), a few milliseconds at a time, so that a thousand of them hold up nobody's reading.
"""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, NamedTuple, Protocol

from edge_agent.keys import PublicKeys
from edge_agent.nodes.flow import FlowPolicy
from edge_agent.nodes.ingest import Ingest
from edge_agent.nodes.orders import Orders
from edge_agent.nodes.peers import Peers, PeersError
from edge_agent.nodes.spare import Spare
from edge_agent.nodes.views import NodeView
from edge_agent.ops.logs import about
from edge_agent.store.items import Count, Hello, Write
from protocol import session_events as ev
from protocol.identity import Identity

log = logging.getLogger("vitalwire.link")

RATE_WINDOW_S = 5
LOG_EVERY_S = 10.0
MAX_UNPAIRED = 32
# So long at a time the event loop belongs to sessions that write or whose time has come.
TURN_S = 0.003


class Stranger(NamedTuple):
    """A node that is not paired and said hello; nothing of it is verified. `keys`: those that it shows, None
    where it has an agent; `ours`: it says that this is one. Unix ms, the first and the last of a row.
    """

    port: str
    since_ms: int
    heard_ms: int
    keys: PublicKeys | None
    ours: bool


class Called(Protocol):
    """What the hub needs of a session. `due_ms`: when it is called next, None when it is not."""

    due_ms: int | None

    def tick(self) -> None:
        """Its time has come."""
        ...

    def pump(self) -> None:
        """Write what waits."""
        ...

    def superseded(self) -> None:
        """Its node lives on another connection."""
        ...


class Claimed(Protocol):
    """What sessions need of nodes/claims.py."""

    def heard(self, claimant: Any, node: bytes, stranger: Stranger) -> None:
        """A node that is not paired said hello there."""
        ...

    def left(self, claimant: Any) -> None:
        """Whoever was there is not any more."""
        ...

    def asks(self, claimant: Any) -> bool:
        """Whether the node there is being asked to pair."""
        ...

    def replied(self, claimant: Any, reply: ev.PairReply) -> None:
        """The node there says that it has paired."""
        ...

    def refused(self, claimant: Any, code: int) -> bool:
        """The node there refuses; whether that was to be expected."""
        ...


class Ended(Protocol):
    """What sessions need of nodes/claims_ends.py."""

    def came_back(self, node: bytes, port: str) -> None:
        """A lost node says hello."""
        ...


class Hub:
    """What all links share.

    `rejected` counts since the store was made; `refused` are refusals that nodes sent us, by name; `unpaired`
    are nodes that announced themselves, unverified; `carried`: what is of a later protocol, by sort, of
    connections that are over. `flow`: what nodes are asked to spare us; `orders`: what they are to do;
    `live`: the session on which each node has proved itself.
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
        self.live: dict[bytes, Called] = {}
        self.rejected = dict(counters)
        self.refused: dict[str, int] = {}
        self.unpaired: dict[bytes, Stranger] = {}
        self.carried: dict[str, int] = {}
        self.flow = FlowPolicy()
        self.orders = Orders(ingest.add, self.now_ms, lambda: self.unix_us() // 1000)
        # Told of (node, boot, number, t_us, body) of each event; what is to be stored along with its frame.
        self.on_event: Callable[[bytes, bytes, int, int, dict[int, Any]], tuple[Write, ...]] | None = None
        self.updates: Spare | None = None
        # Who is told of nodes that are not paired, and of lost ones that come back.
        self.claims: Claimed | None = None
        self.ends: Ended | None = None
        self.frames = 0
        self.wire_bytes = 0
        self._hellos = dict(hellos)
        self._recent: deque[tuple[int, int]] = deque()
        self._logged: dict[str, float] = {}
        self._kept = dict(counters)
        self._timers: list[tuple[int, int, Called]] = []
        self._timer = 0
        self._pumping: OrderedDict[Called, None] = OrderedDict()

    def now_ms(self) -> int:
        """Milliseconds of the monotonic clock, as sessions want them."""
        return int(self.monotonic() * 1000)

    # Whose turn it is

    def wake_at(self, session: Called, due_ms: int) -> None:
        """Call the session's tick() at `due_ms`, or when it was to be called before that."""
        if session.due_ms is None or due_ms < session.due_ms:
            session.due_ms = due_ms
            self._timer += 1
            heappush(self._timers, (due_ms, self._timer, session))

    def tick(self) -> None:
        """Call those whose time has come, for TURN_S at most; who is left is first next time."""
        began = time.perf_counter()
        now_ms = self.now_ms()
        while self._timers and self._timers[0][0] <= now_ms:
            due_ms, _, session = heappop(self._timers)
            # Another entry of the same session may have come before.
            if session.due_ms == due_ms:
                session.due_ms = None
                session.tick()
                if time.perf_counter() - began > TURN_S:
                    return

    def pump_soon(self, session: Called) -> None:
        """Have it write once for a whole group of commits, so that its acknowledgements share a message."""
        if not self._pumping:
            asyncio.get_running_loop().call_soon(self._pump)
        self._pumping[session] = None

    def _pump(self) -> None:
        began = time.perf_counter()
        while self._pumping:
            self._pumping.popitem(last=False)[0].pump()
            if time.perf_counter() - began > TURN_S and self._pumping:
                asyncio.get_running_loop().call_soon(self._pump)
                return

    # Nodes

    def lookup(self, node: bytes) -> tuple[bytes, bytes] | None:
        """The public keys of a paired node, for sessions; and of one that was wiped, to tell it so."""
        try:
            return self.peers.lookup(node) or self.peers.wiped(node)
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
        found = self.views.get(node)
        if found is None:
            found = self.views[node] = NodeView(node)
        return found

    def lives(self, node: bytes, session: Called) -> None:
        """The node has proved itself there: whatever it had before hangs, or is old."""
        before = self.live.get(node)
        self.live[node] = session
        if before is not None and before is not session:
            before.superseded()

    def left(self, node: bytes, session: Called) -> None:
        """The session serves that node no longer."""
        if self.live.get(node) is session:
            del self.live[node]

    def lost(self, node: bytes) -> bool:
        """Whether the node was wiped."""
        try:
            return self.peers.lookup(node) is None and self.peers.wiped(node) is not None
        except PeersError:
            return False

    def announced(self, event: ev.Announced, port: str, at_ms: int) -> Stranger:
        """Somebody said hello who is not paired; anybody can, under any name."""
        node = event.node_id
        before = self.unpaired.pop(node, None)
        since_ms = at_ms if before is None or before.port != port else before.since_ms
        shown = event.ed_pub is not None and event.x_pub is not None
        keys = PublicKeys(event.ed_pub, event.x_pub) if shown else None  # pyright: ignore[reportArgumentType]
        found = self.unpaired[node] = Stranger(port, since_ms, at_ms, keys, event.ours)
        while len(self.unpaired) > MAX_UNPAIRED:
            del self.unpaired[next(iter(self.unpaired))]
        return found

    # Counts

    def reject(self, cause: str, detail: str, where: str) -> None:
        """Count what was not accepted; log it, but not each time when somebody floods us."""
        self.rejected[cause] = self.rejected.get(cause, 0) + 1
        now = self.monotonic()
        if now - self._logged.get(cause, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged[cause] = now
            so_far = self.rejected[cause]
            about(log, link=where).warning("%s: refused (%s): %s [%d so far]", where, cause, detail, so_far)

    def keep_counts(self) -> None:
        """Have what was counted since the last call made durable."""
        for cause, count in self.rejected.items():
            more = count - self._kept.get(cause, 0)
            if more:
                self._kept[cause] = count
                self.ingest.add(Count(cause, more))

    def carry(self, unknown: dict[str, int]) -> None:
        """What was of a later protocol on a connection that is over."""
        for cause, n in unknown.items():
            self.carried[cause] = self.carried.get(cause, 0) + n

    def counted(self, frames: int, wire_bytes: int, now_ms: int) -> None:
        """So many authentic frames more, in so many bytes."""
        self.frames += frames
        self.wire_bytes += wire_bytes
        second = now_ms // 1000
        if self._recent and self._recent[-1][0] == second:
            self._recent[-1] = (second, self._recent[-1][1] + frames)
        else:
            self._recent.append((second, frames))
            while self._recent[0][0] < second - RATE_WINDOW_S:
                self._recent.popleft()

    def frames_per_s(self) -> float:
        """Authentic frames a second, over the last whole seconds."""
        now = int(self.monotonic())
        return sum(n for second, n in self._recent if now - RATE_WINDOW_S <= second < now) / RATE_WINDOW_S
