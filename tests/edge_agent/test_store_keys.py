"""The store's key: where it comes from, and that a wrong one is never taken for damage."""

import os
import stat

import pytest

from edge_agent.store import keys
from edge_agent.store.errors import StoreError, StoreKeyError
from edge_agent.store.opening import open_store
from tests.edge_agent.store_kit import AGENT, frame


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "agent.db"


def secret(file, text):
    file.write_text(text)
    file.chmod(0o600)


def filled(path, source=None):
    store, opening = open_store(path, AGENT, 1, source)
    store.commit([frame(n, text=b"a secret of the heart %d" % n) for n in range(50)])
    store.close()
    return opening


def sound(path, source=None):
    store, opening = open_store(path, AGENT, 2, source)
    assert not opening.message and store.frames == 50
    store.close()


def refused(path, match, source=None):
    """Not opened; every file that was there is as it was."""
    before = {one.name: one.read_bytes() for one in path.parent.iterdir() if one.name != "agent.db-shm"}
    with pytest.raises(StoreKeyError, match=match) as caught:
        open_store(path, AGENT, 2, source)
    after = {one.name: one.read_bytes() for one in path.parent.iterdir() if one.name != "agent.db-shm"}
    assert after == before
    assert caught.value.hint


def test_a_key_is_made_once_and_is_its_owners_alone(path):
    filled(path)
    file = path.with_name("store.key")
    first = file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    sound(path)
    assert file.read_bytes() == first


def test_nothing_of_what_is_stored_is_on_the_disk_in_clear(path):
    store, _ = open_store(path, AGENT, 1)
    store.commit([frame(n, text=b"a secret of the heart %d" % n) for n in range(50)])
    for side in ("", "-wal"):
        data = path.with_name(path.name + side).read_bytes()
        assert b"secret of" not in data and b"CREATE TABLE" not in data and b"SQLite" not in data
    store.close()


def test_a_wrong_key_sets_nothing_aside(path):
    filled(path)
    path.with_name("store.key").write_text(os.urandom(32).hex())
    refused(path, "not the one that it was made with")


@pytest.mark.parametrize("content", [None, b"", b"xyz", b"00" * 31, b"\xff" * 64])
def test_a_key_file_that_is_gone_or_none_is_said_and_never_made_anew(path, content):
    filled(path)
    file = path.with_name("store.key")
    file.unlink() if content is None else file.write_bytes(content)
    refused(path, "key file")


def test_without_a_check_file_a_wrong_key_still_sets_nothing_aside(path):
    filled(path)
    check = keys.check_path(path)
    check.unlink()
    path.with_name("store.key").rename(path.with_name("right"))
    secret(path.with_name("store.key"), os.urandom(32).hex())
    refused(path, "no check file")
    path.with_name("right").replace(path.with_name("store.key"))
    sound(path)
    assert check.exists(), "the key that opened it is known again"


def test_with_the_right_key_a_broken_first_page_is_damage(path):
    filled(path)
    with path.open("r+b") as file:
        file.seek(200)
        file.write(b"x")
    store, opening = open_store(path, AGENT, 2)
    assert opening.set_aside is not None and "first page" in opening.message
    store.close()
    sound_again, opening = open_store(path, AGENT, 2)
    assert not opening.message
    sound_again.close()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604])
def test_a_key_file_that_others_may_read_is_not_used(path, mode):
    filled(path)
    file = path.with_name("store.key")
    file.chmod(mode)
    refused(path, rf"others may read it \(mode {mode:04o}\) \(chmod 600 {file}\)")
    file.chmod(0o600)
    sound(path)


@pytest.mark.parametrize("at", [100, 5000, 0.3, 0.5, 0.8, -1])
def test_one_flipped_bit_anywhere_is_found_and_set_aside(path, at):
    filled(path)
    size = path.stat().st_size
    place = int(size * at) if isinstance(at, float) else at % size
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 0x10]))
    store, opening = open_store(path, AGENT, 2)
    assert opening.set_aside is not None
    store.close()


def test_a_systemd_credential(path, tmp_path, monkeypatch):
    source = keys.Source(path.with_name("store.key"), credential="vitalwire.store")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(StoreKeyError, match="no systemd credentials"):
        open_store(path, AGENT, 1, source)
    secret(tmp_path / "vitalwire.store", os.urandom(32).hex() + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    filled(path, source)
    sound(path, source)
    assert not path.with_name("store.key").exists()


def test_a_passphrase(path, tmp_path):
    file = tmp_path / "passphrase"
    source = keys.Source(path.with_name("store.key"), passphrase_file=file)
    with pytest.raises(StoreKeyError, match="passphrase is gone"):
        open_store(path, AGENT, 1, source)
    secret(file, "correct horse battery staple\n")
    filled(path, source)
    sound(path, source)
    file.write_text("incorrect horse")
    refused(path, "not the one", source)
    file.write_text("correct horse battery staple")
    keys.check_path(path).unlink()
    refused(path, "salt", source)


def test_what_a_check_file_demands_is_bounded(path, tmp_path):
    file = tmp_path / "passphrase"
    secret(file, "x")
    source = keys.Source(path.with_name("store.key"), passphrase_file=file)
    filled(path, source)
    check = keys.check_path(path)
    check.write_text(check.read_text().replace("32768", str(1 << 40)))
    with pytest.raises(StoreError, match="none that are made here"):
        open_store(path, AGENT, 1, source)
