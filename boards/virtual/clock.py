"""One time for the chips and the patient, led by the node when it says what time it is.

With a speed of k, this clock runs k times faster than the wall. A node on the unix socket stamps every
request with its own time: then the world is exactly where the node is, and goes on at k between requests, so
that a host that hesitates slows the world instead of overflowing FIFOs. A node on a serial line sends no
stamps and meets a world on the wall clock. A node that is stopped while it leads, as one that hangs, is let
go: the world goes on without it, and is led again, from where it then is, when the node goes on.
"""

import threading
import time
from collections.abc import Callable

MAX_LEAD_US = 200_000  # how far the world runs on, at most, beyond the last stamp of a node that leads it


class SharedClock:
    """Microseconds of world time since it was made; never goes back. `wall` gives seconds."""

    def __init__(self, speed: float = 1.0, wall: Callable[[], float] = time.monotonic) -> None:
        if speed <= 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.speed = speed
        self._wall = wall
        self._lock = threading.Lock()
        self._at_wall = wall()
        self._at_us = 0
        self._offset_us: int | None = None
        self._let_go = self._back = False

    @property
    def led(self) -> bool:
        """Whether a node leads it."""
        return self._offset_us is not None and not self._let_go

    def now_us(self) -> int:
        """The world's time: the last known point, extrapolated at the clock's speed."""
        with self._lock:
            return self._extrapolate()

    def reached_us(self) -> int:
        """How far the world has come: where the node is that leads it, else now. Whoever looks at the world
        moves it no further, or what the node then does would come too late.
        """
        with self._lock:
            return self._at_us if self.led and self.speed != 1 else self._extrapolate()

    def attach(self, node_us: int) -> None:
        """A node begins at its own time `node_us`: from now on it leads."""
        with self._lock:
            self._settle()
            self._offset_us = self._at_us - node_us
            self._let_go = False

    def let_go(self) -> None:
        """The node that leads has been stopped: the world waits no more, whatever it had still said."""
        with self._lock:
            self._settle()
            self._let_go = True
            self._back = False

    def take_up(self) -> None:
        """That node goes on: with its next stamp it leads again."""
        with self._lock:
            self._back = True

    def detach(self) -> None:
        """The node is gone: the world goes on at the clock's speed alone."""
        with self._lock:
            self._settle()
            self._offset_us = None
            self._let_go = False

    def stamp(self, node_us: int) -> int:
        """The node says what time it is; the world's time there."""
        with self._lock:
            if self._offset_us is None:
                return self._extrapolate()
            if self._let_go:
                if not self._back:
                    return self._extrapolate()
                self._settle()
                self._offset_us = self._at_us - node_us
                self._let_go = False
            now_us = node_us + self._offset_us
            if now_us > self._at_us:
                self._at_us = now_us
            self._at_wall = self._wall()
            return self._at_us

    def to_world_us(self, node_us: int) -> int | None:
        """World time of a node time of the node attached now."""
        return None if self._offset_us is None else node_us + self._offset_us

    def _settle(self) -> None:
        self._at_us = self._extrapolate()
        self._at_wall = self._wall()

    def _extrapolate(self) -> int:
        gone_us = int((self._wall() - self._at_wall) * 1e6 * self.speed)
        if self.led and self.speed != 1:
            gone_us = min(gone_us, MAX_LEAD_US)
        return self._at_us + gone_us
