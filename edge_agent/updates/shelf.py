"""The bundles that this agent has, and whose it takes: `state_dir/updates/ID.vwu`, a file each."""

import logging
from collections.abc import Iterator
from pathlib import Path

from edge_agent.files import write_atomically
from edge_agent.updates import makers
from edge_agent.updates.bundle import Bundle, BundleError, read
from protocol.bundle import MAX_BUNDLE
from protocol.errors import ProtocolError
from protocol.update import version_key

log = logging.getLogger("vitalwire.updates")

SUFFIX = ".vwu"


class Shelf:
    """The folder of bundles. OSError as it comes. What is in it is read and checked whenever it is used: a
    file that is damaged, or whose maker is no longer believed, is not offered, and `problems` names it.
    """

    def __init__(self, folder: Path, makers_path: Path) -> None:
        self.folder = folder
        self.makers_path = makers_path
        self.problems: list[str] = []
        self._used: dict[bytes, tuple[object, Bundle]] = {}

    def check(self, path: Path) -> Bundle:
        """The bundle in that file, if it can be added. BundleError, MakersError."""
        believed = makers.load(self.makers_path)
        if not believed:
            hint = f"put its .pub file into {self.makers_path}"
            raise BundleError(path, "no maker's public key is here, so nobody's bundle is taken", hint)
        bundle = read(path, believed)
        for other in self.all():
            same = version_key(other.version) == version_key(bundle.version) and other.board == bundle.board
            if same and other.id != bundle.id:
                what = f"another bundle is {other.version} for {bundle.board} already"
                raise BundleError(path, what, "a version is made once: give this one a higher number")
        return bundle

    def has(self, update_id: bytes) -> bool:
        """Whether it is here."""
        return self._place(update_id).exists()

    def add(self, path: Path) -> Bundle:
        """Take a copy of a file that can be added. BundleError, MakersError."""
        bundle = self.check(path)
        with path.open("rb") as file:
            write_atomically(self._place(bundle.id), file.read(MAX_BUNDLE))
        return bundle

    def all(self) -> list[Bundle]:
        """All that may be offered, by version and board."""
        self.problems.clear()
        found = list(self._read())
        return sorted(found, key=lambda one: (version_key(one.version), one.board))

    def get(self, update_id: bytes) -> Bundle:
        """BundleError: it is not here, or may not be offered; MakersError. One object until its file or the
        makers' change, or it is put back.
        """
        place = self._place(update_id)
        state = [_state(path) for path in (place, *makers.files(self.makers_path))]
        kept = self._used.get(update_id)
        if kept is None or kept[0] != state:
            found = read(place, makers.load(self.makers_path))
            if found.id != update_id:
                raise BundleError(place, "not what its name says")
            kept = self._used[update_id] = state, found
        return kept[1]

    def put_back(self) -> None:
        """None of them is in use any more."""
        self._used.clear()

    def _place(self, update_id: bytes) -> Path:
        return self.folder / f"{update_id.hex()}{SUFFIX}"

    def _read(self) -> Iterator[Bundle]:
        if not self.folder.is_dir():
            return
        try:
            believed = makers.load(self.makers_path)
        except makers.MakersError as e:
            self.problems.append(str(e))
            return
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                yield read(path, believed)
            except (BundleError, OSError, ProtocolError) as e:
                self.problems.append(str(e))


def _state(path: Path) -> tuple[Path, int, int, int]:
    """What is another one whenever the file may be."""
    found = path.stat()
    return path, found.st_mtime_ns, found.st_ino, found.st_size
