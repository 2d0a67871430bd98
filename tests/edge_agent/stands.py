"""Where the tasks of an event loop and the threads of this process stand: what a test says of a hang."""

import asyncio
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import edge_agent

AGENT = Path(edge_agent.__file__).parent


def stands(loop: asyncio.AbstractEventLoop) -> str:
    """One line an await, outermost first, of each task; then each thread's stack. From any thread, also when
    the loop itself hangs.
    """
    lines: list[str] = []
    for task in asyncio.all_tasks(loop):
        lines.append(f"task {task.get_name()}, cancelled {task.cancelling()} times, done {task.done()}")
        awaited: Any = task.get_coro()
        while awaited is not None:
            frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
            if frame is not None:
                code = frame.f_code
                lines.append(f"  {code.co_filename}:{frame.f_lineno} {code.co_qualname}")
            else:
                lines.append(f"  {awaited!r}")
            awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    running = sys._current_frames()
    for thread in threading.enumerate():
        lines.append(f"thread {thread.name}")
        lines += [line.rstrip() for line in traceback.format_stack(running.get(thread.ident or 0))[-4:]]
    return "\n".join(lines)


def left_by_agent(tasks: set[asyncio.Task[Any]]) -> list[str]:
    """Those of the agent's own code, by function."""
    codes = [getattr(task.get_coro(), "cr_code", None) for task in tasks]
    return [code.co_qualname for code in codes if code and f"{AGENT}/" in code.co_filename]
