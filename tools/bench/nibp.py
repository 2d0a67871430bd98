"""Score the node's blood pressure on virtual arms of known pressure, or on a recorded deflation.

    python -m tools.bench nibp [--people N] [--json FILE] [--plot FILE]
    python -m tools.bench nibp --csv FILE --fs HZ --scale A,B [--json FILE] [--plot FILE]

The firmware's own code runs on the MicroPython VM where there is one. Errors are numerical, against what the
model was given: they say nothing of accuracy on people.
"""

import argparse
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from protocol.frame_names import BP_RESULT_NAMES
from tools.bench import plots_nibp, report
from tools.bench.interpreter import interpreter, run
from tools.bench.nibp_people import Person, cohort, deflation
from tools.bench.nibp_recorded import DeflationError, falling, load, scale

PA = 133.322
BLOCK = 10
LEAST_PEOPLE = 8

# Reads deflations: the number of blocks (4 bytes), then so often 10 samples in Pa (4 bytes each).
RUNNER = """\
import sys
from array import array
from firmware.dsp.oscillometry import Oscillometer
block = array("i", [0] * 10)
count = array("i", [0])
with open(sys.argv[1], "rb") as f:
    while f.readinto(count) == 4:
        listener = Oscillometer()
        listener.begin(True)
        for i in range(count[0]):
            f.readinto(block)
            if not listener.done:
                listener.process(block, 10)
        print("R", *listener.result())
        for point in listener.artery.envelope():
            print("E", *point)
"""


@dataclass(frozen=True)
class Measured:
    """What the node found: `refused`: 0 or a BP_… code; mmHg, /min; `envelope`: mmHg, height, fitted."""

    refused: int
    sys: float
    dia: float
    map: float
    pulse: float
    confidence: int
    flags: int
    envelope: np.ndarray


def measure(deflations: "Sequence[np.ndarray]", runs: str) -> "list[Measured]":
    """Run the firmware over deflations in mmHg at 100 a second. Raises subprocess.CalledProcessError."""
    data = bytearray()
    for pressure in deflations:
        blocks = len(pressure) // BLOCK
        data += struct.pack("=i", blocks)
        data += np.round(pressure[: blocks * BLOCK] * PA).astype("=i4").tobytes()
    rows: list[list[int]] = []
    points: list[list[list[int]]] = []
    for line in run(RUNNER, bytes(data), runs):
        numbers = [int(word) for word in line[2:].split()]
        if line[0] == "R":
            rows.append(numbers)
            points.append([])
        else:
            points[-1].append(numbers)
    return [
        Measured(r[0], r[1] / 10, r[2] / 10, r[3] / 10, r[4] / 10, r[5], r[6], _envelope(at))
        for r, at in zip(rows, points, strict=True)
    ]


def _envelope(points: "list[list[int]]") -> np.ndarray:
    return np.array(points, dtype=float).reshape(-1, 3) / (10, 1000, 1000)


def summary(people: "Sequence[Person]", found: "Sequence[Measured]") -> "dict[str, Any]":
    """Mean error, SD and shares over those who were not refused; refusals by name."""
    total: dict[str, Any] = {"people": len(people), "refused": {}}
    for one in found:
        if one.refused:
            name = BP_RESULT_NAMES[one.refused]
            total["refused"][name] = total["refused"].get(name, 0) + 1
    pairs = [(p, f) for p, f in zip(people, found, strict=True) if not f.refused]
    errors: dict[str, Callable[[Person, Measured], float]] = {
        "sys": lambda p, f: f.sys - p.arm.sys_mmhg,
        "dia": lambda p, f: f.dia - p.arm.dia_mmhg,
        "pulse": lambda p, f: f.pulse - p.rate,
    }
    for key, error in errors.items():
        values = np.array([error(p, f) for p, f in pairs])
        if len(values):
            shares = {f"within_{w}": round(float((abs(values) <= w).mean()), 3) for w in (5, 10, 15)}
            total[key] = {
                "mean": round(float(values.mean()), 2),
                "sd": round(float(values.std()), 2),
                **shares,
            }
    return total


def strata(people: "Sequence[Person]", found: "Sequence[Measured]") -> "dict[str, dict[str, Any]]":
    """The summary of each trait, "all" first."""
    groups: dict[str, dict[str, Any]] = {"all": summary(people, found)}
    for trait in people[0].traits:
        for value in sorted({p.traits[trait] for p in people}):
            chosen = [(p, f) for p, f in zip(people, found, strict=True) if p.traits[trait] == value]
            groups[f"{trait}: {value}"] = summary([p for p, _ in chosen], [f for _, f in chosen])
    return groups


