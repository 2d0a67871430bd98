"""Custody: what is signed, what a collector's answer changes, and when a new chain begins."""

import pytest

from edge_agent.custody import Begin, Cited, Continue, Custody, Named, decide
from edge_agent.keys import PublicKeys
from edge_agent.store.chain import Tip
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.opening import open_store
from edge_agent.store.store import Entry, Frame, Hello
from protocol import batch as wire
from protocol import cbor
from tests.edge_agent.fakes import StubCollector, identity

AGENT = identity(7)
NODE = identity(8)
BOOT = b"\0\0\0\1" + bytes(8)
CHAIN, OTHER = b"chain--1", b"chain--2"
H1, H2, H3 = b"1" * 32, b"2" * 32, b"3" * 32


class Clock:
    now = 1_790_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


class Kit:
    """A store with its custody, and a collector that hears only what the test passes on."""

    def __init__(self, path, collector: bool = True) -> None:
        self.path = path
        self.far = StubCollector(AGENT)
        self.configured = collector
        self.clock = Clock()
        self.next = 0
        self.open()

    def open(self) -> "Kit":
        self.store, self.opening = open_store(self.path, AGENT.id, self.clock())
        keys = PublicKeys(*self.far.identity.public()) if self.configured else None
        self.custody = Custody(self.store, AGENT, keys, 20_000, self.clock)
        self.store.commit([Hello(NODE.id, NODE.ed_pub, NODE.x_pub, 1, 1)])
        return self

    def reopen(self) -> "Kit":
        self.store.close()
        return self.open()

    def frames(self, n: int, size: int = 50) -> None:
        group = [Frame(NODE.id, BOOT, self.next + i, bytes(size), self.clock()) for i in range(n)]
        self.next += n
        self.store.commit(group)

    def ask(self):
        return self.custody.take(self.far.take("ask", self.custody.question()) or b"", "mqtt")

    def make(self) -> list[int]:
        made = []
        while (batch := self.custody.make()) is not None:
            made.append(batch[0])
        return made

    def deliver(self, *batches: int):
        return [
            self.custody.take(self.far.take("batch", self.custody.message(b)) or b"", "mqtt") for b in batches
        ]

    def heads(self) -> list[dict]:
        rows = self.store.db.execute("SELECT signed FROM batches ORDER BY id").fetchall()
        return [wire.parse_head(wire.verify_head(signed, AGENT.ed_pub)) for (signed,) in rows]


@pytest.fixture
def kit(tmp_path):
    kit = Kit(tmp_path / "agent.db")
    yield kit
    kit.store.close()


def named(batch: Tip, ours: bytes | None, highest: Tip | None = None) -> Named:
    return Named(batch, ours, highest or batch)


def test_the_table_of_decisions():
    tip = Tip(CHAIN, 5, H1)
    assert decide(None, None, [], False) == Begin(None, None)
    assert decide(tip, None, [], False) == Continue(False)
    assert decide(tip, None, [], True) == Continue(True)
    assert decide(tip, "why", [], False) == Begin(Cited(CHAIN, 5, H1), "why")
    assert decide(Tip(CHAIN, -1, bytes(32)), "why", [], False) == Begin(None, "why")
    third = Tip(CHAIN, 3, H2)
    assert decide(tip, None, [named(third, H2)], False) == Continue(False)
    assert decide(tip, "why", [named(third, H2)], False) == Begin(Cited(CHAIN, 3, H2), "why")
    fork = decide(tip, None, [named(third, H1)], False)
    assert isinstance(fork, Begin) and fork.fork == Tip(CHAIN, 3, H1) and fork.theirs == H2
    assert fork.cited == (CHAIN, 3, H2) and "fork" in str(fork.reason)
    for head in (Tip(CHAIN, 9, H2), Tip(OTHER, 0, H2)):
        unknown = decide(tip, None, [named(head, None)], False)
        assert isinstance(unknown, Begin) and unknown.cited == tuple(head)
        assert unknown.incident == "store_behind_collector" and "store_behind_collector" in str(
            unknown.reason
        )
        assert decide(None, None, [named(head, None)], False) == unknown
        assert decide(tip, "set aside", [named(head, None)], False) == Begin(Cited(*head), "set aside")


