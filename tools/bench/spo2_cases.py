"""The pulse waves that the oximetry benchmark plays: which person, which finger, what moves.

Two makers of them, of different build (`pulses` and `fingers`), so that no constant suits one alone.
"""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tools.bench.fingers import KINDS, Finger, trace
from tools.bench.pulses import (
    DC_IR,
    FULL_SCALE,
    SHAPES,
    Pulse,
    Trace,
    constant,
    desaturation,
    lit,
    of_recording,
    steady,
)

SECONDS = 40
FROM_S = 14
BEATS_SECONDS, BEATS_PCT = 120, 97.0
NOISE = 1e-4  # rms by DC
RATES = (40, 60, 75, 100, 140, 180)
SATURATIONS = (70, 75, 80, 85, 90, 95, 100)
PERFUSIONS = (0.003, 0.01, 0.03, 0.1)

CLEAN = "clean: 70 to 100 %, perfusion 0.3 to 10 %, 40 to 180 /min"
AMBIENT = "lamps and daylight on it"
LIGHT = "light movement, 0.1 to 0.3 of the pulse"
OWN = "heavy movement, each colour its own"
SHARED = "heavy movement that both colours share"
EVEN = "the same in an even rhythm, 0.5 to 4 Hz, 1 to 6 times the pulse"
WEAK = "perfusion 0.05 to 0.28 %"
NOTHING = "nothing to read"
PEOPLE = "people breathing down to 70 %"
BEATS = "97 % on the beats of recordings"
CLEAN_2, OWN_2, SHARED_2, WEAK_2 = (f"other maker: {name}" for name in (CLEAN, OWN, SHARED, WEAK))
# A reading of these is to be within 4 points, or not to be given.
HARD = (OWN, SHARED, EVEN, WEAK, OWN_2, SHARED_2, WEAK_2)
STEADY = (CLEAN, CLEAN_2)


class Case(NamedTuple):
    """One trace of a group of the report. `bpm`: the pulse rate in it, None when it is not judged."""

    group: str
    name: str
    trace: Trace
    bpm: float | None = None


def models(thin: int = 1) -> Iterator[Case]:
    """The traces that need no recordings, or one in `thin` of them."""
    some = np.random.default_rng(9)
    for maker in (_clean, _ambient, _light, _heavy, _even, _weak, _others):
        cases = list(maker())
        for k in sorted(some.permutation(len(cases))[::thin]):
            yield cases[k]
    for value, name in ((FULL_SCALE, "saturated"), (700, "no finger")):
        yield Case(NOTHING, name, constant(value, SECONDS))
    for noise in (1, 10, 150):
        pulse = Pulse(pi=0.0, breath=0.005, noise=noise)
        yield Case(NOTHING, f"no pulse, noise of {noise} counts", steady(pulse, SECONDS))
    yield Case(NOTHING, "drowned pulse", steady(Pulse(pi=0.002, noise=200), SECONDS))


