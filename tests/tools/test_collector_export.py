"""What is exported is read back sample for sample by other readers; de-identified it gives nobody away."""

import csv
import errno
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from click.testing import CliRunner

from protocol import batch, frames
from tests.tools.collector_rig import BOOT, NODE, PERSON, Chain, Rig
from tests.tools.export_kit import (
    BEGIN_MS,
    DAY_MS,
    ECG_EACH,
    ECG_LSB,
    ECG_NS,
    MISSING,
    PPG_EACH,
    PPG_LSB,
    SECONDS,
    export,
    make,
    run,
    wave,
)
from tools.collector import export_files
from tools.collector.commands import command


class Edf:
    """A reader of EDF and BDF from the specification, for these tests: https://www.edfplus.info/specs/edf.html"""

    def __init__(self, path):
        data = path.read_bytes()
        width = 3 if data[0] == 0xFF else 2
        n = int(data[252:256])
        self.records, self.record_s = int(data[236:244]), float(data[244:252])
        self.begin = datetime.strptime(data[168:184].decode(), "%d.%m.%y%H.%M.%S").replace(tzinfo=UTC)
        at, fields = 256, {}
        for name, size in [
            ("label", 16), ("transducer", 80), ("unit", 8), ("pmin", 8), ("pmax", 8),
            ("dmin", 8), ("dmax", 8), ("prefilter", 80), ("count", 8), ("reserved", 32),
        ]:  # fmt: skip
            fields[name] = [data[at + k * size : at + (k + 1) * size].decode().strip() for k in range(n)]
            at += n * size
        self.fields = fields
        self.samples = {label: [] for label in fields["label"]}
        for _ in range(self.records):
            for label, count in zip(fields["label"], map(int, fields["count"]), strict=True):
                raw = data[at : at + count * width]
                at += count * width
                if "Annotations" not in label:
                    steps = range(0, len(raw), width)
                    self.samples[label] += [
                        int.from_bytes(raw[k : k + width], "little", signed=True) for k in steps
                    ]
        assert at == len(data)

    def signal(self, label):
        k = self.fields["label"].index(label)
        pmin, pmax = float(self.fields["pmin"][k]), float(self.fields["pmax"][k])
        dmin, dmax = int(self.fields["dmin"][k]), int(self.fields["dmax"][k])
        lsb = (pmax - pmin) / (dmax - dmin)
        return (
            self.samples[label],
            dmin,
            lsb,
            self.fields["unit"][k],
            int(self.fields["count"][k]) / self.record_s,
        )


@pytest.mark.parametrize("bits", [12, 18])
def test_edf(tmp_path, place, bits):
    import pyedflib

    rig, morning = make(tmp_path, place, ppg_bits=bits)
    files = export(rig, "edf")
    rig.store.close()
    (path,) = [one for one in files if one.suffix != ".json"]
    assert path.suffix == (".edf" if bits == 12 else ".bdf")
    found = Edf(path)
    assert found.begin == datetime.fromtimestamp(BEGIN_MS / 1000, UTC)
    ecg, filler, lsb, unit, rate = found.signal("ECG lead I")
    assert (unit, rate) == ("uV", 256.0)
    assert lsb == pytest.approx(ECG_LSB / 1000, rel=1e-12)
    for second in range(SECONDS):
        part = ecg[second * ECG_EACH : (second + 1) * ECG_EACH]
        assert part == morning.ecg.get(second, [filler] * ECG_EACH)
    ppg, _, lsb, unit, rate = found.signal("PPG red")
    assert (unit, rate) == ("nA", 100.0)
    assert [round(one * lsb * 1000 / PPG_LSB) for one in ppg[: PPG_EACH * SECONDS]] == [
        sample for second in range(SECONDS) for sample in morning.ppg[second]
    ]
    with pyedflib.EdfReader(str(path)) as reader:
        onsets, durations, texts = reader.readAnnotations()
        gap = list(texts).index("no ECG lead I")
        assert (onsets[gap], durations[gap]) == (MISSING.start, len(MISSING))
        mark = next(k for k, text in enumerate(texts) if "Anna felt dizzy" in text)
        assert onsets[mark] == pytest.approx(12.5, abs=0.001)
        assert "heart_rate_per_min 72.4" in list(texts)


