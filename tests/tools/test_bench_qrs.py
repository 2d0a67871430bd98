"""The benchmark of heartbeats counts what it says it counts, on recordings made here of any rate."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from boards.virtual.rig import RigError, find_micropython
from tools.bench import __main__ as bench
from tools.bench import ecg_cases, ecg_waves, noise, peers, plots_ecg, qrs, scoring
from tools.bench.heartbeats import FS_HZ, LSB_NV, Recording, load

SECONDS = 20
BEATS = 46  # in both records


def heart(seconds: int = SECONDS, fs_hz: int = 360) -> np.ndarray:
    """72 upright complexes a minute of 1 mV on a slow wave, in units of 5 uV."""
    t = np.arange(seconds * fs_hz) / fs_hz
    phase = (t - 0.4) % (60 / 72)
    spike = 200 * np.exp(-(((phase - 0.2) / 0.02) ** 2))
    return np.round(spike + 10 * np.sin(t) + 3 * np.sin(37 * t)).astype(np.int64)


def write(folder: Path, name: str, fs_hz: int, seconds: int = SECONDS) -> None:
    wave = heart(seconds, fs_hz)
    both = np.stack([wave, -wave // 2], axis=1)
    wfdb.wrsamp(
        name, fs_hz, ["mV", "mV"], ["I", "V1"], d_signal=both, fmt=["16", "16"],
        adc_gain=[200.0, 200.0], baseline=[0, 0], write_dir=str(folder),
    )  # fmt: skip
    at = np.round((np.arange(0, seconds - 1, 60 / 72) + 0.6) * fs_hz).astype(int)
    wfdb.wrann(name, "atr", at, symbol=["N"] * len(at), write_dir=str(folder))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    folder = tmp_path / "db"
    folder.mkdir()
    for name in "ab":
        write(folder, name, 360)
    return folder


def report(tmp_path: Path, *argv: str) -> Any:
    file = tmp_path / "report.json"
    assert bench.main([*argv, "--jobs", "1", "--json", str(file)]) == 0
    return json.loads(file.read_text())


def test_each_lead_is_scored_and_the_peers_beside_it(database: Path, tmp_path: Path) -> None:
    for lead in ("1", "2"):
        found = report(tmp_path, "qrs", "--db", str(database), "--lead", lead)
        assert found["lead"] == int(lead) and list(found["records"]) == ["a", "b"]
        total = found["gross"]
        assert total["tp"] + total["fn"] == BEATS and total["se"] > 85 and total["ppv"] > 95
        assert total["tp"] == sum(row["tp"] for row in found["records"].values())
        assert set(found["peers"]) == set(peers.available()) == set(found["look_ahead"])
        assert all({"se", "ppv"} <= set(row) for row in found["peers"].values())
    with pytest.raises(SystemExit):
        qrs.main(["--db", str(database), "--lead", "0"])
    assert qrs.main(["--db", str(database), "--lead", "3", "--no-peers"]) == 1


@pytest.mark.parametrize("fs_hz", [128, 250, 500, 1000])
def test_recordings_of_any_rate(tmp_path: Path, fs_hz: int) -> None:
    write(tmp_path, "r", fs_hz)
    found = report(tmp_path, "qrs", "--db", str(tmp_path), "--no-peers")
    row = found["records"]["r"]
    assert row["fn"] <= 1 and row["fp"] <= 1 and abs(row["offset_ms"]) < 8 and found["peers"] == {}
    assert 300 < row["known_after_ms"] < 600 and row["rr_error_ms"] < 8
    assert row["from_minute_5"]["tp"] == 0


def test_a_peer_without_its_package_is_left_out_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "PACKAGES", {"xqrs": "wfdb", "pantompkins1985": "no_such_package"})
    assert peers.available() == ["xqrs"]
    assert "pantompkins1985 is left out: pip install no_such_package" in capsys.readouterr().out


def test_a_flat_line_is_no_end_of_the_peers() -> None:
    found = peers.detect(["xqrs", "pantompkins1985"], np.zeros(2500, dtype="<i2"), LSB_NV, FS_HZ)
    assert all(len(beats) < 5 for beats in found.values())


def test_interpreters_agree_and_unknown_ones_are_refused(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        names = ["micropython", find_micropython(), sys.executable, "cpython"]
    except RigError:
        names = ["cpython", sys.executable]
    argv = ["qrs", "--db", str(database), "--no-peers", "--interpreter"]
    results = [report(tmp_path, *argv, name)["records"] for name in names]
    assert all(rows == results[0] for rows in results)
    with pytest.raises(SystemExit) as stopped:
        qrs.main(["--db", str(database), "--interpreter", "/no/such"])
    assert stopped.value.code == 2 and "no such program" in capsys.readouterr().err


def test_pictures(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, start in (("p.svg", b"<?xml"), ("p.png", b"\x89PNG")):
        argv = ["--db", str(database), "--no-peers", "--jobs", "1", "--plot", str(tmp_path / name)]
        assert qrs.main(argv) == 0
        assert (tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(SystemExit):
        qrs.main(["--db", str(database), "--plot", str(tmp_path / "p.gif")])
    assert ".svg or .png" in capsys.readouterr().err


def test_the_worst_stretch_is_where_most_is_wrong() -> None:
    assert plots_ecg.worst([5.0, 50.0, 51.0, 52.0, 90.0], 100.0) == 49.0
    assert plots_ecg.worst([], 100.0) == 20.0 and plots_ecg.worst([99.0], 100.0) == 90.0


def test_noise_has_the_ratio_that_was_asked_for(database: Path, tmp_path: Path) -> None:
    """Measured again as its definition says, in the first noisy stretch; no step where it ends."""
    rng = np.random.default_rng(5)
    wave = np.round(rng.normal(0, 40, 500 * 360)).astype(np.int64)[:, None]
    wfdb.wrsamp(
        "em", 360, ["mV"], ["noise"], d_signal=wave, fmt=["16"], adc_gain=[200.0], baseline=[0],
        write_dir=str(tmp_path),
    )  # fmt: skip
    clean = load(database / "a", 0)
    beats = [t + 20 * k for k in range(26) for t in clean.beats]
    long = Recording("long", np.tile(clean.samples[: SECONDS * FS_HZ], 26), 520.0, beats, [], False)
    noisy = noise.add(long, tmp_path / "em", 0, 6)
    added = noisy.samples.astype(int) - long.samples
    within = added[300 * FS_HZ : 420 * FS_HZ].reshape(-1, FS_HZ)
    power = float(np.mean((within - within.mean(1, keepdims=True)) ** 2))
    height = noise.mean_height(long.samples, long.beats)
    assert height * LSB_NV / 1000 == pytest.approx(1000, rel=0.15)
    assert 10 * math.log10(height**2 / 8 / power) == pytest.approx(6, abs=0.3)
    assert not added[: 300 * FS_HZ].any() and len(set(added[420 * FS_HZ :])) == 1
    assert added[420 * FS_HZ] == added[420 * FS_HZ - 1]


def test_a_burst_in_the_noise_does_not_make_the_rest_weaker() -> None:
    wave = np.tile([1.0, -1.0], 300 * FS_HZ // 2)
    level = noise.noise_level(wave)
    wave[: 5 * FS_HZ] *= 1000
    assert noise.noise_level(wave) == level == 1


def test_noise_comes_in_stretches() -> None:
    assert noise.stretches(700) == [(300, 420), (540, 660)]
    assert noise.quiet(700) == [(0, 300), (420, 540), (660, 700)]
    assert noise.stretches(120) == [] and noise.quiet(350) == [(0, 300)]


def test_noise_that_never_comes_is_said(database: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "nstdb").mkdir()
    (tmp_path / "nstdb" / "em.hea").write_text("em 1 360 10\n")
    argv = ["--db", str(database), "--records", "a", "--no-peers", "--jobs", "1", "--noise", "em"]
    assert qrs.main(argv) == 1 and "not that long" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        qrs.main([*argv[:-1], "xx"])


def test_pairing_is_one_to_one() -> None:
    result = scoring.score([1.0, 2.0, 3.0], [1.1, 1.12, 2.5, 3.0], exclude=[(2.4, 2.6)])
    assert (result.tp, result.fn, result.fp) == (2, 1, 1)
    assert result.missed_s == [2.0] and result.f1_pct == pytest.approx(400 / 6)


def test_rr_errors_are_those_of_neighbours() -> None:
    result = scoring.score([1.0, 2.0, 3.0, 4.0], [1.0, 2.01, 4.0])
    assert result.rr_ms == pytest.approx(10)


# ecg-cases


def test_a_complex_is_as_high_and_wide_as_it_says() -> None:
    wave = ecg_waves.silence(1)
    peak = ecg_waves.qrs(wave, 0.3, 2, 0.1)
    assert np.ptp(wave) == pytest.approx(2, rel=0.01) and np.argmax(wave) / 8000 == pytest.approx(
        peak, abs=0.001
    )
    assert np.flatnonzero(wave)[[0, -1]] / 8000 == pytest.approx([0.3, 0.4], abs=0.001)


def test_the_front_end_clips_filters_and_rounds() -> None:
    wave = ecg_waves.silence(2)
    ecg_waves.pace(wave, 1, 700, 0.002)
    samples = ecg_waves.sampled(wave) * ecg_waves.LSB_MV
    assert 15 < samples.max() < 30 and abs(samples).sum() < 60
    assert not np.ptp(ecg_waves.sampled(np.full(16000, 3.0)))
    low = ecg_waves.silence(4)
    ecg_waves.mains(low, 150, 2)
    assert np.ptp(ecg_waves.sampled(low)[100:-100]) * ecg_waves.LSB_MV < 0.2


def test_cases_fail_where_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wave, peaks = ecg_cases.regular(1, 0.1)
    right = ecg_cases.Case("right", "beats", wave, ecg_cases.every_beat(peaks, ecg_cases.SECONDS))
    monkeypatch.setattr(ecg_cases, "cases", lambda: iter([right]))
    found = report(tmp_path, "ecg-cases")
    assert found["passed"] == 1 and found["failed"] == 0
    wrong = ecg_cases.Case("wrong", "beats that should not be", wave, ecg_cases.no_beat)
    monkeypatch.setattr(ecg_cases, "cases", lambda: iter([right, wrong]))
    picture = tmp_path / "cases.svg"
    assert ecg_cases.main(["--jobs", "1", "--interpreter", "cpython", "--plot", str(picture)]) == 1
    assert "FAIL  wrong" in capsys.readouterr().out and picture.stat().st_size > 1000
    with pytest.raises(SystemExit):
        ecg_cases.main(["--only", "nothing"])


@pytest.mark.parametrize("group", ["no QRS", "T wave", "step", "irregular", "tachycardia", "drift"])
def test_the_chain_passes(group: str) -> None:
    assert ecg_cases.main(["--only", group, "--jobs", "1"]) == 0
