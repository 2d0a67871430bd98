"""The blood-pressure benchmark: known arms, recorded files, and what it says of files that are none."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.virtual.arm import BabbsArm, ExponentialLinearArm, RegularHeart
from boards.virtual.recording import data_dir
from tools.bench import __main__ as bench
from tools.bench import nibp
from tools.bench.interpreter import interpreter
from tools.bench.nibp_people import GENERATORS, cohort, deflation, person
from tools.bench.nibp_recorded import DeflationError, load, resampled

VOLTS = "937.575,-665.67825"  # (V - 0.710) * 7.5006 * 50 * 2.5
DATA = data_dir()
SAMPLES = sorted((DATA / "cuff").glob("sample_*.dat")) if DATA else []


def score(tmp_path: Path, *argv: str) -> Any:
    file = tmp_path / "report.json"
    assert bench.main(["nibp", *argv, "--json", str(file)]) == 0
    return json.loads(file.read_text())


@pytest.mark.parametrize("make", [BabbsArm, ExponentialLinearArm])
def test_arm_keeps_its_pressures(make: Any) -> None:
    arm = make(130.0, 85.0, 66.0)
    seen = [arm.pressure_mmhg(i / 200) for i in range(2000)]
    assert min(seen) == pytest.approx(85, abs=0.2) and max(seen) == pytest.approx(130, abs=0.2)
    assert 85 < arm.map_mmhg < 130
    assert np.mean(seen) == pytest.approx(arm.map_mmhg, abs=1.5)
    arm.sys_mmhg = 150.0
    assert max(arm.pressure_mmhg(10 + i / 200) for i in range(400)) == pytest.approx(150, abs=0.2)
    volumes = [arm.volume_ml(float(cuff), 1.0) for cuff in range(0, 300, 5)]
    assert (np.diff(volumes) < 0).all() and volumes[-1] > 0


def test_ectopic_beats_come_early_and_pause() -> None:
    beats = RegularHeart(60, ectopic=0.2, seed=2).beats(0, 120)
    gaps = np.diff(beats)
    assert set(np.round(gaps, 6)) == {0.6, 1.0, 1.4}
    with pytest.raises(ValueError):
        RegularHeart(500)


def test_people_are_the_same_each_time_and_cover_what_is_promised() -> None:
    people = cohort(240)
    assert {p.traits["generator"] for p in people} == set(GENERATORS)
    assert min(p.arm.sys_mmhg for p in people) < 90 and max(p.arm.sys_mmhg for p in people) > 190
    assert min(p.rate for p in people) < 45 and max(p.rate for p in people) > 140
    assert np.array_equal(deflation(person(5, GENERATORS[1])), deflation(person(5, GENERATORS[1])))


def test_both_interpreters_say_the_same() -> None:
    runs = interpreter()
    if runs == sys.executable:
        pytest.skip("no MicroPython VM")
    pressures = [deflation(one) for one in cohort(4)]
    here, there = (nibp.measure(pressures, name) for name in (sys.executable, runs))
    for a, b in zip(here, there, strict=True):
        assert nibp.told(a) == nibp.told(b)
        assert np.array_equal(a.envelope, b.envelope)


def test_cohort(tmp_path: Path) -> None:
    found = score(tmp_path, "--people", "48", "--plot", str(tmp_path / "plot.png"))
    for key in ("sys", "dia"):
        one = found["groups"]["all"][key]
        assert abs(one["mean"]) <= 2 and one["sd"] <= 5, one
    assert found["clean_refused"] <= 0.05
    assert len(found["rows"]) == 48
    assert (tmp_path / "plot.png").stat().st_size > 1000


@pytest.mark.parametrize("fs_hz", [50, 100, 250, 1000])
def test_any_rate(tmp_path: Path, fs_hz: int) -> None:
    """The same deflation at another rate, in volts, with a header and a column more."""
    one = person(2, GENERATORS[0])
    pressure = deflation(one)
    at = np.arange(int(len(pressure) * fs_hz / 100)) / fs_hz
    volts = np.interp(at, np.arange(len(pressure)) / 100, pressure) / 50 + 0.5
    file = tmp_path / "cuff.csv"
    rows = "".join(f"{t:.4f},{v:.6f},9\n" for t, v in zip(at, volts, strict=True))
    file.write_text("a cuff, once\ntime,volts,other\n" + rows)
    found = score(tmp_path, "--csv", str(file), "--fs", str(fs_hz), "--scale", "50,-25")
    assert abs(found["sys"] - one.arm.sys_mmhg) <= 6 and abs(found["dia"] - one.arm.dia_mmhg) <= 6
    assert set(found) >= {"sys", "dia", "map", "pulse", "confidence"}


def test_resampling_lets_nothing_alias() -> None:
    t = np.arange(4000) / 1000
    kept, gone = np.sin(2 * np.pi * 5 * t), np.sin(2 * np.pi * 130 * t)
    both = resampled(kept + gone, 1000)
    assert np.abs(both - kept[::10])[50:-50].max() < 0.02


@pytest.mark.parametrize(
    ("text", "fs_hz", "why"),
    [
        ("", 100, "0 lines"),
        ("1,2\n" * 100, 100, "less than 5 s"),
        ("1,2\n" * 1000 + "x,y\n", 100, "line 1001"),
        ("1,2\n" * 1000 + "1\n", 100, "line 1001"),
        ("1,nan\n" * 1000, 100, "line 1 has no finite"),
        ("1,2\n" * 1000, 25, "--fs"),
        ("1,2000\n" * 1000, 100, "--scale"),
    ],
)
def test_files_that_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, fs_hz: float, why: str
) -> None:
    file = tmp_path / "x.csv"
    file.write_text(text)
    with pytest.raises(DeflationError, match=why):
        load(file, fs_hz, (1.0, 0.0))
    assert bench.main(["nibp", "--csv", str(file), "--fs", str(fs_hz), "--scale", "1,0"]) == 1
    assert why in capsys.readouterr().err


@pytest.mark.skipif(not SAMPLES, reason="no recordings")
def test_recording_that_never_deflates_is_refused(tmp_path: Path) -> None:
    found = score(tmp_path, "--csv", str(SAMPLES[0]), "--fs", "1000", "--scale", VOLTS)
    assert found["refused"] == "timeout"


@pytest.mark.skipif(not SAMPLES, reason="no recordings")
def test_recording_with_its_authors_result(tmp_path: Path) -> None:
    file = SAMPLES[0].parent / "data0804" / "raw.dat"
    plot = tmp_path / "envelope.svg"
    found = score(tmp_path, "--csv", str(file), "--fs", "1000", "--scale", "1,0", "--plot", str(plot))
    assert abs(found["sys"] - 95) <= 5 and abs(found["dia"] - 67) <= 5
    assert abs(found["pulse"] - 70) <= 5
    assert plot.stat().st_size > 1000
