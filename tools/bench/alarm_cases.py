"""Generated people for the benchmark `alarms`: an ECG and a pulse wave, and what is the matter.

The heart is a list of beat times; the ECG is drawn from it as Gaussians of fixed width (the waves of
boards/virtual/ecgsyn.py at rest), the pulse wave by boards/virtual/ppg.py. Each case is made several times,
with other heights, noise, rates and perfusion from a fixed seed. Nothing of it is a person's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from boards.virtual.ppg import PulseWave
from protocol import frames as f

Array = np.ndarray

ECG_HZ, PPG_HZ = 250, 100
LSB_NV = 3052
NA_COUNTS = 16
FULL_SCALE = 262_143
BEFORE_S = 40  # all is well for so long
AFTER_S = 40  # and again for so long, where it ends
STILL_S, FIBRILLATES_S, LOW_S = 15, 25, 60
MOVES_S, BACK_S = BEFORE_S + 30, BEFORE_S + LOW_S
SEED = 20261122
# height in uV, middle in s from the R peak, width (standard deviation) in s
QRS = ((-90.0, -0.028, 0.011), (1000.0, 0.0, 0.011), (-190.0, 0.028, 0.011))
P, T = (110.0, -0.16, 0.025), (260.0, 0.28, 0.05)


@dataclass
class Scene:
    """One run. `ecg` in converter steps, `red`, `ir` in counts (None: no oximeter); the lists are per second,
    and what is not in them is as a healthy person has it. `limits`: of a config order.
    """

    ecg: Array
    red: "Array | None"
    ir: "Array | None"
    watch: bool = True
    limits: "list[list[int]]" = field(default_factory=list)
    lead_off: "set[int]" = field(default_factory=set)
    unplugged: "set[int]" = field(default_factory=set)
    battery: "dict[int, int]" = field(default_factory=dict)
    cuff_fault: "dict[int, int]" = field(default_factory=dict)
    pressures: "dict[int, tuple[int, int]]" = field(default_factory=dict)

    @property
    def seconds(self) -> int:
        """How long it is."""
        return len(self.ecg) // ECG_HZ


Make = Callable[[np.random.Generator], Scene]


@dataclass(frozen=True)
class Case:
    """`make(rng)`: a Scene. The condition begins at `at_s`; `code` with a priority of at least `priority` is
    expected (0: no alarm at all) within `within_s` of it. It is over at `back_s` (None: not in the scene).
    """

    name: str
    make: Make
    code: int = 0
    priority: int = 0
    within_s: float = 0.0
    at_s: float = BEFORE_S
    back_s: "float | None" = None


class Person:
    """A heart with a rate by time, drawn as ECG and pulse. `rate(t)`: beats a minute, 0: none."""

    def __init__(self, rng: np.random.Generator, seconds: int, rate: "Callable[[float], float]") -> None:
        self.rng = rng
        self.seconds = seconds
        self.height = rng.uniform(0.6, 1.5)
        self.at = _beats(rng, seconds, rate)
        self.noise_uv = rng.uniform(4, 20)
        level = rng.uniform(95, 99)
        self.spo2: Callable[[float], float] = lambda t: level
        self.pi_pct = rng.uniform(0.8, 4)

    def ecg(self, p_waves: "tuple[float, float]" = (0, 0)) -> Array:
        """In microvolts; `p_waves`: from when to when there are P waves alone."""
        t = np.arange(self.seconds * ECG_HZ) / ECG_HZ
        out = np.zeros(len(t))
        for r in self.at:
            _draw(out, t, r, (*QRS, P, T), self.height)
        for r in np.arange(*p_waves, 0.8):
            _draw(out, t, r, (P,), self.height)
        out += 80 * np.sin(2 * np.pi * 0.25 * t + self.rng.uniform(0, 6))
        out += 8 * np.sin(2 * np.pi * 50 * t)
        return out + self.rng.normal(0, self.noise_uv, len(t))

    def pulse(self) -> "tuple[Array, Array]":
        """Red and infrared counts."""
        wave = PulseWave(
            lambda a, b: [r for r in self.at if a <= r < b], seed=int(self.rng.integers(1 << 30))
        )
        wave.pi_pct = self.pi_pct
        both: list[tuple[Array, Array]] = []
        for s in range(self.seconds):
            wave.spo2_pct = self.spo2(s)
            both.append(wave.photocurrents_na(s + np.arange(PPG_HZ) / PPG_HZ))
        return counts(np.concatenate([red for red, _ in both])), counts(
            np.concatenate([ir for _, ir in both])
        )

    def scene(self, oximeter: bool = True, p_waves: "tuple[float, float]" = (0, 0), **more: object) -> Scene:
        """As the sensors give it."""
        red, ir = self.pulse() if oximeter else (None, None)
        return Scene(steps(self.ecg(p_waves)), red, ir, **more)  # pyright: ignore[reportArgumentType]


def _beats(rng: np.random.Generator, seconds: int, rate: "Callable[[float], float]") -> "list[float]":
    """From before the beginning to the end, three per cent of variability."""
    at = [-2.0]
    while at[-1] < seconds + 2:
        now = rate(max(at[-1], 0))
        if not now:
            begins = (t for t in np.arange(at[-1], seconds + 4, 0.1) if rate(t))
            at.append(next(begins, seconds + 4) + 0.3)
            continue
        at.append(at[-1] + 60 / now * (1 + 0.03 * np.sin(2 * np.pi * 0.2 * at[-1]) + 0.01 * rng.normal()))
    return at


def _draw(
    out: Array, t: Array, r: float, waves: "tuple[tuple[float, float, float], ...]", height: float
) -> None:
    near = slice(max(0, round((r - 0.4) * ECG_HZ)), max(0, round((r + 0.6) * ECG_HZ)))
    for microvolts, middle, width in waves:
        out[near] += height * microvolts * np.exp(-0.5 * ((t[near] - r - middle) / width) ** 2)


def steps(microvolts: Array) -> Array:
    """As the ECG's converter gives it."""
    return np.round(microvolts * (1000 / LSB_NV)).clip(-32768, 32767).astype("<i2")