def test_the_table_of_decisions_behind_a_hole():
    tip, before, beyond = Tip(CHAIN, 5, H1), Tip(CHAIN, 3, H2), Tip(CHAIN, 9, H3)
    for said in (
        [named(before, H2, beyond), named(beyond, None)],
        [named(beyond, None)],  # the chain's beginning is missing, too
        [named(Tip(OTHER, 0, H2), H2), named(beyond, None)],  # not the newest chain, but the one we are on
    ):
        unknown = decide(tip, None, said, True)
        assert isinstance(unknown, Begin) and unknown.cited == beyond
        assert unknown.incident == "store_behind_collector" and "batch 9" in str(unknown.reason)
    assert decide(tip, None, [named(before, H2, beyond), named(beyond, H3)], True) == Continue(True)
    # What a chain follows is the highest that is known, whatever is wrong.
    assert decide(tip, "why", [named(before, H2, beyond), named(beyond, None)], False) == Begin(
        Cited(*beyond), "why"
    )
    fork = decide(tip, None, [named(before, H1, beyond), named(beyond, None)], False)
    assert isinstance(fork, Begin) and fork.cited == beyond
    assert (fork.fork, fork.theirs) == (Tip(CHAIN, 3, H1), H2)


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
        assert len(kit.custody.message(batch)) < 20_000 + 3000


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
        wire.open_batch(kit.custody.message(1), kit.far.identity)[1], AGENT.ed_pub, AGENT.id
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


def test_a_restored_backup_begins_a_new_chain_that_cites_the_collectors_head(kit, tmp_path):
    kit.ask()
    kit.frames(2)
    kit.deliver(*kit.make())
    kit.store.close()
    backup = kit.path.read_bytes()
    kit.open()
    kit.ask()
    kit.frames(2)
    kit.deliver(*kit.make())
    kit.store.close()
    kit.path.write_bytes(backup)
    kit.path.with_name("agent.db-mark").unlink()
    kit.open()
    kit.frames(1)
    verdict = kit.ask()
    assert "store_behind_collector" in verdict.detail
    kit.deliver(*kit.make())
    newest = kit.heads()[-1]
    assert newest[4] == 0 and newest[9][1] == 1 and "batch 1" in newest[10]
    codes = [code for code, _, _ in kit.store.ledger().statements]
    assert codes == ["store_behind_collector"]
    assert len({c for c, _ in kit.far.batches}) == 2


def test_a_store_behind_its_mark_begins_a_new_chain_without_a_collector_too(tmp_path):
    kit = Kit(tmp_path / "agent.db", collector=False)
    kit.frames(2)
    kit.make()
    kit.store.close()
    backup = kit.path.read_bytes()
    kit.open()
    kit.frames(2)
    kit.make()
    kit.store.close()
    kit.path.write_bytes(backup)
    kit.open()
    assert "store_behind" in kit.opening.message
    kit.make()
    newest = kit.heads()[-1]
    assert newest[4] == 0 and newest[9][1] == 0 and "store_behind" in newest[10]
    kit.store.close()


def test_a_store_set_aside_begins_a_new_chain_that_says_why(kit):
    kit.ask()
    kit.frames(2)
    kit.deliver(*kit.make())
    cited = kit.far.newest
    kit.store.close()
    kit.path.write_bytes(kit.path.read_bytes()[:3000])
    kit.open()
    kit.frames(1)
    kit.ask()
    kit.deliver(*kit.make())
    (head,) = kit.heads()
    assert head[9] == list(cited) and head[10].startswith("store_set_aside: truncated")
    batch = kit.far.batches[head[3], 0]
    statement = next(e for e in batch.parsed if e[0] == 3)
    assert statement[1] == "store_set_aside" and statement[2]["file"] == "agent.db.corrupt-1"
    kit.reopen()
    kit.ask()
    assert kit.custody.chain.counts["chains"] == 1


def test_a_new_chain_introduces_its_nodes_again(kit):
    kit.ask()
    kit.frames(1)
    kit.make()
    kit.far.newest = (OTHER, 4, H2)
    kit.reopen()
    kit.frames(1)
    kit.ask()
    kit.make()
    kit.deliver(1, 2)
    for batch in kit.far.batches.values():
        assert batch.parsed[0][0] == 1