def test_wfdb(tmp_path, place):
    import wfdb

    rig, morning = make(tmp_path, place)
    (header,) = [one for one in export(rig, "wfdb") if one.suffix == ".hea"]
    rig.store.close()
    name = str(header.with_suffix(""))
    record = wfdb.rdrecord(name, physical=False, smooth_frames=False)
    ecg, ppg = (np.array(one) for one in record.e_d_signal)
    for second in range(SECONDS):
        part = ecg[second * ECG_EACH : (second + 1) * ECG_EACH].tolist()
        assert part == morning.ecg.get(second, [-32768] * ECG_EACH)
    assert ppg[: SECONDS * PPG_EACH].tolist() == [x for s in range(SECONDS) for x in morning.ppg[s]]
    physical = wfdb.rdrecord(name, smooth_frames=False)
    value = physical.e_p_signal[0][:ECG_EACH]
    assert np.rint(value * 1000 / ECG_LSB).astype(int).tolist() == morning.ecg[0]
    assert np.isnan(physical.e_p_signal[0][MISSING.start * ECG_EACH])
    assert record.base_datetime == datetime.fromtimestamp(BEGIN_MS / 1000, UTC).replace(tzinfo=None)
    notes = wfdb.rdann(name, "vw")
    at = {text: sample / notes.fs for sample, text in zip(notes.sample, notes.aux_note, strict=True)}
    assert at["no ECG lead I (4 s)"] == MISSING.start
    assert any("Anna" in text for text in at)


