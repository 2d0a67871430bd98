"""CPU time, blocking sections and heap of a node: in its world, and alone.

    python -m tools.bench node [--seconds 60] [--minutes 10] [--speed 5] [--record mitdb/100] [--json FILE]
                               [--alone]

*In its world*: a virtual node is built and started as `vitalwire node run` does, and paired with an agent
(`vitalwire agent run`). SETTLE_S later, when the work of a boot is over, the CPU time of its process, user
and system, is read for `--seconds`: everything counts, also the socket that stands for its buses and the one
that stands for its UART.

*Alone*: the same bytecode for a board with ECG and PPG (node_alone.py), whose chips, time and link are in its
VM, 64 bits and, where there is one, 32 bits with an ESP32's heap; with an agent, and with nobody, until the
outbox is full. `--alone` measures this and nothing else.

Of each a second run is watched (node_watch.py), which costs it time, so it is not the one whose CPU time is
given: a blocking section lasts from where the scheduler gives a task control until it gets it back. It is in
processor time of the VM, which a small C library tells it (cpu_clock.py); where that cannot be, the report
says why. Alone, time passes 55 times as fast as the VM works, as on an ESP32: slices of slow work end there.

Two more nodes run `--minutes` of their patient's time `--speed` times as fast as the wall: one with all
parts, one with ECG and PPG. Every ten seconds it is said how the heap stands (node_heap.py). The speed
changes nothing there but how long acknowledgements take in the node's time.

Caches that others fill meanwhile, or a core that is shared, make processor time longer, too.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from boards.virtual.recording import RecordError
from boards.virtual.rig import RigError, find_micropython
from edge_agent.nodes import pairing
from tools import build
from tools.bench import cpu_clock, node_alone, node_heap, node_sections, report
from tools.bench.node_rig import Rig
from tools.demo.processes import ChildError

ESP32_TIMES = 55  # bytecode on an ESP32, in times of the VM's on the machines where this was compared
WATCH = Path(__file__).with_name("node_watch.py")
WATCHING = "import node_watch; node_watch.install(Board); node_watch.note(True)"


def measure(
    seconds: float, record: "str | None" = None, minutes: float = 10.0, speed: float = 5.0
) -> "dict[str, Any]":
    """The report. RigError, ChildError, BuildError, PairingError or RecordError when there can be none.

    world: cpu_ms_per_s (user, sys, total, in ms for a second of patient data), and sections as
    node_sections.report, or why there are none. alone: node_alone.measure. heap: node_heap.measure; ecg_ppg:
    the same of a node with these parts alone.
    """
    with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as folder:
        world = _plain(Path(folder) / "plain", seconds, record)
        world.update(_watched(Path(folder), seconds, record))
        found: dict[str, Any] = {"seconds": seconds, "world": world, "alone": node_alone.measure(seconds)}
        for name, only in (("heap", ()), ("ecg_ppg", ("ecg", "ppg"))):
            found[name] = node_heap.measure(Path(folder) / name, record, minutes, speed, only)
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
    try:
        vm = cpu_clock.vm_with_clock(find_micropython(), folder)
    except cpu_clock.NoClock as e:
        return {"why": str(e)}
    noted = folder / "sections"
    os.environ[node_alone.SECTIONS] = str(noted)
    try:
        with Rig(folder / "watched", record, beside=WATCH, first=WATCHING, micropython=vm) as rig:
            skip = noted.stat().st_size
            time.sleep(seconds)
            rig.heap()
        return {"sections": node_sections.report(noted.read_bytes()[skip:], seconds)}
    finally:
        del os.environ[node_alone.SECTIONS]


def show(found: "dict[str, Any]") -> None:
    """The report as tables."""
    print(f"A node, {found['seconds']:g} s, on {report.machine_line()}:")
    if "world" in found:
        cpu = found["world"]["cpu_ms_per_s"]
        parts = f"{cpu['user']:.2f} user, {cpu['sys']:.2f} system"
        print(f"  in its world, 64 bit: {cpu['total']:.2f} ms of CPU a second: {parts}")
        _show_sections(found["world"])
    for vm, runs in found["alone"].items():
        for how, run in runs.items():
            ms = run["cpu_ms_per_s"]
            print(
                f"  alone, {vm}, {node_alone.RUNS[how]}: {ms:.2f} ms of CPU a second, "
                f"{ms * ESP32_TIMES / 1000:.0%} of an ESP32; heap free {run['heap_free']:,}, "
                f"at least {run['heap_free_min']:,}"
            )
            _show_sections(run)
    for name, what in (("heap", "all parts"), ("ecg_ppg", "ECG and PPG")):
        if name not in found:
            continue
        heap = found[name]
        shares = f"{heap['share_160wK']:.0%}, of 96wK {heap['share_96wK']:.0%}"
        print(f"  heap {what:12}{heap['used']:,} of {heap['total']:,} bytes used ({shares})")
        print(
            f"    free           at least {heap['low_water']:,}, at the end {heap['largest']:,} in one piece"
        )
        print(f"    growth         {heap['growth']:+,} bytes in {heap['seconds']} s")


def _show_sections(run: "dict[str, Any]") -> None:
    if "sections" not in run:
        print(f"    blocking sections: not measured: {run['why']}")
        return
    limit = f"over {node_sections.LIMIT_US / 1000:g} ms"
    print(f"    {'section of':11}a second  ms a s  median  99 of 100  longest  {limit}  the longest")
    for name, row in run["sections"].items():
        median, p99, longest = (row[key] / 1000 for key in ("median_us", "p99_us", "longest_us"))
        times = f"{row['ms_per_s']:8.2f}{median:8.2f}{p99:11.2f}{longest:9.2f}"
        print(f"    {name:11}{row['per_s']:8.1f}{times}{row['over']:14.1%}  {row['longest']}")


def main(argv: "list[str]") -> int:
    """The command; 1 when nothing could be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench node", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seconds", type=report.seconds, default=60.0, help="each node is measured so long")
    parser.add_argument("--minutes", type=float, default=10.0, help="the heap is watched so long")
    parser.add_argument("--speed", type=float, default=5.0, help="of the node whose heap is watched")
    parser.add_argument("--record", help="a recording for a patient, instead of the model")
    parser.add_argument("--alone", action="store_true", help="only what needs no world")
    report.add_option(parser)
    arguments = parser.parse_args(argv)
    try:
        if arguments.alone:
            found = {"seconds": arguments.seconds, "alone": node_alone.measure(arguments.seconds)}
        else:
            found = measure(arguments.seconds, arguments.record, arguments.minutes, arguments.speed)
        report.write(arguments.json, found)
    except (RigError, ChildError, build.BuildError, RecordError, pairing.PairingError, OSError) as e:
        print(e, file=sys.stderr)
        return 1
    show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
