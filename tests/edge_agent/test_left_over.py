"""What an erasure leaves in other stores is named, and destroyed where that is asked for."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent import config as configuration
from edge_agent.cli.people_asking import Book
from edge_agent.ops.doctor import GOOD, WARN
from edge_agent.people import left_over
from edge_agent.people.left_over import LeftOver, Note, destroy, find, set_aside
from edge_agent.store import database, keys
from tests.edge_agent.running import Kit
from tests.edge_agent.test_cli_people import Desk
from tests.edge_agent.test_doctor import found, has, patient

WORDS = "a word to be found"


class Place(Desk):
    """A machine with a person of whom something was typed."""

    def __init__(self, folder: Path) -> None:
        self.kit = Kit(folder)
        folder.chmod(0o700)
        super().__init__(self.kit)
        self.store = folder / "agent.db"
        self("operator", "new", "home")
        self.person = self("person", "new", "--alias", "Ada").strip()
        self("note", self.person, "spo2_percent=97", "--note", WORDS)

    def damaged(self) -> Path:
        """The store is set aside; its content is sound, so that what is in it can be seen."""
        aside = self.store.with_name("agent.db.corrupt-1")
        shutil.copy(self.store, aside)
        with self.store.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(4096))
        self.store.with_name("agent.db-mark").unlink(missing_ok=True)
        self("note", self.person, "rr_ms=812", "--at", "2020-11-22")
        return aside

    def left(self) -> list[tuple[str, str]]:
        config = configuration.load(Path(self.config))
        book = Book(config)
        return [(one.path.name, one.why) for one in find(config, book.state, bytes.fromhex(self.person))]

    def erase(self, *more: str, good: bool = True) -> str:
        return self("erase", self.person, *more, "--confirm", self.person, good=good)

    def logged(self, what: str) -> list[dict]:
        return [line["more"] for line in self.log() if line["what"] == what]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_store_that_was_set_aside_is_named_and_stays_until_that_is_asked_for(place) -> None:
    aside = place.damaged()
    # The store itself was damaged, too, and set aside beside it.
    other = place.store.with_name("agent.db.corrupt-2")
    assert set_aside(place.store) == [aside, other]
    assert place.left()[0] == ("agent.db.corrupt-1", "they are in it, and their key")
    said = place.erase()
    assert "1 entry" in said and f"NOT erased: {aside}: they are in it" in said
    assert f"vitalwire erase {place.person} --set-aside" in said
    assert aside.exists() and str(aside) in place.logged("not erased")[0]["files"]
    who = patient(place.kit)
    assert has(found(who, "erased"), WARN, "agent.db.corrupt-1: they are in it")
    log = aside.with_name(aside.name + "-wal")
    log.write_bytes(b"what was not folded in")
    held = aside.open("rb")
    said = place.erase("--set-aside")
    assert "destroyed whole" in said and "NOT erased" not in said
    assert not aside.exists() and not log.exists() and not other.exists()
    assert set(held.read()) == {0}, "it was written over"
    held.close()
    assert len(place.logged("erase")) == 1 and len(place.logged("store destroyed")) == 2
    nothing = f"of person {place.person}, who was erased, nothing is in other files that are known here"
    assert found(who, "erased") == [(GOOD, nothing)]
    assert "nothing was destroyed" in place.erase("--set-aside", good=False)


def test_a_copy_that_was_made_is_named_wherever_it_is(place, tmp_path) -> None:
    place("store", "export", str(tmp_path / "one.db"))
    place("store", "export", str(tmp_path / "two.db"))
    shutil.move(tmp_path / "two.db", tmp_path / "elsewhere.db")
    said = place.erase("--set-aside")
    assert f"NOT erased: {tmp_path}/one.db: they are in it" in said
    assert f"NOT erased: {tmp_path}/two.db: it is not there now" in said
    place("store", "export", str(tmp_path / "after.db"))
    assert [name for name, _ in place.left()] == ["one.db", "two.db"], "a copy from after it has nothing"
    findings = found(patient(place.kit), "erased")
    assert has(findings, WARN, "one.db") and has(findings, WARN, "two.db") and len(findings) == 2
    said = place.erase("--copies")
    assert "destroyed" in said and not (tmp_path / "one.db").exists()
    assert not (tmp_path / "one.db-check").exists() and (tmp_path / "after.db").exists()
    findings = found(patient(place.kit), "erased")
    assert has(findings, GOOD, "nothing is in other files"), "one is destroyed, one was noted as gone"
    assert f"noted as gone: {tmp_path}/two.db" in said and place.left() == []
    shutil.move(tmp_path / "elsewhere.db", tmp_path / "two.db")
    assert [name for name, _ in place.left()] == ["two.db"], "it is there again"
    held = place("store", "export", str(tmp_path / "last.db"))
    assert "not noted" not in held


def test_a_store_of_which_nothing_is_known_is_thought_of_as_theirs(place) -> None:
    aside = place.store.with_name("agent.db.corrupt-7")
    aside.write_bytes(b"nothing that opens" * 500)
    only_log = place.store.with_name("agent.db.corrupt-8-wal")
    only_log.write_bytes(b"\0")
    place.store.with_name("agent.db.corrupt-x").write_bytes(b"")
    assert [why for _, why in place.left()] == ["it cannot be opened here, so they may be in it"] * 2
    place.erase("--set-aside")
    assert not aside.exists() and not only_log.exists()


def test_a_store_from_before_their_time_is_left_alone(place) -> None:
    aside = place.store.with_name("agent.db.corrupt-1")
    shutil.copy(place.store, aside)
    db = database.connect(aside, keys.unlock(place.store))
    db.execute("DELETE FROM data_keys")
    db.execute("DELETE FROM records")
    db.close()
    assert place.left() == []
    assert has(found(patient(place.kit), "erased"), GOOD, "1 damaged store is set aside")
    place.erase("--set-aside")
    assert aside.exists()


def test_frames_of_a_node_that_was_theirs_count(place) -> None:
    node = "0123456789abcdef"
    (place.kit.folder / "peers.json").unlink(missing_ok=True)
    aside = place.store.with_name("agent.db.corrupt-1")
    shutil.copy(place.store, aside)
    db = database.connect(aside, keys.unlock(place.store))
    db.execute("DELETE FROM data_keys")
    db.execute("DELETE FROM records")
    db.execute("INSERT INTO boots(id, node, boot) VALUES(1, ?, zeroblob(12))", (bytes.fromhex(node),))
    db.execute("INSERT INTO journal(kind, boot, seq, data, made_ms) VALUES(0, 1, 0, x'77', 5)")
    db.execute(
        "INSERT INTO records(record_id, sort, person, node, by, made_ms, record) "
        "VALUES(x'01', 'assignment', ?, ?, x'', 0, x'')",
        (bytes.fromhex(place.person), bytes.fromhex(node)),
    )
    db.close()
    assert place.left() == [("agent.db.corrupt-1", "frames of a node that was theirs are in it")]


def test_a_link_is_not_followed_and_the_stores_after_it_are_destroyed(place, tmp_path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"somebody else's")
    link, aside = tmp_path / "agent.db.corrupt-1", tmp_path / "agent.db.corrupt-2"
    link.symlink_to(other)
    aside.write_bytes(b"nothing that opens")
    config = configuration.load(Path(place.config))
    with pytest.raises(OSError, match="link"):
        destroy(config, LeftOver(link, "they may be in it"))
    said = place.erase("--set-aside")
    assert f"NOT erased: {link}: they may be in it; it is a link" in said and not aside.exists()
    assert other.read_bytes() == b"somebody else's" and link.is_symlink()


def test_what_cannot_be_destroyed_is_told_at_the_end_of_the_rest(place, monkeypatch) -> None:
    first, second = (place.store.with_name(f"agent.db.corrupt-{n}") for n in (1, 2))
    for one in (first, second):
        one.write_bytes(b"nothing that opens")
    whole = left_over.destroy

    def refused(config, one) -> None:
        if one.path == first:
            raise OSError(30, "Read-only file system", str(first))
        whole(config, one)

    monkeypatch.setattr(left_over, "destroy", refused)
    said = place.erase("--set-aside", good=False)
    assert f"NOT destroyed: {first}: Read-only file system" in said and f"destroyed: {second}" in said
    assert "1 store could not be destroyed" in said and first.exists() and not second.exists()


def test_the_live_store_is_never_taken_for_a_copy_or_a_damaged_store(place, tmp_path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    place("store", "export", str(stick / "agent.db"))
    shutil.rmtree(stick)
    stick.symlink_to(tmp_path)
    second = place.store.with_name("agent.db.corrupt-1")
    second.hardlink_to(place.store)
    said = place.erase("--copies", "--set-aside")
    assert "its folder is a link to another now" in said and "a file that this agent lives by" in said
    # The state directory is where the copy was made.
    stick.unlink()
    shutil.copytree(tmp_path, stick)
    (stick / "agent.db.corrupt-1").unlink()
    config = configuration.load(Path(place.config))
    note = Note(stick / "agent.db", (stick / "agent.db").read_bytes()[:16].hex(), place.store.stat().st_size)
    with pytest.raises(OSError, match="own store"):
        destroy(replace(config, state_dir=stick), LeftOver(note.path, "", note))
    with pytest.raises(OSError, match="lives by"):
        destroy(config, LeftOver(second, ""))
    assert "1 line" in place("audit", "--what", "erase"), "the store opens"


def refuse(descriptor: int) -> None:
    if os.fstat(descriptor).st_size > 1 << 16:
        raise OSError(5, "cut off here")


def test_only_the_copy_itself_is_written_over(place, tmp_path, monkeypatch) -> None:
    names = ("other", "longer", "linked", "cut off")
    made = {name: tmp_path / f"{name}.db" for name in names}
    for path in made.values():
        place("store", "export", str(path))
    made["other"].write_bytes(b"somebody's thesis" * 1000)
    with made["longer"].open("ab") as file:
        file.write(bytes(4096))
    (tmp_path / "snapshot.db").hardlink_to(made["linked"])
    config = configuration.load(Path(place.config))
    with monkeypatch.context() as patched, pytest.raises(OSError, match="cut off here"):
        patched.setattr(os, "fsync", refuse)
        last = find(config, Book(config).state, bytes.fromhex(place.person))[-1]
        destroy(config, last)
    assert not any(made["cut off"].read_bytes()[16:]) and any(made["cut off"].read_bytes())
    before = {name: made[name].read_bytes() for name in names[:3]}
    said = place.erase("--copies")
    assert {name: made[name].read_bytes() for name in names[:3]} == before
    assert "other.db: another file is there now" in said and "longer.db: they are in it, and" in said
    assert "it was written to since it was made" in said and "a hard link" in said
    assert not made["cut off"].exists()
    assert [name for name, _ in place.left()] == ["longer.db", "linked.db"]


def test_a_copy_under_a_key_from_before_is_looked_into(place, tmp_path) -> None:
    place("store", "export", str(tmp_path / "before.db"))
    place.erase()
    place("store", "export", str(tmp_path / "after.db"))
    place("store", "rekey")
    assert place.left() == [("before.db", "they are in it, and their key")]
    (tmp_path / "store.old-1.key").rename(tmp_path / "elsewhere.key")
    other = place("person", "new", "--alias", "Bob").strip()
    place("erase", other, "--confirm", other)
    findings = found(patient(place.kit), "erased")
    assert [what.split(":")[0] for _, what in findings] == ["2 persons who were erased"] * 2
    assert has(findings, WARN, "after.db: it cannot be opened here")
