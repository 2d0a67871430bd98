"""Score the node's QRS detector and heart rate against the beat annotations of recordings.

    python -m tools.bench qrs [--db DIR] [--records 100,101] [--lead 2] [--json FILE] [--plot FILE]
    python -m tools.bench qrs --noise em,ma,bw --snr 12,6,0 [--noise-db DIR]

Each record, whatever its rate, is resampled to 250 samples a second by the virtual patient, rounded to the
3.05 uV of the ECG chip, and passed in FIFO-sized blocks through the firmware's own chain in an interpreter of
its own. Reference and detected beats are paired one to one within 150 ms, beat by beat, as ANSI/AAMI EC57 has
it: over the whole record and from the sixth minute on. Ventricular flutter and fibrillation, where there are
no beats to annotate, are left out; nothing else is, however bad the signal's quality. With noise, only what
lies within it counts. Peers get the same samples.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boards.virtual.recording import RecordError
from tools.bench import noise, peers, plots_ecg, records, report
from tools.bench.heartbeats import FS_HZ, LSB_NV, Detection, Recording, detect, load
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
LEARNING_S = 300  # EC57: a detector may learn for five minutes
SETTLE_S = 5  # of each stretch of noise: quality looks back
PERCENTILE = 95

Spans = list[tuple[float, float]]


def figures(result: Score) -> dict[str, Any]:
    """Counts and percentages of a score."""
    return {
        "se": round(result.se_pct, 3),
        "ppv": round(result.ppv_pct, 3),
        "f1": round(result.f1_pct, 3),
        "tp": result.tp,
        "fp": result.fp,
        "fn": result.fn,
    }


def judge(recording: Recording, beats: Sequence[float], left_out: Spans) -> Score:
    """The beats of a detector, without those after the recording and those in `left_out`."""
    return score(recording.beats, [t for t in beats if 0 <= t < recording.duration_s], left_out)


def evaluate(
    recording: Recording, runs: str, left_out: "Spans | None" = None
) -> "tuple[dict[str, Any], Detection]":
    """One row of the report, and what it was made from. `left_out`: spans without score, flutter if None."""
    found = detect(recording.samples, runs)
    exclude = recording.flutter if left_out is None else left_out
    result = judge(recording, found.beats, exclude)
    late = [known - beat for beat, known in zip(found.beats, found.known, strict=True) if beat > 2 * SETTLE_S]
    row = {
        **figures(result),
        "paced": recording.paced,
        "offset_ms": round(result.offset_ms, 1),
        "jitter_ms": round(result.jitter_ms, 1),
        "rr_error_ms": round(result.rr_ms, 2),
        "known_after_ms": round(1000 * float(np.median(late))) if late else None,
        "known_after_95_ms": round(1000 * float(np.percentile(late, PERCENTILE))) if late else None,
        "from_minute_5": figures(judge(recording, found.beats, [*exclude, (-1.0, float(LEARNING_S))])),
        "hr_bpm": round(mean_reading(found.hr_bpm, HR_FROM_S, HR_TO_S), 2),
        "hr_annotated_bpm": round(mean_rate(recording.beats, HR_FROM_S, HR_TO_S), 2),
        "quality": int(np.median(found.quality)) if found.quality else 0,
        "missed_s": result.missed_s,
        "false_s": result.false_s,
    }
    return row, found


def gross(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All beats of all rows together."""
    tp, fn, fp = (sum(row[key] for row in rows) for key in ("tp", "fn", "fp"))
    return {**figures(Score(tp, fn, fp, [], [], 0.0, 0.0)), "records": len(rows)}


def _peers(recording: Recording, names: Sequence[str], left_out: Spans) -> dict[str, dict[str, Any]]:
    samples = recording.samples[: round(recording.duration_s * FS_HZ)]
    found = peers.detect(names, samples, LSB_NV, FS_HZ)
    return {name: figures(judge(recording, beats, left_out)) for name, beats in found.items()}


