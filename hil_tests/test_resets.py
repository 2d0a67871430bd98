"""A node that is reset over and over, as by a loose battery or a brown-out: the ledger of the whole path."""

import itertools
import time

from boards.virtual.rig import VirtualNode
from hil_tests.stack import PATIENCE_S, Stack
from protocol import cbor

# After the boot counter is on flash, to "frames are flowing"; None: before.
MOMENTS_S = (None, 0.1, None, 0.4, 1.2, None, 0.2, 2.1, 0.0, 0.6, 0.0, 0.3, None, 0.5)
BEFORE_S = 0.05


def counter(node: VirtualNode) -> int:
    """Of the newest boot that is on the node's flash."""
    record = (node.flash_dir / "state" / "boot-a").read_bytes()
    # firmware/flash.py: eight bytes before the record's own; firmware/boots.py: the boot's id is the first.
    return int.from_bytes(cbor.loads(record[8:])[0][:4], "big")


def committed(node: VirtualNode, known: int) -> int:
    """Wait until the next counter is there, however long a boot takes on this host; that counter."""
    end = time.monotonic() + PATIENCE_S
    while (found := counter(node)) <= known:
        assert time.monotonic() < end, "no boot counter on flash"
        time.sleep(0.005)
    return found


def test_many_resets_in_quick_succession_leave_a_ledger_that_balances(make_node, make_stack) -> None:
    node: VirtualNode = make_node().start()
    stack: Stack = make_stack(node)
    stack.wait_delivered(10)
    known = 0
    for n, moment_s in enumerate(MOMENTS_S):
        # For half of them nobody listens.
        if n % 4 == 2:
            node.unplug()
        elif n % 4 == 0:
            node.replug()
        if moment_s is None:
            time.sleep(BEFORE_S)
        else:
            committed(node, known)
            time.sleep(moment_s)
        known = counter(node)
        if n % 3 == 2:
            node.power_cycle()
        else:
            node.reset()
    node.replug()
    newest = committed(node, known)

    def delivers() -> bool:
        row = stack.ledger()["rows"][-1]
        return row["counter"] == newest and row["delivered"] >= 20

    stack.wait_until("the last boot delivers", delivers)
    node.stop()
    ledger = stack.wait_settled()
    stack.assert_sound()
    rows = ledger["rows"]
    assert len(rows) > 4 and ledger["unheard_boots"] == 0 and stack.told() == []
    assert sum(row["boots"] for row in rows) == rows[-1]["counter"], "every boot is in one row"
    for row in rows:
        assert row["what"] == "boot" and not row["contradiction"], row
        assert row["current"] or row["bound_s"] is not None, row
    assert [b["counter"] - a["counter"] for a, b in itertools.pairwise(rows)] == [1] * (len(rows) - 1)
    assert rows[-1]["delivered"] == rows[-1]["produced"]
