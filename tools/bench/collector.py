"""Frames a second through a collector's intake: batches verified, stored, synced and receipted, on one core.

python -m tools.bench collector [--batches 40] [--json FILE]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_agent.keys import PublicKeys
from protocol import batch, crypto, frames
from protocol.identity import Identity, generate_steps
from tools.bench import report
from tools.collector.intake import Intake
from tools.collector.store import Store
from tools.collector.trust import Trust

BATCHES, FRAMES_EACH, FRAME_BYTES = 40, 100, 250


def collector_rate(batches: int = BATCHES) -> tuple[float, float]:
    """(frames, batches) a second through a collector's intake, on one core, its disk included."""
    collector, agent = _identity(), _identity()
    messages = list(_batches(agent, collector, batches))
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


def _batches(agent: Identity, collector: Identity, batches: int) -> Iterator[bytes]:
    node, boot, chain, previous = bytes(8), bytes(12), os.urandom(8), batch.FIRST_PREVIOUS
    body = {1: 0, 2: 250, 3: 4_000_000, 4: 3052, 5: 1, 6: os.urandom(FRAME_BYTES - 30), 15: 2}
    plaintext = frames.pack(frames.KIND_WAVE, 1_000_000, body)
    for number in range(batches):
        first = number * FRAMES_EACH
        entries = [batch.frame_entry(node, boot, first + n, plaintext, 0) for n in range(FRAMES_EACH)]
        head = batch.make_head(agent.id, chain, number, previous, entries, 0)
        previous = batch.head_hash(head)
        clear = batch.encode_batch(batch.sign_head(agent, head), entries)
        yield batch.seal_batch(clear, agent.id, collector.x_pub, collector.id)


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench collector", description="What one core of a collector takes in."
    )
    parser.add_argument("--batches", type=int, default=BATCHES, help="(%(default)s)")
    report.add_option(parser)
    options = parser.parse_args(argv)
    if options.batches < 1:
        parser.error("--batches begins at 1")
    frames_per_s, batches_per_s = collector_rate(options.batches)
    print(f"collector, one core, batches of {FRAMES_EACH} frames of {FRAME_BYTES} bytes, its disk included:")
    print(f"  {frames_per_s:,.0f} frames/s, {batches_per_s:,.0f} batches/s")
    found = {"frames_per_s": round(frames_per_s), "batches_per_s": round(batches_per_s, 1)}
    report.write(options.json, {**found, "frames_a_batch": FRAMES_EACH, "frame_bytes": FRAME_BYTES})
    return 0


if __name__ == "__main__":
    sys.exit(main())