def test_csv(tmp_path):
    rig, morning = make(tmp_path)
    files = {one.name.rpartition("-")[2]: one for one in export(rig, "csv")}
    rig.store.close()
    with files["ecg.csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["sample"]) for row in rows] == [x for s in sorted(morning.ecg) for x in morning.ecg[s]]
    assert (rows[0]["unix_us"], rows[0]["value_uV"]) == (
        str(BEGIN_MS * 1000),
        f"{morning.ecg[0][0] * ECG_LSB / 1000:.3f}",
    )
    with files["values.csv"].open() as file:
        values = {row["quantity"]: row["value"] for row in csv.DictReader(file)}
    assert values == {"heart_rate_per_min": "72.4", "spo2_percent": "97.1"}
    runs = json.loads(next(one for name, one in files.items() if name.endswith(".json")).read_text())[
        "signals"
    ][0]["runs"]
    assert [run["count"] for run in runs] == [5 * ECG_EACH, 11 * ECG_EACH]


def test_fhir(tmp_path):
    pytest.importorskip("fhir.resources")
    from fhir.resources.R4B.bundle import Bundle

    rig, _ = make(tmp_path)
    (path,) = export(rig, "fhir")
    rig.store.close()
    bundle = Bundle.model_validate_json(path.read_text())
    text = path.read_text()
    assert bundle.type == "collection"
    rates = [
        entry.resource
        for entry in bundle.entry
        if entry.resource.get_resource_type() == "Observation"
        and "8867-4" in entry.resource.model_dump_json()
    ]
    assert [float(one.valueQuantity.value) for one in rates] == [72.4]
    assert str(UUID(bytes=PERSON)) in text


@pytest.mark.parametrize("form", ["edf", "wfdb", "csv", "fhir"])
def test_a_de_identified_export_gives_nobody_away(tmp_path, form):
    rig, _ = make(tmp_path)
    files = export(rig, form, "--deidentify")
    secret = (tmp_path / "pseudonyms.key").read_text().strip()
    again = export(rig, form, "--deidentify", "--from", "2025-11-22")
    other = export(rig, form, "--deidentify", "--key-file", str(tmp_path / "other.key"))
    rig.store.close()
    assert [one.name for one in files] == [one.name for one in again] != [one.name for one in other]
    assert (tmp_path / "pseudonyms.key").stat().st_mode & 0o777 == 0o600
    told = [PERSON, NODE.id, BOOT]
    uuid = str(UUID(bytes=PERSON))
    for one in files:
        data = one.name.encode() + one.read_bytes()
        for name in told:
            assert name not in data and name.hex().encode() not in data
        for word in (
            b"Anna",
            b"dizzy",
            secret.encode(),
            b"2025-11-22",
            b"22.11.25",
            str(BEGIN_MS)[:7].encode(),
            uuid.encode(),
        ):
            assert word not in data, (one, word)


def test_the_shift_is_one_constant_and_far(tmp_path):
    rig, _ = make(tmp_path)
    (path,) = [one for one in export(rig, "edf", "--deidentify") if one.suffix == ".bdf"]
    rig.store.close()
    away = datetime.fromtimestamp(BEGIN_MS / 1000, UTC) - Edf(path).begin
    assert timedelta(days=364) < away < timedelta(days=3651)
    ecg = np.array(Edf(path).samples["ECG lead I"])
    measured = np.flatnonzero(ecg != ecg.min())
    assert measured[-1] - measured[0] >= (SECONDS - 1) * ECG_EACH


def test_only_what_was_certainly_theirs_and_on_a_body(tmp_path):
    rig, _ = make(tmp_path)
    late = wave(frames.CH_ECG, (SECONDS + 5) * 1_000_000, [1] * 10, ECG_NS, ECG_LSB)
    # Its first sample is the person's, its last is not.
    edge = wave(frames.CH_ECG, SECONDS * 1_000_000, [2] * 10, ECG_NS, ECG_LSB)
    made_up = wave(frames.CH_ECG, 6_000_000, [3] * 10, ECG_NS, ECG_LSB, source=frames.SRC_SYNTHETIC)
    other_boot = (2).to_bytes(4, "big") + bytes(8)
    entries = [
        batch.frame_entry(NODE.id, BOOT, 1000 + n, one, BEGIN_MS)
        for n, one in enumerate([late, edge, made_up])
    ]
    entries.append(batch.frame_entry(NODE.id, other_boot, 0, late, BEGIN_MS))
    rig.receipt(Chain(chain=b"chain--2").make(entries))
    out = rig.folder / "out"
    said = run(rig, "export", "--person", PERSON.hex(), "--format", "csv", str(out))
    for words in (
        "1 message, may be another's",
        "1 message, not measured on a body",
        "1 message, not dated",
    ):
        assert words in said
    (ecg,) = out.glob("*-ecg.csv")
    assert len(ecg.read_text().splitlines()) == 1 + (SECONDS - len(MISSING)) * ECG_EACH
    # Of the node it is all there, and says what it is.
    run(rig, "export", "--node", NODE.id.hex(), "--format", "csv", str(tmp_path / "node"))
    rig.store.close()
    assert "synthetic" in "".join(one.read_text() for one in (tmp_path / "node").glob("*.json"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "csv", "OUT"], "say whose"),
        (["--node", "00" * 8, "--format", "fhir", "OUT"], "of a person"),
        (["--person", "12", "--format", "csv", "OUT"], "16 bytes in hex"),
        (["--person", "00" * 16, "--format", "fhir", "OUT"], "operators"),
        (["--node", "00" * 8, "--format", "csv", "--from", "yesterday", "OUT"], "2026-11-22"),
        (["--node", "00" * 8, "--format", "csv", "OUT"], "nothing was measured"),
        (["--node", NODE.id.hex(), "--format", "csv", "FULL"], "name a new folder"),
        (["--node", NODE.id.hex(), "--format", "csv", "EMPTY"], "name a new folder"),
    ],
)
def test_what_cannot_be_exported_is_said(tmp_path, arguments, words):
    rig, _ = make(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "empty").mkdir()
    named = {name: str(tmp_path / name.lower()) for name in ("OUT", "FULL", "EMPTY")}
    where = ["export", "--state", str(tmp_path)]
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(command, where + [named.get(one, one) for one in arguments])
    assert result.exit_code != 0 and words in result.output, result.output
    assert sorted(tmp_path.rglob("*")) == before, "nothing is left of it"
    rig.store.close()


