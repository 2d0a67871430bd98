"""A timer as machine.Timer is on an ESP32: its callback comes although tasks hang.

A thread sleeps, and the scheduler calls back: between two bytecodes of whatever the main thread does, or when
a call that waits has come back. `$VITALWIRE_SPEED` makes it as much faster as it makes the node's time.
"""
# pyright: reportAttributeAccessIssue=false, reportMissingImports=false

import _thread
import os
import socket
import struct
import sys
from binascii import crc32

import micropython
import utime as _wall

EXIT_RESET = 64  # the rig starts a VM that ends so again

_speed = float(os.getenv("VITALWIRE_SPEED") or 1)


def reset():
    """As the chip's reset pin."""
    sys.exit(EXIT_RESET)


class WDT:
    """The rig's watchdog, for who has no bridge of his own yet (boards/virtual/bridge_wire.py, WATCH)."""

    def __init__(self, timeout):
        request = struct.pack("<HBBI", 4, 9, 1, timeout)
        stream = socket.socket(1, socket.SOCK_STREAM)
        family = bytes((106, 1)) if sys.platform == "darwin" else struct.pack("<H", 1)
        stream.connect(family + os.getenv("VITALWIRE_BRIDGE").encode() + b"\0")
        stream.write(b"\xb5" + request + struct.pack("<H", crc32(request) & 0xFFFF))
        stream.read(7)
        stream.close()


class Timer:
    """`period` in ms; `callback(timer)` until deinit(). A call that is still waiting is not asked for
    twice.
    """

    PERIODIC = 1

    def __init__(self, number, mode, period, callback):
        self._period_us = max(1000, int(period * 1000 / _speed))
        self._callback = callback
        self._on = True
        self._waiting = False
        self._ref = self._call
        _thread.start_new_thread(self._run, ())

    def deinit(self):
        """No call from here on."""
        self._on = False

    def _call(self, _):
        self._waiting = False
        if self._on:
            self._callback(self)

    def _run(self):
        # Nothing here takes memory. A collection by the main thread cuts a sleep short.
        period = self._period_us
        due = _wall.ticks_add(_wall.ticks_us(), period)
        while self._on:
            left = _wall.ticks_diff(due, _wall.ticks_us())
            if left > 0:
                _wall.sleep_us(left)
                continue
            due = _wall.ticks_add(due, period)
            if left < -period:
                due = _wall.ticks_add(_wall.ticks_us(), period)
            if not self._waiting:
                self._waiting = True
                micropython.schedule(self._ref, None)
