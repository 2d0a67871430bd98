"""For every test of the agent: nothing is waited for that is only there to spare a disk, a link or a core."""

from collections.abc import Iterator

import pytest

from edge_agent import agent
from edge_agent.cli import nodes, orders, store
from edge_agent.ops import reporting
from protocol import node_clear


@pytest.fixture(autouse=True)
def prompt() -> Iterator[None]:
    """The status is written ten times a second, commands and agent look for each other's files more often,
    and a node says hello to each agent that starts at once.
    """
    # A patch of its own: what a test changes is put back before the fixtures that it has named end.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporting, "EVERY_S", 0.1)
        patch.setattr(agent, "ERRANDS_S", 0.05)
        patch.setattr(orders, "ASK_AGAIN_S", 0.1)
        for command in (nodes, orders, store):
            patch.setattr(command, "POLL_S", 0.02)
        patch.setattr(node_clear, "SOLICIT_EVERY_MS", 50)
        yield
