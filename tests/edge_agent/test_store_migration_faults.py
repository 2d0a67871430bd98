"""The update of an old store on a disk that is full, or whose power goes, at any of its steps."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from edge_agent.store.database import is_plain
from edge_agent.store.errors import StoreError, StoreUnwritable
from edge_agent.store.opening import open_store
from tests.edge_agent.store_kit import AGENT
from tests.edge_agent.store_v1 import make, whole
from tools.faults import steps
from tools.faults.disk import Disk, beneath

# Every so many steps, beginning with another one each time; `make crash` takes them all.
STRIDE = 1 if os.environ.get("EVERY_STEP") else 10


@pytest.fixture
def copies(tmp_path):
    """Gives a new copy of an old store each time: its path."""
    (tmp_path / "begun").mkdir()
    make(begun := tmp_path / "begun" / "agent.db")
    count = iter(range(1 << 20))

    def copy() -> Path:
        folder = tmp_path / f"copy-{next(count)}"
        shutil.copytree(begun.parent, folder)
        return folder / "agent.db"

    return copy


def update(path: Path) -> None:
    open_store(path, AGENT, 2)[0].close()


def points(copies, syncs: bool = False) -> list[int]:
    path = copies()
    return steps.points(steps.counted(path.parent, lambda: update(path), syncs), STRIDE)


def test_on_a_full_disk_it_says_what_to_do_and_leaves_the_old_one(copies):
    """Each write is the first one that finds no room: then the same start again, with room."""
    refused = 0
    for n in points(copies):
        path = copies()
        error = steps.full(path.parent, n, lambda path=path: update(path))
        if isinstance(error, StoreError):
            refused += 1
            assert isinstance(error, StoreUnwritable), "so the agent tries again by itself"
            assert ("make room" in error.hint and "as the store takes" in error.hint) or not is_plain(path)
            assert not path.with_name("agent.db.new").exists(), "it would take the room that is wanted"
        else:
            assert isinstance(error, OSError) and not is_plain(path), error
        whole(path)
    assert refused > 60 // STRIDE


def test_a_power_cut_at_any_step_leaves_one_that_opens(copies, tmp_path):
    outcomes = set()
    for n in points(copies, syncs=True):
        path, left = copies(), tmp_path / f"left-{n}"
        assert steps.cut(path.parent, n, lambda path=path: update(path), left, n), n
        outcomes.add(is_plain(left / path.name))
        whole(left / path.name)
    assert False in outcomes and True in outcomes, "before the new one was in place, and after"


def test_it_takes_no_more_room_than_the_store_does(tmp_path):
    path = tmp_path / "agent.db"
    make(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        rows = [(n, n, os.urandom(300)) for n in range(100, 12000)]
        db.execute("BEGIN")
        db.executemany("INSERT INTO journal VALUES(?, 0, 1, ?, ?, 7)", rows)
        db.execute("COMMIT")
    size = path.stat().st_size
    assert size > 3_000_000
    with Disk("room") as disk, beneath(disk.name):
        disk.room = size * 5 // 4
        store, _ = open_store(path, AGENT, 2)
        store.close()
    assert not is_plain(path)
