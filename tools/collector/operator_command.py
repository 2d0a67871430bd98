"""`vitalwire collector operator`: whose signatures on assignments and erasures the collector believes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from edge_agent.files import make_folder
from edge_agent.keys import KeyFileError, fingerprint_text, load_public
from edge_agent.people.operators import Operator, Operators
from edge_agent.people.state import PeopleError
from edge_agent.readable import printable
from tools.collector.commands_read import in_words, state_option
from tools.collector.folder import AUDIT, OPERATORS, note


@click.group("operator", short_help="Whose signatures on records of people are believed.")
def operator_command() -> None:
    """Say whose signatures on assignments and erasures this collector believes.

    \b
    Example:
      vitalwire collector operator list
    """


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except (KeyFileError, PeopleError, OSError) as e:
        raise in_words(e) from e


def _show(one: Operator, more: str = "") -> None:
    known = one.keys
    click.echo(
        printable(f"{one.name}{more}  {known.id.hex()}  fingerprint {fingerprint_text(known.fingerprint)}")
    )


@operator_command.command("add", short_help="Believe an operator by the public keys.")
@state_option
@click.argument("name")
@click.argument("public", type=click.Path(dir_okay=False, path_type=Path))
def operator_add(state: Path, name: str, public: Path) -> None:
    """Believe the operator whose public keys are in the file PUBLIC, and call it NAME.

    A running collector knows at once. What waited for this operator's word (an erasure) is carried out then.

    \b
    Example:
      vitalwire collector operator add ward-3 /media/stick/ward-3.pub
    """
    with _said():
        known = load_public(public, "operator")
        operators = Operators(state / OPERATORS)
        operators.free(name)
        for one in operators.all():
            if one.keys.id == known.id:
                raise click.ClickException(printable(f"that key is operator {one.name} already"))
        make_folder(state)
        note(state, "operator added", name, known.id)
        _show(operators.add(name, known))


@operator_command.command("list")
@state_option
def operator_list(state: Path) -> None:
    """List those that are believed, and those that were.

    Who was added and removed when, and by whom, is in audit.log in the state folder.

    \b
    Example:
      vitalwire collector operator list
    """
    with _said():
        operators = Operators(state / OPERATORS)
        for one in operators.all():
            _show(one)
        problems = list(operators.problems)
        for one in operators.former():
            _show(one, " (former)")
    for line in problems:
        click.echo(printable(f"not believed: {line}"), err=True)


@operator_command.command("remove")
@state_option
@click.argument("name")
def operator_remove(state: Path, name: str) -> None:
    """Believe NAME no more. What was signed and came before stands.

    \b
    Example:
      vitalwire collector operator remove ward-3
    """
    with _said():
        operators = Operators(state / OPERATORS)
        found = next((one for one in operators.all() if one.name == name), None)
        if found is None:
            hint = "vitalwire collector operator list shows them"
            raise click.ClickException(printable(f"there is no operator {name} ({hint})"))
        note(state, "operator removed", name, found.keys.id)
        operators.remove(name)
        click.echo(f"operator {name} is believed no more; noted in {state / AUDIT}")
