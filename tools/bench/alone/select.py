"""Polling that lets time pass until there is something (see alone_node.py)."""

import time

POLLIN = 1
POLLOUT = 4
POLLERR = 8
POLLHUP = 16

# What brings bytes for whoever polls: its `wait(ms)` lets as much time pass at most; whether there are some.
source = None
# Called before each wait.
each_wait = None


class poll:
    def __init__(self):
        self._waits = []

    def register(self, stream, *args):
        if stream not in self._waits:
            self._waits.append(stream)

    def unregister(self, stream):
        if stream in self._waits:
            self._waits.remove(stream)

    def modify(self, stream, flags):
        # asyncio has no wish left that it does not take back
        if not flags:
            self.unregister(stream)

    def ipoll(self, timeout=-1, flags=0):
        if each_wait:
            each_wait()
        if source is None:
            if timeout > 0:
                time.sleep_ms(timeout)
            return ()
        if source.wait(timeout) and self._waits:
            return ((self._waits[0], POLLIN),)
        return ()
