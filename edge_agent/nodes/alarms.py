"""The events of one node, and which of its alarms are current: by the order in which the node numbered them.

Frames come twice and out of turn (docs/wire-protocol.md §10). What is shown is the same in whatever order
they come.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Any, NamedTuple

from edge_agent.nodes import seen
from protocol import frames

# So many of a node's newest events are shown.
EVENTS = 20
# So many alarms of one boot are told apart; of more, the oldest are forgotten.
MAX_ALARMS = 256

Age = Callable[[bytes, int, int], bool]
"""Whether what the boot made at its `t_us` was old when it was received, in Unix microseconds."""


class _Told(NamedTuple):
    seq: int
    event: dict[str, Any]


class _Alarm:
    """One alarm from beginning to end: the highest number of a frame that ended it, the highest that says
    that it is there now, and the highest of one that was too old when it came to say so.
    """

    def __init__(self) -> None:
        self.ended = -1
        self.now: _Told | None = None
        self.late: _Told | None = None

    @property
    def newest(self) -> int:
        return max(self.ended, self.now.seq if self.now else -1, self.late.seq if self.late else -1)


class Events:
    """Of one node. `newest`: the boot whose alarms can be current."""

    def __init__(self, is_old: Age) -> None:
        self.newest = b""
        self._is_old = is_old
        self._events: list[tuple[tuple[bytes, int], dict[str, Any]]] = []
        self._alarms: dict[tuple[bool, int], _Alarm] = {}
        self._forgotten = -1

    @property
    def events(self) -> list[dict[str, Any]]:
        """The newest, in the node's order."""
        return [told for _, told in self._events]

    @property
    def alarms(self) -> list[dict[str, Any]]:
        """Those that are current, in the node's order."""
        current = [one.now for one in self._alarms.values() if one.now and one.now.seq > one.ended]
        return [told.event for told in sorted(current, key=lambda told: told.seq)]

    def heard(self, boot: bytes, past: bool) -> None:
        """Any frame of a newer boot ends what was current in older ones. `past`: as the session says."""
        if boot == self.newest:
            return
        newer = boot[:4] > self.newest[:4] or (boot[:4] == self.newest[:4] and not past)
        if newer:
            self.newest = boot
            self._alarms.clear()
            self._forgotten = -1

    def take(
        self, boot: bytes, seq: int, t_us: int, body: dict[int, Any], received_us: int, past: bool
    ) -> None:
        """One event frame. `past`: it was made before the connection that it came on."""
        key = (boot, seq)
        at = bisect_left(self._events, key, key=lambda listed: listed[0])
        if at < len(self._events) and self._events[at][0] == key:
            return
        told = seen.event(body, past)
        late = not told["past"] and self._is_old(boot, t_us, received_us)
        told["past"] = told["past"] or late
        told |= {
            "boot": int.from_bytes(boot[:4], "big"),
            "t_us": t_us,
            "received_ms": received_us // 1000,
        }
        self._events.insert(at, (key, told))
        del self._events[:-EVENTS]
        if boot == self.newest and seq > self._forgotten:
            self._alarm(seq, body, told, late)

    def _alarm(self, seq: int, body: dict[int, Any], told: dict[str, Any], late: bool) -> None:
        number, state = body.get(frames.EVENT_ALARM), body.get(frames.EVENT_STATE)
        key = (False, told["code"]) if number is None else (True, number)
        if state == frames.STATE_ENDED:
            one = self._alarms.setdefault(key, _Alarm())
            one.ended = max(one.ended, seq)
        elif told["alarm"] and state in (frames.STATE_BEGAN, frames.STATE_LATCHED):
            one = self._alarms.setdefault(key, _Alarm())
            if late and (one.late is None or one.late.seq < seq):
                one.late = _Told(seq, told)
            elif not told["past"] and (one.now is None or one.now.seq < seq):
                one.now = _Told(seq, told)
        if len(self._alarms) > MAX_ALARMS:
            oldest = min(self._alarms, key=lambda key: self._alarms[key].newest)
            self._forgotten = self._alarms.pop(oldest).newest

    def clock_stepped(self) -> None:
        """Somebody set the host's clock, so an age that was reckoned just before may have been wrong: what is
        not old by the new reckoning counts as said now.
        """
        for one in self._alarms.values():
            late = one.late
            if late is None or (one.now is not None and one.now.seq > late.seq):
                continue
            told = late.event
            if not self._is_old(self.newest, told["t_us"], told["received_ms"] * 1000):
                told["past"] = False
                one.now, one.late = late, None
