"""When a measurement of a standard device was: by its arrival, by the device's clock, or nobody knows.

A device has local time without a zone. Where it shows its clock, how long ago a time stamp was is reckoned by
that clock alone; else the agent's zone is taken. A date that cannot be is no date: many devices count from
the year that they were made in until somebody sets their clock.
"""

from datetime import datetime
from typing import NamedTuple

SECOND_US = 1_000_000
LIVE_BOUND_US = 2 * SECOND_US
# A device's clock that was looked at: it says whole seconds.
SEEN_BOUND_US = 5 * SECOND_US
# Where it may have been set by summer time since.
SET_BOUND_US = SEEN_BOUND_US + 3600 * SECOND_US
# A value with a time stamp this near to now was measured just now.
JUST_NOW_US = 120 * SECOND_US
# A clock that was not looked at: anything within a day.
UNSEEN_BOUND_US = 86_400 * SECOND_US
# No device stores anything longer, nor is anything dated further back.
OLDEST_US = 5 * 366 * 86_400 * SECOND_US
# What a device had stored, and nobody can say when.
UNKNOWN_BOUND_US = OLDEST_US


class Look(NamedTuple):
    """A device's clock showed `shows` at `unix_us`."""

    shows: datetime
    unix_us: int


def dated(stamp: datetime | None, stored: bool | None, look: Look | None, now_us: int) -> tuple[int, int]:
    """(Unix time in us, its bound) of a measurement that came at `now_us`.

    `stamp`: what its time stamp says, None: none that can be believed; `stored`: whether it is one that the
    device had stored, None: it may be. Never later than now.
    """
    if stamp is not None:
        found = _unseen(stamp, now_us) if look is None else _by(look, stamp)
        if found is not None and now_us - OLDEST_US <= found[0] <= now_us + found[1]:
            return min(found[0], now_us), found[1]
    if stored is None:
        return now_us, UNSEEN_BOUND_US
    return now_us, UNKNOWN_BOUND_US if stored else LIVE_BOUND_US


def _by(look: Look, stamp: datetime) -> tuple[int, int] | None:
    ago = look.shows - stamp
    t_us = look.unix_us - (ago.days * 86_400 + ago.seconds) * SECOND_US
    # It may have been set at the beginning or the end of summer, or not.
    now, then = _unix_us(look.shows), _unix_us(stamp)
    same = now is not None and then is not None and now - then == look.unix_us - t_us
    return t_us, SEEN_BOUND_US if same else SET_BOUND_US


def _unseen(stamp: datetime, now_us: int) -> tuple[int, int] | None:
    t_us = _unix_us(stamp)
    if t_us is None:
        return None
    return t_us, JUST_NOW_US if abs(t_us - now_us) <= JUST_NOW_US else UNSEEN_BOUND_US


def _unix_us(at: datetime) -> int | None:
    """By this machine's zone; None outside of what it has dates for."""
    try:
        return int(at.timestamp()) * SECOND_US
    except (OverflowError, ValueError, OSError):
        return None
