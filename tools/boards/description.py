"""A board's folder, read: what boards/NAME/board.toml says, for the build, the checks and the pictures."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools import assembly, imported
from tools.boards.lines import line_of, unfinished

FORMATS = ("mpy", "source")
BUILD_KEYS = ("format", "board_modules", "first")
HOST_TABLES = ("chip", "image", "wiring")


class BadBoard(Exception):
    """A board.toml that cannot be used; the text says which file and line, and what to do."""


@dataclass
class Board:
    """`settings` is what the firmware gets; `modules` what the board adds to a node, `parts` the drivers of
    its parts by role, `first` what main.py imports before everything else; `chip`, `image`, `wiring`: the
    tables of those names, which only the host reads. `text`: of its board.toml.
    """

    name: str
    format: str
    modules: list[str]
    parts: dict[str, str]
    first: list[str]
    settings: dict[str, Any]
    chip: dict[str, Any] = field(default_factory=lambda: {})
    image: dict[str, Any] = field(default_factory=lambda: {})
    wiring: dict[str, Any] = field(default_factory=lambda: {})
    text: str = field(default="", repr=False)

    def wrong(self, place: str, problem: str) -> str:
        """`problem`, with the file and the line of `place` (tools/boards/lines.py) in front."""
        return _wrong(self.name, self.text, place, problem)


def read(root: Path, name: str) -> Board:
    """The board of root/boards/name, its keys for the build checked. Raises BadBoard."""
    path = root / "boards" / name / "board.toml"
    text = _text(name, path)
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise BadBoard(_no_toml(name, text, str(e))) from e

    def bad(place: str, problem: str) -> BadBoard:
        return BadBoard(_wrong(name, text, place, problem))

    build, parts = settings.pop("build", {}), settings.pop("parts", {})
    host = {table: settings.pop(table, {}) for table in HOST_TABLES}
    for table, value in (("build", build), ("parts", parts), *host.items()):
        if not isinstance(value, dict):
            raise bad(table, f"{table} has to be a table: [{table}]")
    for key in build:
        if key not in BUILD_KEYS:
            raise bad(f"[build] {key}", f"[build] has no {key!r}; it has {', '.join(BUILD_KEYS)}")
    if build.get("format") not in FORMATS:
        raise bad("[build] format", f"[build] format must be one of {', '.join(FORMATS)}")
    if settings.get("name") != name:
        raise bad("name", f"name is {settings.get('name')!r}, the folder is {name!r}")
    for key in ("board_modules", "first"):
        if not _are_modules(build.get(key, [])):
            raise bad(f"[build] {key}", f"[build] {key} has to be a list of modules, each in quotes")
    for module in build.get("board_modules", []):
        its = imported.module_path(root, module).relative_to(root)
        if not (root / its).is_file():
            raise bad("[build] board_modules", f"[build] board_modules has {module}, but there is no {its}")
    modules = [f"boards.{name}.board", *build.get("board_modules", [])]
    try:
        assembly.check(root, parts)
        if "cuff" in parts:
            assembly.check_cuff(settings, path.with_name("board.py"))
    except assembly.BadPart as e:
        raise bad(e.place, str(e)) from e
    return Board(name, build["format"], modules, parts, build.get("first", []), settings, **host, text=text)


def _text(name: str, path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as e:
        raise BadBoard(f"{_file(name)} cannot be read: {e.strerror}") from e
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise BadBoard(f"{_file(name)}:{line}: is no text in UTF-8: {e.reason} at byte {e.start}") from e


def _no_toml(name: str, text: str, problem: str) -> str:
    """What tomllib says, its "(at line 3, column 5)" or "(at end of document)" in front."""
    hint = "; a text stands in quotes" if problem.startswith("Invalid value") else ""
    at = re.search(r" \(at line (\d+), (column \d+)\)$", problem)
    if at is None:
        return f"{_file(name)}:{unfinished(text)}: {problem}"
    return f"{_file(name)}:{at[1]}: {problem[: at.start()]} ({at[2]}){hint}"


def _are_modules(found: object) -> bool:
    return isinstance(found, list) and all(
        isinstance(module, str) and all(part.isidentifier() for part in module.split(".")) for module in found
    )


def _file(name: str) -> str:
    return f"boards/{name}/board.toml"


def _wrong(name: str, text: str, place: str, problem: str) -> str:
    line = line_of(text, place)
    return f"{_file(name)}: {problem}" if line is None else f"{_file(name)}:{line}: {problem}"