@dataclass(frozen=True)
class Job:
    """One recording to be scored: its path, its lead, and the noise that is put on it, if any."""

    path: Path
    lead: int
    seconds: "float | None"
    runs: str
    peers: "list[str]"
    noise: "Path | None" = None
    snr_db: float = 0.0

    def recording(self) -> "tuple[Recording, Spans]":
        """What is scored, and the spans of it that are not. Raises RecordError."""
        clean = load(self.path, self.lead, self.seconds)
        if self.noise is None:
            return clean, clean.flutter
        noisy = noise.add(clean, self.noise, self.lead, self.snr_db)
        return noisy, [*clean.flutter, *noise.quiet(clean.duration_s)]


def _ours(job: Job) -> "tuple[Recording, dict[str, Any], Detection]":
    recording, left_out = job.recording()
    row, found = evaluate(recording, job.runs, left_out)
    if job.noise is not None:
        spans = noise.stretches(recording.duration_s)
        inside = [q for s, q in enumerate(found.quality) if any(a + SETTLE_S <= s < b for a, b in spans)]
        row["quality"] = int(np.median(inside)) if inside else 0
    return recording, row, found


def _theirs(job: Job) -> dict[str, dict[str, Any]]:
    recording, left_out = job.recording()
    return _peers(recording, job.peers, left_out)


@dataclass(frozen=True)
class Scored:
    """Rows of one run by the record's name, those of the peers, and the recordings for the picture."""

    rows: "dict[str, dict[str, Any]]"
    theirs: "list[dict[str, dict[str, Any]]]"
    pictures: "list[tuple[Recording, Detection, dict[str, Any]]]"

    def facts(self) -> "dict[str, Any]":
        """As the report has it."""
        rows = list(self.rows.values())
        late = [{**row["from_minute_5"]} for row in rows]
        unpaced = [row for row in rows if not row["paced"]]
        return {
            "gross": gross(rows),
            "gross_unpaced": gross(unpaced),
            "gross_from_minute_5": gross(late),
            "gross_unpaced_from_minute_5": gross([row["from_minute_5"] for row in unpaced]),
            "records": self.rows,
            "peers": {
                name: gross([row[name] for row in self.theirs])
                for name in (self.theirs[0] if self.theirs else {})
            },
        }


def run(jobs: Sequence[Job], at_once: int, show: bool) -> Scored:
    """Score the jobs; each row is printed when it is there, if `show`. Raises RecordError."""
    scored = Scored({}, [], [])
    with ProcessPoolExecutor(at_once) as others, ThreadPoolExecutor(at_once) as pool:
        theirs = others.map(_theirs, jobs) if jobs and jobs[0].peers else iter(())
        for job, (recording, row, found) in zip(jobs, pool.map(_ours, jobs), strict=True):
            scored.rows[job.path.name] = row
            scored.pictures.append((recording, found, row))
            if show:
                print(_line(job.path.name, row), flush=True)
        scored.theirs.extend(theirs)
    return scored


HEAD = "  record  beats   FN   FP      Se     PPV offset    SD   RR  late     HR  annot.  SQI"


def _line(name: str, row: "dict[str, Any]") -> str:
    return (
        f"{name:>8}{'*' if row['paced'] else ' '} {row['tp'] + row['fn']:5d} {row['fn']:4d} {row['fp']:4d}"
        f" {row['se']:7.2f} {row['ppv']:7.2f} {row['offset_ms']:6.1f} {row['jitter_ms']:5.1f}"
        f" {row['rr_error_ms']:4.1f} {row['known_after_ms'] or 0:5d} {row['hr_bpm']:6.1f}"
        f" {row['hr_annotated_bpm']:7.1f} {row['quality']:4d}"
    )


def _sum_line(title: str, total: "dict[str, Any]") -> str:
    return (
        f"{title:32} {total['tp'] + total['fn']:7d} beats {total['fn']:5d} FN {total['fp']:5d} FP"
        f"  Se {total['se']:.2f}  PPV {total['ppv']:.2f}  F1 {total['f1']:.2f}"
    )


def score_clean(jobs: Sequence[Job], at_once: int) -> "tuple[dict[str, Any], Scored]":
    """The report on recordings as they are, printed as it grows. Raises RecordError."""
    print(f"{HEAD}   (* paced; ms, 1/min)")
    scored = run(jobs, at_once, True)
    facts = scored.facts()
    for title in ("gross", "gross_unpaced", "gross_from_minute_5", "gross_unpaced_from_minute_5"):
        print(_sum_line(title.replace("_", " "), facts[title]))
    for name, total in facts["peers"].items():
        print(_sum_line(name, total))
    for name in facts["peers"]:
        print(f"  {peers.LOOK_AHEAD[name]}")
    return facts, scored


