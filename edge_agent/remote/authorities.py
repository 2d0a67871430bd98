"""Whose commands this agent carries out, and which: a folder of public keys, and `authorities.toml`.

    [[authority]]
    id = "0123456789abcdef"
    name = "cardiology"              # for people
    operations = ["bp", "identify"]  # or ["all"]
    nodes = ["…"]                    # absent: all that are paired
    persons = ["…"]                  # absent: whoever has the node

An authority whose key is there and which the file does not name may order nothing. A file that cannot be read
lets nobody order anything. What moves the cuff or changes alarms the node checks itself, besides.
"""

import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from edge_agent.files import make_folder, write_atomically
from edge_agent.keys import KeyFileError, PublicKeys, load_public, write_public
from edge_agent.lock import Locked, hold_soon
from protocol.remote import OPERATIONS

FILE = "authorities.toml"
LOCK = "authorities.lock"
LOCK_S = 10.0
READ_AGAIN = 3
ALL = "all"
MAX_AUTHORITIES = 64
# So many nodes are named in a remedy.
FEW_NODES = 4
_HEX = {8: re.compile("[0-9a-f]{16}"), 16: re.compile("[0-9a-f]{32}")}


class AuthoritiesError(Exception):
    """The authorities cannot be used: `path`, `problem`, and what to do (`hint`)."""

    def __init__(self, path: Path, problem: str, hint: str) -> None:
        super().__init__(f"{path}: {problem} ({hint})")
        self.path = path
        self.problem = problem
        self.hint = hint


@dataclass(frozen=True)
class Authority:
    """One authority. `operations`: what it may order; `nodes`, `persons`: of whom, None: of all."""

    keys: PublicKeys
    name: str = ""
    operations: frozenset[str] = frozenset()
    nodes: frozenset[bytes] | None = None
    persons: frozenset[bytes] | None = None

    def may(self, operation: str, node: bytes, person: bytes | None) -> bool:
        """Whether it may order this of that node, which is `person`'s now (None: nobody's)."""
        if not self.operations & {operation, ALL}:
            return False
        if self.nodes is not None and node not in self.nodes:
            return False
        return self.persons is None or (person is not None and person in self.persons)

    def with_also(self, operation: str, node: bytes) -> str:
        """The command that allows this of that node, too, and takes nothing away: a new entry replaces the
        old one. Persons are not named: who asks may not know them.
        """
        operations = {ALL} if ALL in self.operations else self.operations | {operation}
        words = ["vitalwire authority add", f"{self.keys.id.hex()}.pub"]
        words += [f"--may {one}" for one in sorted(operations)]
        if self.nodes is not None:
            nodes = self.nodes | {node}
            few = sorted(one.hex() for one in nodes) if len(nodes) <= FEW_NODES else ["NODE …"]
            words += [f"--node {one}" for one in few]
        words += ["--person PERSON …"] if self.persons is not None else []
        return " ".join([*words, f"--name {shlex.quote(self.name)}"] if self.name else words)


def load_authority(path: Path, agent: PublicKeys | None) -> PublicKeys:
    """The public keys of an authority in the file at `path`. KeyFileError: by its first line it is somebody
    else's, or it is the agent's own: whoever passes orders on would give them, too.
    """
    found = load_public(path, "authority")
    if agent is not None and agent.ed_pub == found.ed_pub:
        raise KeyFileError(path, "it is the agent's own key", "name the authority's .pub file")
    return found


