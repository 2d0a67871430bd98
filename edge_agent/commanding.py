"""What the agent's commands share: their configuration, their errors in one line, fingerprints."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar

import click

from edge_agent.config import ConfigError

P = ParamSpec("P")
R = TypeVar("R")


def fail(error: Exception | str) -> NoReturn:
    """End the command with one line."""
    raise click.ClickException(str(error))


def told(command: Callable[P, R]) -> Callable[P, R]:
    """What a person can put right ends the command with one line, not with a traceback."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from edge_agent.keys import KeyFileError
        from edge_agent.links.ports import PortError
        from edge_agent.lock import Locked
        from edge_agent.pairing import PairingError
        from edge_agent.peers import PeersError
        from edge_agent.store.errors import StoreError

        try:
            return command(*args, **kwargs)
        except (
            ConfigError,
            KeyFileError,
            Locked,
            PairingError,
            PeersError,
            PortError,
            StoreError,
            OSError,
        ) as e:
            fail(e)

    return wrapped


config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The agent's TOML file; without it, the usual places, then the defaults.",
)


def show(role: str, fingerprint: bytes) -> None:
    """A party's id and fingerprint in one line."""
    from protocol.identity import fingerprint_text

    click.echo(f"{role}  {fingerprint[:8].hex()}  fingerprint {fingerprint_text(fingerprint)}")
