"""When a measurement of a standard device was, and which of them came before: without a device."""

import time
from datetime import datetime, timedelta

import pytest

from edge_agent.standard import dating, taken
from edge_agent.standard.dating import Look, dated
from edge_agent.standard.devices import KNOWN, Device, Devices
from edge_agent.standard.taken import Taken, digest_of
from edge_agent.store.items import Outcome

NOW = datetime(2026, 11, 23, 16, 0, 0)
DEVICE = Device("D0:00:00:00:00:01", "finger")
LIVE, SEEN, SET = dating.LIVE_BOUND_US, dating.SEEN_BOUND_US, dating.SET_BOUND_US
UNSEEN, JUST, UNKNOWN = dating.UNSEEN_BOUND_US, dating.JUST_NOW_US, dating.UNKNOWN_BOUND_US


@pytest.fixture(autouse=True)
def paris(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def us(at):
    return int(at.timestamp()) * 1_000_000


def ago(**how):
    return NOW - timedelta(**how)


@pytest.mark.parametrize(
    ("stamp", "stored", "look", "seconds_ago", "bound"),
    [
        (None, False, None, 0, LIVE),
        (None, True, None, 0, UNKNOWN),
        (None, None, None, 0, UNSEEN),
        (ago(seconds=30), None, None, 30, JUST),
        (ago(hours=3), None, None, 3 * 3600, UNSEEN),
        (ago(hours=-3), True, None, 0, UNSEEN),
        # What no clock that was ever set says.
        (datetime(1970, 1, 1), True, None, 0, UNKNOWN),
        (datetime(2099, 12, 31), True, None, 0, UNKNOWN),
        (datetime(1970, 1, 1), None, None, 0, UNSEEN),
        (datetime(1970, 1, 1), False, None, 0, LIVE),
        (datetime(1, 1, 1), True, None, 0, UNKNOWN),
        (datetime(9999, 12, 31, 23, 59, 59), True, None, 0, UNKNOWN),
        # By its own clock, wherever that is.
        (ago(hours=3), True, ago(hours=-5), 8 * 3600, SEEN),
        (datetime(2000, 1, 1), True, datetime(2000, 1, 3), 2 * 86400, SEEN),
        (datetime(1970, 1, 1), True, NOW, 0, UNKNOWN),
        (ago(hours=-1), True, NOW, 0, UNKNOWN),
        (ago(seconds=-3), False, NOW, 0, SEEN),
        # Summer ended in between, and the clock was set, or was not.
        (datetime(2026, 8, 1, 16), True, NOW, (NOW - datetime(2026, 8, 1, 16)).days * 86400, SET),
        # An hour that was there twice, by a clock that went on.
        (datetime(2026, 10, 25, 2, 59), True, datetime(2026, 10, 25, 3, 1), 120, SET),
    ],
)
def test_a_date_is_never_more_certain_than_it_can_be(stamp, stored, look, seconds_ago, bound):
    seen = None if look is None else Look(look, us(NOW))
    assert dated(stamp, stored, seen, us(NOW)) == (us(NOW) - seconds_ago * 1_000_000, bound)


def test_a_stored_measurement_is_known_once_it_is_durable(tmp_path):
    devices = Devices(tmp_path)
    one, other = digest_of("x", b"1"), digest_of("x", b"2")
    some = Taken(devices, DEVICE)
    done, never = some.begin(one), some.begin(other)
    assert some.came_before(one) and some.came_before(other) and never
    done(Outcome.STORED)
    some.leave()
    # The disk refused it: the device is what has it.
    assert some.came_before(one) and not some.came_before(other)
    some.begin(other)(Outcome.STORED)
    again = Taken(devices, DEVICE)
    assert again.came_before(one) and again.came_before(other)


def test_a_piece_of_a_line_takes_no_other(tmp_path):
    devices = Devices(tmp_path)
    first, second = digest_of("x", b"1"), digest_of("x", b"2")
    devices.add_known(DEVICE, [first])
    (path,) = (tmp_path / "devices").glob("*.known")
    path.write_bytes(path.read_bytes() + b"\n0badc0de")
    devices.add_known(DEVICE, [second])
    assert devices.known(DEVICE) == [first, second]


def test_a_device_with_many_records_is_known_by_all_of_them(tmp_path):
    devices = Devices(tmp_path)
    digests = [digest_of("x", b"%d" % n) for n in range(3 * KNOWN)]
    devices.add_known(DEVICE, digests)
    assert devices.known(DEVICE) == digests[-KNOWN:] == devices.known(DEVICE)
    some = Taken(devices, DEVICE)
    assert all(some.came_before(digest) for digest in digests[-KNOWN:])
    assert not some.came_before(digests[0])


def test_what_comes_faster_than_anything_measures_is_too_many(tmp_path):
    some = Taken(Devices(tmp_path), DEVICE)
    assert (
        sum(not some.floods(1000 + n / 1000) for n in range(10_000)) == taken.BURST + 9 * taken.A_SECOND + 3
    )
    assert not any(some.floods(5000 + n) for n in range(100))
