"""Score the node's oximetry on pulse waves of known saturation, or on a recording.

    python -m tools.bench spo2 [--data DIR] [--json FILE] [--plot FILE] [--interpreter micropython|cpython]
    python -m tools.bench spo2 --csv FILE --fs N --columns red,ir[,ref] [--json FILE] [--plot FILE]

The firmware's own chain runs, on the MicroPython VM where there is one. What comes out is the *numerical*
error of the signal processing: bias, precision (SD) and Arms against what was put into a model, or against
the reference of a recording. It is not accuracy on people, which takes a sensor, its calibration and blood
samples (ISO 80601-2-61). Judged is each second from the 14th on; yield is the share of them with a reading.
Trajectories of desaturating people (`spo2_trajectories`) and beats of recordings (`mitdb`) come from
$VITALWIRE_DATA, and are left out where they are not.
"""

import argparse
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from boards.virtual.recording import RecordError, data_dir
from boards.virtual.rig import RigError, find_micropython
from tools.bench import report
from tools.bench.interpreter import interpreter, run
from tools.bench.optical_csv import BadRecording, load
from tools.bench.pulses import Trace
from tools.bench.spo2_cases import CLEAN, FROM_S, HARD, NOTHING, PEOPLE, STEADY, Case, models, recorded

DELAYS_S = range(0, 11)
BLOCK = 20
NEAR = 4.0  # points
ARMS_MAX, YIELD_MIN, NEAR_MIN = 2.0, 0.95, 0.95

# Reads cases: the number of blocks (4 bytes), then so often 20 red and 20 infrared counts (4 bytes each).
RUNNER = """\
import sys
from array import array
from firmware.dsp.ppg import PpgChain
red = array("i", [0] * 20)
ir = array("i", [0] * 20)
count = array("i", [0])
with open(sys.argv[1], "rb") as f:
    while f.readinto(count) == 4:
        chain = PpgChain()
        print("C")
        for i in range(count[0]):
            f.readinto(red)
            f.readinto(ir)
            chain.process(red, ir, 20)
            if i % 5 == 4:
                print(chain.spo2_x10, chain.pulse_x10, chain.pi_x100, chain.quality)
"""


def read(traces: Sequence[Trace], runs: str) -> list[np.ndarray]:
    """What the chain shows of each, a row a second: SpO2 (%), pulse (/min), perfusion (%), quality."""
    data = bytearray()
    for trace in traces:
        blocks = len(trace.red) // BLOCK
        data += struct.pack("=i", blocks)
        pairs = np.stack([trace.red[: blocks * BLOCK], trace.ir[: blocks * BLOCK]])
        data += pairs.reshape(2, blocks, BLOCK).transpose(1, 0, 2).astype("=i4").tobytes()
    found: list[list[list[float]]] = []
    for line in run(RUNNER, bytes(data), runs):
        if line == "C":
            found.append([])
        else:
            spo2, pulse, pi, quality = (int(word) for word in line.split())
            found[-1].append([spo2 / 10, pulse / 10, pi / 100, quality])
    return [np.array(rows).reshape(-1, 4) for rows in found]


def judge(case: Case, seen: np.ndarray) -> dict[str, Any]:
    """One row: seconds judged and with a reading, how far the readings are from what was put in; `errors`
    and `truth` hold them one by one.
    """
    spo2, truth = seen[FROM_S:, 0], case.trace.truth_pct[FROM_S : len(seen)]
    shown = spo2 > 0
    row: dict[str, Any] = {"name": case.name, "seconds": len(spo2), "with_reading": int(shown.sum())}
    if not shown.any() or case.group == NOTHING:
        return row
    if case.group == PEOPLE:
        row.update(_delay(seen[:, 0], case.trace.truth_pct))
        return row
    errors = spo2[shown] - truth[shown]
    row.update(errors=errors, truth=truth[shown], worst_error=round(float(np.abs(errors).max()), 1))
    if case.bpm is not None:
        row["worst_pulse_error"] = round(float(np.abs(seen[FROM_S:, 1][shown] - case.bpm).max()), 1)
    return row


