"""The patient: model, recordings of any rate, and the pulse wave with a known saturation."""

import math
from pathlib import Path

import numpy as np
import pytest

from boards.virtual import recording
from boards.virtual.arm import ARRIVAL_S
from boards.virtual.patient import SOURCE_REPLAY, SOURCE_SYNTHETIC, Patient, make_patient
from boards.virtual.ppg import ratio_for
from boards.virtual.recording import RecordedHeart, RecordError, detect_beats, find_record

wfdb = pytest.importorskip("wfdb")
# wfdb writes its headers through pandas, whose deprecations are not ours to mend
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def write_record(
    folder: Path, fs: float, seconds: float, name: str = "r", beats: "list[int] | None" = None
) -> Path:
    """A recording of a 10 Hz and a 35 Hz sine, 1 and 0.5 mV."""
    t = np.arange(int(fs * seconds)) / fs
    mv = np.sin(2 * math.pi * 10 * t) + 0.5 * np.sin(2 * math.pi * 35 * t)
    wfdb.wrsamp(
        name,
        fs=fs,
        units=["mV"],
        sig_name=["MLII"],
        p_signal=mv[:, None],
        fmt=["16"],
        adc_gain=[10000.0],
        baseline=[0],
        write_dir=str(folder),
    )
    if beats:
        wfdb.wrann(name, "atr", np.array(beats), symbol=["N"] * len(beats), write_dir=str(folder))
    return folder / name


@pytest.mark.parametrize("fs", [100.0, 128.0, 250.0, 257.3, 360.0, 500.0, 1000.0, 5000.0])
@pytest.mark.parametrize("period_us", [4000.0, 4000.0 / 1.0001, 2000.0])
def test_any_rate_is_resampled_to_the_chip_s_instants(tmp_path: Path, fs: float, period_us: float) -> None:
    patient = Patient(RecordedHeart(write_record(tmp_path, fs, 8, beats=[10])))
    start_us = 2_000_123.4
    got: list[float] = []
    for i in range(4):
        got += patient.ecg_uv(start_us + i * 100 * period_us, period_us, 100)
    t = (start_us + period_us * np.arange(400)) / 1e6
    expected = 1000 * np.sin(2 * math.pi * 10 * t) + 500 * np.sin(2 * math.pi * 35 * t)
    tolerance = 12 if fs > 110 else 60  # at 100 Hz, 35 Hz lies close to the cutoff of 45
    assert np.max(np.abs(np.array(got) - expected)) < tolerance


def test_nothing_above_the_chip_s_band_is_folded_into_it(tmp_path: Path) -> None:
    t = np.arange(20_000) / 2000.0
    mv = np.sin(2 * math.pi * 240 * t)
    wfdb.wrsamp(
        "a",
        fs=2000,
        units=["mV"],
        sig_name=["I"],
        p_signal=mv[:, None],
        fmt=["16"],
        adc_gain=[10000.0],
        baseline=[0],
        write_dir=str(tmp_path),
    )
    patient = Patient(RecordedHeart(tmp_path / "a"))
    assert np.max(np.abs(patient.ecg_uv(1e6, 4000.0, 500))) < 5


def test_a_recording_is_played_in_a_loop(tmp_path: Path) -> None:
    path = write_record(tmp_path, 360, 10, beats=[180, 540])
    patient = Patient(RecordedHeart(path))
    once = patient.ecg_uv(3_000_000, 4000, 200)
    again = patient.ecg_uv(23_000_000, 4000, 200)
    assert np.allclose(once, again, atol=1e-6)
    assert patient.beats_s(9.0, 22.0) == pytest.approx([10.5, 11.5, 20.5, 21.5])


