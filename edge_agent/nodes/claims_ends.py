"""Nodes that go: to another agent, once that has them; and lost ones, which are told so if they come back."""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from edge_agent.nodes.errands import UNPAIR, Errands
from edge_agent.nodes.hub import Hub
from edge_agent.nodes.peers import PeersError

log = logging.getLogger("vitalwire.claims")

# A node that holds more of before sends it as fast as the link takes it, between what is new.
DRAINED_MS = 5000
UNPAIR_MS = 60_000
# Another one, where the last was not answered.
AGAIN_MS = 90_000


class Parting(Protocol):
    """What is needed of a session: the node on it, the agents that its boot is open to, and when a frame of
    before the connection came last (monotonic ms).
    """

    @property
    def node(self) -> bytes | None:
        """The node, once its hello was accepted."""
        ...

    @property
    def agents(self) -> tuple[bytes, ...]:
        """Ids."""
        ...

    past_ms: int


class Ends:
    """Partings that need the node to be there."""

    def __init__(self, hub: Hub, errands: Errands, unix_ms: Callable[[], int]) -> None:
        self._hub = hub
        self._errands = errands
        self._unix_ms = unix_ms
        self._asked_ms: dict[bytes, int] = {}
        self._told: set[bytes] = set()

    def step(self, sessions: Iterable[Parting]) -> None:
        """Un-pair who is to go, is paired with the agent that it goes to, and has nothing left for this one;
        a few times a second.
        """
        try:
            moving = self._hub.peers.moving()
        except PeersError:
            return
        if not moving:
            return
        now_ms = self._hub.now_ms()
        for session in sessions:
            node = session.node
            to = None if node is None else moving.get(node)
            if node is None or to is None or to not in session.agents or node not in self._hub.live:
                continue
            if now_ms - session.past_ms < DRAINED_MS or self._hub.ingest.backlog:
                continue
            if now_ms - self._asked_ms.get(node, -AGAIN_MS) < AGAIN_MS:
                continue
            self._asked_ms[node] = now_ms
            log.info("node %s is paired with agent %s, and goes there", node.hex(), to.hex())
            try:
                self._errands.put(UNPAIR, node, self._unix_ms() + UNPAIR_MS)
            except OSError as e:
                log.warning("errands: %s; trying again", e)

    def came_back(self, node: bytes, port: str) -> None:
        """A lost node says hello: it is told to forget this agent."""
        if node not in self._told:
            self._told.add(node)
            log.warning("%s: node %s, which was wiped as lost, is back: told to forget us", port, node.hex())
            self._hub.orders.state("wiped_node_heard", {"node": node})
