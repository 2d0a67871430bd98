"""Groups of nodes, by name: a TOML file of lists of node ids. `all`, every paired node, is not in it."""

import tomllib
from pathlib import Path
from typing import Any

ALL = "all"


class GroupsError(Exception):
    """The file of groups cannot be used, or has no such group: `problem`, `hint`."""

    def __init__(self, path: Path, problem: str, hint: str) -> None:
        super().__init__(f"{path}: {problem} ({hint})")


def members(path: Path, name: str, paired: list[bytes]) -> list[bytes]:
    """The paired nodes of the group. GroupsError."""
    if name == ALL:
        return sorted(paired)
    listed = load(path)
    if name not in listed:
        known = ", ".join(sorted(listed)) or "none"
        raise GroupsError(path, f"there is no group {name!r}", f"it has: {known}; {ALL} is every paired node")
    return sorted(set(paired) & set(listed[name]))


def load(path: Path) -> dict[str, list[bytes]]:
    """The groups in the file; none without one. GroupsError."""
    try:
        document: Any = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as e:
        raise GroupsError(path, f"cannot be read: {e}", "mend it") from None
    groups: dict[str, list[bytes]] = {}
    for name, nodes in document.items():
        try:
            ids = [bytes.fromhex(node) for node in nodes]
        except (TypeError, ValueError):
            ids = [b""]
        if name == ALL or any(len(node) != 8 for node in ids):
            raise GroupsError(path, f"{name!r} is not a list of node ids", 'ward-a = ["5ae2…", …]')
        groups[name] = ids
    return groups