def test_labels_and_sources(tmp_path: Path) -> None:
    model = make_patient()
    assert (model.source_ecg, model.source_ppg) == (SOURCE_SYNTHETIC, SOURCE_SYNTHETIC)
    assert "synthetic" in model.label
    replay = Patient(RecordedHeart(write_record(tmp_path, 360, 4, name="x1", beats=[10])))
    assert (replay.source_ecg, replay.source_ppg) == (SOURCE_REPLAY, SOURCE_SYNTHETIC)
    assert "replay" in replay.label and "x1 MLII" in replay.label and "synthetic pulse wave" in replay.label


def test_model_rate_and_shape() -> None:
    patient = make_patient(hr_bpm=90, seed=3)
    assert len(patient.beats_s(0, 120)) == pytest.approx(180, abs=6)
    ecg = np.concatenate([patient.ecg_uv(i * 512_000, 4000, 128) for i in range(100)])
    found = detect_beats(ecg, 250)
    truth = patient.beats_s(0.5, 50.5)
    matched = sum(np.min(np.abs(found - r)) < 0.03 for r in truth)
    assert matched >= len(truth) - 1
    again = make_patient(hr_bpm=90, seed=3)
    assert again.beats_s(0, 60) == patient.beats_s(0, 60)


def test_a_model_s_rate_can_change_while_it_beats() -> None:
    patient = make_patient(hr_bpm=60)
    patient.beats_s(0, 30)
    patient.heart.hr_bpm = 120  # type: ignore[union-attr]
    assert len(patient.beats_s(35, 65)) == pytest.approx(60, abs=4)


@pytest.mark.parametrize("spo2", [100, 97, 90, 80, 70])
def test_the_saturation_can_be_got_back_from_the_pulse_wave(spo2: float) -> None:
    patient = make_patient(spo2_pct=spo2)
    red, infrared = (np.array(c) for c in patient.ppg_na(5e6, 10_000, 6000))
    window = np.hanning(301)
    window /= window.sum()

    def ac(signal: np.ndarray) -> float:
        # the fundamental's neighbourhood, without breathing: 0.7 to 4 Hz
        log = np.log(signal)
        spectrum = np.fft.rfft((log - log.mean()) * np.hanning(len(log)))
        hz = np.fft.rfftfreq(len(log), 0.01)
        return float(np.sqrt((np.abs(spectrum[(hz > 0.7) & (hz < 4)]) ** 2).sum()))

    ratio = ac(red) / ac(infrared)
    assert 110 - 25 * ratio == pytest.approx(spo2, abs=0.3)


def test_blood_arrives_after_the_beat_as_a_dip() -> None:
    patient = make_patient(hr_bpm=60)
    _, infrared = (np.array(c) for c in patient.ppg_na(0, 10_000, 2000))
    for r in patient.beats_s(2, 18):
        at = int(r * 100)
        dip = at + 20 + int(np.argmin(infrared[at + 20 : at + 70]))
        assert 0.33 < dip / 100 - r < 0.50


def test_states_of_the_sensors() -> None:
    patient = make_patient()
    patient.finger_off = True
    red, infrared = patient.ppg_na(0, 10_000, 100)
    assert max(red) < 30 and max(infrared) < 30
    patient.spo2_pct = 80
    assert patient.pulse.spo2_pct == 80
    with pytest.raises(ValueError, match="between 50 and 100"):
        patient.spo2_pct = 40
    with pytest.raises(ValueError):
        ratio_for(101)


def test_beats_are_detected_where_there_are_no_annotations(tmp_path: Path) -> None:
    model = make_patient(hr_bpm=75, seed=5)
    mv = np.array(model.ecg_uv(0, 1e6 / 360, 360 * 30)) / 1000
    wfdb.wrsamp(
        "m",
        fs=360,
        units=["mV"],
        sig_name=["V5"],
        p_signal=mv[:, None],
        fmt=["16"],
        adc_gain=[2000.0],
        baseline=[0],
        write_dir=str(tmp_path),
    )
    heart = RecordedHeart(tmp_path / "m")
    assert heart.beats_from == "detector"
    truth = model.beats_s(1, 29)
    found = np.array(heart.beats(0, 30))
    assert sum(np.min(np.abs(found - r)) < 0.05 for r in truth) >= len(truth) - 1
    assert len(found) <= len(truth) + 4


