"""From schema 1, a SQLite file in clear, to an encrypted one of schema 2.

The old file is made one file first (its log folded in), then read into a new one, which is compared with it,
synced, and renamed over it: one step, so a power cut at any moment leaves either the old or the new one. The
old one is not kept, because it would be the data in clear; what it held stays in the disk's free blocks until
they are written again. Whoever wants to go back copies the store before the update.
"""

from contextlib import closing
from pathlib import Path

from edge_agent.store.database import Busy, Database
from edge_agent.store.drafts import draft
from edge_agent.store.errors import StoreError
from edge_agent.store.integrity import SIDES

# Tables whose columns are the same in both.
_SAME = (
    "meta",
    "nodes",
    "losses",
    "stated",
    "summaries",
    "agent_losses",
    "conflicts",
    "chains",
    "announced",
    "forks",
    "cursors",
    "counters",
)
_COPY = {
    "boots": "id, node, boot, next_seq, held, listed, live_ms, resent, conflicts, examined",
    "journal": "id, kind, boot, seq, data, made_ms",
    "batches": "id, chain, number, first_id, last_id, preamble, signed, hash, made_ms",
}
# The only forwarder that there was.
_FORWARDER = "mqtt"


def migrate(path: Path, key: bytes) -> None:
    """Replace the sound store of schema 1 at `path` by an encrypted one with the same content. StoreError."""
    try:
        with closing(Database(path, None)) as old:
            # A log that stayed would be taken for the new file's.
            alone = old.pragma("journal_mode", "delete") == "delete"
    except Busy:
        alone = False
    if not alone or any(path.with_name(path.name + side).exists() for side in SIDES):
        raise StoreError(path, "another program reads it", "close that program and start again")
    with draft(path, key) as db:
        db.execute("COMMIT")
        db.execute("ATTACH ? AS old KEY ''", (str(path),))
        db.execute("BEGIN")
        for table in _SAME:
            db.execute(f"INSERT INTO main.{table} SELECT * FROM old.{table}")
        for table, columns in _COPY.items():
            db.execute(f"INSERT INTO main.{table}({columns}) SELECT {columns} FROM old.{table}")
        db.execute(
            "INSERT INTO main.receipts SELECT id, ?, receipt, coalesce(receipted_ms, made_ms) "
            "FROM old.batches WHERE receipt IS NOT NULL",
            (_FORWARDER,),
        )
        db.execute("UPDATE main.batches SET delivered = 1 WHERE id IN (SELECT batch FROM main.receipts)")
        for table in (*_SAME, *_COPY):
            count = db.value(f"SELECT count(*) FROM main.{table}")
            if count != db.value(f"SELECT count(*) FROM old.{table}"):
                raise StoreError(
                    path, f"table {table} did not come over whole", "start again, or see the disk"
                )
        db.execute("COMMIT")
        db.execute("DETACH old")
        db.execute("BEGIN")
