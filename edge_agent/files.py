"""Files that are either the old ones or the new ones, whatever happens in between, and that are nobody
else's to read. (Modes are POSIX's; elsewhere a folder has the rights of the one that it is in.)

What root makes beside another user's files is that user's: an agent must be able to read what a command made
with sudo.
"""

import os
from contextlib import suppress
from pathlib import Path

PRIVATE = 0o600


def make_folder(folder: Path) -> None:
    """See to it that `folder` is there; made now, it is open to its owner only. OSError as it comes."""
    missing = [one for one in (folder, *folder.parents) if _root() and not one.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in reversed(missing):
        # Through a descriptor: who owns the folder around it could put a link in its place.
        descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _give(descriptor, made.parent)
        finally:
            os.close(descriptor)


def private(path: str, flags: int) -> int:
    """An opener for open(): a file that it makes is its owner's only."""
    if flags & os.O_CREAT:
        with suppress(FileExistsError):
            descriptor = os.open(path, flags | os.O_EXCL, PRIVATE)
            _give(descriptor, Path(path).parent)
            return descriptor
    return os.open(path, flags, PRIVATE)


def _root() -> bool:
    return os.name == "posix" and os.geteuid() == 0


def _give(descriptor: int, like: Path) -> None:
    """Where root made it: give what is open to the owner and group of `like`."""
    if not _root():
        return
    owner = like.stat()
    if owner.st_uid not in (0, os.fstat(descriptor).st_uid):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def write_atomically(path: Path, data: bytes, mode: int = PRIVATE, durable: bool = True) -> None:
    """Replace `path` by `data` in one step: temporary file, fsync, rename, fsync of the folder.

    `durable=False` leaves out both fsyncs: for what is written every second and means nothing after a power
    cut. OSError as it comes.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _give(descriptor, path if path.exists() else path.parent)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as e:
        temporary.unlink(missing_ok=True)
        # Writing and syncing leave it out.
        e.filename = e.filename or str(path)
        raise
    if durable:
        fsync_folder(path.parent)


def fsync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` survive a power cut, where the system can (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
