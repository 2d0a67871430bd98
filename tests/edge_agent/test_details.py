"""What statements say of a person: a salted hash; the rest is sealed, shown here, and erasable."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.custody import audit
from edge_agent.custody.verify import verify
from edge_agent.keys import PublicKeys
from edge_agent.people.erasure import Erasure
from edge_agent.people.operators import Operators
from edge_agent.people.records import People
from edge_agent.store import details
from edge_agent.store.rows import SealBroken
from protocol import cbor, crypto, frames, remote
from tests.edge_agent.command_world import AGENT, BOOT, NODE, UNIX_MS, World
from tests.edge_agent.people_kit import ADA, BOB, OPERATOR, assigned, erased

WORDS = "fell in the bath"
LIMITS = {frames.SET_LIMITS: [[frames.EVENT_SPO2_LOW, 880, 15]]}
OTHERS = {frames.SET_LIMITS: [[frames.EVENT_SPO2_LOW, 850, 15]]}


class PeopleWorld(World):
    """A node that is assigned by records."""

    def start(self) -> None:
        super().start()
        operators = Operators(self.folder / "operators")
        if not operators.all():
            operators.add("ward", PublicKeys(*OPERATOR.public()))
        self.people = People(self.store, operators)

    def person_at(self, node: bytes, at_ms: int) -> bytes | None:
        return self.people.person_at(node, at_ms)

    def assign(self, person: bytes, from_ms: int, to_ms: int | None = None) -> None:
        self.people.put(assigned(person, from_ms, to_ms, NODE.id, made_ms=self.unix_ms()), self.unix_ms())

    def erase(self, person: bytes) -> int:
        self.people.put(erased(person, self.unix_ms()), self.unix_ms())
        erasure = Erasure(self.store, self.people.state, person)
        while erasure.step():
            pass
        return erasure.erased

    def carried_out(self, operation: str, **more: Any) -> remote.Command:
        command = self.command(operation, **more)
        self.ask(self.signed(command) if command.for_node else command)
        self.step(3)
        return command

    def texts(self) -> list[str]:
        rows = self.store.db.execute("SELECT hash FROM details").fetchall()
        return [str(details.read(self.store.db, told)) for (told,) in rows]

    def journal(self) -> bytes:
        rows = self.store.db.execute("SELECT data FROM journal WHERE kind = 3").fetchall()
        return b"\n".join(data for (data,) in rows)


@pytest.fixture
def world(tmp_path: Path):
    made = PeopleWorld(tmp_path)
    yield made
    made.stop()


def without_hash(world: World) -> list[tuple[str, dict[str, Any]]]:
    return [(code, {**detail, "details": b""}) for code, detail in world.stated()]


@pytest.mark.parametrize(
    ("operation", "one", "other"),
    [
        (remote.MARK, {"arguments": {1: WORDS}}, {"arguments": {1: "slept well"}}),
        (remote.IDENTIFY, {"reason": WORDS}, {"reason": "slept well"}),
        (remote.LIMITS, {"arguments": LIMITS}, {"arguments": OTHERS}),
        (remote.BP, {"arguments": {1: 1}}, {"arguments": {1: 2}}),
        (remote.STRIP, {"arguments": {1: 0, 2: 30}}, {"arguments": {1: 1, 2: 40}}),
        ("x", {"operation": WORDS}, {"operation": "slept well"}),
    ],
)
def test_a_statement_is_the_same_whatever_is_said_in_it(
    tmp_path: Path, operation: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    """But for the hash: so nothing but the hash depends on it, neither a digest nor a signature."""
    key, said = os.urandom(8), []
    for n, more in enumerate((one, other)):
        folder = tmp_path / str(n)
        folder.mkdir()
        world = PeopleWorld(folder)
        world.carried_out(**{"operation": operation, "command_id": key, **more})
        world.step(130)
        said.append(without_hash(world))
        hashes = [detail["details"] for _, detail in world.stated() if "details" in detail]
        rows = world.store.db.execute("SELECT hash FROM details").fetchall()
        assert hashes and sorted(hashes) == sorted(told for (told,) in rows)
        assert WORDS.encode() not in world.journal()
        world.stop()
    assert said[0] == said[1] and len(said[0]) >= 1


def test_the_outcome_is_stated_and_its_cause_is_not(world: PeopleWorld) -> None:
    """That the person did not press the button is about the person."""
    command = world.carried_out(remote.BP)
    world.measured(command, frames.BP_CANCELLED, 0)
    code, stated = world.stated()[-1]
    assert (code, stated["outcome"], "cause" in stated) == ("order_ended", remote.REFUSED, False)
    assert world.statements()[-1][1]["cause"] == "consent"


def test_the_salt_makes_each_hash_another(world: PeopleWorld) -> None:
    told, row = details.withhold({"text": "fell"}, UNIX_MS, NODE.id)
    again, other = details.withhold({"text": "fell"}, UNIX_MS, NODE.id)
    assert told == crypto.sha256(row.secret) != again == crypto.sha256(other.secret)
    assert len(row.secret) == details.SALT_BYTES + len(cbor.dumps({"text": "fell"}))
    assert told != crypto.sha256(cbor.dumps({"text": "fell"}))


def test_the_audit_shows_them_and_says_when_they_were_changed(world: PeopleWorld) -> None:
    world.carried_out(remote.MARK, arguments={1: WORDS}, reason="the nurse asked")
    shown = str([line.more for line in audit.lines(world.store.db)])
    assert WORDS in shown and "the nurse asked" in shown
    items = audit.asked("operator made", "uid 5", "Dr Grey", UNIX_MS, {"number": 3, "file": "ada.zip"})
    world.store.commit(items)
    line = list(audit.lines(world.store.db))[-1]
    assert (line.what, line.on, line.more) == ("operator made", "Dr Grey", {"number": 3, "file": "ada.zip"})
    assert b"Dr Grey" not in world.journal() and b"ada.zip" not in world.journal()
    keys = PublicKeys(*AGENT.public())
    assert [one.sentence for one in verify(world.store.path, keys, None) if "keep back" in one.sentence] == [
        "What statements keep back is what they have the hash of: 4 of them."
    ]
    db = world.store.db
    for change in ("data = data || 'x'", "data = zeroblob(20), key = NULL", "key = 99"):
        db.execute("BEGIN")
        db.execute(f"UPDATE details SET {change}")
        assert all(line.wrong for line in audit.lines(db))
        with pytest.raises(SealBroken):
            details.read(db, line_hash(db))
        db.execute("ROLLBACK")
    world.store.db.execute("INSERT INTO details VALUES(x'77', NULL, 0, 0, NULL, x'77')")
    found = [one.sentence for one in verify(world.store.path, keys, None) if not one.good]
    assert any("details 77 are of no statement" in sentence for sentence in found)


def line_hash(db: Any) -> bytes:
    return db.value("SELECT hash FROM details")


def test_an_erasure_takes_what_was_said_of_her_orders_and_leaves_his(world: PeopleWorld) -> None:
    world.assign(ADA, world.unix_ms())
    hers = world.carried_out(remote.MARK, arguments={1: "ada fell"}, reason="ada")
    world.now += 10_000
    # Under her key, which is destroyed, and said of him: a correction says so afterwards.
    handed_over = world.unix_ms()
    world.carried_out(remote.MARK, arguments={1: "bob slept"})
    span = world.people.spans(ADA)[0]
    world.people.put(
        assigned(ADA, span.from_ms, handed_over, NODE.id, span.record_id, made_ms=world.unix_ms()),
        world.unix_ms(),
    )
    world.assign(BOB, handed_over)
    assert world.erase(ADA) == 3
    left = world.texts()
    # With their quotation marks: there are hashes beside them, which may read like anything short.
    assert not [word for word in ("'ada'", "'ada fell'") if word in str(left)]
    assert "'bob slept'" in str(left) and len(left) == 3
    shown = {line.more.get("details") for line in audit.lines(world.store.db) if line.what == "ordered"}
    assert audit.ERASED in shown and b"ada fell" not in world.journal()
    assert world.ask(hers).outcome == remote.DONE, "what became of it is not of her"


def test_what_may_be_hers_goes_with_hers(world: PeopleWorld) -> None:
    """Given while the node was hers, ended when it was nobody's."""
    world.assign(ADA, world.unix_ms(), world.unix_ms() + 1000)
    world.node.boot = None
    world.ask(world.command(remote.MARK, arguments={1: "ada fell"}))
    world.step(20)
    world.people.rekey(world.unix_ms())
    world.node.boot = BOOT
    world.step(3)
    assert world.node.moved == []
    assert world.statements()[-1][1]["cause"] == "changed_hands"
    world.erase(ADA)
    assert world.texts() == []


