"""Many boards at once: the command as a person types it."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from hil_tests.flash_board import FlashBoard
from tests.tools import flash_kit
from tests.tools.flash_kit import image, plan, tiny_build
from tools import build
from tools.flash import many, report
from tools.flash.command import command
from tools.flash.node import Keys
from tools.flash.report import Outcome


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[list[FlashBoard]]:
    """Four bare boards; the third has another chip."""
    made = [FlashBoard(tmp_path / f"board{n}", "esp32c3" if n == 2 else "esp32") for n in range(4)]
    yield made
    for board in made:
        board.close()


def keys_of(n: int) -> Keys:
    """Those of the n-th node; not what a node would make, but as many bytes."""
    return Keys(bytes([n]) * 32, bytes([n + 100]) * 32)


@pytest.fixture
def run(boards: list[FlashBoard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """run(*words) → the result of `vitalwire flash` on these boards."""
    (tmp_path / "image.bin").write_bytes(image())
    monkeypatch.setattr(build, "make", lambda name, output, makers: tiny_build())

    def invoke(*words: str):
        always = [
            "--board",
            "virtual",
            "--image",
            str(tmp_path / "image.bin"),
            "--kit",
            str(tmp_path / "kit.json"),
        ]
        ports = [word for board in boards for word in ("--port", board.port)]
        return CliRunner().invoke(command, [*always, *ports, *words])

    return invoke


def test_one_that_fails_stops_no_other(run, boards: list[FlashBoard], tmp_path: Path) -> None:
    out = tmp_path / "report.csv"
    done = run("--yes", "--report", str(out), "--label", str(tmp_path / "labels.pdf"))
    assert done.exit_code == 1, done.output
    assert "3 of 4 passed" in done.output
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert tuple(rows[0]) == report.COLUMNS
    assert [row["port"] for row in rows] == [board.port for board in boards]
    assert [row["result"] for row in rows] == ["passed", "passed", "failed", "passed"]
    assert [row["chip"] for row in rows] == ["esp32", "esp32", "esp32c3", "esp32"]
    assert rows[2]["why"].startswith("wrong image: it is for ESP32, not for ESP32-C3")
    assert f"{boards[2].port}: FAILED: wrong image" in done.output
    assert rows[0]["id"] == flash_kit.KEYS.id
    assert rows[0]["fingerprint"] == flash_kit.KEYS.fingerprint.hex()
    assert {line["name"] for line in json.loads(rows[0]["self_test"])} == {"ram", "ecg", "clock"}
    assert json.loads((tmp_path / "kit.json").read_text())["nodes"][0]["id"] == flash_kit.KEYS.id
    assert (tmp_path / "labels.pdf").read_bytes().startswith(b"%PDF")


def test_nothing_is_erased_unasked(run, boards: list[FlashBoard]) -> None:
    done = run()
    assert done.exit_code == 1
    assert "Nobody is here to say so: add --yes" in done.output
    assert not any(board.flash.erased or board.in_bootloader for board in boards)


def test_words_that_exclude_each_other(run, tmp_path: Path) -> None:
    for words, said in (
        (("--app-only",), "--app-only leaves MicroPython as it is"),
        (("--label", str(tmp_path / "label.gif")), "is neither .png nor .pdf"),
    ):
        done = run(*words)
        assert done.exit_code == 2 and said in done.output


def test_ctrl_c_ends_all_of_them(
    boards: list[FlashBoard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(file=io.StringIO())
    waiting = many.as_completed
    pressed = False

    def interrupted(futures):
        nonlocal pressed
        if not pressed:
            pressed = True
            raise KeyboardInterrupt
        return waiting(futures)

    monkeypatch.setattr(many, "as_completed", interrupted)
    told: list[Outcome] = []
    done = many.flash_all([board.port for board in boards], plan(tmp_path, image()), console, told.append)
    whys = [one.why for one in done]
    # The one with another chip may have been refused before.
    assert all(why.startswith(("interrupted; run this again", "wrong image")) for why in whys)
    assert whys[0].startswith("interrupted")
    assert len(told) == 4
    assert "ending" in console.file.getvalue()  # type: ignore[attr-defined]
