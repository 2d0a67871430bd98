"""A store that is damaged, gone or behind: noticed, set aside and told, and what went with it stated."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.store.database import connect
from edge_agent.store.errors import StoreCorrupt
from edge_agent.store.keys import unlock
from edge_agent.store.opening import open_store
from edge_agent.store.store import Held, Hello
from tests.edge_agent.store_kit import AGENT, BOOT, NODE, frame, reopened, same_facts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.db"


def filled(path: Path) -> int:
    store, _ = open_store(path, AGENT, 1)
    store.commit([Hello(NODE, b"e" * 32, b"x" * 32, 1, 1)])
    for n in range(0, 600, 20):
        store.commit([frame(seq, text=os.urandom(150)) for seq in range(n, n + 20)])
    store.close()
    return path.stat().st_size


def damaged(path: Path, said: str = ""):
    """Open it; check that it was set aside, told and remembered."""
    before = path.read_bytes() if path.exists() else None
    store, opening = reopened(path)
    assert opening.created and opening.message.startswith("store_set_aside") and said in opening.message
    assert opening.set_aside is not None and opening.set_aside.path.name == "agent.db.corrupt-1"
    if before is not None:
        assert opening.set_aside.path.read_bytes() == before
    assert store.frames == 0 and store.meta("chain_due") == opening.message
    ((code, detail, at_ms),) = store.ledger().statements
    assert (code, at_ms) == ("store_set_aside", 2) and detail["file"] == "agent.db.corrupt-1"
    return store


@pytest.mark.parametrize("kept", [0, 1, 99, 100, 4095, 4096, 5000, 0.3, 0.7, -1])
def test_a_truncated_store(path, kept):
    size = filled(path)
    os.truncate(path, size + kept if kept < 0 else int(size * kept) if isinstance(kept, float) else kept)
    damaged(path).close()


@pytest.mark.parametrize("at", [0, 16, 100, 4060, 0.2, 0.5, 0.8])
def test_a_store_with_garbage_in_it(path, at):
    size = filled(path)
    with path.open("r+b") as file:
        file.seek(int(size * at) if isinstance(at, float) else at)
        file.write(os.urandom(4096 if isinstance(at, float) else 64))
    damaged(path).close()


def test_a_file_of_something_else(path):
    path.write_bytes(b"To be, or not to be, that is the question. " * 500)
    damaged(path, "not a store").close()


def test_a_database_of_something_else(path):
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE shopping(item)")
    damaged(path, "application id").close()


def test_a_value_that_nobody_wrote(path):
    filled(path)
    with closing(connect(path, unlock(path))) as db:
        db.execute("UPDATE boots SET held = x'ff'")
    store, opening = reopened(path)
    assert opening.set_aside and "damaged" in opening.message
    store.close()


def test_the_second_damage_does_not_cover_the_first(path):
    for n in (1, 2):
        path.write_bytes(b"junk" * n)
        store, opening = reopened(path)
        assert opening.set_aside is not None
        assert opening.set_aside.path.name == f"agent.db.corrupt-{n}"
        store.close()
    assert (path.parent / "agent.db.corrupt-1").read_bytes() == b"junk"


def test_a_store_that_is_gone_is_not_a_first_start(path):
    filled(path)
    path.unlink()
    store, opening = reopened(path)
    assert opening.created and "store_missing" in opening.message
    assert store.ledger().statements[0][0] == "store_missing"
    store.close()
    store, opening = reopened(path)
    assert not opening.message
    store.close()


def abandoned(path: Path):
    """A store whose process dies with its write-ahead log unfolded."""
    code = (
        "import os, pathlib\n"
        "from edge_agent.store.opening import open_store\n"
        "from edge_agent.store.store import Frame\n"
        f"store, _ = open_store(pathlib.Path({str(path)!r}), {AGENT!r}, 1)\n"
        "for n in range(10): store.commit([Frame(b'node-one', bytes(12), n, b'x' * 200, 1)])\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    return path.with_name("agent.db-wal")


def test_an_unfolded_log_is_read(path):
    assert abandoned(path).stat().st_size > 0
    store, opening = reopened(path)
    assert not opening.message and store.frames == 10
    store.close()


@pytest.mark.parametrize("how", ["cut", "garbage", "gone"])
def test_a_damaged_log_is_noticed_although_sqlite_says_nothing(path, how):
    log = abandoned(path)
    size = log.stat().st_size
    if how == "cut":
        os.truncate(log, size // 2)
    elif how == "garbage":
        with log.open("r+b") as file:
            file.seek(size // 2)
            file.write(bytes(500))
    else:
        log.unlink()
    store, opening = reopened(path)
    assert not opening.created and "store_behind" in opening.message
    assert store.meta("chain_due") == opening.message
    assert store.ledger().statements[0][0] == "store_behind"
    store.close()
    store, opening = reopened(path)
    assert not opening.message
    store.close()


def test_an_older_copy_put_back_is_noticed(path):
    filled(path)
    copy = path.read_bytes()
    store, _ = reopened(path)
    store.commit([frame(700)])
    store.close()
    path.write_bytes(copy)
    store, opening = reopened(path)
    assert "store_behind: 1 entry" in opening.message
    store.close()


def test_frames_that_went_with_the_old_store_are_stated_and_in_the_ledger(path):
    filled(path)
    os.truncate(path, 5000)
    store = damaged(path)
    store.commit([frame(n) for n in range(600, 610)])
    store.commit([Held(NODE, ((BOOT, 620, ((610, 10),)),), 9)])
    (row,) = store.ledger().rows
    assert (row.produced, row.lost_at_agent, row.pending, row.balanced) == (620, 600, 20, True)
    code, detail, _ = store.ledger().statements[-1]
    assert code == "frames_lost"
    assert (detail["node"], detail["boot"], detail["ranges"]) == (NODE, BOOT, [[0, 600]])
    store.commit([Held(NODE, ((BOOT, 620, ((615, 5),)),), 10)])
    assert store.ledger().rows[0].lost_at_agent == 600
    store.commit([frame(611, losses=((590, 5, 1),))])
    assert store.ledger().rows[0].evicted == 5 and store.ledger().rows[0].lost_at_agent == 595
    assert sum(code == "frames_lost" for code, _, _ in same_facts(store, path).ledger().statements) == 1


def deleted(path: Path) -> None:
    path.unlink()


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.replace(other, path)


def log_deleted(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def log_emptied(path: Path) -> None:
    os.truncate(path.with_name(path.name + "-wal"), 0)


@pytest.mark.skipif(os.name != "posix", reason="elsewhere an open file cannot be deleted")
@pytest.mark.parametrize("harm", [deleted, truncated, replaced, log_deleted, log_emptied])
def test_a_store_that_vanishes_while_it_is_open_is_noticed_before_anything_is_acknowledged(path, harm):
    store, _ = open_store(path, AGENT, 1)
    store.commit([frame(seq) for seq in range(50)])
    store.check()
    harm(path)
    with pytest.raises(StoreCorrupt):
        store.check()
    with pytest.raises(StoreCorrupt):
        store.commit([frame(99)])
    store.close()
    again, _ = reopened(path)
    again.commit([frame(100)])
    again.close()
