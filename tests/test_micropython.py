"""Every file of tests/both again, on the MicroPython VM with the heap of an ESP32: one process a file."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

BOTH = Path(__file__).resolve().parent / "both"
FILES = sorted(path.name for path in BOTH.glob("test_*.py"))


@pytest.mark.parametrize("name", FILES)
def test_on_micropython(name: str, micropython: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    result = micropython("tests/both/run_micropython.py", f"tests/both/{name}")
    assert result.returncode == 0, f"\n{result.stdout}{result.stderr}"
