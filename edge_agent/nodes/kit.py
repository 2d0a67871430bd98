"""Nodes that are expected: a factory's kit file lists their public keys, and the agent pairs with each of
them by itself when it first says hello.

A kit file is `{"version": 1, "nodes": [{"id", "ed25519", "x25519", "board", "firmware", "flashed_at"}, …]}`,
as `vitalwire flash` writes it; nothing in it is secret. `expected.json` beside the file of paired nodes holds
those that have not come yet: an entry is good for one pairing, and goes with it.
"""

import json
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

from edge_agent.files import make_folder, write_atomically
from edge_agent.keys import PublicKeys
from edge_agent.lock import Locked, hold_soon
from edge_agent.nodes.peers import Peers

VERSION = 1
LOCK_S = 5.0
# Some thousand nodes.
MAX_FILE = 4 << 20
MAX_TEXT = 64


class KitError(Exception):
    """A kit file, or the file of expected nodes, cannot be used: `path`, `problem`, `hint`."""

    def __init__(self, path: Path, problem: str, hint: str = "") -> None:
        super().__init__(f"{path}: {problem}" + (f" ({hint})" if hint else ""))
        self.path = path
        self.problem = problem
        self.hint = hint


class KitNode(NamedTuple):
    """One node of a kit; what is said of it beside its keys is for people."""

    keys: PublicKeys
    board: str = ""
    firmware: str = ""
    flashed_at: str = ""


class Compared(NamedTuple):
    """A kit's nodes against what is known: `new` ones, `expected` and `paired` ones that are known already,
    `wrong`: sentences on what contradicts something.
    """

    new: list[KitNode]
    expected: list[KitNode]
    paired: list[KitNode]
    wrong: list[str]


def read(path: Path) -> list[KitNode]:
    """The nodes of a kit file. KitError: it is none, or an entry is not whole; OSError as it comes."""
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise KitError(path, f"larger than {MAX_FILE >> 20} MiB: no kit file")
    return _parsed(path, data, "ask its maker for another one")


def compare(nodes: Iterable[KitNode], expected: "Expected", peers: Peers) -> Compared:
    """What an import of `nodes` would bring. KitError, PeersError."""
    waiting = expected.all()
    found = Compared([], [], [], [])
    seen: dict[bytes, bytes] = {}
    for keys in [peers.lookup(node) for node in peers.ids()] + [one.keys for one in waiting.values()]:
        if keys is not None:
            seen |= {key: keys.id for key in keys}
    listed: set[bytes] = set()
    for node in nodes:
        name = node.keys.id.hex()
        shared = {seen[key].hex() for key in node.keys if seen.get(key, node.keys.id) != node.keys.id}
        seen |= dict.fromkeys(node.keys, node.keys.id)
        if node.keys.id in listed:
            found.wrong.append(f"node {name} is listed twice")
        elif shared:
            found.wrong.append(f"node {name} has a key of node {', '.join(sorted(shared))}")
        elif not node.keys.agrees:
            found.wrong.append(f"nothing can be encrypted to node {name}: a key of it is of small order")
        elif peers.wiped(node.keys.id) is not None:
            found.wrong.append(f"node {name} was wiped as lost: pair it by its label if it is back")
        elif peers.lookup(node.keys.id) is not None:
            found.paired.append(node)
        elif node.keys.id in waiting:
            found.expected.append(node)
        else:
            found.new.append(node)
        listed.add(node.keys.id)
    return found


class Expected:
    """The file of expected nodes. What another process changes counts from the next look on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._nodes: dict[bytes, KitNode] = {}
        self._seen: tuple[int, int, int] | None = None

    def all(self) -> dict[bytes, KitNode]:
        """By id. KitError: the file is damaged."""
        try:
            state = self.path.stat()
        except FileNotFoundError:
            self._nodes, self._seen = {}, None
            return self._nodes
        seen = (state.st_mtime_ns, state.st_ino, state.st_size)
        if seen != self._seen:
            found = _parsed(self.path, self.path.read_bytes(), "remove it, and import the kit again")
            self._nodes = {node.keys.id: node for node in found}
            self._seen = seen
        return self._nodes

    def add(self, nodes: Iterable[KitNode]) -> None:
        """Durably expect these, too. KitError, OSError."""
        with self._alone():
            self._write({**self.all(), **{node.keys.id: node for node in nodes}})

    def remove(self, node: bytes, wait_s: float = LOCK_S) -> bool:
        """Durably expect that node no more; False when it was not expected. KitError, OSError."""
        if node not in self.all():
            return False
        with self._alone(wait_s):
            self._write({one: kept for one, kept in self.all().items() if one != node})
        return True

    @contextmanager
    def _alone(self, wait_s: float = LOCK_S) -> Generator[None]:
        make_folder(self.path.parent)
        try:
            lock = hold_soon(self.path.with_suffix(".lock"), wait_s)
        except Locked:
            raise KitError(self.path, "another process is changing it", "try again") from None
        with lock:
            self._seen = None
            yield

    def _write(self, nodes: dict[bytes, KitNode]) -> None:
        document = {"version": VERSION, "nodes": [_entry(node) for _, node in sorted(nodes.items())]}
        write_atomically(self.path, json.dumps(document, indent=1).encode() + b"\n")
        self._seen = None


def _entry(node: KitNode) -> dict[str, str]:
    told = {"board": node.board, "firmware": node.firmware, "flashed_at": node.flashed_at}
    keys = node.keys
    return {"id": keys.id.hex(), "ed25519": keys.ed_pub.hex(), "x25519": keys.x_pub.hex(), **told}


def _parsed(path: Path, data: bytes, hint: str) -> list[KitNode]:
    try:
        document: Any = json.loads(data)
        version, listed = document["version"], document["nodes"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise KitError(path, "no kit file: it has no version and nodes", hint) from None
    if version != VERSION:
        raise KitError(path, f"a kit file of version {version!r}: this agent reads {VERSION}", hint)
    if not isinstance(listed, list):
        raise KitError(path, "its nodes are no list", hint)
    return [_node(path, n, entry, hint) for n, entry in enumerate(cast("list[Any]", listed), 1)]


def _node(path: Path, n: int, entry: Any, hint: str) -> KitNode:
    try:
        keys = PublicKeys(bytes.fromhex(entry["ed25519"]), bytes.fromhex(entry["x25519"]))
        told = [str(entry.get(name) or "") for name in ("board", "firmware", "flashed_at")]
        given = str(entry["id"]).lower()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KitError(path, f"node {n} of it has no id and two public keys in hex", hint) from None
    if any(len(key) != 32 for key in keys):
        raise KitError(path, f"node {n} of it has a key that is not 32 bytes", hint)
    if keys.id.hex() != given:
        raise KitError(
            path, f"node {n} of it is called {given[:16]!r}, and its keys are {keys.id.hex()}", hint
        )
    return KitNode(keys, *["".join(c for c in text if c.isprintable())[:MAX_TEXT] for text in told])
