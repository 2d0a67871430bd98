"""docs/quality/hazards.toml: every cause has a control with tests that exist, or says that it is open."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_threat_model import names_in

ROOT = Path(__file__).resolve().parents[2]
HAZARDS = tomllib.loads((ROOT / "docs" / "quality" / "hazards.toml").read_text("utf-8"))["hazard"]
NEEDED = {"cuff-pressure", "wrong-patient", "stale-alarm", "charging", "paced", "synthetic-data"}
SEVERITIES = {"negligible", "minor", "serious", "critical", "catastrophic"}


def wrong_with(hazard: "dict[str, Any]") -> "list[str]":
    """What is wrong with one hazard, in words."""
    found = [f"no {key}" for key in ("id", "hazard", "severity", "where", "cause") if not hazard.get(key)]
    if hazard.get("severity") not in SEVERITIES:
        found.append(f"severity {hazard.get('severity')!r}")
    found += [f"{path} is not there" for path in hazard.get("where", ()) if not (ROOT / path).is_file()]
    for cause in hazard.get("cause", ()):
        name = cause.get("cause", "?")
        controlled = bool(cause.get("control")) and bool(cause.get("tests"))
        if controlled == bool(cause.get("open")) or bool(cause.get("control")) != bool(cause.get("tests")):
            found.append(f"{name}: neither a control with tests nor open, or both")
        for test in cause.get("tests", ()):
            path, _, function = test.partition("::")
            if function not in names_in(path):
                found.append(f"{name}: {test} does not exist")
    return found


@pytest.mark.parametrize("hazard", HAZARDS, ids=lambda hazard: hazard["id"])
def test_each_cause_is_controlled_and_tested_or_open(hazard: "dict[str, Any]") -> None:
    assert wrong_with(hazard) == []


def test_the_hazards_that_there_must_be_are_there_once() -> None:
    names = [hazard["id"] for hazard in HAZARDS]
    assert set(names) >= NEEDED and len(names) == len(set(names))


def test_what_is_wrong_is_found() -> None:
    good = {
        "cause": "c",
        "control": "d",
        "tests": ["tests/docs/test_hazards.py::test_what_is_wrong_is_found"],
    }
    hazard = {"id": "h", "hazard": "h", "severity": "minor", "where": ["README.md"], "cause": [good]}
    assert wrong_with(hazard) == []
    for change in (
        {"severity": "bad"},
        {"where": ["no/such.py"]},
        {"cause": []},
        {"cause": [{"cause": "c"}]},
        {"cause": [{"cause": "c", "control": "d"}]},
        {"cause": [{**good, "open": "why"}]},
        {"cause": [{**good, "tests": ["tests/docs/test_hazards.py::test_no_such"]}]},
    ):
        assert wrong_with({**hazard, **change}), change
