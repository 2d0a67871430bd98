"""Updates onto LittleFS, by the node's own modules on the VM: what is taken and refused, and what is left
when the power goes. EVERY_STEP=1 cuts it at each write; else at one of some.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, absent

SCRIPTS = Path(__file__).parent / "update_vm"


@pytest.fixture(params=["usual words", "32 bit"])
def run(request, vm):
    """On either VM; with more heap than a node has, since sources take more."""
    small = os.environ.get("MICROPYTHON32")
    if request.param == "32 bit" and small is None:
        absent("no 32-bit MicroPython: `make vm32` builds one, or set $MICROPYTHON32")
    used = small if request.param == "32 bit" and small else vm
    environment = dict(os.environ, MICROPYPATH=f"{ROOT}:{SCRIPTS}:.frozen")

    def run(*words: str) -> str:
        command = [used, "-X", "heapsize=4M", *words]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_what_is_taken_and_what_is_refused(run):
    run("tests/both/run_micropython.py", str(SCRIPTS / "receiving_cases.py"))


def test_after_any_power_cut_a_whole_version_runs_and_the_update_goes_on(run):
    every = "1" if os.environ.get("EVERY_STEP") else "11"
    said = run(str(SCRIPTS / "cuts.py"), every, "0")
    print(said)
    assert said.count("torn:") == 2
    assert all(int(line.split(": ")[1].split()[0]) > 8 for line in said.splitlines())


def test_what_the_check_of_an_update_takes(run):
    """Shown, not judged: a busy host takes longer."""
    print(run(str(SCRIPTS / "verify_time.py")))
