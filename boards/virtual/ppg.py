"""Two-wavelength pulse wave, synthesised from the times of heart beats.

How oxygen saturation is put in (so that a signal chain can be scored on getting it out again):

    SpO2 = 110 - 25 R        the usual uncalibrated line for red and infrared
    R    = (AC_red / DC_red) / (AC_ir / DC_ir)

    I(t)  = DC * (1 + breathing(t)) * exp(-PI * p(t)),   PI_red = R * PI_ir      (Beer-Lambert)

  | SpO2 %           | 100  | 98   | 95   | 90   | 85   | 80   | 75   | 70   |
  | R                | 0.40 | 0.48 | 0.60 | 0.80 | 1.00 | 1.20 | 1.40 | 1.60 |

  | constant         | value | meaning                                                    |
  | DC_RED_NA        | 6000  | photocurrent at 7.2 mA through the LED, finger on          |
  | DC_IR_NA         | 7000  | the same, infrared                                         |
  | PI_IR default    | 2 %   | peak-to-peak AC of the infrared over its DC                |
  | BREATH           | 0.3 % | swing of both DCs with breathing, 0.25 Hz                  |
  | NOISE_NA         | 0.4   | white, each channel                                        |
  | AMBIENT_NA       | 15    | what is left without a finger                              |

Light falls when blood arrives: a systole is a dip, as the sensor sees it. Each beat is a systolic and a
diastolic hump, the first 250 ms after the R peak plus its rise (pulse arrival time at a finger); a beat after
a short interval is weaker.
"""

import math
from collections.abc import Callable

import numpy as np

Array = np.ndarray

DC_RED_NA = 6000.0
DC_IR_NA = 7000.0
BREATH = 0.003
BREATH_HZ = 0.25
NOISE_NA = 0.4
AMBIENT_NA = 15.0
ARRIVAL_S = 0.25
# (delay after arrival in s, width in s, height), for beats 0.8 s apart
HUMPS = ((0.15, 0.075, 1.0), (0.38, 0.11, 0.40))
PEAK = 1.012  # of their sum, so that p(t) reaches 1


def ratio_for(spo2_pct: float) -> float:
    """R for a saturation (50 to 100 %)."""
    if not 50 <= spo2_pct <= 100:
        raise ValueError(f"SpO2 must lie between 50 and 100 %, not {spo2_pct}")
    return (110.0 - spo2_pct) / 25.0


class PulseWave:
    """Photocurrents that follow the beats of `beats(start_s, end_s)`, or a wave `recorded(t, out_hz)` of
    about 0 to 1. `spo2_pct`, `pi_pct` may change at any time.
    """

    def __init__(
        self,
        beats: Callable[[float, float], list[float]],
        spo2_pct: float = 97.0,
        pi_pct: float = 2.0,
        recorded: Callable[[Array, float], Array] | None = None,
        seed: int = 2,
    ) -> None:
        self._beats = beats
        self._recorded = recorded
        self.spo2_pct = spo2_pct
        self.pi_pct = pi_pct
        self._noise = np.random.default_rng(seed)

    def photocurrents_na(self, t: Array) -> tuple[Array, Array]:
        """Red and infrared at times `t` (seconds, ascending), in nA at 7.2 mA through each LED."""
        p = self.pulse(t) if self._recorded is None else self._recorded(t, 1 / float(t[1] - t[0]))
        breathing = 1 + BREATH * np.sin(2 * math.pi * BREATH_HZ * t)
        pi_ir = self.pi_pct / 100.0
        pi_red = pi_ir * ratio_for(self.spo2_pct)
        noise = self._noise.normal(0.0, NOISE_NA, (2, len(t)))
        red = DC_RED_NA * breathing * np.exp(-pi_red * p) + noise[0]
        return red, DC_IR_NA * breathing * np.exp(-pi_ir * p) + noise[1]

    def dark_na(self, t: Array) -> tuple[Array, Array]:
        """Red and infrared with nothing on the sensor."""
        noise = self._noise.normal(AMBIENT_NA, NOISE_NA, (2, len(t)))
        return noise[0], noise[1]

    def pulse(self, t: Array) -> Array:
        """Blood volume at times `t`: 0 at rest, about 1 at the systolic peak of an ordinary beat."""
        r = self._beats(float(t[0]) - 4.0, float(t[-1]) + 1.0)
        out = np.zeros(len(t))
        for k in range(1, len(r)):
            before = r[k] - r[k - 1]
            after = r[k + 1] - r[k] if k + 1 < len(r) else before
            if r[k] + ARRIVAL_S - 0.3 > t[-1] or r[k] + ARRIVAL_S + 1.2 < t[0]:
                continue
            usual = (r[k] - r[max(0, k - 3)]) / min(3, k)
            strength = min(1.2, max(0.25, before / usual))
            stretch = math.sqrt(min(1.25, max(0.4, after / 0.8)))
            tau = (t - (r[k] + ARRIVAL_S)) / stretch
            for delay, width, height in HUMPS:
                out += strength * height / PEAK * np.exp(-((tau - delay) ** 2) / (2 * width**2))
        return out
