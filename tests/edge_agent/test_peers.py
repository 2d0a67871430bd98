"""The file of paired nodes, which commands and the agent change at the same time."""

import json
import threading
import time
from typing import Any

import pytest

from edge_agent import files, peers
from edge_agent.keys import PublicKeys
from edge_agent.lock import hold
from edge_agent.peers import Peers, PeersError
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
        (Peers(path).remove, [keys.id for keys in MANY[:4]]),
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
