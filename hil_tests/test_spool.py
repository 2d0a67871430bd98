"""An outage longer than a node's memory: what it kept on flash comes when the agent is back, also after the
power was cut, and the ledger of the whole path adds up.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from boards.virtual.rig import VirtualNode
from hil_tests.stack import PATIENCE_S, Stack

ROOT = Path(__file__).resolve().parents[1]
# The node's world runs so much faster, and waits for its node where the host is busy.
SPEED = 20.0
OUTAGE_S = 150.0
# More than the outbox's 32 KB, some 50 s of frames.
KEPT_BYTES = 40_000


@pytest.fixture(scope="session")
def kit_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home kit that exists only in software: the virtual node with radios, spool and updates."""
    out = tmp_path_factory.mktemp("build") / "virtual_kit"
    subprocess.run(
        [sys.executable, "-m", "tools.cli", "build", "--board", "virtual_kit", "--out", str(out)],
        check=True,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    return out


@pytest.fixture
def kit(virtual: None, kit_dir: Path, tmp_path: Path) -> Iterator[VirtualNode]:
    """A kit that is on."""
    with VirtualNode(kit_dir, tmp_path / "kit", log=tmp_path / "kit.log", speed=SPEED) as node:
        yield node


def stored_bytes(node: VirtualNode) -> int:
    """What lies in the spool on the node's flash; the node takes files away meanwhile."""
    found = 0
    with contextlib.suppress(FileNotFoundError):
        for path in (node.flash_dir / "spool").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found += path.stat().st_size
    return found


def wait(what: str, fact: Callable[[], object]) -> None:
    """Until it is so, however long that takes on this host."""
    end = time.monotonic() + 2 * PATIENCE_S
    while not fact():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def outage(node: VirtualNode, seconds: float = OUTAGE_S) -> None:
    """So long, in the patient's time, the cable is out."""
    node.unplug()
    began = node.world_s()
    wait("the outage is over", lambda: node.world_s() - began >= seconds)
    wait("the node stores what it measures", lambda: stored_bytes(node) >= KEPT_BYTES)


def settled(node: VirtualNode, stack: Stack) -> int:
    """Until all is delivered and stated that the node had before its agent was there; how many frames of it
    were evicted: before it is paired there is nobody to store anything for.
    """
    stack.wait_delivered(10)
    wait("the spool is empty", lambda: stored_bytes(node) == 0)
    began = node.world_s()
    wait("a loss frame has gone", lambda: node.world_s() - began >= 30)

    def stated() -> bool:
        (row,) = stack.ledger()["rows"]
        return row["pending"] < 30 and row["unexplained"] == 0

    stack.wait_until("what was before is delivered", stated)
    return stack.ledger()["rows"][0]["evicted"]


def test_outages_cost_nothing_and_a_power_cut_what_was_in_memory(
    kit: VirtualNode, make_stack: Callable[..., Stack]
) -> None:
    stack = make_stack(kit)
    before = settled(kit, stack)
    outage(kit)
    kit.replug()
    wait("the spool is empty", lambda: stored_bytes(kit) == 0)
    stack.wait_until("all of it is delivered", lambda: stack.ledger()["rows"][0]["pending"] < 30)
    (row,) = stack.ledger()["rows"]
    assert row["evicted"] == before and row["lost_at_reset"] == row["unexplained"] == 0

    outage(kit)
    known = stack.ledger()["rows"][0]["delivered"]
    kit.power_cycle()
    kit.replug()
    wait("the spool is empty", lambda: stored_bytes(kit) == 0)

    def both() -> bool:
        rows = stack.ledger()["rows"]
        return len(rows) == 2 and rows[1]["delivered"] > 10 and rows[0]["pending"] == 0

    stack.wait_until("the earlier boot is accounted for", both)
    kit.stop()
    ledger = stack.wait_settled()
    stack.assert_sound()
    cut, after = ledger["rows"]
    assert after["delivered"] == after["produced"] and after["lost_at_reset"] == 0
    assert cut["delivered"] + cut["lost_at_reset"] + before == cut["produced"] and cut["evicted"] == before
    # What memory held is less than a minute of the outage.
    assert cut["delivered"] > known + OUTAGE_S * 0.8 and cut["lost_at_reset"] < 60 * 4
