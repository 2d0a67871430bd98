"""The pump and the two valves of a cuff, each by a MOSFET from one supply that only lives while it is fed.

Circuit: docs/cuff.md. PUMP: PWM, off at 0. VALVE: a linear, normally open valve, PWM; closed at full duty,
open at 0, between them it bleeds. RELEASE: a second, normally open valve with a port of its own; closed at 1.
FEED: each edge retriggers the monostable that supplies the three. ARM: high while a measurement runs; high
without supply sounds the buzzer, without any software. SWITCH: 1 once the pressure switch has cut the supply,
until ARM goes low.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Pwm(Protocol):
        """The part of machine.PWM that is used."""

        def duty_u16(self, __duty: int) -> object:
            """As machine.PWM's."""
            ...

    class Pin(Protocol):
        """The part of machine.Pin that is used."""

        def value(self, *args: int) -> "int | None":
            """As machine.Pin's."""
            ...


FULL = 65535


class CuffActuator:
    """Six pins. Nothing here decides anything: firmware/cuff_safety.py owns the only one there is.

    `pump`, `valve` shaped like machine.PWM (duty_u16), `release`, `feed`, `arm`, `switch` like machine.Pin
    (value). Raises what the pins raise.
    """

    def __init__(self, pump: "Pwm", valve: "Pwm", release: "Pin", feed: "Pin", arm: "Pin", switch: "Pin"):
        self._pump = pump
        self._valve = valve
        self._release = release
        self._feed = feed
        self._arm = arm
        self._switch = switch
        self._edge = 0

    def pump(self, duty: int) -> None:
        """Run the pump: 0 (off) … 65535."""
        self._pump.duty_u16(duty)

    def valve(self, duty: int) -> None:
        """Close the valve: 0 (open) … 65535 (closed)."""
        self._valve.duty_u16(duty)

    def release(self, closed: int) -> None:
        """Close (1) or open (0) the second way out."""
        self._release.value(closed)

    def feed(self) -> None:
        """Another monostable_ms of supply."""
        self._edge ^= 1
        self._feed.value(self._edge)

    def arm(self, on: int) -> None:
        """Say whether a measurement runs (1), which the supply must outlive, or not (0)."""
        self._arm.value(on)

    def switched(self) -> bool:
        """Whether the pressure switch has cut the supply."""
        return self._switch.value() == 1

    def safe(self) -> bool:
        """Pump off, everything open, each whatever became of the others; whether all pins took it. The
        monostable is not fed here: where a pin did not, its supply ends. Allocates nothing.
        """
        good = True
        try:
            self._pump.duty_u16(0)
        except Exception:
            good = False
        try:
            self._valve.duty_u16(0)
        except Exception:
            good = False
        try:
            self._release.value(0)
        except Exception:
            good = False
        return good
