"""A board's wiring as a page of text: docs/boards/NAME.md."""

from collections.abc import Iterator
from pathlib import Path

from tools.boards.blocks import blocks, label
from tools.boards.capacity import capacity
from tools.boards.check import Described
from tools.boards.chips import CHIPS

FEATURES = {
    "wifi": "Wi-Fi",
    "ble": "Bluetooth",
    "spool": "keeps readings on its flash while no agent is there",
    "update": "takes updates over the air",
}


def page(board: Described, drivers: Path) -> str:
    """The page of `board`, in Markdown."""
    return "\n".join(_lines(board, drivers)) + "\n"


def _lines(board: Described, drivers: Path) -> Iterator[str]:
    yield f"# {board.name}"
    yield ""
    yield f"{board.settings.get('title', board.name)}. Made from `boards/{board.name}/board.toml` by"
    yield "`python -m tools.boards.docs`."
    yield ""
    if not board.chip:
        yield "It exists only in software: there is nothing to wire."
        return
    yield f"![the wiring]({board.name}.svg)"
    yield ""
    yield from _wires(board, drivers)
    yield from _notes(board)
    yield from _accepted(board)
    yield from _about(board)


def _wires(board: Described, drivers: Path) -> Iterator[str]:
    module = board.wiring["module"]
    yield f"| what | its pin | {module} | |"
    yield "|---|---|---|---|"
    for block in blocks(board, drivers):
        for i, pin in enumerate(block.pins):
            first = block.title if i == 0 else ""
            yield f"| {first} | {pin.name} | {label(board, pin.wire.pin)} | {block.note if i == 0 else ''} |"
        if block.supply:
            yield f"|  | and {', '.join(block.supply)} |  |  |"


def _notes(board: Described) -> Iterator[str]:
    notes = board.wiring.get("notes", {})
    if notes:
        yield ""
        for table, note in notes.items():
            yield f"- **{table}**: {note}"


def _accepted(board: Described) -> Iterator[str]:
    accepted = board.wiring.get("accepted", [])
    if not accepted:
        return
    yield ""
    yield "Pins that do something else as well, and why that does no harm here:"
    yield ""
    for text in accepted:
        pin, _, why = text.partition(": ")
        yield f"- **{label(board, int(pin.removeprefix('gpio')))}**: {why}"


def _about(board: Described) -> Iterator[str]:
    chip, settings = board.chip, board.settings
    psram = f"{chip['psram_mib']} MiB of PSRAM" if chip["psram_mib"] else "no PSRAM"
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| chip | {CHIPS[chip['model']].title}, {chip['flash_mib']} MiB of flash, {psram} |"
    image = board.image
    yield f"| MicroPython | `{image['name']}` {image['version']}, written at 0x{image['offset']:x} |"
    features = [text for name, text in FEATURES.items() if name in settings]
    yield f"| beside the cable | {', '.join(features) or 'nothing'} |"
    if settings.get("radio", {}).get("at_once") == 1 and {"wifi", "ble"} <= settings.keys():
        yield "| radios | one at a time |"
    yield f"| outbox | {settings['node']['outbox_bytes'] // 1024} KB of memory |"
    if "spool" in settings:
        most = settings["spool"].get("max_kib", 0)
        room = capacity(chip["flash_mib"], chip["psram_mib"] > 0, "update" in settings, most)
        yield (
            f"| spool | {room.bytes / (1 << 20):.1f} MB of flash: {room.hours:.1f} h of ECG and vitals, "
            f"{room.hours_with_oximeter:.1f} h with the oximeter's waveform ([the spool](../spool.md)) |"
        )
    if "cuff" in board.parts:
        cuff = settings["cuff"]
        yield (
            "| the cuff's own hardware | second release, pressure switch, supply that ends after "
            f"{cuff['monostable_ms']} ms ([the cuff](../cuff.md)) |"
        )
    if "isolated" in settings["node"]:
        held = (
            "measures while it is charged"
            if settings["node"]["isolated"]
            else "no ECG or cuff while it is charged"
        )
        yield f"| charging | {held} |"
