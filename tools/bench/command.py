"""`vitalwire bench`: what things cost on this machine, and how well the detectors do on recordings."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click

from boards.virtual.recording import data_dir
from boards.virtual.rig import HEAP, RigError, find_micropython
from tools.bench import names, report

ROOT = Path(__file__).resolve().parents[2]
NODE_COSTS = "tools/bench/node_costs.py"
QRS_SECONDS = 120


@click.command(
    "bench",
    short_help="Measure how fast and how well something works.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="NAME is one of: " + ", ".join(names.BENCHES) + "; its own --help says more.",
)
@click.option("--qrs/--no-qrs", default=True, help="Score the detectors, if recordings are at hand.")
@click.argument("name", required=False, type=click.Choice(list(names.BENCHES)), metavar="[NAME]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(qrs: bool, name: "str | None", arguments: "tuple[str, ...]") -> None:
    """Measure one thing (NAME, with its own ARGUMENTS), or in short what a node pays for a frame, what agent
    and collector do, and how well heartbeats are found.

    \b
    Example:
      vitalwire bench protocol
    """
    if name is not None:
        raise SystemExit(names.run(name, list(arguments)))
    click.echo(report.machine_line())
    click.echo("On a node's interpreter here (an ESP32 takes about 55 times as long), microseconds:")
    click.echo(f"  {'':22}{'typical':>9}{'worst':>9}")
    try:
        for what, typical, worst in node_costs():
            click.echo(f"  {what:22}{typical:>9}{worst:>9}")
    except RigError as e:
        click.echo(f"  left out: {e}")
    click.echo("  (attest_sign, x25519: whole, and the longest slice between two samplings)")
    names.run("protocol", [])
    names.run("collector", [])
    names.run("overhead", [])
    folder = data_dir()
    if qrs and folder is not None and (folder / "mitdb").is_dir():
        click.echo(f"QRS detection, the first {QRS_SECONDS} s of each record:")
        raise SystemExit(names.run("qrs", ["--db", str(folder / "mitdb"), "--seconds", str(QRS_SECONDS)]))


def node_costs() -> Iterator[tuple[str, int, int]]:
    """(what, microseconds typically, at worst) on the MicroPython VM. RigError when there is none."""
    done = subprocess.run(
        [find_micropython(), "-X", f"heapsize={HEAP}", NODE_COSTS],
        cwd=ROOT,
        env=dict(os.environ, MICROPYPATH=f"{ROOT}:.frozen"),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RigError(f"the VM ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
    for line in done.stdout.splitlines():
        name, typical, worst = line.split()
        yield name, int(typical), int(worst)
