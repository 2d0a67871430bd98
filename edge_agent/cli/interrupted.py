"""A command that a signal ends: it undoes what it had begun, says one line, and exits with the status that
shells expect: 130 after Ctrl-C, 143 after SIGTERM, 129 when its terminal has gone.
"""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

# Where a signal ends a process at once, an errand would stay that nobody waits for any more.
GENTLY = ("SIGTERM", "SIGHUP")


@contextmanager
def interruptible() -> Generator[None]:
    """Signals end the block as Ctrl-C does. click.exceptions.Exit with the status."""
    came = [signal.SIGINT]

    def end(number: int, frame: FrameType | None) -> None:
        came.append(signal.Signals(number))
        # Whatever Ctrl-C does just now: an event loop cancels its task.
        as_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(as_ctrl_c):
            raise KeyboardInterrupt
        as_ctrl_c(signal.SIGINT, frame)

    before = _install(end)
    try:
        yield
    except (KeyboardInterrupt, click.Abort) as e:
        if not isinstance(e, KeyboardInterrupt) and not isinstance(e.__context__, KeyboardInterrupt):
            raise
        # On a terminal, what Ctrl-C shows stands in the line.
        click.echo(f"\n{'Interrupted' if came[-1] == signal.SIGINT else 'Ended'}.", err=True)
        raise click.exceptions.Exit(128 + came[-1]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _install(end: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    """The handlers before. What is ignored stays so: nohup has its reason."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = [getattr(signal, name) for name in GENTLY if hasattr(signal, name)]
    mine = [number for number in found if signal.getsignal(number) == signal.SIG_DFL]
    return {number: signal.signal(number, end) for number in mine}
