"""Frames go into the store many at a time, and what is not signed yet is at hand without reading it again."""

import pytest

from edge_agent.store import bulk
from edge_agent.store.items import Count, Entry, Frame, Outcome
from edge_agent.store.rows import journal_rows
from tests.edge_agent.custody_kit import Kit

NODE, BOOT = b"n" * 8, b"\x00\x00\x00\x01" + b"b" * 8


@pytest.fixture
def store(tmp_path):
    return Kit(tmp_path / "agent.db").store


def frame(seq, plaintext=b"a frame", **more):
    return Frame(NODE, BOOT, seq, plaintext, 1000 + seq, **more)


def test_rows_are_in_the_order_of_the_items_whatever_is_between_them(store):
    between = [Entry(2, b"clock", 5), Count("x", 1), frame(200, losses=((90, 3, 0),)), frame(3)]
    items = [*[frame(n) for n in range(70)], *between, *[frame(n) for n in range(70, 90)]]
    before = store.last_journal
    outcomes = store.commit(items)
    assert outcomes == [Outcome.STORED] * 73 + [Outcome.RESENT] + [Outcome.STORED] * 20
    rows = list(journal_rows(store.db, before + 1, store.last_journal))
    seqs = [row.seq for row in rows]
    assert seqs == [*range(70), None, 200, *range(70, 90)]
    assert store.recent.between(before + 1, store.last_journal) == rows
    assert store.ledger().rows[0].resent == 1


def test_a_number_that_is_twice_in_a_group_is_stored_once(store):
    outcomes = store.commit([frame(1), frame(1), frame(1, b"another"), frame(2)])
    assert outcomes == [Outcome.STORED, Outcome.RESENT, Outcome.CONFLICT, Outcome.STORED]


def test_a_number_that_only_the_disk_knows_is_no_loss_to_its_neighbours(store):
    store.commit([frame(5)])
    store.boots[NODE, BOOT].stored = type(store.boots[NODE, BOOT].stored)()
    outcomes = store.commit([frame(n) for n in range(20)])
    assert outcomes == [Outcome.RESENT if n == 5 else Outcome.STORED for n in range(20)]
    assert store.db.value("SELECT count(*) FROM journal WHERE kind = 0") == 20


def test_what_is_at_hand_is_bounded_and_has_no_hole(store, monkeypatch):
    monkeypatch.setattr(bulk, "RECENT_BYTES", 100)
    store.commit([frame(n, b"x" * 30) for n in range(10)])
    last = store.last_journal
    assert store.recent.between(last - 9, last) is None and len(store.recent.between(last - 2, last)) == 3
    store.recent.signed(last - 1)
    assert store.recent.between(last - 1, last) is None
    with store.transaction() as db:
        db.execute("INSERT INTO journal(kind, data, made_ms) VALUES(3, x'00', 1)")
    store.last_journal += 1
    store.commit([frame(10)])
    assert store.recent.between(last, store.last_journal) is None


def test_what_was_erased_is_not_at_hand_any_more(store):
    store.commit([frame(n) for n in range(3)])
    last = store.last_journal
    store.erase([last])
    assert store.recent.between(last, last) is None
