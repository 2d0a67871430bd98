"""The paired nodes: public keys by node id, in one small file of their own.

They are not in the store, because a store that is damaged is set aside, and a family must not have to pair
again.

Commands and the agent change it: one at a time, under a lock beside it.
"""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

from edge_agent.files import make_folder, write_atomically
from edge_agent.keys import PublicKeys
from edge_agent.lock import Locked, hold_soon

# A change takes as long as the disk takes to sync a small file.
LOCK_S = 5.0
# Of nodes that were wiped: the newest, which are told so if they ever come back.
MAX_WIPED = 64


class PeersError(Exception):
    """The file of paired nodes cannot be used: `path`, `problem`, `hint`."""

    def __init__(self, path: Path, problem: str, hint: str = "") -> None:
        super().__init__(f"{path}: {problem}" + (f" ({hint})" if hint else ""))
        self.path = path
        self.problem = problem
        self.hint = hint


class Assigned(NamedTuple):
    """The id of the last record that said whose a node is; `unknown_before_ms`: whose it was before that,
    Unix ms, a lost store knew alone (None: nothing was lost).
    """

    record_id: bytes
    unknown_before_ms: int | None = None


class _Node(NamedTuple):
    keys: PublicKeys
    # b"" or an order's id: it is to be forgotten once that is stated. None: it stays.
    parted: bytes | None = None
    assigned: Assigned | None = None
    # The agent that it is to go to.
    moving: bytes | None = None
    # Once it is forgotten, it is to be told so if it ever comes back.
    wiped: bool = False


