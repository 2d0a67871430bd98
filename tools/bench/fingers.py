"""A second maker of pulse waves, built otherwise than `pulses`, so that no constant suits one of them alone.

Blood volume is what a heart pumps into an elastic vessel (a half sine of flow into a leak, and its echo);
light passes through it after Beer and Lambert; movement is a damped body that is struck, or one that is
tapped in time, or a contact that creeps, and acts on the light as venous blood of a saturation of its own.
Noise is white with a 1/f part, and lamps flicker.
"""

import math
from dataclasses import dataclass

import numpy as np

from tools.bench.pulses import FS_HZ, Trace, counts

Array = np.ndarray

DC_RED, DC_IR = 78_000, 126_000
STRUCK, TAPPED, CREEPING = "struck", "tapped", "creeping"
KINDS = (STRUCK, TAPPED, CREEPING)


@dataclass(frozen=True)
class Finger:
    """`pi`: infrared pulse height by DC; `noise`: rms by DC; `flicker`: of lamps, by DC; `movement`: its rms
    by that of the pulse, `kind` of it; `own`: movement of each colour is its own; `venous`: ratio of ratios
    of what moves.
    """

    spo2_pct: float = 97.0
    bpm: float = 72.0
    pi: float = 0.02
    noise: float = 1e-4
    flicker: float = 0.0
    movement: float = 0.0
    kind: str = STRUCK
    own: bool = False
    venous: float = 1.0
    begins_s: float = 0.0
    seed: int = 1


def _beats(bpm: float, seconds: float, rng: np.random.Generator) -> list[float]:
    at, beats, slow = -3.0, [], 0.0
    while at < seconds + 2:
        slow = 0.8 * slow + 0.012 * rng.normal()
        breathing = 0.02 * math.sin(2 * math.pi * 0.22 * at)
        beats.append(at)
        at += 60 / bpm * (1 + slow + breathing)
    return beats


def _volume(beats: list[float], n: int, bpm: float, rng: np.random.Generator) -> Array:
    """Flow in half sines into a vessel that leaks, and the echo of it; about 0 to 1."""
    flow = np.zeros(n + 400)
    systole = max(8, round(min(0.3, 0.38 * math.sqrt(60 / bpm)) * FS_HZ))
    stroke = np.sin(np.pi * (np.arange(systole) + 0.5) / systole)
    for beat in beats:
        at = round((beat + 3) * FS_HZ)
        if 0 <= at < len(flow) - systole:
            flow[at : at + systole] += stroke * (1 + 0.06 * rng.normal())
    leak = 1 / (0.45 * FS_HZ * min(1.0, 60 / bpm / 0.8))
    volume = np.zeros(len(flow))
    for k in range(1, len(flow)):
        volume[k] = volume[k - 1] * (1 - leak) + flow[k]
    echo = np.concatenate([np.zeros(22), volume[:-22]])
    volume = volume + 0.25 * echo
    volume = np.convolve(volume, np.hanning(9) / np.hanning(9).sum(), "same")
    part = volume[300 : 300 + n]
    low, high = np.percentile(part, (2, 98))
    return (part - low) / (high - low)


def _moved(kind: str, n: int, rng: np.random.Generator) -> Array:
    """That movement, of rms 1."""
    if kind == STRUCK:
        hits = (rng.random(n) < 1.5 / FS_HZ) * rng.normal(0, 1, n)
        out = _resonant(hits, rng.uniform(1.0, 4.0), rng.uniform(0.15, 0.5))
    elif kind == TAPPED:
        rate = rng.uniform(0.9, 3.2) * (1 + 0.03 * _smooth(n, 0.3, rng))
        phase = 2 * np.pi * np.cumsum(rate) / FS_HZ
        out = np.sin(phase) + rng.uniform(0, 0.5) * np.sin(2 * phase + 1) + 0.1 * _smooth(n, 2, rng)
    else:
        out = _smooth(n, rng.uniform(1.0, 3.0), rng)
    return out / (out.std() or 1.0)


def _resonant(x: Array, hz: float, damping: float) -> Array:
    w = 2 * np.pi * hz / FS_HZ
    out = np.zeros(len(x) + 2)
    r = math.exp(-damping * w)
    for k in range(len(x)):
        out[k + 2] = x[k] + 2 * r * math.cos(w) * out[k + 1] - r * r * out[k]
    return out[2:]


def _smooth(n: int, hz: float, rng: np.random.Generator) -> Array:
    """Noise below `hz`, of rms 1."""
    spectrum = np.fft.rfft(rng.normal(0, 1, n))
    spectrum[np.fft.rfftfreq(n, 1 / FS_HZ) > hz] = 0
    out = np.fft.irfft(spectrum, n)
    return out / (out.std() or 1.0)


def trace(finger: Finger, seconds: int) -> Trace:
    """So much of that finger, as the converter counts it."""
    rng = np.random.default_rng(finger.seed)
    n = seconds * FS_HZ
    t = np.arange(n) / FS_HZ
    volume = _volume(_beats(finger.bpm, seconds, rng), n, finger.bpm, rng)
    ratio = (110 - finger.spo2_pct) / 25
    amount = finger.movement * finger.pi * volume.std() * (t >= finger.begins_s)
    a = amount * _moved(finger.kind, n, rng)
    b = amount * _moved(finger.kind, n, rng) if finger.own else a
    breathing = 0.004 * np.sin(2 * np.pi * 0.22 * t) + 0.002 * _smooth(n, 0.1, rng)
    lamp = finger.flicker * np.sin(2 * np.pi * 20.3 * t) + finger.flicker * 0.5 * np.sin(2 * np.pi * 49.2 * t)
    noise = [
        finger.noise * (rng.normal(0, 1, n) + 0.7 * np.cumsum(rng.normal(0, 0.02, n)) % 1) for _ in range(2)
    ]
    red = DC_RED * (np.exp(-ratio * finger.pi * volume - finger.venous * a + breathing) + lamp + noise[0])
    ir = DC_IR * (np.exp(-finger.pi * volume - b + breathing) + lamp * 0.6 + noise[1])
    return Trace(counts(red), counts(ir), np.full(seconds, finger.spo2_pct))
