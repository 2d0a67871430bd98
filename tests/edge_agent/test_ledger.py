"""The ledger's arithmetic, boot by boot, from facts made up for the purpose."""

import json
import sys
from types import FrameType
from typing import Any

from edge_agent.ledger import SETTLED_MS, BootFacts, Ledger, Statement, account
from edge_agent.ranges import Ranges

NODE = b"node-one"


def boot(counter: int, **given: Any) -> BootFacts:
    facts: dict[str, Any] = {k: Ranges(v) if isinstance(v, list) else v for k, v in given.items()}
    return BootFacts(counter, NODE, counter.to_bytes(4, "big") + b"12345678", **facts)


def only(*boots: BootFacts, index: int = 0):
    row = account(boots)[index]
    accounted = row.delivered + row.pending + row.evicted + row.lost_at_reset + row.lost_at_agent
    assert row.produced == accounted + row.unexplained
    return row


def test_a_running_boot():
    row = only(boot(1, next_seq=8, stored=[(0, 10)], delivered=6))
    assert (row.produced, row.delivered, row.pending, row.current, row.balanced) == (10, 6, 4, True, True)


def test_missing_numbers_of_the_current_boot_are_pending():
    row = only(boot(1, next_seq=20, held=[(5, 3), (15, 5)], stored=[(0, 5), (8, 7)], delivered=12))
    assert (row.produced, row.pending, row.delivered) == (20, 8, 12)


def test_evicted_are_those_in_loss_frames_that_did_not_arrive_all_the_same():
    row = only(boot(1, next_seq=20, stored=[(0, 5), (10, 10)], losses=[(4, 6)], delivered=15))
    assert (row.evicted, row.pending, row.delivered) == (5, 0, 15)


def test_a_reset_with_its_statement():
    old = boot(1, next_seq=5, stored=[(0, 40)], delivered=40, statement=Statement(50, False, 2))
    row = only(old, boot(2, stored=[(0, 3)]))
    assert (row.produced, row.lost_at_reset, row.pending, row.bound_s, row.clean) == (50, 10, 0, 2, False)


def test_an_ended_boot_that_the_node_still_holds_is_pending():
    old = boot(1, stored=[(0, 40)], delivered=40, held=[(40, 10)], statement=Statement(50, True, 0))
    row = only(old, boot(2, stored=[(0, 3)]))
    assert (row.lost_at_reset, row.pending) == (0, 10)


def test_an_ended_boot_waits_for_its_statement():
    old = boot(1, next_seq=50, stored=[(0, 40)], delivered=40)
    row = only(old, boot(2, stored=[(3, 2)]))
    assert (row.lost_at_reset, row.pending) == (0, 10)


def steps_to_account_for(n: int) -> int:
    """How many steps of the interpreter it takes to account for `n` boots."""
    boots = [boot(i, stored=[(0, 9)], statement=Statement(9, True, 0)) for i in range(1, n + 1)]
    steps = 0

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += event == "opcode"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        rows = account(boots)
    finally:
        sys.settrace(before)
    assert sum(row.current for row in rows) == 1
    return steps


def test_many_boots_cost_so_many_times_what_one_costs():
    assert steps_to_account_for(1000) < 12 * steps_to_account_for(100)


def test_two_resets_in_a_row_leave_a_loss_without_a_bound():
    rows = account([boot(1, next_seq=50, stored=[(0, 40)]), boot(2, next_seq=1), boot(3, stored=[(0, 9)])])
    assert rows[0].lost_at_reset == 10 and rows[0].bound_s is None
    assert rows[1].lost_at_reset == 1
    assert all(row.balanced for row in rows)


def test_a_boot_that_never_met_the_agent_is_in_the_account_by_its_successors_word():
    row = only(boot(1, statement=Statement(7, False, 1)), boot(2, stored=[(0, 1)]))
    assert (row.produced, row.lost_at_reset) == (7, 7)


def test_what_an_earlier_store_lost():
    row = only(
        boot(1, next_seq=30, stored=[(20, 10)], agent_losses=[(0, 20)], losses=[(18, 2)], delivered=10)
    )
    assert (row.lost_at_agent, row.evicted, row.balanced) == (18, 2, True)


def test_a_gap_that_nobody_explains_does_not_balance():
    facts = {"next_seq": 30, "held": [(25, 5)], "stored": [(0, 10), (25, 20)], "delivered": 30}
    early = only(boot(1, live_ms=0, heard_ms=SETTLED_MS - 1, **facts))
    assert early.pending == 15 and early.balanced
    late = only(boot(1, live_ms=0, heard_ms=SETTLED_MS, **facts))
    assert late.unexplained == 15 and late.pending == 0 and not late.balanced


def test_a_gap_is_no_riddle_while_a_backlog_that_may_explain_it_is_on_its_way():
    row = only(
        boot(1, next_seq=30, held=[(20, 10)], stored=[(0, 10), (25, 20)], live_ms=0, heard_ms=9 * SETTLED_MS)
    )
    assert row.unexplained == 0 and row.pending == 45 and row.balanced


def test_a_frame_in_two_batches_does_not_balance():
    assert not only(boot(1, stored=[(0, 3)], delivered=3, duplicates=1)).balanced


def test_nodes_do_not_mix_and_totals_add_up():
    other = boot(2, stored=[(0, 4)], delivered=1)
    other.node = b"node-two"
    ledger = Ledger(account([other, boot(1, stored=[(0, 2)])]))
    assert [row.current for row in ledger.rows] == [True, True]
    assert ledger.totals["produced"] == 6 and ledger.totals["delivered"] == 1 and ledger.balanced
    json.dumps(ledger.as_dict())


def test_statements_are_readable_in_json():
    detail: dict[Any, Any] = {"node": NODE, "ranges": [[0, 4]], 3: (b"\x01",)}
    told = Ledger((), (("frames_lost", detail, 5),)).as_dict()
    assert told["statements"][0]["detail"] == {"node": NODE.hex(), "ranges": [[0, 4]], "3": ["01"]}
