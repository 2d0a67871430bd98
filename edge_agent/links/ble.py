"""Nodes over Bluetooth LE: what is heard of them, and to whom the agent connects.

A node advertises service data of its own: its id, and whether it is nobody's. The agent connects to those
that it is paired with and that are not live on any link, and to a node that is nobody's while somebody asks
for it; each connection is a link of its own (links/ble_link.py). Scans and connections come one after the
other: an adapter does one of the two at a time. An adapter that cannot be used is tried again for ever.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError

from edge_agent.backoff import Backoff
from edge_agent.config import BleConfig
from edge_agent.links.ble_link import CLAIM_S, PROVE_S, SERVICE, BleLink, BleOwner
from edge_agent.links.ble_trouble import explained
from edge_agent.links.ports import PortError
from edge_agent.tasks import end

log = logging.getLogger("vitalwire.link")

ID_BYTES = 8
UNCLAIMED = 1
SCAN_S = 8.0
# Without anybody to look for, or between two looks for somebody who is not there.
PAUSE_S = 2.0
# What was heard longer ago may be gone.
FRESH_S = 30.0
MAX_HEARD = 64
LOOK_S = 1.0

Owner = TypeVar("Owner", bound=BleOwner)


class Nodes(Protocol):
    """What the agent knows of its nodes."""

    def paired(self) -> set[bytes]:
        """Their ids."""
        ...

    def live(self, node: bytes) -> bool:
        """Whether it has proved itself on some link, and is heard there."""
        ...

    def claimed(self, node: bytes) -> bool:
        """Whether somebody asks for this node, which is nobody's."""
        ...


class Heard(NamedTuple):
    """A node's advertisement."""

    device: BLEDevice
    unclaimed: bool
    rssi: int
    at_s: float


