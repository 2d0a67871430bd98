"""A MicroPython VM whose time.time_ns() is the processor time that it has used, for blocking sections: time
that others had, and waiting, are not in it.

The VM takes its time from the C library, so a library that is preloaded (cpu_clock.c) can tell it another.
"""

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
ELF_CLASS = {1: ["-m32"], 2: []}
# Little for a start that is over, and little of a pause that was slept through.
CHECK = """\
import time
began = time.time_ns()
time.sleep(1)
print(began // 1000, time.time_ns() // 1000)
"""
SLEPT_US = 500000
YEAR_US = 10**6 * 86400 * 365


class NoClock(Exception):
    """There is none, for the reason that the text gives."""


def vm_with_clock(vm: str, folder: Path, ticks: bool = False) -> str:
    """A program in `folder` that runs `vm` with that clock, as the same process; `ticks`: time.ticks_us() is
    it, too. NoClock.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoClock("no C compiler (cc) to make a processor clock with")
    library, program = folder / "cpu_clock.so", folder / "micropython"
    options = [*_word_size(Path(vm)), *(["-DTICKS"] if ticks else []), "-O2"]
    command = [compiler, *options, "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoClock(f"{compiler}: {done.stderr.strip()[-200:]}")
    program.write_text(f'#!/bin/sh\nLD_PRELOAD="{library}" exec "{vm}" "$@"\n')
    program.chmod(0o755)
    done = subprocess.run([program, "-c", CHECK], capture_output=True, text=True, check=False)
    try:
        began, ended = (int(word) for word in done.stdout.split())
    except ValueError:
        raise NoClock(f"{vm}: {done.stderr.strip()[-200:]}") from None
    if began > YEAR_US or ended - began > SLEPT_US:
        raise NoClock(f"{vm} does not take its time from the C library")
    return str(program)


def _word_size(vm: Path) -> "list[str]":
    with open(vm, "rb") as file:
        head = file.read(5)
    # A script is run by the Python that this is.
    return ELF_CLASS.get(head[4], []) if head[:4] == b"\x7fELF" else []
