"""Opening the store: the sound one that is there, or a new one that says what became of the old."""

import errno
import os
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from edge_agent.readable import counted
from edge_agent.store import database, key_change, keys
from edge_agent.store.database import connect
from edge_agent.store.drafts import draft
from edge_agent.store.errors import StoreCorrupt, StoreError, StoreUnwritable
from edge_agent.store.integrity import SIDES, Mark, SetAside, damage, set_aside
from edge_agent.store.migration import migrate, roll_back, update
from edge_agent.store.schema import ENTRY_STATEMENT
from edge_agent.store.store import Store
from protocol import cbor
from protocol.errors import ProtocolError


class Incident(NamedTuple):
    """What happened to a store: the statement that its journal gets, and in one line for people and the next
    chain.
    """

    code: str
    detail: dict[str, Any]
    message: str


class Opening(NamedTuple):
    """What open_store() found. `message` is for a person's eyes, empty when all is as it was left."""

    created: bool
    set_aside: SetAside | None = None
    behind: Incident | None = None
    message: str = ""


def create(path: Path, key: bytes, agent_id: bytes, now_ms: int, incident: Incident | None = None) -> None:
    """Make an empty store at `path`, born with its incident if there is one: there whole, or not at all."""
    with draft(path, key) as db:
        small: dict[str, Any] = {"store": os.urandom(16), "agent": agent_id, "created_ms": now_ms}
        if incident is not None:
            statement = cbor.dumps([ENTRY_STATEMENT, incident.code, incident.detail])
            db.execute(
                "INSERT INTO journal(id, kind, data, made_ms) VALUES(1, ?, ?, ?)",
                (ENTRY_STATEMENT, statement, now_ms),
            )
            small |= {"incident": 1, "chain_due": incident.message}
        db.executemany("INSERT INTO meta VALUES(?, ?)", small.items())


def open_store(
    path: Path, agent_id: bytes, now_ms: int, source: keys.Source | None = None
) -> tuple[Store, Opening]:
    """The store at `path`, made if there is none, made anew if what is there is damaged or gone.

    `source`: where its key comes from, by default the file store.key beside it, made with the store. Whatever
    was lost becomes a statement in the journal and the reason of a new chain. StoreError: it is another
    agent's, a newer version's, in use, or on a disk that refuses (StoreUnwritable: it is full);
    StoreKeyError: its key is not the right one.
    """
    mark = Mark(path)
    hint = "see the disk and the rights on its folder"
    try:
        # A power cut may have come while the key was changed.
        key_change.settle(path, source or keys.source_beside(path))
        key = keys.unlock(path, source, make=True)
        told = _Told(path, key, agent_id, now_ms, mark)
        opening = _prepare(told, None)
        try:
            return _opened(told, opening)
        except _UNREADABLE as e:
            # Sound to SQLite, but a value in it is none that was ever written.
            opening = _prepare(told, f"a value in it is damaged: {e}")
            return _opened(told, opening)
    except database.Full as e:
        raise StoreUnwritable(path, f"cannot be opened: {e}", _room(path)) from e
    except database.Error as e:
        raise StoreError(path, f"cannot be opened: {e}", hint) from e
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreUnwritable(path, f"cannot be opened: {e.strerror}", _room(path)) from e
        raise StoreError(path, f"cannot be opened: {e.strerror}", hint) from e


def _room(path: Path) -> str:
    try:
        old = database.is_plain(path)
    except OSError:
        old = False
    more = ", as much again as the store takes, for it is brought up to date" if old else ""
    return f"make room on its disk{more}; nothing of it is lost"


class _Told(NamedTuple):
    path: Path
    key: bytes
    agent_id: bytes
    now_ms: int
    mark: Mark


_UNREADABLE = (ProtocolError, StoreCorrupt, KeyError, TypeError, ValueError)


def _opened(told: _Told, opening: Opening) -> tuple[Store, Opening]:
    path, key, agent_id, now_ms, mark = told
    db = connect(path, key)
    try:
        update(db)
        store = Store(path, db, mark, partial(connect, path, key, read_only=True))
        if store.agent_id != agent_id:
            raise StoreError(
                path,
                f"it is the store of agent {store.agent_id.hex()}, the key file is of {agent_id.hex()}",
                "put the right key file back, or name another state_dir",
            )
        if opening.behind is not None:
            store.declare(*opening.behind[:2], now_ms, opening.behind.message)
        store.write_mark()
        if not keys.is_confirmed(path):
            keys.confirm(path, key)
    except BaseException:
        db.close()
        mark.close()
        raise
    return store, opening


def _prepare(told: _Told, why: str | None) -> Opening:
    """See to it that a sound store is at `path`; `why` says what is known to be wrong with the one there."""
    path, key, agent_id, now_ms, mark = told
    marked = mark.read()
    orphans = any(path.with_name(path.name + side).exists() for side in SIDES)
    if path.exists():
        plain = why is None and database.is_plain(path)
        if plain:
            with suppress(*database.Corrupt):
                roll_back(path)
        why = why or damage(path, None if plain else key)
        if why is None:
            if plain:
                migrate(path, key)
            behind = _behind(path, key, marked)
            return Opening(False, None, behind, behind.message if behind else "")
    elif orphans:
        why = "the file is gone, its write-ahead log is left"
    elif marked is None:
        create(path, key, agent_id, now_ms)
        return Opening(created=True)
    if why is None:
        incident = Incident("store_missing", {"why": "the file is gone"}, "store_missing: the store was gone")
        create(path, key, agent_id, now_ms, incident)
        mark.remove()
        return Opening(True, None, None, incident.message)
    aside = set_aside(path, why, None if database.is_plain(path) else key)
    detail: dict[str, Any] = {"file": aside.path.name, "why": why}
    if aside.frames is not None:
        detail["frames"] = aside.frames
    if aside.head is not None:
        detail["chain"], detail["number"], detail["hash"] = aside.head
    incident = Incident("store_set_aside", detail, f"store_set_aside: {why}; kept as {aside.path.name}")
    create(path, key, agent_id, now_ms, incident)
    mark.remove()
    return Opening(True, aside, None, incident.message)


def _behind(path: Path, key: bytes, marked: tuple[bytes, int, int] | None) -> Incident | None:
    """Whether the sound store at `path` ends before its mark says that it did."""
    if marked is None:
        return None
    with closing(connect(path, key, read_only=True)) as db:
        (store,) = db.execute("SELECT value FROM meta WHERE key = 'store'").fetchone()
        (journal,) = db.execute("SELECT coalesce(max(id), 0) FROM journal").fetchone()
        (batch,) = db.execute("SELECT coalesce(max(id), 0) FROM batches").fetchone()
    if marked[0] != store or (marked[1] <= journal and marked[2] <= batch):
        return None
    entries, batches = max(0, marked[1] - journal), max(0, marked[2] - batch)
    what = f"{counted(entries, 'entry')} and {counted(batches, 'batch')} that were committed are not in it"
    return Incident("store_behind", {"entries": entries, "batches": batches}, f"store_behind: {what}")
