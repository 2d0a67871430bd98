"""The store on disks that fail: power cuts at any write, no room, no writes."""

import os
import subprocess
import sys

import pytest

from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.opening import open_store
from tests.edge_agent.store_kit import AGENT, frame
from tools.faults.disk import Disk, beneath

CUTS = 100


def test_whatever_was_acknowledged_survives_a_power_cut_at_any_write():
    """In a process of its own: what a cut leaves open must not reach other tests."""
    command = [sys.executable, "-m", "tools.faults", "--cuts", str(CUTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0 and f"{CUTS} power cuts" in done.stdout, done.stdout + done.stderr


@pytest.fixture
def disk():
    with Disk("failing") as disk, beneath(disk.name):
        yield disk


def test_a_full_disk_acknowledges_nothing_and_goes_on_by_itself(tmp_path, disk):
    path = tmp_path / "agent.db"
    store, _ = open_store(path, AGENT, 1)
    store.commit([frame(0)])
    disk.room = 100_000
    kept = 1
    with pytest.raises(StoreUnwritable, match="full") as caught:
        while True:
            store.commit([frame(kept + n, text=os.urandom(500)) for n in range(20)])
            kept += 20
    assert "free some space" in caught.value.hint and kept > 20
    with pytest.raises(StoreUnwritable):
        store.new_data_key(b"node-one", None, 5)
    disk.room = None
    store.commit([frame(kept)])
    store.close()
    again, opening = open_store(path, AGENT, 2)
    assert again.frames == kept + 1 and not opening.message
    again.close()


def test_a_disk_that_takes_no_writes_any_more_is_survived(tmp_path, disk):
    path = tmp_path / "agent.db"
    store, _ = open_store(path, AGENT, 1)
    store.commit([frame(n) for n in range(50)])
    disk.read_only = True
    for _ in range(3):
        with pytest.raises(StoreUnwritable):
            store.commit([frame(50)])
    assert store.frames == 50 and len(store.ledger().rows) == 1
    disk.read_only = False
    store.commit([frame(50)])
    store.close()
    again, opening = open_store(path, AGENT, 2)
    assert again.frames == 51 and not opening.message
    again.close()


def test_a_slow_disk_is_only_slow(tmp_path, disk):
    disk.fsync_s = 0.01
    store, _ = open_store(tmp_path / "agent.db", AGENT, 1)
    store.commit([frame(100)])
    before = disk.syncs
    store.commit([frame(n) for n in range(100)])
    assert disk.syncs == before + 1, "one sync a group"
    store.close()
