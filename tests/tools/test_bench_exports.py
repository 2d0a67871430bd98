"""The benchmark of exports: every frame of its stores goes into each, and each is measured."""

import json
import sys

import pytest

from tools.bench import exports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is in /proc")


def test_every_export_has_all_that_was_measured(tmp_path) -> None:
    found = exports.measure(700, tmp_path)
    assert list(found) == list(exports.EXPORTS)
    for figures in found.values():
        assert figures["peak_mb"] > 10 and figures["frames_per_s"] > 0
    assert len((tmp_path / "person" / "frames.jsonl").read_text().splitlines()) == 700
    (ecg,) = (tmp_path / "csv").glob("*-ecg.csv")
    # Attestations and the boot frame stand in the place of some of the blocks of a second.
    assert len(ecg.read_text().splitlines()) > 250 * 225
    for form, ending in (("edf", "*.edf"), ("wfdb", "*.dat")):
        assert list((tmp_path / form).glob(ending))
    (bundle,) = (tmp_path / "fhir").glob("*.json")
    assert json.loads(bundle.read_text())["entry"]


def test_too_few_frames_are_refused(capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        exports.main(["--frames", "3"])
    assert stopped.value.code == 2 and "--frames begins" in capsys.readouterr().err


def test_an_export_that_fails_ends_the_run(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(exports, "EXPORTS", {"nothing of that name": print})
    with pytest.raises(SystemExit, match="nothing of that name"):
        exports.measure(10, tmp_path)
