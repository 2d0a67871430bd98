"""When a group of frames is committed: soon where somebody waits for it, later where more can share it."""

import asyncio
import selectors
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_agent.nodes import ingest as intake
from edge_agent.nodes.ingest import Ingest
from edge_agent.store import loading
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.items import Frame, Outcome
from tests.edge_agent.store_kit import reopened

NODE, BOOT = bytes(8), bytes(12)
COMMIT_MS = 40


class Skips(selectors.DefaultSelector):
    """Waits for nothing; `now`: how long it would have waited."""

    now = 0.0

    def select(self, timeout: float | None = None):
        self.now += timeout or 0.0
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """A loop on whose clock time passes only where it is waited for."""

    def __init__(self) -> None:
        self._skips = Skips()
        super().__init__(self._skips)

    def time(self) -> float:
        return self._skips.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A commit takes as long as the loop's clock says, too."""
    monkeypatch.setattr(intake, "time", SimpleNamespace(perf_counter=now))


def now() -> float:
    return asyncio.get_running_loop().time()


class Prompt:
    """The store's thread, without a thread; `takes_s`: how long each commit takes."""

    def __init__(self) -> None:
        self.takes_s = 0.0

    async def run(self, work, *args):
        await asyncio.sleep(self.takes_s)
        return work(*args)


class Kept:
    """A store that remembers what was committed together; `full`: it takes nothing."""

    path = Path("kept")

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.full = False

    def commit(self, items) -> list[Outcome]:
        if self.full:
            raise StoreUnwritable(self.path, "disk full", "")
        self.groups.append(len(items))
        return [Outcome.STORED for _ in items]


class Node:
    """Whose frames these are; when each was said to be durable."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def committed(self, item, outcome, session) -> None:
        self.at.append(now())


class World:
    def __init__(self) -> None:
        self.store, self.worker, self.node = Kept(), Prompt(), Node()
        self.ingest = Ingest(self.store, self.worker, COMMIT_MS)
        self.seq = 0
        self.took_s = self.second_s = 0.0

    def say(self, count: int = 1) -> None:
        for _ in range(count):
            self.ingest.frame(Frame(NODE, BOOT, self.seq, b"", 1), self.node, self)
            self.seq += 1


def within(play) -> World:
    """Run `play(world)` beside the intake; how long it took, in `world.took_s`."""

    async def run() -> World:
        world = World()
        task = asyncio.create_task(world.ingest.run())
        began = now()
        await play(world)
        world.took_s = now() - began
        task.cancel()
        return world

    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(run())


async def durable(world: World, count: int) -> None:
    while len(world.node.at) < count:
        await asyncio.sleep(0.001)


def about(seconds: float):
    """To the steps in which `durable` looks."""
    return pytest.approx(seconds, abs=0.003)


def test_frames_that_nobody_waits_for_share_a_commit():
    async def play(world: World) -> None:
        for _ in range(8):
            world.say()
            await asyncio.sleep(0.01)
        await durable(world, 8)

    world = within(play)
    assert world.store.groups == [8] and world.took_s == about(2.5 * COMMIT_MS / 1000)


@pytest.mark.parametrize("why", ["a node waits", "an order waits", "the agent stops", "many frames"])
def test_what_somebody_waits_for_is_committed_soon(why):
    async def play(world: World) -> None:
        world.say(intake.MANY if why == "many frames" else 1)
        if why == "a node waits":
            world.ingest.hurry()
        elif why == "an order waits":
            world.ingest.add(Frame(NODE, BOOT, 1000, b"", 1), lambda outcome: None)
        elif why == "the agent stops":
            await world.ingest.flush()
        await durable(world, 1)

    assert within(play).took_s == about(COMMIT_MS / 1000)


def test_hurry_is_over_once_there_was_a_commit():
    async def play(world: World) -> None:
        world.say()
        world.ingest.hurry()
        await durable(world, 1)
        world.say()
        await asyncio.sleep(0.06)
        world.say()
        await durable(world, 3)

    assert within(play).store.groups == [1, 2]


def test_on_a_slow_disk_nothing_waits_besides():
    async def play(world: World) -> None:
        world.worker.takes_s = 0.1
        world.say()
        await durable(world, 1)
        began = now()
        world.say()
        await durable(world, 2)
        world.second_s = now() - began

    # As long as the last one took, then that again.
    assert within(play).second_s == about(0.2)


def test_after_the_disk_refused_frames_are_let_go_and_the_next_are_taken():
    async def play(world: World) -> None:
        world.store.full = True
        world.say()
        while world.ingest.problem is None:
            await asyncio.sleep(0.01)
        world.store.full = False
        world.say()
        await durable(world, 1)

    world = within(play)
    assert world.ingest.refused == 1 and world.store.groups == [1] and world.ingest.problem is None


def test_statements_are_found_without_reading_the_frames(tmp_path):
    store, _ = reopened(tmp_path / "agent.db")
    plan = store.db.execute("EXPLAIN QUERY PLAN " + loading.STATEMENTS, (5,)).fetchall()
    assert "USING INDEX remarks" in str(plan)
    store.close()
