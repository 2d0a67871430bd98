"""Delays of the back-off, on a clock that the test moves."""

import random

from edge_agent.backoff import Backoff


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_delays_double_up_to_the_ceiling_and_jitter_stays_within_half():
    clock = Clock()
    top = Backoff(0.5, 30, clock=clock, uniform=lambda low, high: high)
    low = Backoff(0.5, 30, clock=clock, uniform=lambda low, high: low)
    assert [top.failed() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert [low.failed() for _ in range(3)] == [0.25, 0.5, 1]


def test_two_of_a_kind_do_not_come_at_the_same_time():
    clock = Clock()
    delays = {
        round(Backoff(8, 30, clock=clock, uniform=random.Random(n).uniform).failed(), 3) for n in range(20)
    }
    assert len(delays) > 15


def test_wait_runs_down_with_the_clock():
    clock = Clock()
    backoff = Backoff(4, 30, clock=clock, uniform=lambda low, high: high)
    assert backoff.wait_s() == 0
    backoff.failed()
    clock.now += 3
    assert backoff.wait_s() == 1
    clock.now += 3
    assert backoff.wait_s() == 0


def test_a_success_that_does_not_last_does_not_count():
    clock = Clock()
    backoff = Backoff(1, 60, stable_s=5, clock=clock, uniform=lambda low, high: high)
    backoff.failed()
    backoff.failed()
    backoff.succeeded()
    clock.now += 1
    assert backoff.failed() == 4
    backoff.succeeded()
    clock.now += 6
    assert backoff.failed() == 1


def test_years_of_failures_are_no_overflow():
    backoff = Backoff(0.5, 30, clock=Clock(), uniform=lambda low, high: high)
    for _ in range(5000):
        assert backoff.failed() <= 30
