"""Small records on the node's flash that a power cut leaves either as they were or as they were to be.

A record is a file: `VWR1` ‖ CRC-32 of the payload (4 bytes, big-endian) ‖ payload. It is written beside its
place, synced, and renamed over it; LittleFS and POSIX rename in one step. What a cut can leave behind is a
whole old record and a piece of a new one under another name. The CRC tells bad flash, not an attacker.
"""

import os
from binascii import crc32
from errno import ENOENT

MAGIC = b"VWR1"
HEAD = 8
MAX_PAYLOAD = 2048


class FlashError(Exception):
    """A record could not be read or written: `path`, `cause` (missing, damaged, too_long, or the system's
    error text).
    """

    def __init__(self, path, cause):
        super().__init__(path.split("/")[-1] + ": " + cause)
        self.path = path
        self.cause = cause


def sync_file(file):
    """Bring what was written to `file` onto the medium."""
    file.flush()
    if hasattr(os, "fsync"):
        os.fsync(file.fileno())


def sync_folder(path):
    """Bring a rename onto the medium; LittleFS does so itself, and `os.sync` covers the other ports."""
    if hasattr(os, "fsync"):
        handle = os.open(path or ".", os.O_RDONLY)  # pyright: ignore[reportAttributeAccessIssue]
        os.fsync(handle)
        os.close(handle)
    elif hasattr(os, "sync"):
        os.sync()


class Records:
    """The records in one folder of the flash."""

    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        """Where the record `name` lies."""
        return self.folder + "/" + name

    def write(self, name, payload):
        """Replace the record; when this returns the new one is on the medium. Raises FlashError, the old one
        stays.
        """
        if len(payload) > MAX_PAYLOAD:
            raise FlashError(self.path(name), "too_long")
        place = self.path(name)
        beside = place + ".new"
        try:
            with open(beside, "wb") as file:
                file.write(MAGIC)
                file.write(crc32(payload).to_bytes(4, "big"))
                file.write(payload)
                sync_file(file)
            os.rename(beside, place)
            sync_folder(self.folder)
        except OSError as error:
            raise FlashError(place, str(error))

    def read(self, name):
        """The record's payload, or None when there is none. Raises FlashError("damaged") for one that is not
        whole.
        """
        place = self.path(name)
        try:
            size = os.stat(place)[6]
            if size > HEAD + MAX_PAYLOAD:
                raise FlashError(place, "damaged")
            # No more than that: in a heap in pieces, a block of the greatest size may not be found.
            with open(place, "rb") as file:
                data = file.read(size)
        except OSError as error:
            if error.errno == ENOENT:
                return None
            raise FlashError(place, str(error))
        payload = data[HEAD:]
        if len(data) < HEAD or data[:4] != MAGIC or int.from_bytes(data[4:HEAD], "big") != crc32(payload):
            raise FlashError(place, "damaged")
        return payload

    def holds(self, name):
        """Whether there is a record of that name."""
        try:
            os.stat(self.path(name))
        except OSError:
            return False
        return True

    def remove(self, name):
        """Remove the record, if there is one. Raises FlashError."""
        try:
            os.remove(self.path(name))
            sync_folder(self.folder)
        except OSError as error:
            if error.errno != ENOENT:
                raise FlashError(self.path(name), str(error))

    def set_aside(self, name):
        """Move a damaged record out of the way, keeping it for whoever examines the node."""
        try:
            os.rename(self.path(name), self.path(name) + ".bad")
        except OSError as error:
            raise FlashError(self.path(name), str(error))
