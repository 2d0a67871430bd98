"""A new store, made beside the place where it is to be and renamed when it is whole and on the disk."""

import os
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from edge_agent.files import fsync_folder, make_folder, private
from edge_agent.store.database import Database
from edge_agent.store.integrity import SIDES
from edge_agent.store.schema import APPLICATION_ID, TABLES, VERSION


@contextmanager
def draft(path: Path, key: bytes) -> Generator[Database]:
    """An empty store with its tables, inside a transaction; at the end it is what is at `path`, or nothing
    is changed there. OSError, Error as they come.
    """
    make_folder(path.parent)
    new = path.with_name(f"{path.name}.new")
    discard(new)
    try:
        # SQLite gives its logs the mode of the file.
        open(new, "xb", opener=private).close()
        with closing(Database(new, key)) as db:
            # Before the first page is written: it decides how the file is laid out.
            db.pragma("auto_vacuum", "incremental")
            # What fails is thrown away: a log would only take the room that the file needs, once more.
            db.pragma("journal_mode", "off")
            db.pragma("application_id", APPLICATION_ID)
            db.pragma("user_version", VERSION)
            db.execute("BEGIN")
            db.execute(TABLES)
            yield db
            db.execute("COMMIT")
            db.pragma("journal_mode", "wal")
        for side in SIDES:
            path.with_name(new.name + side).unlink(missing_ok=True)
        with new.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        # On a full disk it would take the room that is wanted. What refuses that too is seen to later.
        with suppress(OSError):
            discard(new)
        raise
    fsync_folder(path.parent)


def discard(new: Path) -> None:
    """Remove a draft, with its logs. OSError as it comes."""
    for side in ("", *SIDES, "-journal"):
        new.with_name(new.name + side).unlink(missing_ok=True)
