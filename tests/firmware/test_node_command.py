"""`vitalwire node run`: a port to open, and an orderly stop on Ctrl-C."""

import signal
import subprocess
import sys
from pathlib import Path

from protocol import frames
from tests.firmware.conftest import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]


def test_a_node_by_itself(vm, make_agent, tmp_path):
    command = [
        sys.executable,
        "-m",
        "tools.cli",
        "node",
        "run",
        "--model",
        "--flash",
        str(tmp_path / "flash"),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = {}
        while "port" not in said:
            line = process.stdout.readline()
            assert line, f"it ended before it named its port: {said}"
            name, _, value = line.partition(":")
            said[name] = value.strip()
        assert said["patient"].startswith("synthetic")
        agent = make_agent(said["port"])
        agent.until(lambda: agent.of(frames.KIND_VITALS))
        process.send_signal(signal.SIGINT)
        agent.during(lambda: process.wait(PATIENCE_S))
        assert process.returncode == 0 and "stopped in order" in process.stdout.read()
    agent.whole()
    assert agent.of(frames.KIND_EVENT)[-1][2][frames.EVENT_CODE] == frames.EVENT_STOP
    assert (tmp_path / "flash" / "state" / "identity").is_file()
