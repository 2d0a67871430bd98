"""The clock fit must never be surer than it is right, and must get sure soon."""

import random

import pytest

from edge_agent.nodes.clockfit import ClockFit, Fix

EPOCH = 1_790_000_000_000_000


class Node:
    """A clock that runs `ppm` fast behind a link whose two directions delay differently."""

    def __init__(self, ppm: float, boot_unix_us: int, seed: int = 1) -> None:
        self.rate = 1 + ppm / 1e6
        self.boot = boot_unix_us
        self.random = random.Random(seed)

    def reads(self, unix_us: float) -> int:
        return int((unix_us - self.boot) * self.rate)

    def unix(self, t_us: float) -> float:
        return self.boot + t_us / self.rate

    def echo(
        self, fit: ClockFit, unix_us: int, down=(200, 4000), kept=(500, 30_000), up=(200, 20_000)
    ) -> int:
        arrives = unix_us + self.random.randint(*down)
        leaves = arrives + self.random.randint(*kept)
        back = leaves + self.random.randint(*up)
        assert fit.echo(unix_us, back, self.reads(arrives), self.reads(leaves))
        return back


def fixed(fit: ClockFit, t_us: int) -> Fix:
    fix = fit.fix(t_us)
    assert fix is not None
    return fix


@pytest.mark.parametrize("ppm", [0, 8, -35, 120])
@pytest.mark.parametrize("seed", range(5))
def test_the_truth_is_always_within_the_bound(ppm, seed):
    node, fit = Node(ppm, EPOCH, seed), ClockFit()
    for i in range(80):
        now = node.echo(fit, EPOCH + 3_000_000 + i * 10_000_000)
        for away_s in (0, 5, -30, 600):
            t_us = node.reads(now) + away_s * 1_000_000
            fix = fixed(fit, t_us)
            assert abs(fix.unix_us - node.unix(t_us)) <= fix.bound_us
    assert fit.steps == 0
    assert fixed(fit, node.reads(now)).bound_us < 4_000
    assert abs(fit.rate_ppb - ppm * 1000) < 15_000


def test_the_bound_grows_with_age_in_both_directions():
    node, fit = Node(10, EPOCH), ClockFit()
    for i in range(10):
        node.echo(fit, EPOCH + i * 1_000_000)
    last = fit.last_us or 0
    bounds = [fixed(fit, last + s * 1_000_000).bound_us for s in (0, 10, 100, 1000)]
    assert bounds == sorted(bounds) and bounds[-1] > bounds[0]
    assert fixed(fit, last - 1_000_000_000).bound_us > bounds[0]


def test_before_the_first_echo_nothing_is_known():
    assert ClockFit().fix(5) is None


def test_an_answer_before_the_question_is_refused():
    fit = ClockFit()
    assert not fit.echo(EPOCH, EPOCH + 100, 5_000, 10_000)
    assert not fit.echo(EPOCH, EPOCH + 100, 5_000, 4_000)
    assert fit.fix(0) is None and fit.echoes == 0


def test_an_echo_that_comes_late_is_harmless():
    node, fit = Node(0, EPOCH), ClockFit()
    node.echo(fit, EPOCH + 10_000_000)
    before = fit.fix(10_000_000)
    node.echo(fit, EPOCH + 2_000_000)
    assert fit.fix(10_000_000) == before and fit.steps == 0


def test_a_step_of_the_agents_clock_is_noticed_and_followed():
    node, fit = Node(5, EPOCH), ClockFit()
    for i in range(10):
        node.echo(fit, EPOCH + i * 1_000_000)
    node.boot += 3_600_000_000
    for i in range(10, 20):
        now = node.echo(fit, node.boot + i * 1_000_000)
    fix = fixed(fit, node.reads(now))
    assert fit.steps == 1
    assert abs(fix.unix_us - now) <= fix.bound_us


@pytest.mark.parametrize("speed", [0.5, 8, 60])
def test_a_simulated_clock_that_runs_k_times_faster_is_followed_too(speed):
    node, fit = Node((speed - 1) * 1e6, EPOCH), ClockFit()
    for i in range(12):
        now = node.echo(fit, EPOCH + 1_000_000 + i * 2_000_000, kept=(0, 0))
    fix = fixed(fit, node.reads(now))
    assert abs(fix.unix_us - now) <= fix.bound_us
    assert abs(fit.rate_ppb - (speed - 1) * 1e9) < 0.02 * speed * 1e9


def test_memory_is_bounded():
    node, fit = Node(20, EPOCH), ClockFit()
    for i in range(3000):
        node.echo(fit, EPOCH + i * 1_000_000)
    assert len(fit._samples) <= 48
