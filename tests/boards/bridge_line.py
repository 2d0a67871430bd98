"""A file descriptor as a UART to the bus bridge, the clock of its client, and how long a test waits."""

import os
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# For whatever a test waits for. Normally that takes a moment; on a busy machine it takes as long as it takes.
PATIENCE_S = 60.0


def ticks_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def ticks_diff(end: int, start: int) -> int:
    return end - start


class FdStream:
    """A non-blocking file descriptor as a UART: `readinto` gives None when there is nothing. `spoil` may
    change what arrives.
    """

    def __init__(self, fd: int, spoil: Callable[[bytes], bytes] | None = None) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.spoil = spoil

    def write(self, buf: memoryview) -> int:
        data = bytes(buf)
        os.write(self.fd, self.spoil(data) if self.spoil else data)
        return len(data)

    def readinto(self, buf: memoryview) -> int | None:
        try:
            data = os.read(self.fd, len(buf))
        except BlockingIOError:
            return None
        if self.spoil:
            data = self.spoil(data)
        buf[: len(data)] = data
        return len(data) or None
