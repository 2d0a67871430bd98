"""Which event loop the agent runs on: uvloop where it is installed (extra `fast`), Python's own otherwise."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

from edge_agent.tasks import alone


def factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


# Nothing here makes cycles in numbers, and a search of all that a thousand nodes keep takes 30 ms: looking
# for them seldom costs nothing but the few that wait.
YOUNG, MIDDLE, OLD = 50_000, 20, 50


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` to its end, as asyncio.run() does, and tasks.run()."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    with asyncio.Runner(loop_factory=factory()) as runner:
        runner.run(alone(main))
