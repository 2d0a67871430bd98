"""Every file of tests/both again, on the MicroPython VM with the heap of an ESP32, and on one
with its words and floats: one process a file.
"""

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


@pytest.mark.parametrize("name", FILES)
def test_on_32_bits(name: str, micropython32: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    result = micropython32("tests/both/run_micropython.py", f"tests/both/{name}")
    assert result.returncode == 0, f"\n{result.stdout}{result.stderr}"


def test_the_runner_reports_failures(
    micropython: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    good = tmp_path / "test_good.py"
    good.write_text("def test_good():\n    assert True\n")
    bad = tmp_path / "test_bad.py"
    bad.write_text("def test_bad():\n    assert False\n\n\ndef test_good():\n    pass\n")
    empty = tmp_path / "test_empty.py"
    empty.write_text("x = 1\n")
    broken = tmp_path / "test_broken.py"
    broken.write_text("import no_such_module\n")
    for path, code, line in ((good, 0, "ok test_good"), (bad, 1, "FAIL test_bad"), (empty, 1, "0 passed")):
        result = micropython("tests/both/run_micropython.py", str(path))
        assert result.returncode == code and line in result.stdout
    assert micropython("tests/both/run_micropython.py", str(broken)).returncode == 1
    assert micropython("tests/both/run_micropython.py").returncode == 1
