"""A store in clear, as the first version made it, becomes an encrypted one with the same content."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from edge_agent.custody.checking import check
from edge_agent.custody.verify import verify
from edge_agent.keys import PublicKeys
from edge_agent.remote.commands_kept import load
from edge_agent.store import backup, drafts, key_change, migration
from edge_agent.store.compacting import compact
from edge_agent.store.database import open_file
from edge_agent.store.errors import StoreError, StoreUnwritable
from edge_agent.store.items import Hello
from edge_agent.store.keys import source_beside
from edge_agent.store.opening import open_store
from edge_agent.store.schema import VERSION
from tests.edge_agent.store_kit import AGENT, NODE, frame
from tests.edge_agent.store_v1 import make, whole
from tools.faults.disk import Disk, beneath


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "agent.db"
    make(path)
    return path


def test_everything_comes_over_and_nothing_stays_in_clear(path):
    whole(path)
    assert not [one for one in path.parent.iterdir() if b"plaintext" in one.read_bytes()]


def test_what_is_still_in_the_log_comes_too(path):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("INSERT INTO counters VALUES('in_the_log', 1)")
    content = path.read_bytes(), path.with_name("agent.db-wal").read_bytes()
    db.close()
    path.write_bytes(content[0])
    path.with_name("agent.db-wal").write_bytes(content[1])
    store, _ = open_store(path, AGENT, 2)
    assert store.counters["in_the_log"] == 1
    store.close()


class PowerCut(BaseException):
    """The end, between two steps."""


STEPS = [(drafts, "private"), (drafts, "Database"), (drafts.os, "fsync"), (drafts.os, "replace")]
STEPS += [(drafts, "fsync_folder"), (migration, "Database")]


@pytest.mark.parametrize(("where", "name"), STEPS)
@pytest.mark.parametrize("after", [False, True])
def test_a_power_cut_between_any_two_steps_leaves_one_that_opens(path, monkeypatch, where, name, after):
    step = getattr(where, name)

    def cut(*args, **more):
        if str(path) in str(args[0]) or isinstance(args[0], int) or args[0] == path.parent:
            if after:
                step(*args, **more)
            raise PowerCut
        return step(*args, **more)

    open_store(path.with_name("other.db"), AGENT, 1)[0].close()
    with monkeypatch.context() as m:
        m.setattr(where, name, cut)
        with pytest.raises(PowerCut):
            open_store(path, AGENT, 2)
    whole(path)


READER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN")
db.execute("SELECT * FROM meta").fetchall()
print("reading", flush=True)
sys.stdin.read()
"""


def test_a_reader_of_the_old_one_is_waited_for_in_vain_and_named(path, monkeypatch):
    monkeypatch.setattr("edge_agent.store.database.BUSY_MS", 50)
    # In a process of its own: locks of one process do not hold each other up.
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", READER, str(path)], stdin=pipe, stdout=pipe) as reader:
        assert reader.stdout is not None and reader.stdout.readline() == b"reading\n"
        with pytest.raises(StoreError, match="another program"):
            open_store(path, AGENT, 2)
        reader.communicate()
    whole(path)


def test_an_old_store_that_is_damaged_is_set_aside_as_ever(path):
    os.truncate(path, path.stat().st_size - 777)
    store, opening = open_store(path, AGENT, 2)
    assert opening.set_aside is not None and "truncated" in opening.message
    store.close()


@pytest.fixture
def second(tmp_path):
    """A store of schema 2 with a frame and a command."""
    path = tmp_path / "agent.db"
    store, _ = open_store(path, AGENT, 1)
    store.commit([Hello(NODE, b"e" * 32, b"x" * 32, 1, 1), frame(1)])
    db = store.db
    db.execute("BEGIN")
    for name in ("details", "alarm_windows", "commands"):
        db.execute(f"DROP TABLE {name}")
    db.execute("DROP INDEX fits")
    db.execute(
        "CREATE TABLE commands(id BLOB PRIMARY KEY, expires_ms INTEGER NOT NULL, signed BLOB NOT NULL, "
        "answer BLOB NOT NULL, boot BLOB, body BLOB) WITHOUT ROWID"
    )
    db.execute("INSERT INTO commands VALUES(x'c0', 7, x'01', x'02', NULL, NULL)")
    db.pragma("user_version", 2)
    db.execute("COMMIT")
    store.close()
    return path


def test_a_store_of_schema_2_is_brought_up_to_date(second):
    with pytest.raises(StoreError, match="start the agent once"):
        open_file(second)
    store, opening = open_store(second, AGENT, 2)
    assert opening.message == "" and store.db.pragma("user_version") == VERSION
    assert load(store).erased == {b"\xc0": 7} and len(store.facts) == 1
    tables = {name for (name,) in store.db.execute("SELECT name FROM sqlite_master").fetchall()}
    store.close()
    with closing(open_file(second)) as db:
        assert db.value("SELECT count(*) FROM journal WHERE kind = 0") == 1
    fresh, _ = open_store(second.with_name("fresh.db"), AGENT, 2)
    assert tables == {name for (name,) in fresh.db.execute("SELECT name FROM sqlite_master").fetchall()}
    fresh.close()


def test_a_store_of_schema_2_is_not_called_damaged(second):
    """Who reads its tables names the way on; who takes its pages as they are needs none."""
    agent = PublicKeys(b"e" * 32, b"x" * 32)
    for reads in (lambda: verify(second, agent, None), lambda: check(second, agent)):
        with pytest.raises(StoreError, match=r"schema 2.*start the agent once"):
            reads()
    out = second.with_name("backup.db")
    assert backup.export(second, out, None, lambda *_: None).entries == 1
    compact(second, None, lambda _: None)
    source = source_beside(second)
    key_change.rekey(second, source, key_change.new_key(second, source, source, 1), lambda *_: None)
    store, opening = open_store(second, AGENT, 2)
    assert opening.message == "" and store.frames == 1
    store.close()


@pytest.mark.parametrize("room", [0, 4096, 20_000])
def test_an_update_without_room_says_so_and_is_made_when_there_is_some(second, room):
    with Disk("room") as disk, beneath(disk.name):
        disk.room = room
        with pytest.raises(StoreUnwritable, match="make room on its disk"):
            open_store(second, AGENT, 2)
        disk.room = None
        store, opening = open_store(second, AGENT, 2)
        assert opening.message == "" and store.db.pragma("user_version") == VERSION and store.frames == 1
        store.close()


def test_an_update_that_is_cut_off_leaves_schema_2(second, monkeypatch):
    monkeypatch.setattr(migration, "SINCE_3", "CREATE TABLE details(x); no SQL")
    with pytest.raises(StoreError):
        open_store(second, AGENT, 2)
    monkeypatch.undo()
    store, _ = open_store(second, AGENT, 2)
    assert store.db.pragma("user_version") == VERSION
    store.close()
