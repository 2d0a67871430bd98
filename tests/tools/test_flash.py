"""A board from bare to node: the real esptool and mpremote, against a loader and MicroPython on one pty."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools import flash_kit
from tests.tools.flash_kit import KIB, Boards, hand, held, image, plan, tiny_build
from tests.tools.remote_line import RemoteLine
from tools.flash import prompt
from tools.flash.run import flash

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the board in software looks into /proc")


@pytest.fixture
def make_board(tmp_path: Path) -> Iterator[Boards]:
    with Boards(tmp_path) as boards:
        yield boards


def test_a_bare_board_becomes_a_node(make_board: Boards, tmp_path: Path) -> None:
    board = make_board()
    data, made = image(), tiny_build()
    told: list[str] = []
    done = flash(board.port, plan(tmp_path, data, made), lambda what, at, of: told.append(what))
    assert done.passed, done.why
    assert (done.chip, done.board, done.firmware, done.mac) == (
        "esp32",
        "virtual",
        "1.2.3",
        "24:0a:c4:e2:95:26",
    )
    assert done.keys == flash_kit.KEYS
    assert [line.name for line in done.lines] == ["ram", "ecg", "clock"]
    assert not done.went_on_with
    assert board.flash.erased == 1
    assert bytes(board.flash.data[0x1000 : 0x1000 + len(data)]) == data
    assert held(board, made.files)
    assert [what for n, what in enumerate(told) if what not in told[:n]] == [
        *("chip", "look", "erase", "write", "build", "prompt", "copy", "self-test", "start", "hello")
    ]
    kit = json.loads((tmp_path / "kit.json").read_text())
    assert kit["version"] == 1
    (node,) = kit["nodes"]
    assert set(node) == {"id", "ed25519", "x25519", "board", "firmware", "flashed_at"}
    assert (node["id"], node["board"], node["firmware"]) == (flash_kit.KEYS.id, "virtual", "1.2.3")


def test_what_is_there_is_left_alone(make_board: Boards, tmp_path: Path) -> None:
    board = make_board()
    same = plan(tmp_path, image())
    assert flash(board.port, same, hand(board.press_reset)).passed
    (board.files / "state").mkdir()
    before = {path: path.stat().st_mtime_ns for path in board.files.rglob("*.py")}
    again = flash(board.port, same, hand(board.press_reset))
    assert again.passed, again.why
    assert again.went_on_with == ["MicroPython that was there", "6 of 6 files that were there"]
    assert board.flash.erased == 1
    assert {path: path.stat().st_mtime_ns for path in board.files.rglob("*.py")} == before
    assert (board.files / "state").is_dir()
    assert len(json.loads((tmp_path / "kit.json").read_text())["nodes"]) == 1


def test_what_micropython_keeps_in_the_gap_of_the_image_does_not_count(
    make_board: Boards, tmp_path: Path
) -> None:
    board = make_board()
    same = plan(tmp_path, image())
    assert flash(board.port, same, hand(board.press_reset)).passed
    board.flash.data[0x1000 + 16 * KIB] = 0
    assert flash(board.port, same, hand(board.press_reset)).passed
    assert board.flash.erased == 1


def test_another_version_of_the_application(make_board: Boards, tmp_path: Path) -> None:
    board = make_board()
    data = image()
    old = tiny_build(extra={"old/gone.py": b"pass\n"})
    assert flash(board.port, plan(tmp_path, data, old), hand(board.press_reset)).passed
    (board.files / "boot.py").write_text("# not of the build\n")
    new = tiny_build(extra={"lib/new.py": b"pass\n"})
    done = flash(board.port, plan(tmp_path, data, new, app_only=True), hand(board.press_reset))
    assert done.passed, done.why
    assert done.went_on_with == ["5 of 7 files that were there"]
    assert held(board, new.files)
    assert not (board.files / "old" / "gone.py").exists()
    assert (board.files / "boot.py").exists()


def test_what_comes_with_a_version_for_one_start_is_written_each_time(
    make_board: Boards, tmp_path: Path
) -> None:
    board = make_board(blank=False)
    made = tiny_build(extra={"flashed": b"1.2.3\n"})
    only = plan(tmp_path, b"", made, app_only=True)
    assert flash(board.port, only, hand(board.press_reset)).passed
    (board.files / "flashed").unlink()
    again = flash(board.port, only, hand(board.press_reset))
    assert again.went_on_with == ["6 of 6 files that were there"]
    assert held(board, made.files)


# What is wrong


@pytest.mark.parametrize(
    ("chips", "board", "says"),
    [
        (
            {"virtual": "esp32c3", "other": "esp32"},
            "virtual",
            "wrong chip: virtual has an esp32c3, here is an esp32",
        ),
        (
            {"virtual": "esp32", "other": "esp32"},
            None,
            "boards with an esp32: other, virtual; say --board NAME",
        ),
        ({"virtual": "esp32c3"}, None, "no board has an esp32; say --board NAME"),
    ],
)
def test_another_chip_than_the_boards_is_not_touched(
    make_board: Boards, tmp_path: Path, chips: dict[str, str], board: str | None, says: str
) -> None:
    there = make_board()
    done = flash(there.port, plan(tmp_path, image(), chips=chips, board=board), hand(there.press_reset))
    assert says in done.why
    assert there.flash.erased == 0
    assert not (tmp_path / "kit.json").exists()


def test_a_module_with_less_flash_than_the_boards(make_board: Boards, tmp_path: Path) -> None:
    board = make_board()
    done = flash(board.port, plan(tmp_path, image(), flash_mib=8), hand(board.press_reset))
    assert "too little flash: virtual has 8 MiB, here are 4" in done.why
    assert board.flash.erased == 0


def test_the_chip_says_which_board_it_is(make_board: Boards, tmp_path: Path) -> None:
    there = make_board(chip="esp32c3")
    chips = {"virtual": "esp32c3", "other": "esp32"}
    done = flash(there.port, plan(tmp_path, image(5), chips=chips, board=None), hand(there.press_reset))
    assert done.board == "virtual"
    assert bytes(there.flash.data[:1]) == b"\xe9"


def test_an_image_for_another_chip_is_refused_before_anything_is_erased(
    make_board: Boards, tmp_path: Path
) -> None:
    board = make_board()
    done = flash(board.port, plan(tmp_path, image(9)), hand(board.press_reset))
    assert "wrong image: it is for ESP32-S3, not for ESP32" in done.why
    assert board.flash.erased == 0


def test_a_byte_that_changed_in_the_image_is_found(make_board: Boards, tmp_path: Path) -> None:
    board = make_board()
    data = image()
    assert flash(board.port, plan(tmp_path, data), hand(board.press_reset)).passed
    board.flash.data[0x1000 + 40 * KIB] ^= 1
    done = flash(board.port, plan(tmp_path, data), hand(board.press_reset))
    assert done.passed, done.why
    assert board.flash.erased == 2
    assert bytes(board.flash.data[0x1000 : 0x1000 + len(data)]) == data


def test_flash_that_does_not_keep_the_image(
    make_board: Boards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = make_board()
    write = board.flash.write_defl_block

    def worn(payload: bytes) -> None:
        write(payload)
        board.flash.data[0x1000 + 100] |= 0x10

    monkeypatch.setattr(board.flash, "write_defl_block", worn)
    data = bytearray(image())
    data[100] = 0
    done = flash(board.port, plan(tmp_path, bytes(data)), hand(board.press_reset))
    assert done.why.startswith("verify failed: the flash does not hold what was written")
    assert not list(board.files.iterdir())


def test_a_byte_that_changed_in_a_file_is_found(make_board: Boards, tmp_path: Path) -> None:
    board = make_board(blank=False)
    made = tiny_build()
    only = plan(tmp_path, b"", made, app_only=True)
    assert flash(board.port, only, hand(board.press_reset)).passed
    place = board.files / "lib" / "data.bin"
    place.write_bytes(b"?" + place.read_bytes()[1:])
    done = flash(board.port, only, hand(board.press_reset))
    assert done.passed, done.why
    assert done.went_on_with == ["5 of 6 files that were there"]
    assert held(board, made.files)


@pytest.mark.parametrize("times", [1, 100])
def test_a_byte_that_changes_on_the_way(make_board: Boards, tmp_path: Path, times: int) -> None:
    board = make_board(blank=False)
    made = tiny_build()
    left = times

    def spoil(data: bytes) -> bytes:
        nonlocal left
        at = data.find(b"Q09ORklHID0ge30K")
        if at < 0 or not left:
            return data
        left -= 1
        return data[:at] + b"R" + data[at + 1 :]

    board.tap = spoil
    done = flash(board.port, plan(tmp_path, b"", made, app_only=True), hand(board.press_reset))
    if times == 1:
        assert done.passed, done.why
        assert held(board, made.files)
    else:
        assert done.why.startswith("verify failed: board_config.py on the board is not what was written")
        assert not (board.files / "main.py").exists()


def test_a_fault_that_the_board_finds_fails_it(make_board: Boards, tmp_path: Path) -> None:
    board = make_board(blank=False)
    made = tiny_build(fault="identity 0x5 expected, 0x0 found")
    done = flash(board.port, plan(tmp_path, b"", made, app_only=True), hand(board.press_reset))
    assert done.why == "self-test: ecg; see to it, and run this again"
    assert not (tmp_path / "kit.json").exists()


def test_another_node_than_the_one_that_made_the_keys(make_board: Boards, tmp_path: Path) -> None:
    board = make_board(blank=False)
    other = flash_kit.Keys(flash_kit.KEYS.x25519, flash_kit.KEYS.ed25519)
    made = tiny_build()
    made.files["app/tiny.py"] = tiny_build(other).files["app/tiny.py"]
    done = flash(board.port, plan(tmp_path, b"", made, app_only=True), hand(board.press_reset))
    assert f"another node answers: {other.id}, not {flash_kit.KEYS.id}" in done.why


def test_a_board_without_a_prompt(
    make_board: Boards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt, "BUTTON_S", 0.5)
    board = make_board()
    done = flash(board.port, plan(tmp_path, b"", app_only=True), hand(board.press_reset))
    assert "no MicroPython prompt; is it the right image" in done.why


def test_an_application_that_fails_at_its_first_import(make_board: Boards, tmp_path: Path) -> None:
    board = make_board(blank=False)
    made = tiny_build()
    made.files["app/tiny.py"] = b"import nothing_there\n"
    done = flash(board.port, plan(tmp_path, b"", made, app_only=True), hand(board.press_reset))
    assert "the self-test ended early: ImportError" in done.why


def test_ports_that_cannot_be_used(
    make_board: Boards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import serial

    from tools.flash import ports

    monkeypatch.setattr(ports, "BUSY_S", 0.2)
    monkeypatch.setattr(ports, "AGAIN_S", 0.2)
    missing = flash("/dev/ttyNONE", plan(tmp_path, image()), hand(lambda: None))
    assert "there is no such port; plug the node in" in missing.why
    board = make_board()
    with serial.Serial(board.port, exclusive=True):
        busy = flash(board.port, plan(tmp_path, image()), hand(board.press_reset))
    assert "another program uses it; close that program" in busy.why
    with open(tmp_path / "file", "w"):
        wrong = flash(str(tmp_path / "file"), plan(tmp_path, image()), hand(lambda: None))
    assert "it is not a serial port" in wrong.why


# Its lines


# pyserial's client of RFC 2217.
@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")
def test_a_board_that_is_reset_by_its_lines(make_board: Boards, tmp_path: Path) -> None:
    board = make_board(wired=True)
    line = RemoteLine(board)
    try:
        asked: list[str] = []
        first = flash(line.url, plan(tmp_path, image()), lambda what, done, of: asked.append(what))
        assert first.passed, first.why
        only = plan(tmp_path, b"", app_only=True)
        running = flash(line.url, only, lambda what, done, of: asked.append(what))
        assert running.passed, running.why
        assert running.went_on_with == ["6 of 6 files that were there"]
        assert "press its reset button" not in asked
    finally:
        line.close()
