"""A backlog of days goes out oldest first, and what is measured now does not wait for it."""

import pytest

from tests.edge_agent.custody_kit import Kit


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path / "agent.db")


def test_the_newest_batches_go_beside_the_oldest_of_a_backlog(kit):
    kit.ask()
    kit.frames(80, 3000)
    made = kit.make()
    assert len(made) > 10
    chain = kit.custody.chain
    assert chain.unreceipted("mqtt", 6) == [*made[:4], *made[-2:]]
    assert all(verdict.new for verdict in kit.deliver(*made[-2:]))
    assert chain.unreceipted("mqtt", 6) == [*made[:4], *made[-4:-2]] and chain.cursor("mqtt") == 0
    assert all(verdict.new for verdict in kit.deliver(*made[:-2]))
    assert chain.unreceipted("mqtt", 6) == [] and chain.cursor("mqtt") == made[-1]
    (row,) = kit.store.ledger().rows
    assert (row.delivered, row.pending) == (80, 0)


def test_few_batches_go_in_their_order(kit):
    kit.ask()
    kit.frames(30, 3000)
    made = kit.make()
    for limit in (1, 2, len(made), 100):
        assert kit.custody.chain.unreceipted("mqtt", limit) == made[:limit]
