"""A board that is left half flashed, in whatever way, is flashed by the same words again; and none holds the
program up for ever.
"""

import os
import pty
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.flash_kit import Boards, hand, held, image, plan, tiny_build
from tools.flash import chip, node, prompt, tree
from tools.flash.run import flash
from tools.flash.trouble import Interrupted

ROOT = Path(__file__).resolve().parents[2]
EVERY = os.environ.get("EVERY_STEP") == "1"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the board in software looks into /proc")


@pytest.fixture
def make_board(tmp_path: Path) -> Iterator[Boards]:
    with Boards(tmp_path) as boards:
        yield boards


def steps() -> list[int]:
    """The steps, as the board is told of them, at which it is interrupted."""
    return list(range(22)) if EVERY else [0, 2, 4, 8, 10, 14, 20]


@pytest.mark.parametrize("step", steps())
def test_interrupted_at_a_step_and_run_again(make_board: Boards, tmp_path: Path, step: int) -> None:
    board = make_board()
    made = tiny_build()
    wanted = plan(tmp_path, image(), made)
    at = 0

    def stop(what: str, done: int, of: int) -> None:
        nonlocal at
        if at == step:
            raise Interrupted
        at += 1

    first = flash(board.port, wanted, stop)
    assert at == step
    assert first.why == "interrupted; run this again: it goes on where it was"
    again = flash(board.port, wanted, hand(board.press_reset))
    assert again.passed, again.why
    assert held(board, made.files)
    assert board.flash.erased <= 2


KILLED = """
import sys
from pathlib import Path
from tests.tools.flash_kit import plan, tiny_build
from tools.flash.run import flash
folder = Path(sys.argv[2])
print("begun", flush=True)
flash(sys.argv[1], plan(folder, (folder / "image").read_bytes(), tiny_build()), lambda *_: None)
"""


def kills() -> list[int]:
    """After so many bytes to the board: in the loader's stub, in the image, at the prompt, in a file."""
    return list(range(2000, 110000, 4000)) if EVERY else [3000, 60000, 80000]


@pytest.mark.parametrize("after", kills())
def test_killed_at_a_byte_and_run_again(make_board: Boards, tmp_path: Path, after: int) -> None:
    board = make_board()
    data = image()
    (tmp_path / "image").write_bytes(data)
    process = subprocess.Popen([sys.executable, "-c", KILLED, board.port, str(tmp_path)], cwd=ROOT)
    seen = 0

    def kill(data: bytes) -> bytes:
        nonlocal seen
        seen += len(data)
        if seen >= after:
            process.kill()
        return data

    board.tap = kill
    process.wait(120)
    board.tap = None
    made = tiny_build()
    again = flash(board.port, plan(tmp_path, data, made), hand(board.press_reset))
    assert again.passed, again.why
    assert held(board, made.files)


def test_a_board_whose_copy_was_cut_off_starts_nothing(make_board: Boards, tmp_path: Path) -> None:
    board = make_board(blank=False)
    assert flash(board.port, plan(tmp_path, b"", app_only=True), hand(board.press_reset)).passed
    newer = tiny_build(extra={"lib/other.bin": os.urandom(4000)})

    press = hand(board.press_reset)

    def stop(what: str, done: int, of: int) -> None:
        press(what, done, of)
        if what == "copy":
            raise Interrupted

    flash(board.port, plan(tmp_path, b"", newer, app_only=True), stop)
    assert not (board.files / tree.START).exists()


def test_the_time_of_a_board_that_falls_silent_is_bounded(
    make_board: Boards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "RUN_S", 1.0)
    monkeypatch.setattr(prompt, "READ_S", 1.0)
    board = make_board(blank=False)
    cut = False

    def pull(data: bytes) -> bytes:
        nonlocal cut
        cut = cut or b"statvfs" in data
        return b"" if cut else data

    board.tap = pull
    begun = time.monotonic()
    done = flash(board.port, plan(tmp_path, b"", app_only=True), hand(board.press_reset))
    assert "see to its cable and supply" in done.why
    assert time.monotonic() - begun < 60


def test_a_board_that_prints_for_ever_is_given_up(
    make_board: Boards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "TEST_S", 0.5)
    made = tiny_build()
    made.files["firmware/selftest.py"] = (
        b"import time\ndef self_test(*a):\n while 1:\n  print('no answer')\n  time.sleep_ms(50)\n"
    )
    board = make_board(blank=False)
    done = flash(board.port, plan(tmp_path, b"", made, app_only=True), hand(board.press_reset))
    assert "the board goes on for more than" in done.why


def test_a_chip_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chip, "ATTEMPTS", 1)
    master, slave = pty.openpty()
    try:
        tty.setraw(slave)
        done = flash(os.ttyname(slave), plan(tmp_path, image()), hand(lambda: None))
    finally:
        os.close(master)
        os.close(slave)
    assert done.why.startswith("no answer from the chip's loader: Failed to connect")
    assert "hold BOOT while you press reset" in done.why


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ("look", "the flash cannot be read"),
        ("prompt", "no MicroPython prompt"),
        ("copy", "the board stopped answering"),
        ("hello", "the port went away"),
    ],
)
def test_a_port_that_goes_away_ends_it_with_what_to_do(
    make_board: Boards, tmp_path: Path, when: str, says: str
) -> None:
    board = make_board(blank=False)
    there = True

    def unplug(what: str, done: int, of: int) -> None:
        nonlocal there
        if what == when and there:
            there = False
            board.close()
        if there:
            press(what, done, of)

    press = hand(board.press_reset)
    done = flash(
        board.port, plan(tmp_path, image() if when == "look" else b"", app_only=when != "look"), unplug
    )
    assert says in done.why and "run this again" in done.why
    assert not (tmp_path / "kit.json").exists()


def test_two_names_of_one_port_are_one_board(make_board: Boards, tmp_path: Path) -> None:
    board = make_board(blank=False)
    (tmp_path / "by-id").symlink_to(board.port)
    other: list[str] = []
    press = hand(board.press_reset)

    def second(what: str, done: int, of: int) -> None:
        press(what, done, of)
        if what == "copy" and not other:
            other.append(flash(str(tmp_path / "by-id"), plan(tmp_path, image()), press).why)

    first = flash(board.port, plan(tmp_path, b"", app_only=True), second)
    assert first.passed, first.why
    (why,) = other
    assert why.startswith(f"{board.port} is being flashed already") and "name each board once" in why
    assert not board.flash.erased
