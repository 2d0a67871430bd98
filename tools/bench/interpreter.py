"""Runs a script of firmware code on the interpreter of a node, if there is one, else on this one."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from boards.virtual.rig import RigError, find_micropython

ROOT = Path(__file__).resolve().parents[2]


def interpreter() -> str:
    """The MicroPython VM if there is one, else this Python."""
    try:
        return find_micropython()
    except RigError:
        return sys.executable


def run(script: str, data: bytes, runs: str, heap: str | None = None) -> list[str]:
    """The lines that `script` prints on the interpreter `runs`; argv[1] is a file that holds `data`.

    `heap`: the size of a MicroPython heap, as its -X heapsize takes it. Raises subprocess.CalledProcessError.
    """
    with tempfile.TemporaryDirectory(prefix="vitalwire-bench-") as folder:
        program, given = Path(folder, "run.py"), Path(folder, "data")
        program.write_text(script)
        given.write_bytes(data)
        environment = dict(os.environ, MICROPYPATH=f"{ROOT}:.frozen", PYTHONPATH=str(ROOT))
        return subprocess.run(
            [runs, *(["-X", f"heapsize={heap}"] if heap else []), str(program), str(given)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
