"""The benchmark of alarms counts what it says it counts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol import frames as f
from tests.tools.test_bench import database
from tools.bench import __main__ as bench
from tools.bench import alarms, ecg_waves
from tools.bench.alarm_cases import BEFORE_S, CASES, SEED, Case, Person, Scene
from tools.bench.alarm_play import Told, play
from tools.bench.alarm_records import annotated_rate, evaluate, is_true, wanted
from tools.bench.heartbeats import Recording
from tools.bench.interpreter import interpreter

__all__ = ("database",)

BEGAN, ENDED, HIGH, MEDIUM = f.STATE_BEGAN, f.STATE_ENDED, f.PRIORITY_HIGH, f.PRIORITY_MEDIUM


def recording(
    beats: "list[float]", seconds: int = 120, flutter: "list[tuple[float, float]] | None" = None
) -> Recording:
    person = Person(np.random.default_rng(1), seconds, lambda t: 60.0)
    person.at = beats
    return Recording("x", (person.ecg() / 3.052).astype("<i2"), float(seconds), beats, flutter or [], False)


def every(interval: float, begin: float, end: float) -> "list[float]":
    return list(np.arange(begin, end, interval))


def test_found_in_time_or_not_and_what_else_came() -> None:
    scene = Scene(np.zeros(250 * 60, "<i2"), None, None)
    case = Case("x", lambda rng: scene, f.EVENT_HR_HIGH, HIGH, 20)
    told = [
        Told(BEFORE_S + 5, f.EVENT_HR_HIGH, BEGAN, MEDIUM, 1),
        Told(BEFORE_S + 12, f.EVENT_HR_HIGH, BEGAN, HIGH, 1),
    ]
    late = [
        Told(BEFORE_S + 21, f.EVENT_HR_HIGH, BEGAN, HIGH, 1),
        Told(BEFORE_S + 1, f.EVENT_SPO2_LOW, BEGAN, HIGH, 2),
    ]
    active = [0] * 61
    row = alarms.judge(case, [(scene, told, active), (scene, late, active), (scene, [], active)])
    assert (row["found"], row["delay_s"], row["delay_max_s"], row["others"]) == (1, 12.0, 12, 1)
    well = alarms.judge(Case("y", lambda rng: scene), [(scene, told, active)])
    assert well["others"] == 1 and well["found"] is None


def test_how_an_alarm_ends_and_whether_it_was_lowered_before() -> None:
    scene = Scene(np.zeros(250 * 90, "<i2"), None, None)
    case = Case("x", lambda rng: scene, f.EVENT_HR_HIGH, HIGH, 20, BEFORE_S, BEFORE_S + 30)
    at = BEFORE_S + 12
    began, ended = Told(at, f.EVENT_HR_HIGH, BEGAN, HIGH, 1), Told(at + 27, f.EVENT_HR_HIGH, ENDED, HIGH, 1)
    active = [0] * at + [3] * 27 + [0] * 10
    row = alarms.judge(case, [(scene, [began, ended], active), (scene, [began], active)])
    assert (row["found"], row["ended"], row["end_s"], row["lowered"]) == (2, 1, 9.0, 0)
    heir = Told(at + 27, f.EVENT_CANNOT_ANALYSE, BEGAN, HIGH, 2)
    gone = Told(at + 30, f.EVENT_CANNOT_ANALYSE, ENDED, HIGH, 2)
    assert alarms.judge(case, [(scene, [began, heir, ended, gone], active)])["end_s"] == 12.0
    assert alarms.judge(case, [(scene, [began, heir, ended], active)])["ended"] == 0
    active[at + 5] = MEDIUM
    assert alarms.judge(case, [(scene, [began, ended], active)])["lowered"] == 1


def test_the_annotated_rate_and_what_it_bears_out() -> None:
    beats = [*every(1, 0.5, 60), *every(0.3, 60, 90)]
    assert abs(annotated_rate(beats, 50) - 60) < 1 and abs(annotated_rate(beats, 80) - 200) < 2
    assert annotated_rate(beats, 100) < 40 and annotated_rate([1.0], 5) == 0
    assert is_true(f.EVENT_HR_HIGH, HIGH, 75, beats) and not is_true(f.EVENT_HR_HIGH, MEDIUM, 50, beats)
    assert is_true(f.EVENT_ASYSTOLE, HIGH, 95, beats) and not is_true(f.EVENT_ASYSTOLE, HIGH, 55, beats)
    assert [code for code, _ in wanted(recording(beats))].count(f.EVENT_HR_HIGH) == 1
    again = [*beats, 96.0]
    assert (f.EVENT_ASYSTOLE, again[-2] + 5) in list(wanted(recording(again)))


def test_a_recording_is_judged_by_its_annotations() -> None:
    beats = [*every(0.8, 0.5, 60), *every(0.35, 60, 120)]
    row = evaluate(recording(beats), interpreter())
    assert (row["true"], row["false"], row["missed"]) == (1, 0, [])
    # The same heart with annotations that say that nothing was the matter.
    calm = recording(every(0.8, 0.5, 120))
    wrong = Recording("x", recording(beats).samples, 120.0, calm.beats, [], False)
    row = evaluate(wrong, interpreter())
    assert (row["true"], row["false"]) == (0, 1) and "heart rate high" in row["falsely"][0]
    unsaid = Recording("x", recording(beats).samples, 120.0, calm.beats, [(50.0, 120.0)], False)
    assert (evaluate(unsaid, interpreter())["false"], evaluate(unsaid, interpreter())["flutter"]) == (0, 1)
    missed = Recording("x", calm.samples, 120.0, beats, [], False)
    said = evaluate(missed, interpreter())["missed"]
    assert len(said) == 2 and all("heart rate high" in one for one in said)


@pytest.mark.parametrize(
    "name", ["standstill, no oximeter", "185/95, confirmed", "battery 5 %", "ECG chip gone"]
)
def test_cases_come_and_both_interpreters_agree(name: str) -> None:
    import sys

    case = next(one for one in CASES if one.name == name)
    scene = case.make(np.random.default_rng(5))
    told, active = play(scene, interpreter())
    assert alarms.judge(case, [(scene, told, active)])["found"] == 1
    assert len(active) == scene.seconds + 1 and max(active) >= case.priority
    assert play(scene, sys.executable) == (told, active)


@pytest.mark.parametrize(
    ("name", "run"), [("ECG drowned in movement", 0), ("the same, during heart rate 165", 2)]
)
def test_after_a_minute_of_noise_there_are_readings_again(name: str, run: int) -> None:
    number, case = next((n, one) for n, one in enumerate(CASES) if one.name == name)
    scene = case.make(np.random.default_rng((SEED, number, run)))
    row = alarms.judge(case, [(scene, *play(scene, interpreter()))])
    assert (row["found"], row["ended"]) == (1, 1) and row["end_s"] <= 25


def test_the_report(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = [one for one in CASES if one.name in ("battery 20 %", "cuff over-pressure")]
    monkeypatch.setattr(alarms, "CASES", short)
    file = tmp_path / "report.json"
    argv = ["alarms", "--repeats", "2", "--db", str(database), "--records", "a", "--json", str(file)]
    assert bench.main(argv) == 0
    found: Any = json.loads(file.read_text())
    assert found["generated"]["cases"]["battery 20 %"]["found"] == 2 and found["generated"]["missing"] == 0
    assert found["recorded"]["gross"]["false"] == 0 and found["recorded"]["records"]["a"]["seconds"] == 20
    unheard = Case("never", short[0].make, f.EVENT_ASYSTOLE, HIGH, 5)
    monkeypatch.setattr(alarms, "CASES", [unheard])
    assert bench.main([*argv, "--no-records"]) == 1


@pytest.mark.parametrize("spike", [(2, 0.002), (-20, 0.001), (700, 0.0005)])
def test_a_pacemaker_whose_spikes_nothing_follows_hides_no_standstill(spike: "tuple[float, float]") -> None:
    person = Person(np.random.default_rng(3), BEFORE_S + 15, lambda t: 70.0 if t < BEFORE_S else 0.0)
    wave = ecg_waves.silence(person.seconds)
    for i, at in enumerate(np.arange(0.3, person.seconds - 1, 0.8)):
        ecg_waves.pace(wave, at + i % 8 * 0.0005, *spike)
    scene = person.scene()
    scene.ecg = (scene.ecg + ecg_waves.sampled(wave)).clip(-32768, 32767).astype("<i2")
    told, _ = play(scene, interpreter())
    assert [one.at_s - BEFORE_S <= 6 for one in told if one.code == f.EVENT_ASYSTOLE] == [True]
