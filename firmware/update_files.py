"""The files of an update in the slot that does not run. Part of firmware/receiving.py, loaded and forgotten
with it.

All that takes long is in steps, a piece of CHUNK at a time, with the sensors drained before each write.
"""

import hashlib
import os

from firmware import interlocks
from protocol.update import UpdateError

MANIFEST = "update.cose"
# It begins with the update's id.
MANIFEST_PART = "update.part"
ID_BYTES = 8
ENTRY_PART = ".part"
ENTRIES = ("start.py", "start.mpy")
CHUNK = 512
# Beyond the files themselves: two for each folder, and some to work with.
SPARE_BLOCKS = 16
_FOLDER = 0x4000


def may_update(node):
    """UpdateError (not_now) while nothing of an update may go on."""
    refused = interlocks.refused(node, interlocks.UPDATE)
    if refused:
        raise UpdateError(refused, None, "not_now")


class SlotFiles:
    """`mine`: the slot that runs, `folder`: the other one, each with a slash at the end."""

    def __init__(self, node, mine, folder):
        self._node = node
        self._mine = mine
        self.folder = folder

    def stored(self, path):
        """Where a file of the update lies until it is on trial."""
        return self.folder + path + (ENTRY_PART if path in ENTRIES else "")

    def remove_steps(self, path):
        """Remove a file, if there is one."""
        self._node.drain()
        remove_file(path)
        yield

    def is_whole_steps(self, path, size, digest):
        """Whether a file is there as it should be."""
        return size_of(path) == size and (yield from self.hash_steps(path)).digest() == digest

    def hash_steps(self, path):
        """The hash object of what is in a file."""
        found = hashlib.sha256()
        with open(path, "rb") as file:
            for data in pieces(file):
                found.update(data)
                may_update(self._node)
                yield
        return found

    def copied_steps(self, path, size, digest):
        """Whether the running version has the same file, which is in the other slot, too, now."""
        if not (yield from self.is_whole_steps(self._mine + path, size, digest)):
            return False
        with open(self._mine + path, "rb") as file, open(self.stored(path), "wb") as out:
            for data in pieces(file):
                may_update(self._node)
                self._node.drain()
                out.write(data)
                yield
        return True

    def prepare_steps(self, manifest):
        """Remove what is not of this update (an old source would be imported before new bytecode), and see
        that there is room for what is missing. UpdateError: no_room.
        """
        yield from self._clean_steps(self.folder[:-1], manifest)
        room = os.statvfs(self.folder[:-1])  # pyright: ignore[reportAttributeAccessIssue]
        blocks = 0
        for path, size, _ in manifest.entries():
            missing = size - max(size_of(self.stored(path)), 0)
            if missing > 0:
                blocks += missing // room[0] + 1
                make_folders(self.folder, path)
            yield
        if blocks and blocks + SPARE_BLOCKS > room[3]:
            raise UpdateError("%d KB more are needed" % (blocks * room[0] // 1024), None, "no_room")

    def _clean_steps(self, folder, manifest):
        for found in list(os.ilistdir(folder)):
            path = folder + "/" + found[0]
            if found[1] == _FOLDER:
                yield from self._clean_steps(path, manifest)
            elif path != self.folder + MANIFEST and not (yield from self._is_listed_steps(path, manifest)):
                yield from self.remove_steps(path)

    def _is_listed_steps(self, stored, manifest):
        for path, _, _ in manifest.entries():
            if self.stored(path) == stored:
                return True
            yield
        return False


def reader(file, begin):
    """`read(at, n)` of what lies in a file from `begin` on."""

    def read(at, n):
        file.seek(begin + at)
        return file.read(n)

    return read


def pieces(file):
    """The rest of a file, a piece at a time."""
    while True:
        data = file.read(CHUNK)
        if not data:
            return
        yield data


def id_of(path, named=False):
    """The id of the manifest that lies there (`named`: it stands in front of it); None: there is none."""
    try:
        with open(path, "rb") as file:
            if named:
                return file.read(ID_BYTES)
            found = hashlib.sha256()
            for data in pieces(file):
                found.update(data)
            return found.digest()[:ID_BYTES]
    except OSError:
        return None


def size_of(path):
    """-1 where there is nothing."""
    try:
        return os.stat(path)[6]
    except OSError:
        return -1


def remove_file(path):
    """Remove it, if it is there."""
    try:
        os.remove(path)
    except OSError:
        pass


def make_folders(root, path):
    """The folders of `path`, and that of `root` itself."""
    at = 0
    while at >= 0:
        try:
            os.mkdir(root[:-1] + ("/" + path[:at] if at else ""))
        except OSError:
            pass
        at = path.find("/", at + 1)
