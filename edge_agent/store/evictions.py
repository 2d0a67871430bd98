"""What went from here on purpose, noted for the ledger: one row a boot, class, cause and fate."""

from collections.abc import Iterable
from typing import NamedTuple

from edge_agent.store.database import Database
from edge_agent.store.rows import hashes_of, journal_rows
from edge_agent.store.schema import ENTRY_FRAME, GONE_EVICTED


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


def newest_ms(db: Database) -> int | None:
    """When data last went for want of room before it was delivered; None: never."""
    return db.value(
        "SELECT max(made_ms) FROM journal WHERE id IN (SELECT journal FROM evictions WHERE cause = ? "
        "AND delivered = 0)",
        (GONE_EVICTED,),
    )


def _batch_of(db: Database, at: int) -> tuple[int, int, bool]:
    found = db.execute(
        "SELECT first_id, last_id, delivered FROM batches WHERE last_id >= ? ORDER BY last_id LIMIT 1", (at,)
    ).fetchone()
    if found is None or found[0] > at:
        return at, at, False
    return found[0], found[1], bool(found[2])


def rewritten(db: Database, first: int, last: int, sort: int, cause: int, spare: bool) -> list[Gone]:
    """Write the rows of a stretch anew, without the data of frames up to that class; those that had some.

    `spare`: not of what is withheld, which nobody else has although its batch is delivered.
    """
    columns = "id, kind, boot, seq, data, made_ms, key, class, gone, leaf, attested"
    raw = db.execute(
        f"SELECT {columns} FROM journal WHERE id BETWEEN ? AND ? ORDER BY id", (first, last)
    ).fetchall()
    held_back = {
        one
        for (one,) in db.execute("SELECT journal FROM withheld WHERE journal BETWEEN ? AND ?", (first, last))
    }
    gone: list[Gone] = []
    new: list[tuple[object, ...]] = []
    for row, opened in zip(raw, journal_rows(db, first, last), strict=True):
        at, kind, boot, seq, _, made_ms, key, its, _, _, _ = row
        spared = spare and at in held_back
        if kind != ENTRY_FRAME or its > sort or opened.data is None or spared:
            new.append(row)
            continue
        leaf, attested = hashes_of(opened)
        new.append((at, kind, boot, seq, None, made_ms, key, its, cause, leaf, attested))
        gone.append(Gone(at, boot, seq, its))
    if gone:
        db.execute("DELETE FROM journal WHERE id BETWEEN ? AND ?", (first, last))
        db.executemany(f"INSERT INTO journal({columns}) VALUES({', '.join('?' * 11)})", new)
    return gone
