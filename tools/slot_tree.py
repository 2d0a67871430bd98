"""What begins a boot: the application's entry, where firmware and board meet; and, on a board that takes
updates, what chooses one of two slots for the application first (docs/updates.md).
"""

from collections.abc import Mapping, Sequence

LOAD_THRESHOLD = 4096

CHOOSER = "firmware.slots"
"""The module that is shipped as it is, beside main.py."""
FIRST_SLOT = "slot_a"
ENTRY = "start.py"
# Has the slot that came over the cable confirmed; firmware/slots.py takes it away.
FLASHED = "flashed"
TRIAL_WATCHDOG_MS = 30000

COMPOSITION = '''"""Made by `vitalwire build` for the board {name}: here firmware and board meet."""

import gc

# Collect often while modules load: what stays then lies close together, and leaves large free blocks behind
# it.
gc.threshold({threshold})
{first}from {app} import run
from {assembly} import SENSORS, FEATURES
from {board} import Board
from board_config import CONFIG

run(Board(CONFIG), SENSORS, FEATURES)
'''

CHOOSING = '''"""Made by `vitalwire build` for the board {name}: runs the version of the application that
slots.py names. No update replaces the two.
"""

import sys

import slots

slot, trial = slots.choose_slot("")
sys.path.insert(0, "slot_" + slot)
# A node's heap has no room for what is over.
del sys.modules["slots"], slots
try:
    if trial:
        # For a version that hangs before it feeds a watchdog of its own.
        import machine

        machine.WDT(timeout={timeout})
    import start
except Exception as error:
    import slots

    slots.failed_start(trial, error)
'''


def composition(board: str, first: Sequence[str], module: str) -> bytes:
    """The entry of an application: `first` are the modules that come before all others; `module`: the one
    that everything is in, "" where each is a file of its own.
    """
    names = ("firmware.app", "assembly", f"boards.{board}.board")
    app, assembly, made = (module,) * 3 if module else names
    before = "".join(f"import {name}\n" for name in first)
    return COMPOSITION.format(
        name=board, threshold=LOAD_THRESHOLD, first=before, app=app, assembly=assembly, board=made
    ).encode()


def laid_out(board: str, version: str, files: Mapping[str, bytes], chooser: bytes) -> dict[str, bytes]:
    """The tree of an application `files` (its ENTRY among them); last, what says that it came over the cable.
    `chooser`: the source of CHOOSER.
    """
    return {
        **{f"{FIRST_SLOT}/{path}": data for path, data in files.items()},
        "main.py": CHOOSING.format(name=board, timeout=TRIAL_WATCHDOG_MS).encode(),
        "slots.py": chooser,
        FLASHED: f"{version}\n".encode(),
    }


def application(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """What of such a tree an update brings: the files of the slot, as they are called in it."""
    inside = f"{FIRST_SLOT}/"
    return {path.removeprefix(inside): data for path, data in files.items() if path.startswith(inside)}
