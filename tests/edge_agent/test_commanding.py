"""How a command ends that could not be finished."""

import errno

import click
import pytest
from click.testing import CliRunner

from edge_agent.commanding import told


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
