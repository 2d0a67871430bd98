"""What is doubtful, made up, nobody's or free text: an export says it, or leaves it out, in every format."""

import csv
import json

import pytest

from edge_agent.people.state import PeopleState
from protocol import batch, frames
from tests.tools.collector_rig import BOOT, NODE, NODE_KEYS, PERSON, Chain, assign
from tests.tools.export_kit import BEGIN_MS, boot_frame, ecg, export, make_empty, mark, run, stored, vitals
from tests.tools.test_collector_export_times import HOUR, SECOND, edf
from tools.collector.export_read import Wanted
from tools.collector.export_text import pieces

DAY = 24 * HOUR


def sheet(files, name):
    with next(one for one in files if one.name.endswith(name + ".csv")).open(newline="") as file:
        return list(csv.DictReader(file))


def annotations(files):
    (path,) = [one for one in files if one.suffix in (".edf", ".bdf")]
    return edf(path)[2]


def of_node(rig, form):
    out = rig.folder / f"node-{form}"
    run(rig, "export", "--node", NODE.id.hex(), "--format", form, str(out))
    return sorted(out.iterdir())


def test_lead_off_and_doubts_are_said(tmp_path):
    flags = frames.VITALS_UNCALIBRATED | frames.VITALS_RATES_DIFFER
    blocks = [ecg(n * SECOND, flags=frames.WAVE_OFF if n in (2, 3) else 0) for n in range(6)]
    rig = make_empty(tmp_path)
    stored(rig, [boot_frame(), *blocks, vitals(5 * SECOND, _8=flags, _4=700)])
    notes, files = annotations(export(rig, "edf")), export(rig, "csv")
    rig.store.close()
    assert (2.0, 2.0, "ECG lead I: lead off") in notes
    texts = {text for _, _, text in notes}
    assert {"spo2_percent 97.1 (not calibrated)", "heart_rate_per_min 72.4 (rates differ)"} <= texts
    off = [int(row["unix_us"]) // SECOND - BEGIN_MS // 1000 for row in sheet(files, "ecg") if row["flags"]]
    assert sorted({*off}) == [2, 3]
    doubts = {row["quantity"]: row["doubt"] for row in sheet(files, "values")}
    assert doubts == {
        "heart_rate_per_min": "rates differ",
        "pulse_per_min": "rates differ",
        "spo2_percent": "not calibrated",
    }


def test_rr_intervals_are_values_of_their_own(tmp_path):
    rig = make_empty(tmp_path)
    stored(rig, [boot_frame(), vitals(0, _2=[800, 812])])
    notes, files = annotations(export(rig, "edf")), export(rig, "csv")
    rig.store.close()
    assert {"rr_ms 800", "rr_ms 812"} <= {text for _, _, text in notes}
    assert [row["value"] for row in sheet(files, "values") if row["quantity"] == "rr_ms"] == ["800", "812"]


@pytest.mark.parametrize("named", [False, True])
def test_what_no_body_gave_says_so_everywhere(tmp_path, named):
    """By its frames, or by the boot frame alone."""
    source = {} if named else {"source": frames.SRC_SYNTHETIC}
    reading = {} if named else {"_15": frames.SRC_SYNTHETIC, "_16": frames.SRC_SYNTHETIC}
    word = "no body" if named else "synthetic"
    rig = make_empty(tmp_path)
    start = boot_frame("a recording" if named else None)
    stored(rig, [start, ecg(0, **source), vitals(500_000, **reading), mark(600_000, "hm")])
    files = {form: of_node(rig, form) for form in ("csv", "edf", "wfdb")}
    rig.store.close()
    for one in (one for form in files.values() for one in form):
        assert word.replace(" ", "-") in one.name
    assert {row["source"] for row in sheet(files["csv"], "values")} == {word}
    (path,) = [one for one in files["edf"] if one.suffix == ".edf"]
    _, signals, notes = edf(path)
    assert list(signals) == [f"{word.upper()} ECG I"]
    assert any(text == f"heart_rate_per_min 72.4 ({word})" for _, _, text in notes)
    (header,) = [one for one in files["wfdb"] if one.suffix == ".hea"]
    assert f"ecg-{word.replace(' ', '-')}" in header.read_text()
    facts = json.loads(next(one for one in files["edf"] if one.suffix == ".json").read_text())
    assert facts["input"] == ("a recording" if named else None)
    assert facts["signals"][0]["source"] == word


@pytest.mark.parametrize("form", ["csv", "fhir"])
def test_an_event_of_a_start_whose_first_frame_is_missing_is_nobodys(tmp_path, form):
    rig = make_empty(tmp_path)
    stored(rig, [vitals(0), ecg(0), mark(500_000, "pressed")])
    files = export(rig, form)
    rig.store.close()
    text = "".join(one.read_text() for one in files)
    assert "pressed" not in text and ("72.4" in text)


def test_the_first_frame_of_a_start_is_asked_for_once(tmp_path):
    rig = make_empty(tmp_path)
    stored(rig, [ecg(n * SECOND) for n in range(30)])
    asked = []

    class Asked(Wanted):
        def _read_boot_frame(self, node, boot):
            asked.append(boot)
            return super()._read_boot_frame(node, boot)

    assert len(list(Asked(rig.store, PeopleState(), 0, 1 << 52).of_node(NODE.id))) == 30
    rig.store.close()
    assert len(asked) == 1


def test_wfdb_of_values_and_events_only_is_a_record_without_signals(tmp_path):
    import wfdb

    rig = make_empty(tmp_path)
    later = [ecg(0), vitals(3 * HOUR), mark(3 * HOUR + SECOND, "a\nb\t–"), ecg(6 * HOUR)]
    stored(rig, [boot_frame(), *later])
    files = export(rig, "wfdb")
    rig.store.close()
    names = [str(one.with_suffix("")) for one in files if one.suffix == ".hea"]
    assert [wfdb.rdheader(name).n_sig for name in names] == [1, 0, 1]
    found = wfdb.rdann(names[1], "vw")
    assert found.aux_note == ["heart_rate_per_min 72.4", "spo2_percent 97.1", r"mark: a\nb\t\u2013"]
    assert found.sample.tolist() == [1, 1, 1000]


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("Schwindel – groß", "utf-8", ["Schwindel – groß"]),
        ("Schwind – groß", "latin-1", [r"Schwind \u2013 groß"]),
        ("a\x00b\x14c\\", "utf-8", [r"a\x00b\x14c" + "\\\\"]),
        ("x" * 21, "utf-8", ["x" * 20, "... x"]),
        ("–" * 7, "utf-8", ["–" * 6, "... –"]),
        ("", "utf-8", [""]),
    ],
)
def test_a_text_is_what_a_format_can_hold(text, encoding, found):
    assert pieces(text, 20, encoding) == found


