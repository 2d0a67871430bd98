"""How much room giving up what is not delivered would make."""

from edge_agent.store.database import Database
from edge_agent.store.schema import CLASS_TREND, ENTRY_FRAME

# Reckoned from so many stretches of so many entries: commits wait for it.
SAMPLED, STRETCH = 64, 100
# What stays of a frame whose data goes: two hashes and their heads.
HASHED_BYTES = 70


def room(db: Database, last: int) -> int:
    """Bytes that frames which are not delivered, and may go, hold beyond their hashes; from a sample.

    `last`: the newest entry of the journal.
    """
    # What is pruned among them holds nothing.
    of = "FROM batches WHERE delivered = 0"
    oldest, newest = db.value(f"SELECT min(id) {of}") or 0, db.value(f"SELECT max(id) {of}") or -1
    points = range(oldest, newest + 1, max(1, (newest - oldest) // SAMPLED))
    ask = f"SELECT first_id, last_id {of} AND id >= ? ORDER BY id LIMIT 1"
    whole: list[tuple[int, int]] = sorted({db.execute(ask, (point,)).fetchone() for point in points})
    begun = [(first, min(last, first + STRETCH - 1)) for first, last in whole]
    in_batches = _entries(whole) * db.value(f"SELECT count(*) {of}") // max(1, len(whole))
    batched = db.value("SELECT coalesce(max(last_id), 0) FROM batches")
    rest = range(batched + 1, last + 1, max(STRETCH, (last - batched) // SAMPLED))
    others = [(first, min(last, first + STRETCH - 1)) for first in rest]
    return _bytes(db, begun) * in_batches // max(1, _entries(begun)) + (
        _bytes(db, others) * (last - batched) // max(1, _entries(others))
    )


def _entries(stretches: list[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in stretches)


def _bytes(db: Database, stretches: list[tuple[int, int]]) -> int:
    return sum(
        db.value(
            f"SELECT coalesce(sum(max(0, length(data) - {HASHED_BYTES})), 0) FROM journal "
            f"WHERE id BETWEEN ? AND ? AND kind = {ENTRY_FRAME} AND class <= {CLASS_TREND} AND data NOTNULL",
            stretch,
        )
        for stretch in stretches
    )
