"""How a command ends that could not be finished."""

import errno
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edge_agent.cli.commanding import told
from tools.cli import main


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), ""),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "make room on that disk"),
    ],
)
def test_a_reader_that_has_seen_enough_is_no_error_and_a_full_disk_is_one(error: OSError, said: str) -> None:
    @click.command()
    @told
    def command() -> None:
        raise error

    done = CliRunner().invoke(command)
    assert done.exit_code == 1
    assert said in done.output and (said or not done.output)


@pytest.mark.parametrize("words", [["dead-letters", "list"], ["audit"], ["status"], ["ledger"]])
def test_where_no_agent_ran_the_command_that_starts_one_is_named(tmp_path: Path, words: list[str]) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(f'[agent]\nstate_dir = "{tmp_path}"\n', "utf-8")
    done = CliRunner().invoke(main, [*words, "--config", str(config)])
    assert done.exit_code == 1
    assert "vitalwire agent run" in done.output and "store.key" not in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["service", "install", "--path", "/nowhere/x.service"], "does systemd run here? else name"),
        (["status", "--config", "/nowhere/a.toml"], "name the right one: --config FILE"),
        (["doctor", "--offline", "--config", "/nowhere/a.toml"], "mend that; nothing else can be checked"),
        (["identify", "31"], "4 at least"),
        (["prove", "--node", "31f4", "--boot", "1", "--seq", "-1"], "0<=x<=4294967295"),
        (["pair", "--prot", "x"], "'--port'"),
    ],
)
def test_what_was_mistyped_is_named_with_what_to_type(words: list[str], said: str) -> None:
    done = CliRunner().invoke(main, words)
    assert done.exit_code and said in done.output and "Traceback" not in done.output
    assert not Path("/nowhere").exists()
