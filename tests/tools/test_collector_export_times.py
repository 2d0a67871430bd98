"""A sample is exported where it was measured: whatever the sensor's own clock and the agent's clock do."""

import csv
import json
from datetime import UTC, datetime

import numpy as np
import pytest

from edge_agent.waves import joins
from tests.tools.export_kit import (
    BEGIN_MS,
    ECG_EACH,
    PPG_EACH,
    PPG_LSB,
    PPG_NS,
    boot_frame,
    ecg,
    export,
    make_empty,
    mark,
    stored,
    vitals,
    wave,
)
from tools.collector import export_read
from tools.collector.export import _minutes
from tools.collector.export_signal import MAX_OFF_US

SECOND = 1_000_000
HOUR = 3600 * SECOND


def edf(path):
    """Of each signal (samples, a second, filler), and annotations as (onset, duration, text)."""
    import pyedflib

    with pyedflib.EdfReader(str(path)) as reader:
        signals = {
            label: (
                reader.readSignal(n, digital=True),
                reader.getSampleFrequency(n),
                reader.getDigitalMinimum(n),
            )
            for n, label in enumerate(reader.getSignalLabels())
        }
        return reader.getStartdatetime(), signals, list(zip(*reader.readAnnotations(), strict=True))


@pytest.mark.parametrize(
    ("samples", "elapsed_us", "whole"),
    [
        (100, 1_000_000, True),
        (100, 1_050_000, True),
        (100, 950_000, True),
        (100, 1_071_000, False),
        (100, 2_000_000, False),
        (100, 929_000, False),
        (1, 29_000, True),
        (1, 31_000, False),
    ],
)
def test_blocks_join_by_what_an_oscillator_may_be_off(samples, elapsed_us, whole):
    assert joins(PPG_NS, samples, elapsed_us) is whole


def test_a_sensor_that_is_off_its_nominal_rate_leaves_no_gap_and_no_drift(tmp_path):
    slow, fast, seconds = 1_010_050, 980_090, 120
    frames = [boot_frame()]
    for n in range(seconds):
        frames.append(ecg(n * slow, n + 1))
        frames.append(wave(1, n * fast, [n + 1] * PPG_EACH, PPG_NS, PPG_LSB))
    rig = make_empty(tmp_path)
    stored(rig, frames)
    path = next(one for one in export(rig, "edf") if one.suffix != ".json")
    (header,) = [one for one in export(rig, "wfdb") if one.suffix == ".hea"]
    (sheet,) = [one for one in export(rig, "csv") if one.name.endswith("ppg-red.csv")]
    rig.store.close()
    begin, signals, notes = edf(path)
    assert begin.replace(tzinfo=UTC) == datetime.fromtimestamp(BEGIN_MS / 1000, UTC)
    assert [text for _, _, text in notes if text != "no PPG red"] == []
    for label, period_us, each in (("ECG lead I", slow, ECG_EACH), ("PPG red", fast, PPG_EACH)):
        samples, rate, filler = signals[label]
        measured = samples[samples != filler]
        assert measured.tolist() == [n + 1 for n in range(seconds) for _ in range(each)]
        firsts = np.array([np.flatnonzero(samples == n + 1)[0] for n in range(seconds)])
        assert np.abs(firsts / rate - np.arange(seconds) * period_us / 1e6).max() < 0.01
    facts = json.loads(path.with_suffix(".json").read_text())["signals"]
    assert [round(one["measured_period_ns"] / one["period_ns"], 3) for one in facts] == [1.01, 0.98]
    assert all(one["furthest_from_time_us"] < 10_000 for one in facts)
    for one in facts:
        # The length of a record in the header is the one that this was reckoned with, to the last digit.
        assert signals[one["label"]][1] == pytest.approx(1e9 / one["period_in_file_ns"], rel=1e-7)

    import wfdb

    record = wfdb.rdrecord(str(header.with_suffix("")), physical=False, smooth_frames=False)
    found = np.flatnonzero(record.e_d_signal[1] == seconds)[0] / (record.fs * record.samps_per_frame[1])
    assert found == pytest.approx((seconds - 1) * fast / 1e6, abs=0.01)
    with sheet.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == seconds * PPG_EACH
    assert int(rows[-PPG_EACH]["unix_us"]) == BEGIN_MS * 1000 + (seconds - 1) * fast


