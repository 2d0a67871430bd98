"""`vitalwire node run`: one virtual node by itself, on a serial port that an agent can open."""

import signal
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import click

from boards.virtual.option_ranges import HEART_RATE, SATURATION, SPEED
from boards.virtual.recording import RecordError, default_record
from boards.virtual.rig import RigError, VirtualNode
from edge_agent import lock
from edge_agent.cli.commanding import show
from edge_agent.cli.waiting import busy
from protocol import cbor
from protocol.errors import ProtocolError
from protocol.identity import fingerprint
from tools import build

WATCH_S = 0.5
LOCK = "node.lock"
# A record on its flash has eight bytes before what it holds (firmware/flash.py).
RECORD_HEAD = 8


@click.group("node", short_help="A node without hardware.")
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
@click.option(
    "--button",
    is_flag=True,
    help="Its button is held all the time: for measurements, pairing with further agents, authorities.",
)
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
    with tempfile.TemporaryDirectory(prefix="vitalwire-node-") as folder, ExitStack() as running:
        try:
            kept = flash or Path(folder) / "flash"
            kept.mkdir(parents=True, exist_ok=True)
            running.enter_context(lock.hold(kept / LOCK))
            if tree is None:
                tree = Path(folder) / "tree"
                with busy("building the node's firmware"):
                    build.write(build.make("virtual"), tree)
            node = VirtualNode(
                tree,
                kept,
                record=None if model else record or default_record(),
                hr_bpm=hr,
                spo2_pct=spo2,
                speed=speed,
                log=log,
            )
            node.bench.pins["BUTTON"] = int(button)
            with busy("starting the node"):
                running.enter_context(node)
            _tell(node, flash)
            _wait(node)
            status = node.stop()
        except lock.Locked as e:
            who = "another node" if e.pid is None else f"another node (pid {e.pid})"
            raise click.ClickException(
                f"{kept}: {who} runs on this flash; stop it, or name another --flash"
            ) from None
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


def show_identity(record: Path) -> bool:
    """Its fingerprint, which `vitalwire pair` asks for; False until the node has made its keys."""
    try:
        _, ed_pub, _, x_pub = cbor.loads(record.read_bytes()[RECORD_HEAD:])[:4]
    except (FileNotFoundError, ProtocolError, ValueError):
        return False  # A damaged one the node sets aside, and makes new keys.
    show("node", fingerprint(ed_pub, x_pub))
    return True


def _wait(node: VirtualNode) -> None:
    """Until Ctrl-C or a termination signal; says when the node restarts or ends by itself."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    resets = node.resets
    shown = False
    off = 0
    while not ended.wait(WATCH_S):
        shown = shown or show_identity(node.flash_dir / "state" / "identity")
        if node.resets != resets:
            resets = node.resets
            click.echo(f"node restarted (exit status {node.exit_code})", err=True)
        # Between two lives of a node that restarts there is a moment without a VM.
        off = 0 if node.running else off + 1
        if off > 2:
            raise click.ClickException(f"the VM has ended with status {node.exit_code}")
