"""Custody: what is signed into batches, and which receipts count as delivery."""

import pytest

from edge_agent.custody.verify import verify
from edge_agent.keys import PublicKeys
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.items import Entry
from protocol import batch as wire
from protocol import cbor
from protocol.records import make_assignment, make_manual
from tests.edge_agent.custody_kit import AGENT, NODE, Kit
from tests.edge_agent.fakes import StubCollector


@pytest.fixture
def kit(tmp_path):
    kit = Kit(tmp_path / "agent.db")
    yield kit
    kit.store.close()


def test_no_batch_before_the_collector_has_answered(kit):
    kit.frames(3)
    assert kit.make() == [] and kit.custody.asking
    assert kit.ask().what == "head"
    assert len(kit.make()) == 1


def test_batches_follow_each_other_and_hold_everything_in_order(kit):
    kit.ask()
    kit.frames(30, 2000)
    kit.store.commit([Entry(3, cbor.dumps([3, "note", {}]), 5)])
    kit.frames(3)
    made = kit.make()
    assert len(made) > 2 and kit.make() == []
    assert all(v.what == "receipt" and v.new for v in kit.deliver(*made))
    entries = [e for b in kit.far.batches.values() for e in b.parsed]
    assert entries[0] == [1, NODE.id, NODE.ed_pub, NODE.x_pub]
    assert [e[3] for e in entries if e[0] == 0] == list(range(33))
    assert [e[0] for e in entries].count(1) == 1 and entries[31][1] == "note"
    previous = bytes(32)
    for number, (key, batch) in enumerate(kit.far.batches.items()):
        assert key[1] == number and batch.previous == previous
        previous = batch.head_hash
    (row,) = kit.store.ledger().rows
    assert (row.delivered, row.pending) == (33, 0)
    assert kit.custody.chain.cursor("mqtt") == made[-1] and kit.custody.chain.unreceipted("mqtt", 9) == []


def test_a_batch_keeps_to_its_size(kit):
    kit.ask()
    kit.frames(40, 3000)
    for batch in kit.make():
        assert len(kit.custody.message("mqtt", batch)) < 20_000 + 3000


def test_a_restart_goes_on_with_the_next_number(kit):
    kit.ask()
    kit.frames(3)
    kit.deliver(*kit.make())
    kit.frames(2)
    kit.make()
    kit.reopen()
    kit.frames(4)
    assert kit.custody.asking and kit.custody.chain.unreceipted("mqtt", 9) == [2]
    kit.ask()
    kit.deliver(2, *kit.make())
    assert sorted(n for _, n in kit.far.batches) == [0, 1, 2] and len({c for c, _ in kit.far.batches}) == 1
    assert kit.store.ledger().totals["delivered"] == 9 and kit.far.duplicates == 0


def test_receipts_out_of_order_move_the_cursor_only_when_the_gap_closes(kit):
    kit.ask()
    for _ in range(4):
        kit.frames(1)
        kit.make()
    chain = kit.custody.chain
    kit.deliver(3, 2)
    assert chain.cursor("mqtt") == 0 and chain.unreceipted("mqtt", 9) == [1, 4]
    kit.deliver(1)
    assert chain.cursor("mqtt") == 3
    kit.deliver(4)
    assert chain.cursor("mqtt") == 4


def test_the_same_receipt_again_changes_nothing(kit):
    kit.ask()
    kit.frames(2)
    kit.make()
    assert [v.new for v in kit.deliver(1, 1)] == [True, False]
    assert kit.custody.chain.counts["receipts"] == 1


def test_forged_receipts_deliver_nothing(kit):
    kit.ask()
    kit.frames(2)
    kit.make()
    batch = wire.parse_batch(
        wire.open_batch(kit.custody.message("mqtt", 1), kit.far.identity)[1], AGENT.ed_pub, AGENT.id
    )
    stranger = StubCollector(AGENT, 55)
    good = kit.far.receipt(batch)
    causes = [
        kit.custody.take(message, "mqtt").cause
        for message in (
            stranger.receipt(batch),
            good[:-1] + bytes([good[-1] ^ 1]),
            good[:50],
            b"",
            b"\xff",
            wire.make_receipt(kit.far.identity, b"somebody", batch.chain_id, 0, batch.head_hash, 3, 0, 1),
            wire.make_receipt(kit.far.identity, AGENT.id, b"chain--9", 0, batch.head_hash, 3, 0, 1),
            wire.make_receipt(kit.far.identity, AGENT.id, batch.chain_id, 0, batch.head_hash, 1, 0, 1),
            wire.make_head_statement(kit.far.identity, AGENT.id, None, 0, 0, 1, b"other nonce 1234"),
        )
    ]
    assert causes[0] == causes[1] == "bad_signature" and all(causes)
    assert causes[5:] == ["wrong_agent", "unknown_batch", "wrong_count", "unasked_head"]
    assert kit.store.ledger().totals["delivered"] == 0 and kit.custody.chain.counts["receipts"] == 0
    assert kit.custody.take(good, "mqtt").what == "receipt"


def test_a_refusal_is_a_hint_and_no_more(kit):
    kit.ask()
    kit.frames(1)
    kit.make()
    kit.far.refuse = "bad_seal"
    (verdict,) = kit.deliver(1)
    assert (verdict.what, verdict.cause, len(verdict.refused)) == ("refusal", "bad_seal", 32)
    assert kit.custody.chain.unreceipted("mqtt", 9) == [1]


def test_without_a_collector_batches_are_signed_and_chained_all_the_same(tmp_path):
    kit = Kit(tmp_path / "agent.db", collector=False)
    kit.frames(2)
    assert len(kit.make()) == 1
    kit.store.close()
    kit.configured = True
    kit.open()
    kit.ask()
    kit.frames(1)
    kit.deliver(1, *kit.make())
    assert len({c for c, _ in kit.far.batches}) == 1 and kit.store.ledger().totals["delivered"] == 3
    kit.store.close()


def test_a_full_disk_makes_no_batch_and_no_gap(kit):
    kit.ask()
    kit.frames(400, 3000)
    pages = kit.store.db.execute("PRAGMA page_count").fetchone()[0]
    kit.store.db.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    with pytest.raises(StoreUnwritable):
        for n in range(500):
            kit.custody.chain.begin(b"%08d" % n, None, "x" * 500, 1)
    with pytest.raises(StoreUnwritable):
        while kit.custody.make():
            pass
    kit.store.db.execute("PRAGMA max_page_count = 100000").fetchall()
    kit.make()
    kit.deliver(*kit.custody.chain.unreceipted("mqtt", 999))
    assert kit.store.ledger().totals["delivered"] == 400


def test_records_of_people_pass_through_byte_for_byte(kit):
    """And so does a kind of entry that no version has yet."""
    assignment = make_assignment(AGENT, NODE.id, bytes(16), 1, 2, b"record-1")
    manual = make_manual(AGENT, bytes(16), [(1, 720)], 1, 2, b"record-2")
    entries = [wire.assignment_entry(assignment), wire.manual_entry(manual), cbor.dumps([77, "later"])]
    kit.ask()
    kit.store.commit([Entry(kind, data, 1) for kind, data in zip((4, 5, 77), entries, strict=True)])
    kit.frames(1)
    (verdict,) = kit.deliver(*kit.make())
    assert verdict.what == "receipt" and verdict.new
    (batch,) = kit.far.batches.values()
    assert [entry for entry in batch.entries if entry in entries] == entries
    assert all(result.good for result in verify(kit.path, PublicKeys(*AGENT.public()), None)[:4])
