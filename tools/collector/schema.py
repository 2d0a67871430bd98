"""The collector's tables, in SQL that SQLite and PostgreSQL read (but for the types: `tables`).

A batch can be proved again at any time from what is stored: frames and statements give back their entries
byte for byte (the encoding is deterministic). Of an entry that was already here (`repeats`), that its agent
left out or that was erased (`holes`) the leaf hash is kept.
"""

VERSION = 2

LINKED, WAITING, BROKEN = 0, 1, 2
"""Linkage of a batch: its predecessor is stored; is not here yet; is here, with another hash."""

LINKAGE_NAMES = ("linked", "waiting", "broken")

PROVED, PENDING, FAILED = 0, 1, 2
"""An attestation: its signature covers the stored frames.

Frames or the node's key are missing; it does not.
"""

LEFT_OUT, ERASED = 0, 1
"""Why a hole is one: its agent left the entry out; it was here (or came) and a person's data are erased."""

UNFILED, DAMAGED = -1, -2
"""Kinds of a statement: one that the migration has not filed yet; one that is not what was signed."""

TABLES = """
CREATE TABLE meta (
    name TEXT PRIMARY KEY, value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE nodes (
    node BLOB PRIMARY KEY, ed25519 BLOB NOT NULL, x25519 BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE chains (
    id INTEGER PRIMARY KEY, agent BLOB NOT NULL, chain BLOB NOT NULL,
    cited_chain BLOB, cited_number INTEGER, cited_hash BLOB, reason TEXT,
    newest INTEGER NOT NULL, batches INTEGER NOT NULL,
    UNIQUE (agent, chain)
);

CREATE TABLE batches (
    id INTEGER PRIMARY KEY, agent BLOB NOT NULL, chain BLOB NOT NULL, number INTEGER NOT NULL,
    head_hash BLOB NOT NULL, previous BLOB NOT NULL, signed BLOB NOT NULL,
    entries INTEGER NOT NULL, duplicates INTEGER NOT NULL, wire_bytes INTEGER NOT NULL,
    made_ms INTEGER NOT NULL, received_ms INTEGER NOT NULL,
    linkage INTEGER NOT NULL, receipt BLOB NOT NULL,
    left_out INTEGER NOT NULL DEFAULT 0, generation INTEGER NOT NULL DEFAULT 0,
    UNIQUE (agent, chain, number, head_hash)
);
CREATE INDEX unlinked ON batches (linkage) WHERE linkage > 0;

CREATE TABLE frames (
    node BLOB NOT NULL, boot BLOB NOT NULL, seq INTEGER NOT NULL,
    kind INTEGER NOT NULL, channel INTEGER, t_us INTEGER NOT NULL,
    plaintext BLOB NOT NULL, received_ms INTEGER NOT NULL,
    batch INTEGER NOT NULL REFERENCES batches (id), position INTEGER NOT NULL,
    UNIQUE (node, boot, seq)
);
CREATE INDEX frames_of_batch ON frames (batch, position);
CREATE INDEX frames_of_kind ON frames (node, kind, channel);

CREATE TABLE statements (
    batch INTEGER NOT NULL REFERENCES batches (id), position INTEGER NOT NULL, entry BLOB NOT NULL,
    kind INTEGER NOT NULL DEFAULT -1, node BLOB,
    PRIMARY KEY (batch, position)
) WITHOUT ROWID;
CREATE INDEX statements_of_kind ON statements (kind, node);

CREATE TABLE repeats (
    batch INTEGER NOT NULL REFERENCES batches (id), position INTEGER NOT NULL, leaf BLOB NOT NULL,
    PRIMARY KEY (batch, position)
) WITHOUT ROWID;

CREATE TABLE holes (
    batch INTEGER NOT NULL REFERENCES batches (id), position INTEGER NOT NULL, leaf BLOB NOT NULL,
    cause INTEGER NOT NULL, node BLOB, boot BLOB, seq INTEGER, attested BLOB,
    PRIMARY KEY (batch, position)
) WITHOUT ROWID;
CREATE INDEX erased_frames ON holes (node, boot, seq) WHERE cause = 1;

CREATE TABLE conflicts (
    node BLOB NOT NULL, boot BLOB NOT NULL, seq INTEGER NOT NULL,
    plaintext BLOB NOT NULL, batch INTEGER NOT NULL,
    UNIQUE (node, boot, seq, plaintext)
);

CREATE TABLE attestations (
    node BLOB NOT NULL, boot BLOB NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    seq INTEGER NOT NULL, state INTEGER NOT NULL,
    PRIMARY KEY (node, boot, first, seq)
) WITHOUT ROWID;
CREATE INDEX unproved ON attestations (state, node) WHERE state > 0;

CREATE TABLE handovers (
    party BLOB NOT NULL, number INTEGER NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (party, number)
) WITHOUT ROWID;

CREATE TABLE erasures (
    batch INTEGER NOT NULL REFERENCES batches (id), position INTEGER NOT NULL, person BLOB NOT NULL,
    made_ms INTEGER NOT NULL, done_batch INTEGER NOT NULL, scrubbed INTEGER NOT NULL,
    PRIMARY KEY (batch, position)
) WITHOUT ROWID;
CREATE TABLE heard (
    agent BLOB PRIMARY KEY, at_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE alarms (
    id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, code TEXT NOT NULL, detail TEXT NOT NULL,
    UNIQUE (code, detail)
);

CREATE TABLE counters (
    name TEXT NOT NULL, cause TEXT NOT NULL, writer BLOB NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (name, cause, writer)
) WITHOUT ROWID;
"""
"""`erasures.done_batch`: the frames of batches up to it have been looked at.

`counters.writer` is the collector that counted: a row of its own each, so that none waits for another."""

