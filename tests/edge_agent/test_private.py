"""What the agent and the collector keep is their owner's alone, whatever the umask."""

import os
import stat
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent import files
from edge_agent.config import ConfigError
from edge_agent.files import ExposedError, make_folder, private, read_secret, write_atomically
from edge_agent.keys import PublicKeys
from edge_agent.nodes.errands import IDENTIFY, Errands
from edge_agent.nodes.peers import Peers
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
    found = {}
    for path in folder.iterdir():
        # What is being written is under another name a moment later.
        with suppress(FileNotFoundError):
            found[path.name] = stat.S_IMODE(path.stat().st_mode)
    return found


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


@pytest.mark.parametrize("dangling", [True, False])
def test_no_link_is_followed_to_what_is_written(tmp_path, dangling):
    kit, far = Kit(tmp_path / "state"), tmp_path / "far"
    if not dangling:
        far.write_bytes(b"precious")
    for name in ("peers.lock", "agent.lock", "agent.db-mark"):
        (kit.folder / name).symlink_to(far)
    with pytest.raises(OSError, match=r"peers\.lock is a link, and is not followed") as raised:
        Peers(kit.folder / "peers.json").add(PublicKeys(*kit.identity.public()))
    assert raised.value.filename == str(kit.folder / "peers.lock")
    error = Running(kit.config())
    with pytest.raises(ConfigError, match=r"agent\.lock is a link"), error:
        error.ended()
    (kit.folder / "agent.lock").unlink()
    with Running(kit.config()):
        wait_until(lambda: kit.status.get("state") == "running", "an agent without its mark")
    assert far.exists() is not dangling and (dangling or far.read_bytes() == b"precious")


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


@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_once_left_as_its_own_beside_anothers_files_is_given_too(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    for name in ("file", "lock", "theirs", "roots"):
        (home / name).write_bytes(b"old")
    os.chown(home, SOMEBODY, SOMEBODY + 1)
    os.chown(home / "theirs", SOMEBODY + 2, SOMEBODY + 2)
    os.link(home / "roots", tmp_path / "roots")
    write_atomically(home / "file", b"new")
    for name in ("lock", "theirs", "roots"):
        open(home / name, "r+b", opener=private).close()
    found = {path.name: path.stat().st_uid for path in home.iterdir()}
    assert found == {"file": SOMEBODY, "lock": SOMEBODY, "theirs": SOMEBODY + 2, "roots": 0}


@pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root makes files for others")
def test_a_link_that_takes_a_new_folders_place_is_given_nothing(tmp_path, monkeypatch):
    home, far, whole = tmp_path / "home", tmp_path / "far", Path.mkdir
    home.mkdir()
    far.mkdir()
    os.chown(home, SOMEBODY, SOMEBODY)

    def mkdir(self: Path, *words: Any, **more: Any) -> None:
        whole(self, *words, **more)
        self.rmdir()
        self.symlink_to(far)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(OSError):
        make_folder(home / "state")
    assert far.stat().st_uid == 0


def test_the_collectors_store(tmp_path):
    store, _ = open_collector(tmp_path / "state" / "collector.sqlite3", 0)
    with closing(store.db), store.transaction():
        found = modes(tmp_path / "state")
    assert modes(tmp_path) == {"state": 0o700}
    assert len(found) == 3 and set(found.values()) == {0o600}, found


NOBODY = 65534


@pytest.mark.parametrize(
    ("mode", "mine", "roots"),
    [(0o600, True, True), (0o400, True, True), (0o640, False, True), (0o440, False, True)]
    + [(mode, False, False) for mode in (0o644, 0o604, 0o660, 0o650, 0o606)],
)
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="makes a file of root's")
def test_whose_secrets_are_read(tmp_path, monkeypatch, mode, mine, roots):
    """Nobody but the user, and what root gives a group: to that group's, and to root's own commands."""
    file = tmp_path / "secret"
    file.write_bytes(b"word")
    for root, owner, group, good, right in (
        (True, 0, NOBODY, roots, 640),
        (False, 0, NOBODY, roots, 640),
        (True, 0, 0, roots, 600),
        (False, 0, 0, roots, 640),
        (True, NOBODY, NOBODY, mine, 600),
        (False, NOBODY, NOBODY, mine, 600),
    ):
        os.chown(file, owner, group)
        file.chmod(mode)
        monkeypatch.setattr(files, "_root", lambda root=root: root)
        if good:
            assert read_secret(file) == b"word"
            continue
        with pytest.raises(ExposedError) as refused:
            read_secret(file)
        assert refused.value.problem == f"others may read it (mode {mode:04o})"
        assert refused.value.hint.split(",")[0].endswith(f"chmod {right} {file}")
        assert ("chgrp" in refused.value.hint) == (not root and owner == group == 0)
        assert str(refused.value) == f"{file}: {refused.value.problem}: {refused.value.hint}"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_where_chmod_does_nothing_the_mount_is_named(tmp_path, monkeypatch):
    file = tmp_path / "secret"
    file.write_bytes(b"word")
    file.chmod(0o755)
    with pytest.raises(ExposedError, match=rf"chmod 600 {file}, or.*uid=.*umask=077"):
        read_secret(file)
    file.chmod(0o444)
    of = os.statvfs(file)
    monkeypatch.setattr(files.os, "statvfs", lambda _: os.statvfs_result((*of[:8], os.ST_RDONLY, of[9])))
    with pytest.raises(ExposedError, match=r"mounted read-only: .*uid=.*mode=0400") as refused:
        read_secret(file)
    assert "chmod" not in refused.value.hint
