"""What the agent's commands share: their configuration, their errors in one line, fingerprints."""

import errno
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import NoReturn, ParamSpec, TypeVar

import click

from edge_agent.config import Config, ConfigError
from edge_agent.readable import printable

P = ParamSpec("P")
R = TypeVar("R")

NEVER_RAN = (
    "the agent has not run with this state directory"
    " (start it: vitalwire agent run; or name its configuration: --config)"
)


def fail(error: Exception | str) -> NoReturn:
    """End the command with one line."""
    raise click.ClickException(printable(str(error)))


def told(command: Callable[P, R]) -> Callable[P, R]:
    """What a person can put right ends the command with one line, not with a traceback."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        from edge_agent.keys import KeyFileError
        from edge_agent.links.ports import PortError
        from edge_agent.lock import Locked
        from edge_agent.nodes.kit import KitError
        from edge_agent.nodes.pairing import PairingError
        from edge_agent.nodes.peers import PeersError
        from edge_agent.people.state import PeopleError
        from edge_agent.remote.authorities import AuthoritiesError
        from edge_agent.standard.devices import DevicesError
        from edge_agent.store.errors import StoreError
        from edge_agent.updates.bundle import BundleError
        from edge_agent.updates.makers import MakersError

        try:
            return command(*args, **kwargs)
        except (
            AuthoritiesError,
            BundleError,
            ConfigError,
            DevicesError,
            KeyFileError,
            KitError,
            Locked,
            MakersError,
            PairingError,
            PeersError,
            PeopleError,
            PortError,
            StoreError,
        ) as e:
            fail(e)
        except OSError as e:
            if isinstance(e, BrokenPipeError) and e.filename is None:
                raise  # Who reads our output has seen enough (`| head`): click ends without a word.
            fail(refused(e))
        except Exception as e:
            from edge_agent.store import database

            if not isinstance(e, database.Error):
                raise
            fail(f"the store cannot be read: {e} (vitalwire store check says more)")

    return wrapped


def answered(ask: Callable[[], R], option: str) -> R:
    """The answer to a question. Where nobody can give one, the command ends and names `option` instead."""
    try:
        return ask()
    except click.Abort as e:
        if sys.stdin.isatty() or isinstance(e.__context__, KeyboardInterrupt):
            raise
        click.echo(err=True)
        fail(f"nobody answers here (stdin is no terminal): give {option}")


HINTS = {
    errno.ENOSPC: "make room on that disk, then try again",
    errno.EDQUOT: "make room in that user's quota, then try again",
    errno.EROFS: "that disk takes no writes: mount it read-write, or choose another [agent] state_dir",
    errno.EACCES: "is it another user's? run this as the user of the agent",
    errno.EPERM: "is it another user's? run this as the user of the agent",
}


def refused(e: OSError) -> str:
    """What the system refused, in words: operation, path, cause, hint."""
    operation = click.get_current_context().info_name
    where = f" {e.filename}:" if e.filename else ""
    hint = HINTS.get(e.errno) if e.errno is not None else None
    return f"{operation}:{where} {e.strerror or e}" + (f" ({hint})" if hint else "")


def from_when(config: Config) -> str:
    """From when on the agent goes by what was changed beside it, where it looks at each use."""
    from edge_agent.ops.doctor_machine import holder

    if holder(config.state_dir / "agent.lock") is None:
        return "no agent runs here now, the next one knows"
    return "the agent that runs knows at once"


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
