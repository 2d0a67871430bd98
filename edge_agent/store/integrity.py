"""Is the file that is there the store that was left? Checks at opening, setting a damaged one aside, the
mark.

The mark is a small file beside the store, holding how far the journal and the batches had come after the
newest commit. It is written without fsync, so it survives a killed process and may fall behind in a power
cut; but it is never ahead of the store unless the store lost something: a write-ahead log that was cut short
or deleted (SQLite opens such a store without a word), or an older copy put in its place.
"""

import os
import struct
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from edge_agent.files import fsync_folder, private
from edge_agent.readable import counted, is_are
from edge_agent.store import database, keys
from edge_agent.store.database import HEADER_BYTES, LOG_LIMIT, connect
from edge_agent.store.errors import StoreError, StoreKeyError
from edge_agent.store.schema import APPLICATION_ID, VERSION

SIDES = ("-wal", "-shm")
# No version beyond this is ever made; such a number is damage.
MAX_VERSION = 1000
_MARK = struct.Struct(">16sQQ")


class SetAside(NamedTuple):
    """A damaged store that was renamed.

    What its last readable head says is best effort: None where unreadable.
    """

    path: Path
    why: str
    frames: int | None
    head: tuple[bytes, int, bytes] | None


def damage(path: Path, key: bytes | None) -> str | None:
    """What is wrong with the file at `path`, in words, or None; `key` None: of a store in clear (schema 1).

    StoreError when it is sound but not ours to open; StoreKeyError when nothing tells a wrong key from
    damage.
    """
    size = path.stat().st_size
    if size < HEADER_BYTES:
        return f"truncated to {counted(size, 'byte')}"
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    if key is not None and not keys.looks_encrypted(header):
        return "not a store of this agent: the header is overwritten"
    page = int.from_bytes(header[16:18], "big")
    page = 65536 if page == 1 else page
    if page < 512 or page & (page - 1):
        return f"the header is damaged: page size {page}"
    log = path.with_name(path.name + "-wal")
    if size % page and not (log.exists() and log.stat().st_size):
        # With a log beside it, it may be a page that was being folded in, and the log still holds it whole.
        return f"truncated: {counted(size, 'byte')} {is_are(size)} not whole pages of {page}"
    try:
        # Read only, so that evidence stays as it was found.
        with closing(connect(path, key, read_only=True)) as db:
            return _unsound(path, db, key)
    except database.NotADatabase as e:
        if key is not None and not keys.is_confirmed(path):
            problem = "it does not open with this key, and no check file tells a wrong key from damage"
            hint = f"put the right key or {keys.check_path(path).name} back, or move the store away"
            raise StoreKeyError(path, problem, hint) from None
        return f"the first page is damaged: {e}"
    except database.Busy:
        raise StoreError(path, "another program is writing to it", "close that program") from None
    except database.System as e:
        raise StoreError(
            path, f"cannot be opened: {e}", "see the disk and the rights on its folder"
        ) from None
    except database.Error as e:
        return str(e)


def _unsound(path: Path, db: database.Database, key: bytes | None) -> str | None:
    found = str(db.value("PRAGMA quick_check(1)") or "quick_check said nothing")
    if found != "ok":
        return found.replace("*** in database main ***", "").replace("\n", " ").strip()
    application, version = db.value("PRAGMA application_id"), db.value("PRAGMA user_version")
    if application != APPLICATION_ID:
        return f"not a store of this agent: application id {application:#010x}"
    if not 1 <= version <= MAX_VERSION:
        return f"the header is damaged: schema version {version}"
    if version > VERSION:
        raise StoreError(path, f"made by a newer version of the agent (schema {version})", "update the agent")
    if (key is None) != (version == 1):
        return f"schema version {version} is not kept {'in clear' if key is None else 'encrypted'}"
    db.value("SELECT max(id) FROM journal")
    db.value("SELECT max(id) FROM batches")
    if db.value("SELECT count(*) FROM meta WHERE key IN ('store', 'agent')") != 2:
        return "it does not say whose store it is"
    return None


def is_corrupt(error: database.Error) -> bool:
    """Whether this error of a running store means that the file is damaged."""
    return isinstance(error, database.Corrupt)