def counts(nanoamperes: Array) -> Array:
    """As the oximeter's converter gives it."""
    return np.round(nanoamperes * NA_COUNTS).clip(0, FULL_SCALE).astype("<i4")


def spell(usual: float, ill: float, seconds: float) -> "Callable[[float], float]":
    """One value, from BEFORE_S on another for so many seconds."""
    return lambda t: ill if BEFORE_S <= t < BEFORE_S + seconds else usual


def _heart(rate_from: float, rate_to: float, seconds: int, **more: object) -> "Make":
    def make(rng: np.random.Generator) -> Scene:
        ill = rng.uniform(rate_from, rate_to)
        person = Person(rng, BEFORE_S + seconds + AFTER_S, spell(rng.uniform(60, 95), ill, seconds))
        return person.scene(**more)  # pyright: ignore[reportArgumentType]

    return make


def _standstill(oximeter: bool, p_waves: bool) -> "Make":
    def make(rng: np.random.Generator) -> Scene:
        person = Person(rng, BEFORE_S + STILL_S + AFTER_S, spell(rng.uniform(50, 100), 0, STILL_S))
        return person.scene(oximeter, (BEFORE_S + 0.5, BEFORE_S + STILL_S) if p_waves else (0, 0))

    return make


def _saturation(low: float, high: float, limits: "list[list[int]] | None" = None) -> "Make":
    def make(rng: np.random.Generator) -> Scene:
        person = Person(rng, BEFORE_S + LOW_S + AFTER_S, lambda t: 75.0)
        ill = rng.uniform(low, high)

        def level(t: float) -> float:
            if t < BEFORE_S:
                return 96
            # It falls at once, and rises by a point a second.
            return ill if t < BACK_S else min(96, ill + t - BACK_S)

        person.spo2 = level
        return person.scene(limits=limits or [])

    return make


def _well(seconds: int, **more: object) -> "Make":
    def make(rng: np.random.Generator) -> Scene:
        rate = rng.uniform(55, 120)
        return Person(rng, seconds, lambda t: rate).scene(**more)  # pyright: ignore[reportArgumentType]

    return make


def _noisy_ecg(rate: float) -> "Make":
    """From MOVES_S on, for LOW_S, electrodes move (steps of some 3 mV that decay, 2.5 a second) and muscles
    twitch (0.6 mV rms); there is no oximeter.
    """

    def make(rng: np.random.Generator) -> Scene:
        person = Person(rng, MOVES_S + LOW_S + AFTER_S, lambda t: rate if t >= BEFORE_S else 75.0)
        scene = person.scene(oximeter=False)
        moves = slice(MOVES_S * ECG_HZ, (MOVES_S + LOW_S) * ECG_HZ)
        n = LOW_S * ECG_HZ
        steps_uv = np.where(rng.random(n) < 2.5 / ECG_HZ, rng.normal(0, 3000, n), 0)
        moved = np.convolve(steps_uv, np.exp(-np.arange(2 * ECG_HZ) / (0.3 * ECG_HZ)))[:n]
        muscle = np.diff(rng.normal(0, 400, n + 1))
        scene.ecg[moves] = steps(scene.ecg[moves] * (LSB_NV / 1000) + moved + muscle)
        return scene

    return make


