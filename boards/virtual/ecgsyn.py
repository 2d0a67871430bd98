"""An ECG from a model: beats with human variability, each drawn as a sum of Gaussians over the phase of its
beat.

The wave is that of McSharry, Clifford, Tarassenko and Smith, "A dynamical model for generating synthetic ECG
signals", IEEE TBME 50(3), 2003 (ECGSYN), in the closed form of Sameni et al., "A nonlinear Bayesian filtering
framework for ECG denoising", IEEE TBME 54(12), 2007: z(theta) = sum a_i exp(-d_i^2 / (2 b_i^2)), d_i the
distance of the phase theta from wave i. Angles and widths of P, Q, R, S, T stretch with the heart rate as in
ECGSYN (by sqrt(HR / 60) and its root). RR intervals vary at 0.1 Hz (Mayer waves) and at the breathing rate,
as ECGSYN's two-humped spectrum has it.
"""

import math
import random
from bisect import bisect_left

import numpy as np

Array = np.ndarray

# wave: angle in degrees (R = 0), amplitude in uV, width in radians (at 60 beats a minute); lead I of a
# healthy adult
WAVES = (
    ("P", -70.0, 110.0, 0.20),
    ("Q", -15.0, -90.0, 0.10),
    ("R", 0.0, 950.0, 0.10),
    ("S", 15.0, -190.0, 0.10),
    ("T", 100.0, 260.0, 0.40),
)
MAYER_HZ = 0.1
BREATH_HZ = 0.25
MAINS_UV = 8.0
NOISE_UV = 4.0
WANDER_UV = 80.0


class ModelHeart:
    """A heart whose rate can be changed while it beats. Times in seconds from 0.

    `hr_bpm`: mean rate, read at each new beat; `variability`: standard deviation of the RR intervals as a
    part of their mean.
    """

    name = "ECG model"
    beats_from = "model"

    def __init__(
        self, hr_bpm: float = 72.0, variability: float = 0.03, mains_hz: float = 50.0, seed: int = 1
    ) -> None:
        self.hr_bpm = hr_bpm
        self._variability = variability
        self._mains_hz = mains_hz
        self._random = random.Random(seed)
        self._noise = np.random.default_rng(seed)
        self._phases = (self._random.uniform(0, 2 * math.pi), self._random.uniform(0, 2 * math.pi))
        self._beats = [-1.2, -0.35]  # two before the start, so that the first instant has a phase

    def beats(self, start_s: float, end_s: float) -> list[float]:
        """Times of the R peaks in [start_s, end_s)."""
        self._beat_until(end_s)
        return self._beats[bisect_left(self._beats, start_s) : bisect_left(self._beats, end_s)]

    def ecg_uv(self, t: Array, out_hz: float) -> Array:
        """The ECG at times `t` (ascending), in microvolts. `out_hz` is how often they come."""
        self._beat_until(float(t[-1]) + 2.0)
        r = np.array(self._beats[max(0, bisect_left(self._beats, float(t[0])) - 2) :])
        k = np.clip(np.searchsorted(r, t, side="right") - 1, 0, len(r) - 2)
        rr = r[k + 1] - r[k]
        phase = 2 * math.pi * (t - r[k]) / rr
        stretch = np.sqrt(1.0 / rr)
        out = np.zeros(len(t))
        for _, degrees, height, width in WAVES:
            factor = np.sqrt(stretch) if abs(degrees) > 50 else stretch
            distance = phase - math.radians(degrees) * factor
            distance = (distance + math.pi) % (2 * math.pi) - math.pi
            out += height * np.exp(-(distance**2) / (2 * (width * stretch) ** 2))
        out += WANDER_UV * np.sin(2 * math.pi * BREATH_HZ * t + 0.7)
        out += MAINS_UV * np.sin(2 * math.pi * self._mains_hz * t)
        return out + self._noise.normal(0.0, NOISE_UV, len(t))

    def _beat_until(self, t: float) -> None:
        beats = self._beats
        while beats[-1] <= t:
            last = beats[-1]
            mean = 60.0 / self.hr_bpm
            swing = math.sin(2 * math.pi * MAYER_HZ * last + self._phases[0])
            swing += math.sin(2 * math.pi * BREATH_HZ * last + self._phases[1])
            swing += self._random.gauss(0.0, 0.3)
            beats.append(last + mean * max(0.5, 1 + self._variability * swing))
