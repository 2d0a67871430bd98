"""Opening the store to collect into it: the sound one that is there, or a new one that says what became of
the old.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from edge_agent.files import fsync_folder, make_folder, private
from edge_agent.readable import counted
from tools.collector import linkage, schema
from tools.collector.store import Store, StoreError

SIDES = ("-wal", "-shm")
_HEADER = b"SQLite format 3\0"
_HEADER_BYTES = 100


def open_store(path: Path, now_ms: int) -> tuple[Store, str]:
    """The store at `path`, made if there is none, made anew if what is there is damaged.

    The damaged one is kept as `*.corrupt-<n>`; then the text says so, and the new one has an alarm
    `store_set_aside`. StoreError: it is a newer version's, in use, or on a disk that refuses.
    """
    try:
        why = _damage(path)
        if why is None:
            if not path.exists():
                create(path)
            said = ""
        else:
            aside = set_aside(path, why)
            said = (
                f"the store {path.name} was damaged ({why}); it is kept as {aside.name}, a new one is begun"
            )
            create(path, (now_ms, "store_set_aside", said))
        store = Store(path)
    except sqlite3.Error as e:
        raise StoreError(path, f"cannot be opened: {e}", "see the disk and the rights on its folder") from e
    try:
        with store.transaction():
            linkage.look_for_holes(store)
    except BaseException:
        store.close()
        raise
    return store, said


def create(path: Path, alarm: tuple[int, str, str] | None = None) -> None:
    """Make an empty store at `path`, born with its alarm if there is one: there whole, or not at all."""
    make_folder(path.parent)
    draft = path.with_name(f"{path.name}.new")
    for side in ("", *SIDES):
        path.with_name(draft.name + side).unlink(missing_ok=True)
    # SQLite gives its logs the mode of the file.
    open(draft, "xb", opener=private).close()
    with closing(sqlite3.connect(draft, isolation_level=None)) as db:
        db.executescript(f"BEGIN; {schema.TABLES} PRAGMA user_version={schema.VERSION}; COMMIT")
        if alarm is not None:
            db.execute("INSERT INTO alarms (at_ms, code, detail) VALUES (?, ?, ?)", alarm)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(draft, path)
    fsync_folder(path.parent)


def set_aside(path: Path, why: str) -> Path:
    """Rename the store and its companions to *.corrupt-<n>, with the least n that is free.

    Nothing is deleted.
    """
    n = 1
    while any(_aside(path, n, side).exists() for side in ("", *SIDES)):
        n += 1
    for side in (*SIDES, ""):
        old = path.with_name(path.name + side)
        if old.exists():
            os.replace(old, _aside(path, n, side))
    fsync_folder(path.parent)
    return _aside(path, n, "")


def _aside(path: Path, n: int, side: str) -> Path:
    # The companions keep the ending that SQLite looks for, so that the set can still be opened as a whole.
    return path.with_name(f"{path.name}.corrupt-{n}{side}")


def _damage(path: Path) -> str | None:
    """What is wrong with the store at `path`, in words; None when it is sound, or was never there.

    StoreError when it is sound but not ours to open.
    """
    if not path.exists():
        log = path.with_name(path.name + "-wal")
        return "the file is gone, its write-ahead log is left" if log.exists() else None
    size = path.stat().st_size
    if size < _HEADER_BYTES:
        return f"truncated to {counted(size, 'byte')}"
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if not header.startswith(_HEADER):
        return "not a SQLite file: the header is overwritten"
    try:
        # Read only, so that evidence stays as it was found.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as db:
            found = [str(row[0]) for row in db.execute("PRAGMA quick_check(1)")]
            if found != ["ok"]:
                text = found[0] if found else "quick_check said nothing"
                return " ".join(text.replace("*** in database main ***", "").split())
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if 0 < version < schema.VERSION:
                return None  # Opening it brings it up.
            if version > schema.VERSION:
                raise StoreError(path, f"made by a newer version (schema {version})", "use that release")
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            gone = sorted(schema.NAMES - tables)
            if version != schema.VERSION or gone:
                return f"it has no {', '.join(gone)}" if gone else f"it says schema {version}"
    except sqlite3.DatabaseError as e:
        if _code(e) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError(path, "another program is writing to it", "close that program") from None
        if _code(e) in _SYSTEM:
            raise StoreError(
                path, f"cannot be opened: {e}", "see the disk and the rights on its folder"
            ) from None
        return str(e)
    return None


_SYSTEM = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
