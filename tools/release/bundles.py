"""Bundles from builds, and what is in one."""

import hashlib
import re
from collections.abc import Collection
from pathlib import Path

from protocol import bundle
from protocol.bundle import Bundle
from protocol.errors import LocalError
from protocol.update import UpdateError, version_key
from tools import build, slot_tree
from tools.release.keys import Maker, ReleaseError

SUFFIX = ".vwu"
# As `vitalwire build` writes them into a board's settings.
_KEY = re.compile(rb"[\"']([0-9a-f]{64})[\"']")


def make(board: str, version: "str | None", makers: Collection[bytes]) -> Bundle:
    """An unsigned bundle of this source tree, the same for the same inputs. ReleaseError."""
    if not makers:
        raise ReleaseError("nobody could update a node with this version again: name a maker with --maker")
    try:
        version_key(version or build.firmware_version())
        made = build.make(board, version=version, makers=[maker.hex() for maker in makers])
        return bundle.make(board, made.version, slot_tree.application(made.files))
    except (build.BuildError, UpdateError, LocalError) as e:
        raise ReleaseError(str(e)) from e


def sign(unsigned: Bundle, maker: Maker) -> Bundle:
    """Signed by `maker`, whose updates the version itself has to take: else it would be the last."""
    if maker.ed_pub not in makers_of(unsigned):
        raise ReleaseError(
            "the version in this bundle does not know your key, so a node with it would take no update of"
            " yours any more: make it with --maker and your .pub"
        )
    return bundle.sign(unsigned, maker)


def makers_of(one: Bundle) -> set[bytes]:
    """Those whose updates the version in a bundle takes."""
    config = dict(zip(one.paths, one.files, strict=True)).get("board_config.py", b"")
    return {bytes.fromhex(found.decode()) for found in _KEY.findall(config)}


def read(path: Path) -> Bundle:
    """The bundle in a file, each byte of it checked but the signature. ReleaseError."""
    try:
        return bundle.read(path.read_bytes())
    except OSError as e:
        raise ReleaseError(f"{path} cannot be read: {e.strerror}") from None
    except UpdateError as e:
        raise ReleaseError(f"{path} is no bundle as it should be: {e.detail}") from None


def described(one: Bundle) -> list[str]:
    """Lines that say what it is."""
    size = sum(len(data) for data in one.files)
    lines = [
        f"version {one.version} for {one.board}, {len(one.files)} files, {size:,} bytes",
        f"id {one.id.hex()}" if one.signed else "not signed",
    ]
    lines += [f"takes updates of {maker.hex()}" for maker in sorted(makers_of(one))]
    for path, data in zip(one.paths, one.files, strict=True):
        lines.append(f"  {hashlib.sha256(data).hexdigest()[:16]} {len(data):7,} {path}")
    return lines