FROM_1 = """
ALTER TABLE batches ADD COLUMN left_out INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE statements ADD COLUMN kind INTEGER NOT NULL DEFAULT -1;
ALTER TABLE statements ADD COLUMN node BLOB;
CREATE INDEX statements_of_kind ON statements (kind, node);
CREATE TABLE holes (
    batch INTEGER NOT NULL REFERENCES batches (id), position INTEGER NOT NULL, leaf BLOB NOT NULL,
    cause INTEGER NOT NULL, node BLOB, boot BLOB, seq INTEGER, attested BLOB,
    PRIMARY KEY (batch, position)
) WITHOUT ROWID;
CREATE INDEX erased_frames ON holes (node, boot, seq) WHERE cause = 1;
CREATE TABLE handovers (
    party BLOB NOT NULL, number INTEGER NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (party, number)
) WITHOUT ROWID;
CREATE TABLE erasures (
    batch INTEGER NOT NULL REFERENCES batches (id), position INTEGER NOT NULL, person BLOB NOT NULL,
    made_ms INTEGER NOT NULL, done_batch INTEGER NOT NULL, scrubbed INTEGER NOT NULL,
    PRIMARY KEY (batch, position)
) WITHOUT ROWID;
CREATE TABLE heard (
    agent BLOB PRIMARY KEY, at_ms INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO heard SELECT agent, max(received_ms) FROM batches GROUP BY agent;
ALTER TABLE counters RENAME TO counters_1;
CREATE TABLE counters (
    name TEXT NOT NULL, cause TEXT NOT NULL, writer BLOB NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (name, cause, writer)
) WITHOUT ROWID;
INSERT INTO counters SELECT name, cause, CAST('' AS BLOB), n FROM counters_1;
DROP TABLE counters_1;
"""
"""Version 1 to version 2; what has to be computed besides: `migrations.py`."""

NAMES = frozenset(part.split()[0] for part in TABLES.split("CREATE TABLE ")[1:])
"""Of the tables."""


def statements(script: str, dialect: str) -> list[str]:
    """The statements of a script above, in the words of "sqlite" or "postgresql"."""
    if dialect == "postgresql":
        for ours, theirs in (
            ("INTEGER PRIMARY KEY", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"),
            (" WITHOUT ROWID", ""),
            ("INTEGER", "BIGINT"),
            ("BLOB", "BYTEA"),
        ):
            script = script.replace(ours, theirs)
    return [one for one in (part.strip() for part in script.split(";")) if one]
