"""Nodes whose every seal is written down, and an agent whose seals are taken down here."""

from pathlib import Path

import pytest

from protocol import frames
from tests.firmware.conftest import Agent
from tests.firmware.test_app import patched
from tests.seal_log import ON_VM, SealLog


class Rig:
    """Nodes with a log of what each seals, and an agent here whose seals are in the same account."""

    def __init__(self, tree, folder, make_node, make_agent, monkeypatch) -> None:
        self._tree = tree
        self._folder = folder
        self._make_node = make_node
        self._make_agent = make_agent
        self._logs: list[Path] = []
        self.down = SealLog().here(monkeypatch)

    def node(self, name: str = "node", more: str = ""):
        log = self._folder / f"{name}.seals"
        self._logs.append(log)
        (self._folder / name).mkdir(exist_ok=True)
        work = self._folder / f"{name}-tree"
        work.mkdir()
        tree = patched(self._tree, work, ON_VM.format(path=str(log)) + more)
        return self._make_node(name, tree=tree)

    def agent(self, node, identity=None) -> Agent:
        return self._make_agent(node.port, identity)

    def sealed(self) -> SealLog:
        """What all nodes have sealed."""
        log = SealLog()
        for path in self._logs:
            log.read(path)
        return log

    def seals(self) -> int:
        """How often a node has sealed something."""
        return sum(path.read_text().count("\n") for path in self._logs)

    def check(self, keys: int) -> None:
        """Nothing was repeated in either direction, and at least so many keys sealed something."""
        up = self.sealed()
        assert not up.repeated and not self.down.repeated
        assert not up.keys & self.down.keys
        assert len(up.keys) >= keys


@pytest.fixture
def rig(virtual_tree, tmp_path, make_node, make_agent, monkeypatch) -> Rig:
    return Rig(virtual_tree, tmp_path, make_node, make_agent, monkeypatch)


def vitals(agent: Agent, more: int = 2) -> None:
    """Until so many more vitals have come."""

    def heard() -> int:
        return sum(kind == frames.KIND_VITALS for held in agent.frames.values() for kind, *_ in held.values())

    enough = heard() + more
    agent.until(lambda: heard() >= enough)
