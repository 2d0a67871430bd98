"""Any number of boards at once: a thread and a bar each; one that fails stops no other."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tools.flash.report import Outcome
from tools.flash.run import Plan, Tell, flash
from tools.flash.trouble import Interrupted

# A board is waited for most of the time: this is for the computer's memory, not its processor.
MOST_AT_ONCE = 32
# As a shell has it.
INTERRUPTED = 130


def flash_all(
    ports: Sequence[str], plan: Plan, console: Console, done: Callable[[Outcome], None]
) -> list[Outcome]:
    """Flash the boards on these ports, in their order; `done` is called for each as it ends.

    Ctrl-C ends all of them at their next step, and they say so; a second one ends the program.
    """
    ending = threading.Event()
    outcomes: dict[str, Outcome] = {}
    columns = (
        TextColumn("{task.fields[port]}"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        tasks = {port: shown.add_task("waiting", total=None, port=port) for port in ports}
        with ThreadPoolExecutor(min(len(ports), MOST_AT_ONCE)) as pool:
            futures = [pool.submit(flash, port, plan, _teller(shown, tasks[port], ending)) for port in ports]
            waiting = set(futures)
            while waiting:
                try:
                    for future in as_completed(waiting.copy()):
                        waiting.discard(future)
                        outcome = future.result()
                        outcomes[outcome.port] = outcome
                        shown.update(tasks[outcome.port], visible=False)
                        done(outcome)
                except KeyboardInterrupt:
                    if ending.is_set():
                        os._exit(INTERRUPTED)
                    ending.set()
                    shown.console.print("ending; a board that was begun can be flashed again")
    return [outcomes[port] for port in ports]


def _teller(shown: Progress, task: TaskID, ending: threading.Event) -> Tell:
    last = ""

    def tell(what: str, done: int, of: int) -> None:
        nonlocal last
        if ending.is_set():
            raise Interrupted
        shown.update(task, description=what, completed=done, total=of or None)
        if what != last and not shown.console.is_terminal and not of:
            shown.console.print(f"{shown.tasks[task].fields['port']}: {what}")
        last = what

    return tell
