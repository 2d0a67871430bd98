"""A copy of the store as of one moment, made while the agent writes on, under the same key.

Pages are copied as they are (SQLite's backup), inside a read transaction that keeps the moment; the log of
the running agent grows meanwhile. The copy is read back and compared before it gets its name, so there is a
whole one or none.
"""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from edge_agent.files import fsync_folder, private
from edge_agent.store import check_file, database, keys
from edge_agent.store.database import Database, connect
from edge_agent.store.drafts import discard
from edge_agent.store.errors import StoreError
from edge_agent.store.integrity import SIDES, damage

PAGES = 256
# Every row of these is counted on both sides.
_COUNTED = ("journal", "batches", "receipts", "data_keys", "records", "boots", "evictions", "signers")


class Copied(NamedTuple):
    """What is in a copy: its bytes, entries and batches; `begins`: its first bytes, a salt, in hex."""

    bytes: int
    entries: int
    batches: int
    begins: str


def export(path: Path, out: Path, source: keys.Source | None, shown: Callable[[int, int], object]) -> Copied:
    """Copy the store at `path` to `out`, which must not be there; `out`-check goes beside it.

    `shown` takes (pages done, pages in all) after each step. StoreError: it is damaged, the copy is not what
    was copied, or a disk refuses; OSError as it comes. Nothing is at `out` then.
    """
    key = keys.unlock(path, source)
    new = out.with_name(f".{out.name}.{os.getpid()}")
    discard(new)
    # SQLite gives its logs the mode of the file.
    open(new, "xb", opener=private).close()
    try:
        with closing(connect(path, key, read_only=True)) as db:
            db.execute("BEGIN")
            copied = copy(db, new, key, shown)
        for side in SIDES:
            new.with_name(new.name + side).unlink(missing_ok=True)
        with new.open("rb") as file:
            os.fsync(file.fileno())
        # First, so that a copy that is there can be opened.
        check_file.write(out, check_file.in_force(path) or check_file.described(key))
        os.replace(new, out)
        fsync_folder(out.parent)
    except database.Full as e:
        raise StoreError(out, f"cannot be written: {e}", "make room on that disk, then try again") from e
    except database.Error as e:
        raise StoreError(path, f"cannot be copied: {e}", "vitalwire store check says more") from e
    finally:
        discard(new)
    return copied


def copy(db: Database, new: Path, key: bytes, shown: Callable[[int, int], object]) -> Copied:
    """What is in `db`, which is in a transaction or alone, page by page into `new` under `key`; read back and
    compared, not synced. `shown`: as export() has it. StoreError: the copy is none; Error as it comes.
    """
    expected = _told(db)
    with closing(Database(new, key, create=True)) as to, to.backup("main", db, "main") as backup:
        while not backup.done:
            backup.step(PAGES)
            shown(backup.page_count - backup.remaining, backup.page_count)
    why = damage(new, key)
    if why is None:
        with closing(connect(new, key, read_only=True)) as to:
            why = None if _told(to) == expected else "it does not hold what the store does"
    if why is not None:
        raise StoreError(new, f"the copy is damaged: {why}", "see both disks, then try again")
    return Copied(new.stat().st_size, expected[0], expected[1], check_file.beginning(new))


def _told(db: Database) -> tuple[int, ...]:
    counts = [db.value(f"SELECT count(*) FROM {table}") for table in _COUNTED]
    ends = [db.value(f"SELECT coalesce(max(id), 0) FROM {table}") for table in ("journal", "batches")]
    return (*counts, *ends)
