"""A demo's helpers as operating-system processes: started quietly, watched, and always ended."""

import os
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from edge_agent.readable import printable

TAIL_LINES = 12


class ChildError(Exception):
    """A helper or a node did not start, or ended by itself.

    `name`, `status` (None: it never said it was ready), `tail` of its log.
    """

    def __init__(self, name: str, status: int | None, tail: str):
        what = "did not get ready in time" if status is None else f"ended with status {status}"
        super().__init__(f"the {name} {what}" + (f":\n{tail}" if tail else ""))
        self.name = name
        self.status = status
        self.tail = tail


def tail(log: Path) -> str:
    """The last lines of a log, printable; nothing when there is none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(map(printable, lines[-TAIL_LINES:]))


class Together(ABC):
    """A context manager: on entry everything runs; on exit everything has ended, whatever happened."""

    def __init__(self) -> None:
        self._exit = ExitStack()

    @abstractmethod
    def _start(self) -> None:
        """Bring everything up, and leave with `_exit` what ends it."""

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self._exit.close)
            self._start()
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()


class Child:
    """`vitalwire ARGUMENTS` as a process of its own, in a session of its own, so that Ctrl-C reaches only the
    demo.

    Both its output streams go to `log`. With `ready`, the constructor waits for a line that begins so and
    keeps it in `said`.
    """

    def __init__(self, name: str, arguments: list[str], log: Path, ready: str = "", timeout_s: float = 60):
        self.name = name
        self.log = log
        self.said = ""
        with open(log, "ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tools.demo.leash", str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if ready else sink,
                stderr=sink,
                start_new_session=True,
                env=dict(os.environ, PYTHONUNBUFFERED="1"),
                text=True,
            )
        if ready:
            self._wait_ready(ready, timeout_s)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def check(self) -> None:
        """ChildError when it is no longer running."""
        if not self.running:
            raise ChildError(self.name, self._process.returncode, tail(self.log))

    def stop(self, timeout_s: float = 30.0) -> int:
        """Ask it to end (SIGTERM), then make it; its exit status."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return self._process.wait()

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self.running:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _wait_ready(self, ready: str, timeout_s: float) -> None:
        assert self._process.stdout is not None
        timer = threading.Timer(timeout_s, self.kill)
        timer.start()
        try:
            for line in self._process.stdout:
                if line.startswith(ready):
                    self.said = line.strip()
                    return
        finally:
            timer.cancel()
        status = self._process.wait()
        self._process.stdout.close()
        raise ChildError(self.name, None if status == -signal.SIGKILL else status, tail(self.log))
