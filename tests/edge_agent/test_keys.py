"""Key files: owner only, never replaced, and readable by other tools."""

import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent import keys
from edge_agent.keys import KeyFileError


def test_made_and_read_back(tmp_path):
    path = tmp_path / "deep" / "agent.key"
    made = keys.create(path, "agent")
    assert keys.load(path).public() == made.public()
    assert keys.load_public(path.with_suffix(".pub")) == keys.PublicKeys(*made.public())
    assert keys.load_public(path.with_suffix(".pub")).id == made.id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_secret_outside_the_key_file(tmp_path):
    path = tmp_path / "agent.key"
    made = keys.create(path, "agent")
    public = path.with_suffix(".pub").read_bytes()
    assert b"PRIVATE" not in public and made.ed_seed.hex() not in repr(made)
    assert sorted(os.listdir(tmp_path)) == ["agent.key", "agent.pub"]


def test_keys_are_never_replaced(tmp_path):
    path = tmp_path / "agent.key"
    made = keys.create(path, "agent")
    with pytest.raises(KeyFileError, match="never replaced"):
        keys.create(path, "agent")
    assert keys.load(path).public() == made.public()
    assert keys.load_or_create(path, "agent").public() == made.public()


def test_two_are_never_the_same(tmp_path):
    assert keys.create(tmp_path / "a.key", "agent").id != keys.create(tmp_path / "b.key", "agent").id


def test_a_file_that_others_may_read_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "agent.key"
    keys.create(path, "agent")
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        keys.load(path)


def test_any_pem_reader_can_read_them(tmp_path):
    path = tmp_path / "agent.key"
    made = keys.create(path, "agent")
    first = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(first, Ed25519PrivateKey) and first.private_bytes_raw() == made.ed_seed


@pytest.mark.parametrize("cut", [0, 40, 120, 200, 300, -30])
def test_a_damaged_file_is_an_error_and_no_traceback(tmp_path, cut):
    path = tmp_path / "agent.key"
    keys.create(path, "agent")
    for file, read in ((path, keys.load), (path.with_suffix(".pub"), keys.load_public)):
        file.write_bytes(file.read_bytes()[:cut])
        with pytest.raises(KeyFileError):
            read(file)


def test_a_missing_public_half_is_made_again(tmp_path):
    path = tmp_path / "agent.key"
    made = keys.create(path, "agent")
    path.with_suffix(".pub").unlink()
    keys.load_or_create(path, "agent")
    assert keys.load_public(path.with_suffix(".pub")).id == made.id


def test_a_public_file_is_not_a_key_file(tmp_path):
    path = tmp_path / "agent.key"
    keys.create(path, "agent")
    os.chmod(path.with_suffix(".pub"), 0o600)
    with pytest.raises(KeyFileError, match="not a Vitalwire key file"):
        keys.load(path.with_suffix(".pub"))
    with pytest.raises(KeyFileError, match="no such file"):
        keys.load(tmp_path / "none.key")


def test_a_public_half_is_never_replaced_nor_taken_for_the_secret(tmp_path):
    with pytest.raises(KeyFileError, match=r"name it x\.key"):
        keys.create(tmp_path / "x.pub", "agent")
    other = tmp_path / "z.pub"
    other.write_text("somebody's")
    with pytest.raises(KeyFileError, match=r"z\.pub: exists already"):
        keys.create(tmp_path / "z.key", "agent")
    assert other.read_text() == "somebody's" and os.listdir(tmp_path) == ["z.pub"]


def test_what_is_no_key_file_is_called_so_before_its_mode(tmp_path):
    path = tmp_path / "hostname"
    path.write_text("kit-12")
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="not a Vitalwire key file"):
        keys.load(path)


def test_a_key_that_nothing_can_be_sealed_to_is_refused(tmp_path):
    made = keys.create(tmp_path / "a.key", "authority")
    path = tmp_path / "low.pub"
    keys.write_public(path, "authority", keys.PublicKeys(made.ed_pub, bytes(32)))
    with pytest.raises(KeyFileError, match="X25519"):
        keys.load_public(path)


def test_a_key_of_another_role_is_refused_where_the_role_matters(tmp_path):
    for role in ("agent", "authority"):
        keys.create(tmp_path / f"{role}.key", role)
    assert keys.load_public(tmp_path / "authority.pub", "authority")
    with pytest.raises(KeyFileError, match="keys new --role authority"):
        keys.load_public(tmp_path / "agent.pub", "authority")
