"""Ending tasks for certain."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
AGAIN_S = 1.0


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until each has ended; what they raise is dropped. Who is cancelled while it waits for that
    waits on, and is cancelled then.

    Once is not enough: until Python 3.12, asyncio.wait_for() swallows a cancellation that comes with the
    result, and Bluetooth libraries use it (https://docs.python.org/3/whatsnew/3.12.html, asyncio).
    """
    left = set(tasks)
    cancelled: asyncio.CancelledError | None = None
    while left:
        for task in left:
            task.cancel()
        try:
            await asyncio.wait(left, timeout=AGAIN_S)
        except asyncio.CancelledError as e:
            cancelled = e
        left = {task for task in left if not task.done()}
    for task in tasks:
        if not task.cancelled():
            task.exception()
    if cancelled is not None:
        raise cancelled


async def alone(main: Coroutine[Any, Any, T]) -> T:
    """The result of `main`; whatever else runs in the event loop ends with it. For whoever makes the loop:
    its own end cancels what is left once, and waits for that without limit.
    """
    try:
        return await main
    finally:
        await end(*(asyncio.all_tasks() - {asyncio.current_task()}))


def run(main: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run() does, and alone()."""
    return asyncio.run(alone(main))
