"""MPRLS0300YG00001B pressure sensor (Honeywell MPR series, 0 to 300 mmHg gauge), on I2C.

Datasheet: MPR series, Honeywell 32332628 (issue H). I2C address 0x18, up to 400 kHz. A conversion is asked
for with AA 00 00 and takes about 5 ms; a plain read then gives the status and 24 bits of data, most
significant first. While the chip is busy it processes no command. Status (Table 14): bit 6 powered, bit 5
busy, bit 2 memory integrity failed (tested at power-up only), bit 0 internal maths saturated, the others 0.

Output: Pa. Transfer function B: 0 mmHg at 2.5 % and 300 mmHg at 22.5 % of 2^24 counts, so 1 Pa is 83.9
counts. Total error band +-1.5 % of the span, that is +-4.5 mmHg: who measures takes the zero before.
"""

try:
    from micropython import const
except ImportError:
    const = int  # pyright: ignore[reportAssignmentType]

from drivers.errors import BusError, WrongChip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class I2c(Protocol):
        """The part of machine.I2C that is used."""

        def readfrom_into(self, __addr: int, __buf: "bytearray | memoryview") -> object:
            """As machine.I2C's."""
            ...

        def writeto(self, __addr: int, __buf: "bytes | bytearray | memoryview") -> object:
            """As machine.I2C's."""
            ...


PART = "MPRLS"
ADDRESS = const(0x18)
MAX_HZ = const(400_000)
PERIOD_NS = const(10_000_000)
LSB_PA = const(1)
CONVERSION_US = const(5000)

MEASURE = b"\xaa\x00\x00"
COMMAND = const(0xAA)
STATUS = const(0x00)
POWERED = const(0x40)
BUSY = const(0x20)
ALWAYS_ZERO = const(0x9A)

RAW_MIN = const(419430)
RAW_MAX = const(3774874)
# A part within its error band stays within 5 % of the span around it; what is further out is no pressure.
RAW_BELOW = const(251658)
RAW_ABOVE = const(3942646)
# (counts / 16) * 3125 / 2^14 = Pa, 0.01 % high; within 2^30
SCALE = const(3125)
BUSY_READS = const(20)


class Mprls:
    """The pressure in the cuff's hose.

    `i2c` has `readfrom_into(addr, buf)` and `writeto(addr, buf)`. `read()` gives each conversion once, and
    starts the next. `raw`: the counts of the newest one. Raises WrongChip and BusError. `period_ns`: that of
    the waveform which is made of it; `lsb` in Pa.
    """

    part = PART
    period_ns = PERIOD_NS
    lsb = LSB_PA

    def __init__(self, i2c: "I2c"):
        self._i2c = i2c
        self._data = bytearray(4)
        self._asked = False
        self._busy = 0
        self.raw = 0

    def check(self) -> None:
        """Verify that the status byte is one of this part's, which has no identity register."""
        self._fetch()
        if self._data[0] & (POWERED | ALWAYS_ZERO) != POWERED:
            raise WrongChip(PART, POWERED, self._data[0])

    def configure(self) -> None:
        """There is nothing to set."""

    def start(self) -> None:
        """Ask for a conversion; an older one's result is given up."""
        self._asked = False
        try:
            self._i2c.writeto(ADDRESS, MEASURE)
        except OSError as e:
            raise BusError(PART, COMMAND, e.args[0] if e.args else "no reason")
        self._asked = True

    def read(self) -> "int | None":
        """The pressure in Pa that was asked for last, and ask for the next; None: it is not there yet.

        Refused, with BusError: a status other than powered, counts outside the part's range (0 after a
        brown-out), a chip that stays busy.
        """
        if not self._asked:
            self.start()
            return None
        self._fetch()
        data = self._data
        status = data[0]
        if status == POWERED | BUSY:
            self._busy += 1
            if self._busy < BUSY_READS:
                return None
            status = BUSY
        self._busy = 0
        self.start()
        if status != POWERED:
            raise BusError(PART, STATUS, "status 0x%02x" % status)
        raw = (data[1] << 16) | (data[2] << 8) | data[3]
        if not RAW_BELOW <= raw <= RAW_ABOVE:
            raise BusError(PART, STATUS, "%d counts" % raw)
        self.raw = raw
        return ((raw - RAW_MIN) >> 4) * SCALE >> 14

    def _fetch(self) -> None:
        try:
            self._i2c.readfrom_into(ADDRESS, self._data)
        except OSError as e:
            raise BusError(PART, STATUS, e.args[0] if e.args else "no reason")