class Authorities:
    """The folder; read anew when it has changed. `problem` says why nobody may order anything, or None."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problem: str | None = None
        self._known: dict[bytes, Authority] = {}
        self._seen: object = None

    def get(self, authority: bytes) -> Authority | None:
        """The authority with that id, if its key is there."""
        self.refresh()
        return self._known.get(authority)

    def known(self, authority: bytes) -> Authority | None:
        """The same, as the last look into the folder found it."""
        return self._known.get(authority)

    def all(self) -> list[Authority]:
        """All whose key is there, by id. AuthoritiesError where the folder cannot be used."""
        return [one for _, one in sorted(_read(self.folder).items())]

    def add(
        self,
        keys: PublicKeys,
        operations: list[str],
        name: str = "",
        nodes: list[bytes] | None = None,
        persons: list[bytes] | None = None,
    ) -> None:
        """Durably let it order these, and no others, from now on. AuthoritiesError, OSError."""
        with self._alone():
            self._add(Authority(keys, name, frozenset(operations), _set(nodes), _set(persons)))

    def _add(self, one: Authority) -> None:
        keys = one.keys
        known = _read(self.folder)
        if len(known) >= MAX_AUTHORITIES and keys.id not in known:
            raise AuthoritiesError(self.folder, f"{MAX_AUTHORITIES} authorities already", "remove one")
        known[keys.id] = one
        write_public(self.folder / f"{keys.id.hex()}.pub", "authority", keys)
        self._write(known)

    def remove(self, authority: bytes) -> bool:
        """Durably take away all that it may; False when it is not known. AuthoritiesError, OSError."""
        with self._alone():
            known = _read(self.folder)
            if authority not in known:
                return False
            del known[authority]
            # First it may do nothing, then its key goes.
            self._write(known)
            for path in self.folder.glob("*.pub"):
                if load_public(path).id == authority:
                    path.unlink()
        return True

    def _alone(self) -> BinaryIO:
        """To be the only one who changes the folder until that is closed."""
        make_folder(self.folder)
        try:
            return hold_soon(self.folder / LOCK, LOCK_S)
        except Locked:
            raise AuthoritiesError(self.folder, "another process is changing it", "try again") from None

    def _write(self, known: dict[bytes, Authority]) -> None:
        lines = ["# Whose commands this agent carries out, and which. `vitalwire authority` writes it."]
        for key, one in sorted(known.items()):
            if not one.operations:
                continue
            lines += ["", "[[authority]]", f'id = "{key.hex()}"']
            if one.name:
                lines.append(f"name = {_quoted(one.name)}")
            lines.append(f"operations = {_listed(sorted(one.operations))}")
            if one.nodes is not None:
                lines.append(f"nodes = {_listed(sorted(node.hex() for node in one.nodes))}")
            if one.persons is not None:
                lines.append(f"persons = {_listed(sorted(person.hex() for person in one.persons))}")
        write_atomically(self.folder / FILE, ("\n".join(lines) + "\n").encode())

    def refresh(self) -> None:
        """Read the folder anew where it has changed."""
        for _ in range(READ_AGAIN):
            try:
                seen = _state(self.folder)
                if seen != self._seen:
                    self._known = _read(self.folder)
                    self._seen = seen
                self.problem = None
                return
            except (AuthoritiesError, KeyFileError, OSError) as e:
                # Or it is being changed at this moment: a key and its lines come and go one after the other.
                self._known, self._seen = {}, None
                self.problem = str(e)


def _set(ids: list[bytes] | None) -> frozenset[bytes] | None:
    return None if ids is None else frozenset(ids)


def _state(folder: Path) -> object:
    if not folder.is_dir():
        return None
    found = [path for path in sorted(folder.iterdir()) if path.suffix in (".pub", ".toml")]
    return [
        (path.name, state.st_mtime_ns, state.st_ino, state.st_size)
        for path in found
        for state in [path.stat()]
    ]


def _read(folder: Path) -> dict[bytes, Authority]:
    known: dict[bytes, Authority] = {}
    if not folder.is_dir():
        return known
    paths = sorted(folder.glob("*.pub"))
    if len(paths) > MAX_AUTHORITIES:
        raise AuthoritiesError(folder, f"{len(paths)} keys; {MAX_AUTHORITIES} at most", "remove some")
    for path in paths:
        keys = load_public(path)
        known[keys.id] = Authority(keys)
    path = folder / FILE
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return known
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise AuthoritiesError(
            path, f"not TOML: {e}", "mend it; until then nobody may order anything"
        ) from None
    entries = document.get("authority", [])
    other = sorted(set(document) - {"authority"})
    if other or not isinstance(entries, list):
        raise AuthoritiesError(
            path, f"unknown {', '.join(other) or 'form'}", "write [[authority]] tables only"
        )
    for entry in cast("list[Any]", entries):
        one = _entry(path, entry, known)
        known[one.keys.id] = one
    return known


def _entry(path: Path, entry: Any, known: dict[bytes, Authority]) -> Authority:
    if not isinstance(entry, dict):
        raise AuthoritiesError(
            path, "an authority that is no table", "write [[authority]] on a line of its own"
        )
    given = cast("dict[str, Any]", entry)
    other = sorted(set(given) - {"id", "name", "operations", "nodes", "persons"})
    if other:
        raise AuthoritiesError(
            path, f"unknown key {other[0]!r}", "id, name, operations, nodes and persons are known"
        )
    ids = _ids(path, [given.get("id")], 8)
    assert ids is not None
    (who,) = ids
    name, operations = given.get("name", ""), given.get("operations", [])
    if not isinstance(name, str) or not isinstance(operations, list):
        raise AuthoritiesError(path, "name is no text, or operations no list", 'operations = ["bp"]')
    for operation in cast("list[Any]", operations):
        if operation not in (*OPERATIONS, ALL):
            raise AuthoritiesError(
                path, f"unknown operation {operation!r}", f"{ALL}, {', '.join(OPERATIONS)}"
            )
    if who not in known:
        raise AuthoritiesError(
            path, f"no key of authority {who.hex()}", "put its .pub file beside, or remove it here"
        )
    return Authority(
        known[who].keys,
        name,
        frozenset(cast("list[str]", operations)),
        _ids(path, given.get("nodes"), 8),
        _ids(path, given.get("persons"), 16),
    )


def _ids(path: Path, values: Any, size: int) -> frozenset[bytes] | None:
    if values is None:
        return None
    found = cast("list[Any]", values) if isinstance(values, list) else [values]
    for value in found:
        if not isinstance(value, str) or not _HEX[size].fullmatch(value):
            raise AuthoritiesError(
                path, f"{value!r} is not {2 * size} hex digits", "as `vitalwire status` shows them"
            )
    return frozenset(bytes.fromhex(value) for value in found)


def _quoted(text: str) -> str:
    plain = "".join(character if character.isprintable() else " " for character in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _listed(words: list[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"
