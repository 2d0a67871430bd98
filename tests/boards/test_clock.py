"""The clock that node, chips and patient share."""

import pytest

from boards.virtual.clock import MAX_LEAD_US, SharedClock


class Wall:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def test_alone_it_runs_at_its_speed() -> None:
    wall = Wall()
    clock = SharedClock(20, wall)
    assert clock.now_us() == 0
    wall.s += 1.5
    assert clock.now_us() == 30_000_000


def test_a_node_leads_and_its_time_begins_anywhere() -> None:
    wall = Wall()
    clock = SharedClock(1, wall)
    wall.s += 2
    clock.attach(7_000_000)
    assert clock.stamp(7_000_000) == 2_000_000
    assert clock.stamp(7_250_000) == 2_250_000
    assert clock.to_world_us(8_000_000) == 3_000_000


def test_between_stamps_it_is_extrapolated_but_a_silent_node_stops_a_fast_world() -> None:
    wall = Wall()
    clock = SharedClock(10, wall)
    clock.attach(0)
    clock.stamp(1_000_000)
    wall.s += 0.01
    assert clock.now_us() == 1_100_000
    wall.s += 60
    assert clock.now_us() == 1_000_000 + MAX_LEAD_US
    assert clock.reached_us() == 1_000_000
    clock.let_go()
    assert clock.reached_us() == clock.now_us() == 1_000_000 + MAX_LEAD_US


def test_it_never_goes_back() -> None:
    wall = Wall()
    clock = SharedClock(1, wall)
    clock.attach(0)
    assert clock.stamp(5_000_000) == 5_000_000
    assert clock.stamp(4_000_000) == 5_000_000
    wall.s += 1
    clock.detach()
    assert clock.now_us() == 6_000_000
    clock.attach(0)
    assert clock.stamp(10) == 6_000_010


def test_after_a_node_is_gone_the_world_goes_on() -> None:
    wall = Wall()
    clock = SharedClock(4, wall)
    clock.attach(0)
    clock.stamp(1_000_000)
    clock.detach()
    wall.s += 3
    assert clock.now_us() == 13_000_000
    assert clock.stamp(99) == 13_000_000  # nobody leads: a stamp means nothing


@pytest.mark.parametrize("speed", [0, -1])
def test_a_speed_that_is_none(speed: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        SharedClock(speed)


def test_a_node_that_was_stopped_leads_again_when_it_goes_on_and_not_before() -> None:
    wall = Wall()
    clock = SharedClock(8.0, wall)
    clock.attach(0)
    clock.stamp(1_000_000)
    clock.let_go()
    assert not clock.led
    wall.s += 0.1
    clock.stamp(1_001_000)
    wall.s += 0.9
    assert clock.now_us() == 9_000_000 and not clock.led
    clock.take_up()
    assert clock.stamp(1_002_000) == 9_000_000 and clock.led
    assert clock.stamp(1_003_000) == 9_001_000
