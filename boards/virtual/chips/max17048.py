"""MAX17048 at the level of its registers (datasheet 19-6171 rev 7; section names are its own).

Modelled: the 16-bit register file with auto-increment, what of it can be written, power-up values, RI, the
first SOC 1 s after a reset, POR by command (which is not acknowledged) and a brown-out that takes everything
but the identity. Not modelled: the cell's dynamics (the charge is given), hibernation, alerts.
"""

ADDRESS = 0x36

VCELL, SOC, MODE, VERSION, HIBRT, CONFIG = 0x02, 0x04, 0x06, 0x08, 0x0A, 0x0C
VALRT, CRATE, VRESET_ID, STATUS, CMD = 0x14, 0x16, 0x18, 0x1A, 0xFE
WRITABLE = (MODE, HIBRT, CONFIG, VALRT, VRESET_ID, STATUS)
POWER_UP = {HIBRT: 0x8030, CONFIG: 0x971C, VALRT: 0x00FF, VRESET_ID: 0x960C, STATUS: 0x0100}
RI = 0x0100
POR = 0x5400
FIRST_SOC_US = 1_000_000


class Max17048Model:
    """One gauge. `cell()` gives (volts, charge in %, rate in % an hour); `now_us()` is the world's time.

    `read(register, n)` and `write(register, data)` are I2C transactions after the address. `brown_out()`:
    the supply dips, and the gauge starts anew.
    """

    address = ADDRESS

    def __init__(self, cell, now_us, version=0x0012):
        self._cell = cell
        self._now_us = now_us
        self._version = version
        self.present = True
        self.brown_out()

    def brown_out(self):
        """Power goes and comes back."""
        self._registers = dict(POWER_UP)
        self._since_us = self._now_us()

    def read(self, register, n):
        """`n` bytes from `register` on; None when the chip does not acknowledge."""
        if not self.present:
            return None
        reply = bytearray(n)
        for i in range(n):
            at = register + i
            word = self._word(at & 0xFE)
            reply[i] = word & 0xFF if at & 1 else word >> 8
        return bytes(reply)

    def write(self, register, data):
        """Write bytes from `register` on; false when the chip does not acknowledge."""
        if not self.present:
            return False
        for i in range(0, len(data) - 1, 2):
            at = (register + i) & 0xFE
            word = data[i] << 8 | data[i + 1]
            if at == CMD and word == POR:
                # It resets before it could acknowledge.
                self.brown_out()
                return False
            if at in WRITABLE:
                self._registers[at] = word
        return True

    def _word(self, register):
        if register == VERSION:
            return self._version
        if register not in (VCELL, SOC, CRATE):
            return self._registers.get(register, 0)
        if self._now_us() - self._since_us < FIRST_SOC_US:
            return 0
        volts, charge_pct, rate = self._cell()
        if register == VCELL:
            return min(int(volts * 1_000_000 / 78.125), 0xFFFF)
        if register == SOC:
            return min(max(int(charge_pct * 256), 0), 0xFFFF)
        return int(rate / 0.208) & 0xFFFF
