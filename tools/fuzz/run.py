"""One target, many inputs: what came of them, and the first that broke a promise."""

import contextlib
import gc
import re
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tools.fuzz.mutate import Generator
from tools.fuzz.targets import Target

SLOW_S = 0.25
SLOW_S_PER_BYTE = 0.0004
"""An input may take this long; sessions and the dissector, the slowest, need a hundredth of it."""
STUCK_S = 20
LEARNED = 400
MAX_BLOCKS_AN_INPUT = 0.05
MAX_RESIDENT = 32 << 20
MAX_PEAK = 256 << 20
PROGRESS_S = 10

_NUMBERS = re.compile(r"[0-9a-f]{2,}|[0-9]")
_PAGE = resource.getpagesize()


@dataclass
class Finding:
    """What must not happen: `kind` (crash, hang, growth), the input (None of a growth), and the account."""

    kind: str
    data: bytes | None
    account: str


OF_ONE_PROCESS = ("slowest_us", "slowest_bytes", "blocks", "resident")
"""What is measured only where every input runs in this process."""


@dataclass
class Report:
    """Of one target. `refused`: by layer and cause; growth: of the second half of the run.

    `unmeasured`: the fields that this kind of run says nothing of. `on_vms`: MicroPython ran the inputs, too.
    """

    target: str
    inputs: int = 0
    seconds: float = 0.0
    accepted: int = 0
    refused: "Counter[str]" = field(default_factory=Counter[str])
    slowest_us: int = 0
    slowest_bytes: int = 0
    blocks: int = 0
    resident: int = 0
    finding: Finding | None = None
    learned: "list[bytes]" = field(default_factory=list[bytes])
    note: str = ""
    unmeasured: tuple[str, ...] = ()
    on_vms: bool = False

    def figure(self, name: str) -> Any:
        """The field of that name; None when it was not measured."""
        return None if name in self.unmeasured else getattr(self, name)

    def as_json(self) -> "dict[str, Any]":
        """For programs. null: not measured."""
        finding = self.finding
        return {
            "target": self.target,
            "inputs": self.inputs,
            "inputs_per_s": round(self.inputs / self.seconds) if self.seconds else None,
            "accepted": self.figure("accepted"),
            "refused": None if "refused" in self.unmeasured else dict(self.refused),
            "slowest_us": self.figure("slowest_us"),
            "slowest_bytes": self.figure("slowest_bytes"),
            "grown_blocks": self.figure("blocks"),
            "grown_bytes": self.figure("resident"),
            "note": self.note,
            "finding": None
            if finding is None
            else {
                "kind": finding.kind,
                "input": None if finding.data is None else finding.data.hex(),
                "account": finding.account,
            },
        }


class Stuck(Exception):
    """An input that has not come to an end for STUCK_S."""


class _Watch:
    """Looks, by a timer, whether the input is still the same; raises Stuck in the middle of it, if so."""

    def __init__(self) -> None:
        self.number = 0
        self._before = -1

    def look(self, signum: int, frame: Any) -> None:
        if self.number == self._before:
            raise Stuck(f"no end after {STUCK_S} s")
        self._before = self.number

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        old = signal.signal(signal.SIGALRM, self.look)
        signal.setitimer(signal.ITIMER_REAL, STUCK_S, STUCK_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)


def fuzz(
    target: Target,
    generator: Generator,
    inputs: int,
    seconds: "float | None" = None,
    progress: "Callable[[Report], None] | None" = None,
) -> Report:
    """Give `inputs` inputs to the target, fewer when `seconds` are over or a promise is broken."""
    report = Report(target.name)
    watch = _Watch()
    met: set[str] = set()
    began = said = time.monotonic()
    half = _Memory()
    peak = _peak()
    with watch.on():
        for number in range(inputs):
            data = generator.next()
            watch.number = number
            report.finding, outcome = _one(target, data, report)
            if report.finding is not None:
                break
            if outcome not in met and len(met) < LEARNED:
                met.add(outcome)
                generator.learn(data)
                report.learned.append(data)
            if number & 255 == 0:
                now = time.monotonic()
                report.seconds = now - began
                if progress is not None and now - said >= PROGRESS_S:
                    said = now
                    progress(report)
                if seconds is not None and now - began >= seconds:
                    break
                if not half.taken and (2 * number >= inputs or (seconds and 2 * (now - began) >= seconds)):
                    half.take(number)
    report.seconds = time.monotonic() - began
    if report.finding is None:
        report.finding = _grown(report, half, peak)
    return report


def _one(target: Target, data: bytes, report: Report) -> "tuple[Finding | None, str]":
    """What came of an input, counted; the kind of its outcome."""
    report.inputs += 1
    began = time.perf_counter()
    try:
        outcome = target.run(data)
    except Stuck as e:
        return Finding("hang", data, str(e)), ""
    except Exception:
        return Finding("crash", data, traceback.format_exc()), ""
    took = time.perf_counter() - began
    if took * 1e6 > report.slowest_us:
        report.slowest_us = int(took * 1e6)
        report.slowest_bytes = len(data)
    limit = SLOW_S + len(data) * SLOW_S_PER_BYTE
    if took > limit and (least := min(_again(target, data))) > limit:
        return Finding("hang", data, f"{least:.3f} s for {len(data)} bytes, the best of three"), ""
    if outcome.startswith("="):
        report.accepted += 1
        return None, _NUMBERS.sub("#", outcome[:2000])[:160]
    report.refused[outcome.partition("@")[0].partition(" ")[0]] += 1
    return None, outcome


def _again(target: Target, data: bytes) -> Iterator[float]:
    """How long the input takes, three times more: another program may have had the processor."""
    for _ in range(3):
        began = time.perf_counter()
        target.run(data)
        yield time.perf_counter() - began


class _Memory:
    """Objects and resident bytes at the middle of a run."""

    def __init__(self) -> None:
        self.taken = False
        self.number = 0
        self.blocks = 0
        self.resident = 0

    def take(self, number: int) -> None:
        gc.collect()
        self.taken = True
        self.number = number
        self.blocks = sys.getallocatedblocks()
        self.resident = _resident()


def _grown(report: Report, half: _Memory, peak: int) -> "Finding | None":
    """A growth that goes with the number of inputs, or a peak that no input explains."""
    if not half.taken:
        return None
    end = _Memory()
    end.take(report.inputs)
    report.blocks = end.blocks - half.blocks
    report.resident = end.resident - half.resident
    since = report.inputs - half.number
    if report.blocks > 20_000 + since * MAX_BLOCKS_AN_INPUT or report.resident > MAX_RESIDENT:
        account = f"{report.blocks} objects and {report.resident} bytes more after {since} inputs"
        return Finding("growth", None, account)
    if _peak() - peak > MAX_PEAK:
        return Finding("growth", None, f"a peak of {_peak() - peak} bytes above the beginning")
    return None


def _resident() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return _peak()


def _peak() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10
