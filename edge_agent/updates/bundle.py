"""A bundle: a signed manifest and the files that it lists, read and checked before any node hears of it.

The node checks all of it again. Here it is checked so that what a node would refuse costs no link, and
nobody's roll-out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol import cbor, crypto
from protocol.checks import is_list
from protocol.errors import ProtocolError
from protocol.update import Manifest, UpdateError

# Two slots of the largest flash that a board has take less.
MAX_BUNDLE = 16 << 20


class BundleError(Exception):
    """A bundle that is not taken: `path`, `problem`, `hint`."""

    def __init__(self, path: Path, problem: str, hint: str = "") -> None:
        super().__init__(f"{path}: {problem}" + (f" ({hint})" if hint else ""))
        self.path = path
        self.problem = problem
        self.hint = hint


@dataclass(frozen=True)
class Bundle:
    """`id`: the update's; `objects`: the manifest, then the files as it lists them."""

    id: bytes
    version: str
    board: str
    objects: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(map(len, self.objects))


def read(path: Path, makers: Sequence[bytes]) -> Bundle:
    """The bundle in the file at `path`. BundleError: it is none, or by none of `makers` (Ed25519 public
    keys); OSError as it comes.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BUNDLE + 1)
    if len(data) > MAX_BUNDLE:
        raise BundleError(path, f"larger than {MAX_BUNDLE >> 20} MiB: not a bundle")
    try:
        return parse(data, makers)
    except UpdateError as e:
        hint = "whose it is: put the maker's public key where [updates] makers says"
        raise BundleError(path, e.detail, hint if e.cause == "bad_signature" else "") from None
    except ProtocolError as e:
        raise BundleError(path, f"not a bundle: {e.detail}") from None


def parse(data: bytes, makers: Sequence[bytes]) -> Bundle:
    """The bundle in `data`; ProtocolError."""
    parts = cbor.loads(data)
    if not is_list(parts) or len(parts) < 2 or not all(isinstance(part, bytes) for part in parts):
        raise UpdateError("not a manifest and files")
    signed: bytes = parts[0]
    manifest = Manifest(lambda at, n: signed[at : at + n], len(signed))
    crypto.run(manifest.verify_steps(makers))
    listed = list(manifest.entries())
    if len(listed) != len(parts) - 1:
        raise UpdateError(f"{len(parts) - 1} files, and its manifest lists {len(listed)}")
    for (name, size, digest), content in zip(listed, parts[1:], strict=True):
        if len(content) != size or crypto.sha256(content) != digest:
            raise UpdateError(f"{name} is not the file that was signed")
    return Bundle(crypto.sha256(signed)[:8], manifest.version, manifest.board, tuple(parts))
