"""Score the node's QRS detector and heart rate against the beat annotations of recordings.

    python -m tools.bench.qrs --db DIR [--records 100,101] [--json FILE]

Each record is resampled to 250 samples a second by the virtual patient, rounded to the 3.05 uV of the ECG
chip, and passed in FIFO-sized blocks through the firmware's own chain in an interpreter of its own: the
MicroPython VM where there is one, so that the native code which nodes run is what is scored. Reference and
detected beats are paired one to one within 150 ms (ANSI/AAMI EC57), from the first second to the last;
ventricular flutter and fibrillation, where there are no beats to annotate, are left out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boards.virtual.recording import BEATS, RecordedHeart, RecordError
from boards.virtual.rig import RigError, find_micropython

FS_HZ = 250
LSB_NV = 3052
TOLERANCE_S = 0.15
CHUNK_S = 20
FLUSH_S = 2  # the last sample goes on for so long, lest the last beats be cut off by the detector's delay
HR_FROM_S, HR_TO_S = 20, 60
ROOT = Path(__file__).resolve().parents[2]

# Reads 16-bit samples from argv[1]; writes "B index" for each beat and "R tenths quality" each second.
RUNNER = """\
import sys
from array import array
from firmware.dsp.ecg import EcgChain
chain = EcgChain(lsb_nv=%d)
raw = array("h", [0] * 25)
block = array("i", [0] * 25)
done = 0
with open(sys.argv[1], "rb") as f:
    while f.readinto(raw) == 50:
        for i in range(25):
            block[i] = raw[i]
        chain.process(block, 25)
        done += 25
        for beat in chain.take_beats():
            print("B", beat)
        if done %% 250 == 0:
            print("R", chain.hr_x10, chain.quality)
