"""Frames a second through a collector's intake: batches verified, stored, synced and receipted, on one core.

python -m tools.bench collector [--batches 40] [--database postgresql://…] [--together 1] [--json FILE]

Each node's second is an ECG block, a PPG block and its vitals, and every 64 frames the node's signature over
them, which is checked: what a collector of real nodes gets.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_agent.keys import PublicKeys
from protocol import attest, batch, crypto, frames
from protocol.identity import Identity, generate_steps
from tools.bench import report
from tools.collector.intake import Intake
from tools.collector.store import Store
from tools.collector.trust import Trust

BATCHES, FRAMES_EACH, FRAME_BYTES, NODES = 40, 100, 250, 4


class Rate(NamedTuple):
    """What a collector's intake does; its disk (or its PostgreSQL) is in the rates, not in the CPU time."""

    frames_per_s: float
    batches_per_s: float
    cpu_us_per_frame: float


def collector_rate(batches: int = BATCHES, place: str | None = None, together: int = 1) -> Rate:
    """Through a collector's intake, on one core. `place`: a PostgreSQL address; None: an SQLite file.
    `together`: messages that wait when it looks, and share a transaction.
    """
    collector, agent = _identity(), _identity()
    messages = [
        (f"vitalwire/1/{agent.id.hex()}/batch", message) for message in _batches(agent, collector, batches)
    ]
    with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as folder:
        trust = Trust(Path(folder) / "agents")
        trust.add(PublicKeys(*agent.public()))
        store = Store(place or Path(folder) / "collector.sqlite3", writer=os.urandom(4))
        before = store.counters("stored").get("frames", 0)
        intake = Intake(store, collector, trust)
        began, cpu = time.perf_counter(), time.process_time()
        for first in range(0, len(messages), together):
            intake.handle_all(messages[first : first + together])
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        stored = store.counters("stored")["frames"] - before
        store.close()
    return Rate(stored / took, len(messages) / took, cpu / stored * 1e6)


def _identity() -> Identity:
    return crypto.run(generate_steps(os.urandom(64)))


class _Node:
    """Frames as a node makes them."""

    def __init__(self) -> None:
        self.identity, self.boot, self.seq = _identity(), os.urandom(12), 0
        self._attester = attest.Attester(self.identity, self.boot)

    def next(self) -> bytes:
        t_us = self.seq * 333_333
        if self.seq % (attest.MAX_FRAMES + 1) == attest.MAX_FRAMES:
            plaintext = frames.pack(frames.KIND_ATTEST, t_us, crypto.run(self._attester.sign_steps(0)))
        elif self.seq % 3 == 2:
            plaintext = frames.pack(frames.KIND_VITALS, t_us, {1: 720, 3: 970, 4: 720, 6: 90, 7: 90, 8: 0})
        else:
            body = {1: self.seq % 3, 2: 250, 3: 4_000_000, 4: 3052, 5: 1, 6: os.urandom(FRAME_BYTES - 30)}
            plaintext = frames.pack(frames.KIND_WAVE, t_us, {**body, 15: 2})
        self._attester.add(self.seq, plaintext)
        self.seq += 1
        return batch.frame_entry(self.identity.id, self.boot, self.seq - 1, plaintext, 0)


def _batches(agent: Identity, collector: Identity, batches: int) -> Iterator[bytes]:
    chain, previous = os.urandom(8), batch.FIRST_PREVIOUS
    nodes = [_Node() for _ in range(NODES)]
    for number in range(batches):
        entries = [nodes[n % NODES].next() for n in range(FRAMES_EACH)]
        if number == 0:
            entries += [batch.identity_entry(one.identity.id, *one.identity.public()) for one in nodes]
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
    parser.add_argument(
        "--database", metavar="ADDRESS", help="a PostgreSQL database to fill; the default is an SQLite file"
    )
    parser.add_argument(
        "--together", type=int, default=1, help="messages that share a transaction (%(default)s)"
    )
    report.add_option(parser)
    options = parser.parse_args(argv)
    if options.batches < 1 or options.together < 1:
        parser.error("--batches and --together begin at 1")
    rate = collector_rate(options.batches, options.database, options.together)
    print(f"collector, one core, batches of {FRAMES_EACH} frames of {FRAME_BYTES} bytes, its disk included:")
    print(
        f"  {rate.frames_per_s:,.0f} frames/s, {rate.batches_per_s:,.0f} batches/s,"
        f" {rate.cpu_us_per_frame:.0f} us of CPU a frame"
    )
    found = {name: round(value, 1) for name, value in rate._asdict().items()}
    report.write(options.json, {**found, "frames_a_batch": FRAMES_EACH, "frame_bytes": FRAME_BYTES})
    return 0


if __name__ == "__main__":
    sys.exit(main())
