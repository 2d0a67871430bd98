"""Signed records of people: made, verified, refused; and carried as entries of a batch."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol import batch, cbor, cose, records
from protocol.errors import BatchError, LocalError
from tests.protocol.cddl_schema import why_not
from tools.vectors.keys import AGENT, AUTHORITY, NODE
from tools.vectors.records import FROM_MS, PERSON, assignment, consent, erasure, manual

VECTORS = json.loads(
    (Path(__file__).resolve().parents[2] / "protocol" / "vectors" / "records.json").read_text("utf-8")
)
ID = b"record 1"


def refused(call: Any, *args: Any) -> "str | None":
    """The cause of a refusal, or None."""
    try:
        call(*args)
    except BatchError as error:
        assert error.detail and error.layer == "batch"
        return error.cause
    return None


def payload_of(record: bytes) -> "dict[int, Any]":
    return cbor.loads(cose.split1(record, "record")[0])


def test_an_assignment_comes_back() -> None:
    record = records.make_assignment(AUTHORITY, NODE.id, PERSON, 5, 6, ID, 5, b"record 0")
    assert records.open_record(record, AUTHORITY.ed_pub) == {
        "record": "assignment",
        "node_id": NODE.id,
        "person": PERSON,
        "from_ms": 5,
        "to_ms": 5,
        "by": AUTHORITY.id,
        "made_at_ms": 6,
        "record_id": ID,
        "replaces": b"record 0",
    }
    least = records.open_record(assignment(), AUTHORITY.ed_pub)
    assert least["to_ms"] is None and least["replaces"] is None


def test_a_manual_entry_comes_back() -> None:
    fields = records.open_record(manual(), AGENT.ed_pub)
    assert (fields["record"], fields["person"], fields["by"]) == ("manual", PERSON, AGENT.id)
    assert fields["values"] == [[8, 1310], [9, 840]]
    assert fields["device"] == "arm cuff of the pharmacy" and fields["note"] == "after the stairs"
    assert records.read_record(manual()) == fields


def test_a_consent_and_its_withdrawal_come_back() -> None:
    record = records.make_consent(AUTHORITY, PERSON, "fhir", records.OWN, True, 5, 6, ID, 5, b"record 0")
    assert records.open_record(record, AUTHORITY.ed_pub) == {
        "record": "consent",
        "person": PERSON,
        "forwarder": "fhir",
        "purpose": "own",
        "from_ms": 5,
        "by": AUTHORITY.id,
        "made_at_ms": 6,
        "record_id": ID,
        "replaces": b"record 0",
        "to_ms": 5,
        "granted": True,
    }
    withdrawn = records.open_record(consent(granted=False), AUTHORITY.ed_pub)
    assert withdrawn["granted"] is False and withdrawn["to_ms"] is None


def test_an_erasure_comes_back() -> None:
    fields = records.open_record(erasure(), AUTHORITY.ed_pub)
    assert (fields["record"], fields["person"], fields["by"]) == ("erasure", PERSON, AUTHORITY.id)
    assert fields["reason"] == "the person asked for it" and fields["replaces"] is None


@pytest.mark.parametrize("one", VECTORS["records"], ids=lambda one: one["name"])
def test_the_vectors_open_with_their_signer_s_key_and_no_other(one: "dict[str, str]") -> None:
    record, key = bytes.fromhex(one["record"]), bytes.fromhex(one["ed_pub"])
    assert records.open_record(record, key)["by"] == bytes.fromhex(one["by"])
    other = AUTHORITY if key == AGENT.ed_pub else AGENT
    assert refused(records.open_record, record, other.ed_pub) == "bad_signature"


@pytest.mark.parametrize("one", VECTORS["malformed"], ids=lambda one: one["name"])
def test_a_bad_payload_is_refused_whoever_signs_it(one: "dict[str, str]") -> None:
    payload = bytes.fromhex(one["payload"])
    cause = refused(records.open_record, cose.sign1(AGENT, payload), AGENT.ed_pub)
    assert cause == ("unknown_version" if one["name"] == "another version" else "malformed_batch")


def test_every_changed_byte_is_refused() -> None:
    for record, who in (
        (assignment(), AUTHORITY),
        (manual(), AGENT),
        (consent(), AUTHORITY),
        (erasure(), AUTHORITY),
    ):
        for at in range(len(record)):
            changed = record[:at] + bytes((record[at] ^ 1,)) + record[at + 1 :]
            assert refused(records.open_record, changed, who.ed_pub), at
            assert refused(records.open_record, record[:at], who.ed_pub), at


def test_each_required_key_is_required_and_each_key_checked() -> None:
    for record, rule in (
        (assignment(), "assignment"),
        (manual(), "manual-entry"),
        (consent(), "consent"),
        (erasure(), "erasure"),
    ):
        fields = payload_of(record)
        table = records.RECORDS[fields[2]]
        for key, (_, required, kind_of, least, most) in table.items():
            without = cbor.dumps({other: fields[other] for other in fields if other != key})
            assert (refused(records.parse_record, without) is not None) == required
            assert (why_not(rule, without) is not None) == required
            wrongs = (None, True, -1, b"", "x" * 201, [], [[1]], {}, most + 1, bytes(least + 1))
            for wrong in wrongs if kind_of != "bool" else (None, 0, *wrongs[2:]):
                changed = cbor.dumps({**fields, key: wrong})
                assert refused(records.parse_record, changed), (key, kind_of, wrong)
                assert why_not(rule, changed) is not None, (key, kind_of, wrong)


def test_later_keys_and_quantities_are_carried() -> None:
    fields = payload_of(manual())
    later = cbor.dumps({**fields, 4: [[60_000, -(1 << 62)]], 99: "later"})
    assert records.parse_record(later)["values"] == [[60_000, -(1 << 62)]]
    purpose = cbor.dumps({**payload_of(consent()), 5: "teaching", 99: "later"})
    assert records.parse_record(purpose)["purpose"] == "teaching"


def test_what_no_record_can_carry_is_not_made() -> None:
    for call in (
        lambda: records.make_assignment(AGENT, NODE.id, PERSON, 5, 6, ID, to_ms=4),
        lambda: records.make_assignment(AGENT, bytes(7), PERSON, 5, 6, ID),
        lambda: records.make_assignment(AGENT, NODE.id, b"Ada Lovelace", 5, 6, ID),
        lambda: records.make_manual(AGENT, PERSON, [], 5, 6, ID),
        lambda: records.make_consent(AGENT, PERSON, "mqtt", "care", True, 5, 6, ID, to_ms=4),
        lambda: records.make_consent(AGENT, PERSON, "mqtt", "cure", True, 5, 6, ID),
        lambda: records.make_consent(AGENT, PERSON, "", "care", True, 5, 6, ID),
        lambda: records.make_erasure(AGENT, b"Ada Lovelace", 6, ID),
        lambda: records.make_erasure(AGENT, PERSON, 6, ID, "x" * 201),
        lambda: records.make_manual(AGENT, PERSON, [(3, 1001)], 5, 6, ID),
        lambda: records.make_manual(AGENT, PERSON, [(1, 724)], 5, 6, ID, note="x" * 201),
    ):
        with pytest.raises(LocalError):
            call()


def test_a_batch_carries_records_and_entries_of_later_types() -> None:
    later = cbor.dumps([9, "of a later version"])
    entries = [batch.assignment_entry(assignment()), batch.manual_entry(manual()), later]
    head = batch.make_head(AGENT.id, bytes(8), 0, batch.FIRST_PREVIOUS, entries, FROM_MS)
    clear = batch.encode_batch(batch.sign_head(AGENT, head), entries)
    parsed = batch.parse_batch(clear, AGENT.ed_pub, AGENT.id)
    assert [one[0] for one in parsed.parsed] == [batch.ENTRY_ASSIGNMENT, batch.ENTRY_MANUAL, 9]
    assert records.open_record(parsed.parsed[0][1], AUTHORITY.ed_pub)["node_id"] == NODE.id


def test_an_entry_is_the_record_that_its_type_says() -> None:
    forged = cose.sign1(AGENT, cbor.dumps({1: 1, 2: "diagnosis"}))
    for entry in (
        batch.assignment_entry(manual()),
        batch.manual_entry(assignment()),
        batch.assignment_entry(forged),
        batch.assignment_entry(b""),
        batch.assignment_entry(assignment()[1:]),
        cbor.dumps([4]),
        cbor.dumps([5, manual(), 0]),
        cbor.dumps([5, "text"]),
        cbor.dumps([4, payload_of(assignment())]),
    ):
        assert refused(batch.parse_entry, entry) == "malformed_batch"
