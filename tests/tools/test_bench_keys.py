"""The benchmark of the public-key work reports every operation and step, and goes without a VM in words."""

import json
from pathlib import Path
from typing import Any

import pytest

from boards.virtual.rig import RigError, find_micropython
from tools.bench import keys


def test_every_operation_and_its_steps(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        find_micropython()
    except RigError as e:
        pytest.skip(str(e))
    monkeypatch.setattr(keys, "vm32", find_micropython)
    file = tmp_path / "report.json"
    assert keys.main(["--runs", "2", "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    said = capsys.readouterr().out
    for which in ("vm", "vm32"):
        assert {"boot header for one agent", "welcome opened", "attestation signed"} <= set(found[which])
        for name, row in found[which].items():
            assert name in said and row["steps"] >= 20, "slow work comes in steps"
            assert 0 < row["garbage_bytes"] < 100000, "big integers would leave a million"
            assert 0 <= row["median_us"] <= row["p99_us"] <= row["longest_us"] < 1000 * row["total_ms"]


def test_a_step_is_the_least_of_the_runs() -> None:
    rows = [[10, 200, 30], [12, 20, 900]]
    assert keys._summary(rows) == {
        "total_ms": 0.06,
        "steps": 3,
        "median_us": 20,
        "p99_us": 20,
        "longest_us": 30,
    }


def test_without_a_vm(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def none() -> str:
        raise RigError("no MicroPython VM")

    monkeypatch.setattr(keys, "find_micropython", none)
    assert keys.main([]) == 1 and "no MicroPython VM" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        keys.main(["--runs", "0"])
