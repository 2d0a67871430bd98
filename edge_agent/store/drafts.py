"""A new store, made beside the place where it is to be and renamed when it is whole and on the disk."""

import os
from collections.abc import Generator
from contextlib import closing, contextmanager
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
    for side in ("", *SIDES, "-journal"):
        path.with_name(new.name + side).unlink(missing_ok=True)
    # SQLite gives its logs the mode of the file.
    open(new, "xb", opener=private).close()
    with closing(Database(new, key)) as db:
        # Before the first page is written: it decides how the file is laid out.
        db.pragma("auto_vacuum", "incremental")
        db.pragma("journal_mode", "wal")
        db.pragma("application_id", APPLICATION_ID)
        db.pragma("user_version", VERSION)
        db.execute("BEGIN")
        db.execute(TABLES)
        yield db
        db.execute("COMMIT")
        db.pragma("wal_checkpoint(truncate)")
    for side in SIDES:
        path.with_name(new.name + side).unlink(missing_ok=True)
    with new.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(new, path)
    fsync_folder(path.parent)
