"""MAX17048 battery gauge of one lithium cell, on I2C.

Datasheet: MAX17048/MAX17049, Maxim Integrated 19-6171 (rev 7, 11/2016). Section names below are its own.
I2C address 0x36, up to 400 kHz; all registers are 16 bits, the high byte first.

Nothing is set: the part runs as it powers up (custom model and compensation, as for common cells, are the
maker's default, so SOC is an estimate). Its hibernation is its own affair and takes nothing from the readings
but their freshness (45 s between two, "Hibernate Mode"). RI says that it lost its power since it was cleared,
a brown-out or another battery: what it knew of the cell is gone, and the first SOC comes 1 s later.
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

        def readfrom_mem_into(self, __addr: int, __memaddr: int, __buf: "bytearray | memoryview") -> object:
            """As machine.I2C's."""
            ...

        def writeto_mem(self, __addr: int, __memaddr: int, __buf: "bytearray | memoryview") -> object:
            """As machine.I2C's."""
            ...


PART = "MAX17048"
ADDRESS = const(0x36)
MAX_HZ = const(400_000)

# "Register Summary"
VCELL = const(0x02)  # 78.125 uV a unit; SOC follows at 0x04, 1/256 % a unit
VERSION = const(0x08)
CRATE = const(0x16)  # 0.208 % an hour a unit, signed: charging is positive
STATUS = const(0x1A)

VERSION_MASK = const(0xFFF0)  # "VERSION Register": the low digit is the production version
VERSION_VALUE = const(0x0010)
STATUS_RI = const(0x0100)  # "STATUS Register": reset indicator


class Max17048:
    """The gauge. `i2c` has `readfrom_mem_into(addr, reg, buf)` and `writeto_mem(addr, reg, buf)`.

    After `read`: `cell_mv`, `charge_pct` (0-100), `rate_x10` (0.1 % an hour, charging positive). Raises
    WrongChip and BusError.
    """

    part = PART

    def __init__(self, i2c: "I2c"):
        self._i2c = i2c
        self._word = bytearray(2)
        self._pair = bytearray(4)
        self.cell_mv = 0
        self.charge_pct = 0
        self.rate_x10 = 0

    def check(self) -> None:
        """Verify the part's identity ("VERSION Register")."""
        found = self._read(VERSION)
        if found & VERSION_MASK != VERSION_VALUE:
            raise WrongChip(PART, VERSION_VALUE, found)

    def configure(self) -> None:
        """Take note of a reset: RI is cleared, and read() gives values from 1 s after it on."""
        status = self._read(STATUS)
        if status & STATUS_RI:
            status &= ~STATUS_RI
            self._word[0] = status >> 8
            self._word[1] = status & 0xFF
            try:
                self._i2c.writeto_mem(ADDRESS, STATUS, self._word)
            except OSError as e:
                raise BusError(PART, STATUS, e.args[0] if e.args else "no reason")
            if self._read(STATUS) & STATUS_RI:
                raise BusError(PART, STATUS, "RI stays set")

    def read(self) -> bool:
        """Read voltage, charge and rate; False: the gauge was reset since `configure`, they mean nothing."""
        if self._read(STATUS) & STATUS_RI:
            return False
        pair = self._pair
        self._read_into(VCELL, pair)
        rate = self._read(CRATE)
        if rate & 0x8000:
            rate -= 0x10000
        self.cell_mv = ((pair[0] << 8 | pair[1]) * 5) >> 6
        self.charge_pct = min(pair[2] + (pair[3] >> 7), 100)
        self.rate_x10 = rate * 208 // 100
        return True

    def _read(self, register: int) -> int:
        self._read_into(register, self._word)
        return self._word[0] << 8 | self._word[1]

    def _read_into(self, register: int, buf: "bytearray | memoryview") -> None:
        try:
            self._i2c.readfrom_mem_into(ADDRESS, register, buf)
        except OSError as e:
            raise BusError(PART, register, e.args[0] if e.args else "no reason")
