"""`vitalwire dead-letters`: what a far end will never take, why, and once more."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from edge_agent import config as configuration
from edge_agent.commanding import config_option, told

FORWARDER = "fhir"


@click.group("dead-letters")
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
    from edge_agent.forward.fhir_shelf import letters
    from edge_agent.readable import printable
    from edge_agent.store.database import open_reader

    config = configuration.load(config_path)
    db = open_reader(config)
    try:
        found = letters(db, FORWARDER)
    finally:
        db.close()
    for letter in found:
        if as_json:
            click.echo(json.dumps(letter._asdict()))
            continue
        at = datetime.fromtimestamp(letter.at_ms / 1000, UTC)
        click.echo(f"{at:%Y-%m-%d %H:%M:%S} UTC  {printable(letter.item)}\n    {printable(letter.reason)}")
    if not as_json:
        what = "1 dead letter" if len(found) == 1 else f"{len(found)} dead letters"
        click.echo(f"{what}; when the cause is mended: vitalwire dead-letters retry" if found else "none")


@dead_letters_group.command("retry")
@config_option
@told
def retry_command(config_path: Path | None) -> None:
    """Have the agent send them once more, now or when it runs next; what is refused again stays.

    \b
    Example:
      vitalwire dead-letters retry
    """
    from edge_agent.files import write_atomically
    from edge_agent.forward.fhir_shelf import retry_file

    config = configuration.load(config_path)
    write_atomically(retry_file(config.state_dir), b"")
    click.echo("asked; the agent tries them when the server can be reached: vitalwire dead-letters list")
