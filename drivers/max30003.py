"""MAX30003 single-lead ECG front end, on SPI.

Datasheet: MAX30003, Maxim Integrated 19-8558 (rev 3, 2021). Section names below are its own. SPI mode 0, up
to 12 MHz; a transaction is a command byte (register << 1, bit 0 set to read) and 24 bits of data, most
significant first ("SPI Interface").

Settings made here, and why:
  FMSTR = 01, RATE = 01: 250 samples a second from the chip's own 32.768 kHz crystal ("CNFG_ECG", Table 29).
  Gain 20 V/V: +-50 mV at the converter, so an electrode's drift does not clip it.
  Digital high-pass off, low-pass 100 Hz: what is stored is the waveform before any display filter.
  DC lead-off detection with 10 nA and +-300 mV on 100 Mohm bias resistors; automatic fast recovery.

Output: 18-bit sample >> 3. Converter code = V * gain * 2^17 / 1 V ("ECG FIFO"), so one unit of the output is
1 V * 8 / (20 * 2^17) = 3051.76 nV and an input of +-50 mV spans +-16384.
"""

try:
    from micropython import const
except ImportError:
    const = int  # pyright: ignore[reportAssignmentType]

from drivers.errors import BusError, WrongChip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable
    from typing import Protocol

    class Spi(Protocol):
        """The part of machine.SPI that is used."""

        def write_readinto(self, __out: memoryview, __into: memoryview) -> object:
            """As machine.SPI's."""
            ...


PART = "MAX30003"
MAX_HZ = const(12_000_000)
FIFO_WORDS = const(32)
PERIOD_NS = const(4_000_000)
LSB_NV = const(3052)
DATA_SHIFT = const(3)  # from the chip's 18-bit sample to the driver's output
FULL_SCALE = const(16383)

# "Register Map"
STATUS = const(0x01)
MNGR_INT = const(0x04)
MNGR_DYN = const(0x05)
SW_RST = const(0x08)
SYNCH = const(0x09)
FIFO_RST = const(0x0A)
INFO = const(0x0F)
CNFG_GEN = const(0x10)
CNFG_EMUX = const(0x14)
CNFG_ECG = const(0x15)
CNFG_RTOR1 = const(0x1D)
ECG_FIFO_BURST = const(0x20)

# "STATUS (0x01)"
STATUS_EOVF = const(0x400000)
STATUS_DCLOFFINT = const(0x100000)
STATUS_PLLINT = const(0x000100)

# "INFO (0x0F)": D[23:20] is the pattern 0101, D[13:12] = 11 is this part
INFO_MASK = const(0xF03000)
INFO_MAX30003 = const(0x503000)

# "ECG FIFO", data tags, as they lie in the last byte of a word: ETAG[2:0] = D[5:3]
ETAG_MASK = const(0x38)
ETAG_FAST = const(0x08)
ETAG_EOF = const(0x10)
ETAG_EMPTY = const(0x30)
ETAG_OVERFLOW = const(0x38)

# EFIT = 8 samples; SAMP clears itself (its reset value)
SET_MNGR_INT = const((7 << 19) | (1 << 2))
# automatic fast recovery beyond 2048 * 0x3F
SET_MNGR_DYN = const((0b10 << 22) | (0x3F << 16))
# FMSTR 01, EN_ECG, EN_DCLOFF 01, IMAG 10 nA, VTH 300 mV, EN_RBIAS 01, RBIASV 100 Mohm, both inputs
SET_CNFG_GEN = const(
    (0b01 << 20) | (1 << 19) | (0b01 << 12) | (0b010 << 8) | (0b01 << 4) | (0b01 << 2) | 0b11
)
# both inputs connected, not inverted, no calibration signal
SET_CNFG_EMUX = const(0)
# RATE 01, gain 20 V/V, digital high-pass off, low-pass 100 Hz
SET_CNFG_ECG = const((0b01 << 22) | (0b10 << 12))
# R-to-R detector off (reset value without EN_RTOR)
SET_CNFG_RTOR1 = const(0x3F2300)

_SETTINGS = (
    (MNGR_INT, SET_MNGR_INT),
    (MNGR_DYN, SET_MNGR_DYN),
    (CNFG_EMUX, SET_CNFG_EMUX),
    (CNFG_ECG, SET_CNFG_ECG),
    (CNFG_RTOR1, SET_CNFG_RTOR1),
)
PLL_POLLS = const(2000)
STATUS_EVERY = const(4)


