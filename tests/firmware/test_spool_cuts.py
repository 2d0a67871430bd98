"""Power cuts at every write and erasure of the spool's, on LittleFS: what had left memory is there, but for
what was acknowledged. EVERY_STEP=1: after each operation, in some minutes; else after some of them.
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from boards.virtual.rig import find_micropython

ROOT = Path(__file__).resolve().parents[2]
CUTS = "tests/firmware/spool_cuts/cuts.py"
WORKERS = 2


@pytest.mark.parametrize("small", [False, True], ids=["64 bit", "32 bit"])
def test_a_power_cut_leaves_a_readable_spool(small):
    vm = os.environ.get("MICROPYTHON32") if small else find_micropython()
    if vm is None:
        pytest.skip("no 32-bit MicroPython: `make vm32` builds one, or set $MICROPYTHON32")
    step = WORKERS if os.environ.get("EVERY_STEP") else 263

    def run(first: int) -> str:
        done = subprocess.run(
            [vm, "-X", "heapsize=24M", CUTS, str(first), str(step)],
            cwd=ROOT,
            env=dict(os.environ, MICROPYPATH=f"{ROOT}:.frozen"),
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    with ThreadPoolExecutor(WORKERS) as pool:
        for told in pool.map(run, range(1, 1 + WORKERS)):
            print(told.strip())


def test_a_linked_day_erases_no_block_twice(vm):
    done = subprocess.run(
        [vm, "-X", "heapsize=24M", "tests/firmware/spool_cuts/wear.py", "1"],
        cwd=ROOT,
        env=dict(os.environ, MICROPYPATH=f"{ROOT}:.frozen"),
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    writes, erased, most = map(int, done.stdout.split())
    print(f"{writes} writes and {erased} erasures in 512 blocks a day, {most} of one at most")
    assert writes and erased < 512 and most <= 1
