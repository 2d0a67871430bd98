"""Records of people in a store: taken with the action that brought them, signed for, verified again."""

import threading

import pytest

from edge_agent.custody import audit
from edge_agent.keys import PublicKeys
from edge_agent.people.operators import Operators
from edge_agent.people.records import People, load
from edge_agent.people.state import PeopleError, PeopleState
from edge_agent.store.errors import StoreUnwritable
from edge_agent.store.items import Entry, Frame
from protocol import batch as wire
from tests.edge_agent.custody_kit import AGENT, BOOT, NODE, Kit
from tests.edge_agent.people_kit import (
    ADA,
    BOB,
    HOUR,
    NOW,
    OPERATOR,
    STRANGER,
    assigned,
    consented,
    fields,
    typed,
)
from tests.edge_agent.running import Kit as AgentKit
from tests.edge_agent.running import Running, wait_until

KEYS = PublicKeys(*AGENT.public())


@pytest.fixture
def kit(tmp_path):
    made = Kit(tmp_path / "agent.db", collector=False)
    operators = Operators(tmp_path / "operators")
    operators.add("ward", PublicKeys(*OPERATOR.public()))
    made.operators = operators
    made.people = People(made.store, operators)
    yield made
    made.store.close()


def lines(kit, **more):
    return list(audit.lines(kit.store.db, **more))


def test_a_record_is_taken_with_its_action_and_counts_from_then_on(kit) -> None:
    record = assigned(ADA, NOW - HOUR, node=NODE.id)
    kit.people.put(record, NOW, "uid 1000")
    assert kit.people.person_at(NODE.id, NOW) == ADA
    (line,) = lines(kit)
    assert (line.what, line.by, line.on) == ("assign", f"operator {OPERATOR.id.hex()}", ADA)
    assert line.more["asked"] == "uid 1000" and line.more["record"] == fields(record)["record_id"]
    kit.make()
    batches = kit.store.db.execute("SELECT id, first_id, last_id FROM batches").fetchall()
    clear = [row.data for row in kit.custody.chain.rows(kit.custody.chain.batch(batches[0][0]))]
    assert wire.assignment_entry(record) in clear


def test_records_are_there_again_when_the_store_is_opened(kit) -> None:
    kept = [assigned(ADA, node=NODE.id), consented(ADA), typed(ADA), consented(ADA, False, "fhir")]
    for record in kept:
        kit.people.put(record, NOW)
    before = kit.people.state
    kit.reopen()
    after = People(kit.store, kit.operators).state
    assert after.spans() == before.spans()
    assert [f["record_id"] for f in after.records()] == [fields(r)["record_id"] for r in kept]
    assert after.allows("mqtt", "care", ADA, NOW) and not after.allows("fhir", "care", ADA, NOW)
    what_was_typed = kit.store.db.execute("SELECT record FROM records WHERE sort = 'manual'").fetchone()
    assert what_was_typed == (b"",)


def test_a_step_that_was_cut_off_is_made_good(kit) -> None:
    kit.people.put(consented(BOB), NOW)
    cut_off = assigned(ADA, node=NODE.id)
    kit.store.commit([Entry(4, wire.assignment_entry(cut_off), NOW)])
    kit.reopen()
    again = People(kit.store, kit.operators)
    assert again.person_at(NODE.id, NOW) == ADA and len(again.state.records()) == 2
    before = kit.store.last_journal
    again.put(cut_off, NOW)
    assert kit.store.last_journal == before, "asked for again, it is not kept twice"


def test_who_is_no_operator_signs_nothing(kit) -> None:
    with pytest.raises(PeopleError, match="operator add"):
        kit.people.put(assigned(ADA, by=STRANGER), NOW)
    forged = bytearray(assigned(ADA))
    forged[-1] ^= 1
    with pytest.raises(PeopleError, match="not sound"):
        kit.people.put(bytes(forged), NOW)
    with pytest.raises(PeopleError, match="not sound"):
        kit.people.put(b"\x80", NOW)
    assert lines(kit) == [] and kit.people.state.empty


def test_a_record_that_nobody_signed_counts_for_nothing_however_it_came_there(kit) -> None:
    stranger = assigned(ADA, by=STRANGER, node=NODE.id)
    kit.store.commit([Entry(4, wire.assignment_entry(stranger), NOW)])
    people = People(kit.store, kit.operators)
    assert people.person_at(NODE.id, NOW) is None
    assert len(people.unbelieved) == 1 and fields(stranger)["record_id"].hex() in people.unbelieved[0]
    good = assigned(ADA, by=OPERATOR)
    with kit.store.transaction() as db:
        db.execute("UPDATE records SET record = ?", (good[:-1] + bytes([good[-1] ^ 1]),))
    assert load(kit.store.db, kit.operators)[1]


def test_a_former_operators_records_stand_and_new_ones_are_refused(kit) -> None:
    kit.people.put(assigned(ADA, node=NODE.id), NOW)
    kit.operators.remove("ward")
    people = People(kit.store, kit.operators)
    assert people.person_at(NODE.id, NOW) == ADA and not people.unbelieved
    with pytest.raises(PeopleError, match="no operator"):
        people.put(consented(ADA), NOW)


