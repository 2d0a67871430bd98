"""Work that can take for ever: a medium that hangs, a network folder whose server has gone, a port's driver.

Not asyncio.to_thread(): the end of an event loop waits for its threads without limit, and so does the end of
the process.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
_under_way: set[asyncio.Future[Any]] = set()


async def beside(work: Callable[..., T], *args: object) -> T:
    """The result of `work(*args)`, done in a thread of its own, which nothing waits for once this is
    cancelled: then the work goes on, to its end or to that of the process.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: Any, error: Exception | None) -> None:
        if error is None:
            done.set_result(result)
            return
        done.set_exception(error)
        # Whoever wanted to know may have gone.
        done.exception()

    def run() -> None:
        result, error = None, None
        try:
            result = work(*args)
        except Exception as e:
            error = e
        _under_way.discard(done)
        with suppress(RuntimeError):  # The loop has ended meanwhile.
            loop.call_soon_threadsafe(tell, result, error)

    _under_way.add(done)
    threading.Thread(target=run, name="beside", daemon=True).start()
    # A cancellation is of the waiting, not of the work.
    return await asyncio.shield(done)


async def settled(most_s: float) -> None:
    """Wait until what was begun in this event loop is done, `most_s` at most."""
    loop = asyncio.get_running_loop()
    left = [one for one in _under_way.copy() if one.get_loop() is loop]
    if left:
        await asyncio.wait(left, timeout=most_s)
