"""What went by its age, and the chain: it goes on, is proved, and holds up no far end."""

import pytest

from edge_agent.custody.verify import verify
from edge_agent.keys import PublicKeys
from edge_agent.store.items import Entry
from edge_agent.store.retention import DAY_MS, Keeper, Limits
from edge_agent.store.rows import journal_rows
from edge_agent.store.schema import GONE_ERASED
from protocol import cbor
from tests.edge_agent.custody_kit import AGENT
from tests.edge_agent.fakes import StubCollector
from tests.edge_agent.test_withheld import Two


@pytest.fixture
def kit(tmp_path):
    made = Two(tmp_path / "agent.db")
    made.ask()
    yield made
    made.store.close()


def month(kit) -> Keeper:
    """A month in which nothing comes."""
    keeper = Keeper(kit.store, Limits(wave_days=7, retention_days=30), alone=False)
    kit.clock.now += 31 * DAY_MS
    while keeper.step(kit.clock.now):
        pass
    kit.custody.forget()
    return keeper


def deliver(kit) -> None:
    made = kit.make()
    kit.send("mqtt", *made)
    kit.send("file", *made)


def wrong(kit) -> list[str]:
    mqtt, other = (PublicKeys(*far.identity.public()) for far in (kit.far, kit.second))
    told = verify(kit.path, PublicKeys(*AGENT.public()), mqtt, others={"file": other})
    return [one.sentence for one in told if not one.good]


@pytest.mark.parametrize("restarted", [False, True])
def test_who_was_silent_for_longer_than_anything_is_kept_goes_on(kit, restarted):
    """The numbers of entries are never used again, whatever is left of the journal."""
    for _ in range(3):
        kit.frames(3)
        deliver(kit)
    assert month(kit).pruned == 2
    if restarted:
        kit.reopen()
        assert kit.opening.behind is None
        kit.ask()
    assert all(row.data is None for row in journal_rows(kit.store.db, 1, 99) if row.seq is not None)
    kit.frames(4)
    (batch,) = kit.make()
    assert kit.send("mqtt", batch)[0].new and kit.send("file", batch)[0].new
    assert kit.counted() == (13, 0)
    assert {seq for *_, seq in kit.far.frames} == set(range(13))


def test_statements_and_records_stay_provable(kit):
    kit.frames(3)
    kit.store.commit([Entry(3, cbor.dumps([3, "note", {}]), kit.clock())])
    deliver(kit)
    kit.frames(1)
    deliver(kit)
    assert month(kit).pruned == 0 and wrong(kit) == []


def test_what_is_withheld_can_be_sent_when_everything_else_of_its_batch_is_gone(kit):
    kit.barred = {"mqtt": {1}}
    kit.frames(3)
    deliver(kit)
    kit.frames(1)
    deliver(kit)
    month(kit)
    kit.barred = {}
    assert kit.custody.released("mqtt", 0, 9)[0] == [1]
    assert kit.send("mqtt", 1)[0].new and kit.noted() == 0 and kit.counted() == (4, 0)
    assert {seq for *_, seq in kit.far.frames} == {0, 1, 2, 3}
    month(kit)
    assert all(row.data is None for row in journal_rows(kit.store.db, 1, 3))


def test_no_far_end_waits_for_what_is_pruned(kit):
    """Neither one that lost it, nor one that is not required and was away for all that time."""
    for _ in range(3):
        kit.frames(2)
        deliver(kit)
    assert month(kit).pruned == 2
    assert kit.custody.chain.unreceipted("fhir", 9) == [3]
    kit.far = StubCollector(AGENT)
    kit.reopen()
    assert kit.ask().resend == (3,)
    assert kit.send("mqtt", 3)[0].what == "receipt"


def test_a_store_of_which_much_is_gone_by_age_is_sound(kit):
    """Batches of which a receipt lacks an entry, and those that a far end that is not required never got."""
    for n in range(4):
        kit.frames(3)
        made = kit.make()
        if n == 1:
            kit.take(made[0], 4, GONE_ERASED)
        kit.send("mqtt", *made)
        kit.send("file", *made)
    assert month(kit).pruned == 3 and wrong(kit) == []
    for batch in kit.custody.chain.unreceipted("fhir", 9):
        kit.custody.confirm("fhir", batch, b"201", set())
    assert kit.custody.chain.cursor("fhir") == 4 and wrong(kit) == []
