"""The demo as a person runs it: every process, a real node, a real broker."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.services.server import lives

ROOT = Path(__file__).resolve().parents[2]
# For whatever a test waits for. Normally that takes a moment; on a busy machine it takes as long as it takes.
PATIENCE_S = 120.0
KEYS = [
    *("input", "synthetic", "seconds", "produced", "delivered", "pending", "evicted", "lost_at_reset"),
    *("duplicates", "batches", "receipts", "verified", "hr_bpm", "spo2_pct", "bp", "wire_bytes"),
    "heap_free_min",
]


@pytest.fixture
def demo(micropython, tmp_path):
    """Start `vitalwire demo ARGUMENTS`; needs a VM and a broker."""
    pytest.importorskip("iotcore", reason="no embedded broker here")
    started = []

    def start(*arguments: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", "tools.cli", "demo", "--model", *arguments],
            cwd=ROOT,
            env=dict(os.environ, PYTHONUNBUFFERED="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def children(pid: int) -> list[int]:
    """The direct children of a process."""
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def wait_until_dead(pids: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while any(map(lives, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in pids if lives(pid)]


def test_everything_is_delivered_verified_and_summed_up(demo, tmp_path):
    arguments = ["--seconds", "15", "--speed", "4", "--nodes", "2", "--keep", str(tmp_path / "kept")]
    arguments += ["--summary", str(tmp_path / "s.json"), "--svg", str(tmp_path / "v.svg")]
    process = demo(*arguments)
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    assert "the ledger balances; everything delivered" in output
    summary = json.loads((tmp_path / "s.json").read_text())
    assert list(summary) == KEYS
    assert summary["synthetic"] is True
    assert summary["verified"] is True
    assert summary["produced"] == summary["delivered"] > 50
    for name in ("pending", "evicted", "lost_at_reset", "duplicates"):
        assert summary[name] == 0
    assert summary["batches"] == summary["receipts"] > 0
    assert summary["hr_bpm"] == pytest.approx(72, abs=3)
    assert summary["spo2_pct"] == pytest.approx(97, abs=2)
    assert summary["wire_bytes"] > 5000
    assert summary["heap_free_min"] > 30_000
    assert (tmp_path / "v.svg").read_text().startswith("<svg")
    assert (tmp_path / "kept" / "agent" / "agent.db").exists()


def test_ctrl_c_ends_in_order_and_leaves_no_process(demo):
    process = demo()
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "link live" in line and "HR " in line and "delivered 0 " not in line:
            break
    helpers = children(process.pid)
    assert len(helpers) >= 3
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, "".join(lines) + output
    assert "the ledger balances" in output
    wait_until_dead(helpers)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_killed_demo_leaves_no_process(demo):
    process = demo()
    for line in process.stdout:
        if "link" in line:
            break
    helpers = children(process.pid)
    assert len(helpers) >= 3
    process.kill()
    process.wait()
    wait_until_dead(helpers)


def test_a_helper_that_dies_is_named(demo, tmp_path):
    process = demo("--keep", str(tmp_path / "kept"))
    for line in process.stdout:
        if "link" in line:
            break
    for pid in children(process.pid):
        if b"collector" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "the collector ended with status -9" in output
    assert "Traceback" not in output


def test_a_node_that_dies_is_named_and_nothing_is_called_delivered(demo):
    process = demo("--seconds", "60")
    for line in process.stdout:
        if "link live" in line:
            break
    (vm,) = [pid for pid in children(process.pid) if b"main.py" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(vm, signal.SIGKILL)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "the node 0" in output
    assert "ended with status -9" in output
    assert "everything delivered" not in output
    assert "Traceback" not in output


def test_ctrl_c_at_once_is_no_failed_ledger(demo, tmp_path):
    process = demo("--summary", str(tmp_path / "s.json"))
    assert "starting" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert "BALANCE" not in output
    assert "Traceback" not in output
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["synthetic"] is True
    if summary["produced"]:  # the last moments of the node were enough for a few frames
        assert process.returncode == 0, output
    else:
        assert process.returncode == 1
        assert "interrupted before the first frame" in output