def _delay(read_pct: np.ndarray, truth_pct: np.ndarray) -> dict[str, Any]:
    """How late the readings follow, and their error against what was put in so long before."""
    best: tuple[float, int, np.ndarray, np.ndarray] | None = None
    for delay in DELAYS_S:
        at = np.arange(max(FROM_S, max(DELAYS_S)), len(read_pct))
        at = at[read_pct[at] > 0]
        errors = read_pct[at] - truth_pct[at - delay]
        if best is None or float(errors.std()) < best[0]:
            best = float(errors.std()), delay, errors, truth_pct[at - delay]
    assert best is not None
    _, delay, errors, truth = best
    worst = round(float(np.abs(errors).max()), 1)
    return {"delay_s": delay, "errors": errors, "truth": truth, "worst_error": worst}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All rows of a group together; figures of errors are missing where there is no reading."""
    seconds, given = (sum(row[key] for row in rows) for key in ("seconds", "with_reading"))
    total: dict[str, Any] = {"traces": len(rows), "seconds": seconds, "with_reading": given}
    total["yield"] = round(given / seconds, 4) if seconds else 0.0
    errors = np.concatenate([row["errors"] for row in rows if "errors" in row] or [np.zeros(0)])
    if len(errors):
        total.update(statistics(errors))
    pulse = [row["worst_pulse_error"] for row in rows if "worst_pulse_error" in row]
    if pulse:
        total["worst_pulse_error"] = max(pulse)
    delays = [row["delay_s"] for row in rows if "delay_s" in row]
    return {**total, "delays_s": sorted(delays)} if delays else total


def statistics(errors: np.ndarray) -> dict[str, float]:
    """Bias, precision, Arms (all as ISO 80601-2-61 defines them), the share within 4 points, the worst."""
    return {
        "bias": round(float(errors.mean()), 2),
        "precision": round(float(errors.std()), 2),
        "arms": round(float(np.sqrt((errors**2).mean())), 2),
        "within_4": round(float((np.abs(errors) <= NEAR).mean()), 4),
        "worst_error": round(float(np.abs(errors).max()), 1),
    }


def targets(groups: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What is aimed at, and what was reached: of clean traces Arms and yield, of the hard ones the share of
    their readings within 4 points.
    """
    clean = summary([row for name in STEADY for row in groups.get(name, [])])
    hard = summary([row for name in HARD for row in groups.get(name, [])])
    return {
        "arms": {"at_most": ARMS_MAX, "reached": clean.get("arms")},
        "yield": {"at_least": YIELD_MIN, "reached": clean["yield"]},
        "hard_within_4": {"at_least": NEAR_MIN, "reached": hard.get("within_4")},
    }


def _interpreter(text: str) -> str:
    """The type of --interpreter: micropython, cpython, or the path of one."""
    if text == "cpython":
        return sys.executable
    try:
        return find_micropython() if text == "micropython" else text
    except RigError as e:
        raise argparse.ArgumentTypeError(str(e)) from None


