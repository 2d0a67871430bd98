"""Which event loop the agent runs on: uvloop where it is installed (extra `fast`), Python's own otherwise."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


def factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end, as asyncio.run() does."""
    with asyncio.Runner(loop_factory=factory()) as runner:
        runner.run(main)
