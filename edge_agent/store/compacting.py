"""Giving unused pages back to the file system, a few at a time: each step is a transaction of its own, so a
cut at any moment leaves a sound store, and commits of a running agent come between.

The file is made so that its unused pages can be cut off at its end (`auto_vacuum`); nothing is copied, so
this needs no room on a disk that has none.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from edge_agent.store import database, keys
from edge_agent.store.database import Database, connect
from edge_agent.store.errors import StoreError, StoreUnwritable
from edge_agent.store.integrity import damage

# At a time, at least and at most: each is moved, with what points to it.
PAGES = 8, 512
EMPTY_LOG = "PRAGMA wal_checkpoint(TRUNCATE)"


def give_back(pages: int) -> str:
    """What gives so many pages back."""
    return f"PRAGMA incremental_vacuum({pages})"


def unused(db: Database) -> int:
    """Pages that hold nothing."""
    return db.value("PRAGMA freelist_count")


def compact(path: Path, source: keys.Source | None, shown: Callable[[int], object]) -> None:
    """Compact the store at `path`, whose lock the caller has; `shown` takes the pages of each step.

    StoreError: it is damaged, or the disk refuses; what was given back until then stays given back.
    """
    key = keys.unlock(path, source)
    why = damage(path, key)
    if why is not None:
        raise StoreError(path, f"damaged: {why}", "vitalwire agent run sets it aside")
    try:
        with closing(connect(path, key)) as db:
            left = unused(db)
            while left:
                db.execute(give_back(PAGES[1])).fetchall()
                before, left = left, unused(db)
                if left >= before:
                    break
                shown(before - left)
            db.execute(EMPTY_LOG).fetchall()
    except database.Busy:
        raise StoreError(path, "another program is writing to it", "close that program") from None
    except database.Error as e:
        raise StoreUnwritable(path, str(e), "see the disk: what was given back stays so") from e