class Watch:
    """Notices when an open store's file, or its write-ahead log, is deleted, replaced or cut short.

    SQLite does not: it goes on writing to a file that nobody will find again.
    """

    def __init__(self, path: Path) -> None:
        self._paths = [path, path.with_name(path.name + "-wal")]
        self._known: list[tuple[int, int, int] | None] = [None, None]
        self._floor: int | None = None

    def cut_by_us(self, floor: int | None) -> None:
        """We gave back what was not needed: the log may be shorter now, and the file, too. `floor`: to so
        many bytes it shrinks when the log is folded in, which may be at any later commit; None: it was.
        """
        self._floor = floor
        for n, path in enumerate(self._paths):
            known = self._known[n]
            if known is not None:
                # What became of one that is gone, problem() says.
                with suppress(OSError):
                    self._known[n] = (*known[:2], min(known[2], path.stat().st_size))

    def problem(self) -> str | None:
        """What has happened to the files since the last call, or None."""
        for n, path in enumerate(self._paths):
            known = self._known[n]
            try:
                found = path.stat()
            except FileNotFoundError:
                if known is None:
                    continue
                return f"{path.name} was deleted while the agent ran"
            except OSError as e:
                return f"{path.name} cannot be reached: {e.strerror}"
            if known is not None:
                if (found.st_dev, found.st_ino) != known[:2]:
                    return f"{path.name} was replaced while the agent ran"
                # SQLite cuts the log back itself, but never below its limit.
                limit = LOG_LIMIT if n else self._floor
                least = known[2] if limit is None else min(known[2], limit)
                if found.st_size < least:
                    return f"{path.name} was cut to {counted(found.st_size, 'byte')} while the agent ran"
            self._known[n] = (found.st_dev, found.st_ino, found.st_size)
        return None


def set_aside(path: Path, why: str, key: bytes | None) -> SetAside:
    """Rename the store and its companions to *.corrupt-<n>, with the least n that is free; nothing is
    deleted.
    """
    n = 1
    while any(_aside(path, n, side).exists() for side in ("", *SIDES)):
        n += 1
    frames, head = _last_words(path, key)
    for side in (*SIDES, ""):
        old = path.with_name(path.name + side)
        if old.exists():
            os.replace(old, _aside(path, n, side))
    fsync_folder(path.parent)
    return SetAside(_aside(path, n, ""), why, frames, head)


def _aside(path: Path, n: int, side: str) -> Path:
    # The companions keep the ending that SQLite looks for, so that the set can still be opened as a whole.
    return path.with_name(f"{path.name}.corrupt-{n}{side}")


def _last_words(path: Path, key: bytes | None) -> tuple[int | None, tuple[bytes, int, bytes] | None]:
    frames, head = None, None
    if not path.exists():
        return frames, head
    try:
        with closing(connect(path, key, read_only=True)) as db:
            head = db.execute("SELECT chain, number, hash FROM batches ORDER BY id DESC LIMIT 1").fetchone()
            frames = db.execute("SELECT count(*) FROM journal WHERE kind = 0").fetchone()[0]
    except database.Error:
        pass
    if head is not None and not _is_head(head):
        head = None
    return frames, head


def _is_head(head: tuple[object, ...]) -> bool:
    chain, number, digest = head
    return (
        isinstance(chain, bytes)
        and len(chain) == 8
        and isinstance(number, int)
        and isinstance(digest, bytes)
        and len(digest) == 32
    )


class Mark:
    """The mark beside the store at `path`: (store id, newest journal id, newest batch id)."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + "-mark")
        self._descriptor: int | None = None

    def read(self) -> tuple[bytes, int, int] | None:
        """What it says; None when there is none, or none that can be read."""
        try:
            data = self.path.read_bytes()
        except OSError:
            return None
        if len(data) != _MARK.size:
            return None
        store, journal, batch = _MARK.unpack(data)
        return (store, journal, batch) if store != bytes(16) else None

    def write(self, store: bytes, journal: int, batch: int) -> None:
        """Set it.

        A mark that cannot be written is not worth stopping for: it only adds to what SQLite checks itself.
        """
        try:
            if self._descriptor is None:
                self._descriptor = private(str(self.path), os.O_RDWR | os.O_CREAT)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, _MARK.pack(store, journal, batch))
        except OSError:
            self.close()

    def remove(self) -> None:
        """Forget it (its store is gone)."""
        self.close()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
