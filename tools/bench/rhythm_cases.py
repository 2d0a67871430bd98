"""Generated ECGs for the benchmark `rhythm`: beats at given times, waves of fibrillation, noise, hum.

All in microvolts at 250 a second, from a fixed seed. Nothing of it is a person's: what a detector does on
these says that it does what it is meant to, not how good it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

FS_HZ = 250
SEED = 20261122

# height in mV, middle in s from the R peak, width (standard deviation) in s
SHAPES: "dict[str, tuple[tuple[float, float, float], ...]]" = {
    "sinus": (
        (0.12, -0.17, 0.022),
        (-0.1, -0.025, 0.008),
        (1.0, 0, 0.011),
        (-0.2, 0.028, 0.01),
        (0.25, 0.28, 0.05),
    ),
    "ectopic": ((1.3, 0, 0.035), (-0.4, 0.25, 0.07)),
    "p": ((0.15, 0, 0.022),),
    "artefact": ((0.1, 0, 0.012),),
}


def times(seconds: float) -> np.ndarray:
    """Sample times in s."""
    return np.arange(round(seconds * FS_HZ)) / FS_HZ


def beats(seconds: float, at: "np.ndarray | list[float]", shape: str = "sinus") -> np.ndarray:
    """A wave of that shape at each of the times `at`."""
    t = times(seconds)
    out = np.zeros(len(t))
    for r in at:
        near = slice(max(0, round((r - 0.6) * FS_HZ)), max(0, round((r + 0.6) * FS_HZ)))
        for height, middle, width in SHAPES[shape]:
            out[near] += 1000 * height * np.exp(-0.5 * ((t[near] - r - middle) / width) ** 2)
    return out


def regular(seconds: float, rate: float, first: float = 0.6) -> np.ndarray:
    """Times of beats at `rate` a minute."""
    return np.arange(first, seconds, 60 / rate)


def from_intervals(seconds: float, intervals: "list[float] | np.ndarray") -> np.ndarray:
    """Times of beats with these intervals in s, repeated as long as they are needed."""
    repeated = np.tile(intervals, int(seconds / np.sum(intervals)) + 1)
    at = 0.6 + np.cumsum(repeated)
    return at[at < seconds]


def breathing(seconds: float, rate: float, depth: float, breaths_hz: float) -> np.ndarray:
    """Sinus arrhythmia: the interval follows a sine of the relative height `depth`."""
    at = [0.6]
    while at[-1] < seconds:
        at.append(at[-1] + 60 / rate * (1 + depth * np.sin(2 * np.pi * breaths_hz * at[-1])))
    return np.array(at[:-1])


def fibrillating(seconds: float, rate: float, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Atrial fibrillation: intervals of a gamma distribution with the relative width `spread`."""
    shape = spread**-2
    intervals = rng.gamma(shape, 60 / rate / shape, int(seconds * rate / 60 * 1.5) + 9)
    at = 0.6 + np.cumsum(np.maximum(intervals, 0.28))
    return at[at < seconds]


def noise(seconds: float, microvolts: float, rng: np.random.Generator) -> np.ndarray:
    """White noise of that rms."""
    return rng.normal(0, microvolts, round(seconds * FS_HZ))