"""

Times = Sequence[float]


@dataclass(frozen=True)
class Recording:
    """One lead at 250 samples a second. Times in seconds; `flutter`: intervals without beats to annotate."""

    name: str
    samples: np.ndarray
    duration_s: float
    beats: list[float]
    flutter: list[tuple[float, float]]
    paced: bool


@dataclass(frozen=True)
class Detection:
    """What the firmware made of a recording: beat times in s, and heart rate and quality each second."""

    beats: list[float]
    hr_bpm: list[float]
    quality: list[int]


@dataclass(frozen=True)
class Score:
    """Beats matched, missed and false, and how far matched beats lie from their annotation."""

    tp: int
    fn: int
    fp: int
    missed_s: list[float]
    false_s: list[float]
    offset_ms: float
    jitter_ms: float

    @property
    def se_pct(self) -> float:
        """Sensitivity; 100 without reference beats."""
        return 100 * self.tp / (self.tp + self.fn) if self.tp + self.fn else 100.0

    @property
    def ppv_pct(self) -> float:
        """Positive predictive value; 100 without detections."""
        return 100 * self.tp / (self.tp + self.fp) if self.tp + self.fp else 100.0


def pair(reference: Times, detected: Times, tolerance_s: float) -> list[tuple[int, int]]:
    """Pairs (reference, detected) of two ascending series, one to one: as many as can be."""
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(reference) and j < len(detected):
        gap = detected[j] - reference[i]
        if gap < -tolerance_s:
            j += 1
        elif gap > tolerance_s:
            i += 1
        else:
            # a later detection may be the better partner, if that leaves no later reference without one
            while (
                j + 1 < len(detected)
                and abs(detected[j + 1] - reference[i]) < abs(detected[j] - reference[i])
                and (i + 1 == len(reference) or reference[i + 1] - detected[j + 1] > tolerance_s)
            ):
                j += 1
            pairs.append((i, j))
            i += 1
            j += 1
    return pairs


def score(
    reference: Times,
    detected: Times,
    exclude: Sequence[tuple[float, float]] = (),
    tolerance_s: float = TOLERANCE_S,
) -> Score:
    """Compare detected with reference beats (ascending, seconds), without what lies in `exclude`."""

    def kept(times: Times) -> list[float]:
        return [t for t in times if not any(a - tolerance_s <= t <= b + tolerance_s for a, b in exclude)]

    wanted, found = kept(reference), kept(detected)
    pairs = pair(wanted, found, tolerance_s)
    matched = {i for i, _ in pairs}
    used = {j for _, j in pairs}
    offsets = np.array([found[j] - wanted[i] for i, j in pairs]) * 1000
    return Score(
        tp=len(pairs),
        fn=len(wanted) - len(pairs),
        fp=len(found) - len(pairs),
        missed_s=[round(t, 2) for i, t in enumerate(wanted) if i not in matched],
        false_s=[round(t, 2) for j, t in enumerate(found) if j not in used],
        offset_ms=float(offsets.mean()) if len(offsets) else 0.0,
        jitter_ms=float(offsets.std()) if len(offsets) else 0.0,
    )


def mean_rate(beats: Times, start_s: float, end_s: float) -> float:
    """Beats a minute of the beats in [start_s, end_s): intervals by the time they take; 0 below two beats."""
    inside = [t for t in beats if start_s <= t < end_s]
    return 60 * (len(inside) - 1) / (inside[-1] - inside[0]) if len(inside) > 1 else 0.0


def mean_reading(hr_bpm: Sequence[float], start_s: int, end_s: int) -> float:
    """Mean of the readings made after `start_s` up to `end_s` seconds, without those that say "none"."""
    readings = [hr for hr in hr_bpm[start_s:end_s] if hr > 0]
    return sum(readings) / len(readings) if readings else 0.0


def _flutter(wfdb_notes: Any, fs_hz: float, duration_s: float) -> list[tuple[float, float]]:
    spans: list[tuple[float, float]] = []
    start: float | None = None
    for sample, symbol in zip(wfdb_notes.sample, wfdb_notes.symbol, strict=True):
        if symbol == "[":
            start = sample / fs_hz
        elif symbol == "]" and start is not None:
            spans.append((start, sample / fs_hz))
            start = None
    return spans if start is None else [*spans, (start, duration_s)]


def load(path: Path, lead: int = 0, seconds: float | None = None) -> Recording:
    """A WFDB record (path without extension) with its `.atr` beats, its first `seconds` only if given.

    Raises RecordError.
    """
    import wfdb

    heart = RecordedHeart(path, lead)
    if heart.beats_from != "annotations":
        raise RecordError(str(path), [], "it has no beat annotations (.atr)")
    notes: Any = wfdb.rdann(str(path), "atr")
    duration = min(heart.duration_s, seconds or heart.duration_s)
    total = int(duration * FS_HZ)
    chunks = [
        heart.ecg_uv(np.arange(at, min(at + CHUNK_S * FS_HZ, total)) / FS_HZ, FS_HZ)
        for at in range(0, total, CHUNK_S * FS_HZ)
    ]
    microvolts = np.pad(np.concatenate(chunks), (0, FLUSH_S * FS_HZ), mode="edge")
    samples = np.round(microvolts * (1000 / LSB_NV)).clip(-32768, 32767).astype("<i2")
    beats = [
        s / heart.fs_hz
        for s, symbol in zip(notes.sample, notes.symbol, strict=True)
        if symbol in BEATS and s / heart.fs_hz < duration
    ]
    return Recording(
        name=path.name,
        samples=samples,
        duration_s=duration,
        beats=beats,
        flutter=_flutter(notes, heart.fs_hz, duration),
        paced="/" in notes.symbol,
    )


def interpreter() -> str:
    """The interpreter of a node if there is one, else this one."""
    try:
        return find_micropython()
    except RigError:
        return sys.executable


def detect(samples: np.ndarray, runs: str) -> Detection:
    """Run the firmware's ECG chain over 16-bit samples with the interpreter `runs` (CPython or MicroPython).

    Raises subprocess.CalledProcessError.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "run.py")
        script.write_text(RUNNER % LSB_NV)
        data = Path(folder, "ecg")
        data.write_bytes(samples.astype("<i2").tobytes())
        environment = dict(os.environ, MICROPYPATH=f"{ROOT}:.frozen", PYTHONPATH=str(ROOT))
        lines = subprocess.run(
            [runs, str(script), str(data)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\n")
    beats = [int(line[2:]) / FS_HZ for line in lines if line.startswith("B")]
    readings = [line.split() for line in lines if line.startswith("R")]
    return Detection(beats, [int(r[1]) / 10 for r in readings], [int(r[2]) for r in readings])


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


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 1 if a record cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.qrs", description="Score QRS detection and heart rate."
    )
    parser.add_argument("--db", type=Path, required=True, help="folder of WFDB records with .atr files")
    parser.add_argument("--records", help="names, separated by commas; all if not given")
    parser.add_argument("--lead", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="only the first seconds of each record")
    parser.add_argument("--interpreter", help="what runs the firmware; the MicroPython VM if there is one")
    parser.add_argument("--json", type=Path, help="write the report here")
    options = parser.parse_args(argv)
    found = sorted(p.stem for p in options.db.glob("*.hea"))
    names = options.records.split(",") if options.records else found
    runs = options.interpreter or interpreter()
    rows: list[dict[str, Any]] = []
    print("  record  beats   FN   FP      Se     PPV offset    SD      HR  annot.  SQI   (* paced; ms, /min)")
    for name in names:
        try:
            recording = load(options.db / name, options.lead, options.seconds)
        except RecordError as e:
            print(e, file=sys.stderr)
            return 1
        rows.append(evaluate(recording, runs))
        print(_line(rows[-1]), flush=True)
    report = {
        "tolerance_ms": round(TOLERANCE_S * 1000),
        "lead": options.lead,
        "interpreter": Path(runs).name,
        "gross": gross(rows),
        "gross_unpaced": gross([row for row in rows if not row["paced"]]),
        "records": rows,
    }
    for title in ("gross", "gross_unpaced"):
        print(title, *(f"{key} {value}" for key, value in report[title].items()))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
