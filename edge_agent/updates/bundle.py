"""A bundle: a signed manifest and the files that it lists, read and checked before any node hears of it.

The node checks all of it again. Here it is checked so that what a node would refuse costs no link, and
nobody's roll-out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol import bundle
from protocol.update import UpdateError


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
        data = file.read(bundle.MAX_BUNDLE + 1)
    try:
        found = bundle.read(data)
        found.verify(makers)
    except UpdateError as e:
        hint = "is the key of whoever made it where [updates] makers says?"
        raise BundleError(path, e.detail, hint if e.cause == "bad_signature" else "") from None
    return Bundle(found.id, found.version, found.board, (found.manifest, *found.files))
