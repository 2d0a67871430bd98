"""What stands in a board.toml is what the board's code reads: a key that nothing reads, one that is missed,
and a value of another kind are errors of the build, not of a board that was flashed.
"""

import ast
import difflib
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tools.assembly import ROLES
from tools.boards.rules_kinds import TABLES

# Read by people, or by the build itself (tools/assembly.py).
ALWAYS = ("name", "title", "second_release", "pressure_switch", "monostable_ms")
# Tables that bring a feature (firmware/modules.toml), whether or not it reads them.
FEATURES = ("wifi", "ble", "spool", "update")
MAINS_HZ = (50, 60)
# Less than this holds no two frames of waveform.
LEAST_OUTBOX = 4096
MOST_CUFF_SIZE = 3


class BadSetting(Exception):
    """A setting that is wrong; the text says which, and what it may be. `place`: the table or key to blame in
    board.toml, as in a Fault (tools/boards/fault.py).
    """

    def __init__(self, place: str, text: str) -> None:
        super().__init__(text)
        self.place = place


def check(settings: Mapping[str, Any], parts: Collection[str], sources: Mapping[str, str]) -> None:
    """BadSetting unless the settings are of the kinds that a node takes, and their keys those that its code
    reads.

    `parts`: the roles of the board's parts; `sources`: file to text, the board's own modules and the
    firmware's.
    """
    for table in (*parts, *TABLES):
        if not isinstance(settings.get(table, {}), Mapping):
            raise BadSetting(table, f"{table} has to be a table: [{table}]")
    for role in parts:
        if role not in settings:
            raise BadSetting(
                f"[parts] {role}", f"there is no [{role}], the table with the wiring of that part"
            )
    _check_values((), settings)
    _check_known(settings)
    trees = {file: ast.parse(text) for file, text in sources.items()}
    read = {*ALWAYS, *FEATURES, *ROLES, *(name for tree in trees.values() for name in _named(tree))}
    _check_read((), settings, read)
    for file, tree in trees.items():
        for line, table, key in _needed(tree):
            if table in ROLES and table not in parts:
                continue
            if table not in settings:
                raise BadSetting(table, f"there is no [{table}], which {file}:{line} reads")
            if key and not isinstance(settings[table], Mapping):
                raise BadSetting(table, f"{table} has to be a table: [{table}]")
            if key and key not in settings[table]:
                raise BadSetting(f"[{table}]", f"[{table}] has no {key}, which {file}:{line} reads")


def literal(value: Any) -> str:
    """The settings as a Python expression that MicroPython reads, a key a line."""
    return _literal(value, "")


def _literal(value: Any, indent: str) -> str:
    if not isinstance(value, dict):
        return repr(value)
    inner = indent + "    "
    lines = [f"{inner}{key!r}: {_literal(item, inner)},\n" for key, item in value.items()]
    return "{\n" + "".join(lines) + indent + "}" if lines else "{}"


def _check_values(path: tuple[str, ...], value: object) -> None:
    """Only what a node's Python knows, and no number in quotes."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_values((*path, key), item)
    elif isinstance(value, list):
        for item in value:
            _check_values(path, item)
    elif isinstance(value, str):
        if value.strip().lower() in ("true", "false") or value.strip().lstrip("+-").isdecimal():
            place = _place(path)
            raise BadSetting(place, f"{place} is {value!r}: without the quotes it is what it looks like")
    elif not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadSetting(_place(path), f"{_place(path)} is {value}, which no board takes")


def _check_known(settings: Mapping[str, Any]) -> None:
    """What every node takes of [node], and a cuff of [cuff]."""
    node, cuff = settings.get("node", {}), settings.get("cuff", {})
    for key in ("watchdog", "isolated"):
        if not isinstance(node.get(key, False), bool):
            raise BadSetting(f"[node] {key}", f"[node] {key} has to be true or false")
    if node.get("mains_hz", MAINS_HZ[0]) not in MAINS_HZ:
        raise BadSetting("[node] mains_hz", "[node] mains_hz has to be 50 or 60")
    if "update" in settings and node.get("watchdog") is not True:
        raise BadSetting(
            "[node] watchdog",
            "[update] wants [node] watchdog = true: a new version that hangs ends by it alone",
        )
    outbox, size = node.get("outbox_bytes", LEAST_OUTBOX), cuff.get("size", 0)
    if not _is_int(outbox) or outbox < LEAST_OUTBOX:
        raise BadSetting("[node] outbox_bytes", f"[node] outbox_bytes has to be {LEAST_OUTBOX} or more")
    if not _is_int(size) or not 0 <= size <= MOST_CUFF_SIZE:
        raise BadSetting(
            "[cuff] size", f"[cuff] size has to be from 0 (not known) to {MOST_CUFF_SIZE} (large)"
        )


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_read(path: tuple[str, ...], table: Mapping[str, Any], read: set[str]) -> None:
    for key, value in table.items():
        if key not in read:
            near = difflib.get_close_matches(key, sorted(read), 1)
            hint = f"; is it {near[0]}?" if near else ""
            place = _place((*path, key))
            raise BadSetting(place, f"nothing reads {place}{hint}")
        if isinstance(value, Mapping):
            _check_read((*path, key), value, read)


def _place(path: tuple[str, ...]) -> str:
    *tables, key = path
    return f"[{'.'.join(tables)}] {key}" if tables else key


def _named(tree: ast.Module) -> Iterator[str]:
    """The texts that may be keys."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value


def _needed(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """(line, table, key) of each `config["table"]["key"]`, key "" of a table alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            table, key = _key(node.value), _key(node)
            if isinstance(node.value, ast.Subscript) and table and key and _is_config(node.value.value):
                yield node.lineno, table, key
            elif key and _is_config(node.value) and key not in ALWAYS:
                yield node.lineno, key, ""


def _key(node: ast.expr) -> str:
    """The text in the brackets."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return node.slice.value if isinstance(node.slice.value, str) else ""
    return ""


def _is_config(node: ast.expr) -> bool:
    return (node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")) == "config"
