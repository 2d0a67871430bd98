"""The tables of the store, and how a connection to it is opened.

`journal` is the one append-only list of leaf entries in store order (docs/wire-protocol.md §11): kind 0 a
frame, kept in columns so that (boot, seq) can be unique; kinds 2 and 3 a clock fit and a statement, kept as
they are signed. A batch is a stretch of the journal, preceded by its `preamble` (identities that its chain
had not seen).
"""

import sqlite3
from pathlib import Path
from urllib.parse import quote

# "VitW"
APPLICATION_ID = 0x56697457
VERSION = 1
# The write-ahead log is cut back to so many bytes.
LOG_LIMIT = 16 << 20

# Kinds of leaf entries, as protocol.batch has them, which a reader of the ledger need not load.
ENTRY_FRAME = 0
ENTRY_CLOCK = 2
ENTRY_STATEMENT = 3

TABLES = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;

CREATE TABLE nodes(
  node BLOB PRIMARY KEY,
  ed_pub BLOB NOT NULL,
  x_pub BLOB NOT NULL,
  counter INTEGER NOT NULL,   -- boot counter and connection number of the newest hello accepted
  conn INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE boots(
  id INTEGER PRIMARY KEY,
  node BLOB NOT NULL,
  boot BLOB NOT NULL,
  next_seq INTEGER NOT NULL DEFAULT 0,   -- by the newest hello of a connection that proved live
  held BLOB NOT NULL DEFAULT x'80',      -- CBOR [[first, count], …], by the same hello
  listed INTEGER NOT NULL DEFAULT 1,     -- whether the node's newest such hello lists this boot
  live_ms INTEGER,                       -- when the newest that does came
  resent INTEGER NOT NULL DEFAULT 0,
  conflicts INTEGER NOT NULL DEFAULT 0,
  examined INTEGER NOT NULL DEFAULT 0,   -- the newest incident (journal id) after which gaps were looked for
  UNIQUE(node, boot)
);

CREATE TABLE journal(
  id INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL,
  boot INTEGER,
  seq INTEGER,
  data BLOB NOT NULL,
  made_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX frames ON journal(boot, seq) WHERE kind = 0;
CREATE INDEX remarks ON journal(kind) WHERE kind > 0;

CREATE TABLE losses(
  boot INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, reason INTEGER NOT NULL,
  PRIMARY KEY(boot, first, count)
) WITHOUT ROWID;

-- What later boots said: of one boot, each different thing once; of all boots with these counters together.
CREATE TABLE stated(
  id INTEGER PRIMARY KEY,
  boot INTEGER NOT NULL, known_next INTEGER NOT NULL, clean INTEGER NOT NULL, bound_s INTEGER NOT NULL,
  UNIQUE(boot, known_next, clean, bound_s)
);
CREATE TABLE summaries(
  id INTEGER PRIMARY KEY,
  node BLOB NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL, known INTEGER NOT NULL, bound_s INTEGER NOT NULL,
  UNIQUE(node, first, last, known, bound_s)
);

CREATE TABLE agent_losses(
  boot INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY(boot, first)
) WITHOUT ROWID;

CREATE TABLE conflicts(
  boot INTEGER NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, received_ms INTEGER NOT NULL,
  UNIQUE(boot, seq, data)
);

CREATE TABLE chains(
  id INTEGER PRIMARY KEY,
  chain BLOB NOT NULL UNIQUE,
  begun_ms INTEGER NOT NULL,
  cited_chain BLOB, cited_number INTEGER, cited_hash BLOB,
  reason TEXT
);
CREATE TABLE announced(
  chain BLOB NOT NULL, node BLOB NOT NULL, PRIMARY KEY(chain, node)
) WITHOUT ROWID;

CREATE TABLE batches(
  id INTEGER PRIMARY KEY,
  chain BLOB NOT NULL,
  number INTEGER NOT NULL,
  first_id INTEGER NOT NULL,
  last_id INTEGER NOT NULL,
  preamble BLOB NOT NULL,
  signed BLOB NOT NULL,
  hash BLOB NOT NULL,
  made_ms INTEGER NOT NULL,
  receipt BLOB,
  receipted_ms INTEGER,
  UNIQUE(chain, number)
);
CREATE INDEX unreceipted ON batches(id) WHERE receipt IS NULL;

CREATE TABLE forks(
  chain BLOB NOT NULL, number INTEGER NOT NULL, ours BLOB NOT NULL, theirs BLOB NOT NULL,
  evidence BLOB NOT NULL, seen_ms INTEGER NOT NULL, UNIQUE(chain, number, theirs)
);
CREATE TABLE cursors(name TEXT PRIMARY KEY, batch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE counters(name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode; writers sync every commit to the disk (WAL, FULL). sqlite3.Error as it
    comes.

    The agent uses its writing connection from one worker thread, which need not be the one that opened it.
    """
    mode = "ro" if read_only else "rw"
    db = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=5.0,
    )
    try:
        if not read_only:
            # `fullfsync` matters on macOS only, where fsync() stops at the disk's cache.
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON"):
                db.execute(f"PRAGMA {pragma}").fetchall()
            db.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}").fetchall()
        db.execute("PRAGMA cache_size = -4096").fetchall()
    except sqlite3.Error:
        db.close()
        raise
    return db
