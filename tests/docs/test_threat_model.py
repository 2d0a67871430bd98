"""Every row of docs/threat-model.md that claims a defence names tests that exist, or says "not defended"."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text("utf-8")
NAMED = re.compile(r"`((?:tests|hil_tests)/[\w/]+\.py)::(\w+)`")
UNDEFENDED = "not defended"
STRIDE = set("STRIDE")


def rows(text: str) -> "list[tuple[str, list[str], list[str]]]":
    """(heading, header cells, cells) of every row of a table."""
    found: list[tuple[str, list[str], list[str]]] = []
    heading, header = "", None
    for line in text.split("\n"):
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if header is None:
            header = cells
        elif not all(set(cell) <= {"-", ":"} for cell in cells):
            found.append((heading, header, cells))
    return found


@cache
def names_in(path: str) -> "set[str]":
    """The names that pytest would collect from a file."""
    file = ROOT / path
    if not file.is_file():
        return set()
    return {
        node.name
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def missing(text: str) -> "list[str]":
    """What is wrong with the rows and the names in `text`."""
    wrong = [
        f"{path}::{name} does not exist" for path, name in NAMED.findall(text) if name not in names_in(path)
    ]
    for heading, header, cells in rows(text):
        if len(cells) != len(header):
            wrong.append(f"{heading}: {len(cells)} cells under {len(header)}: {cells[:2]}")
        elif header[-1] == "test":
            if not NAMED.search(cells[-1]) and cells[-1] != UNDEFENDED:
                wrong.append(f"{heading}: no test: {cells[:2]}")
            if "defence" in header and (cells[-1] == UNDEFENDED) != (cells[header.index("defence")] == "–"):
                wrong.append(f"{heading}: a defence without a test, or the other way round: {cells[:2]}")
    return wrong


def test_every_row_has_its_test() -> None:
    assert not missing(TEXT)


def test_every_arrow_has_its_table() -> None:
    arrows = {heading[0]: set() for heading, header, _ in rows(TEXT) if "threat" in header}
    for heading, header, cells in rows(TEXT):
        if "threat" in header:
            arrows[heading[0]] |= set(cells[0].replace(", ", ""))
    assert list(arrows) == list("ABCDEFGHIJ")
    assert all(letters <= STRIDE and len(letters) >= 4 for letters in arrows.values())
    assert set().union(*arrows.values()) == STRIDE


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("| S | x | y | z | `tests/both/test_seal.py::test_no_such` |", "does not exist"),
        ("| S | x | y | z | `tests/both/test_none.py::test_known_answer` |", "does not exist"),
        ("| S | x | y | z | somehow |", "no test"),
        ("| S | x | y | z |", "cells"),
        ("| S | x | y | z | not defended |", "the other way round"),
        ("| S | x | – | z | `tests/both/test_seal.py::test_known_answer` |", "the other way round"),
    ],
)
def test_the_check_can_fail(row: str, why: str) -> None:
    (found, *_) = missing(f"### X\n\n| | threat | defence | remains | test |\n|---|---|---|---|---|\n{row}\n")
    assert why in found
