"""An agent that is killed at any step of a pairing: it has the node or it has not, and the next one has."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.keys import PublicKeys
from edge_agent.nodes.kit import Expected, KitNode
from edge_agent.nodes.peers import Peers
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import Kit, Running, wait_until
from tests.edge_agent.test_cli import written

ROOT = Path(__file__).resolve().parents[2]
# Statement, durable, peers.json (temporary file, its fsync, rename, the folder's), expected.json alike, done.
ALL = range(15)
STEPS = ALL if os.environ.get("EVERY_STEP") else (1, 5, 10)


def run_until_killed(config: str, at: int) -> bool:
    """Whether the agent was killed; one that has done every step before is ended in order."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.edge_agent.killed_while_pairing", "agent", "run", "--config", config],
        cwd=ROOT,
        env=dict(os.environ, KILL_AT=str(at)),
        stderr=subprocess.DEVNULL,
    )
    kit = Kit(Path(config).parent)
    try:
        wait_until(
            lambda: process.poll() is not None or any(one["live"] for one in kit.status["nodes"]),
            "killed, or paired",
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("at", STEPS)
def test_killed_at_any_step_it_is_paired_or_not_and_the_next_agent_mends_it(tmp_path, at):
    (tmp_path / "agent").mkdir()
    kit = Kit(tmp_path / "agent")
    with FakeNode(Pty(), rate=2) as node:
        keys = PublicKeys(*node.identity.public())
        config = written(kit, node.pipe.name)
        expected, peers = Expected(kit.folder / "expected.json"), Peers(kit.folder / "peers.json")
        expected.add([KitNode(keys)])
        assert run_until_killed(config, at), "there are fewer steps than that"
        assert node.agents == [kit.identity.public()], "the node has it"
        assert peers.lookup(node.identity.id) in (None, keys)
        assert peers.lookup(node.identity.id) is not None or node.identity.id in expected.all()
        with Running(kit.config(node.pipe.name)):
            wait_until(lambda: any(one["live"] for one in kit.status["nodes"]), "live")
            wait_until(lambda: not expected.all(), "expected no more")
        assert Peers(kit.folder / "peers.json").ids() == [node.identity.id]
        told = [one for one in kit.ledger.as_dict()["statements"] if one["detail"].get("what") == "pair"]
        # Stated twice rather than never.
        assert 1 <= len(told) <= 2
