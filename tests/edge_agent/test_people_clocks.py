"""Clock fits that contradict each other: a frame that may so be of two persons is neither's."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent import config as configuration
from edge_agent.keys import PublicKeys
from edge_agent.ops.doctor import GOOD, WARN, Patient
from edge_agent.ops.doctor_people import dates
from edge_agent.people.clocks import DRIFT_PPB, MOST_FITS, PPB, Clock, Fit
from edge_agent.people.dates import Clocks, Dates
from edge_agent.people.export_text import clocks_of, measured
from edge_agent.people.operators import Operators
from edge_agent.people.records import People
from protocol import cbor, entries
from tests.edge_agent.people_kit import ADA, BOB, HOUR, NODE, NOW, OPERATOR, assigned, consented
from tests.edge_agent.test_people_dates import SECOND_US, World, boot, state_of, withheld
from tools.collector.dating import Dates as FarDates

MINUTE_US = 60 * SECOND_US
STEP_US = 3600 * SECOND_US


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.store.close()


# What the clock of the machine was set by before each of these fits; the gaps between fits in s; a crystal.
worlds = st.tuples(
    st.lists(
        st.tuples(
            st.sampled_from([0, 0, 0, 0, STEP_US, -STEP_US, 5 * STEP_US, -77 * SECOND_US]),
            st.integers(1, 7200),
            st.integers(-100, 100),
            st.integers(1, 20_000),
        ),
        min_size=1,
        max_size=40,
    ),
    st.integers(-100_000, 100_000),
)


def fits_in(world) -> tuple[list[Fit], list[int], int]:
    """The fits that an agent makes whose clock is set, what it was off by at each, the crystal's rate."""
    steps, rate = world
    fits, offsets, t_us, off = [], [], 0, 0
    for step, gap_s, error, bound_us in steps:
        t_us += gap_s * SECOND_US
        off += step
        unix_us = true_us(t_us, rate) + off + error * bound_us // 100
        fits.append(Fit(t_us, unix_us, rate // 2, bound_us))
        offsets.append(off)
    return fits, offsets, rate


def true_us(t_us: int, rate: int) -> int:
    return NOW * 1000 + t_us * PPB // (PPB + rate)


@settings(max_examples=150, deadline=None)
@given(worlds, st.lists(st.integers(0, 300_000), max_size=5))
def test_whichever_clock_was_right_the_date_holds_it(made, moments) -> None:
    """By each regime's word in turn: what was measured then lies within the date."""
    fits, offsets, rate = fits_in(made)
    clock = Clock(fits)
    # A step that the bounds allow is none; these are all greater.
    changes = sum(a != b for a, b in pairwise(offsets))
    assert clock.regimes == 1 + changes
    for t_us in [*(fit.t_us for fit in fits), *(one * SECOND_US for one in moments)]:
        low, high = clock.at(t_us)
        for off in set(offsets):
            assert low - 2 <= true_us(t_us, rate) + off <= high + 2


@settings(max_examples=100, deadline=None)
@given(worlds)
def test_fits_that_agree_date_as_the_nearest_does_and_no_wider(made) -> None:
    fits, _, _ = fits_in(([(0, *rest) for _, *rest in made[0]], made[1]))
    clock = Clock(fits)
    assert clock.regimes == 1 and clock.apart_us == 0
    for fit in fits:
        assert clock.at(fit.t_us) == fit.at(fit.t_us) == clock.around(fit.t_us).at(fit.t_us)


@settings(max_examples=100, deadline=None)
@given(worlds, st.integers(0, 40))
def test_read_in_pieces_it_is_the_same_clock(made, cut) -> None:
    fits, _, _ = fits_in(made)
    whole, pieces = Clock(fits), Clock(fits[:cut])
    for fit in fits[cut:]:
        pieces.add(fit)
    assert (whole.kept, whole.regimes) == (pieces.kept, pieces.regimes)
    low, high = whole.at(0)
    around = whole.around(0).at(0)
    assert around[0] <= low and high <= around[1]


def test_many_fits_are_thinned_and_no_contradiction_is_lost() -> None:
    clock = Clock()
    for minute in range(10_000):
        off = STEP_US if 5000 <= minute < 5001 else 0
        clock.add(Fit(minute * MINUTE_US, NOW * 1000 + minute * MINUTE_US + off, 0, 5000), minute)
    assert clock.regimes == 3 and len(clock.kept) < 2 * MOST_FITS
    low, high = clock.at(77 * MINUTE_US)
    assert low <= NOW * 1000 + 77 * MINUTE_US and high >= NOW * 1000 + 77 * MINUTE_US + STEP_US
    assert high - low < STEP_US + 2 * 10_000 * MINUTE_US // MOST_FITS * DRIFT_PPB // PPB + SECOND_US


def test_a_frame_between_two_persons_by_two_clocks_is_neithers(world) -> None:
    """The machine came up an hour behind, and was set right; the node was hers, then his, in that hour."""
    first = world.put(0, 0, NOW)
    world.fit(MINUTE_US, NOW - HOUR)
    early = world.put(1, 2 * MINUTE_US, NOW)
    hers_and_his = (assigned(ADA, 0, NOW - HOUR // 2), assigned(BOB, NOW - HOUR // 2))
    dates = Dates(world.store.db)
    assert dates.whose(state_of(*hers_and_his), world.row(early)) == ADA, "one clock alone was believed"
    world.fit(3 * MINUTE_US, NOW + 120_000)
    late = world.put(2, 4 * MINUTE_US, NOW)
    dates = Dates(world.store.db)
    for state in (state_of(*hers_and_his), state_of(*hers_and_his, consented(BOB))):
        for at in (first, early, late):
            assert dates.may_be(state, world.row(at)) == {ADA, BOB}
            assert dates.whose(state, world.row(at)) is None
        held = withheld(state, world.store.db, world.rows(), "mqtt", "care", NOW)
        assert held == {first, early, late}, "both have to agree"
    both = state_of(*hers_and_his, consented(ADA), consented(BOB))
    assert withheld(both, world.store.db, world.rows(), "mqtt", "care", NOW) == set()
    throughout = state_of(assigned(ADA, 0))
    assert {dates.whose(throughout, world.row(at)) for at in (early, late)} == {ADA}


def test_what_is_near_no_change_of_hands_is_somebodys_all_the_same(world) -> None:
    world.fit(0, NOW)
    world.fit(MINUTE_US, NOW + 60_000 + HOUR)
    at = world.put(0, 10 * 3600 * SECOND_US, NOW)
    state = state_of(assigned(ADA, NOW - HOUR, NOW + 8 * HOUR), assigned(BOB, NOW + 8 * HOUR))
    assert Dates(world.store.db).whose(state, world.row(at)) == BOB


def test_new_fits_are_read_and_the_contradiction_is_said_once(world, caplog) -> None:
    world.put(0, 0, NOW)
    clocks = Clocks(world.store.db)
    assert not clocks.of(1)
    world.fit(MINUTE_US, NOW)
    assert clocks.of(1).regimes == 1
    world.fit(2 * MINUTE_US, NOW + 60_000 + HOUR)
    world.fit(3 * MINUTE_US, NOW + 120_000 + HOUR)
    assert clocks.of(1).regimes == clocks.of(1).regimes == 2
    assert caplog.text.count("contradict each other by up to 3600.0 s") == 1
    world.fit(90 * SECOND_US, NOW + 30_000)
    assert clocks.of(1).kept == Clocks(world.store.db).of(1).kept, "one that comes late is put in its place"


def test_neighbours_of_such_a_boot_are_dated_as_widely(world) -> None:
    world.put(0, 0, NOW, of=1)
    world.fit(MINUTE_US, NOW, of=1)
    world.fit(2 * MINUTE_US, NOW + 60_000 - HOUR, of=1)
    lone = world.put(0, SECOND_US, NOW + HOUR, of=2)
    assert world.date(lone).low_ms <= NOW + 60_000 - HOUR


def test_an_export_and_a_collector_date_as_the_agent_does(world) -> None:
    fits = [Fit(0, NOW * 1000, 0, 5000), Fit(MINUTE_US, NOW * 1000 + STEP_US, 0, 5000)]
    for fit in fits:
        world.fit(fit.t_us, fit.unix_us // 1000)
    at = world.put(0, 30 * SECOND_US, NOW)
    dates = Dates(world.store.db)
    low_us, high_us = Clock(fits).at(30 * SECOND_US)
    assert world.date(at) == (low_us // 1000, -(-high_us // 1000))
    rows = [world.row(one) for one in dates.fit_rows(1)]
    assert len(rows) == 2
    told = clocks_of([cbor.loads(row.data) for row in rows])
    assert measured(told, NODE, boot(1), 30 * SECOND_US) == (low_us, high_us)
    far = FarDates.__new__(FarDates)
    far._fits, far._clocks, far._boots = {boot(1): fits}, {}, [boot(1)]
    assert far.of(boot(1), 30 * SECOND_US, NOW) == (low_us // 1000, -(-high_us // 1000))
    assert rows[0].kind == entries.ENTRY_CLOCK


def test_the_doctor_names_such_a_boot(world, tmp_path) -> None:
    operators = Operators(tmp_path / "operators")
    operators.add("ward", PublicKeys(*OPERATOR.public()))
    People(world.store, operators).put(assigned(ADA), NOW)
    world.put(0, 0, NOW)
    world.fit(0, NOW)
    (tmp_path / "agent.toml").write_text(f'[agent]\nstate_dir = "{tmp_path}"\n')
    who = Patient(configuration.load(tmp_path / "agent.toml"))
    assert [found[0] for found in dates(who)] == [GOOD]
    world.fit(MINUTE_US, NOW + 60_000 - 77_000)
    state, what, remedy = next(dates(who))
    assert state == WARN and f"node {NODE.hex()}, boot 1:" in what and "set by 77.0 s" in what and remedy
