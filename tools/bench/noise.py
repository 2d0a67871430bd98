"""Recorded noise on recorded hearts at a stated signal-to-noise ratio, by the rule of `nst`, which made the
MIT-BIH Noise Stress Test Database (Moody, Muldrow, Mark, Computers in Cardiology 1984; nst(1) and sigamp(1)
of the WFDB applications).

Clean for five minutes, then noise for two minutes in every four; at each change the later signal is shifted
so that there is no step. Signal: height from peak to peak within 50 ms of the first 300 beats, squared, by
eight. Noise: root mean square about the mean of each of its first 300 seconds, squared. Both are means
without the greatest and the least twentieth.
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
MEASURED = 300


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
    gain = math.sqrt(height**2 / 8 / noise_level(wave) ** 2 / 10 ** (snr_db / 10))
    mixed = recording.samples.astype(float)
    for start_s, end_s in stretches(recording.duration_s):
        start, end = round(start_s * FS_HZ), round(end_s * FS_HZ)
        added = gain * (wave[start:end] - wave[start])
        mixed[start:end] += added
        mixed[end:] += added[-1]
    return replace(recording, samples=np.round(mixed).clip(-32768, 32767).astype("<i2"))


def mean_height(samples: np.ndarray, beats: Sequence[float]) -> float:
    """Mean height of the QRS complexes, peak to peak, in units of the samples."""
    half = round(QRS_HALF_S * FS_HZ)
    peaks = [p for p in (round(t * FS_HZ) for t in beats) if p >= half][:MEASURED]
    return _trimmed([float(np.ptp(samples[p - half : p + half + 1].astype(int))) for p in peaks])


def noise_level(wave: np.ndarray) -> float:
    """Mean level of the noise in units of `wave`."""
    seconds = wave[: len(wave) // FS_HZ * FS_HZ].reshape(-1, FS_HZ)[:MEASURED]
    return _trimmed(np.sqrt(np.mean((seconds - seconds.mean(axis=1, keepdims=True)) ** 2, axis=1)).tolist())


def _trimmed(values: Sequence[float]) -> float:
    ordered = sorted(values)
    left_out = len(ordered) // 20
    return float(np.mean(ordered[left_out : len(ordered) - left_out]))
