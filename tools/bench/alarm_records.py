"""The benchmark `alarms` on recordings with annotated beats: what is true, what is false, what is missed."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from protocol import frames as f
from protocol.frame_names import EVENT_NAMES, PRIORITY_NAMES
from tools.bench.alarm_cases import ECG_HZ, Scene
from tools.bench.alarm_play import Told, play
from tools.bench.heartbeats import Recording

DAY_S = 86400
WINDOW_S = 8
REACH_S = 25  # so long before an alarm what it tells of may have been: its delay, and the reading's window
SLACK = 0.05  # of a rate: what a monitor's heart rate may be off by
RATE_ALARMS = (f.EVENT_ASYSTOLE, f.EVENT_HR_HIGH, f.EVENT_HR_LOW)
TECHNICAL = (f.EVENT_CANNOT_ANALYSE, f.EVENT_SIGNAL_BAD, f.EVENT_LEAD_OFF, f.EVENT_SENSOR_FAULT)


def annotated_rate(beats: "Sequence[float]", now_s: float) -> float:
    """Mean rate of the last WINDOW_S, a minute; a pause longer than every interval counts; 0: unknown."""
    at = np.asarray(beats)
    last = int(np.searchsorted(at, now_s, side="right")) - 1
    if last < 2:
        return 0.0
    first = int(np.searchsorted(at, now_s - WINDOW_S))
    first = min(first, last - 2)
    intervals = np.diff(at[first : last + 1])
    span = at[last] - at[first]
    since = now_s - at[last]
    return float(60 * (last - first) / (span + (since if since > intervals.max() else 0)))


def is_true(code: int, priority: int, at_s: float, beats: "Sequence[float]") -> bool:
    """Whether the annotated beats bear the alarm out."""
    span = np.arange(max(0.0, at_s - REACH_S), at_s + 1, 0.5)
    if code == f.EVENT_ASYSTOLE:
        near = [0.0, *[t for t in beats if at_s - REACH_S <= t <= at_s + 5], at_s + 5]
        return any(b - a >= 4 and b > at_s - 12 for a, b in itertools.pairwise(near))
    rates = [rate for rate in (annotated_rate(beats, t) for t in span) if rate]
    if code == f.EVENT_HR_HIGH:
        return bool(rates) and max(rates) > (150 if priority == f.PRIORITY_HIGH else 130) * (1 - SLACK)
    return bool(rates) and min(rates) < (40 if priority == f.PRIORITY_HIGH else 45) * (1 + SLACK)


def wanted(recording: Recording) -> "Iterator[tuple[int, float]]":
    """(code, when) of what the annotations say must be alarmed at: a rate beyond the high rule for 15 s, or
    the medium one for 35 s, by more than SLACK; a pause of 5 s.
    """
    at = np.arange(10.0, recording.duration_s, 1.0)
    rates = np.array([annotated_rate(recording.beats, t) for t in at])
    for code, beyond, least_s in (
        (f.EVENT_HR_HIGH, rates > 150 * (1 + SLACK), 15),
        (f.EVENT_HR_HIGH, rates > 130 * (1 + SLACK), 35),
        (f.EVENT_HR_LOW, (rates > 0) & (rates < 40 * (1 - SLACK)), 15),
        (f.EVENT_HR_LOW, (rates > 0) & (rates < 45 * (1 - SLACK)), 35),
    ):
        since = None
        for t, out in zip(at, beyond, strict=True):
            since = (t if since is None else since) if out else None
            if since is not None and t - since == least_s:
                yield code, t
    for a, b in itertools.pairwise(recording.beats):
        if b - a >= 5 and not _in_flutter(recording, a, b):
            yield f.EVENT_ASYSTOLE, a + 5


def _in_flutter(recording: Recording, begin_s: float, end_s: float) -> bool:
    return any(a < end_s and begin_s < b for a, b in recording.flutter)


def evaluate(recording: Recording, runs: str) -> "dict[str, Any]":
    """One row of the report on recordings."""
    seconds = int(recording.duration_s)
    told, active = play(Scene(recording.samples[: seconds * ECG_HZ], None, None), runs)
    row: dict[str, Any] = {
        "record": recording.name,
        "paced": recording.paced,
        "seconds": seconds,
        "flutter": 0,
    }
    verdicts: dict[int, list[bool | None]] = {}
    falsely: dict[int, str] = {}
    for one in told:
        if one.state != f.STATE_BEGAN or one.code not in RATE_ALARMS:
            continue
        verdict = None
        if not _in_flutter(recording, one.at_s - REACH_S, one.at_s):
            verdict = is_true(one.code, one.priority, one.at_s, recording.beats)
        verdicts.setdefault(one.number, []).append(verdict)
        name = f"{EVENT_NAMES[one.code]} ({PRIORITY_NAMES[one.priority]}) at {one.at_s} s"
        falsely.setdefault(one.number, name)
    row["flutter"] = sum(None in given for given in verdicts.values())
    wrong = [number for number, given in verdicts.items() if None not in given and True not in given]
    true = len(verdicts) - row["flutter"] - len(wrong)
    missed = [
        f"{EVENT_NAMES[code]} at {t:.0f} s"
        for code, t in wanted(recording)
        if not _in_flutter(recording, t - REACH_S, t) and not _raised(told, code, t)
    ]
    technical = [one for one in told if one.state == f.STATE_BEGAN and one.code in TECHNICAL]
    return row | {
        "true": true,
        "false": len(wrong),
        "falsely": [falsely[number] for number in wrong],
        "missed": missed,
        "technical": len({one.number for one in technical}),
        "technical_high": len({one.number for one in technical if one.priority == f.PRIORITY_HIGH}),
        "in_alarm_s": sum(1 for priority in active if priority),
    }


def _raised(told: "Sequence[Told]", code: int, t: float) -> bool:
    """Whether an alarm of that cause was on between 10 s before and 5 s after."""
    on = False
    for one in told:
        if one.at_s > t + 5:
            break
        if one.code == code and one.state in (f.STATE_BEGAN, f.STATE_ENDED):
            on = one.state == f.STATE_BEGAN or one.at_s >= t - 10
    return on


def recorded(
    load_one: "Callable[[Path], Recording]", paths: "Sequence[Path]", runs: str, jobs: int
) -> "dict[str, Any]":
    """The report on recordings, printed as it grows. Raises RecordError."""
    print("  record   hours  true  false  in flutter  missed  technical (high)  in alarm s   (* paced)")
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(jobs) as pool:
        for row in pool.map(lambda path: evaluate(load_one(path), runs), paths):
            rows.append(row)
            print(
                f"{row['record']:>8}{'*' if row['paced'] else ' '} {row['seconds'] / 3600:6.2f}"
                f" {row['true']:5d} {row['false']:6d} {row['flutter']:11d} {len(row['missed']):7d}"
                f" {row['technical']:10d} ({row['technical_high']}) {row['in_alarm_s']:14d}"
                f"  {'; '.join(row['falsely'])}",
                flush=True,
            )
    total = sum(row["seconds"] for row in rows)
    sums = {
        key: sum(row[key] for row in rows)
        for key in ("true", "false", "flutter", "technical", "technical_high")
    }
    gross = {
        "days": round(total / DAY_S, 3),
        **sums,
        "missed": sum(len(row["missed"]) for row in rows),
        "false_per_day": round(sums["false"] * DAY_S / total, 2),
        "technical_per_day": round(sums["technical"] * DAY_S / total, 2),
    }
    print("  gross:", *(f"{key} {value}" for key, value in gross.items()))
    return {"gross": gross, "records": {row["record"]: row for row in rows}}
