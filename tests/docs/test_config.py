"""docs/config.md is what the table of keys says, and its example can be used."""

import re
from pathlib import Path

from edge_agent import config
from tools import config_reference

TEXT = config_reference.PATH.read_text("utf-8")


def test_the_reference_is_the_tables() -> None:
    assert config_reference.replaced(TEXT) == TEXT, "stale: python -m tools.config_reference"


def test_a_stale_reference_is_seen() -> None:
    assert config_reference.replaced(TEXT.replace("| `commit_ms` | `40`", "| `commit_ms` | `41`")) == TEXT


def test_the_example_can_be_used() -> None:
    examples = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    assert examples
    for example in examples:
        assert not config.parse(example, Path("/etc/vitalwire/agent.toml")).warnings