def test_an_export_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    rig, _ = make(tmp_path)
    real = export_files.write_all

    def full(*arguments):
        real(*arguments)
        raise OSError(errno.ENOSPC, "No space left on device", "x")

    monkeypatch.setattr(export_files, "write_all", full)
    run(rig, "export", "--person", PERSON.hex(), "--format", "csv", str(tmp_path / "out"), code=1)
    assert not [one for one in tmp_path.iterdir() if "out" in one.name]
    monkeypatch.undo()
    assert export(rig, "csv")
    rig.store.close()


def test_completeness(tmp_path, place):
    rig, _ = make(tmp_path, place)
    said = run(rig, "completeness", "--day", "2025-11-22")
    (day,) = [
        json.loads(line) for line in run(rig, "completeness", "--day", "2025-11-22", "--json").splitlines()
    ]
    rig.store.close()
    assert day["measured_s"] == {"ECG lead I": 16.0, "PPG red": 20.0}
    assert (day["produced"], day["received"], day["not_here"]) == (39, 39, 0)
    first = day["gaps"][0]
    assert first["channel"] == "ECG lead I" and first["bound_ms"] in (3, 4)
    assert abs(first["begin_ms"] - (BEGIN_MS + 5000)) <= 2 and abs(first["end_ms"] - (BEGIN_MS + 9000)) <= 2
    assert day["expected_s"] == pytest.approx((DAY_MS + 86_400_000 - BEGIN_MS) / 1000, abs=0.01)
    assert "ECG lead I: 16.0 s measured of 16 h 0 min" in said
    assert "no ECG lead I for 4.0 s: 08:00:05 to 08:00:09" in said


def test_completeness_says_what_became_of_each_number(tmp_path):
    rig = Rig(tmp_path)
    loss = frames.pack(frames.KIND_LOSS, 9_000_000, {frames.LOSS_RANGES: [[2, 3, frames.LOSS_OUTBOX_FULL]]})
    ends = [wave(frames.CH_ECG, s * 1_000_000, [1] * 256, ECG_NS, ECG_LSB) for s in (0, 8)]
    entries = [batch.clock_entry(NODE.id, BOOT, 0, BEGIN_MS * 1000, 0, 1000)]
    entries += [
        batch.frame_entry(NODE.id, BOOT, seq, one, BEGIN_MS)
        for seq, one in ((0, ends[0]), (8, ends[1]), (9, loss))
    ]
    rig.receipt(Chain().make(entries))
    (day,) = [json.loads(line) for line in run(rig, "completeness", "--json").splitlines()]
    said = run(rig, "completeness", "--node", NODE.id.hex())
    rig.store.close()
    assert (day["produced"], day["received"], day["given_up"], day["not_here"]) == (
        10,
        3,
        {"outbox full": 3},
        4,
    )
    assert "10 made by the node, 3 here, 3 given up by the node (outbox full), 4 not here (yet)" in said


def test_completeness_counts_what_a_later_boot_says_was_given_up(tmp_path):
    rig = Rig(tmp_path)
    later = (2).to_bytes(4, "big") + bytes(8)
    said = {frames.LOST_BEFORE: [[BOOT, 2, 3, frames.LOSS_OUTBOX_FULL]]}
    before = frames.pack(frames.KIND_LOST_BEFORE, 1_000_000, said)
    ends = [wave(frames.CH_ECG, s * 1_000_000, [1] * 256, ECG_NS, ECG_LSB) for s in (0, 8)]
    entries = [batch.clock_entry(NODE.id, BOOT, 0, BEGIN_MS * 1000, 0, 1000)]
    entries += [
        batch.frame_entry(NODE.id, BOOT, seq, one, BEGIN_MS) for seq, one in ((0, ends[0]), (8, ends[1]))
    ]
    entries.append(batch.frame_entry(NODE.id, later, 0, before, BEGIN_MS))
    rig.receipt(Chain().make(entries))
    (day,) = [json.loads(line) for line in run(rig, "completeness", "--json").splitlines()]
    rig.store.close()
    assert (day["produced"], day["received"], day["given_up"], day["not_here"]) == (
        9,
        2,
        {"outbox full": 3},
        4,
    )


