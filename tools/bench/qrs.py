"""Score the node's QRS detector and heart rate against the beat annotations of recordings.

    python -m tools.bench qrs [--db DIR] [--records 100,101] [--lead 2] [--json FILE]
    python -m tools.bench qrs --noise em,ma,bw --snr 6,12 [--noise-db DIR]

Each record is resampled to 250 samples a second by the virtual patient, rounded to the 3.05 uV of the ECG
chip, and passed in FIFO-sized blocks through the firmware's own chain in an interpreter of its own: the
MicroPython VM where there is one, so that the native code which nodes run is what is scored. Reference and
detected beats are paired one to one within 150 ms (ANSI/AAMI EC57), from the first second to the last;
ventricular flutter and fibrillation, where there are no beats to annotate, are left out.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boards.virtual.recording import RecordError
from tools.bench import noise, records, report
from tools.bench.heartbeats import FS_HZ, LSB_NV, Detection, Recording, detect, load
from tools.bench.interpreter import interpreter
from tools.bench.scoring import TOLERANCE_S, Score, mean_rate, mean_reading, pair, score

__all__ = (
    "FS_HZ",
    "LSB_NV",
    "Detection",
    "Recording",
    "Score",
    "detect",
    "evaluate",
    "gross",
    "load",
    "main",
    "mean_rate",
    "mean_reading",
    "pair",
    "score",
)

HR_FROM_S, HR_TO_S = 20, 60
SETTLE_S = 5  # of each stretch of noise: quality looks back


def evaluate(recording: Recording, runs: str) -> dict[str, Any]:
    """One row of the report."""
    found = detect(recording.samples, runs)
    result = score(recording.beats, [t for t in found.beats if t < recording.duration_s], recording.flutter)
    return {
        "record": recording.name,
        "paced": recording.paced,
        "beats": result.tp + result.fn,
        **asdict(result),
        "se_pct": round(result.se_pct, 3),
        "ppv_pct": round(result.ppv_pct, 3),
        "hr_bpm": round(mean_reading(found.hr_bpm, HR_FROM_S, HR_TO_S), 2),
        "hr_annotated_bpm": round(mean_rate(recording.beats, HR_FROM_S, HR_TO_S), 2),
        "quality": int(np.median(found.quality)) if found.quality else 0,
    }


def gross(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All beats of all records together."""
    tp, fn, fp = (sum(row[key] for row in rows) for key in ("tp", "fn", "fp"))
    total = Score(tp, fn, fp, [], [], 0.0, 0.0)
    return {
        "records": len(rows),
        "beats": tp + fn,
        "fn": fn,
        "fp": fp,
        "se_pct": round(total.se_pct, 3),
        "ppv_pct": round(total.ppv_pct, 3),
    }


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['record']:>8}{'*' if row['paced'] else ' '} {row['beats']:5d} {row['fn']:4d} {row['fp']:4d}"
        f" {row['se_pct']:7.2f} {row['ppv_pct']:7.2f} {row['offset_ms']:6.1f} {row['jitter_ms']:5.1f}"
        f" {row['hr_bpm']:7.1f} {row['hr_annotated_bpm']:7.1f} {row['quality']:4d}"
    )


def noisy_row(
    recording: Recording, kind: str, snr_db: float, noise_db: Path, lead: int, runs: str
) -> "dict[str, Any]":
    """One row of the noise report: only what lies in the noisy stretches counts. Raises RecordError."""
    found = detect(noise.add(recording, noise_db / kind, lead, snr_db).samples, runs)
    exclude = [*recording.flutter, *noise.quiet(recording.duration_s)]
    result = score(recording.beats, [t for t in found.beats if t < recording.duration_s], exclude)
    spans = noise.stretches(recording.duration_s)
    quality = [q for s, q in enumerate(found.quality) if any(a + SETTLE_S <= s < b for a, b in spans)]
    return {
        "record": recording.name,
        "noise": kind,
        "snr_db": snr_db,
        "tp": result.tp,
        "fn": result.fn,
        "fp": result.fp,
        "se_pct": round(result.se_pct, 3),
        "ppv_pct": round(result.ppv_pct, 3),
        "quality": int(np.median(quality)) if quality else 0,
    }


