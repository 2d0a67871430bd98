"""`vitalwire inspect` into a pipe that nobody reads on from, and into a full device."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from protocol import cobs, messages

STREAM = cobs.encode(messages.solicit(1)) * 2000
SOUND = [sys.executable, "-m", "tools.cli", "inspect"]


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "capture").write_bytes(STREAM)
    return str(tmp_path / "capture")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_pipe_that_is_closed_ends_it_quietly(source: str, options: "list[str]") -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*SOUND, source, *options], stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writing)
    assert done.returncode == 141 and done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_device_is_an_error_that_is_no_fault_of_the_capture(source: str, options: "list[str]") -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*SOUND, source, *options], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 2 and b"No space left" in done.stderr and b"Traceback" not in done.stderr
