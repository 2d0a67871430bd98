"""Makes a store's tables, and brings those of an older version to this one, in one transaction."""

from protocol.entries import (
    ENTRY_ASSIGNMENT,
    ENTRY_CLOCK,
    ENTRY_IDENTITY,
    parse_entry,
)
from protocol.errors import ProtocolError
from protocol.records import read_record
from tools.collector import schema
from tools.collector.database import Database

_LOCK = b"schema of the store"


def bring_up(db: Database) -> int:
    """The version that the store has now: VERSION, or a later one that this release does not know.

    Several collectors may begin at once: one makes the tables, the others find them.
    """
    found = db.version()
    if found == 0 or found < schema.VERSION:
        db.begin([_LOCK])
        try:
            found = db.version()
            if found == 0:
                _run(db, schema.TABLES)
            elif found == 1:
                _run(db, schema.FROM_1)
                _file_statements(db)
            if found < schema.VERSION:
                db.set_version(schema.VERSION)
                found = schema.VERSION
        except BaseException:
            db.rollback()
            raise
        db.commit()
    return found


def _run(db: Database, script: str) -> None:
    for statement in schema.statements(script, db.dialect):
        db.execute(statement)


def _file_statements(db: Database) -> None:
    """File what version 1 kept without its kind."""
    while rows := db.execute(
        "SELECT batch, position, entry FROM statements WHERE kind = ? LIMIT 1000", (schema.UNFILED,)
    ).fetchall():
        for batch, position, entry in rows:
            kind, node = filed_under(entry)
            db.execute(
                "UPDATE statements SET kind = ?, node = ? WHERE batch = ? AND position = ?",
                (kind, node, batch, position),
            )


def filed_under(entry: bytes, fields: "list[object] | None" = None) -> tuple[int, bytes | None]:
    """(kind, node) by which an entry that is no frame is looked up. `fields`: the entry's, when at hand."""
    try:
        fields = parse_entry(entry) if fields is None else fields
    except ProtocolError:
        return schema.DAMAGED, None
    kind = fields[0]
    assert isinstance(kind, int)
    if kind in (ENTRY_IDENTITY, ENTRY_CLOCK):
        assert isinstance(fields[1], bytes)
        return kind, fields[1]
    if kind == ENTRY_ASSIGNMENT:
        assert isinstance(fields[1], bytes)
        return kind, read_record(fields[1])["node_id"]
    return kind, None