def test_where_records_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mitdb").mkdir()
    write_record(tmp_path / "mitdb", 360, 2, name="100", beats=[10])
    monkeypatch.setenv("VITALWIRE_DATA", str(tmp_path))
    assert find_record("mitdb/100") == tmp_path / "mitdb" / "100"
    assert find_record(str(tmp_path / "mitdb" / "100.hea")) == tmp_path / "mitdb" / "100"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VITALWIRE_DATA", "/nonexistent")
    assert find_record("mitdb/100") == Path("mitdb/100")
    monkeypatch.setenv("VITALWIRE_DATA", str(tmp_path))
    assert recording.default_record() == str(tmp_path / "mitdb" / "100")


def test_a_recording_that_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALWIRE_DATA", str(tmp_path))
    monkeypatch.setattr(recording, "CACHE", str(tmp_path / "cache"))
    with pytest.raises(RecordError, match="no such file") as caught:
        find_record("/nowhere/at/all")
    assert caught.value.name == "/nowhere/at/all"

    def offline(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route to host\nsecond line")

    monkeypatch.setattr(wfdb, "rdheader", offline)
    with pytest.raises(
        RecordError, match=r"mitdb/999.*PhysioNet failed: ConnectionError: no route.*VITALWIRE_DATA"
    ):
        find_record("mitdb/999")


def test_why_fetching_failed_is_not_cut_inside_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITALWIRE_DATA", str(tmp_path))
    monkeypatch.setattr(recording, "CACHE", str(tmp_path / "cache"))

    def offline(*args: object, **kwargs: object) -> None:
        raise ConnectionError("unreachable " * 40)

    monkeypatch.setattr(wfdb, "rdheader", offline)
    with pytest.raises(RecordError, match=r"unreachable …\. Give the path.*VITALWIRE_DATA.*--model"):
        find_record("mitdb/999")


def test_fetched_records_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALWIRE_DATA", str(tmp_path / "none"))
    monkeypatch.setattr(recording, "CACHE", str(tmp_path / "cache"))
    source = write_record(tmp_path, 360, 2, name="123", beats=[5])
    header = wfdb.rdheader(str(source))
    monkeypatch.setattr(wfdb, "rdheader", lambda name, pn_dir=None: header)
    asked: list[str] = []

    def download(database: str, folder: str, files: list[str], keep_subdirs: bool = True) -> None:
        assert database == "mitdb"
        for name in files:
            asked.append(name)
            (Path(folder) / name).write_bytes((tmp_path / name).read_bytes())

    monkeypatch.setattr(wfdb, "dl_files", download)
    assert find_record("mitdb/123") == tmp_path / "cache" / "mitdb" / "123"
    assert asked == ["123.dat", "123.atr", "123.hea"]
    del asked[:]
    assert find_record("mitdb/123") == tmp_path / "cache" / "mitdb" / "123"
    assert not asked


@pytest.mark.parametrize("cut", ["hea", "dat", "atr"])
def test_a_damaged_recording_is_refused_by_name(tmp_path: Path, cut: str) -> None:
    path = write_record(tmp_path, 360, 4, name="d", beats=[100, 500, 900])
    victim = path.with_suffix("." + cut)
    victim.write_bytes(victim.read_bytes()[: 5 if cut == "hea" else 1])
    try:
        patient = Patient(RecordedHeart(path))
        patient.ecg_uv(1e6, 4000, 100)
    except RecordError as e:
        assert "d" in e.name
    else:
        assert cut == "atr"  # a truncated annotation file may still parse, with fewer beats


@pytest.mark.parametrize("left", [0, 1, 2 * 360 * 100, -1, -2])
def test_a_recording_that_was_cut_off_is_refused_when_it_is_opened(tmp_path: Path, left: int) -> None:
    path = write_record(tmp_path, 360, 200, name="cut", beats=[100, 500, 900])
    data = path.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[:left])
    with pytest.raises(RecordError, match="is the file whole"):
        RecordedHeart(path)