def test_a_long_text_is_whole_in_edf(tmp_path):
    rig = make_empty(tmp_path)
    stored(rig, [boot_frame(), ecg(0), mark(0, "0123456789" * 6)])
    notes = [text for _, _, text in annotations(export(rig, "edf")) if "0123" in text]
    rig.store.close()
    assert (
        "".join(text.removeprefix("... ") for text in sorted(notes, reverse=True))
        == "mark: " + "0123456789" * 6
    )


def test_fhir_of_nothing_is_no_bundle(tmp_path):
    rig = make_empty(tmp_path)
    stored(rig, [boot_frame(), ecg(0)])
    out = rig.folder / "out"
    said = run(rig, "export", "--person", PERSON.hex(), "--format", "fhir", str(out), code=1)
    rig.store.close()
    assert "nothing was measured" in said and not out.exists()


def test_de_identified_nothing_joins_it_to_what_is_not(tmp_path):
    """Neither numbers of frames, nor the node's own times, nor names that are made of them."""
    rig = make_empty(tmp_path)
    at = 987_654_321_000
    body = {
        frames.EVENT_CODE: frames.EVENT_MARK,
        frames.EVENT_PRIORITY: 0,
        frames.EVENT_EVIDENCE: [[7003, 1]],
    }
    entries = [NODE_KEYS, batch.clock_entry(NODE.id, BOOT, at, BEGIN_MS * 1000, 0, 1500)]
    entries.append(assign(PERSON, BEGIN_MS - 10_000, None, BEGIN_MS - 10_000))
    found = [
        boot_frame(),
        vitals(at),
        vitals(at + SECOND),
        ecg(at),
        frames.pack(frames.KIND_EVENT, at + SECOND, body),
    ]
    entries += [batch.frame_entry(NODE.id, BOOT, 7000 + n, one, BEGIN_MS) for n, one in enumerate(found)]
    rig.receipt(Chain().make(entries))
    (plain,), (masked,) = export(rig, "fhir"), export(rig, "fhir", "--deidentify")
    described = next(one for one in export(rig, "csv", "--deidentify") if one.suffix == ".json")
    rig.store.close()
    one, other = json.loads(plain.read_text())["entry"], json.loads(masked.read_text())["entry"]
    assert "7003" in plain.read_text() and "7003" not in masked.read_text()
    assert str(at) in plain.read_text() and str(at) not in masked.read_text()
    assert [run["seq"] for run in json.loads(described.read_text())["signals"][0]["runs"]] == [None]
    assert len(one) == len(other)
    assert not {entry["fullUrl"] for entry in one} & {entry["fullUrl"] for entry in other}
    there = {entry["fullUrl"] for entry in other}
    for entry in other:
        assert entry["resource"].get("subject", {}).get("reference", entry["fullUrl"]) in there
    assert not {str(entry["resource"]["identifier"]) for entry in one} & {
        str(entry["resource"]["identifier"]) for entry in other
    }


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1", "=1", "+1", "-1", "@a", "\uff1d1"])
def test_no_text_begins_as_a_formula(tmp_path, text):
    from tools.collector.export_text import cell

    assert cell(text) == "'" + text and cell("a" + text) == "a" + text


def test_completeness_has_the_days_of_the_measurement(tmp_path, place):
    """Measured on the 22nd and, by a start that met no agent, brought on the 25th."""
    rig = make_empty(tmp_path, place)
    entries = [NODE_KEYS, batch.clock_entry(NODE.id, BOOT, 0, BEGIN_MS * 1000, 0, 1500)]
    brought = BEGIN_MS + 2 * DAY // 1000
    entries += [
        batch.frame_entry(NODE.id, BOOT, n, one, brought)
        for n, one in enumerate([boot_frame(), ecg(0), ecg(SECOND)])
    ]
    undated = (2).to_bytes(4, "big") + bytes(8)
    entries.append(batch.frame_entry(NODE.id, undated, 0, boot_frame(), brought + DAY // 1000))
    rig.receipt(Chain().make(entries))
    said = [json.loads(line) for line in run(rig, "completeness", "--json").splitlines()]
    rig.store.close()
    assert [day["day"] for day in said] == ["2025-11-22", "2025-11-23", "2025-11-24", "2025-11-25"]
    assert said[0]["measured_s"] == {"ECG lead I": 2.0} and said[3]["undated"] == 1
