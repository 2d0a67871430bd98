"""How many hours a board keeps in its spool: from its chip, what a build takes, and what a second takes.

    python -m tools.boards.capacity

What a second takes was measured on real recordings through the whole firmware (as tests/firmware/
test_spool_node.py does again): ECG of 250/s in frames of 4 s, vitals every 5 s, status and signatures. The
oximeter's waveform lies there, too, and goes first where there is no room.
"""

from dataclasses import dataclass

from tools import build

# MicroPython 1.24, ports/esp32/partitions-*MiB.csv: the file system begins there and takes the rest.
FILES_BEGIN = 2 << 20
# Bytes a second of MIT-BIH 101, 119 and 203, the last with much noise: 180, 190 and 202.
BYTES_S = 190
# More of them where a heap without PSRAM has no room for long frames: what three frames in 4 s cost.
SHORT_FRAMES_BYTES_S = 39
# Of the oximeter's two waveforms beside that.
OXIMETER_BYTES_S = 196
# As in firmware/spool_past.py.
BLOCK = 4096
RESERVE_BLOCKS = 24
UPDATE_BLOCKS = 104
# An application's tree, rounded up: so a build that grows a little makes no other figure.
TREE = 256 << 10


@dataclass(frozen=True)
class Capacity:
    """What a spool holds: `bytes` of flash, `hours`, and `hours_with_oximeter` before anything goes."""

    bytes: int
    hours: float
    hours_with_oximeter: float


def capacity(flash_mib: int, psram: bool, updates: bool, max_kib: int = 0, tree: int = TREE) -> Capacity:
    """Of a chip with that much flash, with PSRAM or without; `updates`: a second slot and a bundle have their
    room; `max_kib`: the board's own bound, 0: none; `tree`: bytes of an application.
    """
    free = (flash_mib << 20) - FILES_BEGIN - tree - RESERVE_BLOCKS * BLOCK
    if updates:
        free -= max(2 * tree, UPDATE_BLOCKS * BLOCK)
    room = max(0, min(free, max_kib << 10) if max_kib else free)
    a_second = BYTES_S if psram else BYTES_S + SHORT_FRAMES_BYTES_S
    return Capacity(room, room / a_second / 3600, room / (a_second + OXIMETER_BYTES_S) / 3600)


def of_board(name: str) -> Capacity | None:
    """Of a board that has a spool on a chip's flash, else None. BuildError."""
    board = build.read_board(name)
    if "spool" not in board.settings or "flash_mib" not in board.chip:
        return None
    most = board.settings["spool"].get("max_kib", 0)
    psram = board.chip.get("psram_mib", 0) > 0
    return capacity(board.chip["flash_mib"], psram, "update" in board.settings, most)


def table() -> str:
    """The boards with a spool, as a table in Markdown."""
    lines = ["| board | spool | ECG, vitals | with the oximeter's waveform |", "|---|---|---|---|"]
    for name in build.board_names():
        found = of_board(name)
        if found is not None:
            lines.append(
                f"| `{name}` | {found.bytes / (1 << 20):.1f} MB | {found.hours:.1f} h "
                f"| {found.hours_with_oximeter:.1f} h |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
