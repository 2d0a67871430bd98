"""The self-test of the real firmware, at a VM's prompt: what it finds, and what it says."""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from boards.virtual.ble.radio import Radio
from hil_tests.flash_board import FlashBoard
from tools import build
from tools.flash import node, tree
from tools.flash.node import Keys, Line
from tools.flash.prompt import Prompt

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the board in software looks into /proc")


@pytest.fixture(scope="module")
def built() -> build.Build:
    """The kit that exists only in software: bytecode, in a slot."""
    return build.make("virtual_kit")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, built: build.Build) -> Iterator[FlashBoard]:
    """A board with that on its flash."""
    with Radio() as radio:
        ble = str(radio.peripheral().path)
        made = FlashBoard(tmp_path_factory.mktemp("board"), blank=False, ble=ble)
        build.write(built, made.files)
        yield made
        made.close()


def examined(board: FlashBoard, built: build.Build) -> tuple[dict[str, Line], Keys | None]:
    """What a board says of itself after a reset; nobody else's file is changed by it."""
    prompt = Prompt(board.port)
    try:
        board.press_reset()
        prompt.get(lambda text: None)
        lines, keys = node.self_test(prompt, built)
        assert not tree.differing(prompt, {path: data for path, data in built.files.items()})
        return {line.name: line for line in lines}, keys
    finally:
        prompt.close()


def test_a_sound_board(board: FlashBoard, built: build.Build) -> None:
    lines, keys = examined(board, built)
    assert not {name: line.why for name, line in lines.items() if line.why}
    assert {"ram", "flash", "ecg", "ppg", "cuff", "gauge", "wifi", "ble", "button", "keys"} <= set(lines)
    assert (lines["ecg"].found, lines["ram"].unit, lines["flash"].unit) == ("MAX30003", "bytes", "bytes free")
    assert isinstance(lines["ram"].found, int) and lines["ram"].found > 16384
    assert keys is not None
    assert lines["keys"].found == keys.id
    assert not list(board.files.rglob("selftest.tmp"))


def test_keys_are_made_once(board: FlashBoard, built: build.Build) -> None:
    _, first = examined(board, built)
    before = hashlib.sha256((board.files / "state" / "identity").read_bytes()).digest()
    _, second = examined(board, built)
    assert first == second
    assert hashlib.sha256((board.files / "state" / "identity").read_bytes()).digest() == before


def test_nothing_secret_is_said(board: FlashBoard, built: build.Build) -> None:
    prompt = Prompt(board.port)
    try:
        board.press_reset()
        prompt.get(lambda text: None)
        heard: list[str] = []
        run = prompt.run

        def listen(code: str, seconds: float = 60.0) -> str:
            heard.append(run(code, seconds))
            return heard[-1]

        prompt.run = listen  # type: ignore[method-assign]
        node.self_test(prompt, built)
    finally:
        prompt.close()
    record = (board.files / "state" / "identity").read_bytes()
    said = "".join(heard)
    # The record holds seed, public, secret, public, 32 bytes each behind two bytes of CBOR.
    secret = [record[at : at + 32] for at in (8 + 1 + 2, 8 + 1 + 2 + 2 * 34)]
    public = [record[at : at + 32] for at in (8 + 1 + 2 + 34, 8 + 1 + 2 + 3 * 34)]
    assert all(one.hex() in said for one in public)
    for one in secret:
        assert one.hex() not in said


def test_no_watchdog_is_started_that_nobody_feeds(board: FlashBoard, built: build.Build) -> None:
    prompt = Prompt(board.port)
    try:
        board.press_reset()
        prompt.get(lambda text: None)
        assert "'watchdog': True" in built.files["slot_a/board_config.py"].decode()
        said = prompt.run(
            "import sys\nsys.path.insert(0,'slot_a')\nimport asyncio_ticks\n"
            "from node import Board,SENSORS\nfrom board_config import CONFIG\n"
            "from firmware.selftest import self_test\n"
            "def made(config):\n print('watchdog',config['node']['watchdog'])\n return Board(config)\n"
            "self_test(made,SENSORS,CONFIG)"
        )
        assert "watchdog False" in said.splitlines()
    finally:
        prompt.close()


def test_what_is_wrong_is_said(board: FlashBoard, built: build.Build) -> None:
    board.bench.unplug("ecg")
    board.bench.unplug("ppg")
    board.bench.pins["BUTTON"] = 1
    try:
        lines, _ = examined(board, built)
    finally:
        board.bench.replug("ecg")
        board.bench.replug("ppg")
        board.bench.pins["BUTTON"] = 0
    assert {name for name, line in lines.items() if line.why} == {"ecg", "ppg", "button"}
    assert lines["ecg"].why.startswith("MAX30003: identity 0x503000 expected, 0x0 found")
    assert lines["ecg"].why.endswith("see to its wires and supply")
    assert lines["button"].why == "held or stuck: let go of it"


def test_flash_that_refuses(board: FlashBoard, built: build.Build) -> None:
    state = board.files / "state"
    state.rename(board.files / "state.aside")
    state.write_text("no folder")
    try:
        lines, keys = examined(board, built)
    finally:
        state.unlink()
        (board.files / "state.aside").rename(state)
    assert lines["flash"].why.startswith("write, read and erase: ")
    assert "they cannot be kept" in lines["keys"].why
    assert keys is None


def test_a_radio_that_is_not_there(tmp_path: Path, built: build.Build) -> None:
    board = FlashBoard(tmp_path / "board", blank=False)
    try:
        build.write(built, board.files)
        lines, _ = examined(board, built)
        assert lines["ble"].why.startswith("no radio: ")
        assert len(str(lines["wifi"].found)) == 12
    finally:
        board.close()
