"""`vitalwire bench`: what things cost on this machine, and how well the detectors do on recordings."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from boards.virtual.recording import data_dir
from boards.virtual.rig import HEAP, RigError, find_micropython
from edge_agent.keys import PublicKeys
from protocol import batch, crypto, frames
from protocol.identity import Identity, generate_steps
from tools.collector.intake import Intake
from tools.collector.store import Store
from tools.collector.trust import Trust

ROOT = Path(__file__).resolve().parents[2]
NODE_COSTS = "tools/bench/node_costs.py"
BATCHES, FRAMES_EACH, FRAME_BYTES = 40, 100, 250
QRS_SECONDS = 120


@click.command("bench")
@click.option("--qrs/--no-qrs", default=True, help="Score the detectors, if recordings are at hand.")
def command(qrs: bool) -> None:
    """Measure what a node pays for a frame, what a collector can take, and how well heartbeats are found."""
    click.echo("On a node's interpreter here (an ESP32 takes about 55 times as long), microseconds:")
    click.echo(f"  {'':22}{'typical':>9}{'worst':>9}")
    try:
        for name, typical, worst in node_costs():
            click.echo(f"  {name:22}{typical:>9}{worst:>9}")
    except RigError as e:
        click.echo(f"  left out: {e}")
    click.echo("  (attest_sign, x25519: whole, and the longest slice between two samplings)")
    per_s, batches_per_s = collector_rate()
    click.echo(
        "Collector, one core, batches of 100 frames, each batch verified, stored, synced and receipted:"
    )
    click.echo(f"  {per_s:,.0f} frames/s, {batches_per_s:,.0f} batches/s")
    folder = data_dir()
    if qrs and folder is not None and (folder / "mitdb").is_dir():
        from tools.bench.qrs import main as score

        click.echo(f"QRS detection, the first {QRS_SECONDS} s of each record:")
        raise SystemExit(score(["--db", str(folder / "mitdb"), "--seconds", str(QRS_SECONDS)]))


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


def collector_rate() -> tuple[float, float]:
    """(frames, batches) a second through a collector's intake, on one core, its disk included."""
    collector, agent = _identity(), _identity()
    messages = list(_batches(agent, collector))
    with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as folder:
        trust = Trust(Path(folder) / "agents")
        trust.add(PublicKeys(*agent.public()))
        store = Store(Path(folder) / "collector.sqlite3")
        intake = Intake(store, collector, trust)
        began = time.perf_counter()
        for message in messages:
            intake.handle(f"vitalwire/1/{agent.id.hex()}/batch", message)
        took = time.perf_counter() - began
        stored = store.counters("stored")["frames"]
        store.close()
    return stored / took, len(messages) / took


def _identity() -> Identity:
    return crypto.run(generate_steps(os.urandom(64)))


def _batches(agent: Identity, collector: Identity) -> Iterator[bytes]:
    node, boot, chain, previous = bytes(8), bytes(12), os.urandom(8), batch.FIRST_PREVIOUS
    body = {1: 0, 2: 250, 3: 4_000_000, 4: 3052, 5: 1, 6: os.urandom(FRAME_BYTES - 30), 15: 2}
    plaintext = frames.pack(frames.KIND_WAVE, 1_000_000, body)
    for number in range(BATCHES):
        first = number * FRAMES_EACH
        entries = [batch.frame_entry(node, boot, first + n, plaintext, 0) for n in range(FRAMES_EACH)]
        head = batch.make_head(agent.id, chain, number, previous, entries, 0)
        previous = batch.head_hash(head)
        clear = batch.encode_batch(batch.sign_head(agent, head), entries)
        yield batch.seal_batch(clear, agent.id, collector.x_pub, collector.id)
