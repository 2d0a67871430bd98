"""An outage longer than a node's memory: what it kept on flash comes when the agent is back, also after the
power was cut, and the ledger of the whole path adds up.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hil_tests.nodes import Node, RigNode
from hil_tests.stack import PATIENCE_S, Stack

# The node's world runs so much faster, and waits for its node where the host is busy.
SPEED = 20.0
OUTAGE_S = 150.0
# More than the outbox's 32 KB, some 50 s of frames.
KEPT_BYTES = 40_000


@pytest.fixture
def kit(new_node: Callable[..., Node], kit_dir: Path) -> Node:
    """A kit that is on."""
    node = new_node(kit_dir, speed=SPEED)
    node.start()
    return node


def stored_bytes(node: RigNode) -> int:
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


def emptied(node: Node) -> None:
    """Until the spool is empty; into a real board nobody looks, whose ledger says what is pending."""
    if isinstance(node, RigNode):
        wait("the spool is empty", lambda: stored_bytes(node) == 0)


def outage(node: Node, seconds: float = OUTAGE_S) -> None:
    """So long, in the patient's time, the cable is out."""
    node.unplug()
    began = node.world_s()
    wait("the outage is over", lambda: node.world_s() - began >= seconds)
    if isinstance(node, RigNode):
        wait("the node stores what it measures", lambda: stored_bytes(node) >= KEPT_BYTES)


def settled(node: Node, stack: Stack) -> int:
    """Until all is delivered and stated that the node had before its agent was there; how many frames of it
    were evicted: before it is paired there is nobody to store anything for.
    """
    stack.wait_delivered(10)
    emptied(node)
    began = node.world_s()
    wait("a loss frame has gone", lambda: node.world_s() - began >= 30)

    def stated() -> bool:
        (row,) = stack.ledger()["rows"]
        return row["pending"] < 30 and row["unexplained"] == 0

    stack.wait_until("what was before is delivered", stated)
    return stack.ledger()["rows"][0]["evicted"]


@pytest.mark.bench("power", "cable", has=("spool",))
def test_outages_cost_nothing_and_a_power_cut_what_was_in_memory(
    kit: Node, make_stack: Callable[..., Stack]
) -> None:
    stack = make_stack(kit)
    before = settled(kit, stack)
    outage(kit)
    kit.replug()
    emptied(kit)
    stack.wait_until("all of it is delivered", lambda: stack.ledger()["rows"][0]["pending"] < 30)
    (row,) = stack.ledger()["rows"]
    assert row["evicted"] == before and row["lost_at_reset"] == row["unexplained"] == 0

    outage(kit)
    known = stack.ledger()["rows"][0]["delivered"]
    kit.power_cycle()
    kit.replug()
    emptied(kit)

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
