"""A repository of updates: a folder that any web server or memory stick can carry.

`BOARD-VERSION.vwu`, a bundle each, and `index.json`: what there is, for which groups of nodes, signed by the
maker. The signature, Ed25519 in hexadecimal digits, is over `vitalwire/1 releases`, a line feed, and the JSON
of everything else in the file, keys in order, without spaces. Its `serial` grows with each change: an index
with a smaller one than was seen before is an old copy. It is replaced in one step, after what it names.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_agent.files import write_atomically
from protocol import crypto
from protocol.update import UpdateError, version_key
from tools.release.bundles import SUFFIX, read
from tools.release.keys import PUBLIC, Maker, ReleaseError

INDEX = "index.json"
VERSION = 1
CONTEXT = b"vitalwire/1 releases\n"


def publish(folder: Path, bundles: Sequence[Path], groups: Sequence[str], maker: Maker) -> dict[str, Any]:
    """Add signed bundles, for these groups of nodes (none: for all); the index then. ReleaseError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ReleaseError(f"{folder} cannot be made: {e.strerror}") from e
    index: dict[str, Any] = {"version": VERSION, "serial": 0, "releases": []}
    if (folder / INDEX).exists():
        index = read_index(folder, maker.ed_pub)
    for path in bundles:
        _add(folder, index["releases"], path, sorted(set(groups)), maker)
    index["serial"] += 1
    index["releases"].sort(key=lambda one: (one["board"], version_key(one["firmware"])))
    signing = crypto.ed25519_sign_steps(maker.ed_seed, maker.ed_pub, _signed(index))
    index["signature"] = crypto.run(signing).hex()
    _write(folder / INDEX, (json.dumps(index, indent=1, sort_keys=True) + "\n").encode())
    return index


def _add(folder: Path, releases: list[dict[str, Any]], path: Path, groups: list[str], maker: Maker) -> None:
    one = read(path)
    try:
        one.verify([maker.ed_pub])
    except UpdateError as e:
        raise ReleaseError(f"{path}: {e.detail}; vitalwire release sign signs it") from None
    name = f"{one.board}-{one.version}{SUFFIX}"
    encoded = one.encoded()
    number = version_key(one.version)
    same = [o for o in releases if o["board"] == one.board and version_key(o["firmware"]) == number]
    if same and same[0]["id"] != one.id.hex():
        there = same[0]["file"]
        raise ReleaseError(f"{there} is there already, with something else in it: make a greater version")
    if not same:
        _write(folder / name, encoded)
        new: dict[str, Any] = {"board": one.board, "firmware": one.version, "file": name, "id": one.id.hex()}
        same = [new]
        releases += same
    same[0].update(bytes=len(encoded), sha256=hashlib.sha256(encoded).hexdigest(), groups=groups)


def read_index(folder: Path, maker: bytes) -> dict[str, Any]:
    """The index of a repository without its signature, which is `maker`'s. ReleaseError."""
    path = folder / INDEX
    try:
        index = json.loads(path.read_bytes())
        signature = bytes.fromhex(index.pop("signature"))
        good = crypto.run(crypto.ed25519_verify_steps(maker, _signed(index), signature))
        known = index["version"] == VERSION and all("file" in one for one in index["releases"])
    except OSError as e:
        raise ReleaseError(f"{path} cannot be read: {e.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ReleaseError(f"{path} is no index of a repository") from None
    if not good or not known:
        raise ReleaseError(f"{path} is not signed by this maker, or was changed since")
    return index


def check(folder: Path, maker: bytes) -> list[str]:
    """A line for each release of a repository, all of them checked to the byte. ReleaseError: the first that
    is not as it should be.
    """
    index = read_index(folder, maker)
    lines: list[str] = []
    for there in index["releases"]:
        one = read(folder / there["file"])
        try:
            one.verify([maker])
        except UpdateError as e:
            raise ReleaseError(f"{there['file']}: {e.detail}") from None
        encoded = one.encoded()
        facts = {"board": one.board, "firmware": one.version, "id": one.id.hex(), "bytes": len(encoded)}
        facts["sha256"] = hashlib.sha256(encoded).hexdigest()
        if any(there.get(key) != value for key, value in facts.items()):
            raise ReleaseError(f"{there['file']} is not what the index says")
        whom = ", ".join(there["groups"]) or "all"
        lines.append(f"{one.board} {one.version} {one.id.hex()} for {whom}")
    return lines


def _signed(index: dict[str, Any]) -> bytes:
    return CONTEXT + json.dumps(index, sort_keys=True, separators=(",", ":")).encode()


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data, PUBLIC)
    except OSError as e:
        raise ReleaseError(f"{path} cannot be written: {e.strerror}") from e
