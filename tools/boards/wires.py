"""The wires of a board: which signal of which part is on which pin, from the tables of its board.toml."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OUT, IN, BOTH, ANALOG = "out", "in", "both", "analog"

# By what a part's table has: its bus, and which way each pin goes, as the chip sees it.
BUSES: Mapping[str, Mapping[str, str]] = {
    "spi": {"sck": OUT, "mosi": OUT, "miso": IN, "cs": OUT, "drdy": IN},
    "i2c": {"scl": BOTH, "sda": BOTH},
    "adc": {"adc": ANALOG, "lo_plus": IN, "lo_minus": IN},
}
OPTIONAL = ("drdy",)
# Wires of a bus, which its parts share.
SHARED = ("sck", "mosi", "miso", "scl", "sda")
SPEED = {"spi": "baud", "i2c": "freq"}
CUFF_PINS = {"pump": OUT, "valve": OUT, "release": OUT, "feed": OUT, "arm": OUT, "switch": IN}
COLOURS = ("red", "green", "blue")
# Of what is no part.
OTHERS: Mapping[str, Mapping[str, str]] = {
    "button": {"pin": IN},
    "led": {"pin": OUT, "red": OUT, "green": OUT, "blue": OUT},
    "buzzer": {"pin": OUT},
    "charger": {"pin": IN},
    "bridge": {"tx": OUT, "rx": IN},
}


@dataclass(frozen=True)
class Wire:
    """`signal` of the table `table` on `pin`; `bus` names what parts share, as `i2c0`, else it is empty."""

    table: str
    signal: str
    pin: int
    way: str
    bus: str = ""

    @property
    def place(self) -> str:
        """Where it stands in board.toml."""
        return f"[{self.table}] {self.signal}"


def bus_of(table: Mapping[str, Any]) -> str:
    """The kind of bus that a part's table names; "" for none, as on a bus bridge."""
    return next((kind for kind in BUSES if kind in table), "")


def signals(settings: Mapping[str, Any], parts: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """(table, signal, way, bus) of every pin that a table of the board may have."""
    for role in parts:
        table = settings.get(role, {})
        kind = bus_of(table)
        for signal, way in BUSES.get(kind, {}).items():
            bus = f"{kind}{table[kind]}" if signal in SHARED else ""
            yield role, signal, way, bus
        if role == "cuff" and kind:
            for signal, way in CUFF_PINS.items():
                yield role, signal, way, ""
    for name, pins in OTHERS.items():
        if isinstance(settings.get(name), Mapping):
            for signal, way in pins.items():
                yield name, signal, way, ""


def wires(settings: Mapping[str, Any], parts: Mapping[str, str]) -> list[Wire]:
    """All of them, in the order of the tables; what is no number is none."""
    return [
        Wire(table, signal, settings[table][signal], way, bus)
        for table, signal, way, bus in signals(settings, parts)
        if type(settings[table].get(signal)) is int
    ]
