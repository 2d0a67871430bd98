"""What became of each board: a row of CSV, and lines for people."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.files import write_atomically
from edge_agent.readable import printable
from tools.flash.node import Keys, Line
from tools.flash.trouble import Trouble

COLUMNS = (
    "port",
    "chip",
    "mac",
    "board",
    "firmware",
    "id",
    "fingerprint",
    "result",
    "seconds",
    "why",
    "went_on_with",
    "self_test",
)
PLAIN_FILE = 0o644
# What a spreadsheet takes for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass
class Outcome:
    """One board. `went_on_with`: what was there from before; `why`: what stopped it, "" when nothing;
    `now_on`: its port's other name since a reset."""

    port: str
    board: str = ""
    title: str = ""
    firmware: str = ""
    chip: str = ""
    mac: str = ""
    keys: Keys | None = None
    lines: list[Line] = field(default_factory=lambda: [])
    went_on_with: list[str] = field(default_factory=lambda: [])
    seconds: float = 0.0
    why: str = "it was not begun"
    now_on: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is a node now, and all of it works."""
        return not self.why


def write(outcomes: Iterable[Outcome], path: Path) -> None:
    """The report, replaced in one step. Trouble when it cannot be written."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for one in outcomes:
        rows.writerow(
            _cell(text)
            for text in (
                one.port,
                one.chip,
                one.mac,
                one.board,
                one.firmware,
                one.keys.id if one.keys else "",
                one.keys.fingerprint.hex() if one.keys else "",
                "passed" if one.passed else "failed",
                f"{one.seconds:.1f}",
                one.why,
                "; ".join(one.went_on_with),
                json.dumps([line._asdict() for line in one.lines], ensure_ascii=False),
            )
        )
    try:
        write_atomically(path, text.getvalue().encode(), PLAIN_FILE)
    except OSError as e:
        raise Trouble(f"no report can be written to {path}: {e.strerror}", "name another --report") from e


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def told(outcome: Outcome) -> Iterable[str]:
    """Lines for a person: how it ended, then the self-test. What the board said moves no cursor."""
    yield from map(printable, _told(outcome))


def _told(outcome: Outcome) -> Iterable[str]:
    if outcome.passed and outcome.keys is not None:
        yield f"{outcome.port}: passed, node {outcome.keys.id}, {outcome.seconds:.0f} s"
    else:
        yield f"{outcome.port}: FAILED: {outcome.why}"
    if outcome.now_on:
        yield f"  its port is called {outcome.now_on} now"
    for what in outcome.went_on_with:
        yield f"  went on with {what}"
    for line in outcome.lines:
        mark = "FAILED" if line.why else "ok"
        found = f"{line.found:,}" if isinstance(line.found, int) else line.found
        yield f"  {line.name:8} {mark:7} {found} {line.unit}".rstrip() + (f": {line.why}" if line.why else "")
