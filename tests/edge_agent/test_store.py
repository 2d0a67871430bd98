"""The store: frames once, groups whole, what nodes say kept; a full disk and kill -9 lose nothing."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from edge_agent.ledger.hearsay import Summary
from edge_agent.store import store as store_module
from edge_agent.store.errors import StoreError, StoreUnwritable
from edge_agent.store.items import Count, Entry, Frame, Held, Hello, Outcome
from edge_agent.store.opening import open_store
from edge_agent.store.rows import journal_rows
from protocol import cbor
from tests.edge_agent.store_kit import AGENT, BOOT, NEXT, NODE, frame, reopened, same_facts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.db"


@pytest.fixture
def store(path):
    store, opening = open_store(path, AGENT, 1)
    assert opening.created and not opening.message
    yield store
    store.close()


def test_a_frame_is_stored_once(store, path):
    assert store.commit([frame(0), frame(1)]) == [Outcome.STORED] * 2
    assert store.commit([frame(1), frame(2), frame(2)]) == [Outcome.RESENT, Outcome.STORED, Outcome.RESENT]
    (row,) = store.ledger().rows
    assert (row.produced, row.pending, row.resent, row.duplicates) == (3, 3, 2, 0)
    same_facts(store, path)


def test_other_content_under_the_same_number_is_a_conflict_and_never_overwrites(store, path):
    store.commit([frame(0)])
    assert store.commit([frame(0, text=b"other"), frame(0, text=b"other")]) == [Outcome.CONFLICT] * 2
    (row,) = store.ledger().rows
    assert row.conflicts == 1 and row.resent == 0
    assert [row.data for row in journal_rows(store.db, 0, 9)] == [b"plaintext 0"]
    (kept,) = store.db.execute("SELECT data FROM conflicts").fetchone()
    assert kept == b"other"
    same_facts(store, path)


def test_the_same_number_of_another_boot_or_node_is_another_frame(store):
    assert store.commit([frame(0), frame(0, NEXT), frame(0, node=b"node-two")]) == [Outcome.STORED] * 3


def test_hellos_losses_statements_and_counts_are_kept(store, path):
    store.commit(
        [
            Hello(NODE, b"e" * 32, b"x" * 32, 1, 4),
            frame(0),
            frame(3, losses=((1, 2, 1),)),
            Held(NODE, ((BOOT, 9, ((7, 2),)),), 55),
            Count("bad_tag", 2),
            Count("bad_tag", 1),
        ]
    )
    store.commit([Hello(NODE, b"e" * 32, b"x" * 32, 2, 1), frame(0, NEXT, previous=(BOOT, 12, False, 3))])
    assert store.hellos == {NODE: (2, 1)} and store.counters == {"bad_tag": 3}
    old, new = store.ledger().rows
    assert (old.produced, old.evicted, old.lost_at_reset, old.bound_s) == (12, 2, 6, 3)
    assert old.pending == 2 + 2 and new.current
    same_facts(store, path)


def test_what_a_node_gave_up_of_an_earlier_boot_counts_there(store, path):
    store.commit([Held(NODE, ((BOOT, 9, ((0, 9),)),), 5), frame(0), frame(8)])
    store.commit([frame(0, NEXT, previous=(BOOT, 9, True, 0), lost_before=((BOOT, 1, 7, 1),))])
    store.commit([Held(NODE, ((NEXT, 1, ((0, 1),)),), 6)])
    old, new = store.ledger().rows
    assert (old.produced, old.evicted, old.lost_at_reset, old.unexplained) == (9, 7, 0, 0)
    assert new.evicted == 0
    same_facts(store, path)


def test_a_boot_that_the_node_no_longer_lists_is_no_longer_held(store, path):
    store.commit([Held(NODE, ((BOOT, 9, ((0, 9),)),), 5), frame(0, NEXT, previous=(BOOT, 9, True, 0))])
    assert store.ledger().rows[0].pending == 9
    store.commit([Held(NODE, ((NEXT, 1, ((0, 1),)),), 6)])
    assert store.ledger().rows[0].lost_at_reset == 9
    same_facts(store, path)


def test_what_is_said_of_earlier_boots_is_taken_once_and_survives(store, path):
    third, fourth, fifth = (n.to_bytes(4, "big") + bytes(8) for n in (3, 4, 5))
    one, two = (BOOT, 0, False, 35), (NEXT, 12, True, 0)
    store.commit([frame(0, third, previous=two, earlier=(one,))])
    rows = store.ledger().rows
    assert [(row.counter, row.produced, row.lost_at_reset, row.bound_s) for row in rows[:2]] == [
        (1, 0, 0, 35),
        (2, 12, 12, 0),
    ]
    # The same again, by two more boots, and put together by a third.
    store.commit([frame(0, fourth, previous=(third, 1, False, 1), earlier=(one, two))])
    store.commit(
        [
            frame(
                0,
                fifth,
                previous=(fourth, 9, False, 1),
                earlier=(Summary(1, 2, 12, 35), (third, 1, False, 1)),
            )
        ]
    )
    after = store.ledger()
    assert [(row.counter, row.what) for row in after.rows] == [(n, "boot") for n in range(1, 6)]
    assert after.rows[:2] == rows[:2] and after.balanced and not after.statements
    assert not any(row.contradiction for row in after.rows)
    same_facts(store, path)


def test_statements_that_contradict_each_other_are_kept_named_and_lower_nothing(store, path):
    third, fourth = (n.to_bytes(4, "big") + bytes(8) for n in (3, 4))
    store.commit([frame(0, NEXT, previous=(BOOT, 50, True, 0))])
    store.commit([frame(0, third, earlier=((BOOT, 40, False, 35),), previous=(NEXT, 1, True, 0))])
    store.commit([frame(0, fourth, earlier=((BOOT, 40, False, 35),), previous=(third, 1, True, 0))])
    ledger = store.ledger()
    row = ledger.rows[0]
    assert (row.produced, row.lost_at_reset, row.clean, row.bound_s) == (50, 50, False, 35)
    assert "2 different statements" in row.contradiction and ledger.balanced
    ((code, detail, _),) = ledger.statements
    assert code == "statements_contradict" and detail["said"] == [[50, True, 0], [40, False, 35]]
    same_facts(store, path)


def test_a_node_that_says_something_else_each_time_makes_no_statement_ever_longer(store, path):
    said = [(BOOT, n, True, 0) for n in range(1, 41)]
    for seq, one in enumerate(said):
        store.commit([frame(seq, NEXT, previous=one)])
    told = [
        detail["said"] for code, detail, _ in store.ledger().statements if code == "statements_contradict"
    ]
    assert len(told) == 39 and max(map(len, told)) == 16
    assert [one[-1][0] for one in told] == list(range(2, 41)), "the new one is named"
    assert all(one[:2] == [[1, True, 0], [2, True, 0]] for one in told), "and what it contradicts"
    assert "40 different statements" in store.ledger().rows[0].contradiction
    same_facts(store, path)


def test_a_statement_of_a_boot_that_is_not_earlier_is_named_and_not_believed(store, path):
    ninth = (9).to_bytes(4, "big") + bytes(8)
    store.commit([frame(0, NEXT, previous=(ninth, 7, True, 0), earlier=(Summary(1, 2, 5, 5),))])
    ledger = store.ledger()
    assert [(row.counter, row.what, row.current) for row in ledger.rows] == [
        (1, "gap", False),
        (2, "boot", True),
    ]
    assert [code for code, _, _ in ledger.statements] == ["statement_of_a_later_boot"] * 2
    same_facts(store, path)


def test_a_riddle_is_not_solved_by_a_reset(store, path):
    """What the node no longer held while it ran did not go with its RAM."""
    later = 60_000
    store.commit([Held(NODE, ((BOOT, 30, ((25, 5),)),), 1000)])
    store.commit([Frame(NODE, BOOT, n, b"x", 1000 + later) for n in (*range(10), *range(25, 45))])
    assert store.ledger().rows[0].unexplained == 15
    store.commit([Held(NODE, ((NEXT, 1, ((0, 1),)),), 90_000), frame(0, NEXT, previous=(BOOT, 50, False, 1))])
    row = store.ledger().rows[0]
    assert (row.unexplained, row.lost_at_reset, row.pending, row.balanced) == (15, 5, 30, False)
    same_facts(store, path)


def test_a_full_disk_stops_everything_and_loses_nothing(store, path):
    store.commit([frame(n) for n in range(10)])
    pages = store.db.execute("PRAGMA page_count").fetchone()[0]
    store.db.execute(f"PRAGMA max_page_count = {pages + 1}").fetchall()
    facts = repr(store.facts)
    group = [frame(n, text=bytes(3000)) for n in range(10, 40)]
    with pytest.raises(StoreUnwritable, match="full") as caught:
        store.commit([*group, Count("x", 1), Held(NODE, ((NEXT, 9, ()),), 5)])
    assert "space" in caught.value.hint
    assert repr(store.facts) == facts and not store.counters
    store.db.execute("PRAGMA max_page_count = 100000").fetchall()
    assert store.commit(group) == [Outcome.STORED] * 30
    again = same_facts(store, path)
    assert again.frames == 40


def test_what_was_committed_survives_kill_9(path):
    """A writer killed at a random moment: every frame that it acknowledged is there, no half groups."""
    code = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from edge_agent.store.opening import open_store
        from edge_agent.store.store import Frame
        path, first = Path(sys.argv[1]), int(sys.argv[2])
        store, opening = open_store(path, b"agent-01", 1)
        assert not opening.message, opening.message
        n = first
        while True:
            store.commit([Frame(b"node-one", bytes(12), n + i, b"x" * 200, 1) for i in range(5)])
            n += 5
            sys.stdout.write(f"{n}\\n")
            sys.stdout.flush()
        """
    )
    acked = 0
    for lines in (1, 40, 160):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(path), str(acked)], stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert child.stdout is not None
        for _ in range(lines):
            assert child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().split(b"\n")
        child.wait()
        child.stdout.close()
        found, opening = reopened(path)
        (facts,) = found.facts.values()
        told = [int(line) for line in rest[:-1] if line]
        assert facts.stored.count == facts.stored.end and facts.stored.count % 5 == 0
        assert facts.stored.count >= max([acked + 5 * lines, *told]) and not opening.message
        acked = facts.stored.count
        found.close()


