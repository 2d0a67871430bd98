"""select.poll whose time-outs are in the node's time (see time.py beside it)."""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

from time import rest, speed

import uselect as _wall

POLLIN = _wall.POLLIN
POLLOUT = _wall.POLLOUT
POLLERR = _wall.POLLERR
POLLHUP = _wall.POLLHUP


class _ScaledPoll:
    """A poll object over the real one; its time-outs let node time pass."""

    def __init__(self):
        self._poll = _wall.poll()
        self.register = self._poll.register
        self.unregister = self._poll.unregister
        self.modify = self._poll.modify

    def poll(self, timeout=-1):
        return list(self.ipoll(timeout))

    def ipoll(self, timeout=-1, flags=0):
        found = []

        def watch(wall_ms):
            found.clear()
            for event in self._poll.ipoll(wall_ms):
                found.append((event[0], event[1]))
            return bool(found)

        if timeout < 0:
            while not watch(20):
                pass
        elif timeout == 0:
            watch(0)
        else:
            rest(timeout * 1000, watch)
        return found


poll = _wall.poll if speed == 1 else _ScaledPoll
