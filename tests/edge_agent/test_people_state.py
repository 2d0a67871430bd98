"""Whose node it was when, and who may have whose data."""

import random

import pytest

from edge_agent.people.state import ASSUMED, PeopleError, PeopleState
from tests.edge_agent.people_kit import (
    ADA,
    BOB,
    EVE,
    HOUR,
    NODE,
    NOW,
    OTHER_NODE,
    assigned,
    consented,
    erased,
    fields,
    typed,
)


def taken(*records: bytes, consent: str = "required") -> PeopleState:
    state = PeopleState(consent)
    for record in records:
        state.check(fields(record), NOW)
        state.take(fields(record))
    return state


def refusal(state: PeopleState, record: bytes) -> str:
    with pytest.raises(PeopleError) as caught:
        state.check(fields(record), NOW)
    assert caught.value.hint
    return str(caught.value)


def test_a_node_is_a_persons_from_its_beginning_to_before_its_end() -> None:
    state = taken(assigned(ADA, NOW, NOW + HOUR), assigned(BOB, NOW + HOUR))
    moments = (NOW - 1, NOW, NOW + HOUR - 1, NOW + HOUR, 1 << 52)
    assert [state.person_at(NODE, at) for at in moments] == [None, ADA, ADA, BOB, BOB]
    assert state.person_at(OTHER_NODE, NOW) is None
    assert [span.person for span in state.spans(node=NODE)] == [ADA, BOB]
    assert state.spans(ADA)[0][2:4] == (NOW, NOW + HOUR)


def test_between_two_moments_is_everybody_who_was_there_and_nobody_where_nobody_was() -> None:
    state = taken(assigned(ADA, NOW, NOW + 10), assigned(BOB, NOW + 20, NOW + 30))
    for low, high, who in (
        (NOW, NOW + 9, {ADA}),
        (NOW, NOW + 10, {ADA, None}),
        (NOW - 1, NOW, {ADA, None}),
        (NOW + 10, NOW + 19, {None}),
        (NOW + 5, NOW + 25, {ADA, BOB, None}),
        (NOW + 29, NOW + 29, {BOB}),
        (0, NOW + 99, {ADA, BOB, None}),
    ):
        assert state.persons_between(NODE, low, high) == who, (low - NOW, high - NOW)


def test_between_agrees_with_moment_by_moment() -> None:
    rng = random.Random(5)
    for _ in range(200):
        edges = sorted(rng.sample(range(40), 6))
        spans = [(edges[i], edges[i + 1], rng.choice((ADA, BOB, EVE))) for i in (0, 2, 4)]
        if rng.random() < 0.5:
            spans[1] = (spans[0][1], spans[1][1], spans[1][2])
        state = taken(*(assigned(who, begin, end) for begin, end, who in spans))
        low = rng.randrange(40)
        high = low + rng.randrange(20)
        each = {state.person_at(NODE, at) for at in range(low, high + 1)}
        assert state.persons_between(NODE, low, high) == each, (spans, low, high)


def test_two_persons_at_once_are_refused_with_what_to_do() -> None:
    state = taken(assigned(ADA, NOW))
    told = refusal(state, assigned(BOB, NOW + HOUR))
    assert ADA.hex() in told and "vitalwire unassign" in told
    refusal(state, assigned(BOB, NOW - HOUR, NOW + 1))
    refusal(state, assigned(ADA, NOW + HOUR))
    state.check(fields(assigned(BOB, NOW - HOUR, NOW)), NOW)
    state.check(fields(assigned(BOB, node=OTHER_NODE)), NOW)


def test_a_replaced_assignment_counts_no_more() -> None:
    first = assigned(ADA, NOW)
    state = taken(first)
    ended = assigned(ADA, NOW, NOW + HOUR, replaces=fields(first)["record_id"])
    state.check(fields(ended), NOW)
    state.take(fields(ended))
    assert state.person_at(NODE, NOW + HOUR) is None
    never = assigned(ADA, NOW, NOW, replaces=fields(ended)["record_id"])
    state.check(fields(never), NOW)
    state.take(fields(never))
    assert not state.assigned and state.persons_between(NODE, 0, 1 << 52) == {None}
    assert "replaced by" in refusal(state, assigned(BOB, replaces=fields(first)["record_id"]))


