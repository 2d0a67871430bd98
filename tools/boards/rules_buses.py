"""Rules about buses: the chip has them, their parts agree on wires and speed, and no two have one address."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.boards.chips import Chip
from tools.boards.fault import Fault
from tools.boards.wires import SHARED, SPEED, bus_of, wires

# "2.2 I2C, Standard and Fast-mode" of the chips' manuals; SPI through the GPIO matrix.
MOST_HZ = {"i2c": 1_000_000, "spi": 40_000_000}


def numbered(chip: Chip, settings: Mapping[str, Any], parts: Mapping[str, str]) -> Iterator[Fault]:
    """Each bus is one that MicroPython has on this chip, and the bridge's UART is not the console's."""
    for role in parts:
        kind = bus_of(settings.get(role, {}))
        known = {"spi": chip.spi, "i2c": chip.i2c}.get(kind)
        if known is not None and settings[role][kind] not in known:
            there = " or ".join(map(str, known))
            yield Fault(
                f"[{role}] {kind}", f"is {settings[role][kind]!r}; an {chip.title} has {kind} {there}"
            )
    bridge = settings.get("bridge", {})
    if bridge and bridge.get("uart") not in chip.uarts[1:]:
        there = " or ".join(map(str, chip.uarts[1:]))
        yield Fault("[bridge] uart", f"is {bridge.get('uart')!r}; beside the console's there is {there}")


def agreed(settings: Mapping[str, Any], parts: Mapping[str, str]) -> Iterator[Fault]:
    """Parts on one bus have its wires and its speed."""
    had: dict[tuple[str, str], tuple[str, object]] = {}
    for wire in wires(settings, parts):
        if wire.bus and wire.signal in SHARED:
            yield from _same(had, wire.bus, wire.table, wire.signal, wire.pin)
    for role in parts:
        kind = bus_of(settings.get(role, {}))
        if kind in SPEED:
            speed = settings[role].get(SPEED[kind])
            yield from _same(had, f"{kind}{settings[role][kind]}", role, SPEED[kind], speed)


def _same(
    had: dict[tuple[str, str], tuple[str, object]], bus: str, role: str, key: str, value: object
) -> Iterator[Fault]:
    first, said = had.setdefault((bus, key), (role, value))
    if said != value:
        name = f"{bus[:3]} {bus[3:]}"
        yield Fault(f"[{role}] {key}", f"is {value}, but [{first}] is on {name} as well and has {said}")


def speed(settings: Mapping[str, Any], parts: Mapping[str, str], drivers: Path) -> Iterator[Fault]:
    """No bus is faster than its parts, as their drivers say, nor than the chip."""
    for role, part in parts.items():
        kind = bus_of(settings.get(role, {}))
        if kind not in SPEED:
            continue
        key = f"[{role}] {SPEED[kind]}"
        wanted = settings[role].get(SPEED[kind])
        if type(wanted) is not int or wanted <= 0:
            yield Fault(key, f"is {wanted!r}, and not how many bits a second the bus has")
            continue
        most = constant(drivers / f"{part}.py", "MAX_HZ")
        if most is not None and wanted > most:
            yield Fault(key, f"is {wanted}, but drivers/{part}.py says that the part takes {most} at most")
        elif wanted > MOST_HZ[kind]:
            yield Fault(key, f"is {wanted}, but the chip's {kind} has {MOST_HZ[kind]} at most")


def addresses(settings: Mapping[str, Any], parts: Mapping[str, str], drivers: Path) -> Iterator[Fault]:
    """No two parts of an I2C bus have one address."""
    had: dict[tuple[object, int], str] = {}
    for role, part in parts.items():
        table = settings.get(role, {})
        number = table.get("i2c", table.get("bus"))
        address = constant(drivers / f"{part}.py", "ADDRESS")
        if number is None or address is None:
            continue
        other = had.setdefault((number, address), role)
        if other != role:
            yield Fault(
                f"[{role}]",
                f"{part} has the address 0x{address:02x} on bus {number}, and so has [{other}]: "
                "one of them needs another bus",
            )


def constant(path: Path, name: str) -> int | None:
    """A module's integer of that name, None without it."""
    if not path.is_file():
        return None
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            value = node.value
            if isinstance(value, ast.Call) and value.args:
                value = value.args[0]
            if isinstance(value, ast.Constant) and type(value.value) is int:
                return value.value
    return None
