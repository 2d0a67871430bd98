"""status.json in time: made in pieces, so that with a thousand nodes neither commits nor links wait for it,
and as often as it costs little.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edge_agent.beside import beside
from edge_agent.ledger.ledger import BootFacts, Row, account
from edge_agent.nodes.peers import PeersError
from edge_agent.ops import status
from edge_agent.store.loading import STATEMENTS, withheld
from protocol import cbor

if TYPE_CHECKING:
    from edge_agent.agent import Agent

log = logging.getLogger("vitalwire.agent")

# Once a second while that takes less than a fiftieth of a core; health.py takes 5 s for too old.
EVERY_S = 1.0
SHARE = 0.02
MOST_S = 4.0
# What is withheld is counted so often at most.
WITHHELD_S = 5.0
# Boots that are accounted for, and nodes that are described, in one go: a few milliseconds.
BOOTS = 64
NODES = 64


class Reporter:
    """Writes the status of an agent. `latest`: the last one, None before the first."""

    def __init__(self, agent: "Agent") -> None:
        self.latest: dict[str, Any] | None = None
        self.spent_s = 0.0
        self._agent = agent
        self._set_aside = 0
        self._seen = 0
        self._withheld: dict[str, int] = {}
        self._count_at = 0.0

    @property
    def pause_s(self) -> float:
        """How long to wait before the next."""
        return min(max(EVERY_S, self.spent_s / SHARE), MOST_S)

    async def write(self, state: str) -> None:
        """Make it and put it in place; what the disk does not take is the next one's."""
        agent, run = self._agent, self._agent.worker.run
        self.spent_s = 0.0
        rows: list[Row] = []
        for group in groups(await run(self._boots)):
            rows += await run(self._timed, account, group, agent.store.summaries)
        aside, held_back = await run(self._aside), await run(self._held_back)
        facts = await run(self._timed, status.store_facts, agent, tuple(rows), aside, held_back)
        began = time.thread_time()
        with suppress(PeersError):
            agent.paired = {*agent.peers.ids(), *agent.readers.ids}
        counts = status.counts_of(rows)
        ids = sorted({*agent.hub.views, *(bytes.fromhex(node) for node in counts), *agent.paired})
        nodes: list[dict[str, Any]] = []
        for n, node in enumerate(ids):
            nodes.append(status.node(agent, node, counts.get(node.hex()), time.time_ns() // 1000))
            if n % NODES == NODES - 1:
                await asyncio.sleep(0)
        made = status.snapshot(agent, facts, state, nodes)
        self.spent_s += time.thread_time() - began
        self.latest = made
        try:
            await beside(self._timed, status.write, agent.config.status, made)
        except OSError as e:
            log.debug("status.json: %s", e)

    # In other threads, one after the other

    def _timed(self, work: Any, *args: Any) -> Any:
        began = time.thread_time()
        try:
            return work(*args)
        finally:
            self.spent_s += time.thread_time() - began

    def _boots(self) -> list[BootFacts]:
        return list(self._agent.store.facts.values())

    def _held_back(self) -> dict[str, int]:
        """What is withheld, by forwarder: of years without a consent that takes long, and is asked seldom."""
        began = time.monotonic()
        if began >= self._count_at:
            self._withheld = withheld(self._agent.store.db)
            self._count_at = began + max(WITHHELD_S, (time.monotonic() - began) / SHARE)
        return self._withheld

    def _aside(self) -> int:
        """How often a store was set aside, by the statements: of those there are ever more, so each is read
        once."""
        for found, data, _ in self._agent.store.db.execute(STATEMENTS, (self._seen,)):
            self._seen = found
            self._set_aside += data is not None and cbor.loads(data)[1] == "store_set_aside"
        return self._set_aside


def groups(boots: list[BootFacts]) -> Iterator[list[BootFacts]]:
    """The boots of some nodes at a time; never those of one node in two groups."""
    group: list[BootFacts] = []
    for boot in sorted(boots, key=lambda facts: facts.node):
        if len(group) >= BOOTS and boot.node != group[-1].node:
            yield group
            group = []
        group.append(boot)
    if group:
        yield group
