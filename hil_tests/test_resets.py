"""A node that is reset over and over, as by a loose battery or a brown-out: the ledger of the whole path."""

import itertools
import time

from boards.virtual.rig import VirtualNode
from hil_tests.stack import Stack

# From "before the boot counter is on flash" to "frames are flowing".
MOMENTS_S = (0.05, 0.5, 0.2, 0.8, 1.6, 0.1, 0.6, 2.5, 0.3, 1.0, 0.4, 0.7, 0.05, 0.9)


def test_many_resets_in_quick_succession_leave_a_ledger_that_balances(make_node, make_stack) -> None:
    node: VirtualNode = make_node().start()
    stack: Stack = make_stack(node)
    stack.wait_delivered(10)
    for n, moment_s in enumerate(MOMENTS_S):
        # For half of them nobody listens.
        if n % 4 == 2:
            node.unplug()
        elif n % 4 == 0:
            node.replug()
        time.sleep(moment_s)
        if n % 3 == 2:
            node.power_cycle()
        else:
            node.reset()
    node.replug()
    stack.wait_until("the last boot delivers", lambda: stack.ledger()["rows"][-1]["delivered"] >= 20, 60)
    node.stop()
    ledger = stack.wait_settled(60)
    stack.assert_sound()
    rows = ledger["rows"]
    assert len(rows) > 4 and ledger["unheard_boots"] == 0 and stack.told() == []
    assert sum(row["boots"] for row in rows) == rows[-1]["counter"], "every boot is in one row"
    for row in rows:
        assert row["what"] == "boot" and not row["contradiction"], row
        assert row["current"] or row["bound_s"] is not None, row
    assert [b["counter"] - a["counter"] for a, b in itertools.pairwise(rows)] == [1] * (len(rows) - 1)
    assert rows[-1]["delivered"] == rows[-1]["produced"]
