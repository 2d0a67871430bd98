"""Files that are either the old ones or the new ones, whatever happens in between, and that are nobody
else's to read. (Modes are POSIX's; elsewhere a folder has the rights of the one that it is in.)

What root makes beside another user's files is that user's: an agent must be able to read what a command made
with sudo. That user may have put links there, so root follows none.
"""

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

PRIVATE = 0o600
# No write takes so long: what is older is left over, whoever has its number now.
LEFT_OVER_S = 3600


class ExposedError(OSError):
    """Others may read a file with a secret in it: it is not used. `problem`, `hint`: what to do."""

    def __init__(self, path: Path, found: os.stat_result) -> None:
        mode = stat.S_IMODE(found.st_mode)
        self.problem = f"others may read it (mode {mode:04o})"
        # Of root's, it is its group's to read: what is the owner's alone a service could not read.
        self.hint = f"chmod {640 if found.st_uid == 0 and found.st_gid != 0 else 600} {path}"
        if found.st_uid == found.st_gid == 0 and not _root():
            self.hint = f"chgrp {os.getegid()} {path} && chmod 640 {path}"
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            self.hint = "it is mounted read-only: give its mount uid= of the agent's user and mode=0400"
        elif mode & 0o111:
            # Nobody makes a secret executable; vfat and its like do, and forget what chmod said.
            self.hint += ", or, where modes are the mount's, uid= of the agent's user and umask=077 for that"
        super().__init__(errno.EACCES, f"{self.problem}: {self.hint}", str(path))

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def check_secret(path: Path) -> None:
    """See to it that nobody but its user may read the file of a secret: key, password, passphrase, token.

    One of root's may be its group's to read, so that root gives a service what it may not change (systemd
    gives credentials so); root's commands read it then, too. ExposedError, also another OSError.
    """
    if os.name != "posix":
        return
    found = path.stat()
    if stat.S_IMODE(found.st_mode) & (0o037 if found.st_uid == 0 else 0o077):
        raise ExposedError(path, found)


def read_secret(path: Path) -> bytes:
    """What is in the file of a secret. ExposedError, also another OSError."""
    check_secret(path)
    return path.read_bytes()


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
    """An opener for open(): a file that it makes is its owner's only. OSError also for a link."""
    try:
        descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), PRIVATE)
    except OSError as e:
        if os.path.islink(path):
            problem = f"{os.path.basename(path)} is a link, and is not followed: remove it"
            raise OSError(e.errno, problem, str(path)) from None
        raise
    try:
        # Also one that was there: it may be from a time when what root made stayed root's.
        _give(descriptor, Path(path).parent)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _root() -> bool:
    return os.name == "posix" and os.geteuid() == 0


def _give(descriptor: int, *like: Path) -> None:
    """Give what is open, if it is root's, to whom the first of `like` belongs that is not root's."""
    if not _root():
        return
    opened = os.fstat(descriptor)
    # A file with a second name may be root's for a reason that lies elsewhere.
    if opened.st_uid != 0 or (opened.st_nlink > 1 and not stat.S_ISDIR(opened.st_mode)):
        return
    for one in like:
        with suppress(FileNotFoundError):
            owner = one.lstat()
            if owner.st_uid != 0:
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
                return


def write_atomically(path: Path, data: bytes, mode: int = PRIVATE, durable: bool = True) -> None:
    """Replace `path` by `data` in one step: temporary file, fsync, rename, fsync of the folder.

    `durable=False` leaves out both fsyncs: for what is written every second and means nothing after a power
    cut. OSError as it comes.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    _sweep(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _give(descriptor, path, path.parent)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as e:
        # Also when a signal ends it.
        temporary.unlink(missing_ok=True)
        if isinstance(e, OSError):
            # Writing and syncing leave it out.
            e.filename = e.filename or str(path)
        raise
    if durable:
        fsync_folder(path.parent)


def _sweep(path: Path) -> None:
    """Remove what processes that were killed while they wrote `path` have left."""
    begin = f".{path.name}."
    with suppress(OSError):
        for name in os.listdir(path.parent):
            pid = name.removeprefix(begin)
            if pid != name and pid.isdecimal():
                left = path.with_name(name)
                with suppress(OSError):
                    if not _alive(int(pid)) or time.time() - left.lstat().st_mtime > LEFT_OVER_S:
                        left.unlink()


def _alive(pid: int) -> bool:
    """Whether there may be such a process; elsewhere than with POSIX, asking would end it."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def fsync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` survive a power cut, where the system can (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