@pytest.mark.parametrize("steps_s", [(86_400,), (-86_400,), (86_400, -86_400), (-3600, 3600, 86_400)])
def test_completeness_of_a_boot_in_which_the_clock_was_set(tmp_path, steps_s):
    """Each frame is in one of the days by which it is dated, none in no day."""
    rig = Rig(tmp_path)
    entries, off_s = [], 0
    for n, step_s in enumerate((0, *steps_s)):
        off_s += step_s
        at_us = (BEGIN_MS + (off_s + 10 * n) * 1000) * 1000
        entries.append(batch.clock_entry(NODE.id, BOOT, n * 10_000_000, at_us, 0, 300))
    for s in range(10 * len(entries)):
        plaintext = wave(frames.CH_ECG, s * 1_000_000, [1] * 256, ECG_NS, ECG_LSB)
        entries.append(batch.frame_entry(NODE.id, BOOT, s, plaintext, BEGIN_MS))
    rig.receipt(Chain().make(entries))
    days = ("2025-11-21", "2025-11-22", "2025-11-23")
    found = [json.loads(run(rig, "completeness", "--day", day, "--json")) for day in days]
    rig.store.close()
    assert sum(day["received"] for day in found) == 10 * (len(steps_s) + 1)
    assert sum(day["received"] > 0 for day in found) == 2


@pytest.mark.parametrize(("period_ns", "block_s"), [(5_005_005, 5), (8_000_000, 1), (7_812_500, 1)])
def test_rates_that_are_no_whole_number_a_second(tmp_path, period_ns, block_s):
    rig = Rig(tmp_path)
    samples = [n - 500 for n in range(1000)]
    entries = [batch.clock_entry(NODE.id, BOOT, 0, BEGIN_MS * 1000, 0, 1000)]
    for seq in range(3):
        t_us = seq * 1000 * period_ns // 1000
        plaintext = wave(frames.CH_ECG, t_us, samples, period_ns, ECG_LSB)
        entries.append(batch.frame_entry(NODE.id, BOOT, seq, plaintext, BEGIN_MS))
    rig.receipt(Chain().make(entries))
    run(rig, "export", "--node", NODE.id.hex(), "--format", "edf", str(tmp_path / "out"))
    rig.store.close()
    (path,) = (tmp_path / "out").glob("*.edf")
    found = Edf(path)
    ecg, _, _, _, rate = found.signal("ECG lead I")
    assert (found.record_s, ecg[:3000]) == (block_s, samples * 3)
    assert rate == pytest.approx(1e9 / period_ns, rel=1e-6)


def test_no_cell_is_a_formula(tmp_path):
    rig = Rig(tmp_path)
    body = {
        frames.EVENT_CODE: frames.EVENT_MARK,
        frames.EVENT_PRIORITY: 0,
        frames.EVENT_TEXT: '=HYPERLINK("x")',
    }
    plaintext = frames.pack(frames.KIND_EVENT, 0, body)
    clock = batch.clock_entry(NODE.id, BOOT, 0, BEGIN_MS * 1000, 0, 1000)
    rig.receipt(Chain().make([clock, batch.frame_entry(NODE.id, BOOT, 0, plaintext, BEGIN_MS)]))
    run(rig, "export", "--node", NODE.id.hex(), "--format", "csv", str(tmp_path / "out"))
    rig.store.close()
    (events,) = (tmp_path / "out").glob("*-events.csv")
    with events.open() as file:
        assert [row["text"] for row in csv.DictReader(file)] == ['\'=HYPERLINK("x")']
