"""The rhythm benchmark's own arithmetic, and what it generates."""

import numpy as np
import pytest

from tools.bench import rhythm, rhythm_cases


def said(seconds: int, **columns: "list[int]") -> "dict[str, np.ndarray]":
    table = {key: np.zeros(seconds, int) for key in ("rate", "asystole", "irregular", "why", "mains")}
    return {**table, **{key: np.array(values) for key, values in columns.items()}}


def case(wanted: str, from_s: float, rate: float = 0) -> rhythm_cases.Case:
    return rhythm_cases.Case("x", np.zeros(0), wanted, from_s, 3, rate)


def test_a_case_is_judged_by_the_last_second_that_is_wrong() -> None:
    row = rhythm.judge(case("vf", 4), said(10, why=[1, 0, 0, 0, 0, 1, 0, 1, 1, 1]))
    assert row["after_s"] == 4 and not row["passed"] and row["vf_s"] == 5
    row = rhythm.judge(case("rate", 4.5, 40), said(8, rate=[800] * 4 + [600, 500, 410, 400]))
    assert row["after_s"] == 2.5 and row["passed"]
    row = rhythm.judge(case("hum", 0, 60), said(5, mains=[50, 50, 60, 60, 60]))
    assert row["after_s"] == 3 and row["passed"]
    assert not rhythm.judge(case("asystole", 0), said(5, asystole=[1, 1, 1, 1, 0]))["passed"]


def test_seconds_inside_intervals() -> None:
    t = np.arange(1, 11)
    assert list(np.flatnonzero(rhythm.inside(t, [(2, 4), (8, 20)])) + 1) == [2, 3, 4, 8, 9, 10]
    assert list(np.flatnonzero(rhythm.inside(t, [(2, 4)], early=1, late=2)) + 1) == [3, 4, 5, 6]


def test_generated_cases_are_the_same_each_time_and_have_what_they_say() -> None:
    first, second = (list(rhythm_cases.all_cases()) for _ in range(2))
    assert len(first) > 80
    for a, b in zip(first, second, strict=True):
        assert a.name == b.name and np.array_equal(a.samples(3052), b.samples(3052))
    at = rhythm_cases.breathing(60, 60, 0.2, 0.25)
    assert np.diff(at).min() == pytest.approx(0.8, abs=0.02) and np.diff(at).max() == pytest.approx(
        1.2, abs=0.02
    )
    wave = rhythm_cases.beats(10, [5.0])
    assert abs(int(wave.argmax()) - 5 * rhythm_cases.FS_HZ) <= 1 and wave.max() == pytest.approx(
        1000, rel=0.1
    )
    for kind in rhythm_cases.KINDS:
        wave = rhythm_cases.fibrillation(kind, 20, np.random.default_rng(1))
        assert 0.4 < float(np.std(wave)) < 1, kind