def _moving_finger(rng: np.random.Generator) -> Scene:
    person = Person(rng, BEFORE_S + LOW_S + AFTER_S, lambda t: 75.0)
    scene = person.scene()
    assert scene.red is not None and scene.ir is not None
    moves = slice(BEFORE_S * PPG_HZ, (BEFORE_S + LOW_S) * PPG_HZ)
    shape = (2, LOW_S * PPG_HZ)
    smooth = np.cumsum(rng.normal(0, 1, shape), axis=1)
    smooth -= np.array([np.convolve(row, np.ones(100) / 100, "same") for row in smooth])
    moved = np.array([scene.red[moves], scene.ir[moves]])
    moved = moved * (1 + 0.03 * smooth + 0.02 * rng.normal(0, 1, shape))
    scene.red[moves], scene.ir[moves] = moved.clip(0, FULL_SCALE).astype("<i4")
    return scene


def _fibrillation(rng: np.random.Generator) -> Scene:
    """Six sines of 3.5 to 6.5 Hz, as high as half a millivolt, and no pulse."""
    person = Person(rng, BEFORE_S + FIBRILLATES_S + AFTER_S, spell(75, 0, FIBRILLATES_S))
    scene = person.scene()
    t = np.arange(FIBRILLATES_S * ECG_HZ) / ECG_HZ
    hz, phase = rng.uniform(3.5, 6.5, 6), rng.uniform(0, 2 * np.pi, 6)
    wave = np.sin(2 * np.pi * hz[:, None] * t + phase[:, None]).sum(axis=0) * rng.uniform(100, 250)
    begin = BEFORE_S * ECG_HZ
    scene.ecg[begin : begin + len(t)] = steps(wave + rng.normal(0, 8, len(t)))
    return scene


def _off(what: str, seconds: int, watch: bool = True) -> "Make":
    def make(rng: np.random.Generator) -> Scene:
        scene = Person(rng, BEFORE_S + seconds + AFTER_S, lambda t: 75.0).scene(watch=watch)
        if what == "finger":
            assert scene.red is not None and scene.ir is not None
            away = slice(BEFORE_S * PPG_HZ, (BEFORE_S + seconds) * PPG_HZ)
            scene.red[away] = scene.ir[away] = 240
        elif what == "lead":
            scene.lead_off = set(range(BEFORE_S, BEFORE_S + seconds))
        else:
            scene.unplugged = set(range(BEFORE_S, BEFORE_S + seconds))
        return scene

    return make


def _with(seconds: int, **scripted: object) -> "Make":
    def make(rng: np.random.Generator) -> Scene:
        scene = Person(rng, BEFORE_S + seconds, lambda t: 75.0).scene()
        for name, value in scripted.items():
            setattr(scene, name, value)
        return scene

    return make


HIGH, MEDIUM, LOW = f.PRIORITY_HIGH, f.PRIORITY_MEDIUM, f.PRIORITY_LOW
COPD = [[f.EVENT_SPO2_LOW, 880, 30]]
LATER, WELL = BEFORE_S + 20, BEFORE_S + 30


def _case(name: str, make: Make, code: int, priority: int, within_s: float, lasts_s: float) -> Case:
    """A Case that begins at BEFORE_S and lasts so long."""
    return Case(name, make, code, priority, within_s, BEFORE_S, BEFORE_S + lasts_s)


def _seen(code: int) -> "Make":
    """A fault of the cuff that somebody acknowledges."""
    return _with(40, cuff_fault={BEFORE_S: code, WELL: 0})


def _measured(systolic: int, diastolic: int) -> "Make":
    wrong = (systolic, diastolic)
    return _with(60, pressures={BEFORE_S: wrong, LATER: wrong, WELL: (1200, 750)})


