"""The oximetry benchmark: both makers of fingers, recordings at any rate and scale, both interpreters."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boards.virtual.rig import RigError, find_micropython
from tools.bench import optical_csv, pulses, spo2
from tools.bench.fingers import Finger, trace
from tools.bench.spo2_cases import CLEAN, EVEN, NOTHING, SHARED, Case, models


@pytest.fixture(scope="module")
def vm() -> str:
    try:
        return find_micropython()
    except RigError as e:
        pytest.skip(str(e))


def test_it_reads_what_was_put_in(vm: str) -> None:
    cases = [
        Case(CLEAN, "90", pulses.steady(pulses.Pulse(90, 60), 22), 60),
        Case(NOTHING, "dark", pulses.constant(700, 22)),
    ]
    good, none = spo2.read([case.trace for case in cases], vm)
    row = spo2.judge(cases[0], good)
    assert row["with_reading"] == row["seconds"] == 8 and row["worst_error"] <= 1
    assert row["worst_pulse_error"] <= 2 and spo2.judge(cases[1], none)["with_reading"] == 0


def test_the_targets_are_reached_on_every_third_trace(vm: str) -> None:
    groups: dict[str, list[dict[str, Any]]] = {}
    cases = list(models(3))
    for case, seen in zip(cases, spo2.read([case.trace for case in cases], vm), strict=True):
        groups.setdefault(case.group, []).append(spo2.judge(case, seen))
    aims = spo2.targets(groups)
    assert aims["arms"]["reached"] <= 2 and aims["yield"]["reached"] >= 0.95
    assert aims["hard_within_4"]["reached"] >= 0.95
    assert spo2.summary(groups[NOTHING])["with_reading"] == 0
    for name in (SHARED, EVEN):
        assert spo2.summary(groups[name])["within_4"] >= 0.95, name


def test_both_interpreters_give_identical_results(vm: str) -> None:
    traces = [
        trace(Finger(85, 75, 0.01), 25),
        trace(Finger(97, 60, movement=2, begins_s=12), 25),
        trace(Finger(80, 110, 0.002, noise=3e-4), 25),
    ]
    one, other = spo2.read(traces, vm), spo2.read(traces, sys.executable)
    for a, b in zip(one, other, strict=True):
        assert a.tolist() == b.tolist()
    assert one[0][-1, 0] > 0


def test_a_delay_is_found() -> None:
    truth = 90 + 5 * np.sin(np.arange(100) / 9)
    found = spo2._delay(np.concatenate([np.zeros(4), truth[:-4]]), truth)
    assert found["delay_s"] == 4 and found["errors"].std() == 0


def test_statistics_are_those_of_the_standard() -> None:
    found = spo2.statistics(np.array([1.0, -1.0, 5.0, 3.0]))
    assert found == {"bias": 2.0, "precision": 2.24, "arms": 3.0, "within_4": 0.75, "worst_error": 5.0}


# recordings

HEADER = {"names": "time,RED,IR,SpO2\n", "none": "", "facts": "device;x\nrate;y\ntime;RED;IR;SpO2\n"}


def written(path: Path, fs_hz: float, scale: float = 1.0, header: str = "names", seconds: int = 30) -> Path:
    """A recording of 88 % at 80 a minute, that many samples a second, counts times `scale`."""
    t = np.arange(int(seconds * fs_hz)) / fs_hz
    volume = np.zeros(len(t))
    for beat in np.arange(-1.5, seconds, 0.75):
        volume += pulses.young(t - beat, 0.75)
    ir = scale * 110_000 * (1 - 0.02 * volume)
    red = scale * 80_000 * (1 - 0.02 * 0.88 * volume)
    mark = ";" if header == "facts" else ","
    rows = (mark.join(map(repr, map(float, row))) for row in zip(t, red, ir, 0 * t + 88, strict=True))
    path.write_text(HEADER[header] + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("fs_hz", [25, 30, 64, 100, 125, 400, 1000])
def test_a_recording_at_any_rate_is_read_alike(tmp_path: Path, vm: str, fs_hz: float) -> None:
    file, out = written(tmp_path / "x.csv", fs_hz), tmp_path / "x.json"
    arguments = ["--csv", str(file), "--fs", str(fs_hz), "--columns", "RED,IR,SpO2", "--json", str(out)]
    assert spo2.main([*arguments, "--interpreter", "micropython"]) == 0
    found = json.loads(out.read_text())
    assert [r["t_s"] for r in found["readings"]] == list(range(1, 31))
    assert found["arms"] is not None and found["arms"] <= 0.5
    assert all(r["ref"] == 88 for r in found["readings"])
    for r in found["readings"][14:]:
        assert abs(r["spo2"] - 88) <= 0.6 and abs(r["pulse"] - 80) <= 1 and r["quality"] > 80
    assert found["readings"][0]["spo2"] is None and found["readings"][0]["pulse"] is None


@pytest.mark.parametrize("scale", [1e-5, 0.01, 300.0])
def test_a_recording_of_any_scale_is_read_alike(tmp_path: Path, vm: str, scale: float) -> None:
    seen, reference = optical_csv.load(written(tmp_path / "x.csv", 50, scale, "none"), 50, ["1", "2"])
    assert reference == [None] * 30 and 100_000 < seen.ir.max() < 140_000
    found = spo2.read([seen], vm)[0]
    assert abs(found[-1, 0] - 88) <= 0.5


def test_names_are_found_below_the_facts_of_an_instrument(tmp_path: Path) -> None:
    seen, _ = optical_csv.load(written(tmp_path / "x.csv", 50, header="facts"), 50, ["RED", "IR"])
    assert len(seen.red) == 3000


def test_counts_of_18_bits_stay_what_they_are(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("\n".join(f"{90_000 + k % 7},{110_000 + k % 5}" for k in range(1000)))
    seen, _ = optical_csv.load(file, 100, ["0", "1"])
    assert seen.red[:3].tolist() == [90_000, 90_001, 90_002] and seen.ir.max() == 110_004


@pytest.mark.parametrize(
    ("text", "columns", "fs_hz", "says"),
    [
        ("red,ir\n" + "1,2\n" * 900, "red,green", 100, "red,green"),
        ("red,ir\n" + "1,2\n" * 900, "red,ir", 20, "25 samples a second"),
        ("red,ir\n" + "1,2\n" * 900, "red", 100, "red,ir"),
        ("red,ir\n" + "5,7\n6,8\n" * 50, "red,ir", 100, "1.0 s"),
        ("red,ir\n" + "5,7\n6,8\n" * 400 + "x,3\n5,7\n", "red,ir", 100, "row 802"),
        ("red,ir\n" + "-5,7\n6,8\n" * 400, "red,ir", 100, "not light"),
        ("red,ir\n" + "5,7\n5,8\n" * 400, "red,ir", 100, "never changes"),
        ("red,ir\n", "red,ir", 100, "no row"),
        ("", "red,ir", 100, "no columns"),
        ("red,ir\n" + "5,7\n6,inf\n" * 400, "red,ir", 100, "row 3"),
        ("red,ir\n" + "5,7\n6,\n7,\n" * 400, "red,ir", 100, "hold no sample"),
        ("ir,red\n" + "5,7\n6,8\n" * 400, "ir,red", 100, "red comes first"),
        ("red,ir\n" + "5,7\n6,8\n" * 400, "red,red", 100, "same column"),
        ("red,ir,ref\n" + "5,7,0.9\n6,8,0.9\n" * 400, "red,ir,ref", 100, "in %"),
    ],
)
def test_a_bad_file_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, columns: str, fs_hz: float, says: str
) -> None:
    file = tmp_path / "x.csv"
    file.write_text(text)
    assert spo2.main(["--csv", str(file), "--fs", str(fs_hz), "--columns", columns]) == 1
    assert says in capsys.readouterr().err


def test_a_file_that_is_not_there_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert spo2.main(["--csv", "/nowhere/x.csv", "--fs", "100", "--columns", "0,1"]) == 1
    assert "/nowhere/x.csv" in capsys.readouterr().err


def test_names_in_other_letters_and_decimal_commas_are_read(tmp_path: Path) -> None:
    file = written(tmp_path / "x.csv", 50, 1e-5)
    plain = optical_csv.load(file, 50, ["red", "ir"])[0]
    file.write_text(file.read_text().replace(",", "; ").replace(".", ","))
    assert (optical_csv.load(file, 50, ["RED", "IR"])[0].ir == plain.ir).all()


@pytest.mark.parametrize("fs_hz", [30, 100])
def test_what_is_missing_is_bridged_or_dark(tmp_path: Path, vm: str, fs_hz: int) -> None:
    file = written(tmp_path / "x.csv", fs_hz, seconds=40)
    rows = file.read_text().splitlines()
    rows[8 * fs_hz] = rows[8 * fs_hz].split(",")[0] + ",nan,,88"
    for k in range(20 * fs_hz, 22 * fs_hz):
        rows[k] = f"{k},,12,88"
    file.write_text("\n".join(rows))
    found = spo2.read([optical_csv.load(file, fs_hz, ["RED", "IR"])[0]], vm)[0]
    shown = found[:, 0] > 0
    assert shown[9:19].all() and not shown[20:26].any() and shown[34:].all()
    assert np.abs(found[shown, 0] - 88).max() <= 1


def test_resampling_keeps_what_a_pulse_has_and_takes_what_would_fold() -> None:
    t = np.arange(4000) / 400
    kept = optical_csv.resampled(np.sin(2 * np.pi * 8 * t), 400)
    assert abs(np.abs(kept[100:-100]).max() - 1) < 0.01
    folds = optical_csv.resampled(np.sin(2 * np.pi * 97 * t), 400)
    assert np.abs(folds[100:-100]).max() < 0.02
    assert np.allclose(optical_csv.resampled(np.full(300, 7.5), 30), 7.5)
    slow = np.arange(600) / 30
    up = optical_csv.resampled(np.sin(2 * np.pi * 5 * slow), 30)
    assert np.abs(up - np.sin(2 * np.pi * 5 * np.arange(len(up)) / 100))[200:-200].max() < 0.01


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from tools.bench.plots_spo2 import bland_altman

    rows = [{"truth": np.array([70.0, 80.0]), "errors": np.array([1.0, -1.0])}]
    bland_altman(tmp_path / "x.png", {"some": rows, "none": []})
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
