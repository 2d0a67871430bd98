"""`vitalwire demo`: the whole path, live, and its account at the end."""

import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.live import Live

from boards.virtual.option_ranges import PRESSURES, SPEED, FiniteRange
from boards.virtual.recording import RecordError, default_record
from boards.virtual.rig import RigError
from edge_agent.links.ports import PortError
from edge_agent.nodes.pairing import PairingError
from tools import writable
from tools.build import BuildError
from tools.demo import account, outcome, snapshot, view
from tools.demo.picture import save_picture
from tools.demo.processes import ChildError
from tools.demo.readings import Readings
from tools.demo.snapshot import Snapshot
from tools.demo.stack import Input, Stack

FIRST_FRAME_S = 90
SETTLE_S = 60
# A measurement rests the arm for half a minute, inflates, and lets the air out slowly; it may try twice.
BP_S = 300
REFRESH_S = 0.25
LINE_S = 2.0
PIPE_WIDTH = 160


@click.command("demo", short_help="Run the whole way on this machine, live.")
@click.option("--seconds", type=FiniteRange(0, min_open=True), help="Stop after so long; else at Ctrl-C.")
@click.option("--record", help="Replay a recording: a path, or database/record such as mitdb/100.")
@click.option("--model", is_flag=True, help="A synthetic patient, even when recordings are at hand.")
@click.option(
    "--nodes", type=click.IntRange(1, 16), default=1, show_default=True, help="How many virtual nodes."
)
@click.option(
    "--speed",
    type=SPEED,
    default=1.0,
    show_default=True,
    help="Times faster than the wall.",
)
@click.option(
    "--bp",
    type=PRESSURES,
    default="120/80",
    show_default=True,
    help="Blood pressure of the synthetic arm in the cuff, in mmHg.",
)
@click.option(
    "--summary", type=click.Path(dir_okay=False, path_type=Path), help="Write the end summary here, as JSON."
)
@click.option(
    "--svg", type=click.Path(dir_okay=False, path_type=Path), help="Save a picture of the live view here."
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep stores, keys and logs in this (new) folder.",
)
def command(
    seconds: float | None,
    record: str | None,
    model: bool,
    nodes: int,
    speed: float,
    bp: tuple[float, float],
    summary: Path | None,
    svg: Path | None,
    keep: Path | None,
) -> None:
    """Run virtual nodes, agent, broker and collector on this machine, live, and prove at the end that nothing
    was lost.

    A blood pressure is measured, too, as if somebody had pressed the button at the start; however short the
    time, its result is waited for.

    \b
    Example:
      vitalwire demo --seconds 30
    """
    if record and model:
        raise click.UsageError("--record and --model exclude each other")
    source = Input(None if model else record or default_record(), nodes, speed, bp)
    with tempfile.TemporaryDirectory(prefix="vitalwire-demo-") as temporary:
        folder = keep or Path(temporary)
        if keep is not None:
            _make_empty(keep)
        _must_be_writable(summary, "--summary")
        _must_be_writable(svg, "--svg")
        run = _Run(folder.resolve(), source, seconds, svg)
        try:
            result = run.run()
        except (RecordError, RigError, BuildError, ChildError, PairingError, PortError, OSError) as e:
            raise click.ClickException(str(e)) from e
    account.show(result, make_console())
    if summary is not None:
        try:
            outcome.write_summary(result, summary)
        except OSError as e:
            raise click.ClickException(f"the summary could not be written to {summary}: {e.strerror}") from e
    if run.unsaved is not None:
        raise click.ClickException(run.unsaved)
    sys.exit(0 if result.good else 1)


def _make_empty(folder: Path) -> None:
    """There is an empty folder of that name now; BadParameter when there cannot be."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise click.BadParameter(f"{folder} is not empty", param_hint="--keep")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise click.BadParameter(f"{folder} cannot be used: {e.strerror}", param_hint="--keep") from e


def _must_be_writable(path: Path | None, option: str) -> None:
    """BadParameter, before the run and not after it, when a file cannot be written there."""
    why = None if path is None else writable.why_not(path)
    if why is not None:
        raise click.BadParameter(why, param_hint=option)


def make_console() -> Console:
    """The terminal, or lines of any length where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


class _Run:
    """One demo, from start to account."""

    def __init__(self, folder: Path, source: Input, seconds: float | None, svg: Path | None):
        self._folder = folder
        self._source = source
        self._seconds = seconds
        self._svg = svg
        self._patience_s = max(BP_S, BP_S / source.speed)
        self._stopping = threading.Event()
        self._console = make_console()
        self._readings = Readings(folder / "agent" / "agent.db", source.speed)
        self.unsaved: str | None = None

    def run(self) -> outcome.Outcome:
        previous = {
            s: signal.signal(s, self._on_signal) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            self._say("starting broker, collector, nodes and agent …")
            with Stack(self._folder, self._source) as stack:
                last = self._watch(stack)
                if self._svg is not None:
                    try:
                        save_picture(last, self._svg)
                    except OSError as e:
                        self.unsaved = f"the picture could not be written to {self._svg}: {e.strerror}"
                self._say(
                    "stopping: the nodes sign for their last frames, the agent waits for its receipts …"
                )
                last = self._settle(stack, last.seconds)
            return outcome.draw_up(stack, last)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._stopping.is_set():
            raise KeyboardInterrupt
        self._stopping.set()

    def _say(self, text: str) -> None:
        self._console.print(text, style="grey50")

    def _watch(self, stack: Stack) -> Snapshot:
        """Show what happens until it is time to stop; the last moment."""
        self._wait_for_first_frame(stack)
        began = time.monotonic()
        stack.press_buttons()

        def moment() -> Snapshot:
            stack.check()
            return snapshot.take(stack, self._readings, time.monotonic() - began)

        if not self._console.is_terminal:
            return self._until_time(
                moment, lambda now: self._console.print(view.line(now), soft_wrap=True), LINE_S
            )
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            return self._until_time(
                moment, lambda now: live.update(view.view(now, *self._console.size), refresh=True), REFRESH_S
            )

    def _until_time(
        self, moment: Callable[[], Snapshot], show: Callable[[Snapshot], None], every_s: float
    ) -> Snapshot:
        while True:
            now = moment()
            show(now)
            left = None if self._seconds is None else self._seconds - now.seconds
            if left is not None and left <= 0 and (now.pressures_in or now.seconds > self._patience_s):
                return now
            if self._stopping.wait(every_s if left is None or left <= 0 else min(every_s, left)):
                return moment()

    def _wait_for_first_frame(self, stack: Stack) -> None:
        deadline = time.monotonic() + FIRST_FRAME_S
        while not self._readings.nodes and not self._stopping.is_set():
            stack.check()
            self._readings.update()
            if time.monotonic() > deadline:
                raise RigError(
                    f"no frame arrived within {FIRST_FRAME_S} s; look into the logs with --keep DIR"
                )
            time.sleep(0.05)

    def _settle(self, stack: Stack, seconds: float) -> Snapshot:
        """Stop from the sensor on, so that every stage can hand on what it still has."""
        stack.stop_nodes()
        deadline = time.monotonic() + SETTLE_S
        while True:
            now = snapshot.take(stack, self._readings, seconds, exact=True)
            if (now.totals["pending"] == 0 and now.batches == now.receipts) or time.monotonic() > deadline:
                break
            stack.check()
            time.sleep(0.25)
        for child in reversed(stack.children):
            child.stop()
        return snapshot.take(stack, self._readings, seconds, exact=True)
