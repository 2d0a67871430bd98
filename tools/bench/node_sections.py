"""Blocking sections: the turns of a node's tasks as node_watch.py noted them, in processor time."""

import re
import struct
from pathlib import Path
from typing import Any

RECORD = struct.Struct("<BBHI")
COLLECTED, FLASH = 1, 2
# 20 ms of an ESP32.
LIMIT_US = 360
APP = Path(__file__).resolve().parents[2] / "firmware" / "app.py"


def tasks() -> "list[str]":
    """The node's tasks in the order in which it makes them: those of app.py, and a feature's."""
    return [*re.findall(r'^ {12}\("([a-z ]+)", [\w.]+\),$', APP.read_text(), re.MULTILINE), "cuff"]


def report(noted: bytes, seconds: float) -> "dict[str, Any]":
    """By task: per_s, ms_per_s, median_us, p99_us, longest_us, longest (what happened in that one), over
    (share of turns above LIMIT_US, without those that wrote flash).
    """
    names = tasks()
    turns: dict[str, list[tuple[int, str, bool]]] = {}
    for number, flags, sealed, us in RECORD.iter_unpack(noted[: len(noted) // RECORD.size * RECORD.size]):
        name = names[number] if number < len(names) else f"task {number}"
        turns.setdefault(name, []).append((us, _what(flags, sealed), bool(flags & FLASH)))
    return {name: _row(turns[name], seconds) for name in names if name in turns}


def _what(flags: int, sealed: int) -> str:
    parts = [f"{sealed} frame{'s' if sealed > 1 else ''} sealed"] if sealed else []
    parts += ["flash"] if flags & FLASH else []
    parts += ["collection"] if flags & COLLECTED else []
    return ", ".join(parts) or "–"


def _row(turns: "list[tuple[int, str, bool]]", seconds: float) -> "dict[str, Any]":
    turns.sort(reverse=True)
    longest = turns[0]
    return {
        "per_s": round(len(turns) / seconds, 1),
        "ms_per_s": round(sum(turn[0] for turn in turns) / 1000 / seconds, 3),
        "median_us": turns[len(turns) // 2][0],
        "p99_us": turns[len(turns) // 100][0],
        "longest_us": longest[0],
        "longest": longest[1],
        "over": round(sum(us > LIMIT_US and not flash for us, _, flash in turns) / len(turns), 4),
    }
