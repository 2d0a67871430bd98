"""The paired nodes: public keys by node id, in one small file of their own.

They are not in the store, because a store that is damaged is set aside, and a family must not have to pair
again.
"""

import json
from pathlib import Path
from typing import Any, cast

from edge_agent.files import write_atomically
from edge_agent.keys import PublicKeys


class PeersError(Exception):
    """The file of paired nodes cannot be used: `path`, `problem`, `hint`."""

    def __init__(self, path: Path, problem: str, hint: str = "") -> None:
        super().__init__(f"{path}: {problem}" + (f" ({hint})" if hint else ""))
        self.path = path
        self.problem = problem
        self.hint = hint


class Peers:
    """Node id → PublicKeys. A pairing made by another process counts from the next look-up on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._nodes: dict[bytes, PublicKeys] = {}
        self._seen: tuple[int, int] | None = None
        self._refresh()

    def lookup(self, node: bytes) -> PublicKeys | None:
        """The keys of a paired node, or None. PeersError: the file was damaged meanwhile."""
        self._refresh()
        return self._nodes.get(node)

    def ids(self) -> list[bytes]:
        """All paired nodes."""
        self._refresh()
        return sorted(self._nodes)

    def add(self, keys: PublicKeys) -> bool:
        """Pair: durably keep a node's keys; False when they were kept before.

        PeersError: other keys under this id, or such as nothing can be encrypted with.
        """
        if not keys.agrees:
            raise PeersError(self.path, f"the X25519 key of node {keys.id.hex()} is a point of small order")
        known = self.lookup(keys.id)
        if known == keys:
            return False
        if known is not None:
            raise PeersError(
                self.path,
                f"node {keys.id.hex()} is paired with other keys",
                "keys of a node never change; if this is a new node, remove the old entry first",
            )
        self._write({**self._nodes, keys.id: keys})
        return True

    def remove(self, node: bytes) -> bool:
        """Durably forget a node; False when it was not paired."""
        if self.lookup(node) is None:
            return False
        self._write({known: keys for known, keys in self._nodes.items() if known != node})
        return True

    def _write(self, nodes: dict[bytes, PublicKeys]) -> None:
        listed = [
            {"id": node.hex(), "ed25519": k.ed_pub.hex(), "x25519": k.x_pub.hex()}
            for node, k in sorted(nodes.items())
        ]
        write_atomically(self.path, json.dumps({"version": 1, "nodes": listed}, indent=1).encode() + b"\n")
        self._refresh()

    def _refresh(self) -> None:
        try:
            state = self.path.stat()
        except FileNotFoundError:
            self._nodes, self._seen = {}, None
            return
        seen = (state.st_mtime_ns, state.st_ino)
        if seen != self._seen:
            self._nodes = self._read()
            self._seen = seen

    def _read(self) -> dict[bytes, PublicKeys]:
        try:
            document: Any = json.loads(self.path.read_bytes())
            listed = cast("list[dict[str, str]]", document["nodes"])
            nodes: dict[bytes, PublicKeys] = {}
            for entry in listed:
                keys = PublicKeys(bytes.fromhex(entry["ed25519"]), bytes.fromhex(entry["x25519"]))
                if keys.id.hex() != entry["id"]:
                    raise ValueError(f"the keys of {entry['id']} are not its own")
                nodes[keys.id] = keys
            return nodes
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise PeersError(self.path, f"damaged: {e}", "restore it, or remove it and pair again") from None
        except OSError as e:
            raise PeersError(self.path, f"cannot be read: {e.strerror}") from None
