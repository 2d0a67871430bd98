"""The runner finds what is planted: a crash, a hang, a growth; and says how to see it again."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools.fuzz import __main__ as command
from tools.fuzz import compare, guided, run, table, targets, wire
from tools.fuzz.mutate import Generator


class Planted:
    """Takes everything, and does something to what begins with 0xff."""

    name = "cbor"

    def __init__(self, does: str = ""):
        self.does = does
        self.kept: list[list[bytes]] = []
        self.calls = 0

    def run(self, data: bytes) -> str:
        self.calls += 1
        if self.does == "grow":
            self.kept.append([data + b"kept"])
        if data[:1] == b"\xff" and self.does == "crash":
            raise IndexError("planted")
        while data[:1] == b"\xff" and self.does == "hang":
            pass
        return "=" + str(len(data))


def generator() -> Generator:
    return Generator([b"\x01\x02", b"\xfe\x01\x02"], 1)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Planted]:
    target = Planted("crash")
    monkeypatch.setattr(command, "load", lambda name: target)
    monkeypatch.setattr(command.parties, "remember_curves", lambda: None)
    yield target


def test_nothing_to_find() -> None:
    report = run.fuzz(Planted(), generator(), 2000)
    assert report.finding is None and report.accepted == report.inputs == 2000
    assert report.slowest_us >= 0 and report.seconds > 0 and report.learned


def test_a_crash_ends_the_run_with_its_input() -> None:
    report = run.fuzz(Planted("crash"), generator(), 100_000)
    assert report.finding is not None and report.finding.kind == "crash"
    assert report.finding.data is not None and report.finding.data[0] == 0xFF
    assert "IndexError: planted" in report.finding.account and report.inputs < 100_000


def test_a_hang_ends_the_run_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "STUCK_S", 2.0)
    report = run.fuzz(Planted("hang"), generator(), 100_000)
    assert report.finding is not None and report.finding.kind == "hang"
    assert report.finding.data is not None and report.finding.data[0] == 0xFF


def test_what_is_only_slow_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SLOW_S", -1.0)
    monkeypatch.setattr(run, "SLOW_S_PER_BYTE", 0.0)
    target = Planted()
    report = run.fuzz(target, generator(), 100)
    assert report.finding is not None and "best of three" in report.finding.account
    assert target.calls == 4


def test_a_long_input_has_its_time_for_each_byte_when_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another program had the processor the first time: then it takes more than the fixed part, as it may."""
    monkeypatch.setattr(run, "_again", lambda target, data: iter([run.SLOW_S * 2] * 3))
    data = bytes(int(run.SLOW_S * 4 / run.SLOW_S_PER_BYTE))
    clock = iter([0.0, run.SLOW_S * 6])
    monkeypatch.setattr(run.time, "perf_counter", lambda: next(clock))
    finding, outcome = run._one(Planted(), data, run.Report("cbor"))
    assert finding is None and outcome


def test_growth_is_found() -> None:
    report = run.fuzz(Planted("grow"), generator(), 60_000)
    assert report.finding is not None and report.finding.kind == "growth"
    assert report.finding.data is None and report.blocks > 20_000


def test_the_command_ends_with_1_and_a_reproducer_that_works(planted: Planted, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    ended = CliRunner().invoke(command.main, ["cbor", "--inputs", "100000", "--json", str(file)])
    assert ended.exit_code == 1, ended.output
    (line,) = [line for line in ended.output.splitlines() if line.startswith("again: ")]
    assert line.endswith("| python -m tools.fuzz cbor --again")
    hexed = line.split()[2]
    (figures,) = json.loads(file.read_text())
    assert figures["finding"]["input"] == hexed and figures["finding"]["kind"] == "crash"
    again = CliRunner().invoke(command.main, ["cbor", "--again"], input=hexed)
    assert isinstance(again.exception, IndexError)
    planted.does = ""
    assert CliRunner().invoke(command.main, ["cbor", "--again"], input=hexed).exit_code == 0


def test_the_command_ends_with_0_and_a_table(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    for _ in range(2):
        ended = CliRunner().invoke(
            command.main, ["cbor", "cobs", "--inputs", "300", "--seed", "9", "--corpus", str(corpus)]
        )
        assert ended.exit_code == 0, ended.output
        assert "inputs/s" in ended.output and "cbor/malformed_cbor" in ended.output
        assert "300 inputs in" in ended.output
    assert len(list((corpus / "cbor").iterdir())) > 5


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["--json", "/nowhere/at/all/x.json"], "", "cannot be written"),
        (["--json", "/dev"], "", "is a folder"),
        (["--corpus", "/dev/null"], "", "no folder"),
        (["--corpus", "/dev/null/x"], "", "no folder"),
        (["--again"], "zz", "hex"),
        (["--again"], "abc", "hex"),
    ],
)
def test_wrong_use_is_told_before_the_run(
    arguments: "list[str]", given: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "fuzz", lambda *_: pytest.fail("it ran"))
    ended = CliRunner().invoke(command.main, ["cbor", *arguments], input=given)
    assert ended.exit_code == 2 and isinstance(ended.exception, SystemExit) and said in ended.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_figures_that_cannot_be_written_are_told_after_the_table() -> None:
    ended = CliRunner().invoke(command.main, ["cbor", "--inputs", "20", "--json", "/dev/full"])
    assert ended.exit_code == 2 and isinstance(ended.exception, SystemExit)
    assert "could not be written: No space left" in ended.output and "20 inputs in" in ended.output


