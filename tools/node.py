"""`vitalwire node run`: one virtual node by itself, on a serial port that an agent can open."""

import signal
import tempfile
import threading
from pathlib import Path

import click

from boards.virtual.option_ranges import HEART_RATE, SATURATION, SPEED
from boards.virtual.recording import RecordError, default_record
from boards.virtual.rig import RigError, VirtualNode
from tools import build

WATCH_S = 0.5


@click.group("node")
def command() -> None:
    """A node without hardware: the firmware on a MicroPython VM, with chips and a patient.

    \b
    Example:
      vitalwire node run
    """


@command.command("run")
@click.option("--record", help="Replay a recording: a path, or database/record such as mitdb/100.")
@click.option("--model", is_flag=True, help="A synthetic patient, even when recordings are at hand.")
@click.option(
    "--hr", default=72.0, show_default=True, type=HEART_RATE, help="Heart rate of the synthetic patient."
)
@click.option("--spo2", default=97.0, show_default=True, type=SATURATION, help="SpO2, in %.")
@click.option("--speed", default=1.0, show_default=True, type=SPEED, help="Times the wall.")
@click.option("--button", is_flag=True, help="Its button is held: it pairs with further agents, too.")
@click.option("--flash", type=click.Path(path_type=Path), help="Keep the node's flash here, keys and all.")
@click.option("--tree", type=click.Path(path_type=Path), help="Run this build, not a fresh one.")
@click.option("--log", type=click.Path(path_type=Path), help="What the VM writes to stderr goes here.")
def run(
    record: str | None,
    model: bool,
    hr: float,
    spo2: float,
    speed: float,
    button: bool,
    flash: Path | None,
    tree: Path | None,
    log: Path | None,
) -> None:
    """Run a virtual node until Ctrl-C, which asks it for an orderly stop.

    Without --flash it is a new node each time: new keys, not paired with anyone.

    \b
    Example:
      vitalwire node run --flash node-1 --model --hr 60
    """
    if record and model:
        raise click.UsageError("--record and --model exclude each other")
    with tempfile.TemporaryDirectory(prefix="vitalwire-node-") as folder:
        try:
            if tree is None:
                tree = Path(folder) / "tree"
                build.write(build.make("virtual"), tree)
            node = VirtualNode(
                tree,
                flash or Path(folder) / "flash",
                record=None if model else record or default_record(),
                hr_bpm=hr,
                spo2_pct=spo2,
                speed=speed,
                log=log,
            )
            node.bench.pins["BUTTON"] = int(button)
            with node:
                _tell(node, flash)
                _wait(node)
                status = node.stop()
        except (build.BuildError, RecordError, RigError, OSError) as e:
            raise click.ClickException(str(e)) from e
        if status:
            raise click.ClickException(f"the VM ended with status {status}, not in order")
        click.echo("node stopped in order")


def _tell(node: VirtualNode, flash: Path | None) -> None:
    click.echo(f"patient: {node.label}")
    click.echo(f"flash:   {flash or 'temporary'}")
    click.echo(f"port:    {node.port}")
    click.echo(f"pair it with an agent:  vitalwire pair --port {node.port}")


def _wait(node: VirtualNode) -> None:
    """Until Ctrl-C or a termination signal; says when the node restarts or ends by itself."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    resets = node.resets
    off = 0
    while not ended.wait(WATCH_S):
        if node.resets != resets:
            resets = node.resets
            click.echo(f"node restarted (exit status {node.exit_code})", err=True)
        # Between two lives of a node that restarts there is a moment without a VM.
        off = 0 if node.running else off + 1
        if off > 2:
            raise click.ClickException(f"the VM has ended with status {node.exit_code}")