def test_what_is_missing_is_a_gap_however_the_sensor_runs(tmp_path):
    at = [n * 1_010_000 for n in range(20)]
    rig = make_empty(tmp_path)
    blocks = [ecg(t_us) for n, t_us in enumerate(at) if n not in (5, 6)]
    blocks.append(ecg(at[-1] + 1_014_000, missed=1))
    stored(rig, [boot_frame(), *blocks])
    path = next(one for one in export(rig, "edf") if one.suffix != ".json")
    rig.store.close()
    _, _, notes = edf(path)
    (lost, stated) = [note for note in notes if note[2] == "no ECG lead I"]
    assert lost[:2] == pytest.approx((5.05, 2.02), abs=0.01)
    assert stated[:2] == pytest.approx((20.2, 0.004), abs=0.005)


def test_a_rate_that_does_not_stay_ends_the_recording(tmp_path):
    """No file says of a sample that it was more than MAX_OFF_US away from when it was."""
    frames, t_us = [boot_frame()], 0
    for n in range(90):
        frames.append(ecg(t_us, n + 1))
        t_us += 1_000_000 if n < 30 else 1_020_000
    rig = make_empty(tmp_path)
    stored(rig, frames)
    files = export(rig, "edf")
    rig.store.close()
    facts = [json.loads(one.read_text())["signals"][0] for one in files if one.suffix == ".json"]
    assert len(facts) == 2
    assert max(one["furthest_from_time_us"] for one in facts) <= MAX_OFF_US + 2 * 1500 + 10_000
    values = [
        n for one in files if one.suffix == ".edf" for n in sorted({*edf(one)[1]["ECG lead I"][0]}) if n > 0
    ]
    assert values == list(range(1, 91))


def test_an_annotation_stands_by_its_samples_after_the_agents_clock_was_put_back(tmp_path):
    """Also one that comes before the first samples that are dated anew."""
    frames = [boot_frame(), *(ecg(n * SECOND, n + 1) for n in range(60)), mark(50_500_000, "later")]
    frames.insert(32, mark(31_500_000, "at once"))
    rig = make_empty(tmp_path)
    stored(rig, frames, [(0, 0), (60 * SECOND, -30 * SECOND)])
    files = [edf(one) for one in export(rig, "edf") if one.suffix != ".json"]
    rig.store.close()
    seen = {}
    for begin, signals, notes in files:
        for onset, _, text in notes:
            samples, rate, _ = signals["ECG lead I"]
            seen[text] = (samples[round(onset * rate)], begin.replace(tzinfo=UTC).timestamp() + onset)
    assert seen["mark: at once"] == (32, pytest.approx(BEGIN_MS / 1000 + 1.5, abs=0.01))
    assert seen["mark: later"] == (51, pytest.approx(BEGIN_MS / 1000 + 20.5, abs=0.01))


def test_fhir_is_dated_by_the_fit_of_its_minute(tmp_path):
    rig = make_empty(tmp_path)
    stored(rig, [boot_frame(), vitals(SECOND), vitals(HOUR + SECOND)], [(0, 0), (HOUR, 600 * SECOND)])
    (path,) = export(rig, "fhir")
    rig.store.close()
    found = [entry["resource"] for entry in json.loads(path.read_text())["entry"]]
    rates = [
        datetime.fromisoformat(one["effectiveDateTime"]).timestamp() * 1000 - BEGIN_MS
        for one in found
        if one["resourceType"] == "Observation" and "147842" in json.dumps(one["code"])
    ]
    assert rates == [1000, 3_601_000 + 600_000]


def test_a_recording_ends_after_a_while(tmp_path, monkeypatch):
    """It is in memory as a whole."""
    monkeypatch.setattr(export_read, "MAX_LENGTH_S", 10)
    rig = make_empty(tmp_path)
    stored(rig, [boot_frame(), *(ecg(n * SECOND, n + 1) for n in range(25))])
    files = [one for one in export(rig, "edf") if one.suffix != ".json"]
    rig.store.close()
    spans = [[n for n in edf(one)[1]["ECG lead I"][0] if n > 0] for one in files]
    assert [(one[0], one[-1]) for one in spans] == [(1, 10), (11, 20), (21, 25)]


def test_fhir_holds_three_minutes_at_most():
    """A month of one start goes through it."""

    class Look:
        def row(self, moment):
            return type("Row", (), {"node": b"n", "boot": b"b", "at": moment})

        def minute(self, moment):
            return moment // 60

    taken = 0

    def moments():
        nonlocal taken
        for taken in range(3600):
            # Not quite in order, as frames are.
            yield taken ^ 1

    found = []
    for rows in _minutes(Look(), moments()):
        assert taken <= rows[0].at + 240
        found.append([row.at // 60 for row in rows])
    assert found == [[n] * 60 for n in range(60)]