CASES = (
    _case("heart rate 155–200", _heart(155, 200, 30), f.EVENT_HR_HIGH, HIGH, 22, 30),
    _case("heart rate 134–146", _heart(134, 146, 50), f.EVENT_HR_HIGH, MEDIUM, 42, 50),
    _case("heart rate 25–38", _heart(25, 38, 40), f.EVENT_HR_LOW, HIGH, 30, 40),
    _case("heart rate 41–43", _heart(41, 43, 60), f.EVENT_HR_LOW, MEDIUM, 46, 60),
    _case(
        "pulse 155–190, no ECG electrodes",
        _heart(155, 190, 40, lead_off=set(range(200)), watch=False),
        f.EVENT_HR_HIGH,
        HIGH,
        24,
        40,
    ),
    _case("standstill", _standstill(True, False), f.EVENT_ASYSTOLE, HIGH, 6, STILL_S),
    _case("standstill, no oximeter", _standstill(False, False), f.EVENT_ASYSTOLE, HIGH, 6, STILL_S),
    _case("standstill, P waves go on", _standstill(True, True), f.EVENT_ASYSTOLE, HIGH, 6, STILL_S),
    _case("fibrillation-like, no pulse", _fibrillation, f.EVENT_CANNOT_ANALYSE, HIGH, 20, FIBRILLATES_S),
    _case("SpO2 75–83 %", _saturation(75, 83), f.EVENT_SPO2_LOW, HIGH, 28, LOW_S),
    _case("SpO2 86–88.5 %", _saturation(86, 88.5), f.EVENT_SPO2_LOW, MEDIUM, 42, LOW_S),
    _case("SpO2 86–87 %, limit 88", _saturation(86, 87, COPD), f.EVENT_SPO2_LOW, MEDIUM, 42, LOW_S),
    Case("185/95, confirmed", _measured(1850, 950), f.EVENT_BP_HIGH, MEDIUM, 2, LATER, WELL),
    Case("85/45, confirmed", _measured(850, 450), f.EVENT_BP_LOW, MEDIUM, 2, LATER, WELL),
    _case("cuff over-pressure", _seen(f.EVENT_OVER_PRESSURE), f.EVENT_OVER_PRESSURE, HIGH, 2, 30),
    _case("cuff does not deflate", _seen(f.EVENT_NOT_DEFLATING), f.EVENT_NOT_DEFLATING, HIGH, 2, 30),
    _case("lead off, watch mode", _off("lead", 60), f.EVENT_LEAD_OFF, LOW, 32, 60),
    _case("lead off for 5 min", _off("lead", 320), f.EVENT_LEAD_OFF, MEDIUM, 302, 320),
    _case("finger off, watch mode", _off("finger", 60), f.EVENT_FINGER_OFF, LOW, 32, 60),
    _case("finger off for 5 min", _off("finger", 320), f.EVENT_FINGER_OFF, MEDIUM, 302, 320),
    _case("ECG chip gone", _off("chip", 30), f.EVENT_SENSOR_FAULT, MEDIUM, 12, 30),
    Case(
        "ECG drowned in movement", _noisy_ecg(75), f.EVENT_CANNOT_ANALYSE, LOW, 30, MOVES_S, MOVES_S + LOW_S
    ),
    Case(
        "the same, during heart rate 165",
        _noisy_ecg(165),
        f.EVENT_CANNOT_ANALYSE,
        HIGH,
        30,
        MOVES_S,
        MOVES_S + LOW_S,
    ),
    _case("finger moves", _moving_finger, f.EVENT_SIGNAL_BAD, LOW, 30, LOW_S),
    _case("battery 20 %", _with(40, battery={BEFORE_S: 20, WELL: 60}), f.EVENT_BATTERY_LOW, LOW, 2, 30),
    _case("battery 5 %", _with(40, battery={BEFORE_S: 5, WELL: 60}), f.EVENT_BATTERY_LOW, MEDIUM, 2, 30),
    Case("well: 55–120, 95–99 %", _well(600)),
    Case("well: heart rate 122–128", _heart(122, 128, 300)),
    Case("well: heart rate 47–50", _heart(47, 50, 300)),
    Case("well: SpO2 89–91 %, limit 88", _saturation(89, 91, COPD)),
    Case("well: 185/95 once, then 150/85", _with(400, pressures={BEFORE_S: (1850, 950), LATER: (1500, 850)})),
    Case("well: lead off, spot check", _off("lead", 400, False)),
    Case("well: finger off, spot check", _off("finger", 400, False)),
)
