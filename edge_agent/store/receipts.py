"""Receipts as evidence, and when a batch counts as delivered."""

from edge_agent.ledger import frames_between
from edge_agent.store.database import Database


def keep(
    db: Database, batch: int, forwarder: str, receipt: bytes, now_ms: int
) -> list[tuple[int, int]] | None:
    """Keep a verified receipt, inside a transaction; None when that forwarder had one for the batch already.

    Otherwise (row of the boot, frames) of what is delivered now and was not before.
    """
    db.execute("INSERT OR IGNORE INTO receipts VALUES(?, ?, ?, ?)", (batch, forwarder, receipt, now_ms))
    if not db.changes():
        return None
    db.execute("UPDATE batches SET delivered = 1 WHERE id = ? AND delivered = 0", (batch,))
    if not db.changes():
        return []
    first, last = db.execute("SELECT first_id, last_id FROM batches WHERE id = ?", (batch,)).fetchone()
    return frames_between(db, first, last)
