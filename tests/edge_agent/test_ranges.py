"""Ranges against plain sets."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.ledger.ranges import Ranges

PAIRS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=12)


def plain(pairs):
    return {n for first, count in pairs for n in range(first, first + count)}


@settings(max_examples=300, deadline=None)
@given(PAIRS, PAIRS)
def test_it_is_a_set(a, b):
    x, y = Ranges(a), Ranges(b)
    assert plain(x) == plain(a) and x.count == len(plain(a))
    assert plain(x.minus(y)) == plain(a) - plain(b)
    assert plain(x.both(y)) == plain(a) & plain(b)
    assert plain(x.union(y)) == plain(a) | plain(b)
    for n in range(70):
        assert (n in x) == (n in plain(a))
    assert x.end == max(plain(a), default=-1) + 1


@given(PAIRS)
def test_ranges_are_ascending_and_never_touch(pairs):
    flat = list(Ranges(pairs))
    for (first, count), (after, _) in pairwise(flat):
        assert first + count < after
    assert all(count > 0 for _, count in flat)


def test_a_day_of_frames_is_one_range():
    ranges = Ranges()
    for n in range(100_000):
        ranges.add(n)
    assert len(ranges) == 1 and ranges.count == 100_000
