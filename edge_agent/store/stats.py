"""What is in a store, counted from its tables, for people and for JSON; read only, beside a running agent."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edge_agent.ops.machine import free_bytes
from edge_agent.store.database import Database
from edge_agent.store.schema import (
    CLASS_TREND,
    ENTRY_FRAME,
    GONE_ERASED,
    GONE_EVICTED,
    GONE_RETENTION,
)

CLASSES = ("wave", "strip", "trend", "kept")
CAUSES = {GONE_RETENTION: "retention", GONE_EVICTED: "quota", GONE_ERASED: "erased"}


class _Stretch(NamedTuple):
    """Entries that follow each other and have the same fate: whether they are signed, and delivered."""

    first: int
    last: int
    signed: bool
    delivered: bool


def stats(db: Database, path: Path, quota_mib: int, alone: bool) -> dict[str, Any]:
    """Counts of frames and entries, sizes in bytes, times in Unix milliseconds; one pass over the journal.

    `alone`: there is no far end, so what is signed may go. Inside a read transaction of the caller's.
    """
    classes = {name: {"frames": 0, "bytes": 0} for name in CLASSES}
    gone = dict.fromkeys(CAUSES.values(), 0)
    freeable = {"frames": 0, "bytes": 0}
    oldest: int | None = None
    newest: int | None = None
    for stretch in _stretches(db):
        for sort, cause, count, size, first_ms, last_ms in db.execute(
            "SELECT class, gone, count(*), coalesce(sum(length(data)), 0), min(made_ms), max(made_ms) "
            f"FROM journal WHERE id BETWEEN ? AND ? AND kind = {ENTRY_FRAME} GROUP BY class, gone",
            stretch[:2],
        ):
            if cause is not None:
                gone[CAUSES[cause]] += count
                continue
            may_go = stretch.delivered or (alone and stretch.signed and sort <= CLASS_TREND)
            for told in (classes[CLASSES[sort]], freeable if may_go else {}):
                if told:
                    told["frames"] += count
                    told["bytes"] += size
            oldest = first_ms if oldest is None else min(oldest, first_ms)
            newest = last_ms if newest is None else max(newest, last_ms)
    batches, entries = pruned(db)
    page = db.value("PRAGMA page_size")
    return {
        "path": str(path),
        "file_bytes": _size(path),
        "log_bytes": _size(path.with_name(path.name + "-wal")),
        "unused_bytes": db.value("PRAGMA freelist_count") * page,
        "frames": classes,
        "gone": gone,
        "pruned": {"batches": batches, "entries": entries},
        "oldest_ms": oldest,
        "newest_ms": newest,
        "freeable": freeable,
        "entries": db.value("SELECT count(*) FROM journal"),
        "batches": {
            "signed": db.value("SELECT count(*) FROM batches"),
            "delivered": db.value("SELECT count(*) FROM batches WHERE delivered"),
        },
        "keys": {
            "open": db.value("SELECT count(*) FROM data_keys WHERE key NOTNULL AND ended_ms IS NULL"),
            "ended": db.value("SELECT count(*) FROM data_keys WHERE key NOTNULL AND ended_ms NOTNULL"),
            "destroyed": db.value("SELECT count(*) FROM data_keys WHERE key IS NULL"),
        },
        "evictions": [
            {"cause": CAUSES[cause], "class": CLASSES[sort], "delivered": bool(delivered), "frames": count}
            for cause, sort, delivered, count in db.execute(
                "SELECT cause, class, delivered, sum(count) FROM evictions GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
            )
        ],
        "quota_bytes": quota_mib << 20 or None,
        "disk_free_bytes": free_bytes(path.parent),
    }


def _stretches(db: Database) -> Iterator[_Stretch]:
    """The journal, cut only where the fate changes."""
    now: _Stretch | None = None
    for first, last, delivered in db.execute(
        "SELECT first_id, last_id, delivered FROM batches ORDER BY last_id"
    ):
        if now is not None and now.delivered == bool(delivered) and now.last + 1 == first:
            now = now._replace(last=last)
            continue
        if now is not None:
            yield now
        now = _Stretch(first, last, True, bool(delivered))
    if now is not None:
        yield now
    end = db.value("SELECT coalesce(max(id), 0) FROM journal")
    reached = 0 if now is None else now.last
    if end > reached:
        yield _Stretch(reached + 1, end, False, False)


def pruned(db: Database) -> tuple[int, int]:
    """How many batches are pruned to their heads, and how many of their entries are no longer here."""
    batches, covered = db.execute(
        "SELECT count(*), coalesce(sum(last_id - first_id + 1), 0) FROM batches WHERE pruned"
    ).fetchone()
    left = db.value(
        "SELECT coalesce(sum((SELECT count(*) FROM journal j WHERE j.id BETWEEN first_id AND last_id)), 0) "
        "FROM batches WHERE pruned"
    )
    return batches, covered - left


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