def _clean() -> Iterator[Case]:
    for k, (spo2, bpm, pi) in enumerate(product(SATURATIONS, RATES, PERFUSIONS)):
        shape = SHAPES[(k + k // 4) % len(SHAPES)]
        pulse = Pulse(spo2, bpm, shape, pi, noise=NOISE * DC_IR)
        yield Case(CLEAN, f"{spo2} %, {bpm} /min, PI {pi:.1%}", steady(pulse, SECONDS, seed=k), bpm)


def _ambient() -> Iterator[Case]:
    for k, (spo2, bpm, pi) in enumerate(product((70, 85, 97), (50, 75, 120), (0.005, 0.03))):
        pulse = Pulse(spo2, bpm, SHAPES[k % 4], pi, noise=NOISE * DC_IR)
        dark = steady(pulse, SECONDS, seed=k)
        yield Case(AMBIENT, f"{spo2} %, {bpm} /min, PI {pi:.1%}", lit(dark, k), bpm)


def _light() -> Iterator[Case]:
    for k, (spo2, share, shared) in enumerate(product((72, 85, 97), (0.1, 0.2, 0.3), (False, True))):
        motion = _waving(0.02 * share, shared, 1.0)
        yield Case(LIGHT, f"{spo2} %, {share}", steady(Pulse(spo2, 75), SECONDS, motion, k))


def _heavy() -> Iterator[Case]:
    for k, (spo2, bpm, share, tissue) in enumerate(
        product((72, 85, 97), (55, 80, 120), (1, 2, 4), (0.8, 1, 1.4))
    ):
        for group, shared in ((OWN, False), (SHARED, True)):
            moves = (_waving, _shaking)[k % 2](0.02 * share, shared, tissue)
            pulse = Pulse(spo2, bpm, SHAPES[k % 4], noise=NOISE * DC_IR)
            yield Case(group, f"{spo2} %, {bpm} /min, {share} x, {tissue}", steady(pulse, SECONDS, moves, k))


def _even() -> Iterator[Case]:
    for k, (spo2, bpm, hz, share) in enumerate(
        product((72, 85, 97), (52, 75, 110), (0.5, 0.9, 1.3, 1.7, 2.3, 3, 4), (1, 2, 4, 6))
    ):
        tissue = (0.7, 1, 1.3, 1.6)[k * 7 % 11 % 4]
        moves = _swinging(0.015 * share, hz, tissue, FROM_S if k % 3 else 0)
        pulse = Pulse(spo2, bpm, SHAPES[k % 4], 0.015, noise=NOISE * DC_IR)
        yield Case(
            EVEN, f"{spo2} %, {bpm} /min, {hz} Hz, {share} x, {tissue}", steady(pulse, SECONDS, moves, k)
        )


def _weak() -> Iterator[Case]:
    for k, (spo2, bpm, pi, noise) in enumerate(
        product((70, 85, 97), (50, 75, 120), (0.0005, 0.001, 0.002, 0.0028), (1e-4, 3e-4))
    ):
        pulse = Pulse(spo2, bpm, SHAPES[k % 4], pi, noise=noise * DC_IR)
        yield Case(
            WEAK, f"{spo2} %, {bpm} /min, PI {pi:.2%}, noise {noise:.2%}", steady(pulse, SECONDS, seed=k)
        )


def _others() -> Iterator[Case]:
    for k, (spo2, bpm, pi) in enumerate(product(SATURATIONS, RATES, PERFUSIONS)):
        finger = Finger(spo2, bpm, pi, flicker=0.001 * (k % 2), seed=k)
        yield Case(CLEAN_2, f"{spo2} %, {bpm} /min, PI {pi:.1%}", trace(finger, SECONDS), None)
    for k, (spo2, bpm, share, tissue, kind) in enumerate(
        product((72, 85, 97), (55, 90), (1, 2, 4, 8), (0.8, 1, 1.4), KINDS)
    ):
        for group, own in ((OWN_2, True), (SHARED_2, False)):
            begins = 0 if k % 2 else FROM_S
            finger = Finger(
                spo2, bpm, (0.005, 0.02)[k // 3 % 2], 1e-4, 0, share, kind, own, tissue, begins, 500 + k
            )
            name = f"{spo2} %, {bpm} /min, {kind} {share} x, {tissue}"
            yield Case(group, name, trace(finger, SECONDS))
    for k, (spo2, bpm, pi) in enumerate(product((70, 85, 97), (50, 75, 120), (0.0005, 0.001, 0.002, 0.0028))):
        yield Case(WEAK_2, f"{spo2} %, PI {pi:.2%}", trace(Finger(spo2, bpm, pi, 2e-4, seed=k), SECONDS))


def _pair(a: np.ndarray, b: np.ndarray, shared: bool, tissue: float) -> tuple[np.ndarray, np.ndarray]:
    return (tissue * a, a) if shared else (b, a)


def _waving(
    height: float, shared: bool, tissue: float
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """From the 12th second on, so high by DC from peak to peak: near 2 and 2.6 Hz, never quite."""

    def at(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        on = (t >= 12) * height / 2
        a = on * np.sin(2 * np.pi * 1.9 * t + 3 * np.sin(0.9 * t))
        return _pair(a, on * np.sin(2 * np.pi * 2.6 * t + 2 * np.sin(1.3 * t)), shared, tissue)

    return at


def _swinging(
    height: float, hz: float, tissue: float, begins_s: float
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """One sine that both colours share, so high by DC from peak to peak."""

    def at(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a = (t >= begins_s) * height / 2 * np.sin(2 * np.pi * hz * t + 7 * hz)
        return tissue * a, a

    return at


def _shaking(
    height: float, shared: bool, tissue: float
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The same without any rhythm, 0.5 to 4 Hz."""

    def at(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(len(t) + round(1e6 * height))
        f = np.linspace(0.5, 4, 40)
        both = [
            np.sin(2 * np.pi * f * t[:, None] + rng.uniform(0, 2 * np.pi, 40)).sum(axis=1) for _ in range(2)
        ]
        a, b = ((t >= 12) * height / 2 * x / (2 * x.std()) for x in both)
        return _pair(a, b, shared, tissue)

    return at


def recorded(data: "Path | None") -> Iterator[Case]:
    """The traces along recordings, as far as there are any. Raises RecordError."""
    if data is None:
        return
    for path in sorted((data / "spo2_trajectories").glob("*.csv")):
        yield Case(PEOPLE, path.stem, desaturation(path))
    for header in sorted((data / "mitdb").glob("*.hea")):
        yield Case(BEATS, header.stem, of_recording(header.with_suffix(""), BEATS_PCT, BEATS_SECONDS))
