"""Memory and speed of exports: a person's of an agent's store, its check, and each format of a collector.

python -m tools.bench exports [--frames 259200] [--json FILE]

Each runs in a process of its own over a store of so many frames and over one of a quarter of them, so that
what grows with the data is seen. Peak memory is that process's resident peak (VmHWM), libraries and all;
frames a second are of its CPU time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tools.bench import exports_fill as fill
from tools.bench import report

FRAMES, LEAST = 259_200, 4000
FORMATS = ("edf", "wfdb", "csv", "fhir")


def _person(stores: Path) -> None:
    from edge_agent.custody.signing import Signing
    from edge_agent.keys import PublicKeys
    from edge_agent.people import export
    from edge_agent.people.operators import Operators
    from edge_agent.people.records import People
    from edge_agent.store.opening import open_store

    folder = stores / "agent"
    operators = Operators(folder / "operators")
    store, _ = open_store(folder / "agent.db", fill.AGENT.id, fill.BEGIN_MS)
    with closing(store):
        agent = PublicKeys(*fill.AGENT.public())
        people = People(store, operators).state
        known = [one.keys for one in operators.all()]
        source = export.Source(store.db, people, agent, Signing(fill.AGENT, []), known, [])
        export.make(source, fill.PERSON, stores / "person", fill.BEGIN_MS)


def _check(stores: Path) -> None:
    from edge_agent.people.export_check import check

    wrong = [one.sentence for one in check(stores / "person", fill.AGENT.ed_pub) if not one.good]
    if wrong:
        raise SystemExit(" ".join(wrong))


def _collector(form: str) -> Callable[[Path], None]:
    def run(stores: Path) -> None:
        from tools.collector.commands import command

        arguments = ["--state", str(stores / "collector"), "--person", fill.PERSON.hex(), "--format", form]
        command.main(["export", *arguments, str(stores / form)], standalone_mode=False)

    return run


EXPORTS: dict[str, Callable[[Path], None]] = {
    "person's, written": _person,
    "person's, checked": _check,
    **{f"collector, {form}": _collector(form) for form in FORMATS},
}


def measure(count: int, folder: Path) -> "dict[str, dict[str, float]]":
    """By export: its `peak_mb` and `frames_per_s` over so many frames."""
    for name, make in (("agent", fill.agent_store), ("collector", fill.collector_store)):
        (folder / name).mkdir(parents=True)
        make(folder / name, count)
    found: dict[str, dict[str, float]] = {}
    for name in EXPORTS:
        child = [sys.executable, "-m", "tools.bench.exports", "--one", name, str(folder)]
        done = subprocess.run(child, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr.strip()[-500:]}")
        told = json.loads(done.stdout.splitlines()[-1])
        found[name] = {"peak_mb": told["peak_mb"], "frames_per_s": round(count / told["seconds"])}
    return found


def _one(name: str, folder: Path) -> int:
    """One export in this process; its figures, as JSON on the last line."""
    began = time.process_time()
    EXPORTS[name](folder)
    seconds = time.process_time() - began
    print(json.dumps({"seconds": round(seconds, 3), "peak_mb": round(_peak_mb(), 1)}))
    return 0


def _peak_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit("the peak of a process's memory is read from Linux's /proc only")


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench exports", description="Memory and speed of exports."
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help="three a second (%(default)s: a day)")
    parser.add_argument("--one", nargs=2, metavar=("EXPORT", "FOLDER"), help=argparse.SUPPRESS)
    report.add_option(parser)
    options = parser.parse_args(argv)
    if options.one is not None:
        return _one(options.one[0], Path(options.one[1]))
    if options.frames < LEAST:
        parser.error(f"--frames begins at {LEAST}")
    counts = (options.frames // 4, options.frames)
    measured: list[dict[str, dict[str, float]]] = []
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as folder:
            measured.append(measure(count, Path(folder)))
    few, many = measured
    print(f"{'':20}{'peak MB':>24}{'frames/s of CPU':>18}")
    print(f"{'frames':20}{counts[0]:>12,}{counts[1]:>12,}{counts[1]:>18,}")
    for name, one in many.items():
        print(f"{name:20}{few[name]['peak_mb']:>12.0f}{one['peak_mb']:>12.0f}{one['frames_per_s']:>18,.0f}")
    found: dict[str, Any] = {
        name: {"peak_mb_of_a_quarter": few[name]["peak_mb"], **one} for name, one in many.items()
    }
    report.write(options.json, {"frames": options.frames, "exports": found})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
