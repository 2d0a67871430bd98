"""What an export and its check have to know of each frame, in a temporary file instead of in memory: sixty
days of a node are fifteen million frames. The file is SQLite's: where $SQLITE_TMPDIR, $TMPDIR or /var/tmp is,
without a name, and gone with the process however that ends.
"""

import errno
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from edge_agent.store.database import Database, Error, Full


class _Spool:
    """A temporary database with a table in it. OSError where its file cannot be written."""

    def __init__(self, table: str) -> None:
        with _told():
            # Only temporary tables go by temp_store; the library keeps a temporary database in memory.
            self._db = Database(Path(":memory:"), None)
            self._db.pragma("temp_store", "file")
            self._db.execute(f"CREATE TEMP TABLE {table}")
            self._db.pragma("journal_mode", "off", schema="temp")
            self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()


class Numbers(_Spool):
    """A set of journal ids."""

    def __init__(self) -> None:
        super().__init__("numbers(id INTEGER PRIMARY KEY)")

    def add(self, number: int) -> None:
        """One more, or one that is there."""
        with _told():
            self._db.execute("INSERT OR IGNORE INTO numbers VALUES(?)", (number,))

    def __contains__(self, number: int) -> bool:
        with _told():
            found = self._db.execute("SELECT 1 FROM numbers WHERE id = ?", (number,))
            return found.fetchone() is not None

    def after(self, number: int) -> int:
        """How many are greater."""
        with _told():
            found = self._db.execute("SELECT count(*) FROM numbers WHERE id > ?", (number,))
            return found.fetchall()[0][0]

    def between(self, first: int, last: int) -> list[int]:
        """Those from `first` to `last`, both in, in order."""
        with _told():
            found = self._db.execute(
                "SELECT id FROM numbers WHERE id BETWEEN ? AND ? ORDER BY id", (first, last)
            )
            return [number for (number,) in found]


class Leaves(_Spool):
    """The hash of each frame as a leaf of its node's attestation, by node, boot and number."""

    def __init__(self) -> None:
        super().__init__("leaves(boot, seq, leaf, PRIMARY KEY(boot, seq)) WITHOUT ROWID")
        self._boots: dict[tuple[bytes, bytes], int] = {}

    def put(self, node: bytes, boot: bytes, seq: int, leaf: bytes) -> bool:
        """Keep it, unless that number is there; False: it is there with another hash."""
        at = self._boots.setdefault((node, boot), len(self._boots))
        with _told():
            self._db.execute("INSERT OR IGNORE INTO leaves VALUES(?, ?, ?)", (at, seq, leaf))
            if self._db.changes():
                return True
            found = self._db.execute("SELECT leaf FROM leaves WHERE boot = ? AND seq = ?", (at, seq))
            return found.fetchall()[0][0] == leaf

    def of(self, node: bytes, boot: bytes, first: int, count: int) -> dict[int, bytes]:
        """By number those of a range of a boot."""
        with _told():
            found = self._db.execute(
                "SELECT seq, leaf FROM leaves WHERE boot = ? AND seq BETWEEN ? AND ?",
                (self._boots.get((node, boot), -1), first, first + count - 1),
            )
            return dict(found.fetchall())


@contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except Error as e:
        full = isinstance(e, Full)
        text = "no room for a temporary file (another place: TMPDIR)" if full else f"a temporary file: {e}"
        raise OSError(errno.ENOSPC if full else errno.EIO, text) from e
