"""The rig's watchdog, and how it counts a node's time on a host that is busy with other things."""

import time
from pathlib import Path

# A look at the time that comes later than this after the one before says that the host hesitated.
MAX_LAP_S = 0.25
DISK_WAIT = "D"


class FairTime:
    """The wall's time as far as a process could use it.

    `lap(pid)` gives the seconds since the lap before, at most MAX_LAP_S: whoever counts them was held up,
    too. What the process has spent runnable but without a CPU is taken off, and so is a wait for a disk:
    neither happens to a chip of its own. Linux counts the first in /proc/PID/schedstat (run delay, in ns;
    Documentation/scheduler/sched-stats.rst); elsewhere only the bound of a lap helps.
    """

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._pid: int | None = None
        self._delayed = 0

    def lap(self, pid: int | None) -> float:
        """Seconds that `pid` had for itself; None: nobody runs, and time passes."""
        now = time.monotonic()
        gone = min(now - self._at, MAX_LAP_S)
        self._at = now
        if pid is None:
            return gone
        try:
            delayed = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, IndexError, ValueError):
            return gone
        waited = (delayed - self._delayed) / 1e9 if pid == self._pid else 0.0
        self._pid, self._delayed = pid, delayed
        return 0.0 if state == DISK_WAIT else max(0.0, gone - waited)


class Watchdog:
    """Bites a node that lets its time pass. It sleeps until it is fed for the first time."""

    def __init__(self) -> None:
        self._left_s: float | None = None

    def feed(self, timeout_ms: int) -> None:
        """Wait another `timeout_ms`; 0: sleep."""
        self._left_s = timeout_ms / 1000 if timeout_ms else None

    def elapse(self, seconds: float) -> bool:
        """So much of the node's time has passed; whether that was too much."""
        if self._left_s is None:
            return False
        self._left_s -= seconds
        return self._left_s < 0