class Max30003:
    """The ECG channel.

    `spi` has `write_readinto(out, into)`; `cs` is called with 0 before and 1 after each transaction (None:
    the bus does that itself). After each `drain`: `overflowed` (0, or -1: samples were lost, nobody knows how
    many), `lead_off`, `saturated` (a sample at full scale, or taken while the chip recovered from overload).
    Raises WrongChip and BusError. `period_ns`, `lsb` in nV.
    """

    part = PART
    period_ns = PERIOD_NS
    lsb = LSB_NV
    full_scale = FULL_SCALE

    def __init__(self, spi: "Spi", cs: "Callable[[int], object] | None" = None):
        self._spi = spi
        self._cs = cs
        self._out = memoryview(bytearray(1 + 3 * FIFO_WORDS))
        self._in = memoryview(bytearray(1 + 3 * FIFO_WORDS))
        self._out4 = self._out[:4]
        self._in4 = self._in[:4]
        self._until_status = 0
        self.overflowed = 0
        self.lead_off = False
        self.saturated = False

    def check(self) -> None:
        """Verify the part's identity. The first read after power-up or reset is invalid ("INFO (0x0F)") and
        thrown away.
        """
        self._read(STATUS)
        found = self._read(INFO) & INFO_MASK
        if found != INFO_MAX30003:
            raise WrongChip(PART, INFO_MAX30003, found)

    def configure(self) -> None:
        """Reset the chip and write its settings, each read back. The ECG channel is still off."""
        self._write(SW_RST, 0)
        self._read(STATUS)
        for register, value in _SETTINGS:
            self._write(register, value)
            found = self._read(register)
            if found != value:
                raise BusError(PART, register, "wrote 0x%06x, reads 0x%06x" % (value, found))

    def start(self) -> None:
        """Switch the channel on and begin a record when the PLL has locked ("SYNCH (0x09)")."""
        self._write(CNFG_GEN, SET_CNFG_GEN)
        for _ in range(PLL_POLLS):
            if not self._read(STATUS) & STATUS_PLLINT:
                break
        else:
            raise BusError(PART, STATUS, "PLL does not lock")
        self._write(SYNCH, 0)
        self._read(STATUS)

    def stop(self) -> None:
        """Switch the channel off, with everything else ("SW_RST (0x08)")."""
        self._write(SW_RST, 0)

    def drain(self, into: "array[int]") -> int:
        """Move what the FIFO holds into `into` (array('i'), at most 32 are taken); the number of samples
        moved.

        STATUS is read only where it may say something new: after samples at full scale, while a lead is off,
        and every STATUS_EVERY drains. That the FIFO ran over is told by its tags.
        """
        self.overflowed = 0
        self.saturated = False
        words = len(into)
        if words > FIFO_WORDS:
            words = FIFO_WORDS
        end = 1 + 3 * words
        self._out[0] = (ECG_FIFO_BURST << 1) | 1
        data = self._in
        if end == len(data):
            self._transfer(self._out, data, ECG_FIFO_BURST)
        else:
            self._transfer(self._out[:end], data[:end], ECG_FIFO_BURST)
        n = 0
        saturated = False
        for at in range(1, end, 3):
            tag = data[at + 2] & ETAG_MASK
            if tag >= ETAG_EMPTY:
                if tag == ETAG_OVERFLOW:
                    self.saturated = saturated
                    return self._lost(n)
                break
            value = (data[at] << 7) | (data[at + 1] >> 1)
            if value & 0x4000:
                value -= 0x8000
            if value >= FULL_SCALE or value < -FULL_SCALE or tag & ETAG_FAST:
                saturated = True
            into[n] = value
            n += 1
            if tag & ETAG_EOF:
                break
        else:
            if words == FIFO_WORDS:
                # A FIFO's last sample says so: this is a line that nobody drives.
                raise BusError(PART, ECG_FIFO_BURST, "nobody")
        self.saturated = saturated
        self._until_status -= 1
        if saturated or self.lead_off or self._until_status <= 0:
            self._until_status = STATUS_EVERY
            status = self._read(STATUS)
            self.lead_off = (status & STATUS_DCLOFFINT) != 0
            if status & STATUS_EOVF:
                return self._lost(n)
        return n

    def _lost(self, n: int) -> int:
        # "ECG FIFO": after an overflow the record is corrupt until FIFO_RST
        self.overflowed = -1
        self._write(FIFO_RST, 0)
        # A line that is pulled up and nobody drives says the same.
        self.check()
        return n

    def _read(self, register: int) -> int:
        self._out[0] = (register << 1) | 1
        data = self._in4
        self._transfer(self._out4, data, register)
        return (data[1] << 16) | (data[2] << 8) | data[3]

    def _write(self, register: int, value: int) -> None:
        out = self._out
        out[0] = register << 1
        out[1] = value >> 16
        out[2] = (value >> 8) & 0xFF
        out[3] = value & 0xFF
        try:
            self._transfer(self._out4, self._in4, register)
        finally:
            out[1] = out[2] = out[3] = 0

    def _transfer(self, out: memoryview, into: memoryview, register: int) -> None:
        cs = self._cs
        try:
            if cs is None:
                self._spi.write_readinto(out, into)
            else:
                cs(0)
                try:
                    self._spi.write_readinto(out, into)
                finally:
                    cs(1)
        except OSError as e:
            raise BusError(PART, register, e.args[0] if e.args else "no reason")
