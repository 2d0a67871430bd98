"""Data keys: under which frames are sealed, one open key a node at a time, and one a person for
what is typed.

A key is as durable as what it seals: it is made in the transaction of the first frame under it. It begins
anew whenever the node is given to somebody, so that destroying the keys of one person takes nobody else's.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge_agent.store.database import Database


class DataKey(NamedTuple):
    """An open key: its id and its cipher (AES-256-GCM)."""

    id: int
    aead: AESGCM


class Sealer:
    """The open keys; what a transaction adds counts once `changes()` has ended without an error."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._open: dict[tuple[bytes, bytes], DataKey] = {}
        self._new: dict[tuple[bytes, bytes], DataKey] = {}

    @contextmanager
    def changes(self) -> Generator[None]:
        """Keys made inside are kept if it ends well, and forgotten if it does not."""
        self._new.clear()
        try:
            yield
        except BaseException:
            self._new.clear()
            self._db.data_keys.clear()
            raise
        self._open.update(self._new)
        self._new.clear()

    def key(self, now_ms: int, node: bytes = b"", person: bytes = b"") -> DataKey:
        """The open key of that node, or of that person when there is no node; made inside the transaction."""
        whose = (node, b"" if node else person)
        found = self._new.get(whose) or self._open.get(whose)
        if found is not None:
            return found
        where, value = ("node", node) if node else ("node = x'' AND person", person)
        row = self._db.execute(
            f"SELECT id, key FROM data_keys WHERE {where} = ? AND ended_ms IS NULL AND key IS NOT NULL",
            (value,),
        ).fetchone()
        if row is None:
            return self.begin(now_ms, node, person or None)
        made = self._new[whose] = DataKey(row[0], AESGCM(row[1]))
        return made

    def begin(self, now_ms: int, node: bytes, person: bytes | None) -> DataKey:
        """End the open key and begin the next, inside a transaction. `person`: whose the node is from now."""
        whose = (node, b"" if node else person or b"")
        where, value = ("node", node) if node else ("node = x'' AND person", person)
        self._db.execute(
            f"UPDATE data_keys SET ended_ms = ? WHERE {where} = ? AND ended_ms IS NULL", (now_ms, value)
        )
        secret = os.urandom(32)
        self._db.execute(
            "INSERT INTO data_keys(node, person, begun_ms, key) VALUES(?, ?, ?, ?)",
            (node, person, now_ms, secret),
        )
        made = self._new[whose] = DataKey(self._db.last_insert_rowid(), AESGCM(secret))
        return made

    def nobodys(self, now_ms: int, node: bytes) -> DataKey:
        """A key, ended as it begins, for what is another's than whose key it was sealed under."""
        whose = (node, b"nobody's")
        found = self._new.get(whose) or self._open.get(whose)
        if found is None:
            secret = os.urandom(32)
            self._db.execute(
                "INSERT INTO data_keys(node, begun_ms, ended_ms, key) VALUES(?, ?, ?, ?)",
                (node, now_ms, now_ms, secret),
            )
            found = self._new[whose] = DataKey(self._db.last_insert_rowid(), AESGCM(secret))
        return found

    def forget(self) -> None:
        """Drop every key from memory: some were destroyed."""
        self._open.clear()
        self._db.data_keys.clear()
