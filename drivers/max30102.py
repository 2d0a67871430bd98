"""MAX30102 red and infrared pulse oximeter, on I2C.

Datasheet: MAX30102, Maxim Integrated 19-7740 (rev 1, 10/2018). Section names below are its own.
I2C address 0x57 (0xAE/0xAF as written there), up to 400 kHz.

Settings made here, and why:
  SpO2 mode (red and infrared), 100 samples a second of each, 411 us pulses: 18 bits ("SpO2 Configuration",
    Tables 6, 7).
  Range 16384 nA (Table 5): a finger in reflection at 7.2 mA stays below half of it.
  Ambient light is subtracted by the chip itself; where there is more than it can ("ALC_OVF"), `ambient` says
    so, and what was sampled then is not to be read.
  FIFO does not roll over: when it is full the *newest* samples are lost and counted, so the record up to the
    gap is sound and the size of the gap is known up to 31 ("FIFO Overflow Counter").

Output: the 18-bit sample itself. Table 5 gives 62.5 pA a unit; `lsb` is that cut to an integer for the wire
(0.8 % low; no reading depends on it, since the current of the LEDs varies by far more from part to part).
"""

try:
    from micropython import const
except ImportError:
    const = int  # pyright: ignore[reportAssignmentType]

from drivers.errors import BusError, WrongChip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from typing import Protocol

    class I2c(Protocol):
        """The part of machine.I2C that is used."""

        def readfrom_mem_into(self, __addr: int, __memaddr: int, __buf: "bytearray | memoryview") -> object:
            """As machine.I2C's."""
            ...

        def writeto_mem(self, __addr: int, __memaddr: int, __buf: "bytearray | memoryview") -> object:
            """As machine.I2C's."""
            ...


PART = "MAX30102"
ADDRESS = const(0x57)
MAX_HZ = const(400_000)
FIFO_PAIRS = const(32)
PERIOD_NS = const(10_000_000)
LSB_PA = const(62)
FULL_SCALE = const(0x3FFFF)

# "Register Maps and Descriptions"
INT_STATUS_1 = const(0x00)
INT_ENABLE_1 = const(0x02)
FIFO_WR_PTR = const(0x04)
OVF_COUNTER = const(0x05)
FIFO_RD_PTR = const(0x06)
FIFO_DATA = const(0x07)
FIFO_CONFIG = const(0x08)
MODE_CONFIG = const(0x09)
SPO2_CONFIG = const(0x0A)
LED1_PA = const(0x0C)
LED2_PA = const(0x0D)
PART_ID = const(0xFF)

PART_ID_VALUE = const(0x15)
INT_A_FULL = const(0x80)
INT_ALC_OVF = const(0x20)  # more ambient light than the chip can subtract
INT_PWR_RDY = const(0x01)  # the supply came (back): every register is at its default
MODE_SHDN = const(0x80)
MODE_RESET = const(0x40)
MODE_SPO2 = const(0x03)
OVF_SATURATED = const(0x1F)

# no averaging, no roll-over, almost full = 17 unread
SET_FIFO_CONFIG = const(0x0F)
# range 11 (16384 nA), rate 001 (100 /s), pulse width 11 (411 us)
SET_SPO2_CONFIG = const((0b11 << 5) | (0b001 << 2) | 0b11)
LED_7_2_MA = const(0x24)  # Table 8: 0.2 mA a step
LED_CAP = const(0x64)  # 20 mA; the chip itself would give 51
VERIFY_EVERY = const(64)  # drains: some 13 s
RESET_POLLS = const(100)