def test_leads_by_number(tmp_path: Path) -> None:
    path = write_record(tmp_path, 360, 2, beats=[10])
    with pytest.raises(RecordError, match="has 1 signals"):
        RecordedHeart(path, lead=4)


def test_a_recording_s_own_pulse_wave_is_used_and_said(tmp_path: Path) -> None:
    t = np.arange(125 * 70) / 125.0
    ecg = np.where(np.arange(len(t)) % 100 == 0, 1.0, 0.0)
    pleth = 40 + 10 * np.sin(2 * math.pi * 1.25 * t)
    wfdb.wrsamp(
        "p", 125, ["NU", "mV"], ["PLETH", "II"], np.column_stack((pleth, ecg)), fmt=["16", "16"],
        adc_gain=[100.0, 1000.0], baseline=[0, 0], write_dir=str(tmp_path),
    )  # fmt: skip
    patient = Patient(RecordedHeart(tmp_path / "p"), spo2_pct=85)
    assert "p II" in patient.label and "its pulse wave" in patient.label and "synthetic" in patient.label
    assert (patient.source_ecg, patient.source_ppg) == (SOURCE_REPLAY, SOURCE_SYNTHETIC)
    red, infrared = (np.array(c) for c in patient.ppg_na(5e6, 10_000, 3000))
    when = 5 + np.arange(3000) / 100
    for signal, depth in ((red, 0.02), (infrared, 0.02)):  # R = 1 at 85 %
        wave = np.log(signal) - np.log(signal).mean()
        swing = 2 * abs((wave * np.exp(-2j * math.pi * 1.25 * when)).mean())
        assert 2 * swing == pytest.approx(depth, rel=0.05)
    assert np.corrcoef(infrared, np.sin(2 * math.pi * 1.25 * when))[0, 1] < -0.9  # blood dims the light


def test_the_first_voltage_is_the_lead(tmp_path: Path) -> None:
    data = np.column_stack((np.zeros(720), np.full(720, 0.5), np.full(720, 0.8)))
    wfdb.wrsamp(
        "q", 360, ["mmHg", "mV", "mV"], ["ABP", "V5", "MLII"], data, fmt=["16"] * 3, adc_gain=[1000.0] * 3,
        baseline=[0] * 3, write_dir=str(tmp_path),
    )  # fmt: skip
    wfdb.wrann("q", "atr", np.array([100]), symbol=["N"], write_dir=str(tmp_path))
    assert np.allclose(Patient(RecordedHeart(tmp_path / "q")).ecg_uv(1e6, 4000, 50), 500, atol=2)
    assert np.allclose(Patient(RecordedHeart(tmp_path / "q", lead=2)).ecg_uv(1e6, 4000, 50), 800, atol=2)


def test_the_arm_has_the_pressures_asked_for_and_the_beats_of_the_heart() -> None:
    patient = make_patient(hr_bpm=75, seed=5, bp_mmhg=(128, 82))
    at = np.arange(20, 30, 0.002)
    pressure = np.array([patient.arm.pressure_mmhg(t) for t in at])
    assert pressure.min() == pytest.approx(82, abs=1) and pressure.max() == pytest.approx(128, abs=3)
    feet = at[1:-1][
        (pressure[1:-1] <= pressure[:-2]) & (pressure[1:-1] < pressure[2:]) & (pressure[1:-1] < 84)
    ]
    beats = patient.beats_s(20, 30)
    assert len(beats) - 1 <= len(feet) <= len(beats) + 1
    assert all(min(abs(foot - beat - ARRIVAL_S) for beat in beats) < 0.01 for foot in feet[1:-1])
    patient.arm.sys_mmhg = 180.0
    assert max(patient.arm.pressure_mmhg(t) for t in at) > 170
