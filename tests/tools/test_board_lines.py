"""What is wrong in a board.toml is named with the line it stands on, however that file is written."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tools import build
from tools.boards import description
from tools.boards.lines import line_of

FILES = sorted((build.ROOT / "boards").glob("*/board.toml"))

AWKWARD = '''\
# a comment with [ecg] and "quotes
name = "x"  # and ] one
title = """of
[ecg]
several = 'lines'
"""
[wiring.labels]
"D = 0" = 5
'[x]' = 6
[wiring]
accepted = [  # ["a",
    "gpio5: [ecg] = \\" ]",
    \'\'\'gpio6:
sck = 3
\'\'\',
]
notes.led = "one = [two]"
notes."the gauge" = 'x'
after = 1

  [ ecg ]
spi=1
cs   =   7
[button]
pin = 1
[parts] # [button]
ecg = "max30003"
led = { red = 1, green = 2, "b l u e" = [
  3 ] }
[[gauge]]
i2c = 0
[[gauge]]
i2c = 1
scl = 5
'''


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("name", 2),
        ("title", 3),
        ("[wiring.labels]", 7),
        ("[wiring.labels] D = 0", 8),
        ("[wiring.labels] [x]", 9),
        ("[wiring]", 10),
        ("wiring", 10),
        ("[wiring] accepted", 11),
        ("[wiring] notes", 17),
        ("[wiring.notes] led", 17),
        ("[wiring.notes] the gauge", 18),
        ("[wiring] after", 19),
        ("[ecg]", 21),
        ("[ecg] spi", 22),
        ("[ecg] cs", 23),
        ("[button] pin", 25),
        ("[parts] led", 28),
        ("[parts.led] green", 28),
        ("[parts.led] b l u e", 28),
        ("[gauge]", 30),
        ("[gauge] scl", 34),
        # What is missed is missed in its table.
        ("[ecg] sck", 21),
        ("[wiring] module", 10),
        ("[wiring.labels] D0", 7),
        ("[led]", None),
        ("[led] red", None),
        ("several", None),
        ("sck", None),
        ("[wiring.x] y", 10),
        ("", None),
        ("[", None),
        ("[]", None),
    ],
)
def test_awkward_files_have_their_lines(place: str, line: int | None) -> None:
    assert set(tomllib.loads(AWKWARD)) == {"name", "title", "wiring", "ecg", "button", "parts", "gauge"}
    assert line_of(AWKWARD, place) == line


def keys(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """(place, key) of everything in a file."""
    for key, value in table.items():
        yield f"[{above}] {key}" if above else key, key
        if isinstance(value, dict):
            yield from keys(value, f"{above}.{key}".lstrip("."))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_every_key_of_every_board_stands_where_it_is_said_to(path: Path) -> None:
    text = path.read_text("utf-8")
    lines, last = text.splitlines(), 0
    for place, key in keys(tomllib.loads(text)):
        line = line_of(text, place)
        assert line is not None and line >= last, place
        assert re.search(rf"^\[.*\b{key}\]|^(\w+\.)*{key}(\.\w+)* = |[{{,] {key} = ", lines[line - 1]), place
        last = line


RIGHT = 'name = "demo"\n\n[build]\nformat = "source"\n\n[parts]\necg = "max30003"\n\n[ecg]\nspi = 1\n'
MODULES = 'modules = ["firmware.app", "drivers.errors"]\n[left_out]\n'


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The board.toml of a project's only board."""
    (tmp_path / "drivers").symlink_to(build.ROOT / "drivers")
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware/modules.toml").write_text(MODULES)
    (tmp_path / "firmware/app.py").write_text('READ = "spi", "outbox_bytes"\n')
    folder = tmp_path / "boards" / "demo"
    folder.mkdir(parents=True)
    (folder / "board.py").write_text("class Board: pass\n")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    return folder / "board.toml"


@pytest.mark.parametrize(
    ("there", "instead", "said"),
    [
        ('name = "demo"', 'name = "dem"', "1: name is 'dem'"),
        ('name = "demo"\n', "", " name is None"),
        ('"source"', '"zip"', "4: [build] format must be"),
        ('format = "source"', "", "3: [build] format must be"),
        ('"source"', '"source"\nfirst = 3', "5: [build] first has to be a list"),
        (
            '"source"',
            '"source"\nboard_modules = ["boards.none"]',
            "5: [build] board_modules has boards.none, but",
        ),
        ('"source"', '"source"\nfrist = []', "5: [build] has no 'frist'"),
        ("[build]\nformat", "build", "3: build has to be a table"),
        ('"max30003"', '"none"', "7: ecg is 'none', but there is no drivers/none.py"),
        ("ecg =", "eeg =", "7: [parts] has no role 'eeg'"),
        ('"max30003"', '"max30003"\ncuff = "mprls"', " a cuff needs hardware of its own"),
        ("[ecg]\nspi = 1", "", "7: there is no [ecg], the table with the wiring"),
        ("spi = 1", "spy = 1", "10: nothing reads [ecg] spy"),
        ("spi = 1", 'spi = "1"', "10: [ecg] spi is '1': without the quotes"),
        ("spi = 1", "spi = nan", "10: [ecg] spi is nan"),
        ("spi = 1", "spi = 1\n[node]\noutbox_bytes = 1", "12: [node] outbox_bytes has to be 4096"),
        ("spi = 1", "spi = 1\n[update]\n[node]\noutbox_bytes = 4096", "12: [update] wants [node] watchdog"),
        # What is no TOML has its line, too.
        ('"source"', "source", "4: Invalid value (column 10); a text stands in quotes"),
        ('"source"', '"source', "4: Illegal character"),
        ("spi = 1", "spi = [\n1,\n\n", "10: Invalid value (at end of document)"),
        ("spi = 1", "spi = '''\n1\n\n", "10: Expected \"'''\""),
        ("spi = 1", "spi = 1\nspi = 2", "11: Cannot overwrite a value"),
        ("spi = 1", "spi = 1\n[ecg]", "11: Cannot declare"),
    ],
)
def test_what_is_wrong_has_its_line(demo: Path, there: str, instead: str, said: str) -> None:
    assert RIGHT.count(there) == 1
    demo.write_text(RIGHT.replace(there, instead))
    with pytest.raises(build.BuildError) as caught:
        build.checked("demo")
    assert str(caught.value).startswith(f"boards/demo/board.toml:{said}")


def test_lines_are_counted_in_a_file_from_windows(demo: Path) -> None:
    demo.write_bytes(RIGHT.replace("spi", "spy").replace("\n", "\r\n").encode())
    with pytest.raises(build.BuildError, match=r"^boards/demo/board\.toml:10: nothing reads \[ecg\] spy"):
        build.checked("demo")


def test_a_file_of_bytes_has_the_line_of_the_first_that_is_none(demo: Path) -> None:
    demo.write_bytes(b'name = "demo"\n# caf\xe9\n')
    with pytest.raises(build.BuildError, match=r"^boards/demo/board\.toml:2: is no text in UTF-8"):
        build.checked("demo")


def test_a_file_that_cannot_be_read_is_named(demo: Path) -> None:
    demo.mkdir()
    with pytest.raises(description.BadBoard, match=r"^boards/demo/board\.toml cannot be read: "):
        description.read(demo.parents[2], "demo")
