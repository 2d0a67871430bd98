"""Recorded noise on recorded hearts at a stated signal-to-noise ratio.

As `nst` of the MIT-BIH Noise Stress Test Database does (Moody, Muldrow, Mark, Computers in Cardiology 1984):
clean for five minutes, then noise for two minutes in every four. Signal power is the mean height of the QRS
complexes, squared, by eight; noise power is the mean square about the mean of each second.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from boards.virtual.recording import RecordedHeart
from tools.bench.heartbeats import FS_HZ, LSB_NV, Recording

KINDS = ("em", "ma", "bw")
NAMES = {"em": "electrode motion", "ma": "muscle artefact", "bw": "baseline wander"}
RECORDS = ("118", "119")
"""The records of that database."""

CLEAN_S, STRETCH_S = 300, 120
QRS_HALF_S = 0.05


def stretches(duration_s: float) -> list[tuple[float, float]]:
    """When there is noise: intervals in seconds."""
    starts = np.arange(CLEAN_S, duration_s, 2 * STRETCH_S)
    return [(float(start), min(float(start) + STRETCH_S, duration_s)) for start in starts]


def quiet(duration_s: float) -> list[tuple[float, float]]:
    """When there is none."""
    edges = [0.0, *(edge for stretch in stretches(duration_s) for edge in stretch), duration_s]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]


def add(recording: Recording, noise: Path, lead: int, snr_db: float) -> Recording:
    """`recording` with a record of noise (its signal number `lead`) in `stretches`. Raises RecordError."""
    source = RecordedHeart(noise, lead)
    t = np.arange(len(recording.samples)) / FS_HZ
    chunks = [source.ecg_uv(part, FS_HZ) for part in np.array_split(t, max(1, len(t) // 5000))]
    wave = np.concatenate(chunks) * (1000 / LSB_NV)
    height = mean_height(recording.samples, recording.beats)
    gain = math.sqrt(height**2 / 8 / _power(wave) / 10 ** (snr_db / 10))
    mixed = recording.samples.astype(float)
    for start_s, end_s in stretches(recording.duration_s):
        start, end = round(start_s * FS_HZ), round(end_s * FS_HZ)
        mixed[start:end] += gain * (wave[start:end] - wave[start])
    return replace(recording, samples=np.round(mixed).clip(-32768, 32767).astype("<i2"))


def mean_height(samples: np.ndarray, beats: Sequence[float]) -> float:
    """Mean height of the QRS complexes of the clean beginning, peak to peak, in units of the samples."""
    half = round(QRS_HALF_S * FS_HZ)
    peaks = [round(t * FS_HZ) for t in beats if t < CLEAN_S]
    return float(np.mean([np.ptp(samples[p - half : p + half + 1].astype(int)) for p in peaks if p >= half]))


def _power(wave: np.ndarray) -> float:
    seconds = wave[: len(wave) // FS_HZ * FS_HZ].reshape(-1, FS_HZ)
    return float(np.mean((seconds - seconds.mean(axis=1, keepdims=True)) ** 2))
