"""An agent whose disk is full asks a real node to send less, and the node goes on measuring."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent import keys
from edge_agent.agent import Agent
from edge_agent.config import Config, LinkConfig
from edge_agent.ledger.ledger import ledger
from edge_agent.nodes import pairing
from edge_agent.nodes.peers import Peers
from edge_agent.store.database import open_reader
from edge_agent.store.rows import journal_rows
from hil_tests.stack import PATIENCE_S
from protocol import frames


class Running:
    """An agent in a thread, without a collector; `limit(pages)` fills its disk."""

    def __init__(self, config: Config) -> None:
        self.agent = Agent(config)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._loop.run_until_complete(self.agent.run(self._stop))

    def limit(self, pages: int) -> None:
        sql = f"PRAGMA max_page_count = {pages}"
        self.agent.worker._pool.submit(self.agent.store.db.execute, sql).result().fetchall()

    def until(self, what: str, fact) -> None:
        end = time.monotonic() + PATIENCE_S
        while not fact():
            assert time.monotonic() < end and self._thread.is_alive(), what
            time.sleep(0.1)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self._loop.close()


@pytest.fixture
def running(make_node, tmp_path: Path) -> Iterator[tuple]:
    node = make_node().start()
    config = Config(tmp_path, tmp_path / "agent.key", (LinkConfig(node.port),), commit_ms=10)
    identity = keys.load_or_create(config.key, "agent")
    Peers(config.peers).add(pairing.exchange(LinkConfig(node.port), identity))
    agent = Running(config)
    yield node, agent, config
    agent.close()


def stored(config: Config, kind: int) -> int:
    """How many frames of a kind are in the store."""
    with closing(open_reader(config)) as db:
        rows = [row.data for row in journal_rows(db, 0, 1 << 40) if row.kind == 0]
    return sum(data is not None and frames.unpack(data)[0] == kind for data in rows)


def test_a_full_disk_makes_the_node_send_less_until_there_is_room(running) -> None:
    node, agent, config = running
    agent.until("live", lambda: config.store.exists() and stored(config, frames.KIND_VITALS) > 3)
    flow = agent.agent.hub.flow
    agent.limit(1)
    agent.until("the worst", lambda: flow.level.name == "waveforms off")
    agent.limit(1_000_000)
    # The vitals come first, while waveforms are still off; then everything does.
    before = stored(config, frames.KIND_VITALS)
    agent.until("vitals", lambda: stored(config, frames.KIND_VITALS) > before + 3)
    agent.until("normal", lambda: flow.level.name == "normal")
    assert flow.changes == 4, "to the worst in two steps, and back in two"
    waves = stored(config, frames.KIND_WAVE)
    agent.until("waveforms again", lambda: stored(config, frames.KIND_WAVE) > waves + 10)
    assert node.stop() == 0
    agent.until("all of it", lambda: ledger(config.store).totals["pending"] == stored_all(config))
    found = ledger(config.store)
    assert found.balanced and len(found.rows) == 1, found
    totals = found.totals
    assert totals["produced"] == totals["pending"] + totals["evicted"] and totals["delivered"] == 0


def stored_all(config: Config) -> int:
    """How many frames are in the store; without a collector all of them are pending."""
    with closing(open_reader(config)) as db:
        return db.execute("SELECT count(*) FROM journal WHERE kind = 0").fetchone()[0]
