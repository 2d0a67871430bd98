"""`vitalwire operator`: whose signatures on records of people this agent believes."""

from pathlib import Path

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import config_option, show, told
from edge_agent.cli.people_asking import record_action
from edge_agent.people.operators import Operators
from edge_agent.readable import printable


@click.group("operator", short_help="Whose signatures on records of people are believed.")
def operator_group() -> None:
    """Say whose signatures on records of people this agent believes.

    \b
    Example:
      vitalwire operator list
    """


@operator_group.command("new", short_help="Make an operator's keys on this machine.")
@config_option
@click.argument("name")
@told
def operator_new(config_path: Path | None, name: str) -> None:
    """Make an operator's keys on this machine: whoever has the machine can then sign. A clinic keeps them
    elsewhere (vitalwire operator add).

    \b
    Example:
      vitalwire operator new home
    """
    config = configuration.load(config_path)
    operators = Operators(config.operators)
    operators.free(name)
    record_action(config, "operator made", name)
    one, path = operators.new(name)
    record_action(config, "operator added", one.keys.id, ed_pub=one.keys.ed_pub, x_pub=one.keys.x_pub)
    click.echo(f"secret  {path}")
    show(name, one.keys.fingerprint)


@operator_group.command("add", short_help="Believe an operator by the public keys.")
@config_option
@click.argument("name")
@click.argument("public", type=click.Path(dir_okay=False, path_type=Path))
@told
def operator_add(config_path: Path | None, name: str, public: Path) -> None:
    """Believe the operator whose public keys are in the file PUBLIC, and call it NAME.

    \b
    Example:
      vitalwire operator add ward-3 /media/stick/ward-3.pub
    """
    from edge_agent.keys import load_public

    config = configuration.load(config_path)
    keys = load_public(public, "operator")
    operators = Operators(config.operators)
    operators.free(name)
    record_action(config, "operator added", keys.id, ed_pub=keys.ed_pub, x_pub=keys.x_pub)
    one = operators.add(name, keys)
    show(name, one.keys.fingerprint)


@operator_group.command("list")
@config_option
@told
def operator_list(config_path: Path | None) -> None:
    """List those that are believed, and those that were.

    \b
    Example:
      vitalwire operator list
    """
    operators = Operators(configuration.load(config_path).operators)
    believed = operators.all()
    for one in believed:
        show(one.name + (" (secret here)" if one.secret_here else ""), one.keys.fingerprint)
    problems = list(operators.problems)
    if not believed:
        click.echo("none: vitalwire operator new, or operator add, makes one", err=True)
    for one in operators.former():
        show(f"{one.name} (former)", one.keys.fingerprint)
    for line in problems:
        click.echo(printable(f"not believed: {line}"), err=True)


@operator_group.command("remove")
@config_option
@click.argument("name")
@told
def operator_remove(config_path: Path | None, name: str) -> None:
    """Believe NAME no more. What it has signed stands; a secret key of it that lies here is removed.

    \b
    Example:
      vitalwire operator remove ward-3
    """
    config = configuration.load(config_path)
    operators = Operators(config.operators)
    found = next((one for one in operators.all() if one.name == name), None)
    record_action(config, "operator removed", name if found is None else found.keys.id)
    operators.remove(name)
