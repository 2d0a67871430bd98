"""A whole agent under load: nodes over TCP, a broker, a collector, everything durable, signed and receipted.

    python -m tools.bench agent [--nodes 1000] [--rate 3000] [--seconds 20] [--fsync-ms 20] [--no-peer]
    python -m tools.bench agent --backlog

`--rate` is of all nodes together, in frames of their streams a second; each node sends an ECG wave, a PPG
wave and vitals in turn: with 1,000 nodes and 3,000 frames/s, each of them once a second. CPU is user and
system time of the agent's process, all threads, between two moments under that load, by the frames that it
acknowledged in between. Ack: from a node's sending to its seeing the acknowledgement; receipt: from there to
the moment at which the agent had verified the collector's receipt. Lost: sent, and not in the collector's
store at the end. The peer is a persistent Mosquitto that bridges to another one (QoS 1, autosave_interval 1),
with as many clients and the same payloads. `--backlog`: 24 h of one node's frames in the store go to the
collector while another node is live.
"""

import argparse
import os
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tools.bench import report
from tools.bench.agent_nodes import percentiles
from tools.bench.agent_rig import Failed, Nodes, Rig, broker_name

NODES, SECONDS = 1000, 20.0
RATE = 3000.0
WARM_UP_S = 5.0


def load(nodes: int, rate: float, seconds: float, fsync_ms: float = 0.0) -> "dict[str, Any]":
    """One run; the report's keys but `peers`."""
    seeds = [os.urandom(64) for _ in range(nodes)]
    with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as name:
        folder = Path(name)
        with Rig(folder, seeds, fsync_ms, rate) as rig:
            crowd = Nodes(rig, rate)
            crowd.heard("live")
            crowd.say(f"measure {WARM_UP_S}")
            crowd.heard("measured")
            crowd.say(f"measure {seconds}")
            crowd.heard("measuring")
            before = {part.name: part.cpu_s() for part in rig.parts}
            found = crowd.heard("measured")
            cpu = {part.name: part.cpu_s() - before[part.name] for part in rig.parts}
            rss = rig.agent.memory_mb()
            crowd.say("drain")
            drained = crowd.heard("drained")
            crowd.say("stop")
            crowd.part.process.wait()
            rig.settle()
            rig.agent.stop()
            rig.collector.stop()
            sent = sent_frames(crowd.log)
            receipts = receipt_ms(rig, sent)
            stored, duplicates = at_collector(folder / "collector")
        lost = sum((boot, seq) not in stored for boot, seq in sent)
        acked = found["acked"]
        return {
            "nodes": nodes,
            "rate": rate,
            "seconds": round(found["seconds"], 1),
            "fsync_ms": fsync_ms,
            "frames_per_s": round(acked / found["seconds"], 1),
            "cpu_us_per_frame": round(cpu["agent"] / acked * 1e6, 1) if acked else None,
            "ack_ms": dict(zip(("p50", "p99", "max"), found["ack_ms"], strict=True)),
            "receipt_ms": receipts,
            "rss_mb": round(rss, 1),
            "lost": lost,
            "duplicates": duplicates,
            "unacknowledged": drained["unacked"],
            "sent_again": found["again"],
            "reconnected": drained["reconnected"],
            "others_cpu_us_per_frame": {
                name: round(spent / acked * 1e6, 1)
                for name, spent in cpu.items()
                if name != "agent" and acked
            },
            "problems": crowd.problems,
        }


def sent_frames(path: Path) -> "dict[tuple[bytes, int], int]":
    """When each frame was sent, in Unix ms, by boot and number."""
    out: dict[tuple[bytes, int], int] = {}
    with path.open() as file:
        for line in file:
            boot, seq, at_ms = line.split()
            out[bytes.fromhex(boot), int(seq)] = int(at_ms)
    return out


