"""MPR series pressure sensor, 0 to 300 mmHg, at the level of its I2C transfers (datasheet 32332628 issue H).

Modelled: the command AA 00 00, the conversion time, busy, the status byte (Table 14), transfer function B
with its saturation, noise of the converter, power loss. Not modelled: temperature, the error band, EOC and
reset pins.
"""

import random

ADDRESS = 0x18
COMMAND = 0xAA
CONVERSION_US = 5000
POWERED, BUSY, INTEGRITY, SATURATED = 0x40, 0x20, 0x04, 0x01
RAW_MIN, RAW_MAX = 419430, 3774874
FULL_SCALE_MMHG = 300.0
# Rarely said and never 0: some 14 bits of the span are free of noise.
NOISE_MMHG = 0.01


class MprlsModel:
    """One chip. `pressure(t_us)` gives mmHg at its port; `now_us()` is the world's time.

    `read(register, n)` and `write(register, data)` are I2C transactions after the address, the first byte
    written being the "register"; a read has none, whatever is given. Faults that may be set at any time:
    `present` (false: no acknowledge), `busy_for_ever`, `status` (bits added to the status), `stuck` (counts
    that every conversion gives, None: the true ones), `offset_mmhg`, `gain`.
    """

    address = ADDRESS

    def __init__(self, pressure, now_us, noise_mmhg=NOISE_MMHG, seed=1):
        self._pressure = pressure
        self._now_us = now_us
        self._noise = noise_mmhg
        if hasattr(random, "Random"):
            self._chance = random.Random(seed)
        else:
            # MicroPython has one for all.
            random.seed(seed)
            self._chance = random
        self.present = True
        self.busy_for_ever = False
        self.status = 0
        self.stuck = None
        self.offset_mmhg = 0.0
        self.gain = 1.0
        self.brown_out()

    def brown_out(self):
        """The supply failed for a moment: no conversion runs and none has ended."""
        self._raw = 0
        self._due_us = None
        self._saturated = 0

    def read(self, register, n):
        """`n` bytes of status and data; None when the chip does not acknowledge."""
        if not self.present:
            return None
        self._settle()
        status = POWERED | self.status | self._saturated
        if self._due_us is not None or self.busy_for_ever:
            status |= BUSY
        data = bytes((status, self._raw >> 16, (self._raw >> 8) & 0xFF, self._raw & 0xFF))
        return (data + bytes(n))[:n]

    def write(self, register, data):
        """A command; false when the chip does not acknowledge."""
        if not self.present:
            return False
        self._settle()
        if register == COMMAND and self._due_us is None and not self.busy_for_ever:
            self._due_us = self._now_us() + CONVERSION_US
        return True

    def _settle(self):
        due_us = self._due_us
        if due_us is None or self._now_us() < due_us:
            return
        self._due_us = None
        if self.stuck is not None:
            self._raw = self.stuck
            return
        mmhg = self._pressure(due_us - CONVERSION_US // 2) * self.gain + self.offset_mmhg + self._gauss()
        raw = RAW_MIN + int(mmhg / FULL_SCALE_MMHG * (RAW_MAX - RAW_MIN))
        self._saturated = SATURATED if not 0 <= raw < 1 << 24 else 0
        self._raw = min(max(raw, 0), (1 << 24) - 1)

    def _gauss(self):
        # MicroPython's random has no gauss: the sum of six has nearly that shape, and deviation 0.71.
        return self._noise * 1.41 * (sum([self._chance.random() for _ in range(6)]) - 3)
