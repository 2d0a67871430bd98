"""Tasks of the delivery end when they are told to, whatever happens at that moment."""

import asyncio
from pathlib import Path

import pytest

from edge_agent.config import Config
from edge_agent.custody.custody import Custody
from edge_agent.custody.delivery import Delivery
from edge_agent.nodes.ingest import Ingest, Worker
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.items import Count, Frame, Outcome
from edge_agent.store.opening import open_store
from tests.edge_agent.fakes import identity

AGENT = identity(7)


class World:
    def __init__(self, path: Path) -> None:
        self.store, _ = open_store(path / "agent.db", AGENT.id, 1)
        self.worker = Worker()
        self.ingest = Ingest(self.store, self.worker, 1)
        config = Config(path, path / "agent.key", (), batch_s=60)
        custody = Custody(self.store, AGENT, None, 1000, lambda: 5)
        self.delivery = Delivery(config, custody, self.worker, self.ingest, AGENT.id)

    def run(self, main) -> None:
        try:
            asyncio.run(main)
        finally:
            self.worker.close()
            self.store.close()


def frame(seq: int) -> Frame:
    return Frame(b"node-one", bytes(12), seq, b"x", 1)


def test_a_cancellation_that_comes_with_the_event_is_obeyed(tmp_path):
    world = World(tmp_path)

    async def main() -> None:
        for _ in range(20):
            task = asyncio.create_task(world.delivery.make_batches())
            await asyncio.sleep(0.01)
            world.delivery._full.set()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(60):
                    await task

    world.run(main())


def test_a_refusing_disk_lets_frames_go_and_keeps_what_cannot_be_said_again(tmp_path):
    world = World(tmp_path)
    outcomes = []

    async def main() -> None:
        task = asyncio.create_task(world.ingest.run())
        sound = world.store.commit

        def full(items):
            raise StoreUnwritable(world.store.path, "database or disk is full")

        world.store.commit = full  # pyright: ignore[reportAttributeAccessIssue]
        world.ingest.add(frame(0), outcomes.append)
        world.ingest.add(Count("bad_tag", 3))
        await world.ingest.flush()
        assert outcomes == [] and world.ingest.refused == 1 and "full" in str(world.ingest.problem)
        world.store.commit = sound
        world.ingest.add(frame(0), outcomes.append)
        while not outcomes:
            await asyncio.sleep(0.01)
        await world.ingest.flush()
        assert outcomes == [Outcome.STORED] and world.store.counters == {"bad_tag": 3}
        assert world.ingest.problem is None
        task.cancel()

    world.run(main())


def test_a_flood_is_bounded(tmp_path, monkeypatch):
    world = World(tmp_path)
    monkeypatch.setattr("edge_agent.nodes.ingest.MAX_PENDING", 10)

    async def main() -> None:
        for seq in range(30):
            world.ingest.add(frame(seq))
        assert world.ingest.refused == 20

    world.run(main())