def test_what_cannot_be_recorded_does_not_happen(kit, monkeypatch) -> None:
    def full(items):
        raise StoreUnwritable(kit.path, "the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(kit.store, "commit", full)
        with pytest.raises(StoreUnwritable):
            kit.people.put(assigned(ADA, node=NODE.id), NOW)
    assert kit.people.person_at(NODE.id, NOW) is None and lines(kit) == []


def test_consent_decides_row_by_row(kit) -> None:
    kit.people.put(assigned(ADA, 0, node=NODE.id), NOW)
    kit.store.commit([Frame(NODE.id, BOOT, 1, b"\x83\x01\x01\xa0", NOW)])
    kit.make()
    rows = kit.custody.chain.rows(kit.custody.chain.batch(1))
    at = [row.id for row in rows if row.kind == 0]
    assert kit.people.withholds("mqtt", rows, NOW) == set(at)
    kit.people.put(consented(ADA), NOW)
    assert kit.people.withholds("mqtt", rows, NOW) == set()
    assert kit.people.withholds("file", rows, NOW) == set(at)
    kit.people.put(consented(ADA, False, made_ms=NOW + 1), NOW + 1)
    assert kit.people.withholds("mqtt", rows, NOW + 1) == set(at)


def test_what_was_typed_needs_consent_too(kit) -> None:
    kit.people.put(typed(ADA), NOW)
    kit.make()
    rows = kit.custody.chain.rows(kit.custody.chain.batch(1))
    (at,) = [row.id for row in rows if row.kind == 5]
    assert kit.people.withholds("mqtt", rows, NOW) == {at}
    kit.people.put(consented(ADA), NOW)
    assert kit.people.withholds("mqtt", rows, NOW) == set()


# The log of actions


def test_the_log_is_signed_and_every_change_to_it_is_named(kit) -> None:
    kit.people.put(assigned(ADA, node=NODE.id), NOW)
    kit.store.commit([audit.action("export", audit.by_user(1000), ADA, NOW, path="x.zip")])
    kit.make()
    kit.store.commit([audit.action("prove", audit.by_user(1000), NODE.id, NOW + 5, boot=3)])
    kit.make()
    kit.store.commit([audit.action("read", audit.by_user(0), ADA, NOW + 9)])
    found = lines(kit)
    assert [line.what for line in found] == ["assign", "export", "prove", "read"]
    assert [line.batch for line in found] == [1, 1, 2, None]
    assert [line.what for line in lines(kit, what="prove")] == ["prove"]
    assert [line.what for line in lines(kit, since_ms=NOW + 5)] == ["prove", "read"]
    sound = audit.verify(kit.store.db, KEYS, {1, 2})
    assert sound.good == {1, 2} and sound.wrong == []
    _broken(kit, "UPDATE journal SET data = ? WHERE id = 3", _altered(kit, 3), "batch 0 of")
    _broken(kit, "UPDATE journal SET kind = 2 WHERE id = ?", 4, "batch 1 of")
    _broken(kit, "DELETE FROM journal WHERE id = ?", 3, "batch 0 of")
    _broken(kit, "DELETE FROM batches WHERE id = ?", 1, "batch 1 of")
    _broken(kit, "UPDATE batches SET signed = zeroblob(?) WHERE id = 2", 100, "batch 1 of")


def _altered(kit, at) -> bytes:
    (data,) = kit.store.db.execute("SELECT data FROM journal WHERE id = ?", (at,)).fetchone()
    assert b"x.zip" in data
    return data.replace(b"x.zip", b"y.zip")


def _broken(kit, statement, value, named) -> None:
    db = kit.store.db
    db.execute("BEGIN")
    try:
        db.execute(statement, (value,))
        if statement.startswith("UPDATE journal SET kind"):
            # A line that is not shown any more is not looked for either: its batch is, when it is asked for.
            assert "prove" not in [line.what for line in lines(kit)]
            db.execute("UPDATE journal SET data = ? WHERE id = ?", (b"\x80", value))
        wrong = audit.verify(db, KEYS, {1, 2}).wrong
        assert wrong and named in wrong[0], wrong
    finally:
        db.execute("ROLLBACK")
    assert audit.verify(db, KEYS, {1, 2}).wrong == []


def test_another_agents_key_signs_no_log(kit) -> None:
    kit.store.commit([audit.action("read", audit.by_user(0), ADA, NOW)])
    kit.make()
    assert audit.verify(kit.store.db, PublicKeys(*STRANGER.public()), {1}).wrong


def test_a_line_that_is_damaged_is_shown_as_such(kit) -> None:
    kit.store.commit([Entry(3, b"\x83\x03\x61x", NOW), Entry(3, b"\x83\x03\x66action\xa0", NOW)])
    assert [line.what for line in lines(kit)] == ["damaged", ""]


def test_who_there_is_is_asked_where_records_are_taken(tmp_path, monkeypatch):
    """In another thread the table of records may grow under whoever goes through it."""
    asked: list[str] = []
    persons = PeopleState.persons

    def noted(state: PeopleState) -> list[bytes]:
        asked.append(threading.current_thread().name)
        return persons(state)

    monkeypatch.setattr(PeopleState, "persons", noted)
    with Running(AgentKit(tmp_path).config()):
        wait_until(lambda: asked, "erasures that are due are looked for")
    assert {name.split("_")[0] for name in asked} == {"store"}
