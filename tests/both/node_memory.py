"""A node's flash with its power switch, its retained memory, and a boot on both."""

import firmware.flash as flash
from firmware.boots import BootRecord
from firmware.flash import Records

ENOENT = 2
EIO = 5


class PowerCut(Exception):
    pass


class Medium:
    """A flash file system with its power switch: `steps` more operations, then a cut in the middle of the
    next.
    """

    def __init__(self):
        self.files = {}
        self.steps = None
        self.broken = False

    def operation(self):
        if self.broken:
            raise OSError(EIO, "worn")
        if self.steps is not None:
            if self.steps == 0:
                raise PowerCut()
            self.steps -= 1

    def open(self, path, mode):
        if mode == "rb":
            if path not in self.files:
                raise OSError(ENOENT, "none")
            return Reader(self.files[path])
        self.operation()
        self.files[path] = b""
        return Writer(self, path)

    def stat(self, path):
        if path not in self.files:
            raise OSError(ENOENT, "none")
        return (0, 0, 0, 0, 0, 0, len(self.files[path]))

    def rename(self, old, new):
        self.operation()
        if old not in self.files:
            raise OSError(ENOENT, "none")
        self.files[new] = self.files.pop(old)

    def remove(self, path):
        self.operation()
        if path not in self.files:
            raise OSError(ENOENT, "none")
        del self.files[path]

    def sync(self):
        self.operation()


class Reader:
    def __init__(self, data):
        self.data = data

    def read(self, n):
        return self.data[:n]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Writer:
    """Bytes reach the medium half by half, so that a cut leaves torn writes."""

    def __init__(self, medium, path):
        self.medium = medium
        self.path = path

    def write(self, data):
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            self.medium.operation()
            self.medium.files[self.path] += bytes(part)

    def flush(self):
        self.medium.operation()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Os:
    def __init__(self, medium):
        self.rename = medium.rename
        self.remove = medium.remove
        self.stat = medium.stat
        self.sync = medium.sync


def on(medium):
    """The records on a medium: the node's file operations go there."""
    flash.os = Os(medium)
    flash.open = medium.open
    return Records("state")


class Board:
    """A board's retained memory; None: it has none."""

    def __init__(self, memory=None):
        self.memory = memory

    def retained_read(self):
        return self.memory

    def retained_write(self, data):
        self.memory = bytes(data)


def raises(kind, action):
    try:
        action()
    except kind as error:
        return error
    raise AssertionError("nothing raised")


def boot(records, board):
    record = BootRecord(records, board)
    record.commit(b"12345678")
    return record