def test_another_agents_store_is_left_alone(store, path):
    store.close()
    with pytest.raises(StoreError, match="key file"):
        open_store(path, b"agent-02", 2)
    assert path.exists()


def test_a_newer_versions_store_is_left_alone(store, path):
    store.db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreError, match="newer version"):
        open_store(path, AGENT, 2)
    assert path.exists()


def test_an_incident_of_a_running_store_looks_at_the_nodes_already_live(store):
    store.commit([frame(5), Held(NODE, ((BOOT, 8, ((6, 2),)),), 9)])
    store.declare("head_ahead", {"number": 3}, 10, "why")
    assert store.ledger().rows[0].lost_at_agent == 5


def test_an_entry_is_kept_in_order(store):
    data = cbor.dumps([3, "note", {"n": 1}])
    store.commit([frame(0), Entry(3, data, 5), frame(1)])
    kinds = [kind for (kind,) in store.db.execute("SELECT kind FROM journal ORDER BY id")]
    assert kinds == [0, 3, 0] and store.ledger().statements == (("note", {"n": 1}, 5),)


def test_the_log_that_sqlite_cuts_back_itself_is_no_damage(store):
    for turn in range(60):
        store.commit([frame(turn * 100 + n, text=bytes(8000)) for n in range(100)])


def test_what_contradicts_the_first_content_is_kept_up_to_a_bound(store, path, monkeypatch):
    monkeypatch.setattr(store_module, "MOST_CONFLICTS", 3)
    store.commit([frame(0), frame(1), frame(0, NEXT)])
    first = [frame(0, text=b"other %d" % n) for n in range(2)]
    assert store.commit(first) == [Outcome.CONFLICT] * 2
    more = [frame(1, text=b"more %d" % n) for n in range(4)]
    assert store.commit([*more, frame(0, NEXT, b"another boot")]) == [Outcome.CONFLICT] * 5
    assert [facts.conflicts for facts in store.boots.values()] == [3, 1]
    assert store.db.value("SELECT count(*) FROM conflicts") == 4
    assert store.commit([frame(0), frame(2)]) == [Outcome.RESENT, Outcome.STORED]
    same_facts(store, path)
