"""Whether a board can be wired as its board.toml describes it: every rule, over one board.

What a board of the virtual rig has no chip for is not asked of it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from tools.boards import rules_buses, rules_kinds, rules_pins, rules_whole
from tools.boards.chips import CHIPS
from tools.boards.fault import Fault


class Described(Protocol):
    """What is looked at of a board's folder, read (tools/build.py)."""

    name: str
    parts: dict[str, str]
    settings: dict[str, Any]
    chip: dict[str, Any]
    image: dict[str, Any]
    wiring: dict[str, Any]


def faults(board: Described, drivers: Path) -> list[Fault]:
    """Everything that is wrong with `board`; `drivers`: the folder of the parts' drivers."""
    return list(_faults(board, drivers))


def _faults(board: Described, drivers: Path) -> Iterator[Fault]:
    settings, parts = board.settings, board.parts
    wrong = list(rules_kinds.kinds(settings, parts, bool(board.chip) and "bridge" not in settings))
    yield from wrong
    if wrong:
        return
    yield from rules_buses.addresses(settings, parts, drivers)
    if not board.chip:
        return
    described = list(rules_whole.chip(board.chip))
    yield from described
    if described:
        return
    chip, psram_mib = CHIPS[board.chip["model"]], board.chip["psram_mib"]
    yield from rules_whole.image(chip, psram_mib, board.image)
    yield from rules_whole.wiring(chip, board.wiring)
    yield from rules_whole.link(settings)
    yield from rules_whole.power(settings, parts)
    yield from rules_whole.radios(psram_mib, settings)
    yield from rules_whole.memories(board.chip, settings)
    yield from rules_pins.there(settings, parts)
    yield from rules_pins.conflicts(settings, parts)
    yield from rules_pins.suitable(chip, psram_mib, settings, parts)
    yield from rules_pins.harmless(chip, settings, parts, board.wiring)
    yield from rules_buses.numbered(chip, settings, parts)
    yield from rules_buses.agreed(settings, parts)
    yield from rules_buses.speed(settings, parts, drivers)
