"""The ledger's arithmetic, boot by boot, from facts made up for the purpose."""

import json
import sys
from types import FrameType
from typing import Any

from edge_agent.ledger.hearsay import UNBOUNDED, Statement, Summary
from edge_agent.ledger.ledger import PARTS, SETTLED_MS, BootFacts, Ledger, account
from edge_agent.ledger.ranges import Ranges

NODE = b"node-one"


def boot(counter: int, **given: Any) -> BootFacts:
    made = {k: Ranges(v) if isinstance(v, list) and k != "said" else v for k, v in given.items()}
    return BootFacts(counter, NODE, counter.to_bytes(4, "big") + b"12345678", **made)


def only(*boots: BootFacts, index: int = 0):
    row = account(boots)[index]
    accounted = (
        row.delivered + row.pending + row.evicted + row.lost_at_reset + row.elsewhere + row.lost_at_agent
    )
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


def test_what_another_agent_has_is_no_loss():
    two = boot(1, next_seq=20, stored=[(0, 5), (12, 8)], elsewhere=[(4, 8)], delivered=13, live_ms=0)
    two.heard_ms = SETTLED_MS
    row = only(two)
    assert (row.elsewhere, row.evicted, row.unexplained, row.balanced) == (7, 0, 0, True)


def test_what_two_loss_frames_name_is_lost_once():
    two = boot(1, next_seq=20, stored=[(0, 5), (12, 8)], delivered=13, live_ms=0)
    two.heard_ms = SETTLED_MS
    for first, count, reason in ((5, 4, 1), (5, 4, 1), (7, 5, 1), (8, 4, 2), (8, 4, 2)):
        two.lost(first, count, reason)
    row = only(two)
    assert (row.evicted, row.elsewhere, row.unexplained, row.balanced) == (7, 0, 0, True)


def test_a_reset_with_its_statement():
    old = boot(1, next_seq=5, stored=[(0, 40)], delivered=40, said=[Statement(50, False, 2)])
    row = only(old, boot(2, stored=[(0, 3)]))
    assert (row.produced, row.lost_at_reset, row.pending, row.bound_s, row.clean) == (50, 10, 0, 2, False)


def test_an_ended_boot_that_the_node_still_holds_is_pending():
    old = boot(1, stored=[(0, 40)], delivered=40, held=[(40, 10)], said=[Statement(50, True, 0)])
    row = only(old, boot(2, stored=[(0, 3)]))
    assert (row.lost_at_reset, row.pending) == (0, 10)


def test_an_ended_boot_waits_for_its_statement():
    old = boot(1, next_seq=50, stored=[(0, 40)], delivered=40)
    row = only(old, boot(2, stored=[(3, 2)]))
    assert (row.lost_at_reset, row.pending) == (0, 10)


def steps_to_account_for(n: int) -> int:
    """How many steps of the interpreter it takes to account for `n` boots."""
    boots = [boot(i, stored=[(0, 9)], said=[Statement(9, True, 0)]) for i in range(1, n + 1)]
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


def test_a_statement_that_another_agent_has_is_not_waited_for():
    old = boot(1, next_seq=50, stored=[(0, 40)], delivered=40)
    row = only(old, boot(2, next_seq=9, held=[(4, 5)], live_ms=1))
    assert (row.lost_at_reset, row.pending, row.bound_s) == (10, 0, None)
    row = only(old, boot(2, next_seq=9, held=[(0, 9)], live_ms=1))
    assert (row.lost_at_reset, row.pending) == (0, 10)


def test_many_boots_cost_so_many_times_what_one_costs():
    assert steps_to_account_for(1000) < 12 * steps_to_account_for(100)


def test_two_resets_in_a_row_leave_a_loss_without_a_bound():
    rows = account([boot(1, next_seq=50, stored=[(0, 40)]), boot(2, next_seq=1), boot(3, stored=[(0, 9)])])
    assert rows[0].lost_at_reset == 10 and rows[0].bound_s is None
    assert rows[1].lost_at_reset == 1
    assert all(row.balanced for row in rows)


def test_a_boot_that_never_met_the_agent_is_in_the_account_by_its_successors_word():
    row = only(boot(1, said=[Statement(7, False, 1)]), boot(2, stored=[(0, 1)]))
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
    other = boot(1, stored=[(0, 4)], delivered=1)
    other.node = b"node-two"
    ledger = Ledger(account([other, boot(1, stored=[(0, 2)])]))
    assert [row.current for row in ledger.rows] == [True, True]
    assert ledger.totals["produced"] == 6 and ledger.totals["delivered"] == 1 and ledger.balanced
    json.dumps(ledger.as_dict())


# Boots that are known by hearsay


def by_counter(facts, *summaries):
    rows = account(facts, {NODE: summaries})
    for row in rows:
        assert row.produced == sum(getattr(row, part) for part in PARTS)
    assert sum(row.boots for row in rows) == facts[-1].counter, "every boot is in one row"
    return [(row.what, row.counter, row.last, row.boots, row.lost_at_reset, row.bound_s) for row in rows]


