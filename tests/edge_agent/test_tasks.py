"""Tasks end although a library takes their cancellation for its own."""

import asyncio
import threading

import pytest

from boards.virtual.ble import central
from edge_agent import tasks
from edge_agent.standard.devices import Device, Devices
from tests.edge_agent.running import Running
from tests.edge_agent.standard_device import StandardDevice
from tests.edge_agent.test_standard_devices import ADDRESS, STRAP


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(tasks, "AGAIN_S", 0.01)


async def stubborn(times):
    """Takes so many cancellations for its own."""
    while times:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            times -= 1
    raise ValueError("nobody asks for it")


def test_a_task_is_cancelled_until_it_has_ended():
    async def main():
        some = [asyncio.create_task(stubborn(times)) for times in (1, 3)]
        done = asyncio.create_task(asyncio.sleep(0))
        await asyncio.sleep(0)
        await tasks.end(*some, done)
        return [str(task.exception()) for task in some]

    assert asyncio.run(main()) == ["nobody asks for it"] * 2


def test_who_ends_others_and_is_ended_itself_leaves_none_of_them():
    async def owner(some):
        try:
            await asyncio.Event().wait()
        finally:
            await tasks.end(*some)

    async def main():
        some = [asyncio.create_task(stubborn(times)) for times in (1, 5)]
        owning = asyncio.create_task(owner(some))
        await asyncio.sleep(0)
        await tasks.end(owning)
        ended = [task.done() for task in some]
        # Otherwise the loop would wait for ever for what is left.
        await tasks.end(*some)
        return owning.cancelled(), ended

    assert asyncio.run(main()) == (True, [True, True])


def test_a_loop_of_ours_ends_with_what_a_library_left_in_it():
    left = []

    async def main(error=None):
        left.append(asyncio.create_task(stubborn(3)))
        await asyncio.sleep(0)
        if error:
            raise error
        return 7

    assert tasks.run(main()) == 7
    with pytest.raises(ValueError, match="ours"):
        tasks.run(main(ValueError("ours")))
    assert [task.done() for task in left] == [True, True]


def test_no_task_is_no_wait():
    asyncio.run(tasks.end())


def test_an_agent_stops_although_bluetooth_swallows_that(radio, kit, monkeypatch):
    subscribing = threading.Event()
    subscribe = central.BumbleClient.start_notify

    async def swallowing(self, characteristic, callback, **options):
        await subscribe(self, characteristic, callback, **options)
        subscribing.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # As asyncio.wait_for() does when the answer comes with it.
            return

    monkeypatch.setattr(central.BumbleClient, "start_notify", swallowing)
    Devices(kit.folder).add(Device(ADDRESS, "strap"))
    with StandardDevice(radio, ADDRESS, STRAP), Running(kit.config()):
        assert subscribing.wait(30)
