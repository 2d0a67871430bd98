"""One agent for one state directory: a lock that the system lets go of when its process ends, however it
ends.
"""

import os
import time
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from edge_agent.files import private

POLL_S = 0.02


class Locked(Exception):
    """Another process holds the lock. `path`; `pid`: of the holder, None when unknown."""

    def __init__(self, path: Path, pid: int | None) -> None:
        who = "another agent" if pid is None else f"another agent (pid {pid})"
        super().__init__(
            f"{path.parent}: {who} runs with this state directory; stop it, or name another state_dir"
        )
        self.path = path
        self.pid = pid


def hold(path: Path) -> BinaryIO:
    """Take the lock and write our pid into the file; held until the file is closed. Locked, OSError."""
    file = _Held(path, "a+", opener=private)
    try:
        _take(file)
    except OSError:
        file.seek(0)
        holder = file.read(20).strip()
        file.close()
        raise Locked(path, int(holder) if holder.isdigit() else None) from None
    file.truncate(0)
    file.write(b"%d\n" % os.getpid())
    return file


def hold_soon(path: Path, wait_s: float) -> BinaryIO:
    """The same, waiting for whoever holds it now. Locked after `wait_s`, OSError."""
    until = time.monotonic() + wait_s
    while True:
        try:
            return hold(path)
        except Locked:
            if time.monotonic() >= until:
                raise
        time.sleep(POLL_S)


class _Held(FileIO):
    """Lets go when it is closed, though a program that is just being started still has a copy of the file
    open: the lock is the copy's, too (flock(2)). Such a copy lets go of nothing.
    """

    def __init__(self, *how: Any, **more: Any) -> None:
        super().__init__(*how, **more)
        self._pid = os.getpid()

    def close(self) -> None:
        """Idempotent."""
        if not self.closed and self._pid == os.getpid():
            _let_go(self)
        super().close()


if os.name == "nt":
    import msvcrt

    def _take(file: BinaryIO) -> None:
        # Far beyond the pid, which others must be able to read.
        file.seek(1 << 20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _let_go(file: BinaryIO) -> None:
        # The system does.
        pass

else:
    import fcntl

    def _take(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _let_go(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
