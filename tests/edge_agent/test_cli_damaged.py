"""A command that finds the store damaged under a running agent: the agent does not go on writing to it."""

from contextlib import closing

import pytest
from click.testing import CliRunner

from edge_agent.store import database
from edge_agent.store.database import PAGE
from edge_agent.store.errors import StoreCorrupt
from tests.edge_agent.fakes import FakeNode, Pty
from tests.edge_agent.running import Kit, Running, wait_until
from tools.cli import main


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


@pytest.mark.parametrize("command", ["store check", "verify"])
def test_what_a_command_finds_damaged_is_set_aside_at_once(kit, command):
    config = kit.folder / "agent.toml"
    config.write_text('[agent]\nstate_dir = "."\n')

    def typed(fails: bool) -> str:
        done = CliRunner().invoke(main, [*command.split(), "--config", str(config)])
        assert bool(done.exit_code) == fails, done.output
        return done.output

    with FakeNode(Pty(), agent=kit.identity, rate=40) as node:
        kit.pair(node)
        running = Running(kit.config(node.pipe.name))
        with running:
            wait_until(lambda: len(node.made) > 20 and node.held < 10, "frames")
            assert "was told" not in typed(fails=False)
            with closing(database.open_reader(kit.config(node.pipe.name))) as db:
                root = db.value("SELECT rootpage FROM sqlite_master WHERE name = 'summaries'")
            with (kit.folder / "agent.db").open("r+b") as file:
                file.seek((root - 1) * PAGE + 100)
                file.write(b"junk" * 20)
            assert "the agent that runs was told" in typed(fails=True)
            error = running.ended()
            assert isinstance(error, StoreCorrupt) and "a command found it damaged" in str(error)
            running.error = None
        with Running(kit.config(node.pipe.name)) as again:
            wait_until(lambda: kit.status.get("store", {}).get("set_aside"), "it is set aside")
            assert again.agent.opening.set_aside is not None
            made = len(node.made)
            wait_until(lambda: len(node.made) > made + 20 and node.held < 10, "and the agent goes on")