def test_what_was_not_measured_is_no_nought() -> None:
    row = table.text([run.Report("cbor", 5, unmeasured=("accepted", "refused", *run.OF_ONE_PROCESS))])
    assert row.splitlines()[1].split() == ["cbor", "5"] + ["–"] * 6
    figures = run.Report("cbor", 5, unmeasured=run.OF_ONE_PROCESS).as_json()
    assert figures["slowest_us"] is None and figures["accepted"] == 0 and figures["grown_bytes"] is None


def test_seconds_end_a_run() -> None:
    ended = CliRunner().invoke(command.main, ["cbor", "--inputs", "100000000", "--seconds", "0.3"])
    assert ended.exit_code == 0, ended.output


def test_seconds_end_a_comparison_with_vms(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = compare.compare("cbor", targets.TARGETS["cbor"].generator([], 1), 10**9, [], 0.2)
    assert compare.LEAST_PIECE <= endless.inputs < 10**9 and endless.finding is None
    given: list[float] = []

    def compared(name: str, *_: object, seconds: float) -> run.Report:
        given.append(seconds)
        return run.Report(name)

    monkeypatch.setattr(command.compare, "compare", compared)
    ended = CliRunner().invoke(command.main, ["cbor", "frames", "--vm", "--seconds", "10"])
    assert ended.exit_code == 0 and given == [5.0, 5.0], ended.output


@pytest.mark.parametrize("more", [[], ["--again"]])
def test_what_no_vm_runs_is_wrong_use_of_vm(more: "list[str]") -> None:
    ended = CliRunner().invoke(command.main, ["batch", "--vm", *more], input="00")
    assert ended.exit_code == 2 and "MicroPython does not have what batch needs" in ended.output


def test_a_finding_on_a_vm_is_shown_again_on_a_vm(monkeypatch: pytest.MonkeyPatch) -> None:
    difference = run.Finding("difference", b"\x01\xff", "x")
    report = run.Report("cbor", 7, finding=difference, on_vms=True)
    assert table.account(report, 3).endswith("again: echo 01ff | python -m tools.fuzz cbor --again --vm")
    report.finding = run.Finding("growth", None, "x")
    assert table.account(report, 3).endswith("again: python -m tools.fuzz cbor --seed 3 --inputs 7 --vm")
    report.on_vms = False
    assert "--vm" not in table.account(report, 3)


def test_without_atheris_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guided.importlib.util, "find_spec", lambda name: None)
    ended = CliRunner().invoke(command.main, ["cbor", "--atheris"])
    assert ended.exit_code == 1 and "[fuzz]'" in ended.output


def test_atheris_covers_more_than_the_door() -> None:
    pytest.importorskip("atheris", reason="Atheris is not installed: the extra [fuzz], x86-64 Linux")
    report = guided.fuzz("cbor", 500, None, 1, None)
    assert report.finding is None and report.inputs >= 500
    assert "edges covered" in report.note and int(report.note.split()[0]) > 30


def test_a_target_that_cannot_be_imported_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> targets.Target:
        if name == "orders":
            raise ImportError("no orders here")
        return wire.Cbor()

    monkeypatch.setattr(command, "load", load)
    ended = CliRunner().invoke(command.main, ["orders", "cbor", "--inputs", "10"])
    assert ended.exit_code == 0 and "orders is left out" in ended.output
