"""What the agent and the collector keep is their owner's alone, whatever the umask."""

import os
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.errands import IDENTIFY, Errands
from edge_agent.files import write_atomically
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import Kit, Running, wait_until
from tests.edge_agent.test_cli import typed, written
from tools.collector.opening import open_store as open_collector

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")


@pytest.fixture(autouse=True)
def generous():
    """The umask that gives away the most."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize("there", [False, True])
def test_folder_store_and_status(tmp_path, there):
    folder, kit = tmp_path / "deep" / "state", Kit(tmp_path / "keys")
    if there:
        folder.mkdir(parents=True)
        folder.chmod(0o750)
    errands = Errands(folder / "errands")
    with Running(replace(kit.config(), state_dir=folder)):
        wait_until((folder / "status.json").exists, "a status")
        errand = errands.put(IDENTIFY, bytes(8), 1 << 42)
        wait_until(lambda: errands.answer_to(errand), "an answer")
        found = modes(folder)
    assert modes(folder.parent) == {"state": 0o750 if there else 0o700}, "an owner's own choice stays"
    assert found.pop("errands") == 0o700 and modes(folder / "errands").popitem()[1] == 0o600
    assert {"agent.db", "agent.db-wal", "agent.db-mark", "agent.lock", "status.json"} <= found.keys()
    assert set(found.values()) == {0o600}, found


def test_keys_and_peers(tmp_path):
    kit = Kit(tmp_path / "state")
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
    assert modes(tmp_path) == {"state": 0o700}
    assert modes(kit.folder) == {
        "agent.key": 0o600,
        "agent.pub": 0o644,
        "peers.json": 0o600,
        "peers.lock": 0o600,
    }


SOMEBODY = 12_345


@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_beside_anothers_files_is_that_users(tmp_path):
    """Pairing and an agent of one's own with sudo, into a folder of the user whose agent is to read it."""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, SOMEBODY, SOMEBODY + 1)
    kit = Kit(home / "deep" / "state")
    with FakeNode(Pty(), agent=kit.identity) as node:
        kit.pair(node)
        config = written(kit, node.pipe.name)
        os.chown(config, SOMEBODY, SOMEBODY + 1)
        done = typed("identify", "--config", config, node.identity.id.hex())
        assert done.exit_code == 0, done.output
        errands = Errands(kit.folder / "errands")
        errand = errands.put(IDENTIFY, bytes(8), 1 << 42)
        errands.answer(errand, True, "")
    found = {path: (path.stat().st_uid, path.stat().st_gid) for path in home.rglob("*")}
    assert {"peers.json", "agent.lock", "agent.db", "agent.db-mark"} <= {path.name for path in found}
    assert set(found.values()) == {(SOMEBODY, SOMEBODY + 1)}, found


@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root makes files for others")
def test_a_file_of_anothers_in_roots_folder_stays_that_users(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.chown(path, SOMEBODY, SOMEBODY + 1)
    write_atomically(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid, path.read_bytes()) == (SOMEBODY, SOMEBODY + 1, b"new")
    write_atomically(tmp_path / "roots", b"")
    assert (tmp_path / "roots").stat().st_uid == 0


def test_the_collectors_store(tmp_path):
    store, _ = open_collector(tmp_path / "state" / "collector.sqlite3", 0)
    with closing(store.db), store.transaction():
        found = modes(tmp_path / "state")
    assert modes(tmp_path) == {"state": 0o700}
    assert len(found) == 3 and set(found.values()) == {0o600}, found
