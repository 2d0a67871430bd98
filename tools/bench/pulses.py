"""Pulse waves of known saturation, as a MAX30102 would count them: what the oximetry benchmark puts in."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boards.virtual.ppg import HUMPS, PulseWave
from boards.virtual.recording import RecordedHeart

FS_HZ = 100
FULL_SCALE = 262_143
DC_RED, DC_IR = 90_000, 112_000
COUNTS_PER_NA = 16  # an 18-bit converter over 16384 nA
BREATH_HZ = 0.25
USUAL_NOISE = 5.0  # counts, rms
DESATURATION_BEFORE_S, DESATURATION_AFTER_S = 150, 90

Array = np.ndarray


def _bell(x: Array, middle: float, width: float) -> Array:
    return np.exp(-(((x - middle) / width) ** 2))


def young(t: Array, period: float) -> Array:
    """A steep rise and a marked dicrotic wave; `t`: seconds since the pulse came."""
    q = math.sqrt(period)
    return _bell(t, 0.16 * q, 0.08 * q) + 0.45 * _bell(t, 0.5 * q, 0.11 * q)


def old(t: Array, period: float) -> Array:
    """One broad wave."""
    q = math.sqrt(period)
    return _bell(t, 0.3 * q, 0.16 * q)


def stiff(t: Array, period: float) -> Array:
    """A shoulder before the peak."""
    q = math.sqrt(period)
    return 0.7 * _bell(t, 0.13 * q, 0.07 * q) + _bell(t, 0.3 * q, 0.12 * q)


def model(t: Array, period: float) -> Array:
    """The virtual patient's: a systolic and a diastolic hump."""
    q = math.sqrt(period / 0.8)
    return sum(
        (height * _bell(t / q, delay, width * math.sqrt(2)) for delay, width, height in HUMPS), np.zeros(1)
    )


SHAPES: "tuple[Callable[[Array, float], Array], ...]" = (young, old, stiff, model)


@dataclass(frozen=True)
class Trace:
    """Counts of both colours, 100 a second, and the saturation that is in them, each second; 0: none."""

    red: Array
    ir: Array
    truth_pct: Array


@dataclass(frozen=True)
class Pulse:
    """A steady pulse. `pi`: AC by DC; `breath`: swing of both DCs; `noise`: rms in counts."""

    spo2_pct: float = 97.0
    bpm: float = 72.0
    shape: Callable[[Array, float], Array] = young
    pi: float = 0.02
    breath: float = 0.003
    noise: float = USUAL_NOISE


def steady(
    pulse: Pulse, seconds: int, motion: "Callable[[Array], tuple[Array, Array]] | None" = None, seed: int = 3
) -> Trace:
    """That pulse for so long. `motion(t)`: what is added to red and infrared, by their DCs."""
    t = np.arange(seconds * FS_HZ) / FS_HZ
    period = 60 / pulse.bpm
    volume = np.zeros(len(t))
    for start in np.arange(0.3 - 2 * period, seconds, period):
        volume += pulse.shape(t - start, period)
    base = 1 + pulse.breath * np.sin(2 * math.pi * BREATH_HZ * t)
    red, ir = motion(t) if motion else (np.zeros(len(t)), np.zeros(len(t)))
    ratio = (110 - pulse.spo2_pct) / 25
    noise = np.random.default_rng(seed).normal(0, pulse.noise, (2, len(t)))
    return Trace(
        counts(DC_RED * base * (1 - ratio * pulse.pi * volume + red) + noise[0]),
        counts(DC_IR * base * (1 - pulse.pi * volume + ir) + noise[1]),
        np.full(seconds, pulse.spo2_pct if pulse.pi else 0.0),
    )


def lit(dark: Trace, seed: int = 0) -> Trace:
    """The same with light around that the sensor does not quite subtract: 0.5 % of it by day, and lamps whose
    100 and 120 Hz fold to 0.4 and 20 Hz.
    """
    t = np.arange(len(dark.ir)) / FS_HZ
    lamp = 0.004 * np.sin(2 * math.pi * 20 * t + seed) + 0.0003 * np.sin(2 * math.pi * 0.4 * t)
    day = 0.005 * (1 + 0.2 * np.sin(2 * math.pi * t / 31 + seed))
    return Trace(
        counts(dark.red + DC_IR * (lamp + day)), counts(dark.ir + DC_IR * (lamp + day)), dark.truth_pct
    )


def constant(value: int, seconds: int) -> Trace:
    """Both colours stand still: darkness or saturation."""
    samples = np.full(seconds * FS_HZ, value, dtype=np.int32)
    return Trace(samples, samples, np.zeros(seconds))


def following(
    beats: "Callable[[float, float], list[float]]", spo2_pct: "Sequence[float]", pi_pct: "Sequence[float]"
) -> Trace:
    """The virtual patient's pulse wave along those beats, with a saturation and a perfusion each second."""
    wave = PulseWave(beats)
    red: list[Array] = []
    ir: list[Array] = []
    for s in range(len(spo2_pct)):
        wave.spo2_pct, wave.pi_pct = spo2_pct[s], pi_pct[s]
        both = wave.photocurrents_na(s + np.arange(FS_HZ) / FS_HZ)
        red.append(both[0] * COUNTS_PER_NA)
        ir.append(both[1] * COUNTS_PER_NA)
    return Trace(counts(np.concatenate(red)), counts(np.concatenate(ir)), np.array(spo2_pct))


def of_recording(path: Path, spo2_pct: float, seconds: int) -> Trace:
    """A pulse wave from the annotated beats of a recording, its first `seconds`. Raises RecordError."""
    heart = RecordedHeart(path, 0)
    return following(heart.beats, [spo2_pct] * seconds, [2.0] * seconds)


def desaturation(path: Path) -> Trace:
    """A person's SpO2, pulse and perfusion (1 Hz, CSV) around the lowest point, through the pulse model."""
    with open(path, encoding="utf-8-sig") as file:
        rows = [
            [_number(row.get(key)) for key in ("SpO2 1", "Pulse 1", "PI 1")] for row in csv.DictReader(file)
        ]
    known = [(min(100.0, s), rate, max(0.3, pi)) for s, rate, pi in rows if s > 50 and rate > 20 and pi >= 0]
    lowest = min(range(len(known)), key=lambda s: known[s][0])
    known = known[max(0, lowest - DESATURATION_BEFORE_S) : lowest + DESATURATION_AFTER_S]
    beats = [0.0]
    while beats[-1] < len(known):
        beats.append(beats[-1] + 60 / known[int(beats[-1])][1])
    return following(
        lambda a, b: [t for t in beats if a <= t < b], [k[0] for k in known], [k[2] for k in known]
    )


def counts(values: Array) -> Array:
    """As the converter gives them: whole, unsigned, 18 bits."""
    return np.round(values).clip(0, FULL_SCALE).astype(np.int32)


def _number(text: "str | None") -> float:
    try:
        return float(text or "")
    except ValueError:
        return -1.0
