"""CPU time, memory and turns of a whole virtual node with an agent on its serial port.

    python -m tools.bench node [--seconds 60] [--minutes 10] [--speed 5] [--record mitdb/100] [--json FILE]

A node is built and started as `vitalwire node run` does, and paired with an agent (`vitalwire agent run`).
SETTLE_S later, when the work of a boot is over, the CPU time of the node's process is read for `--seconds`:
everything counts, also the unix socket that stands for its buses and the pty that stands for its UART. A
second node, in which every turn of a task is timed (node_watch.py), then says how long a turn takes and how
often memory is collected; it is built of sources, where the tasks have their names. Being watched costs it
time, so it is not the one whose CPU time is given.

Two more, of bytecode as shipped, run `--minutes` of their patient's time `--speed` times as fast as the
wall: one with all parts, one with ECG and PPG alone. Every ten seconds it is said how the heap stands
(node_heap.py). The speed changes nothing there but how long acknowledgements take in the node's time.

Turns are measured on the wall's clock, less what the process waited for a processor. Caches that others have
filled meanwhile still count: on a busy host all figures are higher.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from boards.virtual.recording import RecordError
from boards.virtual.rig import RigError
from edge_agent import pairing
from tools import build
from tools.bench import node_heap, report
from tools.bench.node_rig import Rig
from tools.demo.processes import ChildError

ESP32_TIMES = 55  # bytecode on an ESP32, in times of the VM's on the machines where this was compared
WATCH = Path(__file__).with_name("node_watch.py")
WATCHING = "from firmware import app, link; import node_watch; node_watch.install(app, link)"


def measure(
    seconds: float, record: "str | None" = None, minutes: float = 10.0, speed: float = 5.0
) -> "dict[str, Any]":
    """The report. RigError, ChildError, BuildError, PairingError or RecordError when there can be none.

    cpu_ms_per_s: user, sys, total, in ms for a second of patient data. gc: passes_per_s, pass_ms, share of
    the CPU time. heap: as node_heap.measure; ecg_ppg: the same of a node with these parts alone.
    longest_turn_ms: the longest 99th percentile of `turns`,
    task by task: per_s, p99_ms, longest_ms. esp32_share: of a core, if all of it were bytecode.
    """
    with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as folder:
        found = _plain(Path(folder) / "plain", seconds, record)
        found.update(_watched(Path(folder) / "watched", seconds, record))
        for name, only in (("heap", ()), ("ecg_ppg", ("ecg", "ppg"))):
            found[name] = node_heap.measure(Path(folder) / name, record, minutes, speed, only)
    total = found["cpu_ms_per_s"]["total"]
    found["gc"]["share"] = round(found["gc"]["passes_per_s"] * found["gc"]["pass_ms"] / total, 3)
    found["esp32_share"] = round(total * ESP32_TIMES / 1000, 2)
    found["seconds"] = seconds
    return found


def _plain(folder: Path, seconds: float, record: "str | None") -> "dict[str, Any]":
    with Rig(folder, record) as rig:
        before, began = rig.cpu(), time.monotonic()
        time.sleep(seconds)
        after, took = rig.cpu(), time.monotonic() - began
    user, system, exact = ((b - a) / took for a, b in zip(before, after, strict=True))
    scale = exact / (user + system) if user + system else 0.0
    return {
        "cpu_ms_per_s": {
            "user": round(user * scale, 2),
            "sys": round(system * scale, 2),
            "total": round(exact, 2),
        },
    }


def _watched(folder: Path, seconds: float, record: "str | None") -> "dict[str, Any]":
    with Rig(folder, record, output="source", beside=WATCH, first=WATCHING) as rig:
        skip = rig.log.stat().st_size
        time.sleep(seconds)
        lines = rig.log.read_bytes()[skip:].decode(errors="replace").splitlines()
    turns: dict[str, list[int]] = {}
    counts: dict[str, int] = {}
    passes, pass_us, reports = 0, [0], 0
    for line in lines:
        words = line.split()
        if len(words) == 3 and words[0] == "T":
            turns.setdefault(words[1], []).append(int(words[2]))
        elif len(words) == 3 and words[0] == "N":
            counts[words[1]] = counts.get(words[1], 0) + int(words[2])
        elif len(words) == 3 and words[0] == "G":
            passes += int(words[1])
            pass_us.append(int(words[2]))
            reports += 1
    rows = {name: _turns(turns.get(name, []), count, seconds) for name, count in sorted(counts.items())}
    return {
        "gc": {
            "passes_per_s": round(passes / max(1, reports) / 5, 2),
            "pass_ms": round(sorted(pass_us)[len(pass_us) // 2] / 1000, 3),
        },
        "longest_turn_ms": max((row["p99_ms"] for row in rows.values()), default=None),
        "turns": rows,
    }


def _turns(noted: "list[int]", count: int, seconds: float) -> "dict[str, Any]":
    """Of `count` turns, `noted` took 0.1 ms or more."""
    noted = sorted(noted, reverse=True)
    at = count // 100
    return {
        "per_s": round(count / seconds, 1),
        "p99_ms": noted[at] / 1000 if at < len(noted) else 0.1,
        "longest_ms": noted[0] / 1000 if noted else 0.1,
    }


def show(found: "dict[str, Any]") -> None:
    """The report as a table."""
    cpu, gc = found["cpu_ms_per_s"], found["gc"]
    passes, share = (
        f"{gc['passes_per_s']:.2f} passes a second of {gc['pass_ms']:.2f} ms",
        f"{gc['share']:.0%}",
    )
    print(f"A virtual node with its agent, {found['seconds']:g} s, on {report.machine_line()}:")
    print(
        f"  CPU time         {cpu['total']:.2f} ms a second: {cpu['user']:.2f} user, {cpu['sys']:.2f} system"
    )
    print(
        f"  of an ESP32      {found['esp32_share']:.0%}, if all of it took {ESP32_TIMES} times as long there"
    )
    print(f"  collecting       {share}: {passes}")
    for name, what in (("heap", "all parts"), ("ecg_ppg", "ECG and PPG")):
        heap = found[name]
        shares = f"{heap['share_160wK']:.0%}, of 96wK {heap['share_96wK']:.0%}"
        print(f"  heap {what:12}{heap['used']:,} of {heap['total']:,} bytes used ({shares})")
        print(
            f"    free           at least {heap['low_water']:,}, at the end {heap['largest']:,} in one piece"
        )
        print(f"    growth         {heap['growth']:+,} bytes in {heap['seconds']} s")
    print("  turns, ms          a second  99 of 100  longest")
    for name, row in found["turns"].items():
        print(f"    {name:14}{row['per_s']:12.1f}{row['p99_ms']:11.2f}{row['longest_ms']:9.2f}")


def main(argv: "list[str]") -> int:
    """The command; 1 when nothing could be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench node", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--seconds", type=report.seconds, default=60.0, help="each of the two nodes is watched so long"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="the heap is watched so long")
    parser.add_argument("--speed", type=float, default=5.0, help="of the node whose heap is watched")
    parser.add_argument("--record", help="a recording for a patient, instead of the model")
    report.add_option(parser)
    arguments = parser.parse_args(argv)
    try:
        found = measure(arguments.seconds, arguments.record, arguments.minutes, arguments.speed)
        report.write(arguments.json, found)
    except (RigError, ChildError, build.BuildError, RecordError, pairing.PairingError, OSError) as e:
        print(e, file=sys.stderr)
        return 1
    show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
