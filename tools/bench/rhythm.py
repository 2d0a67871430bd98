"""Score what the node says of the rhythm: irregular, VF-like, asystole, noise, and the mains frequency.

    python -m tools.bench rhythm [--db DIR] [--records 201,203] [--json FILE] [--interpreter PATH]

Recordings: every second of each is compared with the rhythm annotations (AFIB; ventricular flutter and
tachycardia), the first and every other record apart from the rest: constants were chosen on the former. Then
the noises of the MIT-BIH Noise Stress Test Database (nstdb beside the records, where it is), alone and on 118
and 119. Then generated cases, which hold what the recordings lack: fibrillation of seven kinds, asystole
under P waves, wander and hum, sinus arrhythmia, hum off its frequency, steps of the rate. The chain is the
firmware's, on the MicroPython VM where there is one; mains is configured as 50 Hz, or as the wrong one where
hum is generated.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from boards.virtual.recording import RecordedHeart, RecordError
from tools.bench import noise, records, report
from tools.bench import rhythm_cases as cases
from tools.bench.heartbeats import FS_HZ, LSB_NV, load
from tools.bench.interpreter import interpreter, run

RUNNER = """\
import sys
from array import array
from firmware.dsp.ecg import EcgChain
chain = EcgChain(lsb_nv=%d, mains_hz=%d)
raw = array("h", [0] * 25)
block = array("i", [0] * 25)
done = 0
with open(sys.argv[1], "rb") as f:
    while f.readinto(raw) == 50:
        for i in range(25):
            block[i] = raw[i]
        chain.process(block, 25)
        done += 25
        if done %% 250 == 0:
            chain.take_beats()
            print(chain.hr_x10, chain.asystole * 1, chain.irregular * 1, chain.cannot_analyse, chain.mains_hz)