def band(seconds: float, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Noise between two frequencies with raised-cosine edges, rms 1."""
    n = round(seconds * FS_HZ)
    f = np.fft.rfftfreq(n, 1 / FS_HZ)
    middle, half = (low + high) / 2, (high - low) / 2
    gain = np.cos(np.clip((f - middle) / half, -1, 1) * np.pi / 2)
    out = np.fft.irfft(np.fft.rfft(rng.normal(size=n)) * gain, n)
    return out / np.std(out)


def fibrillation(kind: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A wave like that of ventricular fibrillation, flutter or tachycardia, its rms about 1 / sqrt(2)."""
    t = times(seconds)
    if kind == "coarse":  # one frequency that wanders, as its height does
        whole, half = np.arange(0, seconds + 1), np.arange(0, seconds + 1, 0.5)
        hz = 5 + np.interp(t, whole, np.cumsum(rng.normal(0, 0.3, len(whole))).clip(-2, 3))
        height = 1 + 0.4 * np.interp(t, half, rng.uniform(-1, 1, len(half)))
        return height * np.sin(2 * np.pi * np.cumsum(hz) / FS_HZ)
    if kind == "narrow":
        return band(seconds, 3, 7, rng) / np.sqrt(2)
    if kind == "broad":
        return band(seconds, 2, 9, rng) / np.sqrt(2)
    if kind == "sines":
        hz, phase = rng.uniform(2.5, 8, 6), rng.uniform(0, 2 * np.pi, 6)
        return np.sum(np.sin(2 * np.pi * hz[:, None] * t + phase[:, None]), 0) / np.sqrt(6)
    if kind == "torsades":
        height = 0.3 + 0.7 * np.abs(np.sin(0.3 * np.pi * t))
        return height * np.sin(2 * np.pi * 4 * t + 1.5 * np.sin(0.6 * np.pi * t))
    if kind == "flutter":
        return np.sin(2 * np.pi * 4.5 * t) + 0.3 * np.sin(2 * np.pi * 9 * t + 0.5)
    phase = t * 200 / 60 % 1  # tachycardia: 200 a minute, wide and without a base line
    return np.where(phase < 0.45, np.sin(np.pi * phase / 0.45), -0.6 * np.sin(np.pi * (phase - 0.45) / 0.55))


KINDS = ("coarse", "narrow", "broad", "sines", "torsades", "flutter", "tachycardia")


def hum(seconds: float, hz: float, microvolts: float) -> np.ndarray:
    """Mains of that amplitude with a fifth of the third harmonic (folded, as a converter sees it)."""
    t = times(seconds)
    return microvolts * (np.sin(2 * np.pi * hz * t) + 0.2 * np.sin(6 * np.pi * hz * t + 1))


def wander(seconds: float, microvolts: float, hz: float) -> np.ndarray:
    """Baseline wander of that amplitude."""
    return microvolts * np.sin(2 * np.pi * hz * times(seconds))


@dataclass(frozen=True)
class Case:
    """A signal and what must be said of it from `from_s` + `limit_s` to its end.

    `wanted`: vf, asystole, noise (no asystole, no rate), irregular, regular, rate or hum; `rate`: the rate a
    minute, or the frequency of the hum.
    """

    name: str
    microvolts: np.ndarray
    wanted: str
    from_s: float
    limit_s: float
    rate: float = 0
    mains_hz: int = 50

    def samples(self, lsb_nv: int) -> np.ndarray:
        """As a converter gives them."""
        return np.round(self.microvolts * (1000 / lsb_nv)).clip(-16384, 16383).astype("<i2")


LENGTH_S = 60
CHANGE_S = 20
NOISE_UV = 4


def _then(wave: np.ndarray) -> np.ndarray:
    """Sinus rhythm for CHANGE_S, then the wave."""
    out = beats(LENGTH_S, regular(CHANGE_S, 75))
    out[CHANGE_S * FS_HZ :] += wave[CHANGE_S * FS_HZ :]
    return out


def _asystoles(rng: np.random.Generator) -> "Iterator[tuple[str, np.ndarray, str]]":
    quiet = np.zeros(LENGTH_S * FS_HZ)
    p_waves = beats(LENGTH_S, regular(LENGTH_S, 80), "p")
    irregular_artefacts = beats(LENGTH_S, np.cumsum(rng.uniform(0.4, 2, LENGTH_S)), "artefact")
    yield "nothing", _then(quiet), "asystole"
    yield "P waves of 0.15 mV", _then(p_waves), "asystole"
    yield "artefacts of 0.1 mV", _then(irregular_artefacts), "asystole"
    yield (
        "artefacts of 0.1 mV, 60 a minute",
        _then(beats(LENGTH_S, regular(LENGTH_S, 60), "artefact")),
        "asystole",
    )
    for height, hz in ((4000, 0.1), (1000, 0.3), (500, 1)):
        yield (
            f"wander of {height / 1000:g} mV, {hz} Hz",
            _then(quiet) + wander(LENGTH_S, height, hz),
            "asystole",
        )
    for hz in (50, 60):
        yield f"hum of 0.1 mV, {hz} Hz", _then(quiet) + hum(LENGTH_S, hz, 100), "asystole"
    all_of_it = _then(p_waves) + wander(LENGTH_S, 500, 0.3) + hum(LENGTH_S, 50, 50)
    yield "P waves, wander and 50 uV of hum", all_of_it, "asystole"
    yield "white noise of 0.02 mV", _then(quiet) + noise(LENGTH_S, 20, rng), "asystole"
    yield "white noise of 0.2 mV", _then(noise(LENGTH_S, 200, rng)), "noise"
    yield "P waves of 0.25 mV", _then(p_waves * 5 / 3), "noise"


def _rates(rng: np.random.Generator) -> "Iterator[Case]":
    for before, after in ((80, 120), (80, 40), (120, 80), (40, 80), (60, 180)):
        for late in (0.0, 0.3):
            change = 30 + late
            first = regular(change, before)
            second = np.arange(first[-1] + 60 / before, LENGTH_S, 60 / after)
            wave = beats(LENGTH_S, np.concatenate([first, second])) + noise(LENGTH_S, NOISE_UV, rng)
            yield Case(f"{before} to {after} a minute", wave, "rate", float(second[0]), 8, after)
    for rate in (20, 30, 200):
        wave = beats(LENGTH_S, regular(LENGTH_S, rate)) + noise(LENGTH_S, NOISE_UV, rng)
        yield Case(f"{rate} a minute", wave, "rate", 0, 15, rate)


def _rhythms(rng: np.random.Generator) -> "Iterator[tuple[str, np.ndarray, str]]":
    for rate in (50, 60, 75, 90):
        for depth in (0.1, 0.2, 0.3):
            at = breathing(2 * LENGTH_S, rate, depth, 0.25)
            yield f"breathing, {rate} a minute, +-{depth:.0%}", beats(2 * LENGTH_S, at), "regular"
    for name, series in (("bigeminy", [0.5, 1.1]), ("trigeminy", [0.8, 0.52, 1.08])):
        at = from_intervals(2 * LENGTH_S, series)
        wave = beats(2 * LENGTH_S, at)
        yield name, wave, "regular"
    for rate in (60, 80, 110, 140):
        at = fibrillating(2 * LENGTH_S, rate, 0.22, rng)
        yield f"atrial fibrillation, {rate} a minute", beats(2 * LENGTH_S, at), "irregular"


def all_cases() -> "Iterator[Case]":
    """Every case, the same each time."""
    rng = np.random.default_rng(SEED)
    for kind in KINDS:
        for height in (200, 500, 1500):
            wave = _then(fibrillation(kind, LENGTH_S, rng) * height) + noise(LENGTH_S, NOISE_UV, rng)
            yield Case(f"{kind}, {height / 1000:g} mV", wave, "vf", CHANGE_S, 7)
    for name, wave, wanted in _asystoles(rng):
        wave = wave + noise(LENGTH_S, NOISE_UV, rng)
        yield Case(f"asystole: {name}", wave, wanted, CHANGE_S, 6 if wanted == "asystole" else 12)
    yield from _rates(rng)
    for name, wave, wanted in _rhythms(rng):
        yield Case(
            name, wave + noise(2 * LENGTH_S, NOISE_UV, rng), wanted, 0, 60 if wanted == "irregular" else 1
        )
    for hz in (49.5, 50, 50.5, 59.5, 60, 60.5):
        for height in (20, 100, 500):
            wave = beats(LENGTH_S, regular(LENGTH_S, 80)) + hum(LENGTH_S, hz, height)
            wave = wave + noise(LENGTH_S, NOISE_UV, rng)
            configured = 60 if hz < 55 else 50
            yield Case(f"hum of {height} uV, {hz} Hz", wave, "hum", 0, 15, 50 if hz < 55 else 60, configured)
