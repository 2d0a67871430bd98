"""The same inputs on CPython and on MicroPython: every outcome must be the same, text for text."""

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from boards.virtual.rig import RigError, find_micropython
from protocol.crypto import sha256
from tools.fuzz.mutate import Generator
from tools.fuzz.run import OF_ONE_PROCESS, Finding, Report
from tools.fuzz.targets import Target, load

ON_VM = "tools/fuzz/on_vm.py"
ROOT = Path(__file__).resolve().parents[2]
VM32 = ROOT / "build" / "vm32" / "micropython"
HEAP = "8M"
HEAP32 = "4M"
"""Far more than a node's: the outcomes are texts, many times longer than the inputs."""
DIGEST = 8
PIECE = 100_000
LEAST_PIECE = 200
"""Of a run with an end in time: fewer inputs are not worth the start of two VMs."""
MAX_HEAP_GROWTH = 48 << 10


class Vm:
    """A MicroPython VM: what it is called, its program, its heap."""

    def __init__(self, name: str, program: str, heap: str):
        self.name = name
        self.program = program
        self.heap = heap

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A script with its arguments, in the project's root."""
        return subprocess.run(
            [self.program, "-X", f"heapsize={self.heap}", *arguments],
            cwd=ROOT,
            env=dict(os.environ, MICROPYPATH=f"{ROOT}:.frozen"),
            capture_output=True,
            text=True,
            check=False,
        )


def vms() -> "list[Vm]":
    """Those that are here: the 64-bit one, and the one with an ESP32's words; RigError when there is none."""
    found = [Vm("64-bit", find_micropython(), HEAP)]
    program = os.environ.get("MICROPYTHON32") or (str(VM32) if VM32.exists() else None)
    if program:
        found.append(Vm("32-bit", program, HEAP32))
    return found


def compare(
    name: str,
    generator: Generator,
    inputs: int,
    on: "Sequence[Vm] | None" = None,
    seconds: "float | None" = None,
) -> Report:
    """`inputs` inputs on CPython and on each VM, fewer when `seconds` are over.

    A finding is the first outcome that is not the same.
    """
    report = Report(name, unmeasured=OF_ONE_PROCESS, on_vms=True)
    machines = _machines(on)
    target = load(name)
    notes: dict[str, str] = {}
    began = time.monotonic()
    piece = PIECE if seconds is None else LEAST_PIECE
    while piece and report.inputs < inputs and report.finding is None:
        corpus = [generator.next() for _ in range(min(piece, inputs - report.inputs))]
        outcomes = [_here(target, data, report) for data in corpus]
        for vm in machines:
            report.finding = report.finding or _there(vm, name, corpus, outcomes, notes)
        report.seconds = time.monotonic() - began
        if seconds is not None:
            piece = _piece(report, seconds)
    report.note = ", ".join(notes.values())
    return report


def again(name: str, data: bytes, on: "Sequence[Vm] | None" = None) -> "tuple[str, bool]":
    """What comes of one input on CPython and on each VM, and whether it is sound and everywhere the same."""
    machines = _machines(on)
    said = _here(load(name), data, Report(name))
    lines = [f"CPython: {said}"]
    same = True
    for vm in machines:
        finding = _there(vm, name, [data], [said], {})
        same = same and finding is None
        # The account of a difference begins with what CPython said, which is there already.
        account = "the same" if finding is None else finding.account.removeprefix(lines[0] + "\n")
        lines.append(f"{vm.name} VM: " + account.removeprefix(f"{vm.name} VM: "))
    return "\n".join(lines), same


def _machines(on: "Sequence[Vm] | None") -> "Sequence[Vm]":
    try:
        return vms() if on is None else on
    except RigError as e:
        raise SystemExit(str(e)) from None


def _piece(report: Report, seconds: float) -> int:
    """How many inputs come next, so that it ends in time at the speed so far; 0: no more."""
    many = int(report.inputs / report.seconds * (seconds - report.seconds))
    return min(PIECE, many) if many >= LEAST_PIECE else 0


def _here(target: Target, data: bytes, report: Report) -> str:
    """The outcome on CPython, counted; a crash in the words in which on_vm.py has it."""
    report.inputs += 1
    try:
        said = target.run(data)
    except Exception as e:
        return f"!{type(e).__name__}: {e}"
    if said.startswith("="):
        report.accepted += 1
    else:
        report.refused[said.partition("@")[0].partition(" ")[0]] += 1
    return said


def _there(
    vm: Vm, name: str, corpus: "list[bytes]", outcomes: "list[str]", notes: "dict[str, str]"
) -> "Finding | None":
    """The first input whose outcome is another one on a VM, or a heap that grew."""
    with tempfile.TemporaryDirectory() as folder:
        given, got = Path(folder) / "corpus", Path(folder) / "outcomes"
        given.write_bytes(b"".join(len(data).to_bytes(2, "big") + data for data in corpus))
        ended = vm.run(ON_VM, name, str(given), str(got))
        if ended.returncode:
            many = got.stat().st_size // DIGEST if got.exists() else 0
            data = corpus[many] if many < len(corpus) else None
            return Finding("crash", data, f"{vm.name} VM: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
        digests = got.read_bytes()
        for i, (data, said) in enumerate(zip(corpus, outcomes, strict=True)):
            if digests[i * DIGEST : i * DIGEST + DIGEST] != sha256(said.encode())[:DIGEST] or said.startswith(
                "!"
            ):
                given.write_bytes(len(data).to_bytes(2, "big") + data)
                # The last line is of counts.
                there, _, _ = vm.run(ON_VM, name, str(given), "-").stdout.rstrip().rpartition("\n")
                account = f"CPython: {said}\n{vm.name} VM: {there}"
                return Finding("crash" if said.startswith("!") else "difference", data, account)
    _, early, late = (int(number) for number in ended.stdout.split())
    notes[vm.name] = f"{vm.name} VM: the same; heap {early - late:+d} bytes"
    if early - late > MAX_HEAP_GROWTH:
        return Finding(
            "growth", None, f"{vm.name} VM: {early - late} bytes of heap in three quarters of the run"
        )
    return None
