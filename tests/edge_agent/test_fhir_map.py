"""From frames to FHIR resources: what each holds, about whom, and what never leaves."""

import json

from edge_agent.forward import fhir_map, fhir_worker
from edge_agent.nodes.clockfit import Fix
from protocol import frames as f
from protocol import waveform
from tests.edge_agent.fhir_kit import (
    AGENT,
    ANNA,
    BERTA,
    BOOT,
    EPOCH_US,
    NODE,
    SECOND,
    VECTORS,
    Known,
    by_code,
    entries,
    gathered,
    row,
    vitals,
)


def needed(items, kind: str) -> list[dict]:
    return [entry.resource for entry in entries(items) if entry.resource["resourceType"] == kind]


def patients(items) -> set[str]:
    return {one["identifier"][0]["value"] for one in needed(items, "Patient")}


def test_a_minute_is_one_observation_a_quantity_with_its_median_and_range():
    _, items = gathered(vitals(0, 60))
    assert len(items) == 4
    (heart,) = by_code(items, "147842")
    assert heart["valueQuantity"] == {
        "value": 62.9, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"
    }  # fmt: skip
    parts = {one["code"]["coding"][0]["code"]: one["valueQuantity"]["value"] for one in heart["component"]}
    assert parts == {"minimum": 60.0, "maximum": 65.9, "count": 60}
    assert heart["method"]["coding"][0]["code"] == "median"
    assert heart["effectivePeriod"] == {
        "start": "2026-09-21T14:13:00.000Z",
        "end": "2026-09-21T14:13:59.000Z",
    }
    assert heart["identifier"] == [{"value": f"{NODE.hex()}-{BOOT.hex()}-147842-0-59"}]
    assert {one["code"] for one in heart["code"]["coding"]} == {"147842", "8867-4"}
    (oxygen,) = by_code(items, "150456")
    assert {one["code"] for one in oxygen["code"]["coding"]} == {"150456", "2708-6", "59408-5"}
    assert any(profile.endswith("/oxygensat") for profile in oxygen["meta"]["profile"])
    assert {one["code"] for one in by_code(items, "150448")[0]["code"]["coding"]} == {"150448", "61006-3"}


def test_the_same_frames_make_the_same_bundle_and_another_minute_other_names():
    one, two, later = (gathered(vitals(first, 60))[1] for first in (0, 0, 60))
    assert [item.entry for item in one] == [item.entry for item in two]
    assert not {item.entry.url for item in one} & {item.entry.url for item in later}
    request = one[0].entry.request
    assert request["ifNoneExist"] == f"identifier={one[0].entry.resource['identifier'][0]['value']}"


def test_the_clock_is_stated_with_its_bound_and_every_observation_refers_to_it():
    known = Known()
    known.fixes[BOOT] = Fix(10 * SECOND, EPOCH_US, 100_000, 1200)
    _, items = gathered(vitals(10, 1), known)
    (clock,) = [one for one in needed(items, "Observation") if one["code"]["coding"][0]["code"] == "68072"]
    assert clock["valueQuantity"]["value"] == 10 * SECOND and clock["valueQuantity"]["code"] == "us"
    assert clock["effectiveDateTime"] == "2026-09-21T14:13:00.000Z"
    assert clock["component"][0]["valueQuantity"]["value"] == 1200
    url = next(entry.url for entry in entries(items) if entry.resource is clock)
    assert all(
        {"reference": url} in [e["valueReference"] for e in item.entry.resource["extension"]]
        for item in items
    )
    # A clock that runs fast by 100 ppm: an hour of its is 0.36 s less.
    assert fhir_map.unix_us(known.fixes[BOOT], 3610 * SECOND) - EPOCH_US == 3600 * SECOND - 359_965


def test_both_devices_say_what_they_are_and_that_they_are_not_regulated():
    _, items = gathered(vitals(0, 1))
    node, agent = sorted(needed(items, "Device"), key=lambda one: one["modelNumber"], reverse=True)
    assert node["type"]["coding"][0]["code"] == "65573" and node["serialNumber"] == NODE.hex()
    assert node["version"][0]["value"] == "0.1.0" and node["modelNumber"] == "virtual"
    assert agent["type"]["coding"][0]["code"] == "531981" and agent["serialNumber"] == AGENT.hex()
    assert all("not a certified" in json.dumps(one) for one in (node, agent))


