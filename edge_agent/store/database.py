"""A connection to an encrypted SQLite file: every page ChaCha20-Poly1305 under a raw 256-bit key.

It is `apsw.Connection` with this project's settings. Statements run in autocommit mode; `execute()` gives a
cursor to iterate, with fetchone() and fetchall(); `changes()` and `last_insert_rowid()` say what a statement
did; `in_transaction` whether BEGIN is open. The salt in the first 16 bytes of the file and its page size are
the only bytes in clear. A page whose tag is wrong raises Corrupt, so a flipped byte never becomes data.

Errors are apsw's own, by these names; each carries `result`, SQLite's code.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import apsw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from edge_agent.config import Config
    from edge_agent.store.keys import Source

Error = apsw.Error
Busy = (apsw.BusyError, apsw.LockedError)
Corrupt = (apsw.CorruptError, apsw.NotADBError)
NotADatabase = apsw.NotADBError
Full = apsw.FullError
Constraint = apsw.ConstraintError
# The system refused; a missing table or column (SQLITE_ERROR) is a damaged schema, not the system's fault.
System = (
    apsw.CantOpenError,
    apsw.FullError,
    apsw.IOError,
    apsw.NoMemError,
    apsw.PermissionsError,
    apsw.ReadOnlyError,
)

KEY_BYTES: Final = 32
PAGE: Final = 4096
HEADER_BYTES: Final = 100
# Bytes 16 to 23, which stay in clear: page size, WAL for writers and readers, 32 bytes a page for nonce and
# tag, and three constants of the format (sqlite.org/fileformat2.html §1.3).
HEADER: Final = bytes((0x10, 0x00, 2, 2, 32, 64, 32, 32))
PLAIN_HEADER: Final = b"SQLite format 3\0"
# The write-ahead log is cut back to so many bytes.
LOG_LIMIT: Final = 16 << 20
BUSY_MS = 5000

# The file system beneath the encryption, by its registered name; None is the system's own (tools/faults).
beneath: str | None = None


class Rows(Protocol):
    """What a statement gives: to be iterated, or taken one or all."""

    def __iter__(self) -> Iterator[Any]: ...

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All that are left."""
        ...


class Database(apsw.Connection):
    """The file at `path` under `key` (None: not encrypted, as stores of schema 1 are). Error as it comes."""

    def __init__(
        self,
        path: Path,
        key: bytes | None,
        read_only: bool = False,
        create: bool = False,
    ) -> None:
        assert key is None or len(key) == KEY_BYTES
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
        if create:
            flags |= apsw.SQLITE_OPEN_CREATE
        super().__init__(str(path), flags=flags, vfs=beneath and f"multipleciphers-{beneath}")
        self.read_only = read_only
        # Ciphers of data keys that were used through this connection, by the keys' ids (rows.py).
        self.data_keys: dict[int, AESGCM] = {}
        try:
            self.set_busy_timeout(BUSY_MS)
            if key is not None:
                self.pragma("cipher", "chacha20")
                # "raw:" is the key itself: there is nothing to stretch in 256 random bits.
                self.pragma("key", f"raw:{key.hex()}")
            self.pragma("cache_size", -4096)
        except apsw.Error:
            self.close()
            raise

    def for_writing(self) -> "Database":
        """Every commit synced to the disk (WAL, FULL); itself. Error as it comes."""
        # `fullfsync` matters on macOS only, where fsync() stops at the disk's cache.
        for name, value in (("journal_mode", "wal"), ("synchronous", "full"), ("fullfsync", True)):
            self.pragma(name, value)
        self.pragma("journal_size_limit", LOG_LIMIT)
        # Zeros over what is deleted where that costs no page more; erasure asks for all of it.
        self.pragma("secure_delete", "fast")
        return self

    if TYPE_CHECKING:
        # apsw's own say "int, float, text, bytes or None" of every value, which the tables know better.
        def execute(  # pyright: ignore[reportIncompatibleMethodOverride]
            self, statements: str, bindings: Any = None, **more: Any
        ) -> "Rows":
            """Run it up to its first row. Error."""
            ...

        def executemany(  # pyright: ignore[reportIncompatibleMethodOverride]
            self, statements: str, sequenceofbindings: Any, **more: Any
        ) -> "Rows":
            """Run it with each of these. Error."""
            ...

        def pragma(self, name: str, value: Any = None, *, schema: str | None = None) -> Any:
            """Set or ask one; the first value of what it gives."""
            ...

    def value(self, sql: str, bindings: tuple[Any, ...] = ()) -> Any:
        """The first column of the first row, or None."""
        found = self.execute(sql, bindings).fetchone()
        return None if found is None else found[0]


def is_plain(path: Path) -> bool:
    """Whether what is there is a SQLite file in clear. OSError as it comes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(PLAIN_HEADER)) == PLAIN_HEADER


def connect(path: Path, key: bytes | None, read_only: bool = False) -> Database:
    """A connection to the store that is there. Error as it comes.

    The agent uses its writing connection from one worker thread, which need not be the one that opened it.
    """
    db = Database(path, key, read_only)
    if read_only:
        return db
    try:
        return db.for_writing()
    except apsw.Error:
        db.close()
        raise


def open_reader(config: "Config") -> Database:
    """The store of this configuration, to be read beside a running agent. StoreError; Error as it comes."""
    from edge_agent.store import keys
    from edge_agent.store.errors import StoreError

    if not config.store.exists():
        hint = "the agent makes it: vitalwire agent run; or name its configuration: --config"
        raise StoreError(config.store, "there is no store", hint)
    return open_file(config.store, keys.source_of(config))


def open_file(path: Path, source: "Source | None" = None) -> Database:
    """The store at `path`, to be read; `source`: where its key comes from, by default store.key beside it.

    StoreError; Error as it comes.
    """
    from edge_agent.store import keys

    return reader(path, keys.unlock(path, source))


def reader(path: Path, key: bytes) -> Database:
    """The same under this key, for all who read what is in its tables. StoreError; Error as it comes."""
    from edge_agent.store.errors import StoreError

    db = connect(path, key, read_only=True)
    if db.pragma("user_version") == 2:
        db.close()
        raise StoreError(path, "made by an earlier version of the agent (schema 2)", "start the agent once")
    return db
