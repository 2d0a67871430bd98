"""Work on files that ends, or finds no room, at its n-th step: what is done once has to be done whole.

A step is a write, cut or sync of SQLite's, or one of Python's own: a file opened to be written, renamed,
linked, removed. `killed()` ends the process there, `cut()` the power, which takes with it whatever was not
synced, and renames that the folder was not synced after. `full()` is a disk that takes nothing more from
there on. Each says whether the work came so far; counted() says how many steps there are.

What ends works in a process of its own, made by fork: POSIX only.
"""

import errno
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tools.faults.disk import Disk, beneath

_TOUCHES = ("os.rename", "os.link", "os.remove", "os.mkdir")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_DONE, _CUT, _FAILED = 0, 3, 4

Work = Callable[[], object]


class _Steps(Disk):
    """The disk beneath the store, which counts Python's own steps in `folder` too; the n-th calls `end`."""

    def __init__(self, folder: Path, n: int, end: Callable[[], object], keep: bool = False) -> None:
        super().__init__("steps", keep=keep)
        self.folder = str(folder)
        self.end = end
        self.cut_at(n)

    def step(self) -> None:
        """Another one."""
        if self._cut is not None and self.operations >= self._cut:
            self.end()
        self.operations += 1

    def touched(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python is about to do that."""
        path = arguments[0] if arguments else None
        if isinstance(path, int) or path is None or not os.fspath(path).startswith(self.folder):
            return
        if event == "open" and not arguments[2] & _WRITING:
            return
        self.step()
        if self.room is not None and event != "os.remove" and event != "os.rename":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))


_watching: _Steps | None = None
_hooked = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching is not None and (event == "open" or event in _TOUCHES):
        _watching.touched(event, arguments)


def _watched(steps: _Steps, work: Work) -> None:
    """Do it on that disk. A hook stays for as long as the process lives, so there is one."""
    global _watching, _hooked
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    with steps, beneath(steps.name):
        _watching = steps
        try:
            work()
        finally:
            _watching = None


def counted(folder: Path, work: Work, syncs: bool = False) -> int:
    """How many steps it takes; done in a process of its own. `syncs`: with Python's own, as for a cut."""
    reading, writing = os.pipe()
    steps = _Steps(folder, 1 << 40, lambda: None)

    def child() -> None:
        if syncs:
            _model(steps)
        _watched(steps, work)
        os.write(writing, b"%d" % steps.operations)

    _forked(child)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        return int(told.read())


def points(count: int, stride: int) -> list[int]:
    """Of so many steps the last ten, where things are put in place, and of the others one in `stride`,
    beginning with another one in each process.
    """
    return [*range(os.getpid() % stride, max(0, count - 10), stride), *range(max(0, count - 10), count)]


def full(folder: Path, n: int, work: Work) -> BaseException | None:
    """Do it on a disk that is full from the n-th step on; what it raised. None: it needed fewer steps.

    Whatever it did not raise although the disk was full, it could do without: that is PowerCut's place here,
    so it is given as an OSError that says so.
    """

    def no_more() -> None:
        steps.room = 0
        reached.append(True)

    reached: list[bool] = []
    steps = _Steps(folder, n, no_more)
    try:
        _watched(steps, work)
    except Exception as e:
        return e
    return OSError(errno.ENOSPC, "it was done all the same") if reached else None


def killed(folder: Path, n: int, work: Work) -> bool:
    """Do it in a process that is killed instead of the n-th step."""
    return _forked(lambda: _watched(_Steps(folder, n, lambda: os.kill(os.getpid(), signal.SIGKILL)), work))


def cut(folder: Path, n: int, work: Work, left: Path, seed: int) -> bool:
    """Do it until the power goes instead of the n-th step; into `left` goes what is on the disk then."""

    def end() -> None:
        steps.end = lambda: None
        _survivors(steps, folder, left, seed)
        os._exit(_CUT)

    def child() -> None:
        _model(steps)
        _watched(steps, work)

    steps = _Steps(folder, n, end, keep=True)
    return _forked(child)


def _forked(work: Work) -> bool:
    """Whether it was ended; AssertionError when it failed by itself, with its traceback on stderr."""
    pid = os.fork()
    if pid == 0:
        _child(work)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (_DONE, _CUT, -signal.SIGKILL), f"the work failed by itself ({status})"
    return status != _DONE


def _child(work: Work) -> NoReturn:
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(_FAILED)
    os._exit(_DONE)


_renamed: list[tuple[str, bytes | None, str]] = []
"""Renames since their folder was synced: new name, what was there before (None: nothing), old name."""


def _model(steps: _Steps) -> None:
    """In a process of its own: renames and syncs of Python's are followed, as the disk would have them."""
    replace = os.replace

    def replacing(old: Any, new: Any) -> None:
        before = Path(new).read_bytes() if os.path.exists(new) else None
        replace(old, new)
        _renamed.append((str(new), before, str(old)))
        held = steps.held.pop(str(old), None)
        steps.held.pop(str(new), None)
        if held is not None:
            steps.held[str(new)] = held

    def syncing(descriptor: int) -> None:
        steps.step()
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.path.isdir(path):
            _renamed.clear()
        elif path in steps.held:
            steps.held[path].sync()

    os.replace, os.fsync = replacing, syncing


def _survivors(steps: _Steps, folder: Path, left: Path, seed: int) -> None:
    left.mkdir()
    for one in folder.iterdir():
        if one.is_file() and str(one) not in steps.held and not one.name.endswith("-shm"):
            shutil.copy(one, left / one.name)
    steps.survivors(left, seed)
    # A file system keeps the order of renames: the newest ones may not have happened.
    for new, before, old in reversed(_renamed[random.Random(seed).randrange(len(_renamed) + 1) :]):
        at = left / Path(new).name
        if at.exists():
            at.rename(left / Path(old).name)
        if before is not None:
            at.write_bytes(before)