def _options(argv: "Sequence[str] | None") -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench spo2", description="Score SpO2 on pulse waves of known saturation."
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="recordings; else $VITALWIRE_DATA")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="score this recording instead of models")
    parser.add_argument("--fs", type=float, metavar="N", help="samples a second of --csv, 25 or more")
    parser.add_argument("--columns", metavar="RED,IR[,REF]", help="of --csv: names, or numbers from 0")
    parser.add_argument(
        "--interpreter",
        type=_interpreter,
        metavar="NAME",
        help="micropython (if there is one), cpython, a path",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="a Bland-Altman plot")
    report.add_option(parser)
    options = parser.parse_args(argv)
    if options.csv is not None and (options.fs is None or options.columns is None):
        parser.error("--csv needs --fs and --columns")
    if options.csv is None and (options.fs is not None or options.columns is not None):
        parser.error("--fs and --columns are for --csv")
    return options


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command; 1 if a recording cannot be used."""
    options = _options(argv)
    runs = options.interpreter or interpreter()
    try:
        if options.csv is not None:
            return _score_csv(options, runs)
        return _score_models(options, runs)
    except (RecordError, BadRecording) as e:
        print(e, file=sys.stderr)
        return 1


def _score_csv(options: argparse.Namespace, runs: str) -> int:
    trace, reference = load(options.csv, options.fs, options.columns.split(","))
    seen = read([trace], runs)[0]
    readings = [
        {
            "t_s": s + 1,
            "spo2": round(float(row[0]), 1) or None,
            "pulse": round(float(row[1]), 1) or None,
            "quality": int(row[3]),
            "ref": reference[s],
        }
        for s, row in enumerate(seen)
    ]
    pairs = np.array(
        [(r["ref"], r["spo2"] - r["ref"]) for r in readings if r["spo2"] and r["ref"] is not None]
    )
    given = sum(r["spo2"] is not None for r in readings)
    print(f"{options.csv}: {given} readings in {len(readings)} s, by 110 - 25 R: uncalibrated")
    found: dict[str, Any] = {"arms": None}
    if len(pairs):
        found = statistics(pairs[:, 1])
        print(f"against the reference: bias {found['bias']}, SD {found['precision']}, Arms {found['arms']}")
    if options.plot is not None:
        _plot(
            options.plot,
            {options.csv.name: [{"truth": pairs[:, 0], "errors": pairs[:, 1]}]} if len(pairs) else {},
        )
    report.write(options.json, {"interpreter": Path(runs).name, "readings": readings, **found})
    return 0


def _score_models(options: argparse.Namespace, runs: str) -> int:
    data = options.data or data_dir()
    cases = [*models(), *recorded(data)]
    if not any(case.group == PEOPLE for case in cases):
        print("no recordings: --data DIR or VITALWIRE_DATA adds what follows people", file=sys.stderr)
    groups: dict[str, list[dict[str, Any]]] = {}
    for case, seen in zip(cases, read([case.trace for case in cases], runs), strict=True):
        groups.setdefault(case.group, []).append(judge(case, seen))
    print("Numerical error of the signal processing, in points of SpO2: not accuracy on people.")
    print(f"{'':72} traces seconds  yield   bias     SD   Arms  <=4 pt  worst  delay")
    totals = {name: summary(rows) for name, rows in groups.items()}
    for name, total in totals.items():
        print(_line(name, total))
    aims = targets(groups)
    print(
        f"clean: Arms {aims['arms']['reached']} (at most {ARMS_MAX}), yield {aims['yield']['reached']:.1%}"
        f" (at least {YIELD_MIN:.0%}); of readings under heavy movement or weak perfusion"
        f" {aims['hard_within_4']['reached'] or 0:.1%} within 4 points (at least {NEAR_MIN:.0%})"
    )
    if options.plot is not None:
        _plot(options.plot, {name: rows for name, rows in groups.items() if name in (CLEAN, *HARD, PEOPLE)})
    kept = {name: [_plain(row) for row in rows] for name, rows in groups.items()}
    facts = {"interpreter": Path(runs).name, "from_s": FROM_S, "targets": aims}
    report.write(options.json, {**facts, "groups": totals, "rows": kept})
    return 0


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("errors", "truth")}


def _plot(path: Path, groups: dict[str, list[dict[str, Any]]]) -> None:
    from tools.bench.plots_spo2 import bland_altman

    bland_altman(path, groups)


def _line(name: str, total: dict[str, Any]) -> str:
    def cell(key: str, width: int, places: int = 2) -> str:
        return f"{total[key]:{width}.{places}f}" if key in total else f"{'–':>{width}}"

    delays = total.get("delays_s", [])
    delay = f"{delays[0]}–{delays[-1]} s" if delays else "–"
    near = f"{total['within_4']:7.1%}" if "within_4" in total else f"{'–':>7}"
    return (
        f"{name:72} {total['traces']:6d} {total['seconds']:7d} {total['yield']:6.1%} {cell('bias', 6)}"
        f" {cell('precision', 6)} {cell('arms', 6)} {near} {cell('worst_error', 6, 1)} {delay:>6}"
    )


if __name__ == "__main__":
    sys.exit(main())