def test_a_fork_on_start(kit):
    kit.ask()
    kit.frames(1)
    kit.deliver(*kit.make())
    kit.far.newest = (kit.far.newest[0], 0, H2)
    kit.reopen()
    kit.ask()
    assert kit.custody.chain.counts["forks"] == 1 and kit.custody.chain.counts["chains"] == 2


def test_a_fork_while_running_is_kept_told_and_left(kit):
    kit.ask()
    kit.frames(1)
    kit.make()
    (head,) = kit.heads()
    receipt = wire.make_receipt(kit.far.identity, AGENT.id, head[3], 0, H2, 2, 0, 1)
    assert kit.custody.take(receipt, "mqtt").cause == "fork"
    assert kit.custody.take(receipt, "mqtt").cause == "fork"
    assert kit.custody.chain.counts["forks"] == 1 and kit.custody.chain.counts["chains"] == 2
    kit.frames(1)
    kit.make()
    newest = kit.heads()[-1]
    assert newest[4] == 0 and newest[9] == [head[3], 0, H2] and "fork" in newest[10]
    assert [code for code, _, _ in kit.store.ledger().statements] == ["fork"]


def test_a_receipt_for_a_number_not_yet_made_means_that_somebody_else_signs_with_our_key(kit):
    kit.ask()
    kit.frames(1)
    kit.make()
    (head,) = kit.heads()
    receipt = wire.make_receipt(kit.far.identity, AGENT.id, head[3], 7, H2, 2, 0, 1)
    assert kit.custody.take(receipt, "mqtt").cause == "unknown_batch"
    assert kit.custody.chain.counts["chains"] == 2


def test_a_collector_that_lost_its_store_gets_everything_again(kit):
    kit.ask()
    for _ in range(3):
        kit.frames(1)
        kit.deliver(*kit.make())
    lost = kit.far
    kit.far = StubCollector(AGENT)
    kit.reopen()
    verdict = kit.ask()
    assert verdict.resend == (1, 2, 3) and kit.custody.chain.counts["chains"] == 1
    kit.deliver(*verdict.resend)
    assert kit.far.frames == lost.frames


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


def restored(kit, upto: int) -> None:
    """The collector goes back to a backup that ends with that batch."""
    kept = {key: batch for key, batch in kit.far.batches.items() if key[1] <= upto}
    chain, number = max(kept, key=lambda key: key[1])
    kit.far.newest = (chain, number, kept[chain, number].head_hash)
    kit.far.batches = kept
    kit.far.frames = {
        tuple(entry[1:4]): entry[4] for batch in kept.values() for entry in batch.parsed if entry[0] == 0
    }


def test_a_collector_restored_while_we_run_gets_again_what_it_lost(kit):
    kit.ask()
    for _ in range(4):
        kit.frames(2)
        kit.deliver(*kit.make())
    had = dict(kit.far.frames)
    restored(kit, 1)
    kit.custody.ask_again(same_connection=False)
    kit.frames(1)
    assert len(kit.make()) == 1, "batches go on while the question is open"
    verdict = kit.ask()
    assert verdict.resend == (3, 4) and verdict.alarming and "2 batches" in verdict.detail
    assert kit.custody.sent_again == 2 and "sent again" in kit.custody.collector_said
    kit.deliver(*verdict.resend, 5)
    assert had.items() <= kit.far.frames.items() and len(kit.far.frames) == 9
    kit.custody.ask_again(same_connection=False)
    after = kit.ask()
    assert after.resend == () and not after.new and kit.custody.chain.counts["chains"] == 1


def test_on_the_same_connection_only_a_head_that_went_back_has_batches_sent_again(kit):
    kit.ask()
    for _ in range(3):
        kit.frames(1)
        kit.deliver(*kit.make())
    # Number 1 never arrived whole: what the collector states stands still, and that is no news each minute.
    chain = kit.far.newest[0]
    kit.far.newest = (chain, 0, kit.far.batches[chain, 0].head_hash)
    kit.custody.ask_again(same_connection=False)
    assert kit.ask().resend == (2, 3)
    for _ in range(2):
        kit.custody.ask_again(same_connection=True)
        assert kit.ask().resend == ()
    kit.far.newest = None
    kit.custody.ask_again(same_connection=True)
    assert kit.ask().resend == (1, 2, 3)