class BleLinks(Generic[Owner]):
    """Looks for nodes and serves them while run() runs; `owners` by link. `problem`: why the adapter cannot
    be used, or None. `heard`: nodes by id, those heard last at the end.
    """

    def __init__(
        self,
        config: BleConfig,
        nodes: Nodes,
        make_owner: Callable[[str], Owner],
        make_backoff: Callable[[], Backoff] = lambda: Backoff(first_s=0.25, max_s=10.0, stable_s=0.0),
    ) -> None:
        self.config = config
        self.problem: PortError | None = None
        self.heard: OrderedDict[bytes, Heard] = OrderedDict()
        self.owners: dict[BleLink, Owner] = {}
        self.accepted = 0
        self._nodes = nodes
        self._make_owner = make_owner
        self._make_backoff = make_backoff
        self._backoffs: dict[bytes, Backoff] = {}
        self._adapter = Backoff(first_s=0.5, max_s=30.0)
        self._serving: dict[bytes, asyncio.Task[None]] = {}
        self._found = asyncio.Event()
        self._bytes = [0, 0]

    async def run(self) -> None:
        """Look for nodes, connect, look after connections, for ever."""
        looking = asyncio.create_task(self._look())
        try:
            while True:
                if not self._anybody_missing() or len(self.owners) >= self.config.max_connections:
                    await asyncio.sleep(PAUSE_S)
                    continue
                try:
                    await self._scan()
                except (BleakError, OSError, TimeoutError, EOFError) as e:
                    await self._cannot(e)
                    continue
                if self.problem is not None:
                    log.info("bluetooth: usable again")
                self.problem = None
                self._adapter.succeeded()
                due = self._due()
                if due is None:
                    await asyncio.sleep(PAUSE_S)
                else:
                    await self._connect(due)
        finally:
            await end(looking)

    async def stop(self) -> None:
        """Hang up on all."""
        for link in list(self.owners):
            link.end("the agent stops")
        await asyncio.gather(*self._serving.values(), return_exceptions=True)

    def summary(self) -> dict[str, Any]:
        """All connections together, for the status."""
        totals = list(self._bytes)
        for link in self.owners:
            totals[0] += link.bytes_in
            totals[1] += link.bytes_out
        now = time.monotonic()
        fresh = {node: one for node, one in self.heard.items() if now - one.at_s < FRESH_S}
        return {
            "adapter": self.config.adapter,
            "problem": None if self.problem is None else str(self.problem),
            "connections": len(self.owners),
            "accepted": self.accepted,
            "unclaimed": sorted(node.hex() for node, one in fresh.items() if one.unclaimed),
            "bytes_in": totals[0],
            "bytes_out": totals[1],
        }

    # Whom to connect to

    def _anybody_missing(self) -> bool:
        # Who is nobody's is heard only by listening; somebody may ask for it at any time.
        return self.config.claim or any(not self._nodes.live(node) for node in self._nodes.paired())

    def _wanted(self, node: bytes) -> bool:
        if node in self._serving or self._nodes.live(node):
            return False
        return node in self._nodes.paired() or (self.config.claim and self._nodes.claimed(node))

    def _due(self) -> bytes | None:
        """Of those that are wanted, and not too soon after a failure, the one that has waited longest."""
        now = time.monotonic()
        for node, one in self.heard.items():
            if now - one.at_s < FRESH_S and self._wanted(node) and not self._backoff(node).wait_s():
                return node
        return None

    def _backoff(self, node: bytes) -> Backoff:
        return self._backoffs.setdefault(node, self._make_backoff())

    async def _scan(self) -> None:
        """Listen until somebody is heard who is wanted."""
        self._found.clear()
        scanner = BleakScanner(self._advertised, bluez=self._bluez())
        async with scanner:
            try:
                async with asyncio.timeout(SCAN_S):
                    await self._found.wait()
            except TimeoutError:
                pass

    def _bluez(self) -> Any:
        return {} if self.config.adapter is None else {"adapter": self.config.adapter}

    def _advertised(self, device: BLEDevice, data: AdvertisementData) -> None:
        said = data.service_data.get(SERVICE)
        if said is None or len(said) <= ID_BYTES:
            return
        node, flags = bytes(said[:ID_BYTES]), said[ID_BYTES]
        self.heard[node] = Heard(device, bool(flags & UNCLAIMED), data.rssi, time.monotonic())
        self.heard.move_to_end(node)
        while len(self.heard) > MAX_HEARD:
            # Whoever shouts many ids pushes out no node of ours.
            strange = (one for one in self.heard if not self._wanted(one))
            del self.heard[next(strange, next(iter(self.heard)))]
        if self._wanted(node) and not self._backoff(node).wait_s():
            self._found.set()

    async def _cannot(self, error: Exception) -> None:
        why = explained(error, self.config.adapter)
        if self.problem is None or self.problem.condition != why.condition:
            log.error("%s; trying again until it works", why)
        self.problem = why
        await asyncio.sleep(self._adapter.failed())

    # Connections

    async def _connect(self, node: bytes) -> None:
        # It is heard anew before the next attempt.
        device = self.heard.pop(node).device
        link = BleLink(device, PROVE_S if node in self._nodes.paired() else CLAIM_S)
        backoff = self._backoff(node)
        try:
            await link.open()
        except (BleakError, OSError, TimeoutError, EOFError) as e:
            delay = backoff.failed()
            log.info("%s: no connection: %s; again in %.1f s", link.port, str(e) or type(e).__name__, delay)
            return
        owner = self._make_owner(link.port)
        self.owners[link] = owner
        self.accepted += 1
        self._serving[node] = asyncio.create_task(self._serve(node, link, owner))

    async def _serve(self, node: bytes, link: BleLink, owner: Owner) -> None:
        backoff = self._backoff(node)
        lived = False
        try:
            link.begin(owner)
            while not link.over.is_set():
                if not lived and self._nodes.live(node):
                    lived = True
                    backoff.succeeded()
                try:
                    async with asyncio.timeout(LOOK_S):
                        await link.over.wait()
                except TimeoutError:
                    link.look(time.monotonic())
        finally:
            await link.part()
            delay = backoff.failed()
            owner.closed(link, link.why, delay)
            self._bytes[0] += link.bytes_in
            self._bytes[1] += link.bytes_out
            self.owners.pop(link, None)
            self._serving.pop(node, None)

    async def _look(self) -> None:
        """Forget what is too old to matter."""
        while True:
            await asyncio.sleep(FRESH_S)
            known = self._nodes.paired()
            for node in [node for node in self._backoffs if node not in known and node not in self._serving]:
                if node not in self.heard:
                    del self._backoffs[node]
