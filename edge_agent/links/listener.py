"""The TCP listener: nodes connect to it, each connection is a link of its own (links/tcp.py).

The number of connections is bounded. When it is reached, the oldest one of which no node has proved itself
gives way; when all have, the new one is hung up on. An address that cannot be had is tried again for ever.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from edge_agent.backoff import Backoff
from edge_agent.config import TcpConfig
from edge_agent.links.quota import Quota
from edge_agent.links.tcp import READ_BYTES, TcpLink, TcpOwner
from protocol import session_states as st

log = logging.getLogger("vitalwire.link")

LOOK_S = 1.0
BACKLOG = 256
# Every address of the machine, of both families.
EVERYWHERE = "*"
# Store, broker, serial ports, logs.
OTHER_FILES = 100
# Ids of nodes come from peers.json, so there are no more quotas than paired nodes; old ones go all the same.
MAX_QUOTAS = 4096

Reject = Callable[[str, str, str], None]
Owner = TypeVar("Owner", bound=TcpOwner)


class TcpListener(Generic[Owner]):
    """Accepts connections while run() runs; `owners` by link. `problem`: why it does not listen, or None.

    `make_owner(name)` gives the owner of a new link; `reject(cause, detail, where)` counts what is refused;
    `standing()`: whether nothing more can be taken in for now.
    """

    def __init__(
        self,
        config: TcpConfig,
        make_owner: Callable[[str], Owner],
        reject: Reject,
        standing: Callable[[], bool],
    ) -> None:
        self.config = config
        self.hello_s = config.hello_s
        self.idle_s = config.idle_s
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.owners: dict[TcpLink, Owner] = {}
        self.problem: str | None = None
        # How nodes find it (links/mdns.py): "name" and "problem", or None.
        self.found_as: Callable[[], dict[str, str | None]] | None = None
        self.accepted = 0
        self._make_owner = make_owner
        self._reject = reject
        self.standing = standing
        self._server: asyncio.Server | None = None
        self._quotas: OrderedDict[bytes, Quota] = OrderedDict()
        self._backoff = Backoff(first_s=0.5, max_s=30.0)
        self._bytes = [0, 0]
        self._stopping = False

    @property
    def listen(self) -> str:
        """The address as it is configured."""
        return f"{self.config.host}:{self.config.port}"

    @property
    def listening(self) -> tuple[str, int] | None:
        """The address, once connections are accepted."""
        if self._server is None or not self._server.sockets:
            return None
        found: Any = self._server.sockets[0].getsockname()
        return found[0], found[1]

    async def run(self) -> None:
        """Listen, and look after the connections, for ever."""
        loop = asyncio.get_running_loop()
        self._raise_limit()
        while True:
            if self._server is None and not self._stopping:
                try:
                    self._server = await loop.create_server(
                        lambda: TcpLink(self),
                        None if self.config.host == EVERYWHERE else self.config.host,
                        self.config.port,
                        backlog=BACKLOG,
                    )
                except OSError as e:
                    why = f"cannot listen on {self.listen}: {e.strerror or e}"
                    if self.problem is None:
                        log.error("%s; trying again until it works", why)
                    self.problem = why
                    await asyncio.sleep(self._backoff.failed())
                    continue
                self.problem = None
                self._backoff.succeeded()
                log.info("nodes may connect to %s:%d", *(self.listening or ("", 0)))
            await asyncio.sleep(LOOK_S)
            self.look()

    def _raise_limit(self) -> None:
        """A process may have fewer files open than there may be connections, until it asks for more."""
        try:
            import resource
        except ImportError:  # Windows has no such limit.
            return
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = self.config.max_connections + OTHER_FILES
        if soft != resource.RLIM_INFINITY and soft < wanted:
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            if most < wanted:
                log.warning("at most %d files may be open: too few for all TCP connections", most)

    def look(self) -> None:
        """Hang up on those that took too long."""
        now = time.monotonic()
        for link in list(self.owners):
            link.look(now)

    async def stop(self) -> None:
        """Accept no more and hang up on all."""
        self._stopping = True
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for link in list(self.owners):
            link.end("the agent stops")
        # Each tells its owner in its turn of the event loop.
        with suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                while self.owners:
                    await asyncio.sleep(0.01)

    def summary(self) -> dict[str, Any]:
        """All connections together, for the status."""
        states: dict[str, int] = dict.fromkeys((st.WAITING, st.PROVING, st.LIVE), 0)
        totals = list(self._bytes)
        for link, owner in self.owners.items():
            states[owner.session_state] += 1
            totals[0] += link.bytes_in
            totals[1] += link.bytes_out
        return {
            "listen": self.listen,
            "listening": self.listening is not None,
            "problem": self.problem,
            "mdns": None if self.found_as is None else self.found_as(),
            "connections": len(self.owners),
            "accepted": self.accepted,
            **states,
            "bytes_in": totals[0],
            "bytes_out": totals[1],
        }

    # The connections ask

    def made(self, link: TcpLink) -> Owner | None:
        """The owner of a new connection; None when there is no room, or no more are taken."""
        if self._stopping:
            # It had been accepted, and its turn comes only now.
            return None
        if len(self.owners) >= self.config.max_connections:
            oldest = next((old for old, its in self.owners.items() if its.session_state != st.LIVE), None)
            what = f"{self.config.max_connections} connections are open"
            if oldest is None:
                self._reject("tcp_full", what, link.port)
                return None
            oldest.refuse("tcp_full", f"{what}, and no node had proved itself on it")
            self._forget(oldest)
        owner = self.owners[link] = self._make_owner(link.port)
        self.accepted += 1
        return owner

    def quota(self, node: bytes) -> Quota:
        """A paired node's share, whichever connection it comes on."""
        found = self._quotas.get(node)
        if found is None:
            found = self._quotas[node] = self.stranger()
            while len(self._quotas) > MAX_QUOTAS:
                self._quotas.popitem(last=False)
        return found

    def stranger(self) -> Quota:
        """The share of one who is not known yet."""
        return Quota(self.config.per_node_frames_s, time.monotonic())

    def hung_up(self, link: TcpLink, cause: str, why: str) -> None:
        """Count why we end a connection."""
        self._reject(cause, why, link.port)

    def lost(self, link: TcpLink) -> None:
        """The connection is over."""
        self._forget(link)

    def _forget(self, link: TcpLink) -> None:
        if self.owners.pop(link, None) is not None:
            self._bytes[0] += link.bytes_in
            self._bytes[1] += link.bytes_out
