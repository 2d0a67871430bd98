"""For every test of the agent: nothing is waited for that is only there to spare a disk, a link or a core.
Who asks for them has an agent's folder and Bluetooth.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_agent import agent
from edge_agent.cli import nodes, orders, store
from edge_agent.ops import reporting
from protocol import node_clear
from tests.edge_agent.running import Kit

if TYPE_CHECKING:
    from boards.virtual.ble.radio import Radio


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


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """An agent's folder; a module that has its own says where that is."""
    return Kit(tmp_path / "kit")


@pytest.fixture
def radio() -> "Iterator[Radio]":
    """The air around an agent, whose Bluetooth is on it."""
    from boards.virtual.ble import central
    from boards.virtual.ble.radio import Radio

    with Radio() as radio:
        central.install(radio.hci)
        yield radio
