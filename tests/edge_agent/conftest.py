"""For every test of the agent: nothing is waited for that is only there to spare a disk or a link."""

import pytest

from edge_agent.ops import reporting
from protocol import node_clear


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The status is written ten times a second, and a node says hello to each agent that starts at once."""
    monkeypatch.setattr(reporting, "EVERY_S", 0.1)
    monkeypatch.setattr(node_clear, "SOLICIT_EVERY_MS", 50)
