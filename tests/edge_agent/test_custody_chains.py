"""When custody begins a new chain: the table of decisions, and every way to come to it."""

import pytest

from edge_agent.custody import clones
from edge_agent.custody.heads import Begin, Continue, Named, decide
from edge_agent.custody.verify import verify
from edge_agent.keys import PublicKeys
from edge_agent.store.chain import Cited, Tip
from protocol import batch as wire
from tests.edge_agent.custody_kit import AGENT, CHAIN, H1, H2, H3, OTHER, Kit


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


def test_another_agent_with_our_key_is_noticed_while_we_run(kit):
    kit.ask()
    kit.frames(1)
    kit.deliver(*kit.make())
    kit.far.newest = (OTHER, 3, H2)
    kit.custody.ask_again(same_connection=False)
    verdict = kit.ask()
    assert verdict.alarming and "another agent with the same key" in verdict.detail
    assert kit.custody.chain.counts["chains"] == 2
    assert clones.found(kit.store.db).times == 1 and clones.told(kit.store)["clone_ms"] is not None
    assert [code for code, _, _ in kit.store.ledger().statements] == ["clone"]
    kit.deliver(*kit.make())
    assert kit.heads()[-1][10].startswith("clone: ")
    # What the new chain cites is known from now on, before and after a restart.
    kit.custody.ask_again(same_connection=False)
    assert not kit.ask().alarming
    kit.reopen()
    assert "goes on" in kit.ask().detail and kit.custody.chain.counts["chains"] == 2
    assert clones.found(kit.store.db).times == 1, "a restart does not hide it"
    told = verify(kit.path, PublicKeys(*AGENT.public()), PublicKeys(*kit.far.identity.public()))
    assert "1 clone noted: another agent signed with this agent's key while this one ran." in [
        one.sentence for one in told if not one.good
    ]


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
