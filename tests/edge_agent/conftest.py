"""For every test of the agent: nothing is waited for that is only there to spare a disk, a link or a core."""

import pytest

from edge_agent import agent
from edge_agent.cli import nodes, orders, store
from edge_agent.ops import reporting
from protocol import node_clear


@pytest.fixture(autouse=True)
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The status is written ten times a second, commands and agent look for each other's files more often,
    and a node says hello to each agent that starts at once.
    """
    monkeypatch.setattr(reporting, "EVERY_S", 0.1)
    monkeypatch.setattr(agent, "ERRANDS_S", 0.05)
    monkeypatch.setattr(orders, "ASK_AGAIN_S", 0.1)
    for command in (nodes, orders, store):
        monkeypatch.setattr(command, "POLL_S", 0.02)
    monkeypatch.setattr(node_clear, "SOLICIT_EVERY_MS", 50)
