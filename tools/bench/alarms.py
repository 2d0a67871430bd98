"""Score the node's alarms: whether each comes, how late, and how often for nothing.

    python -m tools.bench alarms [--repeats 6] [--db DIR] [--records 100,101] [--no-records] [--json FILE]
    python -m tools.bench alarms --no-generated --noise em --snr 0 [--noise-db DIR]
    python -m tools.bench alarms --interpreter cpython

Two parts. *Generated* people (tools/bench/alarm_cases.py): ECG and pulse wave go through the firmware's own
signal chains and alarm engine; blood pressures, battery and cuff faults are put in as readings. *Recordings*
with annotated beats, ECG only, in watch mode: an alarm of the heart's rate is false when the annotated rate
(mean of the last 8 s, as the reading) was on the right side of the limit throughout; asystole, when no two
annotated beats were 4 s apart. Ventricular flutter, where nothing is annotated, is left out of both.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from boards.virtual.recording import RecordError, data_dir
from protocol import frames as f
from protocol.frame_names import EVENT_NAMES, PRIORITY_NAMES
from tools.bench import noise, records, report
from tools.bench.alarm_cases import BEFORE_S, CASES, SEED, Case, Scene
from tools.bench.alarm_play import Told, play
from tools.bench.alarm_records import DAY_S, RATE_ALARMS, recorded
from tools.bench.heartbeats import Recording, load
from tools.bench.interpreter import interpreter

# What a signal that gives no reading is an alarm of.
HEIRS = (f.EVENT_CANNOT_ANALYSE, f.EVENT_SIGNAL_BAD)


def judge(case: Case, made: "Sequence[tuple[Scene, list[Told], list[int]]]") -> "dict[str, Any]":
    """One row: how many of the runs gave the alarm in time, its delays, how it ended, and all other alarms.

    `made`: of each run its scene, event frames and the highest priority of each second. `lowered`: runs in
    which between the alarm and the end of what it is about that priority was ever below the expected one.
    """
    delays: list[float] = []
    ends: list[float] = []
    others = lowered = 0
    for _, told, active in made:
        good = [
            one.at_s - case.at_s
            for one in told
            if (one.code, one.state) == (case.code, f.STATE_BEGAN)
            and one.priority >= case.priority
            and one.at_s >= case.at_s
        ]
        if good and good[0] <= case.within_s:
            delays.append(good[0])
            if case.back_s is not None:
                during = active[int(case.at_s + good[0]) : int(case.back_s)]
                lowered += min(during, default=case.priority) < case.priority
                ends += ending(case, told)
        # The condition's own alarm, and what hides or replaces it, count once it is there.
        others += len(
            {
                (one.code, one.number)
                for one in told
                if one.state == f.STATE_BEGAN and (one.at_s < BEFORE_S or not _akin(one.code, case.code))
            }
        )
    seconds = sum(scene.seconds for scene, _, _ in made)
    return {
        "case": case.name,
        "expected": EVENT_NAMES.get(case.code) if case.code else None,
        "priority": PRIORITY_NAMES[case.priority] if case.code else None,
        "runs": len(made),
        "found": len(delays) if case.code else None,
        "delay_s": round(float(np.mean(delays)), 1) if delays else None,
        "delay_max_s": max(delays) if delays else None,
        "ended": len(ends) if case.back_s is not None else None,
        "end_s": round(float(np.mean(ends)), 1) if ends else None,
        "end_max_s": max(ends) if ends else None,
        "lowered": lowered,
        "others": others,
        "seconds": seconds,
    }


def ending(case: Case, told: "Sequence[Told]") -> "list[float]":
    """The time from the end of what the alarm is about to that of the alarm (to *latched* of one that stays
    until it is seen), or of that which it was handed over to; none where one of them is there to the last.
    """
    last = {one.code: one for one in told if one.code in (case.code, *HEIRS)}
    if case.back_s is None or any(one.state == f.STATE_BEGAN for one in last.values()):
        return []
    end = max((one.at_s for one in last.values()), default=-1.0)
    return [end - case.back_s] if end >= case.back_s else []


def _akin(code: int, expected: int) -> bool:
    """Whether an alarm may come with the expected one: what goes with a heart that stands still or cannot be
    told.
    """
    if code == expected or not expected:
        return bool(expected)
    heart = (*RATE_ALARMS, *HEIRS, f.EVENT_SPO2_LOW)
    return expected in (f.EVENT_ASYSTOLE, f.EVENT_CANNOT_ANALYSE) and code in heart


def generated(repeats: int, runs: str, jobs: int) -> "list[dict[str, Any]]":
    """The rows of all cases, printed as they come."""
    head = f"  {'generated case':34} {'expected':22} {'prio':>6}"
    print(f"{head}  found  delay s      ended after s  lowered other")
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(jobs) as pool:
        for number, case in enumerate(CASES):
            scenes = [case.make(np.random.default_rng((SEED, number, i))) for i in range(repeats)]
            made = list(pool.map(lambda scene: (scene, *play(scene, runs)), scenes))
            row = judge(case, made)
            rows.append(row)
            print(_line(row), flush=True)
    return rows


def _line(row: "dict[str, Any]") -> str:
    if row["expected"] is None:
        return f"  {row['case']:34} {'none':22} {'':>6}  {'':41} {row['others']:5d}"
    delays = f"{row['delay_s']:5.1f} {row['delay_max_s']:5.0f}" if row["delay_s"] is not None else ""
    ends = f"{row['end_s']:5.1f} {row['end_max_s']:5.0f}" if row["end_s"] is not None else ""
    if row["ended"] is not None and row["ended"] < row["found"]:
        ends += f" ({row['ended']})"
    found = f"{row['found']}/{row['runs']}"
    expected = f"{row['expected']:22} {row['priority']:>6}"
    counts = f"{row['lowered']:7d} {row['others']:5d}"
    return f"  {row['case']:34} {expected}  {found:5} {delays:11}  {ends:13} {counts}"


def _loader(parser: argparse.ArgumentParser, options: argparse.Namespace) -> "Callable[[Path], Recording]":
    """How a recording is read: as it is, or with noise in two minutes of every four (noise.py)."""
    if options.noise is None:
        return lambda path: load(path, 0, options.seconds)
    data = data_dir()
    if options.noise_db is None and data is None:
        parser.error("no noise: give --noise-db DIR, or set VITALWIRE_DATA to what has nstdb/")
    folder: Path = options.noise_db or Path(data or "") / "nstdb"
    return lambda path: noise.add(load(path, 0, options.seconds), folder / options.noise, 0, options.snr)


def main(argv: "list[str]") -> int:
    """The command: 0; 1 when an expected alarm did not come, 2 for what cannot be run."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench alarms", description="Score the node's alarms."
    )
    records.add_options(parser)
    parser.add_argument("--repeats", type=int, default=6, metavar="N", help="runs of each generated case")
    parser.add_argument("--seconds", type=report.seconds, metavar="S", help="only the first S of each record")
    parser.add_argument("--noise", choices=noise.KINDS, help="recordings with this noise")
    parser.add_argument("--snr", type=float, default=0.0, metavar="DB", help="of the noise; 0 if not given")
    parser.add_argument("--noise-db", type=Path, metavar="DIR", help="else $VITALWIRE_DATA/nstdb")
    parser.add_argument("--no-records", action="store_true", help="generated cases only")
    parser.add_argument("--no-generated", action="store_true", help="recordings only")
    parser.add_argument(
        "--interpreter", metavar="I", help="cpython, or a MicroPython; else the VM if there is one"
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="runs at a time")
    report.add_option(parser)
    options = parser.parse_args(argv)
    runs = sys.executable if options.interpreter == "cpython" else options.interpreter or interpreter()
    result: dict[str, Any] = {"interpreter": Path(runs).name}
    missing = 0
    if not options.no_generated:
        rows = generated(options.repeats, runs, options.jobs)
        missing = sum(row["runs"] - row["found"] for row in rows if row["found"] is not None)
        well = [row for row in rows if row["expected"] is None]
        quiet_s = sum(row["seconds"] for row in well)
        others = sum(row["others"] for row in rows)
        result["generated"] = {
            "cases": {row["case"]: row for row in rows},
            "missing": missing,
            "others": others,
            "false_per_day_well": round(sum(row["others"] for row in well) * DAY_S / max(quiet_s, 1), 2),
        }
        print(f"  not found {missing}, other alarms {others}, of {quiet_s / 3600:.1f} h well")
    if not options.no_records:
        try:
            paths = records.chosen(parser, options)
            result["recorded"] = recorded(_loader(parser, options), paths, runs, options.jobs)
        except RecordError as e:
            print(f"error: {e}", file=sys.stderr)
            return 2
    report.write(options.json, result)
    return 1 if missing else 0
