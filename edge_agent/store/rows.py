"""Journal rows as they were committed: the one place that opens what is sealed under data keys.

`data` is 12 random bytes, then AES-256-GCM (NIST SP 800-38D) under the row's data key, bound to boot and
number of a frame. A row whose data is gone has its hashes instead.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge_agent.store.database import Database
from edge_agent.store.schema import CLASS_KEPT, CLASS_STRIP, CLASS_TREND, CLASS_WAVE, ENTRY_FRAME
from protocol import attest, entries, frames, merkle

NONCE_BYTES = 12
# What an entry that is no frame is bound to.
ENTRY_BINDING = b"entry"


class SealBroken(ValueError):
    """Data in the store is not what was sealed under its key, or its key is gone."""


class JournalRow(NamedTuple):
    """One entry. `node`, `boot` and `seq` are those of a frame, else None.

    `data` None: gone, for the reason in `gone` (schema.GONE_*); `leaf` is then the hash of the entry as a
    leaf of its batch, `attested` that of a frame as a leaf of its node's attestation.
    """

    id: int
    kind: int
    node: bytes | None
    boot: bytes | None
    seq: int | None
    data: bytes | None
    made_ms: int
    gone: int | None = None
    leaf: bytes | None = None
    attested: bytes | None = None


_ROWS = (
    "SELECT j.id, j.kind, b.node, b.boot, j.seq, j.data, j.made_ms, j.gone, j.leaf, j.attested, j.key "
    "FROM journal j LEFT JOIN boots b ON b.id = j.boot WHERE "
)


def journal_rows(db: Database, first: int, last: int) -> Iterator[JournalRow]:
    """The journal from row `first` to row `last`, both in, in order, opened. SealBroken."""
    return _opened(db, f"{_ROWS} j.id BETWEEN ? AND ? ORDER BY j.id", (first, last))


def frames_of(
    db: Database, boot: int, first: int, last: int, kept_only: bool = False
) -> Iterator[JournalRow]:
    """The frames numbered `first` to `last` of a boot (its row), in order, opened. SealBroken.

    `kept_only`: those that are never evicted, which attestations are among.
    """
    which = f"AND j.class = {CLASS_KEPT} " if kept_only else ""
    where = f"{_ROWS} j.kind = {ENTRY_FRAME} AND j.boot = ? AND j.seq BETWEEN ? AND ? {which}ORDER BY j.seq"
    return _opened(db, where, (boot, first, last))


def _opened(db: Database, sql: str, bindings: tuple[int, ...]) -> Iterator[JournalRow]:
    for *row, key in db.execute(sql, bindings):
        if key is not None and row[5] is not None:
            row[5] = opened(db, key, row[5], binding(row[3], row[4]))
        yield JournalRow(*row)


def binding(boot: bytes | None, seq: int | None) -> bytes:
    """What sealed data is bound to."""
    return ENTRY_BINDING if boot is None or seq is None else boot + seq.to_bytes(4, "big")


def seal(aead: AESGCM, data: bytes, bound: bytes) -> bytes:
    """`data` as it is kept."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + aead.encrypt(nonce, data, bound)


def opened(db: Database, key: int, data: bytes, bound: bytes) -> bytes:
    """What was sealed under the data key with that id. SealBroken."""
    aead = db.data_keys.get(key)
    if aead is None:
        secret = db.value("SELECT key FROM data_keys WHERE id = ?", (key,))
        if secret is None:
            raise SealBroken(f"data key {key} is gone, and what it sealed is not")
        aead = db.data_keys[key] = AESGCM(secret)
    try:
        return aead.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):
        raise SealBroken(f"its seal under data key {key} is broken") from None


def hashes_of(row: JournalRow) -> tuple[bytes, bytes | None]:
    """What stays of a row whose data goes: `leaf` and, of a frame, `attested`."""
    assert row.data is not None
    if row.node is None or row.boot is None or row.seq is None:
        return merkle.leaf_hash(row.data), None
    leaf = leaf_of(row.node, row.boot, row.seq, row.data, row.made_ms)
    return leaf, merkle.leaf_hash(attest.leaf(row.boot, row.seq, row.data))


def leaf_of(node: bytes, boot: bytes, seq: int, plaintext: bytes, received_ms: int) -> bytes:
    """The hash of a frame as a leaf of its batch (RFC 9162 §2.1.1)."""
    return merkle.leaf_hash(entries.frame_entry(node, boot, seq, plaintext, received_ms))


def is_same(db: Database, row: int, node: bytes, boot: bytes, seq: int, plaintext: bytes) -> bool:
    """Whether the stored frame of that number of the boot `row` has this content.

    What is gone is known by its hash; what is pruned is believed, since nothing is left to compare.
    """
    found = db.execute(
        f"SELECT data, key, made_ms, leaf FROM journal WHERE kind = {ENTRY_FRAME} AND boot = ? AND seq = ?",
        (row, seq),
    ).fetchone()
    if found is None:
        return True
    data, key, made_ms, leaf = found
    if data is None:
        return leaf == leaf_of(node, boot, seq, plaintext, made_ms)
    return plaintext == (data if key is None else opened(db, key, data, binding(boot, seq)))


# A frame begins with an array of three and its kind; then comes a time, then a map that begins with its
# lowest key (docs/wire-protocol.md §4).
_WAVE = bytes((0x83, frames.KIND_WAVE))
_TREND = (bytes((0x83, frames.KIND_VITALS)), bytes((0x83, frames.KIND_STATUS)))
_LENGTH = {0x18: 1, 0x19: 2, 0x1A: 4, 0x1B: 8}


def class_of(plaintext: bytes) -> int:
    """What a frame is to the quota. A cuff's waves are the evidence of a blood pressure: strips."""
    opening = plaintext[:2]
    if opening == _WAVE:
        at = 3 + _LENGTH.get(plaintext[2], 0) if len(plaintext) > 2 else 0
        cuff = plaintext[at + 1 : at + 3] == bytes((frames.WAVE_CHANNEL, frames.CH_CUFF))
        return CLASS_STRIP if cuff else CLASS_WAVE
    return CLASS_TREND if opening in _TREND else CLASS_KEPT
