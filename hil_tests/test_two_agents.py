"""One node and two agents on one cable, one after the other; then one of them is forgotten."""

import pytest

from hil_tests.stack import Stack


def count(stack: Stack, what: str) -> int:
    return stack.ledger()["totals"][what]


def delivers(stack: Stack, more: int = 25) -> None:
    """Wait until the agent of this stack has so many more frames receipted."""
    stack.wait_delivered(count(stack, "delivered") + more)


def unpaired(stack: Stack) -> list[str]:
    """The agents of which the node has told this one that they were un-paired."""
    told = stack.status()["nodes"][0]["events"]
    return [event["text"] for event in told if event["event"] == "unpaired from an agent"]


@pytest.fixture
def shared(make_node, make_stack):
    """A node that has delivered to agent A, and then to agent B, whose agent runs."""
    node = make_node().start()
    a = make_stack(node)
    a.wait_delivered(25)
    assert a.stop("agent") == 0
    node.bench.pins["BUTTON"] = 1
    b = make_stack(node)
    node.bench.pins["BUTTON"] = 0
    b.wait_delivered(25)
    return node, a, b


def test_each_agent_counts_what_the_other_has_and_an_unpaired_one_is_forgotten(shared) -> None:
    node, a, b = shared
    b.wait_until("B told what A has", lambda: count(b, "elsewhere") > 0)
    assert b.stop("agent") == 0
    a.start_agent()
    a.wait_until("A told what B has", lambda: count(a, "elsewhere") > 0)
    delivers(a)
    for stack in (a, b):
        ledger = stack.ledger()
        assert ledger["balanced"] and ledger["totals"]["unexplained"] == 0, ledger
        assert len(ledger["rows"]) == 1, "all of it is one boot"

    name = a.ledger()["rows"][0]["node"]
    assert "has forgotten this agent" in a.command("unpair", "--config", str(a.config), name)
    a.wait_until("the node's hello is an announcement", lambda: a.status()["unpaired"])
    a.wait_settled()
    assert a.told() == ["ordered", "order_ended", "node_unpaired"]
    a.assert_sound()
    assert not unpaired(a), "it asked for it"
    gone = a.status()["agent"]
    assert a.stop("agent") == 0

    b.start_agent()
    b.wait_until("a second boot at B", lambda: len(b.ledger()["rows"]) == 2)
    delivers(b)
    b.wait_until("the word of it", lambda: unpaired(b) == [gone])
    told = b.status()["nodes"][0]
    assert told["paired"] and told["live"] and told["crash"] is None
    node.stop()
    ledger = b.wait_settled()
    b.assert_sound()
    first, second = ledger["rows"]
    # What A took of the first boot after B was last heard is gone to B, and its bound is exact.
    assert (first["clean"], first["bound_s"]) == (True, 0)
    assert second["delivered"] == second["produced"]


def test_a_node_shows_which_one_it_is(shared) -> None:
    _, _, b = shared
    name = b.ledger()["rows"][0]["node"]
    assert "answers: done" in b.command("identify", "--config", str(b.config), name)

    def identified() -> bool:
        return "identify" in [event["event"] for event in b.status()["nodes"][0]["events"]]

    b.wait_until("its event", identified)
    assert b.told() == ["ordered", "order_ended"]
    b.assert_sound()