def score_clean(
    paths: Sequence[Path], lead: int, seconds: "float | None", runs: str, jobs: int
) -> "dict[str, Any]":
    """The report on recordings as they are, printed as it grows. Raises RecordError."""
    print("  record  beats   FN   FP      Se     PPV offset    SD      HR  annot.  SQI   (* paced; ms, /min)")
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(jobs) as pool:
        for row in pool.map(lambda path: evaluate(load(path, lead, seconds), runs), paths):
            rows.append(row)
            print(_line(row), flush=True)
    result: dict[str, Any] = {
        "gross": gross(rows),
        "gross_unpaced": gross([r for r in rows if not r["paced"]]),
    }
    for title, facts in result.items():
        print(title, *(f"{key} {value}" for key, value in facts.items()))
    return {**result, "records": rows}


def score_noisy(
    paths: Sequence[Path], lead: int, seconds: "float | None", runs: str, jobs: int, noises: "Noises"
) -> "dict[str, Any]":
    """The report on recordings with noise added, printed as it grows. Raises RecordError."""
    loaded = [load(path, lead, seconds) for path in paths]
    if not any(noise.stretches(recording.duration_s) for recording in loaded):
        raise RecordError(str(paths[0]), [], f"the noise begins after {noise.CLEAN_S} s; it is not that long")
    print("noise   SNR dB  beats   FN   FP      Se     PPV  SQI")
    cases: list[dict[str, Any]] = []
    with ThreadPoolExecutor(jobs) as pool:
        for kind in noises.kinds:
            for snr_db in noises.snr_db:
                work = [pool.submit(noisy_row, r, kind, snr_db, noises.db, lead, runs) for r in loaded]
                rows = [future.result() for future in work]
                total = gross(rows)
                quality = int(np.median([row["quality"] for row in rows]))
                cases.append({"noise": kind, "snr_db": snr_db, **total, "quality": quality, "rows": rows})
                print(
                    f"{kind:>5} {snr_db:8g} {total['beats']:6d} {total['fn']:4d} {total['fp']:4d}"
                    f" {total['se_pct']:7.2f} {total['ppv_pct']:7.2f} {quality:4d}",
                    flush=True,
                )
    return {"noisy": cases}


@dataclass(frozen=True)
class Noises:
    """Which noises are added, at which ratios, and the folder that they are in."""

    kinds: list[str]
    snr_db: list[float]
    db: Path


def _options(argv: "Sequence[str] | None") -> "tuple[argparse.Namespace, list[Path], Noises | None]":
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench qrs", description="Score QRS detection and heart rate."
    )
    records.add_options(parser)
    parser.add_argument("--lead", type=int, default=1, help="number of the signal, from 1 (%(default)s)")
    parser.add_argument("--seconds", type=report.seconds, help="only the first seconds of each record")
    parser.add_argument("--noise", metavar="em,ma,bw", help="add these; then 118 and 119 are the records")
    parser.add_argument(
        "--snr", default="18,12,6,0", metavar="DB,DB", help="ratios for --noise (%(default)s)"
    )
    parser.add_argument("--noise-db", type=Path, help="folder of the noises; else nstdb beside that of --db")
    parser.add_argument("--interpreter", help="what runs the firmware; the MicroPython VM if there is one")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="records at a time (%(default)s)"
    )
    report.add_option(parser)
    options = parser.parse_args(argv)
    if options.lead < 1 or options.jobs < 1:
        parser.error("--lead and --jobs begin at 1")
    if options.noise is None:
        return options, records.chosen(parser, options), None
    options.records = options.records or ",".join(noise.RECORDS)
    paths = records.chosen(parser, options)
    try:
        levels = [float(text) for text in options.snr.split(",")]
    except ValueError:
        parser.error(f"--snr {options.snr}: not numbers separated by commas")
    noises = Noises(options.noise.split(","), levels, options.noise_db or paths[0].parent.parent / "nstdb")
    for kind in noises.kinds:
        if not (noises.db / f"{kind}.hea").is_file():
            parser.error(f"no record of noise {kind} in {noises.db}")
    return options, paths, noises


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command; 1 if a record cannot be used."""
    options, paths, noises = _options(argv)
    runs = options.interpreter or interpreter()
    lead = options.lead - 1
    try:
        if noises is None:
            found = score_clean(paths, lead, options.seconds, runs, options.jobs)
        else:
            found = score_noisy(paths, lead, options.seconds, runs, options.jobs, noises)
    except RecordError as e:
        print(e, file=sys.stderr)
        return 1
    facts = {"tolerance_ms": round(TOLERANCE_S * 1000), "lead": options.lead, "interpreter": Path(runs).name}
    report.write(options.json, {**facts, **found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
