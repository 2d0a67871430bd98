"""Polling that finds nothing and lets time pass."""

import time

POLLIN = 1
POLLOUT = 4
POLLERR = 8
POLLHUP = 16


class poll:
    def register(self, *args):
        pass

    def unregister(self, *args):
        pass

    modify = register

    def ipoll(self, timeout=-1, flags=0):
        if timeout > 0:
            time.sleep_ms(timeout)
        return ()
