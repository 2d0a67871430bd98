"""The same changed inputs on CPython and on both MicroPython VMs come to the same, to the last offset."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner

from tools.fuzz import __main__ as command
from tools.fuzz import compare, parties
from tools.fuzz.targets import TARGETS

INPUTS = 24_000
NAMES = [name for name, place in TARGETS.items() if place.on_vm]
SHARES = sum(TARGETS[name].share for name in NAMES)


@pytest.fixture(scope="module", autouse=True)
def curves() -> None:
    parties.remember_curves()


@pytest.mark.parametrize("name", NAMES)
def test_same_outcomes(
    name: str, micropython: Callable[..., object], micropython32: Callable[..., object]
) -> None:
    machines = compare.vms()
    assert [vm.name for vm in machines] == ["64-bit", "32-bit"]
    inputs = 1 + INPUTS * TARGETS[name].share // SHARES
    report = compare.compare(name, TARGETS[name].generator([], 5), inputs, machines)
    assert report.finding is None, report.finding.account
    assert report.inputs == inputs and report.note.count("the same") == 2


def test_another_outcome_is_found(micropython: Callable[..., object]) -> None:
    """A VM that runs another target than CPython does stands for a decoder that is not the same."""

    class Other(compare.Vm):
        def run(self, *arguments: str):  # type: ignore[no-untyped-def]
            return super().run(arguments[0], "messages", *arguments[2:])

    real = compare.vms()[0]
    other = Other("other", real.program, real.heap)
    report = compare.compare("frames", TARGETS["frames"].generator([], 5), 50, [other])
    assert report.finding is not None and report.finding.kind == "difference"
    assert report.finding.data is not None and "other VM" in report.finding.account
    said, same = compare.again("frames", report.finding.data, [other, real])
    assert not same and [line.partition(":")[0] for line in said.splitlines()] == [
        "CPython",
        "other VM",
        f"{real.name} VM",
    ]
    assert said.endswith(": the same") and said.count("the same") == 1


def test_one_input_is_shown_again_on_vms(
    micropython: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = CliRunner().invoke(command.main, ["cbor", "--again", "--vm"], input="01\n")
    first, *rest = ended.output.splitlines()
    assert ended.exit_code == 0 and first == "CPython: =1" and len(rest) == len(compare.vms())
    assert all(line.endswith(" VM: the same") for line in rest)
    monkeypatch.setattr(compare, "_here", lambda *_: "=another")
    ended = CliRunner().invoke(command.main, ["cbor", "--again", "--vm"], input="01\n")
    assert ended.exit_code == 1 and "CPython: =another" in ended.output and "64-bit VM: =1" in ended.output


@pytest.mark.parametrize("file", ["test_hostile_sessions.py", "test_contract.py"])
def test_files_on_vms(
    file: str, micropython: Callable[..., object], micropython32: Callable[..., object]
) -> None:
    for vm in compare.vms():
        ended = vm.run("tests/both/run_micropython.py", f"tests/fuzz/{file}")
        assert ended.returncode == 0, f"{vm.name}:\n{ended.stdout}{ended.stderr}"
        assert ", 0 failed" in ended.stdout
