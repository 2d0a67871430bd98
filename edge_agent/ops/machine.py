"""What this machine says of itself: its clock, its disk, its file systems. Nothing here changes anything."""

import ctypes
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# Of what is written there, nothing is left after a power cut (or a container's end).
VOLATILE = ("tmpfs", "ramfs", "overlay", "aufs")
# SQLite's locks and fsync() do not hold there what they promise.
FAR = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "vboxsf")
_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class Mount(NamedTuple):
    """The file system that a path lies on."""

    point: str
    kind: str
    options: str


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), as far as its status; the rest is room."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_long * 64),
    ]


def clock_synchronised() -> bool | None:
    """Whether something keeps the system's clock right; None where the kernel does not say."""
    try:
        timex = _Timex()
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError, TypeError):
        return None
    if state < 0:
        return None
    return state != _TIME_ERROR and not timex.status & _STA_UNSYNC


def free_bytes(path: Path) -> int | None:
    """What this user may still write on the disk of `path`, in bytes; None when nobody knows."""
    try:
        return shutil.disk_usage(_existing(path)).free
    except OSError:
        return None


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.absolute().parents) if one.exists())


def mount_of(path: Path, table: Path = Path("/proc/self/mounts")) -> Mount | None:
    """The file system of `path`; None where there is no such table."""
    try:
        lines = table.read_text("utf-8", "surrogateescape").splitlines()
        real = os.path.realpath(_existing(path))
    except OSError:
        return None
    best: Mount | None = None
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 4:
            continue
        point = fields[1].replace("\\040", " ")
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        # Of two on one point the later hides the earlier.
        if inside and (best is None or len(point) >= len(best.point)):
            best = Mount(point, fields[2], fields[3])
    return best


def fsync_ms(folder: Path, times: int = 20) -> list[float]:
    """Milliseconds of `times` small writes in `folder`, each with its fsync, sorted. OSError as it comes."""
    took: list[float] = []
    descriptor, name = tempfile.mkstemp(prefix=".fsync-", dir=folder)
    try:
        for _ in range(times):
            began = time.perf_counter()
            os.write(descriptor, bytes(4096))
            os.fsync(descriptor)
            took.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(descriptor)
        with suppress(OSError):
            os.unlink(name)
    return sorted(took)