def test_a_record_replaces_one_about_the_same_only() -> None:
    first, word = assigned(ADA, NOW, NOW + 1), consented(ADA)
    state = taken(first, word)
    first_id, word_id = fields(first)["record_id"], fields(word)["record_id"]
    assert "something else" in refusal(state, assigned(ADA, node=OTHER_NODE, replaces=first_id))
    assert "something else" in refusal(state, consented(ADA, replaces=first_id))
    assert "something else" in refusal(state, consented(BOB, replaces=word_id))
    assert "something else" in refusal(state, consented(ADA, purpose="research", replaces=word_id))
    assert "something else" in refusal(state, typed(ADA, replaces=word_id))
    assert "not known" in refusal(state, assigned(ADA, replaces=b"no such!"))
    assert "there already" in refusal(state, first)


def test_the_consent_made_last_decides() -> None:
    state = taken(consented(ADA, made_ms=NOW), consented(ADA, False, made_ms=NOW + 2))
    assert not state.allows("mqtt", "care", ADA, NOW)
    assert not state.allows("mqtt", "care", BOB, NOW)
    again = consented(ADA, True, made_ms=NOW + 3, from_ms=NOW + 10, to_ms=NOW + 20)
    older = consented(ADA, True, made_ms=NOW + 1)
    for one in (again, older):
        state.take(fields(one))
    moments = (NOW + 9, NOW + 10, NOW + 19, NOW + 20)
    assert [state.allows("mqtt", "care", ADA, at) for at in moments] == [False, True, True, False]
    assert not state.allows("fhir", "care", ADA, NOW + 10)
    assert not state.allows("mqtt", "research", ADA, NOW + 10)


def test_a_replaced_consent_counts_no_more() -> None:
    mistake = consented(ADA, made_ms=NOW)
    state = taken(mistake)
    assert state.allows("mqtt", "care", ADA, NOW)
    state.take(fields(consented(ADA, from_ms=5, to_ms=5, replaces=fields(mistake)["record_id"])))
    assert not state.allows("mqtt", "care", ADA, NOW)


def test_assumed_consent_is_for_care_and_ends_with_a_word() -> None:
    state = taken(consented(BOB, False), consent=ASSUMED)
    assert state.allows("mqtt", "care", ADA, NOW)
    assert not state.allows("mqtt", "research", ADA, NOW)
    assert not state.allows("mqtt", "care", BOB, NOW)


def test_an_erased_person_is_nobody_from_then_on() -> None:
    state = taken(assigned(ADA, NOW - HOUR), consented(ADA), assigned(BOB, node=OTHER_NODE), consented(BOB))
    gone = erased(ADA, NOW)
    state.check(fields(gone), NOW)
    state.take(fields(gone))
    assert state.person_at(NODE, NOW - 1) == ADA and state.person_at(NODE, NOW) is None
    assert not state.allows("mqtt", "care", ADA, NOW) and state.allows("mqtt", "care", BOB, NOW)
    assert state.erased_at(ADA) == NOW and state.erased_at(BOB) is None
    for record in (assigned(ADA), consented(ADA), typed(ADA)):
        assert "person new" in refusal(state, record)
    assert "already" in refusal(state, erased(ADA))
    state.check(fields(assigned(BOB, NOW)), NOW)


def test_a_record_of_tomorrow_is_refused() -> None:
    state = PeopleState()
    assert "clock" in refusal(state, consented(ADA, made_ms=NOW + 86_400_001))
    state.check(fields(consented(ADA, made_ms=NOW + 86_400_000)), NOW)


def test_the_order_of_records_is_kept() -> None:
    records = [assigned(ADA, NOW, NOW + 1), consented(ADA), typed(BOB), typed(ADA)]
    state = taken(*records)
    assert [f["record_id"] for f in state.records()] == [fields(r)["record_id"] for r in records]
    assert [f["record"] for f in state.records(ADA)] == ["assignment", "consent", "manual"]
    assert state.persons() == [ADA, BOB]


@pytest.mark.parametrize("granted_ms, withdrawn_ms", [(NOW + 12 * HOUR, NOW), (NOW - HOUR, NOW + 12 * HOUR)])
def test_a_withdrawal_holds_at_once_though_a_clock_was_ahead(granted_ms: int, withdrawn_ms: int) -> None:
    """Of the machine that signed the grant, or of the one that signed the withdrawal."""
    grant = consented(ADA, from_ms=granted_ms, made_ms=granted_ms)
    withdrawal = consented(ADA, False, from_ms=withdrawn_ms, made_ms=withdrawn_ms)
    for moment in (NOW - HOUR, NOW, NOW + 13 * HOUR):
        assert not taken(grant, withdrawal).allows("mqtt", "care", ADA, moment)
        assert not taken(withdrawal, consent=ASSUMED).allows("mqtt", "care", ADA, moment)
    again = consented(ADA, from_ms=NOW, made_ms=NOW + 13 * HOUR)
    assert taken(grant, withdrawal, again).allows("mqtt", "care", ADA, NOW + 13 * HOUR)
