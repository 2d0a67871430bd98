"""A server as a process of one's own on a loopback port."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tools.demo.broker import free_port, wait_until_listening

START_S = 60.0
STOP_S = 20.0


class ServerError(Exception):
    """It cannot be had (`absent`), or does not start; the text says why and what to do."""

    def __init__(self, text: str, absent: bool = False):
        super().__init__(text)
        self.absent = absent


def with_parent(arguments: list[str]) -> list[str]:
    """The command, ended with the thread that starts it where the system can do that: whoever is killed
    leaves no server behind.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *arguments] if setpriv else arguments


def lives(pid: int) -> bool:
    """Whether that process runs: neither gone nor a zombie that only waits to be noticed (Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "XZ"
    except OSError:
        return False


class Server:
    """A server on 127.0.0.1:`port`: `start`, `stop` (as it wants to be stopped), `kill` (SIGKILL); what it
    prints is added to `log`.
    """

    stop_signal = signal.SIGTERM

    def __init__(self, name: str, log: Path):
        self.name = name
        self.log = log
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What to run."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process that `start` started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it on the same port as before, and wait until it listens. ServerError."""
        assert not self.running
        with self.log.open("ab") as sink:
            self._process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=os.sep
            )
        if not wait_until_listening(self.port, START_S) or not self.running:
            self.kill()
            said = self.log.read_text(errors="replace")[-2000:]
            raise ServerError(f"{self.name} did not start:\n{said}")

    def stop(self) -> None:
        """Ask it to end, then make it."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self._process is not None:
            if self.running:
                self._process.kill()
            self._process.wait()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
