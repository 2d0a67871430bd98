"""A store of an earlier version is brought up where it lies, in either database, and proves sound."""

import sqlite3
from pathlib import Path

import pytest

from tests.tools.collector_rig import COLLECTOR, NODE_KEYS, NOW, Chain, Rig, attestation, frame, vitals
from tools.collector import database, schema, status
from tools.collector.intake import Intake
from tools.collector.opening import open_store
from tools.collector.store import Store

V1 = (Path(__file__).parent / "collector_v1.sql").read_text(encoding="utf-8")


@pytest.fixture
def old(tmp_path, place):
    """What a version 1 collector left behind: (the place, a batch that it receipted, the receipt)."""
    rig = Rig(tmp_path / "new")
    chain = Chain()
    rig.receipt(chain.make([NODE_KEYS, frame(0), frame(1)]))
    message = chain.make([frame(1), frame(2, attestation([vitals(0), vitals(1)]))])
    receipt = rig.send(message)
    target = place or tmp_path / "collector.sqlite3"
    make_v1(target, rig.store.db)
    rig.store.close()
    return target, message, receipt


def make_v1(target: "Path | str", source: database.Sqlite) -> None:
    db = database.Postgres(target) if isinstance(target, str) else database.Sqlite(target)
    db.begin()
    for statement in schema.statements(V1, db.dialect):
        db.execute(statement)
    for table in ("nodes", "chains", "batches", "frames", "statements", "repeats", "attestations"):
        names = [row[0] for row in db.execute(f"SELECT * FROM {table}").description]
        marks = ", ".join("?" * len(names))
        for row in source.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall():
            db.execute(f"INSERT INTO {table} VALUES ({marks})", row)
    for name, cause, n in source.execute("SELECT name, cause, n FROM counters").fetchall():
        db.execute("INSERT INTO counters VALUES (?, ?, ?)", (name, cause, n))
    db.set_version(1)
    db.commit()
    db.close()


def test_version_1_is_brought_up(tmp_path, old):
    target, message, receipt = old
    rig = Rig(tmp_path, target if isinstance(target, str) else None)
    assert rig.store.db.version() == schema.VERSION
    assert rig.verify().sound, rig.verify().problems
    assert rig.send(message) == receipt
    facts = rig.status
    assert (facts["batches"], facts["frames"], facts["duplicates"]) == (2, 3, 1)
    assert list(facts["heard_ms"].values()) == [NOW + 5]
    kinds = rig.store.db.execute("SELECT kind, count(*) FROM statements GROUP BY kind").fetchall()
    assert [tuple(row) for row in kinds] == [(1, 1)]
    rig.store.close()


def test_a_collector_that_starts_on_an_old_file_keeps_it(tmp_path):
    rig = Rig(tmp_path / "new")
    rig.receipt(Chain().make([frame(0)]))
    make_v1(tmp_path / "collector.sqlite3", rig.store.db)
    rig.store.close()
    store, said = open_store(tmp_path / "collector.sqlite3", NOW)
    assert (said, status.summary(store, NOW)["batches"]) == ("", 1)
    store.close()


def test_a_failure_on_the_way_leaves_the_old_one(tmp_path, old, monkeypatch):
    target, message, receipt = old
    with monkeypatch.context() as m:
        m.setattr("tools.collector.migrations._file_statements", lambda _db: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Store(target)
    store = Store(target)
    rig = Rig(tmp_path / "again")
    (reply,) = Intake(store, COLLECTOR, rig.trust).handle(
        f"vitalwire/1/{next(iter(store.heard())).hex()}/batch", message
    )
    assert reply.payload == receipt
    rig.store.close()
    store.close()


def test_a_reader_leaves_an_old_file_to_the_collector(tmp_path):
    with sqlite3.connect(tmp_path / "old") as db:
        db.executescript(f"{V1} PRAGMA user_version=1")
    db.close()
    with pytest.raises(Exception, match="start the collector once"):
        Store(tmp_path / "old", read_only=True)
