"""The heap of a virtual node over minutes of its patient: how much is used and in what pieces."""

import time
from pathlib import Path
from typing import Any

from boards.virtual.rig import RigError
from tools.bench.node_rig import Rig

PROBE = Path(__file__).with_name("node_probe.py")
# What a board with less is judged by, in words of 160wK's.
SMALL_SHARE = 96 / 160
# Of the patient's time, after the work of a boot.
FROM_S = 60
LAST_S = 60
PATIENCE = 3


def measure(
    folder: Path, record: "str | None", minutes: float, speed: float, only: "tuple[str, ...]" = ()
) -> "dict[str, Any]":
    """The heap of a node with the parts `only` (all of the board's), with a paired agent, in bytes.

    total; used, the median of the last minute, and most; low_water, the least free that the node has said;
    largest free block and fragmentation, the share of what is free outside it; growth from the second minute
    to the last; share_160wK, share_96wK: what is used, of such heaps.
    """
    with Rig(folder, record, only=only, speed=speed, beside=PROBE, first=FIRST) as rig:
        until = time.monotonic() + PATIENCE * 60 * minutes / speed + 60
        rows: list[list[int]] = []
        while not rows or rows[-1][0] < 60 * minutes:
            if time.monotonic() > until:
                raise RigError(f"the node came no further than {rows[-1][0] if rows else 0} s")
            time.sleep(1)
            rows = _rows(rig.log)
        low_water = rig.heap()["low_water"]
    return report(rows, low_water)


FIRST = "import node_probe; node_probe.install(Board)"


def _rows(log: Path) -> "list[list[int]]":
    lines = [line.split() for line in log.read_text(errors="replace").splitlines()]
    return [[int(word) for word in words[1:]] for words in lines if words[:1] == ["H"] and len(words) == 5]


def report(rows: "list[list[int]]", low_water: int) -> "dict[str, Any]":
    """Of (seconds, used, free, largest) every few seconds."""
    end = rows[-1][0]
    last = [row for row in rows if row[0] > end - LAST_S]
    first = [row for row in rows if FROM_S <= row[0] <= FROM_S + LAST_S] or rows[:1]
    total = rows[-1][1] + rows[-1][2]
    used = _median([row[1] for row in last])
    pieces = [round(1 - row[3] / row[2], 3) for row in last]
    return {
        "seconds": end,
        "total": total,
        "used": used,
        "most": max(row[1] for row in rows),
        "low_water": low_water,
        "largest": _median([row[3] for row in last]),
        "fragmentation": sorted(pieces)[len(pieces) // 2],
        "growth": used - _median([row[1] for row in first]),
        "share_160wK": round(used / total, 3),
        "share_96wK": round(used / (total * SMALL_SHARE), 3),
    }


def _median(values: "list[int]") -> int:
    return sorted(values)[len(values) // 2]
