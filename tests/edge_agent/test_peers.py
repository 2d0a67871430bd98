"""The file of paired nodes, which commands and the agent change at the same time."""

import json
import os
import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any

import pytest

from edge_agent import files
from edge_agent.keys import PublicKeys
from edge_agent.lock import hold, hold_soon
from edge_agent.nodes import peers
from edge_agent.nodes.peers import Peers, PeersError
from tests.edge_agent.fakes import identity

MANY = [PublicKeys(*identity(n).public()) for n in range(12)]


def test_changes_at_the_same_time_are_all_kept(tmp_path, monkeypatch):
    def slowly(*words: Any) -> None:
        time.sleep(0.005)
        files.write_atomically(*words)

    path = tmp_path / "peers.json"
    first = Peers(path)
    for keys in MANY[:4]:
        first.add(keys)
        first.part(keys.id, None)
    monkeypatch.setattr(peers, "write_atomically", slowly)
    monkeypatch.setattr(peers, "LOCK_S", 60)
    begin = threading.Barrier(3)
    failed: list[BaseException] = []

    def work(change: Any, each: list[Any]) -> None:
        try:
            begin.wait(60)
            for one in each:
                assert change(one)
        except BaseException as e:
            failed.append(e)

    jobs = [
        (Peers(path).add, MANY[4:8]),
        (Peers(path).add, MANY[8:]),
        (partial(Peers(path).remove, wait_s=60), [keys.id for keys in MANY[:4]]),
    ]
    threads = [threading.Thread(target=work, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed and Peers(path).ids() == sorted(keys.id for keys in MANY[4:])


def test_a_change_that_does_not_end_is_not_waited_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "LOCK_S", 0.1)
    some = Peers(tmp_path / "peers.json")
    with hold(tmp_path / "peers.lock"):
        with pytest.raises(PeersError, match="another process is changing it"):
            some.remove(MANY[0].id, 0.05)
    assert some.add(MANY[0]) and some.ids() == [MANY[0].id]


def test_only_a_node_that_was_parted_from_is_removed(tmp_path):
    some, order = Peers(tmp_path / "peers.json"), bytes(range(8))
    assert not some.part(MANY[0].id, order) and some.add(MANY[0]) and not some.add(MANY[0])
    assert not some.remove(MANY[0].id)
    assert some.part(MANY[0].id, order) and some.part(MANY[0].id, None)
    assert Peers(some.path).parted() == {MANY[0].id: order} and some.lookup(MANY[0].id) == MANY[0]
    assert some.add(MANY[0]) and some.parted() == {} and not some.remove(MANY[0].id)
    assert some.part(MANY[0].id, None) and some.remove(MANY[0].id) and some.ids() == []


@pytest.mark.parametrize("parted", [7, "xy", ["00"]])
def test_a_note_that_is_none_is_damage(tmp_path, parted):
    path = tmp_path / "peers.json"
    Peers(path).add(MANY[0])
    document = json.loads(path.read_bytes())
    document["nodes"][0]["parted"] = parted
    path.write_text(json.dumps(document))
    with pytest.raises(PeersError, match="damaged"):
        Peers(path)


def test_a_node_that_is_known_is_found_without_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "LOCK_S", 0)
    some = Peers(tmp_path / "peers.json")
    assert some.add(MANY[0])
    with hold(tmp_path / "peers.lock"):
        assert not some.add(MANY[0])
    assert some.part(MANY[0].id, None) and some.add(MANY[0])


def test_of_two_that_pair_with_a_node_at_a_time_one_is_told_that_it_was_known(tmp_path, monkeypatch):
    path, told = tmp_path / "peers.json", []

    def late(lock: Any, wait_s: float) -> Any:
        monkeypatch.setattr(peers, "hold_soon", hold_soon)
        told.append(Peers(path).add(MANY[0]))
        return hold_soon(lock, wait_s)

    monkeypatch.setattr(peers, "hold_soon", late)
    assert not Peers(path).add(MANY[0]) and told == [True]


def test_two_changes_within_a_tick_of_the_disks_clock_are_both_kept(tmp_path):
    path = tmp_path / "peers.json"
    some = Peers(path)
    some.add(MANY[0])
    before = path.stat()
    other = Peers(tmp_path / "other.json")
    other.add(MANY[1])
    path.write_bytes(other.path.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (before.st_ino, before.st_size, before.st_mtime_ns) == (
        after.st_ino,
        after.st_size,
        after.st_mtime_ns,
    )
    some.add(MANY[2])
    assert set(some.ids()) == {MANY[1].id, MANY[2].id}


@pytest.mark.skipif(os.name != "posix", reason="whether a process lives is not asked elsewhere")
def test_what_a_killed_process_had_begun_to_write_is_swept(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    names = [f".peers.json.{pid}" for pid in (ended.pid, 1 << 80, os.getpid(), os.getppid(), 0)]
    names += [".peers.json.x", f".peers.jso.{ended.pid}", f"peers.json.{ended.pid}", f"{ended.pid}"]
    for name in names:
        (tmp_path / name).write_text("{")
    some = Peers(tmp_path / "peers.json")
    some.add(MANY[0])
    assert [name for name in names if (tmp_path / name).exists()] == names[3:]
    for name in names[3:]:
        os.utime(tmp_path / name, (1, 1))
    some.add(MANY[1])
    assert [name for name in names if (tmp_path / name).exists()] == names[5:]
