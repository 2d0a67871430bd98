"""What statements keep back: words and numbers that may be about somebody.

A statement goes to every forwarder, whatever anybody consented to, and stays for good. What in it may be of a
person is kept here instead, sealed under the data key of the node that it is about, and goes when that key is
destroyed. The statement has its hash: SHA-256 over 16 random bytes and the CBOR of the details. Without those
bytes, which go with the details, nobody finds a short text by trying.
"""

import os
import time
from collections.abc import Callable
from typing import Any, cast

from edge_agent.store.database import Database
from edge_agent.store.items import Sealed
from edge_agent.store.rows import SealBroken, opened, seal
from edge_agent.store.sealing import Sealer
from protocol import cbor, crypto
from protocol.errors import CborError

SALT_BYTES = 16
# The key in a statement under which the hash stands.
HASH = "details"

_INSERT = "INSERT INTO details(hash, node, since_ms, made_ms, key, data) VALUES(?, ?, ?, ?, ?, ?)"


def withhold(
    details: dict[str, Any], at_ms: int, node: bytes | None = None, since_ms: int | None = None
) -> tuple[bytes, Sealed]:
    """(what the statement says, the row to be written with it). `node`: whose person they may be about, from
    `since_ms` (default: `at_ms`) to `at_ms`; None: they are about nobody's body, and are not erased.
    """
    opening = os.urandom(SALT_BYTES) + cbor.dumps(details)
    told = crypto.sha256(opening)
    since = at_ms if since_ms is None else min(since_ms, at_ms)
    return told, Sealed(_INSERT, (told, node, since, at_ms), opening, at_ms, node)


def put(db: Database, sealer: Sealer, item: Sealed) -> None:
    """Write such a row, inside a transaction: its key and what is sealed are its last two columns."""
    key, data = None, item.secret
    if item.node is not None:
        key, aead = sealer.key(item.at_ms, item.node)
        data = seal(aead, data, item.bindings[0])
    db.execute(item.sql, (*item.bindings, key, data))


def secret_of(db: Database, name: bytes, key: int | None, data: bytes) -> bytes:
    """What put() sealed in the row called so. SealBroken: it was changed, or its key is gone."""
    return data if key is None else opened(db, key, data, name)


def read(db: Database, told: bytes) -> dict[str, Any] | None:
    """The details with that hash; None: they are erased, or were never here. SealBroken: they are not what
    was stated.
    """
    row = db.execute("SELECT key, CAST(data AS BLOB) FROM details WHERE hash = ?", (told,)).fetchone()
    if row is None:
        return None
    opening = secret_of(db, told, *row)
    try:
        found = cbor.loads(opening[SALT_BYTES:])
    except CborError:
        found = None
    if crypto.sha256(opening) != told or not isinstance(found, dict):
        raise SealBroken("its details are not those that were stated")
    return cast("dict[str, Any]", found)


def erase(db: Database, sealer: Sealer, person: bytes, theirs: Callable[[bytes, int, int], bool]) -> int:
    """Destroy, inside a transaction, what was stated of a node while it was, or may have been, that person's
    (`theirs(node, since_ms, made_ms)`); how many rows. Others' rows under that person's keys, which are
    destroyed next, are sealed anew.
    """
    gone = 0
    for told, node, since_ms, made_ms in db.execute(
        "SELECT hash, node, since_ms, made_ms FROM details WHERE node NOTNULL"
    ).fetchall():
        if theirs(node, since_ms, made_ms):
            db.execute("DELETE FROM details WHERE hash = ?", (told,))
            gone += 1
    for told, node, key, data in db.execute(
        "SELECT d.hash, d.node, d.key, d.data FROM details d JOIN data_keys k ON k.id = d.key "
        "WHERE k.person = ? AND k.key NOTNULL",
        (person,),
    ).fetchall():
        plain = opened(db, key, data, told)
        new = sealer.nobodys(time.time_ns() // 1_000_000, node)
        db.execute(
            "UPDATE details SET key = ?, data = ? WHERE hash = ?", (new.id, seal(new.aead, plain, told), told)
        )
    return gone
