"""The tables of the store.

`journal` is the one append-only list of leaf entries in store order (docs/wire-protocol.md §11): kind 0 a
frame, kept in columns so that (boot, seq) can be unique; the other kinds as they are signed. A batch is a
stretch of the journal, preceded by its `preamble` (identities that its chain had not seen).

Frames and manual entries are kept sealed under a data key (rows.py), so that destroying one erases what it
sealed. Where `data` is gone, `leaf` (the hash of the entry as a leaf of its batch) and `attested` (of the
frame as a leaf of its node's attestation) stay: what others signed about it can still be checked.
"""

# "VitW"
APPLICATION_ID = 0x56697457
VERSION = 3

# Kinds of leaf entries, as protocol.batch has them, which a reader of the ledger need not load.
ENTRY_FRAME = 0
ENTRY_CLOCK = 2
ENTRY_STATEMENT = 3
ENTRY_MANUAL = 5

# What is evicted first under a quota, and what never is.
CLASS_WAVE, CLASS_STRIP, CLASS_TREND, CLASS_KEPT = 0, 1, 2, 3
# Why data is gone.
GONE_RETENTION, GONE_EVICTED, GONE_ERASED = 1, 2, 3

_FIRST = """
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
  stored BLOB NOT NULL DEFAULT x'80',    -- numbers stored, up to the entry that meta's `checkpoint` names
  heard_ms INTEGER NOT NULL DEFAULT 0,   -- when the newest of those came
  delivered INTEGER NOT NULL DEFAULT 0,  -- frames in batches that are delivered
  evicted INTEGER NOT NULL DEFAULT 0,    -- frames that went from here before they were delivered
  UNIQUE(node, boot)
);

CREATE TABLE journal(
  id INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL,
  boot INTEGER,
  seq INTEGER,
  data BLOB,                             -- NULL: gone, for the reason in `gone`
  made_ms INTEGER NOT NULL,
  key INTEGER,                           -- the data key that `data` is sealed under; NULL: not sealed
  class INTEGER NOT NULL DEFAULT 3,
  gone INTEGER,
  leaf BLOB,
  attested BLOB
);
CREATE UNIQUE INDEX frames ON journal(boot, seq) WHERE kind = 0;
CREATE INDEX remarks ON journal(kind) WHERE kind > 0;
-- One open key a node (or, of what is typed, a person) at a time; `key` NULL: destroyed.
CREATE TABLE data_keys(
  id INTEGER PRIMARY KEY,
  node BLOB NOT NULL,                    -- empty: of what is typed
  person BLOB,
  begun_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  key BLOB,
  destroyed_ms INTEGER
);
CREATE INDEX open_keys ON data_keys(node, person) WHERE ended_ms IS NULL;

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
  UNIQUE(boot, seq, data)                -- in clear under the pages' key: erasure deletes the row
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
  delivered INTEGER NOT NULL DEFAULT 0,  -- every required forwarder has its receipt (none required: any)
  pruned INTEGER NOT NULL DEFAULT 0,     -- its frames are no longer in the journal, not even as hashes
  freed INTEGER NOT NULL DEFAULT 0,      -- of how many classes, from 0 on, the data is gone
  UNIQUE(chain, number)
);
CREATE INDEX undelivered ON batches(id) WHERE delivered = 0;
CREATE INDEX batches_to_free ON batches(delivered, freed, made_ms) WHERE pruned = 0;
CREATE INDEX batches_by_end ON batches(last_id, first_id);
CREATE TABLE receipts(
  batch INTEGER NOT NULL, forwarder TEXT NOT NULL, receipt BLOB NOT NULL, at_ms INTEGER NOT NULL,
  PRIMARY KEY(batch, forwarder)
) WITHOUT ROWID;
CREATE TABLE dead_letters(
  id INTEGER PRIMARY KEY,
  forwarder TEXT NOT NULL, batch INTEGER NOT NULL, item TEXT NOT NULL, reason TEXT NOT NULL,
  at_ms INTEGER NOT NULL
);
-- Entries whose bytes a forwarder may not have (no consent): left out of its batches until it may.
CREATE TABLE withheld(
  forwarder TEXT NOT NULL, journal INTEGER NOT NULL, PRIMARY KEY(forwarder, journal)
) WITHOUT ROWID;
-- Frames whose data went for want of room, or was erased: `count` of those numbered `first` to `last`.
-- `journal`: the statement that says so.
CREATE TABLE evictions(
  id INTEGER PRIMARY KEY,
  boot INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL,
  class INTEGER NOT NULL, cause INTEGER NOT NULL, delivered INTEGER NOT NULL, journal INTEGER
);
CREATE INDEX evictions_of_boot ON evictions(boot);
-- What people signed, as verified; sort is the record's name (protocol.records).
CREATE TABLE records(
  record_id BLOB PRIMARY KEY,
  sort TEXT NOT NULL,
  person BLOB, node BLOB, forwarder TEXT, purpose TEXT,
  from_ms INTEGER, to_ms INTEGER,
  by BLOB NOT NULL,
  made_ms INTEGER NOT NULL,
  replaces BLOB,
  journal INTEGER,
  record BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX records_of_person ON records(person);
CREATE INDEX records_of_node ON records(node);
-- The agent's signing keys, the first one first; `handover`: the record by which its predecessor passed on.
CREATE TABLE signers(
  id INTEGER PRIMARY KEY,
  ed_pub BLOB NOT NULL UNIQUE,
  handover BLOB,
  journal INTEGER,
  begun_ms INTEGER NOT NULL
);

-- Waveforms that somebody asked for, or that were around an alarm, for whoever forwards strips; rows are only
-- ever added. `command`: its id, or (longer) the name of an alarm's strip. `frames`: CBOR [[first, count], …]
-- of the boot, between `from_us` and `to_us` of its clock.
CREATE TABLE strips(
  id INTEGER PRIMARY KEY,
  command BLOB NOT NULL UNIQUE, node BLOB NOT NULL, boot BLOB NOT NULL, channel INTEGER NOT NULL,
  from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, frames BLOB NOT NULL, made_ms INTEGER NOT NULL
);

CREATE TABLE forks(
  chain BLOB NOT NULL, number INTEGER NOT NULL, ours BLOB NOT NULL, theirs BLOB NOT NULL,
  evidence BLOB NOT NULL, seen_ms INTEGER NOT NULL, UNIQUE(chain, number, theirs)
);
CREATE TABLE cursors(name TEXT PRIMARY KEY, batch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE counters(name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""

SINCE_3 = """
-- What statements keep back (details.py): `data` has the hash that they have, and is sealed under the data
-- key `key` (NULL: it is about nobody); of `node` from `since_ms` to `made_ms`.
CREATE TABLE details(
  hash BLOB PRIMARY KEY, node BLOB, since_ms INTEGER NOT NULL, made_ms INTEGER NOT NULL,
  key INTEGER, data BLOB NOT NULL
) WITHOUT ROWID;
-- Commands from afar until they have expired (remote/commands_kept.py); `data` is sealed under the data key
-- `key`.
CREATE TABLE commands(
  id BLOB PRIMARY KEY, expires_ms INTEGER NOT NULL, key INTEGER, data BLOB NOT NULL
) WITHOUT ROWID;
-- Alarms whose waves are to become strips, or have within a day (remote/alarm_strips.py): a row for each
-- alarm number (negative: a code, where it has none) and priority of a boot. `seq`, `at_us`: of the first
-- event that told it; a row of which something was kept stays, beside one of an event that came later and was
-- told before.
CREATE TABLE alarm_windows(
  id INTEGER PRIMARY KEY,
  node BLOB NOT NULL, boot BLOB NOT NULL, alarm INTEGER NOT NULL, priority INTEGER NOT NULL,
  seq INTEGER NOT NULL, at_us INTEGER NOT NULL, heard_ms INTEGER NOT NULL,
  kept_us INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0,
  UNIQUE(node, boot, alarm, priority, seq)
);
CREATE UNIQUE INDEX alarm_windows_untouched ON alarm_windows(node, boot, alarm, priority)
  WHERE done = 0 AND kept_us = 0;
CREATE INDEX alarm_windows_open ON alarm_windows(id) WHERE done = 0;
-- Clock fits by what each begins with: its node and boot (people/dates.py).
CREATE INDEX fits ON journal(substr(data, 1, 24)) WHERE kind = 2;
"""
"""What schema 3 has and schema 2 has not, or otherwise."""

TABLES = _FIRST + SINCE_3
