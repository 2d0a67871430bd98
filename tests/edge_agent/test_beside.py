"""Work beside the event loop: its end waits for none that hangs, and tells what became of the rest."""

import asyncio
import threading
import time

import pytest

from edge_agent.beside import beside, settled


def test_its_result_and_its_error():
    def failing():
        raise OSError("no medium")

    async def main():
        assert await beside(divmod, 7, 2) == (3, 1)
        with pytest.raises(OSError, match="no medium"):
            await beside(failing)

    asyncio.run(main())


def test_a_loop_ends_although_work_hangs():
    for_ever = threading.Event()

    async def main():
        waiting = asyncio.create_task(beside(for_ever.wait))
        await asyncio.sleep(0)
        waiting.cancel()
        await settled(0.01)

    running = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    running.start()
    running.join(30)
    hung = running.is_alive()
    for_ever.set()
    assert not hung


def test_what_was_begun_is_waited_for_though_nobody_wants_its_result():
    begun, go, done = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        go.wait(30)
        done.append(1)
        raise OSError("nobody hears this")

    async def main():
        told = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        waiting = asyncio.create_task(beside(work))
        while not begun.is_set():
            await asyncio.sleep(0)
        waiting.cancel()
        threading.Timer(0.05, go.set).start()
        await settled(30)
        assert done and waiting.cancelled() and not told

    asyncio.run(main())


def test_other_loops_work_is_not_ours():
    go = threading.Event()

    async def main():
        waiting = asyncio.create_task(beside(go.wait))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(main())
    began = time.monotonic()
    asyncio.run(settled(60))
    assert time.monotonic() - began < 30
    go.set()
