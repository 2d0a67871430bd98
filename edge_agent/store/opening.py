"""Opening the store: the sound one that is there, or a new one that says what became of the old."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from edge_agent.files import fsync_folder, make_folder, private
from edge_agent.store.errors import StoreCorrupt, StoreError
from edge_agent.store.integrity import SIDES, Mark, SetAside, damage, set_aside
from edge_agent.store.schema import APPLICATION_ID, ENTRY_STATEMENT, TABLES, VERSION, connect
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


def create(path: Path, agent_id: bytes, now_ms: int, incident: Incident | None = None) -> None:
    """Make an empty store at `path`, born with its incident if there is one: there whole, or not at all."""
    make_folder(path.parent)
    draft = path.with_name(f"{path.name}.new")
    for side in ("", *SIDES):
        path.with_name(draft.name + side).unlink(missing_ok=True)
    # SQLite gives its logs the mode of the file.
    open(draft, "xb", opener=private).close()
    with closing(sqlite3.connect(draft, isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.executescript(f"BEGIN; {TABLES} COMMIT;")
        small: dict[str, Any] = {"store": os.urandom(16), "agent": agent_id, "created_ms": now_ms}
        if incident is not None:
            statement = cbor.dumps([ENTRY_STATEMENT, incident.code, incident.detail])
            db.execute(
                "INSERT INTO journal VALUES(1, ?, NULL, NULL, ?, ?)", (ENTRY_STATEMENT, statement, now_ms)
            )
            small |= {"incident": 1, "chain_due": incident.message}
        db.executemany("INSERT INTO meta VALUES(?, ?)", small.items())
        db.execute("PRAGMA journal_mode = WAL").fetchall()
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(draft, path)
    fsync_folder(path.parent)


def open_store(path: Path, agent_id: bytes, now_ms: int) -> tuple[Store, Opening]:
    """The store at `path`, made if there is none, made anew if what is there is damaged or gone.

    Whatever was lost becomes a statement in the journal and the reason of a new chain. StoreError: it is
    another agent's, a newer version's, in use, or on a disk that refuses.
    """
    mark = Mark(path)
    hint = "see the disk and the rights on its folder"
    try:
        opening = _prepare(path, agent_id, now_ms, mark, None)
        try:
            return _opened(path, agent_id, now_ms, mark, opening)
        except _UNREADABLE as e:
            # Sound to SQLite, but a value in it is none that was ever written.
            opening = _prepare(path, agent_id, now_ms, mark, f"a value in it is damaged: {e}")
            return _opened(path, agent_id, now_ms, mark, opening)
    except sqlite3.Error as e:
        raise StoreError(path, f"cannot be opened: {e}", hint) from e
    except OSError as e:
        raise StoreError(path, f"cannot be opened: {e.strerror}", hint) from e


_UNREADABLE = (ProtocolError, StoreCorrupt, KeyError, TypeError, ValueError)


def _opened(path: Path, agent_id: bytes, now_ms: int, mark: Mark, opening: Opening) -> tuple[Store, Opening]:
    db = connect(path)
    try:
        store = Store(path, db, mark)
        if store.agent_id != agent_id:
            raise StoreError(
                path,
                f"it is the store of agent {store.agent_id.hex()}, the key file is of {agent_id.hex()}",
                "put the right key file back, or name another state_dir",
            )
        if opening.behind is not None:
            store.declare(*opening.behind[:2], now_ms, opening.behind.message)
        store.write_mark()
    except BaseException:
        db.close()
        mark.close()
        raise
    return store, opening


def _prepare(path: Path, agent_id: bytes, now_ms: int, mark: Mark, why: str | None) -> Opening:
    """See to it that a sound store is at `path`; `why` says what is known to be wrong with the one there."""
    marked = mark.read()
    orphans = any(path.with_name(path.name + side).exists() for side in SIDES)
    if path.exists():
        why = why or damage(path)
        if why is None:
            behind = _behind(path, marked)
            return Opening(False, None, behind, behind.message if behind else "")
    elif orphans:
        why = "the file is gone, its write-ahead log is left"
    elif marked is None:
        create(path, agent_id, now_ms)
        return Opening(created=True)
    if why is None:
        incident = Incident("store_missing", {"why": "the file is gone"}, "store_missing: the store was gone")
        create(path, agent_id, now_ms, incident)
        mark.remove()
        return Opening(True, None, None, incident.message)
    aside = set_aside(path, why)
    detail: dict[str, Any] = {"file": aside.path.name, "why": why}
    if aside.frames is not None:
        detail["frames"] = aside.frames
    if aside.head is not None:
        detail["chain"], detail["number"], detail["hash"] = aside.head
    incident = Incident("store_set_aside", detail, f"store_set_aside: {why}; kept as {aside.path.name}")
    create(path, agent_id, now_ms, incident)
    mark.remove()
    return Opening(True, aside, None, incident.message)


def _behind(path: Path, marked: tuple[bytes, int, int] | None) -> Incident | None:
    """Whether the sound store at `path` ends before its mark says that it did."""
    if marked is None:
        return None
    with closing(connect(path, read_only=True)) as db:
        (store,) = db.execute("SELECT value FROM meta WHERE key = 'store'").fetchone()
        (journal,) = db.execute("SELECT coalesce(max(id), 0) FROM journal").fetchone()
        (batch,) = db.execute("SELECT coalesce(max(id), 0) FROM batches").fetchone()
    if marked[0] != store or (marked[1] <= journal and marked[2] <= batch):
        return None
    entries, batches = max(0, marked[1] - journal), max(0, marked[2] - batch)
    what = f"{entries} entries and {batches} batches that were committed are not in it"
    return Incident("store_behind", {"entries": entries, "batches": batches}, f"store_behind: {what}")
