"""Ending tasks for certain."""

import asyncio
from typing import Any

AGAIN_S = 1.0


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until each has ended; what they raise is dropped.

    Once is not enough: until Python 3.12, asyncio.wait_for() swallows a cancellation that comes with the
    result, and Bluetooth libraries use it (https://docs.python.org/3/whatsnew/3.12.html, asyncio).
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
    for task in tasks:
        if not task.cancelled():
            task.exception()
