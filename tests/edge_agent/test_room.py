"""What is logged of making room: often enough to be seen, seldom enough to be read."""

import logging
from types import SimpleNamespace

import pytest

from edge_agent.ops.room import RoomLog


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, logger="vitalwire.store")
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def keeper(**more):
    nothing = {"freed": 0, "evicted": 0, "pruned": 0, "problem": None, "wanting": None}
    return SimpleNamespace(**nothing | more)


def test_what_goes_undelivered_is_said_the_first_second_fourth_eighth_time(said):
    kept = keeper(wanting="the store is over quota_mib")
    told = RoomLog(kept)
    for n in range(1, 10):
        kept.freed = kept.evicted = 10 * n
        told.after_pass()
        told.after_pass()
    begin = "the store is over quota_mib: 10 frames given up BEFORE THEY WERE DELIVERED"
    lines = [line.split("]")[0] for line in said()]
    assert lines == [f"{begin} [{n} since the start" for n in (10, 20, 40, 80)]


def test_what_goes_delivered_and_why_is_said_as_well_and_what_goes_by_age_is_not(said):
    kept = keeper(freed=7, pruned=1)
    told = RoomLog(kept)
    told.after_pass()
    assert said() == []
    kept.wanting, kept.freed, kept.pruned = "less than min_free_mib is free on the disk", 70, 3
    told.after_pass()
    assert said() == [f"{kept.wanting}: 63 frames and 2 batches whole given up, all of it delivered"]


def test_that_there_is_nothing_left_to_give_is_said_once(said):
    kept = keeper(problem="nothing is left")
    told = RoomLog(kept)
    for problem in ("nothing is left", "nothing is left", None, "nothing is left"):
        kept.problem = problem
        told.after_pass()
    assert said() == ["nothing is left"] * 2