class Max30102:
    """The pair of optical channels.

    `i2c` has `readfrom_mem_into(addr, reg, buf)` and `writeto_mem(addr, reg, buf)`; `led_current` is the LED
    register's value for both LEDs (0.2 mA a step, at most LED_CAP). After each `drain`: `overflowed` = pairs
    lost just before the first one of this drain (-1: 31 or more), `saturated` (a sample at full scale),
    `ambient` (too much light around). `lead_off` is always False: the chip has no finger detector, the signal
    chain decides. Raises WrongChip and BusError; a chip that lost its configuration (its supply broke down),
    or whose read pointer is not where reading left it, makes every drain raise BusError until it is
    configured and started again. `period_ns`, `lsb` in pA.
    """

    part = PART
    period_ns = PERIOD_NS
    lsb = LSB_PA
    lead_off = False

    def __init__(self, i2c: "I2c", led_current: int = LED_7_2_MA):
        self._i2c = i2c
        if not 0 < led_current <= LED_CAP:
            raise ValueError("LED current above the cap")
        self._led = led_current
        self._drains = 0
        self._lost = False
        self._byte = bytearray(1)
        self._head = bytearray(7)
        self._data = memoryview(bytearray(6 * FIFO_PAIRS))
        self._gap = 0
        self._next = -1  # where the read pointer has to be; -1: not known before a start or a drain
        self.overflowed = 0
        self.saturated = False
        self.ambient = False

    def check(self) -> None:
        """Verify the part's identity ("Part ID", 0xFF)."""
        found = self._read(PART_ID)
        if found != PART_ID_VALUE:
            raise WrongChip(PART, PART_ID_VALUE, found)

    def configure(self) -> None:
        """Reset the chip and write its settings, each read back. It is left shut down."""
        self._write(MODE_CONFIG, MODE_RESET)
        for _ in range(RESET_POLLS):
            if not self._read(MODE_CONFIG) & MODE_RESET:
                break
        else:
            raise BusError(PART, MODE_CONFIG, "reset does not end")
        self._read(INT_STATUS_1)  # from here on the supply has to stay
        self._write(MODE_CONFIG, MODE_SHDN)
        self._hold(MODE_CONFIG, MODE_SHDN)
        for register, value in self._settings():
            self._write(register, value)
            self._hold(register, value)

    def _settings(self) -> "tuple[tuple[int, int], ...]":
        return (
            (INT_ENABLE_1, INT_A_FULL),
            (FIFO_CONFIG, SET_FIFO_CONFIG),
            (SPO2_CONFIG, SET_SPO2_CONFIG),
            (LED1_PA, self._led),
            (LED2_PA, self._led),
        )

    def _hold(self, register: int, value: int) -> None:
        found = self._read(register)
        if found != value:
            self._lost = True
            raise BusError(PART, register, "holds 0x%02x, not 0x%02x" % (found, value))

    def set_led(self, value: int) -> None:
        """Let that much current through both LEDs from the next sample on: 0.2 mA a step, at most LED_CAP
        ("LED Pulse Amplitude", Table 8). Raises ValueError and BusError.
        """
        if not 0 < value <= LED_CAP:
            raise ValueError("LED current above the cap")
        self._led = value
        self._write(LED1_PA, value)
        self._write(LED2_PA, value)

    def start(self) -> None:
        """Empty the FIFO and begin to sample ("FIFO Data Register": clear the pointers first)."""
        self._write(FIFO_WR_PTR, 0)
        self._write(OVF_COUNTER, 0)
        self._write(FIFO_RD_PTR, 0)
        self._see(self._read(INT_STATUS_1))
        self._gap = 0
        self._next = 0
        self._drains = 0
        self._lost = False
        self._write(MODE_CONFIG, MODE_SPO2)

    def drain(self, into_red: "array[int]", into_ir: "array[int]") -> int:
        """Move what the FIFO holds into two array('i') of at least 32; the number of pairs moved.

        Two transfers: the status and pointer registers in one, the samples in another; a third asks after the
        supply where the last pair is 0. (A sample lost between the two of a full FIFO is not in the count:
        popping resets it.) Every VERIFY_EVERY drains the settings are read back as well.
        """
        if self._lost:
            raise BusError(PART, INT_STATUS_1, "configuration lost")
        head = self._head
        self._read_into(INT_STATUS_1, head)
        self._see(head[0])
        self._drains += 1
        if self._drains >= VERIFY_EVERY:
            self._drains = 0
            self._hold(MODE_CONFIG, MODE_SPO2)
            for register, value in self._settings():
                self._hold(register, value)
        self.ambient = head[0] & INT_ALC_OVF != 0
        write, lost, read = head[4], head[5], head[6]
        n = (write - read) & (FIFO_PAIRS - 1)
        if n == 0 and (lost or head[0] & INT_A_FULL):
            n = FIFO_PAIRS
        self.overflowed = 0
        self.saturated = False
        if read != self._next >= 0:
            self._lost = True
            raise BusError(PART, FIFO_RD_PTR, "is %d, not %d" % (read, self._next))
        if n == 0:
            return 0
        gap = self._gap
        data = self._data
        if n < FIFO_PAIRS:
            data = data[: 6 * n]
        # Should that fail: it took nothing, or the pointer tells, which comes round after a full one.
        if n == FIFO_PAIRS:
            self._gap = -1
        self._read_into(FIFO_DATA, data)
        self._next = (read + n) & (FIFO_PAIRS - 1)
        self.overflowed = gap
        self._gap = -1 if lost >= OVF_SATURATED else lost
        saturated = False
        at = red = infrared = 0
        for i in range(n):
            red = ((data[at] & 3) << 16) | (data[at + 1] << 8) | data[at + 2]
            infrared = ((data[at + 3] & 3) << 16) | (data[at + 4] << 8) | data[at + 5]
            if red == FULL_SCALE or infrared == FULL_SCALE:
                saturated = True
            into_red[i] = red
            into_ir[i] = infrared
            at += 6
        if not red and not infrared:
            # darker than any finger, or the supply went between the two transfers
            self._see(self._read(INT_STATUS_1))
        self.saturated = saturated
        return n

    def _see(self, status: int) -> None:
        if status & INT_PWR_RDY:
            self._lost = True
            raise BusError(PART, INT_STATUS_1, "supply came back")

    def _read(self, register: int) -> int:
        self._read_into(register, self._byte)
        return self._byte[0]

    def _read_into(self, register: int, buf: "bytearray | memoryview") -> None:
        try:
            self._i2c.readfrom_mem_into(ADDRESS, register, buf)
        except OSError as e:
            raise BusError(PART, register, e.args[0] if e.args else "no reason")

    def _write(self, register: int, value: int) -> None:
        self._byte[0] = value
        try:
            self._i2c.writeto_mem(ADDRESS, register, self._byte)
        except OSError as e:
            raise BusError(PART, register, e.args[0] if e.args else "no reason")
