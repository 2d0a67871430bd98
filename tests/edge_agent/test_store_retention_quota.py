"""What is not delivered goes only while the store is over its quota, and only as long as that helps."""

import errno
import os
from contextlib import closing

import pytest

from edge_agent.store import retention
from edge_agent.store.compacting import EMPTY_LOG
from edge_agent.store.database import Database
from edge_agent.store.errors import StoreCorrupt, StoreUnwritable
from edge_agent.store.opening import open_store
from edge_agent.store.retention import MIB, Keeper, Limits
from tests.edge_agent.store_kit import AGENT, frame

WAVE, EVENT = b"\x83\x02\x01\xa6\x01\x00", b"\x83\x05\x01\xa1"
QUOTA = 2
NOW = 10**12


class Place:
    """A store whose quota kept data (alarms) and waves fill, none of it delivered."""

    def __init__(self, path) -> None:
        self.store, _ = open_store(path, AGENT, 1)
        self.keeper = self.started()
        self.seq = 0

    def started(self) -> Keeper:
        """As an agent that starts has it."""
        return Keeper(self.store, Limits(quota_mib=QUOTA), alone=False)

    def put(self, sort: bytes, share: float = 100.0, most: int = 1 << 20) -> None:
        """Store such frames, until the store has that share of its quota, or so many are stored."""
        end = self.seq + most
        while self.share() < share and self.seq < end:
            self.store.commit([frame(self.seq + i, text=sort + os.urandom(2000)) for i in range(10)])
            self.seq += 10

    def share(self) -> float:
        return self.keeper.used() / (QUOTA * MIB)

    def work(self, now_ms: int = NOW) -> None:
        while self.keeper.step(now_ms):
            pass

    def waves(self) -> int:
        return self.store.db.value("SELECT count(*) FROM journal WHERE class = 0 AND data NOTNULL")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", (10, 10))
    place = Place(tmp_path / "agent.db")
    with closing(place.store):
        yield place


def test_under_the_quota_nothing_undelivered_goes_though_making_room_has_begun(place):
    place.put(EVENT, 0.96)
    place.put(WAVE, 1.0001)
    before = place.waves()
    place.work()
    left, evicted = place.waves(), place.keeper.evicted
    assert 0 < left < before and evicted == before - left, "some went, to the quota and no further"
    assert 0.95 < place.share() <= 1 and place.keeper.problem is None, "it is not over the quota"
    for _ in range(3):
        place.put(WAVE, 1.0, most=10)
        if place.share() > 1:
            break
        left = place.waves()
        place.work()
        assert (place.waves(), place.keeper.evicted, place.keeper.problem) == (left, evicted, None)


def test_what_has_become_hopeless_is_found_out_within_the_same_pass(place):
    place.put(EVENT, 0.9)
    place.put(WAVE, 1.01)
    assert place.keeper.step(NOW), "what is not delivered is enough, so far"
    place.put(EVENT, 1.5)
    left, evicted = place.waves(), place.keeper.evicted
    assert left
    place.work()
    assert (place.waves(), place.keeper.evicted) == (left, evicted), "for nothing"
    assert place.keeper.problem and "over quota_mib" in place.keeper.problem


def test_when_data_last_went_undelivered_outlives_a_restart(place):
    assert place.keeper.evicted_ms is None
    place.put(WAVE, 1.01)
    place.work()
    assert place.keeper.evicted and place.keeper.evicted_ms == NOW
    assert place.started().evicted_ms == NOW


def test_a_disk_that_cannot_say_how_much_is_free_ends_nothing(place, monkeypatch):
    keeper = Keeper(place.store, Limits(min_free_mib=1), alone=False)

    def fails(_path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "statvfs", fails)
    with pytest.raises(StoreUnwritable, match="Input/output error"):
        keeper.step(NOW)


def test_a_store_that_goes_while_its_log_is_emptied_is_found_gone(place, monkeypatch):
    value = Database.value

    def goes(db, sql, *bindings):
        place.store.path.unlink(missing_ok=True)
        return value(db, sql, *bindings)

    monkeypatch.setattr(Database, "value", goes)
    place.store.give_back(EMPTY_LOG)
    with pytest.raises(StoreCorrupt, match="was deleted while the agent ran"):
        place.store.check()
