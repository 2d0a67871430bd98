"""A line that moves while a command reads through a store: on a terminal only, and gone when it has done."""

import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def busy(what: str) -> Generator[None]:
    """Show on stderr that `what` is under way, and for how long, while the block runs."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        shown.add_task(what, total=None)
        yield