def test_boots_of_which_nothing_arrived_are_a_row():
    rows = by_counter([boot(3, stored=[(0, 1)]), boot(4, stored=[(0, 1)]), boot(7, stored=[(0, 1)])])
    assert rows == [
        ("gap", 1, 2, 2, 0, None),
        ("boot", 3, 3, 1, 0, None),
        ("boot", 4, 4, 1, 0, None),
        ("gap", 5, 6, 2, 0, None),
        ("boot", 7, 7, 1, 0, None),
    ]
    ledger = Ledger(account([boot(7, stored=[(0, 1)])]))
    assert ledger.unheard_boots == ledger.as_dict()["unheard_boots"] == 6 and ledger.balanced


def test_boots_that_are_spoken_of_together_are_a_row_of_what_is_not_in_others():
    facts = [
        boot(1, said=[Statement(10, False, 35)]),
        boot(3, next_seq=8, stored=[(0, 8)]),
        boot(6, stored=[(0, 1)]),
    ]
    assert by_counter(facts, Summary(1, 5, 100, 175)) == [
        ("summary", 1, 5, 3, 82, 140),
        ("boot", 1, 1, 1, 10, 35),
        ("boot", 3, 3, 1, 0, 175),
        ("boot", 6, 6, 1, 0, None),
    ]


def test_a_summary_that_has_grown_is_one_row():
    now = boot(9, stored=[(0, 1)])
    grown = [Summary(1, 3, 10, 70), Summary(1, 5, 12, 140), Summary(1, 4, 10, 105)]
    assert by_counter([now], *grown) == [
        ("summary", 1, 5, 5, 12, 140),
        ("gap", 6, 8, 3, 0, None),
        ("boot", 9, 9, 1, 0, None),
    ]
    assert not any(row.contradiction for row in account([now], {NODE: grown}))


def test_summaries_that_contradict_each_other_lower_nothing_and_are_named():
    now = boot(7, stored=[(0, 1)])
    for odd in (Summary(4, 6, 1, 1), Summary(2, 3, 90, 1), Summary(1, 5, 80, 9)):
        rows = account([now], {NODE: [Summary(1, 5, 50, 175), odd]})
        told = next(row for row in rows if row.what == "summary")
        assert told.contradiction and told.produced == max(50, odd.known) and told.bound_s == 175
    stated = boot(2, said=[Statement(60, True, 0)])
    told = next(r for r in account([stated, now], {NODE: [Summary(1, 6, 50, 9)]}) if r.what == "summary")
    assert told.contradiction and told.produced == 0


def test_a_summary_without_a_bound_stays_without_one():
    rows = account([boot(9, stored=[(0, 1)])], {NODE: [Summary(1, 8, 5, UNBOUNDED)]})
    assert rows[0].bound_s == UNBOUNDED


def test_a_clean_end_that_frames_contradict_is_named():
    row = only(boot(1, stored=[(0, 9)], said=[Statement(7, True, 0)]), boot(2, stored=[(0, 1)]))
    assert "ended in order with 7" in row.contradiction and row.produced == 9


def test_a_boot_counter_used_twice_is_named():
    twin = boot(1, stored=[(0, 2)])
    twin.boot = twin.boot[:4] + b"87654321"
    rows = account([boot(1, stored=[(0, 2)]), twin, boot(2, stored=[(0, 1)])])
    assert "the same number" in rows[1].contradiction and not rows[0].contradiction
    assert Ledger(rows).contradictions == 1


def test_a_riddle_stays_one_after_a_reset_and_only_what_was_held_went_with_it():
    facts = {"next_seq": 30, "held": [(25, 5)], "stored": [(0, 10), (25, 20)], "delivered": 30}
    old = {"live_ms": 0, "heard_ms": SETTLED_MS, "said": [Statement(50, False, 1)], "listed": False}
    row = only(boot(1, **facts, **old), boot(2, stored=[(0, 1)]))
    assert (row.unexplained, row.lost_at_reset, row.balanced) == (15, 5, False)
    unsettled = {**old, "heard_ms": SETTLED_MS - 1}
    row = only(boot(1, **facts, **unsettled), boot(2, stored=[(0, 1)]))
    assert (row.unexplained, row.lost_at_reset, row.balanced) == (0, 20, True)


def test_a_reset_with_an_empty_outbox_took_nothing():
    row = only(
        boot(1, next_seq=5, stored=[(0, 40)], delivered=40, said=[Statement(40, False, 1)]),
        boot(2, stored=[(0, 1)]),
    )
    assert (row.produced, row.delivered, row.lost_at_reset, row.bound_s) == (40, 40, 0, 1)


def test_statements_are_readable_in_json():
    detail: dict[Any, Any] = {"node": NODE, "ranges": [[0, 4]], 3: (b"\x01",)}
    told = Ledger((), (("frames_lost", detail, 5),)).as_dict()
    assert told["statements"][0]["detail"] == {"node": NODE.hex(), "ranges": [[0, 4]], "3": ["01"]}
