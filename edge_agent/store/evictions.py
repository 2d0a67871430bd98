"""What went from here on purpose, noted for the ledger: one row a boot, class, cause and fate."""

from collections.abc import Iterable
from typing import NamedTuple

from edge_agent.store.database import Database


class Gone(NamedTuple):
    """A frame whose data went: its journal id, the row of its boot, its number and class."""

    id: int
    boot: int
    seq: int
    sort: int


def note(db: Database, frames: Iterable[Gone], cause: int, statement: int | None) -> dict[int, int]:
    """Note them, inside a transaction; (row of the boot: how many) of those that were not delivered.

    `statement`: the journal id of what is signed about it.
    """
    groups: dict[tuple[int, int, bool], list[int]] = {}
    batch_first, batch_last, delivered = 1, 0, False
    for at, boot, seq, sort in frames:
        if not batch_first <= at <= batch_last:
            batch_first, batch_last, delivered = _batch_of(db, at)
        groups.setdefault((boot, sort, delivered), []).append(seq)
    lost: dict[int, int] = {}
    for (boot, sort, was_delivered), numbers in groups.items():
        first, last, count = min(numbers), max(numbers), len(numbers)
        which = (boot, sort, cause, was_delivered)
        db.execute(
            "UPDATE evictions SET first = min(first, ?), last = max(last, ?), count = count + ?, journal = ? "
            "WHERE boot = ? AND class = ? AND cause = ? AND delivered = ?",
            (first, last, count, statement, *which),
        )
        if not db.changes():
            db.execute(
                "INSERT INTO evictions(first, last, count, journal, boot, class, cause, delivered) "
                "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
                (first, last, count, statement, *which),
            )
        if not was_delivered:
            lost[boot] = lost.get(boot, 0) + count
    for boot, count in lost.items():
        db.execute("UPDATE boots SET evicted = evicted + ? WHERE id = ?", (count, boot))
    return lost


def _batch_of(db: Database, at: int) -> tuple[int, int, bool]:
    found = db.execute(
        "SELECT first_id, last_id, delivered FROM batches WHERE last_id >= ? ORDER BY last_id LIMIT 1", (at,)
    ).fetchone()
    if found is None or found[0] > at:
        return at, at, False
    return found[0], found[1], bool(found[2])
