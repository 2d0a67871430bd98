"""How a build lies on the flash of a board that takes updates: the application in the first of two slots, and
beside them what chooses one (docs/updates.md).
"""

from collections.abc import Mapping

CHOOSER = "firmware.slots"
"""The module that is shipped as it is, beside main.py."""
FIRST_SLOT = "slot_a"
ENTRY = "start.py"
# Has the slot that came over the cable confirmed; firmware/slots.py takes it away.
FLASHED = "flashed"
TRIAL_WATCHDOG_MS = 30000

MAIN = '''"""Made by `vitalwire build` for the board {name}: runs the version of the application that slots.py
names. No update replaces the two.
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


def laid_out(board: str, version: str, files: Mapping[str, bytes], chooser: bytes) -> dict[str, bytes]:
    """The tree of an application `files` (its ENTRY among them); last, what says that it came over the cable.
    `chooser`: the source of CHOOSER.
    """
    return {
        **{f"{FIRST_SLOT}/{path}": data for path, data in files.items()},
        "main.py": MAIN.format(name=board, timeout=TRIAL_WATCHDOG_MS).encode(),
        "slots.py": chooser,
        FLASHED: f"{version}\n".encode(),
    }


def application(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """What of such a tree an update brings: the files of the slot, as they are called in it."""
    inside = f"{FIRST_SLOT}/"
    return {path.removeprefix(inside): data for path, data in files.items() if path.startswith(inside)}
