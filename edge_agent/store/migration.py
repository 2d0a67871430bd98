"""From older schemas to this one.

Schema 1 was a SQLite file in clear. The old file is made one file first (its log folded in), then read into a
new one, which is compared with it, synced, and renamed over it: one step, so a power cut at any moment leaves
either the old or the new one. The old one is not kept, because it would be the data in clear; what it held
stays in the disk's free blocks until they are written again. Whoever wants to go back copies the store before
the update. Schema 2 was encrypted: what it lacks is added in one transaction.
"""

from contextlib import closing
from pathlib import Path

from edge_agent.store.database import Busy, Database
from edge_agent.store.drafts import draft
from edge_agent.store.errors import StoreError
from edge_agent.store.integrity import SIDES
from edge_agent.store.loading import credit
from edge_agent.store.rows import binding, class_of, seal
from edge_agent.store.schema import CLASS_KEPT, SINCE_3, VERSION
from edge_agent.store.sealing import Sealer

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
        _seal_journal(db)
        for first, last in db.execute("SELECT first_id, last_id FROM batches WHERE delivered").fetchall():
            credit(db, first, last)
        for table in (*_SAME, *_COPY, "journal"):
            count = db.value(f"SELECT count(*) FROM main.{table}")
            if count != db.value(f"SELECT count(*) FROM old.{table}"):
                raise StoreError(
                    path, f"table {table} did not come over whole", "start again, or see the disk"
                )
        db.execute("COMMIT")
        db.execute("DETACH old")
        db.execute("BEGIN")


def update(db: Database) -> None:
    """Bring an open store of schema 2 up to date. Commands that it held are carried out no more: nobody is to
    find their words, and of each the id stays until it has expired. Error as it comes: it is as it was.
    """
    if db.pragma("user_version") != 2:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        old = db.execute("SELECT id, expires_ms FROM commands").fetchall()
        db.execute("DROP TABLE commands")
        db.execute(SINCE_3)
        db.executemany("INSERT INTO commands VALUES(?, ?, NULL, x'')", old)
        db.pragma("user_version", VERSION)
        db.execute("COMMIT")
    except BaseException:
        # SQLite has done it already where the disk is full.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def roll_back(path: Path) -> None:
    """Undo what a cut left half done of folding in the log of the store in clear at `path`: who only reads
    cannot, and would be refused. Error as it comes.
    """
    if path.with_name(path.name + "-journal").exists():
        with closing(Database(path, None)) as old:
            old.value("SELECT count(*) FROM sqlite_master")


def _seal_journal(db: Database) -> None:
    """The journal, its frames sealed under a data key of each node."""
    sealer = Sealer(db)
    with sealer.changes():
        rows = db.execute(
            "SELECT j.id, j.kind, j.boot, j.seq, j.data, j.made_ms, b.node, b.boot FROM old.journal j "
            "LEFT JOIN old.boots b ON b.id = j.boot ORDER BY j.id"
        )
        db.executemany(
            "INSERT INTO main.journal(id, kind, boot, seq, data, made_ms, key, class) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            (_sealed(sealer, *row) for row in rows),
        )


def _sealed(
    sealer: Sealer,
    row: int,
    kind: int,
    boot: int | None,
    seq: int | None,
    data: bytes,
    made_ms: int,
    node: bytes | None,
    boot_id: bytes | None,
) -> tuple[object, ...]:
    if node is None:
        return row, kind, boot, seq, data, made_ms, None, CLASS_KEPT
    key, aead = sealer.key(made_ms, node)
    kept = seal(aead, data, binding(boot_id, seq))
    return row, kind, boot, seq, kept, made_ms, key, class_of(data)
