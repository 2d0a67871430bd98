"""CPU time, memory and turns of a whole virtual node with an agent on its serial port.

    python -m tools.bench node [--seconds 60] [--record mitdb/100] [--json FILE]

A node is built and started as `vitalwire node run` does, and paired with an agent (`vitalwire agent run`).
SETTLE_S later, when the work of a boot is over, the CPU time of the node's process is read for `--seconds`:
everything counts, also the unix socket that stands for its buses and the pty that stands for its UART. A
second node, in which every turn of a task is timed (node_watch.py), then says how long a turn takes and how
often memory is collected. Being watched costs it time, so it is not the one whose CPU time is given.

Turns are measured on the wall's clock, less what the process waited for a processor. Caches that others have
filled meanwhile still count: on a busy host all figures are higher.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from boards.virtual.recording import RecordError
from boards.virtual.rig import RigError, VirtualNode
from edge_agent import config, keys, pairing
from edge_agent.config import LinkConfig
from edge_agent.peers import Peers
from tools import build
from tools.bench import report
from tools.demo.processes import Child, ChildError

SETTLE_S = 15.0
ESP32_TIMES = 55  # bytecode on an ESP32, in times of the VM's on the machines where this was compared
WATCH = Path(__file__).with_name("node_watch.py")
START = "run(Board(CONFIG), SENSORS, FEATURES)"
WATCHING = "from firmware import app, link; import node_watch; node_watch.install(app, link)"
CONFIG = '[agent]\nstate_dir = "{state}"\n[[links]]\nport = "{port}"\n'


def measure(seconds: float, record: "str | None" = None) -> "dict[str, Any]":
    """The report. RigError, ChildError, BuildError, PairingError or RecordError when there can be none.

    cpu_ms_per_s: user, sys, total, in ms for a second of patient data. gc: passes_per_s, pass_ms, share of
    the CPU time. heap: free, low_water, in bytes. longest_turn_ms: the longest 99th percentile of `turns`,
    task by task: per_s, p99_ms, longest_ms. esp32_share: of a core, if all of it were bytecode.
    """
    with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as folder:
        found = _plain(Path(folder) / "plain", seconds, record)
        found.update(_watched(Path(folder) / "watched", seconds, record))
    total = found["cpu_ms_per_s"]["total"]
    found["gc"]["share"] = round(found["gc"]["passes_per_s"] * found["gc"]["pass_ms"] / total, 3)
    found["esp32_share"] = round(total * ESP32_TIMES / 1000, 2)
    found["seconds"] = seconds
    return found


def _plain(folder: Path, seconds: float, record: "str | None") -> "dict[str, Any]":
    with _Rig(folder, record) as rig:
        before, began = rig.cpu(), time.monotonic()
        time.sleep(seconds)
        after, took = rig.cpu(), time.monotonic() - began
        heap = rig.heap()
    user, system, exact = ((b - a) / took for a, b in zip(before, after, strict=True))
    scale = exact / (user + system) if user + system else 0.0
    return {
        "cpu_ms_per_s": {
            "user": round(user * scale, 2),
            "sys": round(system * scale, 2),
            "total": round(exact, 2),
        },
        "heap": heap,
    }


def _watched(folder: Path, seconds: float, record: "str | None") -> "dict[str, Any]":
    with _Rig(folder, record, watched=True) as rig:
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


class _Rig:
    """A paired node and its agent, past their start."""

    def __init__(self, folder: Path, record: "str | None", watched: bool = False) -> None:
        folder.mkdir()
        self.log = folder / "node.log"
        self._agent_dir = folder / "agent"
        self._config = folder / "agent.toml"
        built = build.make("virtual")
        if watched:
            main = built.files["main.py"].decode()
            built.files["main.py"] = main.replace(START, f"{WATCHING}\n{START}").encode()
            built.files[WATCH.name] = WATCH.read_bytes()
        build.write(built, folder / "tree")
        self._node = VirtualNode(folder / "tree", folder / "flash", record=record, log=self.log)
        self._exit = ExitStack()

    def __enter__(self) -> "_Rig":
        with ExitStack() as undo:
            undo.callback(self._exit.close)
            self._exit.callback(self._node.close)
            self._node.start()
            self._config.write_text(CONFIG.format(state=self._agent_dir, port=self._node.port))
            agent = keys.create(self._agent_dir / "agent.key", "agent")
            peers = Peers(config.load(self._config).peers)
            peers.add(pairing.exchange(LinkConfig(self._node.port), agent))
            child = Child(
                "agent", ["agent", "run", "--config", str(self._config)], self._config.with_name("agent.log")
            )
            self._exit.callback(child.stop)
            time.sleep(SETTLE_S)
            child.check()
            self.heap()
            undo.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._exit.close()

    def cpu(self) -> "tuple[float, float, float]":
        """Milliseconds of the node's process: user and system by the scheduler's ticks, and both together
        exactly.
        """
        process = Path(f"/proc/{self._node.pid}")
        words = (process / "stat").read_text().rpartition(")")[2].split()
        tick_ms = 1000 / os.sysconf("SC_CLK_TCK")
        exact = int((process / "schedstat").read_text().split()[0]) / 1e6
        return int(words[11]) * tick_ms, int(words[12]) * tick_ms, exact

    def heap(self) -> "dict[str, int]":
        """Bytes free, and the least there ever were, as the node said last. RigError unless it runs and its
        frames arrive at the agent.
        """
        if not self._node.running:
            raise RigError(f"the node has ended: {self.log.read_text()[-500:]}")
        try:
            said = json.loads((self._agent_dir / "status.json").read_text())["nodes"][0]
            return {"free": said["status"]["heap_free"], "low_water": said["status"]["heap_free_min"]}
        except (OSError, ValueError, LookupError, TypeError) as e:
            raise RigError(f"the agent has no status of the node: {e!r}") from e


def show(found: "dict[str, Any]") -> None:
    """The report as a table."""
    cpu, gc, heap = found["cpu_ms_per_s"], found["gc"], found["heap"]
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
    print(f"  heap free        {heap['free']:,} bytes, at least {heap['low_water']:,}")
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
    parser.add_argument("--record", help="a recording for a patient, instead of the model")
    report.add_option(parser)
    arguments = parser.parse_args(argv)
    try:
        found = measure(arguments.seconds, arguments.record)
        report.write(arguments.json, found)
    except (RigError, ChildError, build.BuildError, RecordError, pairing.PairingError, OSError) as e:
        print(e, file=sys.stderr)
        return 1
    show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
