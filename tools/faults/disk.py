"""A file system for SQLite that fails when it is told to (sqlite.org/vfs.html).

It passes everything on to the system's own, and keeps beside it what a disk would hold: a write counts as
there only once its file was synced. `Disk.cut_at` ends the power at the n-th write or sync from then on;
`Disk.survivors` then writes what may be left into another folder: all that was synced, and of the rest any
part of any writes, in units of a sector, because a disk orders them as it likes. A file that was never
synced may be gone.

Use it as `with Disk("name") as disk, beneath(disk.name):` around whatever opens a store.
"""

import os
import random
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw

from edge_agent.store import database

SECTOR = 512
BASE = "unix"


_ever: "list[Disk]" = []


class PowerCut(BaseException):
    """The power is gone; nothing that this disk is asked for happens any more."""


class _Held:
    """What a disk holds of one file: `synced`, and what was written since, as (offset, bytes).

    An offset of -1 cuts the file to the length that the bytes say.
    """

    def __init__(self, synced: bytes, there: bool) -> None:
        self.synced = bytearray(synced)
        self.there = there
        self.since: list[tuple[int, bytes]] = []

    def sync(self) -> None:
        for offset, data in self.since:
            _put(self.synced, offset, data)
        self.since.clear()
        self.there = True


def _put(image: bytearray, offset: int, data: bytes) -> None:
    if offset < 0:
        size = int.from_bytes(data, "big")
        del image[size:]
        image.extend(bytes(size - len(image)))
        return
    image.extend(bytes(max(0, offset - len(image))))
    image[offset : offset + len(data)] = data


class Disk(apsw.VFS):
    """The file system, registered for good under a name that begins with `name`; sound once it is left.

    `fsync_s`: what each sync takes longer; `room`: bytes that may still be written beyond what files hold
    (None: any); `read_only`: every write is refused. All may be changed at any time.
    """

    def __init__(self, name: str, fsync_s: float = 0.0, keep: bool = False) -> None:
        # The encryption's own layer keeps a pointer to ours for as long as the process lives: so do we, and
        # no name is used twice.
        self.name = f"{name}-{len(_ever)}"
        _ever.append(self)
        self.fsync_s = fsync_s
        self.room: int | None = None
        self.read_only = False
        self.operations = 0
        self.syncs = 0
        self.dead = False
        self.keep = keep
        self.held: dict[str, _Held] = {}
        self._cut: int | None = None
        super().__init__(self.name, BASE)

    def __enter__(self) -> "Disk":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What is still open on it may be closed in order.
        self.room, self.read_only, self.fsync_s = None, False, 0.0

    def cut_at(self, operation: int) -> None:
        """Cut the power instead of the n-th write, cut or sync from now on (0: the next)."""
        self._cut = self.operations + operation

    def step(self) -> None:
        """Another operation: PowerCut when it is the last one."""
        if self.dead:
            raise PowerCut
        if self._cut is not None and self.operations >= self._cut:
            self.dead = True
            raise PowerCut
        self.operations += 1

    def writing(self, more: int) -> None:
        """`more` bytes than before are to be kept. FullError, IOError."""
        if self.read_only:
            raise apsw.IOError("the disk takes no writes")
        if self.room is not None and more > 0:
            if more > self.room:
                raise apsw.FullError("the disk is full")
            self.room -= more

    def file(self, path: str) -> _Held:
        """What is held of the file at `path`; what is there when it is first asked for counts as synced."""
        held = self.held.get(path)
        if held is None:
            there = os.path.exists(path)
            held = self.held[path] = _Held(Path(path).read_bytes() if there else b"", there)
        return held

    def survivors(self, folder: Path, seed: int) -> None:
        """Write into `folder` what may be left of every file after the cut."""
        chance = random.Random(seed)
        for path, held in sorted(self.held.items()):
            image, there = bytearray(held.synced), held.there
            for offset, data in held.since:
                fate = chance.random()
                if fate < 0.4:
                    continue
                there = True
                if fate < 0.6 and offset >= 0 and len(data) > SECTOR:
                    data = data[: SECTOR * chance.randrange(1, len(data) // SECTOR + 1)]
                _put(image, offset, data)
            if there:
                (folder / Path(path).name).write_bytes(image)

    def xOpen(self, name: Any, flags: list[int]) -> "_File":
        """As SQLite asks for it."""
        if self.dead:
            raise PowerCut
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if self.keep and path:
            self.file(path)
        if flags[0] & apsw.SQLITE_OPEN_READONLY:
            # Who reads only still tries a lock of writers when it closes; refused, apsw would raise it.
            flags[0] ^= apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_READWRITE
        return _File(self, path, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        """As SQLite asks for it; a deletion counts as synced."""
        self.step()
        super().xDelete(filename, syncdir)
        self.held.pop(filename, None)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, path: str | None, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._held = disk.file(path) if disk.keep and path else None
        super().__init__(BASE, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        if self._disk.dead:
            raise PowerCut
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.step()
        if self._disk.room is not None or self._disk.read_only:
            self._disk.writing(offset + len(data) - self.xFileSize())
        super().xWrite(data, offset)
        if self._held is not None:
            self._held.since.append((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        self._disk.step()
        super().xTruncate(newsize)
        if self._held is not None:
            self._held.since.append((-1, newsize.to_bytes(8, "big")))

    def xSync(self, flags: int) -> None:
        disk = self._disk
        disk.step()
        if disk.read_only:
            raise apsw.IOError("the disk takes no writes")
        if disk.fsync_s:
            time.sleep(disk.fsync_s)
        disk.syncs += 1
        if self._held is not None:
            # The copy stands in for the disk: a real sync would only cost time.
            self._held.sync()
        else:
            super().xSync(flags)


@contextmanager
def beneath(name: str) -> Generator[None]:
    """Every store that is opened meanwhile, by this process, is on the file system of that name."""
    before = database.beneath
    database.beneath = name
    try:
        yield
    finally:
        database.beneath = before
