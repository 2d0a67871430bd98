"""Virtual people with a cuff on: who is in the cohort, and what a deflation over their arms looks like."""

import random
from dataclasses import dataclass, field

import numpy as np

from boards.virtual.arm import BabbsArm, ExponentialLinearArm, RegularHeart

FS_HZ = 100
STEPS = 2  # of the model, a sample
ENDS_MMHG = 25.0
GENERATORS = ("Babbs", "exponential-linear")
# (systolic, diastolic) classes that are drawn from in turn, so that the ends are not left to chance
CLASSES = (
    ((80, 110), (45, 70)),
    ((100, 140), (60, 90)),
    ((130, 170), (70, 105)),
    ((150, 200), (85, 120)),
)
RATES = ((40, 60), (60, 85), (85, 115), (115, 150))


@dataclass(frozen=True)
class Person:
    """One of the cohort. Pressures in mmHg, `rate` in /min, `fall` in mmHg/s; `traits` for the strata."""

    number: int
    arm: "BabbsArm | ExponentialLinearArm"
    rate: float
    start: float
    fall: float
    cuff_ml: float
    noise: float
    traits: "dict[str, str]" = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """No tremor, no ectopic beats, no more noise than a sensor's own."""
        return self.traits["condition"] == "clean"


def person(number: int, generator: str) -> Person:
    """The person of that number, the same each time."""
    r = random.Random(f"{generator} {number}")
    systolic_range, diastolic_range = CLASSES[number % len(CLASSES)]
    rates = RATES[number // len(CLASSES) % len(RATES)]
    while True:
        systolic, diastolic = r.uniform(*systolic_range), r.uniform(*diastolic_range)
        if 25 <= systolic - diastolic <= 95:
            break
    rate = r.uniform(*rates)
    condition = ("clean", "clean", "clean", "noise", "tremor", "ectopy")[number % 6]
    heart = RegularHeart(rate, r.uniform(0.01, 0.04), 0.08 if condition == "ectopy" else 0.0, number)
    shared = {
        "breath_mmhg": r.uniform(0.3, 2.0),
        "tremor_ml": 0.03 if condition == "tremor" else 0.0,
    }
    if generator == GENERATORS[0]:
        a, b = r.uniform(0.08, 0.14), r.uniform(0.025, 0.05)
        arm = BabbsArm(systolic, diastolic, heart.beats, a=a, b=b, va0_ml=r.uniform(0.25, 0.45), **shared)
        stiff = b > 0.0375
    else:
        above = r.uniform(45, 110)
        arm = ExponentialLinearArm(
            systolic,
            diastolic,
            heart.beats,
            peak_ml=r.uniform(0.02, 0.04),
            below=r.uniform(7, 14),
            above=above,
            rest=r.uniform(0.03, 0.15),
            reflected=r.uniform(0.2, 0.6),
            late=r.uniform(0.36, 0.5),
            **shared,
        )
        stiff = above < 75
    cuff_ml, fall = r.uniform(180, 320), r.uniform(2, 4)
    traits = {
        "generator": generator,
        "condition": condition,
        "pressure": f"{systolic_range[0]}–{systolic_range[1]} systolic",
        "rate": f"{rates[0]}–{rates[1]} a minute",
        "pulse pressure": "under 45" if systolic - diastolic < 45 else "45 and more",
        "artery": "stiff" if stiff else "soft",
        "cuff": "under 250 ml" if cuff_ml < 250 else "250 ml and more",
        "fall": "under 3 mmHg/s" if fall < 3 else "3 mmHg/s and more",
    }
    noise = 0.3 if condition == "noise" else 0.08
    return Person(number, arm, rate, systolic + r.uniform(25, 45), fall, cuff_ml, noise, traits)


def cohort(people: int) -> "list[Person]":
    """Half of them from each generator."""
    return [person(i // 2, GENERATORS[i % 2]) for i in range(people)]


def deflation(one: Person) -> np.ndarray:
    """Cuff pressure in mmHg, 100 a second, from the start down: Babbs 2012, equation of the cuff."""
    dt = 1 / (FS_HZ * STEPS)
    t, pressure = 3.0, one.start
    volume = one.arm.volume_ml(pressure, t)
    found: list[float] = []
    while pressure > ENDS_MMHG:
        for _ in range(STEPS):
            t += dt
            let_out = pressure - one.fall * dt
            now = one.arm.volume_ml(let_out, t)
            pressure = let_out + (let_out + 760) / one.cuff_ml * (now - volume)
            volume = now
        found.append(pressure)
    noise = np.random.default_rng(one.number).normal(0, one.noise, len(found))
    return np.array(found) + noise
