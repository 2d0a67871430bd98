"""A store of schema 1, in clear, as the first version made it, and what has to be there once updated."""

import sqlite3
from contextlib import closing
from pathlib import Path

from edge_agent.ledger.ledger import ledger
from edge_agent.store.database import is_plain
from edge_agent.store.opening import open_store
from protocol import cbor
from tests.edge_agent.store_kit import AGENT, BOOT, NODE, frame

# As they were.
TABLES_1 = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE nodes(node BLOB PRIMARY KEY, ed_pub BLOB NOT NULL, x_pub BLOB NOT NULL,
  counter INTEGER NOT NULL, conn INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE boots(id INTEGER PRIMARY KEY, node BLOB NOT NULL, boot BLOB NOT NULL,
  next_seq INTEGER NOT NULL DEFAULT 0, held BLOB NOT NULL DEFAULT x'80', listed INTEGER NOT NULL DEFAULT 1,
  live_ms INTEGER, resent INTEGER NOT NULL DEFAULT 0, conflicts INTEGER NOT NULL DEFAULT 0,
  examined INTEGER NOT NULL DEFAULT 0, UNIQUE(node, boot));
CREATE TABLE journal(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, boot INTEGER, seq INTEGER,
  data BLOB NOT NULL, made_ms INTEGER NOT NULL);
CREATE UNIQUE INDEX frames ON journal(boot, seq) WHERE kind = 0;
CREATE INDEX remarks ON journal(kind) WHERE kind > 0;
CREATE TABLE losses(boot INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
  reason INTEGER NOT NULL, PRIMARY KEY(boot, first, count)) WITHOUT ROWID;
CREATE TABLE stated(id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, known_next INTEGER NOT NULL,
  clean INTEGER NOT NULL, bound_s INTEGER NOT NULL, UNIQUE(boot, known_next, clean, bound_s));
CREATE TABLE summaries(id INTEGER PRIMARY KEY, node BLOB NOT NULL, first INTEGER NOT NULL,
  last INTEGER NOT NULL, known INTEGER NOT NULL, bound_s INTEGER NOT NULL,
  UNIQUE(node, first, last, known, bound_s));
CREATE TABLE agent_losses(boot INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY(boot, first)) WITHOUT ROWID;
CREATE TABLE conflicts(boot INTEGER NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL,
  received_ms INTEGER NOT NULL, UNIQUE(boot, seq, data));
CREATE TABLE chains(id INTEGER PRIMARY KEY, chain BLOB NOT NULL UNIQUE, begun_ms INTEGER NOT NULL,
  cited_chain BLOB, cited_number INTEGER, cited_hash BLOB, reason TEXT);
CREATE TABLE announced(chain BLOB NOT NULL, node BLOB NOT NULL, PRIMARY KEY(chain, node)) WITHOUT ROWID;
CREATE TABLE batches(id INTEGER PRIMARY KEY, chain BLOB NOT NULL, number INTEGER NOT NULL,
  first_id INTEGER NOT NULL, last_id INTEGER NOT NULL, preamble BLOB NOT NULL, signed BLOB NOT NULL,
  hash BLOB NOT NULL, made_ms INTEGER NOT NULL, receipt BLOB, receipted_ms INTEGER, UNIQUE(chain, number));
CREATE INDEX unreceipted ON batches(id) WHERE receipt IS NULL;
CREATE TABLE forks(chain BLOB NOT NULL, number INTEGER NOT NULL, ours BLOB NOT NULL, theirs BLOB NOT NULL,
  evidence BLOB NOT NULL, seen_ms INTEGER NOT NULL, UNIQUE(chain, number, theirs));
CREATE TABLE cursors(name TEXT PRIMARY KEY, batch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE counters(name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""


def make(path: Path) -> None:
    """40 frames, of which the first 20 are in a receipted batch."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(
            f"PRAGMA application_id = {0x56697457}; PRAGMA user_version = 1; "
            f"PRAGMA journal_mode = WAL; BEGIN; {TABLES_1} COMMIT;"
        )
        db.executemany("INSERT INTO meta VALUES(?, ?)", {"store": b"s" * 16, "agent": AGENT}.items())
        db.execute("INSERT INTO nodes VALUES(?, ?, ?, 3, 4)", (NODE, b"e" * 32, b"x" * 32))
        db.execute("INSERT INTO boots(node, boot, resent) VALUES(?, ?, 7)", (NODE, BOOT))
        db.executemany(
            "INSERT INTO journal VALUES(?, 0, 1, ?, ?, ?)",
            [(seq + 1, seq, b"plaintext %d" % seq, 1000 + seq) for seq in range(40)],
        )
        note = cbor.dumps([3, "note", {"n": 1}])
        db.execute("INSERT INTO journal VALUES(41, 3, NULL, NULL, ?, 5)", (note,))
        db.execute("INSERT INTO chains VALUES(1, x'aa', 1, NULL, NULL, NULL, NULL)")
        db.execute("INSERT INTO batches VALUES(1, x'aa', 0, 1, 20, x'80', x'01', zeroblob(32), 9, x'd2', 10)")
        db.execute(
            "INSERT INTO batches VALUES(2, x'aa', 1, 21, 41, x'80', x'01', zeroblob(32), 9, NULL, NULL)"
        )
        db.execute("INSERT INTO cursors VALUES('mqtt', 1)")
        db.execute("INSERT INTO counters VALUES('bad_tag', 2)")


def whole(path: Path) -> None:
    """All of it is there, encrypted."""
    store, opening = open_store(path, AGENT, 2)
    assert not opening.message and not opening.created
    (row,) = store.ledger().rows
    assert (row.produced, row.delivered, row.pending, row.resent) == (40, 20, 20, 7)
    assert store.id == b"s" * 16 and store.hellos == {NODE: (3, 4)} and store.counters == {"bad_tag": 2}
    assert store.ledger().statements == (("note", {"n": 1}, 5),)
    assert store.db.execute("SELECT * FROM receipts").fetchall() == [(1, "mqtt", b"\xd2", 10)]
    again = [frame(seq) for seq in range(40)]
    assert {one.name for one in store.commit(again)} == {"RESENT"}
    store.close()
    assert not is_plain(path) and b"plaintext" not in path.read_bytes()
    assert ledger(path).balanced
