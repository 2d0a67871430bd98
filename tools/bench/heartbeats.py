"""Recordings as an ECG chip hands them to the firmware, and what the firmware's own chain makes of them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from boards.virtual.recording import BEATS, RecordedHeart, RecordError
from tools.bench.interpreter import run

FS_HZ = 250
LSB_NV = 3052
CHUNK_S = 20
FLUSH_S = 2  # the last sample goes on for so long, lest the last beats be cut off by the detector's delay

# Reads 16-bit samples from argv[1]; writes "B index samples-so-far" for each beat and "R tenths quality
# cannot_analyse" each second.
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
            print("B", beat, done)
        if done %% 250 == 0:
            print("R", chain.hr_x10, chain.quality, chain.cannot_analyse)
"""


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
    """What the firmware made of a recording: beat times in s, when each was known, and each second heart
    rate, quality and why nothing could be analysed (0: it could).
    """

    beats: list[float]
    hr_bpm: list[float]
    quality: list[int]
    cannot_analyse: list[int] = field(default_factory=list[int], compare=False)
    known: list[float] = field(default_factory=list[float], compare=False)


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


def detect(samples: np.ndarray, runs: str) -> Detection:
    """Run the firmware's ECG chain over 16-bit samples with the interpreter `runs` (CPython or MicroPython).

    Raises subprocess.CalledProcessError.
    """
    lines = run(RUNNER % LSB_NV, samples.astype("<i2").tobytes(), runs)
    beats = [line.split() for line in lines if line.startswith("B")]
    readings = [line.split() for line in lines if line.startswith("R")]
    return Detection(
        beats=[int(b[1]) / FS_HZ for b in beats],
        hr_bpm=[int(r[1]) / 10 for r in readings],
        quality=[int(r[2]) for r in readings],
        cannot_analyse=[int(r[3]) for r in readings],
        known=[int(b[2]) / FS_HZ for b in beats],
    )