"""

VF_LIKE, SATURATED, NOISE = 1, 2, 3
AFTER_S = 5  # a wave is judged over 4 s: so long after a flutter has ended nothing is held against it


def watch(samples: np.ndarray, mains_hz: int, runs: str) -> "dict[str, np.ndarray]":
    """What the chain says after each second: `rate` (0.1 /min), `asystole`, `irregular`, `why`, `mains`."""
    lines = run(RUNNER % (LSB_NV, mains_hz), samples.astype("<i2").tobytes(), runs)
    table = np.array([[int(word) for word in line.split()] for line in lines]).reshape(-1, 5)
    return dict(zip(("rate", "asystole", "irregular", "why", "mains"), table.T, strict=True))


def spans(path: Path, names: Sequence[str], duration_s: float) -> "list[tuple[float, float]]":
    """When one of the rhythms `names`, without their bracket, is annotated."""
    import wfdb

    notes: Any = wfdb.rdann(str(path), "atr")
    fs = wfdb.rdheader(str(path)).fs
    found: list[tuple[float, float]] = []
    start: float | None = None
    for sample, symbol, text in zip(notes.sample, notes.symbol, notes.aux_note, strict=True):
        if symbol != "+":
            continue
        if start is not None:
            found.append((start, sample / fs))
            start = None
        if text.strip("\0 (") in names:
            start = sample / fs
    return found if start is None else [*found, (start, duration_s)]


def inside(
    t: np.ndarray, intervals: "list[tuple[float, float]]", early: float = 0, late: float = 0
) -> np.ndarray:
    """Which of the times lie in one of the intervals, begun `early` s later and ended `late` s later."""
    out = np.zeros(len(t), bool)
    for a, b in intervals:
        out |= (t >= a + early) & (t <= b + late)
    return out


def row(path: Path, runs: str) -> "dict[str, Any]":
    """Seconds of one recording."""
    recording = load(path)
    said = watch(recording.samples, 50, runs)
    t = np.arange(1, len(said["why"]) + 1)
    fibrillating = inside(t, spans(path, ["AFIB"], recording.duration_s))
    other_chaos = inside(t, spans(path, ["AFL", "VFL", "VT"], recording.duration_s))
    flutter = [*recording.flutter, *spans(path, ["VFL"], recording.duration_s)]
    tachycardia = inside(t, spans(path, ["VT"], recording.duration_s), late=AFTER_S)
    waving = inside(t, flutter, early=AFTER_S)
    near = inside(t, flutter, late=AFTER_S)
    vf = said["why"] == VF_LIKE
    return {
        "record": path.name,
        "seconds": len(t),
        "afib_s": int(fibrillating.sum()),
        "afib_irregular_s": int((said["irregular"][fibrillating]).sum()),
        "other_s": int((~fibrillating & ~other_chaos).sum()),
        "other_irregular_s": int(said["irregular"][~fibrillating & ~other_chaos].sum()),
        "flutter_s": int(waving.sum()),
        "flutter_vf_s": int(vf[waving].sum()),
        "tachycardia_vf_s": int((vf & tachycardia & ~near).sum()),
        "false_vf_s": int((vf & ~near & ~tachycardia).sum()),
        "asystole_s": int(said["asystole"].sum()),
        "noise_s": int((said["why"] == NOISE).sum()),
        "saturated_s": int((said["why"] == SATURATED).sum()),
        "no_rate_s": int((said["rate"][8:] == 0).sum()),
        "mains_hz": int(said["mains"][-1]),
    }


def total(rows: "Sequence[dict[str, Any]]") -> "dict[str, Any]":
    """Sums, and what they come to in percent."""
    out: dict[str, Any] = {"records": len(rows)}
    for key in rows[0]:
        if key.endswith("_s") or key == "seconds":
            out[key] = sum(r[key] for r in rows)
    for share, part, whole in (
        ("afib_irregular_pct", "afib_irregular_s", "afib_s"),
        ("other_irregular_pct", "other_irregular_s", "other_s"),
        ("flutter_vf_pct", "flutter_vf_s", "flutter_s"),
    ):
        out[share] = round(100 * out[part] / out[whole], 2) if out[whole] else None
    return out


def noises(folder: Path, db: Path, runs: str) -> "Iterator[dict[str, Any]]":
    """Seconds of what is said of recorded noise, alone and on the records of that database. RecordError."""
    for kind in noise.KINDS:
        heart = RecordedHeart(folder / kind, 0)
        t = np.arange(int(heart.duration_s) * FS_HZ) / FS_HZ
        parts = [heart.ecg_uv(part, FS_HZ) for part in np.array_split(t, len(t) // 5000)]
        alone = np.round(np.concatenate(parts) * (1000 / LSB_NV)).clip(-16384, 16383)
        yield _noise_row(kind, "alone", None, watch(alone, 50, runs), slice(None))
        for name in noise.RECORDS:
            recording = load(db / name)
            at = np.arange(1, int(recording.duration_s))
            noisy = inside(at, noise.stretches(recording.duration_s))
            for snr_db in (6, 0):
                said = watch(noise.add(recording, folder / kind, 0, snr_db).samples, 50, runs)
                yield _noise_row(kind, name, snr_db, said, np.flatnonzero(noisy))


def _noise_row(
    kind: str, on: str, snr_db: "int | None", said: "dict[str, np.ndarray]", where: Any
) -> "dict[str, Any]":
    part = {key: values[where] for key, values in said.items()}
    return {
        "noise": kind,
        "on": on,
        "snr_db": snr_db,
        "seconds": len(part["why"]),
        "vf_s": int((part["why"] == VF_LIKE).sum()),
        "asystole_s": int(part["asystole"].sum()),
        "noise_s": int((part["why"] == NOISE).sum()),
        "irregular_s": int(part["irregular"].sum()),
        "rate_s": int((part["rate"] > 0).sum()),
    }


def generated(runs: str, jobs: int) -> "list[dict[str, Any]]":
    """What must be said of each generated case, and how long after it began it was."""
    made = list(cases.all_cases())
    with ThreadPoolExecutor(jobs) as pool:
        said = list(pool.map(lambda case: watch(case.samples(LSB_NV), case.mains_hz, runs), made))
    return [judge(case, found) for case, found in zip(made, said, strict=True)]


def judge(case: "cases.Case", said: "dict[str, np.ndarray]") -> "dict[str, Any]":
    """One row: seconds from the case's beginning until what is wanted is said, and whether it stays so."""
    rate = said["rate"] / 10
    wanted = {
        "vf": said["why"] == VF_LIKE,
        "asystole": said["asystole"] == 1,
        "noise": (said["asystole"] == 0) & (rate == 0),
        "irregular": said["irregular"] == 1,
        "regular": said["irregular"] == 0,
        "rate": np.abs(rate / case.rate - 1) <= 0.05 if case.rate else rate > 0,
        "hum": said["mains"] == round(case.rate, -1) if case.rate else rate > 0,
    }[case.wanted]
    late = np.flatnonzero(~wanted[int(case.from_s) :])
    after = int(late[-1]) + 2 if len(late) else 1
    seconds = after + int(case.from_s) - case.from_s
    return {
        "case": case.name,
        "wanted": case.wanted,
        "after_s": round(seconds, 1),
        "limit_s": case.limit_s,
        "vf_s": int((said["why"] == VF_LIKE).sum()),
        "passed": bool(seconds <= case.limit_s),
    }


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command; 1 if a record cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench rhythm", description="Score rhythm and mains."
    )
    records.add_options(parser)
    parser.add_argument("--interpreter", help="what runs the firmware; the MicroPython VM if there is one")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="records at a time (%(default)s)"
    )
    report.add_option(parser)
    options = parser.parse_args(argv)
    paths = records.chosen(parser, options)
    runs = options.interpreter or interpreter()
    print("record  AFIB s  said | other s  said | flutter s  said  VT  false | asystole noise no rate  mains")
    rows: list[dict[str, Any]] = []
    try:
        with ThreadPoolExecutor(max(1, options.jobs)) as pool:
            for r in pool.map(lambda path: row(path, runs), paths):
                rows.append(r)
                print(
                    f"{r['record']:>6} {r['afib_s']:7d} {r['afib_irregular_s']:5d} | {r['other_s']:7d}"
                    f" {r['other_irregular_s']:5d} | {r['flutter_s']:9d} {r['flutter_vf_s']:5d}"
                    f" {r['tachycardia_vf_s']:3d} {r['false_vf_s']:6d} | {r['asystole_s']:8d}"
                    f" {r['noise_s']:5d} {r['no_rate_s']:7d} {r['mains_hz']:6d}",
                    flush=True,
                )
    except RecordError as e:
        print(e, file=sys.stderr)
        return 1
    result: dict[str, Any] = {"all": total(rows)}
    if len(rows) > 1:
        result |= {"developed_on": total(rows[::2]), "held_out": total(rows[1::2])}
    for title, facts in result.items():
        print(title, *(f"{key} {value}" for key, value in facts.items()))
    stressed: list[dict[str, Any]] = []
    stress = paths[0].parent.parent / "nstdb"
    if (stress / "em.hea").is_file() and all(
        (paths[0].parent / f"{name}.hea").is_file() for name in noise.RECORDS
    ):
        for r in noises(stress, paths[0].parent, runs):
            stressed.append(r)
            print(*(f"{key} {value}" for key, value in r.items()), flush=True)
    made = generated(runs, max(1, options.jobs))
    for case in made:
        mark = "ok" if case["passed"] else "FAILED"
        print(
            f"{case['case']:>42} {case['wanted']:>9} after {case['after_s']:5.1f} s"
            f" ({case['limit_s']:g}) {mark}"
        )
    failed = [case["case"] for case in made if not case["passed"]]
    print(f"generated: {len(made) - len(failed)} of {len(made)} as wanted")
    report.write(
        options.json,
        {"interpreter": Path(runs).name, **result, "rows": rows, "noise": stressed, "generated": made},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
