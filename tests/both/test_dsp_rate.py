"""The mean rate over the last seconds."""

from firmware.dsp.ecg_kernel import INDEX_MASK
from firmware.dsp.rate import RateWindow


def window():
    return RateWindow(250, 2000, 1250)


def fill(rate, intervals, at=0):
    """Add a beat at `at` and one after each interval; the index of the last."""
    rate.add(at)
    for interval in intervals:
        at = (at + interval) & INDEX_MASK
        rate.add(at)
    return at


def test_regular():
    for bpm in (20, 30, 60, 75, 150, 250):
        rate = window()
        last = fill(rate, [15000 // bpm] * 50)
        assert rate.rate_x10(last) == bpm * 10


def test_bigeminy_counts_every_beat():
    """0.5 s and 1.1 s in turn are 75 a minute, whatever a median of intervals says."""
    rate = window()
    at = fill(rate, [125, 275] * 20)
    seen = []
    for _ in range(20):
        for interval in (125, 275):
            at += interval
            rate.add(at)
            seen.append(rate.rate_x10(at))
    assert abs(sum(seen) / len(seen) - 750) < 15


def test_two_intervals_make_a_reading():
    rate = window()
    assert rate.rate_x10(0) == 0 and rate.silent(0)
    rate.add(100)
    assert rate.rate_x10(120) == 0 and not rate.silent(120)
    assert rate.add(350) == 250
    assert rate.rate_x10(360) == 0
    rate.add(600)
    assert rate.rate_x10(610) == 600


def test_only_the_window_counts():
    rate = window()
    at = fill(rate, [125] * 40)
    at = fill(rate, [250] * 8, at + 250)
    assert rate.rate_x10(at) == 600


def test_pause_lowers_the_rate_and_silence_ends_it():
    rate = window()
    last = fill(rate, [250] * 10)
    assert rate.rate_x10(last + 250) == 600
    before = 600
    for since in (400, 700, 1000, 1250):
        now = rate.rate_x10(last + since)
        assert 0 < now < before
        before = now
    assert rate.rate_x10(last + 1251) == 0 and rate.silent(last + 1251)
    assert rate.add(last + 1300) == 0  # not an RR interval


def test_gap_cuts():
    rate = window()
    last = fill(rate, [250] * 10)
    rate.gap()
    assert rate.rate_x10(last) == 0
    assert rate.add(last + 100) == 0
    assert rate.add(last + 350) == 250
    assert rate.rate_x10(last + 350) == 0  # one interval since
    rate.add(last + 600)
    assert rate.rate_x10(last + 600) == 600


def test_index_wraps():
    rate = window()
    last = fill(rate, [200] * 20, INDEX_MASK - 1999)
    assert last == 2000
    assert rate.rate_x10(last) == 750
    assert rate.rate_x10(last + 50) == 750
    assert rate.rate_x10((last - 30) & INDEX_MASK) == 750  # a beat newer than now


def test_more_beats_than_slots():
    rate = RateWindow(250, 10000, 1250)
    last = fill(rate, [60] * 200)
    assert rate.rate_x10(last) == 2500


def test_a_step_counts_from_the_fourth_beat_on():
    """Or from the third where they last half a window: at 40 a minute that is after 4.5 s."""
    for before, after, beats in ((187, 125, 4), (125, 187, 4), (187, 375, 3), (375, 187, 4), (187, 500, 3)):
        rate = window()
        at = fill(rate, [before] * 40)
        for n in range(1, 9):
            at += after
            rate.add(at)
            reached = abs(rate.rate_x10(at) - 150000 // after) <= 2
            assert reached == (n >= beats), (before, after, n, rate.rate_x10(at))


def test_single_ectopic_beats_make_no_step():
    """Early with a pause that makes up for it, between two beats, or a beat that is missing."""
    for odd in ([120, 280], [100, 100], [400]):
        rate = window()
        at = fill(rate, [200] * 20)
        for interval in odd + [200] * 12:
            at += interval
            rate.add(at)
            assert 670 <= rate.rate_x10(at) <= 840, (odd, rate.rate_x10(at))
        assert rate.rate_x10(at) == 750


def test_slow_and_slower_until_it_is_unknown():
    rate = RateWindow(250, 2000, 1000)
    last = fill(rate, [750] * 6)
    assert rate.rate_x10(last) == 200
    assert 0 < rate.rate_x10(last + 1000) < 200
    assert rate.rate_x10(last + 1001) == 0
