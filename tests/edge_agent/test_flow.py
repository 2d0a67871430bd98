"""When nodes are asked to send less, and when no more: worse at once, better by steps, and no flapping."""

import pytest

from edge_agent.nodes.flow import (
    BARE,
    BARE_AT,
    CALM_AT,
    CALM_MAX_S,
    CALM_S,
    NORMAL,
    REFUSED_S,
    SLOW,
    SLOW_AT,
    SOON_S,
    FlowPolicy,
)
from edge_agent.nodes.ingest import REFUSED_PAUSE_S


class Clocked(FlowPolicy):
    """Judges `a_second` times a second."""

    def __init__(self, a_second: int = 10) -> None:
        super().__init__()
        self.now = 100.0
        self.a_second = a_second

    def during(self, seconds: float, waiting: int = 0, refusing: bool = False) -> list[str]:
        """The levels that there were, each once in a row."""
        seen = [self.level.name]
        for _ in range(round(seconds * self.a_second)):
            self.now += 1 / self.a_second
            level = self.judge(self.now, waiting, refusing).name
            if level != seen[-1]:
                seen.append(level)
        return seen


def test_a_queue_that_fills_and_empties():
    flow = Clocked()
    assert flow.during(60, SLOW_AT - 1) == ["normal"]
    assert flow.during(0.1, SLOW_AT)[-1] == SLOW.name
    assert flow.during(0.1, BARE_AT)[-1] == BARE.name
    # Half empty is no reason to send more.
    assert flow.during(600, CALM_AT + 1) == [BARE.name]
    assert flow.during(CALM_S * 3, CALM_AT) == [BARE.name, SLOW.name, NORMAL.name]


def test_a_disk_that_refuses_is_worse_the_longer_it_does():
    flow = Clocked()
    assert flow.during(REFUSED_S - 1, 0, True) == [NORMAL.name, SLOW.name]
    assert flow.during(2, 0, True) == [SLOW.name, BARE.name]
    assert flow.during(CALM_S - 1) == [BARE.name], "one good second is no calm"
    assert flow.during(1, 0, True) == [BARE.name]
    assert flow.during(CALM_S * 3) == [BARE.name, SLOW.name, NORMAL.name]


def test_what_comes_back_soon_is_waited_out_longer_each_time():
    flow = Clocked()
    changes = []
    for _ in range(12):
        before = flow.changes
        flow.during(1, SLOW_AT)
        flow.during(60)
        changes.append(flow.changes - before)
    assert flow.calm_s > 60 and changes[-1] == 0, "it stays slow: nothing goes up and down with the disk"
    assert flow.calm_s <= CALM_MAX_S
    assert flow.during(CALM_MAX_S + 1)[-1] == NORMAL.name
    flow.during(SOON_S + 1)
    assert flow.calm_s == CALM_S, "after a quiet time all is as at first"


@pytest.mark.parametrize("a_second", [1, 4, 10])
def test_what_gets_worse_by_two_steps_came_back_once(a_second):
    flow = Clocked(a_second)
    flow.during(1, SLOW_AT)
    assert flow.during(CALM_S + 1)[-1] == NORMAL.name
    flow.during(1, SLOW_AT)
    flow.during(1, BARE_AT)
    assert (flow.level, flow.calm_s) == (BARE, CALM_S * 2)


def test_the_shortest_refusal_is_seen():
    """A disk that refuses every few seconds takes nothing that is worth asking for."""
    flow = Clocked(2)
    flow.during(1, 0, True)
    for _ in range(10):
        flow.during(CALM_S - 1)
        assert flow.during(REFUSED_PAUSE_S, 0, True)[-1] == SLOW.name
