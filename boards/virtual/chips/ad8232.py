"""AD8232 on its usual single-lead module, with the ESP32's converter behind it.

Modelled: gain 1100 around half of the supply, both rails, the module's 0.5 Hz high-pass and 40 Hz low-pass
(one pole each: the real ones are of second order), LO+ and LO- with an electrode off, the converter's 12
bits, noise, and ends (some 0.14 V and 3.1 V with its widest attenuation, whatever the pin has). Not modelled:
the converter's non-linearity, right-leg drive, fast restore.
"""

SUPPLY_UV = 3_300_000
GAIN = 1100
PERIOD_S = 0.004
HIGH_PASS = 1 / (1 + 2 * 3.14159265 * 0.5 * PERIOD_S)
LOW_PASS = 1 - 1 / (1 + 2 * 3.14159265 * 40 * PERIOD_S)
STEP_UV = SUPPLY_UV / 4096
LEAST_UV, MOST_UV = 142_000, 3_100_000


class Ad8232Model:
    """`ecg_uv(t_us)`: the signal at the electrodes; `off()`: whether an electrode is; `noise_uv()`: of the
    converter. `adc`, `lo_plus` and `lo_minus` are this object's faces for the driver; `take(t_us)` has one
    sample taken at that moment, by whoever plays the timer. `failing`: an errno that the converter raises.
    """

    def __init__(self, ecg_uv, off=lambda: False, noise_uv=lambda: 0.0):
        self._ecg_uv = ecg_uv
        self._off = off
        self._noise_uv = noise_uv
        self._high = 0.0
        self._before = None
        self._low = 0.0
        self._t_us = 0
        self.failing = 0

    def at(self, t_us):
        """It is `t_us`; the analog circuit has followed."""
        self._t_us = t_us
        x = self._ecg_uv(t_us)
        if self._before is None:
            self._before = x
        self._high = HIGH_PASS * (self._high + x - self._before)
        self._before = x
        self._low += LOW_PASS * (self._high - self._low)

    def read_uv(self):
        """The converter's reading of the output."""
        if self.failing:
            raise OSError(self.failing)
        out = SUPPLY_UV if self._off() else SUPPLY_UV / 2 + GAIN * self._low + self._noise_uv()
        return int(int(min(max(out, LEAST_UV), MOST_UV) / STEP_UV) * STEP_UV)

    def value(self):
        """LO+, and LO-."""
        return 1 if self._off() else 0