class Peers:
    """Node id → PublicKeys. A pairing made by another process counts from the next look-up on.

    What changes it waits up to LOCK_S for another process that does; then, PeersError. OSError as it comes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._nodes: dict[bytes, _Node] = {}
        # Of nodes that are no longer paired: they may come back, and a lost store forgets whose they were.
        self._left: dict[bytes, Assigned] = {}
        self._wiped: dict[bytes, PublicKeys] = {}
        self._seen: tuple[int, int, int] | None = None
        self._refresh()

    def lookup(self, node: bytes) -> PublicKeys | None:
        """The keys of a paired node, or None. PeersError: the file was damaged meanwhile."""
        self._refresh()
        known = self._nodes.get(node)
        return None if known is None else known.keys

    def ids(self) -> list[bytes]:
        """All paired nodes."""
        self._refresh()
        return sorted(self._nodes)

    def add(self, keys: PublicKeys, wait_s: float | None = None) -> bool:
        """Pair: durably keep a node's keys; False when they were kept before.

        PeersError: other keys under this id, or such as nothing can be encrypted with.
        """
        if not keys.agrees:
            raise PeersError(self.path, f"the X25519 key of node {keys.id.hex()} is a point of small order")
        self._refresh()
        known = self._nodes.get(keys.id)
        if known is not None and known.keys == keys and known.parted is None:
            # Nothing to write, so also in a folder that is not to be written to.
            return False
        with self._alone(LOCK_S if wait_s is None else wait_s):
            known = self._nodes.get(keys.id)
            if known is not None and known.keys == keys and known.parted is None:
                return False
            if known is not None and known.keys != keys:
                raise PeersError(
                    self.path,
                    f"node {keys.id.hex()} is paired with other keys",
                    "keys of a node never change; if this is a new node, remove the old entry first",
                )
            assigned = self._left.get(keys.id) if known is None else known.assigned
            others = {one: kept for one, kept in self._wiped.items() if one != keys.id}
            self._write({**self._nodes, keys.id: _Node(keys, None, assigned)}, wiped=others)
        return True

    def part(self, node: bytes, order: bytes | None, wait_s: float = LOCK_S, wipe: bool = False) -> bool:
        """Durably note that a node is to be forgotten, by its answer to `order` or (None) without its word;
        False when it is not paired. `wipe`: it is lost, and to be told if it comes back. Pairing with it
        again takes that back.
        """
        with self._alone(wait_s):
            known = self._nodes.get(node)
            if known is not None and (known.parted is None or (wipe and not known.wiped)):
                parted = known.parted if known.parted is not None else order or b""
                self._write({**self._nodes, node: known._replace(parted=parted, wiped=wipe or known.wiped)})
        return known is not None

    def move(self, node: bytes, to: bytes | None) -> bool:
        """Durably note which agent a node is to go to (None: it stays); False when it is not paired."""
        with self._alone(LOCK_S):
            known = self._nodes.get(node)
            if known is not None and known.moving != to:
                self._write({**self._nodes, node: known._replace(moving=to)})
        return known is not None

    def moving(self) -> dict[bytes, bytes]:
        """The nodes that are to go to another agent, and to which."""
        self._refresh()
        return {node: one.moving for node, one in self._nodes.items() if one.moving is not None}

    def wiped(self, node: bytes) -> PublicKeys | None:
        """The keys of a lost node that is to be told so, once it is forgotten; or None."""
        self._refresh()
        return self._wiped.get(node)

    def wiping(self, node: bytes) -> bool:
        """Whether the node that is to be forgotten is a lost one."""
        self._refresh()
        known = self._nodes.get(node)
        return known is not None and known.wiped

    def lost(self) -> list[bytes]:
        """All nodes that were wiped and have not come back."""
        self._refresh()
        return sorted(self._wiped)

    def parted(self) -> dict[bytes, bytes | None]:
        """The nodes that are to be forgotten, and by which order."""
        self._refresh()
        return {node: one.parted or None for node, one in self._nodes.items() if one.parted is not None}

    def remove(self, node: bytes, wait_s: float = LOCK_S) -> bool:
        """Durably forget a node that was parted from, but for `assigned`; False when that is not, or no
        longer, so.
        """
        with self._alone(wait_s):
            known = self._nodes.get(node)
            if known is None or known.parted is None:
                return False
            wiped = {**self._wiped, node: known.keys} if known.wiped else self._wiped
            self._write({one: kept for one, kept in self._nodes.items() if one != node}, wiped=wiped)
        return True

    def assigned(self) -> dict[bytes, Assigned]:
        """What outlives the store of whose paired nodes are: that they were somebody's, by which record."""
        self._refresh()
        return {node: one.assigned for node, one in self._nodes.items() if one.assigned is not None}

    def assign(self, marks: Mapping[bytes, Assigned]) -> None:
        """Durably note that of those nodes that are paired, or were and have been somebody's."""
        self._refresh()
        noted = {**self._left, **{node: one.assigned for node, one in self._nodes.items()}}
        if all(noted[node] == mark for node, mark in marks.items() if node in noted):
            return
        with self._alone(LOCK_S):
            changed = {n: one._replace(assigned=marks.get(n, one.assigned)) for n, one in self._nodes.items()}
            self._write(changed, {node: marks.get(node, mark) for node, mark in self._left.items()})

    @contextmanager
    def _alone(self, wait_s: float) -> Generator[None]:
        """Read what there is now, and be the only one to write until the end."""
        make_folder(self.path.parent)
        try:
            lock = hold_soon(self.path.with_suffix(".lock"), wait_s)
        except Locked:
            raise PeersError(self.path, "another process is changing it", "try again") from None
        with lock:
            # Two changes within one tick of the disk's clock can look like none.
            self._seen = None
            self._refresh()
            yield

    def _write(
        self,
        nodes: dict[bytes, _Node],
        left: dict[bytes, Assigned] | None = None,
        wiped: dict[bytes, PublicKeys] | None = None,
    ) -> None:
        marks = {n: one.assigned for n, one in self._nodes.items() if one.assigned is not None}
        marks |= self._left if left is None else left
        listed: list[dict[str, Any]] = []
        for _, one in sorted(nodes.items()):
            entry = _keys_entry(one.keys)
            if one.parted is not None:
                entry["parted"] = one.parted.hex()
            if one.assigned is not None:
                entry |= _entry(one.assigned)
            if one.moving is not None:
                entry["moving"] = one.moving.hex()
            if one.wiped:
                entry["wiped"] = True
            listed.append(entry)
        document: dict[str, Any] = {"version": 1, "nodes": listed}
        gone = {node: mark for node, mark in sorted(marks.items()) if node not in nodes}
        if gone:
            document["left"] = [{"id": node.hex(), **_entry(mark)} for node, mark in gone.items()]
        lost = list((self._wiped if wiped is None else wiped).values())[-MAX_WIPED:]
        if lost:
            document["wiped"] = [_keys_entry(keys) for keys in lost]
        write_atomically(self.path, json.dumps(document, indent=1).encode() + b"\n")
        self._refresh()

    def _refresh(self) -> None:
        try:
            state = self.path.stat()
        except FileNotFoundError:
            self._nodes, self._left, self._wiped, self._seen = {}, {}, {}, None
            return
        seen = (state.st_mtime_ns, state.st_ino, state.st_size)
        if seen != self._seen:
            self._nodes, self._left, self._wiped = self._read()
            self._seen = seen

    def _read(self) -> tuple[dict[bytes, _Node], dict[bytes, Assigned], dict[bytes, PublicKeys]]:
        try:
            document: Any = json.loads(self.path.read_bytes())
            listed = cast("list[dict[str, Any]]", document["nodes"])
            nodes: dict[bytes, _Node] = {}
            for entry in listed:
                keys = _keys(entry)
                parted, moving = (
                    None if text is None else bytes.fromhex(text)
                    for text in (entry.get("parted"), entry.get("moving"))
                )
                nodes[keys.id] = _Node(keys, parted, _assigned(entry), moving, bool(entry.get("wiped")))
            marks = {bytes.fromhex(entry["id"]): _assigned(entry) for entry in document.get("left", [])}
            wiped = {keys.id: keys for keys in map(_keys, document.get("wiped", []))}
            return nodes, {node: mark for node, mark in marks.items() if mark is not None}, wiped
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise PeersError(self.path, f"damaged: {e}", "restore it, or remove it and pair again") from None
        except OSError as e:
            raise PeersError(self.path, f"cannot be read: {e.strerror}") from None


def _keys(entry: dict[str, Any]) -> PublicKeys:
    """The keys that stand in an entry. ValueError, KeyError, TypeError."""
    keys = PublicKeys(bytes.fromhex(entry["ed25519"]), bytes.fromhex(entry["x25519"]))
    if keys.id.hex() != entry["id"]:
        raise ValueError(f"the keys of {entry['id']} are not its own")
    return keys


def _keys_entry(keys: PublicKeys) -> dict[str, Any]:
    return {"id": keys.id.hex(), "ed25519": keys.ed_pub.hex(), "x25519": keys.x_pub.hex()}


def _entry(mark: Assigned) -> dict[str, Any]:
    """`mark` as it is written beside a node's id."""
    entry: dict[str, Any] = {"assigned": mark.record_id.hex()}
    if mark.unknown_before_ms is not None:
        entry["unknown_before_ms"] = mark.unknown_before_ms
    return entry


def _assigned(entry: dict[str, Any]) -> Assigned | None:
    record_id, before_ms = entry.get("assigned"), entry.get("unknown_before_ms")
    if record_id is None:
        return None
    return Assigned(bytes.fromhex(record_id), None if before_ms is None else int(before_ms))
