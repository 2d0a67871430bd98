"""What is wired to a board's module: a block a part, with the names of its own pins."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.boards.check import Described
from tools.boards.wires import COLOURS, CUFF_PINS, Wire, bus_of, wires

ROLES = {"ecg": "ECG", "ppg": "finger sensor", "cuff": "cuff pressure", "gauge": "battery gauge"}
# As they are printed on most sensor boards.
NAMES = {
    "sck": "SCLK",
    "mosi": "SDI",
    "miso": "SDO",
    "cs": "CSB",
    "adc": "OUT",
    "lo_plus": "LO+",
    "lo_minus": "LO-",
}
# Of a serial adapter.
CROSSED = {"tx": "RX", "rx": "TX"}
AIR = "cuff's air"
SUPPLY = ("3V3", "GND")
# By what is wired: the colour of its wires.
WIRE_COLOURS = {
    "spi": "#1f6feb",
    "i2c": "#1a7f37",
    "adc": "#bf5b00",
    AIR: "#8250df",
    "led": "#b3261e",
    "other": "#57606a",
}


@dataclass(frozen=True)
class Pin:
    """`name`: as the part has it."""

    name: str
    wire: Wire


@dataclass(frozen=True)
class Block:
    """`table`: of board.toml; `kind`: of its wires (a key of WIRE_COLOURS); `supply`: what it needs besides;
    `note`: in few words.
    """

    table: str
    title: str
    kind: str
    pins: list[Pin]
    supply: tuple[str, ...] = ()
    note: str = ""


def blocks(board: Described, drivers: Path) -> list[Block]:
    """What is wired to the board, parts first."""
    settings = board.settings
    found = wires(settings, board.parts)
    made = [_part(role, part, settings, found, drivers) for role, part in board.parts.items()]
    if "cuff" in board.parts and bus_of(settings["cuff"]):
        pins = _pins(found, "cuff", tuple(CUFF_PINS))
        made.append(Block("cuff", AIR, AIR, pins, ("VMOT", "GND"), "pump, valves, switch: docs/cuff.md"))
    for name in ("button", "led", "buzzer", "charger", "bridge"):
        if name in settings:
            made.append(_other(name, settings[name], found))
    return [block for block in made if block.pins]


def _part(role: str, part: str, settings: Mapping[str, Any], found: list[Wire], drivers: Path) -> Block:
    pins = [pin for pin in _pins(found, role) if pin.wire.signal not in CUFF_PINS]
    title = f"{part_name(drivers / f'{part}.py') or part}: {ROLES[role]}"
    # A gauge lives on the cell that it gauges.
    supply = ("cell +", "GND") if role == "gauge" else SUPPLY
    return Block(role, title, bus_of(settings[role]), pins, supply, speed(settings[role]))


def _other(name: str, table: Mapping[str, Any], found: list[Wire]) -> Block:
    low = table.get("active_low", False)
    pins = _pins(found, name)
    if name == "led":
        three = any(pin.wire.signal in COLOURS for pin in pins)
        title, note = ("light, three colours", "a resistor each") if three else ("light", "with a resistor")
        if not three:
            pins = [Pin("-" if low else "+", pin.wire) for pin in pins]
        return Block(name, title, "led", pins, ("3V3" if low else "GND",), note)
    own, supply, note = {
        "button": ("contact", ("GND" if low else "3V3",), ""),
        "buzzer": ("+", ("GND",), "by a transistor above 10 mA"),
        "charger": ("status", ("GND",), f"{'low' if low else 'high'}: it is charged"),
        "bridge": ("", ("GND",), "the host's USB-serial adapter"),
    }[name]
    named = [Pin(own or CROSSED[pin.wire.signal], pin.wire) for pin in pins]
    return Block(name, name, "other", named, supply, note)


def _pins(found: list[Wire], table: str, only: tuple[str, ...] = ()) -> list[Pin]:
    return [
        Pin(NAMES.get(wire.signal, wire.signal.upper()), wire)
        for wire in found
        if wire.table == table and (not only or wire.signal in only)
    ]


def speed(table: Mapping[str, Any]) -> str:
    """The bus of a part and its speed, in words."""
    kind = bus_of(table)
    if kind == "spi":
        return f"SPI {table['spi']}, {table['baud'] / 1e6:g} MHz"
    return f"I²C {table['i2c']}, {table['freq'] // 1000} kHz" if kind == "i2c" else ""


def part_name(driver: Path) -> str:
    """PART of a driver's module."""
    for node in ast.parse(driver.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PART":
            return str(ast.literal_eval(node.value))
    return ""


def label(board: Described, pin: int) -> str:
    """A pin as one finds it on the module: what is printed there, and its GPIO."""
    printed = [name for name, gpio in board.wiring.get("labels", {}).items() if gpio == pin]
    return f"{printed[0]} (GPIO {pin})" if printed else f"GPIO {pin}"
