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
    PRIMARY KEY (batch, position)
) WITHOUT ROWID;

CREATE TABLE repeats (
    batch INTEGER NOT NULL REFERENCES batches (id), position INTEGER NOT NULL, leaf BLOB NOT NULL,
    PRIMARY KEY (batch, position)
) WITHOUT ROWID;

CREATE TABLE conflicts (
    node BLOB NOT NULL, boot BLOB NOT NULL, seq INTEGER NOT NULL, plaintext BLOB NOT NULL, batch INTEGER NOT
    NULL, UNIQUE (node, boot, seq, plaintext) );

CREATE TABLE attestations (
    node BLOB NOT NULL, boot BLOB NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, seq INTEGER NOT
    NULL, state INTEGER NOT NULL, PRIMARY KEY (node, boot, first, seq) ) WITHOUT ROWID; CREATE INDEX unproved
    ON attestations (state, node) WHERE state > 0;

CREATE TABLE alarms (
    id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, code TEXT NOT NULL, detail TEXT NOT NULL,
    UNIQUE (code, detail)
);

CREATE TABLE counters (
    name TEXT NOT NULL, cause TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (name, cause)
) WITHOUT ROWID;
