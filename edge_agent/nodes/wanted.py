"""Which nodes a link that chooses its far end is to look for."""

from edge_agent.nodes.claims import Claims
from edge_agent.nodes.hub import Hub
from edge_agent.nodes.peers import PeersError

SILENT_MS = 5000


class Wanted:
    """What links over Bluetooth ask of the agent's nodes (links/ble.py, Nodes)."""

    def __init__(self, hub: Hub, claims: Claims) -> None:
        self._hub = hub
        self._claims = claims
        self._paired: set[bytes] = set()

    def paired(self) -> set[bytes]:
        """Their ids; as they were while the file cannot be read."""
        try:
            self._paired = set(self._hub.peers.ids())
        except PeersError as e:
            self._hub.reject("peers_unreadable", str(e), "the file of paired nodes")
        return self._paired

    def live(self, node: bytes) -> bool:
        """Whether it has proved itself on some link, and is heard there: a live node says something every
        second, but not on a cable that was pulled.
        """
        view = self._hub.views.get(node)
        if node not in self._hub.live or view is None:
            return False
        return self._hub.unix_us() // 1000 - max(view.heard_ms, view.live_ms) < SILENT_MS

    def claimed(self, node: bytes) -> bool:
        """Whether somebody asks for this node, or a kit file has it."""
        return self._claims.wants(node)