def receipt_ms(rig: Rig, sent: "dict[tuple[bytes, int], int]") -> "dict[str, float]":
    """Percentiles of the time from a frame's sending to its verified receipt."""
    from edge_agent.store.database import open_reader

    with closing(open_reader(rig.config)) as db:
        rows = db.execute(
            "SELECT b.boot, j.seq, r.at_ms FROM receipts r JOIN batches t ON t.id = r.batch "
            "JOIN journal j ON j.id BETWEEN t.first_id AND t.last_id JOIN boots b ON b.id = j.boot "
            "WHERE j.kind = 0"
        )
        took = [float(at_ms - sent[boot, seq]) for boot, seq, at_ms in rows if (boot, seq) in sent]
    return dict(zip(("p50", "p99"), percentiles(took, (0.5, 0.99)), strict=True))


def at_collector(folder: Path) -> "tuple[set[tuple[bytes, int]], int]":
    """(the frames in the collector's store, how often one came again)."""
    found = next(iter(folder.glob("*.sqlite3")))
    with closing(sqlite3.connect(found)) as db:
        stored = set(db.execute("SELECT boot, seq FROM frames").fetchall())
        (repeats,) = db.execute("SELECT count(*) FROM repeats").fetchone()
    return stored, repeats


def lines(found: "dict[str, Any]") -> "list[str]":
    """The report for a person."""
    ack, receipt = found["ack_ms"], found["receipt_ms"]
    out = [
        f"{found['nodes']} nodes, {found['rate']:g} frames/s asked for, {found['seconds']:g} s"
        + (f", {found['fsync_ms']:g} ms added to each fsync" if found["fsync_ms"] else ""),
        f"  {found['frames_per_s']:,.0f} frames/s durable and acknowledged,"
        f" {found['cpu_us_per_frame']} us of CPU a frame in the agent, {found['rss_mb']} MB",
        f"  ack p50 {ack['p50']:.0f} p99 {ack['p99']:.0f} ms;"
        f" receipt p50 {receipt['p50']:.0f} p99 {receipt['p99']:.0f} ms",
        f"  lost {found['lost']}, twice {found['duplicates']}, sent again {found['sent_again']},"
        f" reconnected {found['reconnected']}",
    ]
    for name, us in found["others_cpu_us_per_frame"].items():
        out.append(f"  {name}: {us} us a frame")
    peer = found.get("peers", {}).get("mosquitto_bridge")
    if peer:
        out.append(
            f"  Mosquitto bridge, same payloads: {peer['cpu_us_per_message']} us a message at"
            f" {peer['messages_per_s']:,.0f}/s; the agent takes {peer['ratio']} times as much"
        )
    return [*out, *(f"  PROBLEM {problem}" for problem in found["problems"])]


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench agent",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nodes", type=int, default=NODES, help="(%(default)s)")
    parser.add_argument("--rate", type=float, default=RATE, help="frames a second in all (%(default)s)")
    parser.add_argument("--seconds", type=report.seconds, default=SECONDS, help="measured (%(default)s)")
    parser.add_argument("--fsync-ms", type=float, default=0.0, help="added to each fsync (%(default)s)")
    parser.add_argument("--no-peer", action="store_true", help="leave out the Mosquitto bridge")
    parser.add_argument("--backlog", action="store_true", help="24 h of one node, beside a live one")
    report.add_option(parser)
    options = parser.parse_args(argv)
    if options.nodes < 1 or options.rate <= 0 or options.fsync_ms < 0:
        parser.error("--nodes begins at 1, --rate is more than 0, --fsync-ms is not negative")
    rate: float = options.rate
    try:
        if options.backlog:
            from tools.bench.agent_backlog import run

            return run(options)
        found = load(options.nodes, rate, options.seconds, options.fsync_ms)
        if not options.no_peer:
            from tools.bench.agent_bridge import bridge

            found["peers"] = bridge(options.nodes, rate, options.seconds, found)
    except Failed as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    found["broker"] = broker_name()
    print("\n".join(lines(found)))
    report.write(options.json, found)
    return 0 if not found["lost"] and not found["unacknowledged"] else 1


if __name__ == "__main__":
    sys.exit(main())
