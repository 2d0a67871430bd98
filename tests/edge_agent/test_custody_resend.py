"""What is sent again to a collector that has lost some of what it had receipted."""

import pytest

from tests.edge_agent.custody_kit import AGENT, Kit
from tests.edge_agent.fakes import StubCollector


@pytest.fixture
def kit(tmp_path):
    kit = Kit(tmp_path / "agent.db")
    yield kit
    kit.store.close()


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