def score_noisy(jobs: "dict[tuple[str, float], list[Job]]", at_once: int) -> "tuple[dict[str, Any], Scored]":
    """The report on recordings with noise added; only what lies within noise counts. Raises RecordError.

    Of several cases each is in `cases`; those keys that a clean report has are of the first.
    """
    cases: list[dict[str, Any]] = []
    first: Scored | None = None
    for (kind, snr_db), work in jobs.items():
        for job in work:
            if not noise.stretches(load(job.path, job.lead, job.seconds).duration_s):
                raise RecordError(
                    str(job.path), [], f"the noise begins after {noise.CLEAN_S} s; it is not that long"
                )
        scored = run(work, at_once, False)
        first = first or scored
        facts = scored.facts()
        quality = int(np.median([row["quality"] for row in scored.rows.values()]))
        cases.append({"noise": kind, "snr_db": snr_db, "quality": quality, **facts})
        print(_sum_line(f"{kind} {snr_db:g} dB, quality {quality}", facts["gross"]))
        for name, total in facts["peers"].items():
            print(_sum_line(f"  {name}", total), flush=True)
    assert first is not None
    return {**first.facts(), "cases": cases}, first


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench qrs", description="Score QRS detection and heart rate."
    )
    records.add_options(parser)
    parser.add_argument("--lead", type=int, default=1, help="number of the signal, from 1 (%(default)s)")
    parser.add_argument("--seconds", type=report.seconds, help="only the first seconds of each record")
    parser.add_argument("--noise", metavar="em,ma,bw", help="add these; then 118 and 119 are the records")
    parser.add_argument("--snr", default="12,6,0", metavar="DB,DB", help="ratios for --noise (%(default)s)")
    parser.add_argument("--noise-db", type=Path, help="folder of the noises; else nstdb beside that of --db")
    records.add_interpreter(parser)
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="records at a time (%(default)s)"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave the other detectors out")
    plots_ecg.add_option(parser)
    report.add_option(parser)
    return parser


def _noisy_jobs(
    parser: argparse.ArgumentParser, options: argparse.Namespace, clean: "list[Job]"
) -> "dict[tuple[str, float], list[Job]]":
    try:
        levels = [float(text) for text in options.snr.split(",")]
    except ValueError:
        parser.error(f"--snr {options.snr}: not numbers separated by commas")
    folder: Path = options.noise_db or clean[0].path.parent.parent / "nstdb"
    kinds: list[str] = options.noise.split(",")
    for kind in kinds:
        if not (folder / f"{kind}.hea").is_file():
            parser.error(f"no record of noise {kind} in {folder}")
    return {
        (kind, snr_db): [
            Job(job.path, job.lead, job.seconds, job.runs, job.peers, folder / kind, snr_db) for job in clean
        ]
        for kind in kinds
        for snr_db in levels
    }


def main(argv: "Sequence[str] | None" = None) -> int:
    """The command; 1 if a record cannot be used."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.lead < 1 or options.jobs < 1:
        parser.error("--lead and --jobs begin at 1")
    if options.noise is not None:
        options.records = options.records or ",".join(noise.RECORDS)
    paths = records.chosen(parser, options)
    runs = records.runs(parser, options)
    others = [] if options.no_peers else peers.available()
    jobs = [Job(path, options.lead - 1, options.seconds, runs, others) for path in paths]
    try:
        if options.noise is None:
            facts, scored = score_clean(jobs, options.jobs)
        else:
            facts, scored = score_noisy(_noisy_jobs(parser, options, jobs), options.jobs)
        if options.plot is not None:
            plots_ecg.worst_stretch(options.plot, scored.pictures)
    except RecordError as e:
        print(e, file=sys.stderr)
        return 1
    conditions = {
        "tolerance_ms": round(TOLERANCE_S * 1000),
        "lead": options.lead,
        "interpreter": Path(runs).name,
        "look_ahead": {name: peers.LOOK_AHEAD[name] for name in others},
    }
    report.write(options.json, {**facts, **conditions})
    return 0


if __name__ == "__main__":
    sys.exit(main())