def test_a_late_answer_to_an_older_question_is_no_forgery(kit):
    late = kit.far.take("ask", kit.custody.question())
    kit.ask()
    kit.custody.ask_again(same_connection=False)
    assert kit.custody.take(late, "mqtt").what == "head" and kit.custody.unanswered


def test_another_agent_with_our_key_is_noticed_while_we_run(kit):
    kit.ask()
    kit.frames(1)
    kit.deliver(*kit.make())
    kit.far.newest = (OTHER, 3, H2)
    kit.custody.ask_again(same_connection=False)
    verdict = kit.ask()
    assert verdict.alarming and "another agent with the same key" in verdict.detail
    assert kit.custody.chain.counts["chains"] == 2
    # What the new chain cites is known from now on, before and after a restart.
    kit.custody.ask_again(same_connection=False)
    assert not kit.ask().alarming
    kit.reopen()
    assert "goes on" in kit.ask().detail and kit.custody.chain.counts["chains"] == 2


def test_numbers_behind_a_hole_are_not_used_again(kit):
    """Agent and collector are both restored: what they hold of the chain ends before what it had come to."""
    kit.ask()
    for _ in range(2):
        kit.frames(1)
        kit.deliver(*kit.make())
    chain = kit.far.newest[0]
    kit.far.highest = [(chain, 9, H2)]
    kit.reopen()
    kit.frames(1)
    verdict = kit.ask()
    assert "batch 9" in verdict.detail and verdict.resend == ()
    kit.make()
    newest = kit.heads()[-1]
    assert newest[3] != chain and newest[4] == 0 and newest[9] == [chain, 9, H2]
    # The collector says the same until the new chain has arrived, and that is no news.
    for _ in range(2):
        kit.custody.ask_again(same_connection=False)
        after = kit.ask()
        assert "goes on" in after.detail and not after.alarming
    kit.reopen()
    kit.ask()
    assert kit.custody.chain.counts["chains"] == 2
    kit.far.newest = kit.far.highest = None
    kit.deliver(3)
    kit.custody.ask_again(same_connection=False)
    assert "goes on" in kit.ask().detail and kit.custody.chain.counts["chains"] == 2
    assert [code for code, _, _ in kit.store.ledger().statements] == ["store_behind_collector"]


def test_numbers_are_not_used_again_when_the_chains_beginning_is_missing_too(kit):
    kit.ask()
    kit.frames(1)
    kit.deliver(*kit.make())
    chain = kit.far.newest[0]
    kit.far.newest, kit.far.highest = None, [(OTHER, 4, H1), (chain, 9, H2)]
    kit.reopen()
    kit.frames(1)
    verdict = kit.ask()
    assert "batch 4" in verdict.detail and verdict.resend == (1,)
    kit.make()
    assert kit.heads()[-1][9] == [OTHER, 4, H1]
    # We have left the other chain, so that its numbers are of no concern.
    kit.custody.ask_again(same_connection=False)
    assert "lacks 1" in kit.ask().detail and kit.custody.chain.counts["chains"] == 2


def test_our_own_chain_is_looked_at_when_it_is_not_the_collectors_newest(kit):
    kit.ask()
    kit.frames(1)
    kit.deliver(*kit.make())
    old = kit.far.newest
    kit.custody.chain.begin(CHAIN, None, "a second chain", 1)
    kit.frames(1)
    kit.deliver(*kit.make())
    kit.far.newest, kit.far.highest = old, [old, (CHAIN, 7, H2)]
    kit.reopen()
    kit.ask()
    kit.frames(1)
    kit.make()
    assert kit.heads()[-1][9] == [CHAIN, 7, H2] and kit.custody.chain.counts["chains"] == 3


def test_a_fork_behind_a_hole_is_kept_with_what_the_collector_holds(kit):
    kit.ask()
    for _ in range(2):
        kit.frames(1)
        kit.deliver(*kit.make())
    chain, _, digest = kit.far.newest
    kit.far.newest = (chain, 0, kit.far.batches[chain, 0].head_hash)
    kit.far.highest = [(chain, 1, H2)]
    kit.reopen()
    kit.ask()
    found = kit.store.db.execute("SELECT chain, number, ours, theirs FROM forks").fetchall()
    assert found == [(chain, 1, digest, H2)]
    kit.custody.ask_again(same_connection=False)
    kit.ask()
    assert kit.custody.chain.counts["chains"] == 2 and kit.custody.chain.counts["forks"] == 1
