"""Erasing what is kept of a person: the data goes, the hashes stay, the keys are destroyed.

`erase` takes the data of the rows that it is given; the leaf hashes are computed first, in the same
transaction. `destroy_keys` then destroys every data key that was begun for the person: rows of others under
such a key (a backlog that came while the node was this person's) are sealed anew before. Zeros go over what
is deleted (secure_delete), and the write-ahead log is folded in and emptied. Each step is one durable
transaction and finds nothing to do when it is repeated, so whoever was cut off begins again.

Beyond our reach: copies that a file system or a flash disk keeps of blocks that were written over. They are
encrypted under the store's own key.
"""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from edge_agent.store import evictions
from edge_agent.store.compacting import EMPTY_LOG
from edge_agent.store.database import Database
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.evictions import Gone
from edge_agent.store.rows import binding, hashes_of, journal_rows, opened, seal
from edge_agent.store.schema import ENTRY_FRAME, ENTRY_MANUAL, GONE_ERASED
from edge_agent.store.sealing import Sealer

if TYPE_CHECKING:
    from edge_agent.store.store import Store

AT_ONCE = 500


def erase(store: "Store", ids: Iterable[int]) -> int:
    """Take the data of these journal rows, durably; how many had some. StoreUnwritable."""
    store.db.pragma("secure_delete", True)
    with store.transaction() as db:
        frames, count = _erase_rows(db, ids)
        lost = evictions.note(db, frames, GONE_ERASED, None)
    store.recent.clear()
    store.apply_evicted(lost)
    return count


def destroy_keys(store: "Store", person: bytes) -> None:
    """Destroy every data key that was begun for that person, durably, and empty the log. StoreUnwritable."""
    now_ms = time.time_ns() // 1_000_000
    store.db.pragma("secure_delete", True)
    while True:
        typed, others = _left_under(store.db, person)
        if typed:
            erase(store, typed)
        if not others:
            break
        with store.transaction() as db:
            _seal_anew(db, store.sealer, others, now_ms)
    with store.transaction() as db:
        db.execute(
            "UPDATE data_keys SET key = NULL, destroyed_ms = ?, ended_ms = coalesce(ended_ms, ?) "
            "WHERE person = ? AND key IS NOT NULL",
            (now_ms, now_ms, person),
        )
    store.sealer.forget()
    busy, *_ = store.give_back(EMPTY_LOG)
    if busy:
        hint = "end the commands that read the store, then ask for the erasure again"
        raise StoreUnwritable(store.path, "its log cannot be emptied: another program reads it", hint)


def _erase_rows(db: Database, ids: Iterable[int]) -> tuple[list[Gone], int]:
    frames: list[Gone] = []
    count = 0
    for at in ids:
        for row in journal_rows(db, at, at):
            # Statements and signed records are nobody's data.
            if row.data is None or row.kind not in (ENTRY_FRAME, ENTRY_MANUAL):
                continue
            count += 1
            leaf, attested = hashes_of(row)
            db.execute(
                "UPDATE journal SET data = NULL, gone = ?, leaf = ?, attested = ? WHERE id = ?",
                (GONE_ERASED, leaf, attested, at),
            )
            if row.kind == ENTRY_FRAME:
                boot, seq, sort = db.execute(
                    "SELECT boot, seq, class FROM journal WHERE id = ?", (at,)
                ).fetchone()
                db.execute("DELETE FROM conflicts WHERE boot = ? AND seq = ?", (boot, seq))
                frames.append(Gone(at, boot, seq, sort))
    return frames, count


def _left_under(db: Database, person: bytes) -> tuple[list[int], list[int]]:
    """Journal ids of rows with data under that person's keys: typed, and frames; of many, some."""
    typed: list[int] = []
    frames: list[int] = []
    for key, node in db.execute(
        "SELECT id, node FROM data_keys WHERE person = ? AND key IS NOT NULL", (person,)
    ).fetchall():
        if not node:
            typed += _some(db, "kind = ?", ENTRY_MANUAL, key)
            continue
        for (boot,) in db.execute("SELECT id FROM boots WHERE node = ?", (node,)).fetchall():
            if len(frames) < AT_ONCE:
                frames += _some(db, f"kind = {ENTRY_FRAME} AND boot = ?", boot, key)
    return typed, frames


def _some(db: Database, which: str, value: int, key: int) -> list[int]:
    sql = f"SELECT id FROM journal WHERE {which} AND key = ? AND data IS NOT NULL LIMIT ?"
    return [row for (row,) in db.execute(sql, (value, key, AT_ONCE)).fetchall()]


def _seal_anew(db: Database, sealer: Sealer, ids: Iterable[int], now_ms: int) -> None:
    """Seal these frames, which are others', under a key that is nobody's."""
    for at in ids:
        node, boot, seq, data, key = db.execute(
            "SELECT b.node, b.boot, j.seq, j.data, j.key FROM journal j JOIN boots b ON b.id = j.boot "
            "WHERE j.id = ?",
            (at,),
        ).fetchone()
        bound = binding(boot, seq)
        plain = opened(db, key, data, bound)
        new = sealer.nobodys(now_ms, node)
        db.execute(
            "UPDATE journal SET data = ?, key = ? WHERE id = ?", (seal(new.aead, plain, bound), new.id, at)
        )
