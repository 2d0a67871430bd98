"""Channels under their guards: what befalls one touches no other, nor the collecting."""

import asyncio
from pathlib import Path

import pytest

from edge_agent.backoff import Backoff
from edge_agent.custody.delivery import Delivery
from edge_agent.forward import channels
from edge_agent.forward.base import REFUSED_PAUSE_S
from edge_agent.forward.channels import BatchChannel, Guard
from edge_agent.store.errors import StoreCorrupt, StoreUnwritable
from tests.edge_agent.test_delivery import World as Base
from tests.edge_agent.test_forward import World as Forward


class Fake:
    """A channel that does what a test wants."""

    def __init__(self, name="file", work=None, starts=None):
        self.name = name
        self.required = False
        self.connected = True
        self.started = self.stopped = self.runs = self.woken = 0
        self._work = work
        self._starts = starts

    def start(self):
        self.started += 1
        if self._starts is not None:
            self._starts()

    async def stop(self):
        self.stopped += 1

    def wake(self):
        self.woken += 1

    def status(self):
        return {"connected": self.connected}

    def tasks(self):
        return [self._run()]

    async def _run(self):
        self.runs += 1
        if self._work is not None:
            await self._work()
        await asyncio.Event().wait()


def guarded(channel) -> Guard:
    return Guard(channel, Backoff(0.001, 0.002))


async def until(fact) -> None:
    async with asyncio.timeout(30):
        while not fact():
            await asyncio.sleep(0.005)


def test_a_disk_that_takes_no_writes_is_waited_for_in_one_line(monkeypatch, caplog):
    monkeypatch.setattr(channels, "DISK_S", 0.001)
    full = [True]

    async def confirms():
        if full[0]:
            raise StoreUnwritable(Path("agent.db"), "the disk is full", "make room")
        await asyncio.Event().wait()

    async def main():
        guard = guarded(Fake("fhir", confirms))
        task = asyncio.create_task(guard.run())
        await until(lambda: guard.channel.runs >= 5)
        assert "the disk is full" in (guard.problem or "") and guard.failures == 0
        full[0] = False
        runs = guard.channel.runs
        await until(lambda: guard.channel.runs > runs)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    (line,) = caplog.records
    assert line.levelname == "WARNING" and line.exc_info is None
    assert "fhir waits" in line.message and "the disk is full" in line.message


def test_a_channel_that_raises_is_begun_anew_and_the_others_go_on():
    async def broken():
        raise ZeroDivisionError("no such thing")

    async def main():
        bad, good = guarded(Fake("fhir", broken)), guarded(Fake("mqtt"))
        tasks = [asyncio.create_task(guard.run()) for guard in (bad, good)]
        await until(lambda: bad.failures >= 3)
        assert "no such thing" in (bad.problem or "") and bad.channel.started == 1
        assert good.failures == 0 and good.channel.runs == 1 and good.problem is None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await bad.stop()
        assert bad.channel.stopped == 1

    asyncio.run(main())


def test_a_channel_that_cannot_start_is_tried_again():
    left = [OSError("no such file: cert.pem"), OSError("expired")]

    def starts():
        if left:
            raise left.pop(0)

    async def main():
        guard = guarded(Fake("mqtt", starts=starts))
        task = asyncio.create_task(guard.run())
        await until(lambda: guard.channel.runs == 1)
        assert guard.failures == 2 and guard.channel.started == 3
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_a_damaged_store_is_no_misfortune_of_a_channel(tmp_path):
    async def corrupt():
        raise StoreCorrupt(tmp_path, "damaged")

    async def broken():
        async with asyncio.TaskGroup() as group:
            group.create_task(corrupt())

    async def main():
        with pytest.raises(StoreCorrupt):
            await guarded(Fake("mqtt", broken)).run()

    asyncio.run(main())


