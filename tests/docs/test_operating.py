"""The operator's guide names what there is: every metric, every command with its options, every cause."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edge_agent.ops.health import CAUSES
from edge_agent.ops.metrics import HISTOGRAMS, METRICS
from tools.cli import main

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDE = (DOCS / "operating.md").read_text("utf-8")
# `vw` is the guide's name for the same.
_COMMAND = re.compile(r"(?:^|[\s/`])(?:vitalwire|vw) (?=[a-z])(.*)")
TEXTS = [
    "../README.md",
    "operating.md",
    "adding-a-board.md",
    "agent.md",
    "ble.md",
    "boards.md",
    "config.md",
    "devices.md",
    "flashing.md",
    "for-engineers.md",
    "for-families.md",
    "pairing.md",
    "rollout.md",
    "spool.md",
    "updates.md",
    "wifi.md",
]


def typed(text: str) -> Iterator[str]:
    """Each command of ours in the code of `text`: whole lines of blocks, and code spans."""
    fenced = False
    for line in text.split("\n"):
        if line.startswith("```"):
            fenced = not fenced
            continue
        spans = [line.partition("   #")[0]] if fenced else re.findall(r"`([^`]+)`", line)
        for span in spans:
            found = _COMMAND.search(f" {span}")
            if found and not re.match(r"\w+ *[:=@]", found[1]):
                yield re.split(r" [|>&]| && |;", found[1])[0].strip()


def wrong(line: str) -> str | None:
    """Why the command cannot be typed: no such command, or no such option."""
    words = shlex.split(line)
    command: click.Command = main
    ctx = click.Context(main)
    while isinstance(command, click.Group) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
        name = words.pop(0)
        found = command.get_command(ctx, name)
        if found is None:
            return f"no command {name}"
        command, ctx = found, click.Context(found, ctx, name)
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
    missing = [word for word in words if word.startswith("--") and word.rstrip(",") not in known]
    return f"no option {missing[0]}" if missing else None


COMMANDS = sorted({line for name in TEXTS for line in typed((DOCS / name).read_text("utf-8"))})


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_can_be_typed(line: str) -> None:
    assert wrong(line) is None


def test_a_command_that_is_none_is_found() -> None:
    assert wrong("doctr") and wrong("doctor --jsn") and wrong("config chek") and not wrong("doctor --json")
    assert len(COMMANDS) > 20, COMMANDS


def test_the_metrics_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(vitalwire_\w+)` \| (?:`(\w+)`)? ?\| (.*) \|$", GUIDE, re.MULTILINE)
    assert rows == [
        *((one.name, one.label, one.help) for one in METRICS),
        *((name, "", f"histogram: {says}") for name, says, _ in HISTOGRAMS),
    ]


def test_the_alerts_use_metrics_that_there_are() -> None:
    names = {one.name for one in METRICS} | {f"{name}_bucket" for name, *_ in HISTOGRAMS}
    used = set(re.findall(r"\bvitalwire_\w+", GUIDE.partition("```yaml")[2].partition("```")[0]))
    assert used and used <= names, used - names


def test_every_cause_of_bad_health_is_named() -> None:
    for cause in CAUSES:
        assert f"`{cause}`" in GUIDE
