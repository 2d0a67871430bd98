"""The bare board of the engineer's guide: what it says can be typed, and its firmware may restart."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_agent import config
from hil_tests import bare_board
from hil_tests.flash_board import IMAGE_AT, FlashBoard
from tools.flash import ports

ROOT = Path(__file__).resolve().parents[2]
RESTARTS = """\
import sys
print("started")
if sys.stdin.readline().strip() == "again":
    sys.exit(64)
raise ValueError("a fault")
"""


def read_until(line, what: bytes) -> bytes:
    got = b""
    until = time.monotonic() + 30
    while what not in got and time.monotonic() < until:
        got += line.read(256)
    assert what in got, got
    return got


def test_it_says_where_it_is_and_has_hands(tmp_path: Path) -> None:
    folder = tmp_path / "bench"
    with subprocess.Popen(
        [sys.executable, "-m", "hil_tests.bare_board", str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        said = [process.stdout.readline()]
        while not said[-1].startswith("Ctrl-C"):
            said.append(process.stdout.readline())
        port = said[0].split(";")[0].rpartition(" ")[2]
        agents = config.load(folder / "agent.toml")
        assert [link.port for link in agents.links] == [port]
        assert (folder / "image.bin").read_bytes()[0] == 0xE9
        ports.check(port)
        process.stdin.write("reset\nwhat\n")
        process.stdin.close()
        assert process.stdout.read().splitlines() == ["pressed", "its hands are: button, reset"]
    assert process.returncode == 0


# bare_board, on which firmware runs already: MicroPython is on it, and a main.py that ends by nothing.
RUNNING = """\
import sys
from hil_tests import bare_board

class Board(bare_board.FlashBoard):
    def __init__(self, folder, **options):
        super().__init__(folder, blank=False, **options)

    def _power_on(self):
        (self.files / "main.py").write_text("print('started')\\nwhile True: pass\\n")
        super()._power_on()

bare_board.FlashBoard = Board
sys.exit(bare_board.main())
"""


def children(pid: int) -> list[int]:
    """The processes that a process has begun."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize(
    "endings",
    [(signal.SIGINT,), (signal.SIGTERM, signal.SIGINT), (signal.SIGHUP, signal.SIGTERM)],
    ids=["ctrl-c", "told", "terminal-closed"],
)
def test_it_takes_its_vm_with_it(tmp_path: Path, endings: tuple[signal.Signals, ...]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUNNING, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        port = process.stdout.readline().partition(";")[0].rpartition(" ")[2]
        with ports.open_line(port) as line:
            read_until(line, b"started")
            (vm,) = children(process.pid)
            try:
                for ending in endings:
                    process.send_signal(ending)
                assert process.wait(60) == 0
                assert not Path(f"/proc/{vm}").exists()
            except BaseException:
                process.kill()
                with contextlib.suppress(ProcessLookupError):
                    os.kill(vm, signal.SIGKILL)
                raise
        assert process.stderr.read() == ""


def test_nothing_is_guessed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bare_board"])
    assert bare_board.main() == 2 and "FOLDER" in capsys.readouterr().err


def test_firmware_that_restarts_starts_again_and_a_fault_leads_to_the_prompt(tmp_path: Path) -> None:
    board = FlashBoard(tmp_path / "board", blank=False)
    try:
        assert board.flash.data[IMAGE_AT] == 0xE9
        (board.files / "main.py").write_text(RESTARTS)
        board.press_reset()
        with ports.open_line(board.port) as line:
            read_until(line, b"started")
            line.write(b"again\n")
            read_until(line, b"started")
            line.write(b"no\n")
            read_until(line, b">>> ")
    finally:
        board.close()
