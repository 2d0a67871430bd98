"""`vitalwire dead-letters`: what a far end will never take, why, and once more."""

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import config_option, fail, told
from edge_agent.config import Config

if TYPE_CHECKING:
    from edge_agent.forward.fhir_shelf import Letter

FORWARDER = "fhir"


@click.group("dead-letters", short_help="What a far end refused for ever.")
def dead_letters_group() -> None:
    """What a far end refused for ever: kept with its reason, so that it holds up nothing else.

    \b
    Example:
      vitalwire dead-letters list
    """


@dead_letters_group.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@told
def list_command(config_path: Path | None, as_json: bool) -> None:
    """List them, oldest first: when, what, why.

    \b
    Example:
      vitalwire dead-letters list --json
    """
    from edge_agent.readable import counted, printable, utc

    found = _letters(configuration.load(config_path))
    for letter in found:
        if as_json:
            click.echo(json.dumps(letter._asdict()))
            continue
        click.echo(f"{utc(letter.at_ms)}  {printable(letter.item)}\n    {printable(letter.reason)}")
    if not as_json:
        what = counted(len(found), "dead letter")
        click.echo(f"{what}; when the cause is mended: vitalwire dead-letters retry" if found else "none")


@dead_letters_group.command("retry", short_help="Have the agent send them once more.")
@config_option
@told
def retry_command(config_path: Path | None) -> None:
    """Have the agent send them once more, now or when it runs next; what is refused again stays.

    The agent may be running. Where there are none, nothing is asked of it.

    \b
    Example:
      vitalwire dead-letters retry
    """
    from edge_agent.files import write_atomically
    from edge_agent.forward.fhir_shelf import retry_file
    from edge_agent.readable import counted

    config = configuration.load(config_path)
    count = len(_letters(config))
    if not count:
        click.echo("nothing to retry: there are no dead letters")
        return
    if config.fhir is None:
        fail("the configuration has no [fhir]: nothing here would send them")
    write_atomically(retry_file(config.state_dir), b"")
    what = counted(count, "dead letter")
    click.echo(f"asked for {what}; the agent tries when the server is reached: vitalwire dead-letters list")


def _letters(config: Config) -> "list[Letter]":
    from edge_agent.forward.fhir_shelf import letters
    from edge_agent.store.database import open_reader

    with closing(open_reader(config)) as db:
        return letters(db, FORWARDER)