def _line(name: str, total: "dict[str, Any]") -> str:
    cells = f"{name:36} {total['people']:6d}"
    for key in ("sys", "dia"):
        one = total.get(key)
        cells += (
            f" {one['mean']:6.1f} {one['sd']:5.1f} {one['within_5']:4.0%} {one['within_10']:4.0%}"
            f" {one['within_15']:4.0%}"
            if one
            else f"{'–':>28}"
        )
    refused = ", ".join(f"{n} {name}" for name, n in total["refused"].items()) or "none"
    return f"{cells}  {refused}"


def score_cohort(options: argparse.Namespace, runs: str) -> int:
    """The cohort: a table, and what was asked for besides."""
    people = cohort(options.people)
    found = measure([deflation(one) for one in people], runs)
    groups = strata(people, found)
    print(
        f"{'error in mmHg':36} {'people':>6} {'systolic: mean SD ≤5 ≤10 ≤15':>28} {'diastolic':>20}  refused"
    )
    for name, total in groups.items():
        print(_line(name, total))
    clean = [f for p, f in zip(people, found, strict=True) if p.clean]
    refused = sum(1 for f in clean if f.refused)
    share = refused / len(clean)
    print(f"clean runs refused: {refused} of {len(clean)} ({share:.1%})")
    rows = [
        {
            "number": p.number,
            **p.traits,
            "sys_true": round(p.arm.sys_mmhg, 1),
            "dia_true": round(p.arm.dia_mmhg, 1),
            **told(f),
        }
        for p, f in zip(people, found, strict=True)
    ]
    facts = {"interpreter": Path(runs).name, "groups": groups, "clean_refused": round(share, 4)}
    report.write(options.json, {**facts, "rows": rows})
    if options.plot:
        plots_nibp.bland_altman(people, found, options.plot)
    return 0


def told(one: Measured) -> "dict[str, Any]":
    """One result as its JSON says it."""
    if one.refused:
        return {"refused": BP_RESULT_NAMES[one.refused]}
    values = {key: getattr(one, key) for key in ("sys", "dia", "map", "pulse", "confidence")}
    return {**values, "flags": one.flags} if one.flags else values


def score_file(options: argparse.Namespace, runs: str) -> int:
    """A recording: one line, and what was asked for besides."""
    try:
        pressure = falling(load(options.csv, options.fs, options.scale))
    except DeflationError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    found = measure([pressure], runs)[0]
    if found.refused:
        print(f"refused: {BP_RESULT_NAMES[found.refused]}")
    else:
        print(
            f"{found.sys:.0f}/{found.dia:.0f} mmHg, mean {found.map:.0f}, pulse {found.pulse:.0f} a minute,"
            f" confidence {found.confidence}"
        )
    report.write(options.json, told(found))
    if options.plot:
        plots_nibp.envelope(found, options.plot)
    return 0


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command; 1 if a recording cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench nibp", description="Score blood pressure on arms of known pressure."
    )
    parser.add_argument("--people", type=_people, default=240, help="virtual people; 240")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a recorded deflation: time, volts")
    parser.add_argument("--fs", type=float, metavar="HZ", help="its lines a second, 50 or more")
    parser.add_argument(
        "--scale", type=scale, metavar="A,B", help="mmHg = A volts + B (--scale=-1,0 for a minus)"
    )
    parser.add_argument(
        "--interpreter", help="cpython, micropython or a path; the MicroPython VM if there is one"
    )
    report.add_option(parser)
    plots_nibp.add_option(parser)
    options = parser.parse_args(argv)
    if options.csv is None and (options.fs is not None or options.scale is not None):
        parser.error("--fs and --scale are for --csv")
    if options.csv is not None and (options.fs is None or options.scale is None):
        parser.error("--csv needs --fs and --scale")
    runs = chosen(options.interpreter)
    return score_cohort(options, runs) if options.csv is None else score_file(options, runs)


def chosen(name: "str | None") -> str:
    """What runs the firmware: by "cpython" or "micropython", by its path, or the VM if there is one."""
    if name == "cpython":
        return sys.executable
    return interpreter() if name in (None, "micropython") else name


def _people(text: str) -> int:
    number = int(text)
    if number < LEAST_PEOPLE:
        raise argparse.ArgumentTypeError(f"{LEAST_PEOPLE} people at least")
    return number


if __name__ == "__main__":
    sys.exit(main())
