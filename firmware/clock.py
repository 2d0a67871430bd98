"""Microseconds since boot, counted in 64 bits from ticks that wrap.

`time.ticks_us` wraps every 2^30 µs (17.9 min) on an ESP32, and an integer from 2^30 on is a heap object
there. So the count is kept as two small integers (whole seconds, microseconds of the second) and joined to
one number only where a frame needs it. Between two calls of `advance` (or of any method that calls it) at
most 2^29 µs (8.9 min) may pass.
"""


class Clock:
    """Time since this object was made. `source` is shaped like MicroPython's `time`; `ticks` values are its
    ticks_us().
    """

    def __init__(self, source):
        self.ticks_us = source.ticks_us
        self.ticks_diff = source.ticks_diff
        self.ticks_add = source.ticks_add
        self._last = self.ticks_us()
        self.seconds = 0
        self._micros = 0

    def advance(self):
        """Take in the time that passed; returns the ticks read."""
        now = self.ticks_us()
        self._micros += self.ticks_diff(now, self._last)
        self._last = now
        while self._micros >= 1000000:
            self._micros -= 1000000
            self.seconds += 1
        return now

    def now_us(self):
        """Microseconds since boot; a heap object on a 32-bit node once 17.9 minutes have passed."""
        self.advance()
        return self.seconds * 1000000 + self._micros

    def now_ms(self):
        """Milliseconds since boot; a small integer for the first 12 days."""
        self.advance()
        return self.seconds * 1000 + self._micros // 1000

    def at_us(self, ticks):
        """Microseconds since boot of a moment read as `ticks`, at most 8.9 minutes from now; before boot is
        0.
        """
        self.advance()
        at = self.seconds * 1000000 + self._micros + self.ticks_diff(ticks, self._last)
        return at if at > 0 else 0
