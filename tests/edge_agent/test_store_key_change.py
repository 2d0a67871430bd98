"""Another key for the store: cut off at any step the store opens, and what was begun is ended."""

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_agent.store import backup, check_file, key_change, key_files
from edge_agent.store.database import connect
from edge_agent.store.errors import StoreError, StoreKeyError, StoreUnwritable
from edge_agent.store.keys import Source, source_beside, unlock
from edge_agent.store.opening import open_store
from tests.edge_agent.running import Kit, Running, wait_until
from tests.edge_agent.store_kit import AGENT, frame
from tools.cli import main
from tools.faults import steps

FRAMES = 40
# Every so many steps, beginning with another one each time; `make crash` takes them all.
STRIDE = 1 if os.environ.get("EVERY_STEP") else 10


def quiet(done: int, of: int) -> None:
    """Nobody looks on."""


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A folder with a store."""
    path = tmp_path_factory.mktemp("begun") / "agent.db"
    store, _ = open_store(path, AGENT, 1)
    store.commit([frame(n, text=b"a secret of the heart %d" % n) for n in range(FRAMES)])
    store.close()
    return path.parent


@pytest.fixture
def copies(begun, tmp_path):
    """Gives a new copy of it each time: the path of the store."""
    count = iter(range(1 << 20))

    def copy() -> Path:
        folder = tmp_path / f"copy-{next(count)}"
        shutil.copytree(begun, folder)
        return folder / "agent.db"

    return copy


def change(path: Path, then: Source | None = None) -> None:
    now = source_beside(path)
    key_change.rekey(path, now, key_change.new_key(path, now, then or now, 1_700_000_000_000), quiet)


def sound(path: Path, source: Source | None = None) -> None:
    """It opens with all that was in it, and nothing is left of a change."""
    store, opening = open_store(path, AGENT, 2, source)
    assert not opening.message and store.frames == FRAMES and store.ledger().balanced
    store.close()
    assert check_file.change(path) is None
    # What a write was cut off in, the next write of that file removes.
    begun = [one for one in path.parent.iterdir() if "rekey" in one.name and not one.suffix[1:].isdecimal()]
    assert not begun


def opens(path: Path, key: bytes) -> bool:
    """Whether the file itself is under that key."""
    try:
        with closing(connect(path, key, read_only=True)) as db:
            return db.value("SELECT count(*) FROM journal") == FRAMES
    except Exception:
        return False


def test_a_new_key_takes_the_place_of_the_old_one_which_is_kept_for_backups(copies):
    path = copies()
    old, old_text = unlock(path), path.with_name("store.key").read_bytes()
    copy = path.with_name("backup.db")
    backup.export(path, copy, source_beside(path), quiet)
    change(path)
    new = unlock(path)
    assert new != old and opens(path, new) and not opens(path, old)
    sound(path)
    (kept,) = key_files.old_files(path.with_name("store.key"))
    assert kept.name == "store.old-1.key" and kept.read_bytes() == old_text
    assert kept.stat().st_mode & 0o777 == path.with_name("store.key").stat().st_mode & 0o777 == 0o600
    assert unlock(copy, Source(kept)) == old and opens(copy, old)
    change(path)
    assert [one.name for one in key_files.old_files(path.with_name("store.key"))] == [
        "store.old-1.key",
        "store.old-2.key",
    ]
    sound(path)


def test_from_a_file_to_a_passphrase_and_on_to_another_file(copies):
    path = copies()
    passphrase = path.with_name("passphrase")
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o600)
    said, other = Source(path.with_name("store.key"), None, passphrase), Source(path.with_name("other.key"))
    assert not key_change.is_under(path, said) and not key_change.is_under(path, other)
    change(path, said)
    assert key_change.is_under(path, said)
    sound(path, said)
    with pytest.raises(StoreKeyError, match="it was changed on 2023-11-14"):
        open_store(path, AGENT, 2)
    key_change.rekey(path, said, key_change.new_key(path, said, other, 5), quiet)
    assert key_change.is_under(path, other) and not key_change.is_under(path, said)
    with pytest.raises(StoreKeyError, match="no passphrase"):
        open_store(path, AGENT, 2, said)
    sound(path, other)
    assert path.with_name("store.key").exists(), "what was not in the way is as it was"


def points(copies, stride: int = STRIDE, syncs: bool = False) -> list[int]:
    path = copies()
    return steps.points(steps.counted(path.parent, lambda: change(path), syncs), stride)


def test_killed_at_any_step_it_opens_and_the_next_start_ends_it(copies):
    outcomes = set()
    for n in points(copies):
        path = copies()
        old = unlock(path)
        assert steps.killed(path.parent, n, lambda path=path: change(path)), n
        # Whoever only reads finds the right one too, and changes nothing.
        outcomes.add(unlock(path) == old)
        assert opens(path, unlock(path))
        sound(path)
    assert outcomes == {True, False}, "before the new file was in place, and after"


def test_a_power_cut_at_any_step_leaves_one_that_opens(copies, tmp_path):
    outcomes = set()
    for n in points(copies, syncs=True):
        path, left = copies(), tmp_path / f"left-{n}"
        old = unlock(path)
        assert steps.cut(path.parent, n, lambda path=path: change(path), left, n), n
        outcomes.add(unlock(left / path.name) == old)
        sound(left / path.name)
    assert outcomes == {True, False}


@pytest.mark.parametrize(("text", "mode"), [("", 0o600), ("ab" * 32, 0o644), ("no key", 0o600)])
def test_what_is_left_of_a_new_key_before_anything_is_under_it_stops_no_start(copies, text, mode):
    path = copies()
    new = key_files.new_file(path.with_name("store.key"))
    new.write_text(text)
    new.chmod(mode)
    sound(path)
    assert not new.exists()


def test_on_a_full_disk_it_says_how_much_room_it_needs_and_nothing_has_changed(copies):
    refused = 0
    for n in points(copies):
        path = copies()
        old = unlock(path)
        error = steps.full(path.parent, n, lambda path=path: change(path))
        assert isinstance(error, StoreUnwritable | OSError), error
        if isinstance(error, StoreUnwritable):
            refused += 1
            assert "make room" in str(error) and "bytes" in str(error) and unlock(path) == old
        sound(path)
    assert refused


def test_with_a_passphrase_to_come_exactly_one_of_the_two_opens_it(copies):
    outcomes = set()
    # A passphrase takes a while to be stretched, several times for each of these.
    for n in points(copies, 8 * STRIDE)[::3]:
        path = copies()
        passphrase = path.with_name("passphrase")
        passphrase.write_text("correct horse\n")
        passphrase.chmod(0o600)
        now, then = source_beside(path), Source(path.with_name("store.key"), None, passphrase)
        if not steps.killed(path.parent, n, lambda path=path, then=then: change(path, then)):
            continue
        outcomes.add(key_change.is_under(path, then))
        right, wrong = (then, now) if key_change.is_under(path, then) else (now, then)
        with pytest.raises(StoreKeyError):
            unlock(path, wrong)
        sound(path, right)
    assert outcomes


def test_first_bytes_of_neither_key_set_nothing_aside(copies):
    path = copies()
    check_file.write(
        path,
        check_file.described(unlock(path))
        | {"begins": "00", "next": check_file.described(os.urandom(32)) | {"begins": "11"}},
    )
    before = path.read_bytes()
    with pytest.raises(StoreKeyError, match="neither") as caught:
        open_store(path, AGENT, 2)
    assert "backup" in caught.value.hint and path.read_bytes() == before


READER = """
import sys
from pathlib import Path
from edge_agent.store.database import connect
from edge_agent.store.keys import unlock
path = Path(sys.argv[1])
db = connect(path, unlock(path), read_only=True)
db.execute("BEGIN")
db.execute("SELECT * FROM meta").fetchall()
print("reading", flush=True)
sys.stdin.read()
"""


def test_a_reader_is_named_and_nothing_has_changed(copies, monkeypatch):
    monkeypatch.setattr("edge_agent.store.database.BUSY_MS", 50)
    path = copies()
    old, pipe = unlock(path), subprocess.PIPE
    command = [sys.executable, "-c", READER, str(path)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=Path(__file__).parents[2]) as reader:
        assert reader.stdout is not None and reader.stdout.readline() == b"reading\n"
        with pytest.raises(StoreError, match="another program reads it"):
            change(path)
        reader.communicate()
    assert unlock(path) == old
    sound(path)


# The command


@pytest.fixture
def kit(tmp_path):
    """A state directory in which an agent has run."""
    kit = Kit(tmp_path)
    (kit.folder / "agent.toml").write_text('[agent]\nstate_dir = "."\n')
    with Running(kit.config()) as running:
        wait_until(lambda: running.agent.working, "the agent at work")
    return kit


def typed(kit: Kit, *words: str, fails: bool = False) -> str:
    result = CliRunner().invoke(
        main, ["store", "rekey", *words, "--config", str(kit.folder / "agent.toml")], catch_exceptions=False
    )
    assert bool(result.exit_code) == fails, result.output
    return result.output


def test_the_command_says_what_is_done_and_what_to_do(kit):
    path = kit.folder / "agent.db"
    old = unlock(path)
    said = typed(kit)
    assert "under a new key" in said and "back up" in said and "store.old-1.key" in said
    assert unlock(path) != old
    with Running(kit.config()) as running:
        wait_until(lambda: running.agent.working, "the agent at work")
        assert "another agent" in typed(kit, fails=True)
    other = kit.folder / "other.key"
    said = typed(kit, "--key-file", str(other))
    assert f'key_file = "{other}"' in said and other.stat().st_mode & 0o777 == 0o600
    said = typed(kit, "--key-file", str(other))
    assert "already" in said and "nothing to do" in said and f'key_file = "{other}"' in said
    assert "it was changed on" in typed(kit, fails=True)
    assert "one new key at a time" in typed(kit, "--key-file", "a", "--credential", "b", fails=True)
    with (kit.folder / "agent.toml").open("a") as config:
        config.write(f'[store]\nkey_file = "{other}"\n')
    actions = CliRunner().invoke(main, ["audit", "--config", str(kit.folder / "agent.toml")]).output
    assert actions.count("rekey_store") == 2


def test_the_command_ends_what_was_cut_off(kit, monkeypatch):
    path = kit.folder / "agent.db"
    old = unlock(path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(key_change, "settle", killed)
        with pytest.raises(KeyboardInterrupt):
            change(path)
    assert unlock(path) != old and key_files.new_file(path.with_name("store.key")).exists()
    said = typed(kit)
    assert "it is done now" in said and "store.old-1.key" in said
    assert unlock(path) != old and not key_files.new_file(path.with_name("store.key")).exists()


def test_the_command_leaves_a_damaged_store_as_it_is(kit):
    path = kit.folder / "agent.db"
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(bytes(100))
    before = path.read_bytes()
    assert "damaged" in typed(kit, fails=True)
    assert path.read_bytes() == before and not path.with_name("agent.db.corrupt-1").exists()


def test_a_key_that_no_command_can_change_has_to_be_named(kit):
    (kit.folder / "agent.toml").write_text('[agent]\nstate_dir = "."\n[store]\ncredential = "c"\n')
    assert "--credential" in typed(kit, fails=True)


def test_a_new_key_that_cannot_be_read_is_said_and_is_no_change_in_the_log(kit):
    gone = kit.folder / "passphrase"
    said = typed(kit, "--passphrase-file", str(gone), fails=True)
    assert f"make {gone} first, mode 0600" in said and "begin a new one" not in said
    gone.touch(mode=0o600)
    assert f"make {gone} first" in typed(kit, "--passphrase-file", str(gone), fails=True)
    assert "is no folder" in typed(kit, "--key-file", str(kit.folder / "no" / "key"), fails=True)
    actions = CliRunner().invoke(main, ["audit", "--config", str(kit.folder / "agent.toml")]).output
    assert "rekey_store" not in actions


def test_a_copy_from_before_a_change_names_the_key_that_opens_it(copies):
    path = copies()
    before = {one: one.read_bytes() for one in path.parent.glob("agent.db*")}
    old = unlock(path)
    change(path)
    for one, data in before.items():
        one.write_bytes(data)
    key = path.with_name("store.old-1.key")
    with pytest.raises(StoreKeyError) as e:
        unlock(path)
    assert f'{key} opens it: under [store] write key_file = "{key}"' in e.value.hint
    assert unlock(path, Source(key)) == old