def test_a_command_is_not_carried_out_on_somebody_else(world: PeopleWorld) -> None:
    world.assign(ADA, world.unix_ms(), world.unix_ms() + 5000)
    world.assign(BOB, world.unix_ms() + 5000)
    waits = world.command(remote.LIMITS, arguments=LIMITS)
    world.ask(waits)
    signed = remote.sign_order(*offered(world, waits))
    world.step(12)
    assert world.ask(signed).cause == "changed_hands" and world.node.moved == []


def offered(world: World, command: remote.Command) -> tuple[Any, ...]:
    from tests.edge_agent.command_world import CLINIC

    offer = world.ask(command).offer
    assert offer is not None
    return CLINIC, command, offer


def test_of_an_erased_command_only_the_id_is_left_and_it_is_not_carried_out_again(tmp_path: Path) -> None:
    world = PeopleWorld(tmp_path)
    world.assign(ADA, world.unix_ms())
    world.node.boot = None
    command = world.command(remote.MARK, arguments={1: "ada fell"})
    assert world.ask(command).outcome == remote.RECEIVED
    world.erase(ADA)
    world.stop()
    world.start()
    world.node.boot = BOOT
    answer = world.ask(command)
    assert (answer.outcome, answer.cause) == (remote.UNKNOWN, "erased")
    world.step(5)
    assert world.node.moved == []
    world.step(140)
    assert world.ask(command).cause == "expired"
    assert not world.store.db.value("SELECT count(*) FROM commands")
    world.stop()


def test_at_its_end_a_command_keeps_no_words_and_its_repetition_is_answered_after_a_restart(
    tmp_path: Path,
) -> None:
    world = PeopleWorld(tmp_path)
    command = world.carried_out(remote.MARK, arguments={1: WORDS}, reason=WORDS)
    (row,) = world.store.db.execute("SELECT id, key, data FROM commands").fetchall()
    assert WORDS.encode() not in details.secret_of(world.store.db, *row)
    world.stop()
    world.start()
    assert world.ask(command).outcome == remote.DONE
    assert world.ask(replace(command, reason="another")).cause == "replayed"
    assert world.node.moved == [frames.OP_MARK]
    world.stop()