def test_stopping_a_channel_that_raises_is_only_logged():
    class Stubborn(Fake):
        async def stop(self):
            raise RuntimeError("will not")

    async def main():
        guard = guarded(Stubborn())
        await guard.stop()
        task = asyncio.create_task(guard.run())
        await until(lambda: guard.channel.runs == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await guard.stop()

    asyncio.run(main())


class World(Base):
    def __init__(self, path, *channels):
        super().__init__(path)
        self.delivery.guards = [guarded(channel) for channel in channels]


def test_batches_are_made_while_every_channel_is_dead(tmp_path):
    async def broken():
        raise OSError("connection refused")

    channels = [Fake("mqtt", broken), Fake("file", broken)]
    world = World(tmp_path, *channels)

    async def main():
        from tests.edge_agent.test_delivery import frame

        tasks = [asyncio.create_task(work) for work in [world.ingest.run(), *world.delivery.tasks()]]
        for seq in range(5):
            world.ingest.add(frame(seq))
        await world.ingest.flush()
        world.store.db.execute("INSERT INTO nodes VALUES(?, ?, ?, 1, 1)", (b"node-one", bytes(32), bytes(32)))
        await world.delivery.make()
        assert world.store.last_batch == 1 and world.delivery.problem is None
        assert all(channel.woken for channel in channels)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    world.run(main())


def test_answers_for_nobody_and_a_flood_of_them_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_agent.custody.delivery.MAX_ANSWERS", 10)
    world = World(tmp_path, Fake("fhir"))
    world.delivery = Delivery(
        world.delivery._config, world.delivery.custody, world.worker, world.ingest, b"x" * 8
    )

    async def main():
        for _ in range(15):
            world.delivery.received("mqtt", b"?")
        assert world.delivery.overflow == 5
        task = asyncio.create_task(world.delivery.take_answers())
        await until(world.delivery._answers.empty)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    world.run(main())


class Outlet:
    """An outlet whose owner the test plays."""

    def __init__(self, owner):
        self.owner = owner
        self.connected = False
        self.max_message = None
        self.out = []
        self.asked = 0

    def start(self):
        self.connected = True
        self.owner.connected()

    async def stop(self):
        self.connected = False

    def publish(self, message):
        self.out.append(message)

    def ask(self, message):
        self.asked += 1

    def too_large(self, batch, size):
        raise AssertionError

    def status(self):
        return {"connected": self.connected, "problem": None}


@pytest.mark.parametrize("live", [True, False])
def test_only_a_live_far_end_is_asked(tmp_path, live):
    world = Base(tmp_path)

    async def main():
        world.delivery.custody.unanswered = True
        channel = BatchChannel("mqtt", True, world.delivery, Outlet, 10.0, live)
        world.delivery.guards = [guarded(channel)]
        tasks = [asyncio.create_task(work) for work in world.delivery.tasks()]
        await until(lambda: channel.connected)
        channel.wake()
        if live:
            await until(lambda: channel.outlet.asked)
        else:
            await asyncio.sleep(0.1)
            assert channel.outlet.asked == 0
        assert channel.status()["in_flight"] == 0
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    world.run(main())


def test_a_message_that_the_outlet_does_not_take_is_not_sent_and_holds_up_no_other():
    w = Forward(3)
    w.max_message = 3
    real = w.message

    async def message(forwarder, batch):
        return b"2 long" if batch == 2 else await real(forwarder, batch)

    w.message = message
    assert w.pump() == [1, 3] and w.large == [(2, 6)]
    assert w.pump(REFUSED_PAUSE_S - 1) == [1, 3] and w.large == [(2, 6)]
    w.max_message = None
    w.receipt(1)
    w.receipt(3)
    assert w.pump(REFUSED_PAUSE_S) == [2]


def test_what_was_released_goes_again_by_every_channel(tmp_path, monkeypatch):
    """Piece by piece; a forwarder that reads entries is given those batches beside the next ones."""
    world = World(tmp_path, Fake("fhir"))
    pieces = {0: ([3], 40), 40: ([5], None)}
    asked = []

    def released(forwarder, after, limit):
        asked.append((forwarder, after))
        return pieces[after]

    monkeypatch.setattr(world.delivery.custody, "released", released)
    monkeypatch.setattr(world.delivery.custody, "confirm", lambda *_: True)

    async def main():
        delivery = world.delivery
        channel = BatchChannel("mqtt", True, delivery, Outlet, 10.0)
        delivery.guards.append(guarded(channel))
        task = asyncio.create_task(delivery.release())
        await until(lambda: len(asked) == 4)
        await until(lambda: channel.forwarder._again == [3, 5])
        assert await delivery.batches_after("fhir", 9) == [3, 5]
        await delivery.confirm("fhir", 3, b"200")
        assert await delivery.batches_after("fhir", 9) == [5]
        delivery.consent_changed()
        await until(lambda: len(asked) == 8)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    world.run(main())