def test_where_nothing_could_be_read_the_reason_is_said_once():
    rows = [
        row(seq, f.KIND_VITALS, seq * SECOND, {8: f.VITALS_LEAD_OFF | f.VITALS_NO_FINGER})
        for seq in range(180)
    ]
    gatherer, items = gathered(rows)
    assert len(items) == 2
    (heart,) = by_code(items, "147842")
    assert heart["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
    assert "electrode" in heart["dataAbsentReason"]["text"] and "valueQuantity" not in heart
    assert gatherer.gather(vitals(200, 1), Known()) and len(gatherer.gather(rows, Known())) == 2
    settling = gathered([row(0, f.KIND_VITALS, 0, {8: f.VITALS_ECG_SETTLING})])[1]
    assert by_code(settling, "147842")[0]["dataAbsentReason"]["coding"][0]["code"] == "temp-unknown"


def test_a_doubtful_value_is_marked():
    _, items = gathered(vitals(0, 3, _8=f.VITALS_UNCALIBRATED))
    (oxygen,) = by_code(items, "150456")
    assert oxygen["interpretation"][0]["coding"][0]["code"] == "questionable"
    assert "interpretation" not in by_code(items, "147842")[0]


def test_a_cuff_measurement_and_one_that_failed():
    good = {1: 0, 2: 1204, 3: 801, 4: 930, 5: 700, 7: 200 * SECOND, 8: 1700, 10: 1, 11: 1}
    _, items = gathered([row(5, f.KIND_BP, 230 * SECOND, good)])
    (panel,) = by_code(items, "85354-9")
    values = {c["code"]["coding"][1]["code"]: c["valueQuantity"]["value"] for c in panel["component"]}
    assert values == {"8480-6": 120.4, "8462-4": 80.1, "8478-0": 93.0}
    assert by_code(items, "149546")[0]["valueQuantity"]["value"] == 70.0
    bad = {1: f.BP_MOTION, 7: 200 * SECOND, 8: 1700, 10: 1, 11: 2}
    _, items = gathered([row(6, f.KIND_BP, 230 * SECOND, bad)])
    (panel,) = by_code(items, "85354-9")
    assert [c["dataAbsentReason"]["text"] for c in panel["component"]] == ["motion", "motion"]


def test_a_measurement_that_began_on_one_person_and_ended_on_another_is_nobodys():
    known = Known()
    known.handed_over_ms = EPOCH_US // 1000 + 30_000
    body = {1: 0, 2: 1200, 3: 800, 4: 930, 5: 700, 7: 5 * SECOND, 8: 1700, 10: 1, 11: 2}
    gatherer, items = gathered([row(6, f.KIND_BP, 40 * SECOND, body)], known)
    assert items == [] and gatherer.left == {"unassigned": 1}
    _, items = gathered([row(6, f.KIND_BP, 40 * SECOND, {**body, 7: 35 * SECOND})], known)
    assert patients(items) == {"urn:uuid:10111213-1415-1617-1819-1a1b1c1d1e1f"}


def test_a_minute_is_one_of_the_clock_whenever_the_boot_began():
    _, items = gathered([row(n, f.KIND_VITALS, (n + 30) * SECOND, {1: 600, 8: 0}) for n in range(60)])
    starts = [one["effectivePeriod"]["start"][-10:] for one in by_code(items, "147842")]
    assert starts == ["13:30.000Z", "14:00.000Z"]


def test_a_strip_is_what_an_event_names_in_the_unit_of_its_quantity():
    known = Known()
    samples = [list(range(100)), list(range(100, 0, -1))]
    for seq, block in enumerate(samples):
        body = {1: 0, 2: 100, 3: 4_000_000, 4: 3050, 5: 2, 6: waveform.encode(block, 100)}
        known.stored[seq] = f.pack(f.KIND_WAVE, seq * 400_000, body)
    event = row(9, f.KIND_EVENT, SECOND, {1: 33, 2: 3, 9: [[0, 2]]})
    (item,) = gathered([event], known)[1]
    data = item.entry.resource["valueSampledData"]
    assert data["data"] == " ".join(map(str, samples[0] + samples[1]))
    assert data["period"] == 4.0 and data["factor"] == 0.00305 and data["origin"]["code"] == "mV"
    assert gathered([event], known, strips=False)[1] == []


def test_the_battery_is_the_nodes_and_said_when_it_changes():
    status = f.unpack(VECTORS["status"])[2]
    rows = [row(seq, f.KIND_STATUS, seq * 10 * SECOND, {**status, 15: 90 - seq // 10}) for seq in range(100)]
    _, items = gathered(rows)
    assert [one["valueQuantity"]["value"] for one in by_code(items, "67996")] == [90, 85]
    assert by_code(items, "67996")[0]["subject"] == by_code(items, "67996")[0]["device"]


# About whom


def test_nothing_leaves_of_a_node_that_is_nobodys_nor_of_a_person_who_did_not_agree():
    known = Known()
    known.persons = {}
    gatherer, items = gathered(vitals(0, 5), known)
    assert items == [] and gatherer.left["unassigned"] == 5
    known = Known()
    known.refused = {ANNA}
    gatherer, items = gathered(vitals(0, 5), known)
    assert items == [] and gatherer.left["no consent"] == 5


def test_a_node_handed_over_within_a_minute_tells_of_each_what_is_theirs():
    known = Known()
    known.handed_over_ms = EPOCH_US // 1000 + 30_000
    gatherer, items = gathered(vitals(0, 60), known)
    assert patients(items) == {
        "urn:uuid:00010203-0405-0607-0809-0a0b0c0d0e0f",
        "urn:uuid:10111213-1415-1617-1819-1a1b1c1d1e1f",
    }
    counts = [c["valueQuantity"]["value"] for one in by_code(items, "147842") for c in one["component"][-1:]]
    # The frame whose clock cannot tell on which side of the hand-over it lies is nobody's.
    assert counts == [30, 29] and gatherer.left == {"unassigned": 1} and BERTA != ANNA


def test_what_is_replayed_or_made_up_is_marked_and_never_a_persons():
    _, items = gathered(vitals(0, 3, _15=f.SRC_REPLAY, _16=f.SRC_SYNTHETIC))
    assert patients(items) and "urn:uuid:00010203-0405-0607-0809-0a0b0c0d0e0f" not in patients(items)
    for one in [item.entry.resource for item in items] + needed(items, "Patient"):
        assert one["meta"]["security"][0]["code"] == "HTEST"
    _, mixed = gathered(vitals(0, 3, _15=f.SRC_REPLAY))
    tags = {
        one["code"]["coding"][0]["code"]: "security" in one["meta"]
        for one in (i.entry.resource for i in mixed)
    }
    assert tags["147842"] and not tags["150456"]
    known = Known()
    known.persons = {}
    assert gathered(vitals(0, 3, _15=f.SRC_REPLAY), known)[1] == []
    # A boot that names an input is no body's, whatever its frames say.
    known = Known()
    known.boot_frame = lambda boot, node: {f.BOOT_INPUT: "MIT-BIH 119 (replay)"}
    _, items = gathered(vitals(0, 3), known)
    assert all(item.entry.resource["meta"]["security"][0]["code"] == "HTEST" for item in items)


def test_evidence_that_is_not_here_is_counted():
    known = Known()
    known.stored[1] = f.pack(
        f.KIND_WAVE, 0, {1: 0, 2: 5, 3: 4_000_000, 4: 3050, 5: 2, 6: waveform.encode([1] * 5, 5)}
    )
    gatherer, items = gathered([row(9, f.KIND_EVENT, 4 * SECOND, {1: 33, 2: 3, 9: [[0, 4]]})], known)
    assert len(items) == 1 and gatherer.left == {"evidence not here": 3}


def test_frames_without_a_time_or_without_their_bytes_are_counted():
    known = Known()
    known.fixes = {}
    gatherer, items = gathered(vitals(0, 2), known)
    assert items == [] and gatherer.left == {"undated": 2}
    gatherer, items = gathered(
        [vitals(0, 1)[0]._replace(data=None), row(1, 3, 0, {1: 600})._replace(data=b"\xff")]
    )
    assert items == [] and gatherer.left == {"gone": 1, "malformed": 1}


def test_the_provenance_holds_the_signed_heads_and_its_name_is_that_of_its_targets():
    gatherer, items = gathered(vitals(0, 60))
    batches = [fhir_map.Batch(b"chain--1", n, b"head %d" % n, 1_790_000_000_000 + n) for n in range(3)]
    targets = [item.entry for item in items]
    made = fhir_map.provenance(AGENT, gatherer.phg, batches, targets)
    assert fhir_worker.check({"entry": [made.json()]}) == []
    assert len(made.resource["signature"]) == 3 and len(made.resource["target"]) == len(items)
    assert made.request == {"method": "PUT", "url": f"Provenance/{made.resource['id']}"}
    assert made.url == fhir_map.provenance(AGENT, gatherer.phg, batches[:1], targets[::-1]).url
    assert made.url != fhir_map.provenance(AGENT, gatherer.phg, batches, targets[1:]).url


def test_the_check_names_what_is_wrong():
    _, items = gathered(vitals(0, 1))
    broken = items[0].entry.json()
    broken["resource"]["status"] = ["final"]
    ((place, text),) = fhir_worker.check({"entry": [items[1].entry.json(), broken]})
    assert place == 1 and "status" in text
