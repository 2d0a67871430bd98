"""AD8232 heart rate monitor front end, on an analog input and two pins. Demonstration grade.

Datasheet: AD8232, Analog Devices (rev. D). Its output is analog, about half the supply at rest; LO+ and LO-
go high when an electrode is off ("Leads Off Detection"). It has no identity, no clock and no FIFO: a timer of
the board takes the samples, with the timer's jitter, into a ring here.

Settings, which are resistors on the module: a gain of 1100 and 0.5 to 40 Hz (the common single-lead circuit;
the chip's own amplifier has 100, "Theory of Operation"), reference at half of 3.3 V. An ESP32's converter
ends at some 0.14 and 3.1 V: a range of +-1.27 mV.

Output: microvolts at the electrodes.
"""

from array import array

try:
    from micropython import const
except ImportError:
    const = int  # pyright: ignore[reportAssignmentType]

from drivers.errors import BusError, DriverError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Adc(Protocol):
        """The part of machine.ADC that is used."""

        def read_uv(self) -> int:
            """Microvolts at the pin, calibrated."""
            ...

    class Pin(Protocol):
        """The part of machine.Pin that is used."""

        def value(self) -> int:
            """The level."""
            ...


PART = "AD8232"
PERIOD_MS = const(4)
PERIOD_NS = const(4_000_000)
LSB_NV = const(1000)
GAIN = const(1100)
MIDDLE_UV = const(1_650_000)
# Beyond this, either way, the amplifier is near a rail, or the converter at the end of its range.
RAIL_UV = const(1_400_000)
RING = const(32)
OUTPUT = const(0)  # stands for a register in errors: the analog output


class Ad8232:
    """One lead of ECG, sampled by a timer.

    `adc`: the output; `lo_plus`, `lo_minus`: the pins of those names; `start_timer(period_ms, callback)`
    gives an object with `deinit()`; `ticks_us`, `ticks_diff` as time's. After each `drain`: `overflowed`
    (samples lost just behind the ones of this drain, 0 none), `lead_off`, `saturated`. `jitter_us`: the
    largest deviation of a sampling interval from 4 ms since `start`. Raises DriverError.
    """

    part = PART
    period_ns = PERIOD_NS
    lsb = LSB_NV
    full_scale = RAIL_UV // GAIN

    def __init__(
        self,
        adc: "Adc",
        lo_plus: "Pin",
        lo_minus: "Pin",
        start_timer: "Callable[[int, Callable[[object], None]], Any]",
        ticks_us: "Callable[[], int]",
        ticks_diff: "Callable[[int, int], int]",
    ):
        self._adc = adc
        self._lo_plus = lo_plus
        self._lo_minus = lo_minus
        self._start_timer = start_timer
        self._ticks_us = ticks_us
        self._ticks_diff = ticks_diff
        self._timer: "Any" = None
        self._ring = array("i", [0] * RING)
        self._first = 0
        self._held = 0
        self._lost = 0
        self._off = False
        self._failed = False
        self._at = 0
        self.jitter_us = 0
        self.overflowed = 0
        self.lead_off = False
        self.saturated = False

    def check(self) -> None:
        """See that the converter answers; there is no identity to verify."""
        self._read()

    def configure(self) -> None:
        """Nothing is configurable by software; a timer that runs is stopped."""
        self.stop()

    def start(self) -> None:
        """Begin to sample."""
        self._first = self._held = self._lost = self.jitter_us = 0
        self._off = self._failed = False
        self._at = self._ticks_us()
        self._timer = self._start_timer(PERIOD_MS, self._tick)

    def stop(self) -> None:
        """Sample no more."""
        if self._timer is not None:
            self._timer.deinit()
            self._timer = None

    def drain(self, into: "array[int]") -> int:
        """Move what the ring holds into `into` (array('i'), at most 32 are taken); the number of samples."""
        if self._failed:
            self._failed = False
            raise BusError(PART, OUTPUT, "the converter does not answer")
        n = min(self._held, len(into))
        ring = self._ring
        first = self._first
        saturated = False
        for i in range(n):
            uv = ring[first]
            first = (first + 1) & (RING - 1)
            if uv > RAIL_UV or uv < -RAIL_UV:
                saturated = True
            into[i] = uv // GAIN
        self._first = first
        # In this order: the timer may come in between, and only ever adds.
        self._held -= n
        self.overflowed, self._lost = self._lost, 0
        self.lead_off, self._off = self._off, False
        self.saturated = saturated
        return n

    def _tick(self, timer: object) -> None:
        now = self._ticks_us()
        off = abs(self._ticks_diff(now, self._at) - PERIOD_MS * 1000)
        self._at = now
        if off > self.jitter_us:
            self.jitter_us = off
        if self._held == RING:
            self._lost += 1
            return
        try:
            uv = self._read()
        except DriverError:
            self._failed = True
            return
        if self._lo_plus.value() or self._lo_minus.value():
            self._off = True
        self._ring[(self._first + self._held) & (RING - 1)] = uv
        self._held += 1

    def _read(self) -> int:
        try:
            return self._adc.read_uv() - MIDDLE_UV
        except OSError as e:
            raise BusError(PART, OUTPUT, e.args[0] if e.args else "no reason")
