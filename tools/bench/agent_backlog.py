"""A backlog of 24 h goes from the agent's store to the collector while another node is live.

The store is built as an agent leaves it that was cut off from its broker for a day: one node's frames, three
a second, committed and signed in batches.
"""

import argparse
import os
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from edge_agent.custody.custody import Custody
from edge_agent.store import items, keys
from edge_agent.store.opening import open_store
from protocol import crypto
from protocol.identity import generate_steps
from tools.bench import agent, report
from tools.bench.agent_frames import BOOTED_US, STREAMS, Sealer, bodies
from tools.bench.agent_rig import Failed, Nodes, Rig

HOURS = 24
RATE = 3
FRAMES = HOURS * 3600 * RATE
COMMIT = 2000
BATCH_BYTES = 256 * 1024
WAIT_S = 1800.0


class BacklogRig(Rig):
    """A rig whose agent finds a backlog; `backlog`: the id of its node's boot."""

    frames = FRAMES

    def _start(self) -> None:
        self.boot = fill(self, self.frames)
        super()._start()


def fill(rig: Rig, count: int) -> bytes:
    """Put `count` frames of the rig's last node into the agent's store; the boot's id."""
    node = crypto.run(generate_steps(rig.seeds[-1]))
    sealer = Sealer(node, rig.identity.id, rig.identity.x_pub)
    made = bodies()
    store, _ = open_store(
        rig.config.store, rig.identity.id, time.time_ns() // 1_000_000, keys.source_of(rig.config)
    )
    with closing(store):
        store.commit([items.Hello(node.id, *node.public(), 1, 1)])
        began_ms = time.time_ns() // 1_000_000 - HOURS * 3600 * 1000
        for first in range(0, count, COMMIT):
            group: list[items.Item] = []
            for n in range(first, min(first + COMMIT, count)):
                t_us = BOOTED_US + n * 1_000_000 // RATE
                if sealer.attests:
                    kind, body = 8, sealer.attestation()
                else:
                    stream = made[n % len(STREAMS)]
                    kind, body = stream[n // RATE % len(stream)]
                seq, plaintext = sealer.plain(kind, t_us, body)
                received_ms = began_ms + n * 1000 // RATE
                group.append(items.Frame(node.id, sealer.boot, seq, plaintext, received_ms))
            store.commit(group)
        custody = Custody(store, rig.identity, None, BATCH_BYTES, lambda: time.time_ns() // 1_000_000)
        while custody.make() is not None:
            continue
    return sealer.boot


def measure(count: int = FRAMES) -> "dict[str, Any]":
    """How fast the backlog is delivered, and what becomes of a live node's frames meanwhile."""
    seeds = [os.urandom(64), os.urandom(64)]
    with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as name:
        folder = Path(name)
        rig = BacklogRig(folder, seeds, more="[custody]\nbatch_seconds = 0.5\n")
        rig.frames = count
        with rig:
            began = time.monotonic()
            rig.seeds = seeds[:1]
            crowd = Nodes(rig, float(RATE))
            crowd.heard("live")
            took = delivered(rig, count) - began
            cpu = rig.agent.cpu_s()
            crowd.say("measure 0.01")
            acks = crowd.heard("measured")["all_ack_ms"]
            rss = rig.agent.memory_mb("VmHWM")
            crowd.say("drain")
            crowd.say("stop")
            crowd.part.process.wait()
            rig.settle()
            rig.agent.stop()
            rig.collector.stop()
            sent = agent.sent_frames(crowd.log)
            receipts = agent.receipt_ms(rig, sent)
            stored, duplicates = agent.at_collector(folder / "collector")
        held = sum((rig.boot, seq) in stored for seq in range(count))
        return {
            "backlog_frames": count,
            "seconds": round(took, 1),
            "frames_per_s": round(count / took),
            "times_real_time": round(count / RATE / took),
            "live_ack_ms": dict(zip(("p50", "p99", "max"), acks, strict=True)),
            "live_receipt_ms": receipts,
            "cpu_us_per_frame": round(cpu / count * 1e6, 1),
            "rss_mb": round(rss, 1),
            "lost": count - held + sum((boot, seq) not in stored for boot, seq in sent),
            "duplicates": duplicates,
        }


def delivered(rig: Rig, count: int) -> float:
    """When the agent had receipts for so many frames."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        rig.agent.alive()
        if rig.status().get("totals", {}).get("delivered", 0) >= count:
            return time.monotonic()
        time.sleep(0.2)
    raise Failed(f"the backlog is not delivered after {WAIT_S:g} s")


def run(options: argparse.Namespace) -> int:
    """The command."""
    found = measure()
    ack, live = found["live_ack_ms"], found["live_receipt_ms"]
    print(
        f"a backlog of {found['backlog_frames']:,} frames ({HOURS} h of one node): delivered in"
        f" {found['seconds']} s, {found['times_real_time']:,} times real time\n"
        f"  {found['cpu_us_per_frame']} us of CPU a frame in the agent, {found['rss_mb']} MB at most\n"
        f"  the live node meanwhile: ack p50 {ack['p50']:.0f} max {ack['max']:.0f} ms,"
        f" receipt p50 {live['p50']:.0f} p99 {live['p99']:.0f} ms\n"
        f"  lost {found['lost']}, twice {found['duplicates']}"
    )
    report.write(options.json, found)
    return 0 if not found["lost"] else 1
