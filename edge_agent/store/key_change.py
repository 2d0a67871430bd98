"""Another key for the store of an agent that does not run: a copy under it takes the old file's place.

Not by `PRAGMA rekey`: that writes all pages where they lie, cannot in WAL, and leaves nothing to say which
key opens a file that it was cut off in. Here:

1. the new key lies in a file, beside the old one's or where it was named;
2. the store is copied under it, page by page, read back, compared and synced;
3. the check file describes both keys;
4. the copy is renamed over the store: from here on it is under the new key;
5. the new key's file takes the place of the old one's, which is kept under another name, for backups;
6. the check file describes the new key alone.

Cut off before 4 the store is under the old key, else under the new one, and it opens: unlock() knows which.
settle() does the rest, or takes back what was begun. The data keys within go over as they are: they lie in
pages, so who cannot read those has none of them.
"""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from edge_agent.files import fsync_folder, private
from edge_agent.store import backup, check_file, database, keys
from edge_agent.store.backup import Copied
from edge_agent.store.check_file import Told
from edge_agent.store.compacting import EMPTY_LOG
from edge_agent.store.database import Database
from edge_agent.store.drafts import discard
from edge_agent.store.errors import StoreError, StoreUnwritable
from edge_agent.store.integrity import SIDES, damage
from edge_agent.store.key_files import key_in, make_key, new_file, put_in_place
from edge_agent.store.keys import Source


class NewKey(NamedTuple):
    """A key to come. `told`: how the check file describes it; `in_place`: its file is to be renamed over the
    old one's.
    """

    key: bytes
    told: Told
    in_place: bool


def draft_path(path: Path) -> Path:
    """Where the copy under the new key is made."""
    return path.with_name(f"{path.name}.rekey")


def settle(path: Path, source: Source) -> bool | None:
    """End a change that was cut off. True: it is carried out; False: it is taken back; None: there was none.

    For who may write the store. OSError as it comes; StoreKeyError: neither key can be the file's.
    """
    told, found = check_file.change(path), check_file.in_force(path)
    new = new_file(source.key_file)
    done = told is not None and found is not None and found["check"] == told["next"].get("check")
    if not done:
        # Also what was begun before the check file told of it.
        discard(draft_path(path))
    if found is None:
        return None
    if told is None:
        # Nothing is under it, so what a power cut left of it may be empty, or open to others.
        new.unlink(missing_ok=True)
        return None
    if new.exists():
        fits = check_file.fits(found, key_in(new, path))
        if done and fits:
            put_in_place(source.key_file)
        elif not fits:
            new.unlink()
    check_file.write(path, found)
    return done


def check(path: Path, source: Source) -> bytes:
    """The key of the store at `path`, which is sound. StoreKeyError, StoreError: it is damaged."""
    key = keys.unlock(path, source)
    why = damage(path, key)
    if why is not None:
        raise StoreError(path, f"damaged: {why}", "vitalwire agent run sets it aside; then try again")
    return key


def is_under(path: Path, then: Source) -> bool:
    """Whether the store at `path` is under the key that `then` gives. StoreKeyError, OSError as they come."""
    told = check_file.in_force(path)
    if told is None:
        return False
    if then.passphrase_file is not None:
        return told["kdf"] != "none" and check_file.fits(
            told, keys.of_passphrase(then.passphrase_file, told, path)
        )
    if told["kdf"] != "none" or (then.credential is None and not then.key_file.exists()):
        return False
    return check_file.fits(told, keys.given(then, path))


def new_key(path: Path, now: Source, then: Source, at_ms: int) -> NewKey:
    """The key that `then` gives for the store at `path`; a file that is to hold it and is not there is made.
    StoreKeyError; OSError as it comes.

    `now`: where its key comes from until then; the same: a new one is made, to take its place.
    """
    in_place, kdf = then == now, None
    if in_place:
        key = make_key(new_file(now.key_file))
    elif then.passphrase_file is not None:
        kdf = keys.new_kdf()
        key = keys.of_passphrase(then.passphrase_file, kdf, path)
    elif then.credential is None and not then.key_file.exists():
        key = make_key(then.key_file)
    else:
        key = keys.given(then, path)
    return NewKey(key, check_file.described(key, kdf) | {"changed_ms": at_ms}, in_place)


def rekey(path: Path, source: Source, new: NewKey, shown: Callable[[int, int], object]) -> Copied:
    """Put the store at `path`, whose lock the caller has, under the new key. `shown`: as backup.export().

    StoreError: nothing has changed, the store is under the old key. OSError as it comes: settle() knows.
    """
    key = check(path, source)
    draft = draft_path(path)
    discard(draft)
    try:
        with closing(_alone(path, key)) as db:
            # SQLite gives its logs the mode of the file.
            open(draft, "xb", opener=private).close()
            copied = backup.copy(db, draft, new.key, shown)
            for side in SIDES:
                draft.with_name(draft.name + side).unlink(missing_ok=True)
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            old = check_file.in_force(path) or check_file.described(key)
            begins = {"begins": check_file.beginning(path)}
            then = new.told | {"begins": check_file.beginning(draft)}
            check_file.write(path, old | begins | {"next": then})
            os.replace(draft, path)
            fsync_folder(path.parent)
    except database.Busy:
        raise StoreError(path, "another program reads it", "close that program, then try again") from None
    except database.Full as e:
        room = f"the copy takes {path.stat().st_size} bytes: make room on that disk, then try again"
        raise StoreUnwritable(path, f"its key cannot be changed: {e}", room) from e
    except database.Error as e:
        hint = "nothing has changed; vitalwire store check says more"
        raise StoreError(path, f"its key cannot be changed: {e}", hint) from e
    finally:
        discard(draft)
        if new.in_place and check_file.change(path) is None:
            new_file(source.key_file).unlink(missing_ok=True)
    settle(path, source)
    return copied


def _alone(path: Path, key: bytes) -> Database:
    """The store with its log folded in, and nobody else's until this is closed. Busy, Error as they come."""
    db = Database(path, key)
    try:
        db.pragma("locking_mode", "exclusive")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")
        db.execute(EMPTY_LOG).fetchall()
    except BaseException:
        db.close()
        raise
    return db
