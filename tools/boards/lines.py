"""On which line of a TOML file a key or a table begins: tomllib does not tell."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str, ...]


def line_of(text: str, place: str) -> int | None:
    """The first line of `place` in `text`, which is TOML: a table, "[table] key" or "[table.table] key". Of
    what is not there the line of its table; None where there is no such table either.
    """
    path, found = _path(place), _found(text)
    while path and path not in found:
        path = path[:-1]
    return found.get(path)


def unfinished(text: str) -> int:
    """The line on which a text or array begins that `text` does not end."""
    return max((end for _, end, _ in _statements(text.split("\n"))), default=0) + 1


def _path(place: str) -> Path:
    if not place.startswith("["):
        return (place,)
    table, _, key = place[1:].partition("]")
    return (*table.split("."), key.strip()) if key else tuple(table.split("."))


def _found(text: str) -> dict[Path, int]:
    """Every table and key, each with the line where it is first; a table's is that of its header."""
    implied: dict[Path, int] = {}
    found: dict[Path, int] = {}
    table: Path = ()
    lines = text.split("\n")
    for begun, _, said in _statements(lines):
        if lines[begun].lstrip().startswith("["):
            *above, table = _paths((), said)
            for path in above:
                implied.setdefault(path, begun + 1)
            found.setdefault(table, begun + 1)
        else:
            for path in _paths(table, said):
                found.setdefault(path, begun + 1)
    return {**implied, **found}


def _statements(lines: list[str]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """(its first line, counted from 0, the line after it, what it says) of each. A statement is the fewest
    lines that are TOML by themselves: of an array or a text in several lines no part is.
    """
    begun = 0
    for end in range(1, len(lines) + 1):
        try:
            said = tomllib.loads("\n".join(lines[begun:end]))
        except tomllib.TOMLDecodeError:
            continue
        yield begun, end, said
        begun = end


def _paths(table: Path, said: Mapping[str, Any]) -> Iterator[Path]:
    for key, value in said.items():
        yield (*table, key)
        if isinstance(value, Mapping):
            yield from _paths((*table, key), value)
