"""`vitalwire consent`: who may have a person's data, and for what."""

import os
from pathlib import Path

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import config_option, told
from edge_agent.cli.people_asking import EXAMPLE, Book, now_ms, period
from edge_agent.cli.people_signing import by_option, in_words, made, take
from edge_agent.people.state import FORWARDERS
from edge_agent.readable import printable
from protocol.records import CARE, PURPOSES


@click.group("consent")
def consent_group() -> None:
    """Say who may have a person's data, and for what.

    \b
    Example:
      vitalwire consent list
    """


_forwarder_option = click.option(
    "--forwarder",
    type=click.Choice(FORWARDERS),
    required=True,
    help="Who may have it: the table of the configuration that is meant.",
)
_purpose_option = click.option(
    "--purpose", type=click.Choice(PURPOSES), default=CARE, show_default=True, help="What the data are for."
)


@consent_group.command("grant", short_help="Sign that a forwarder may have a person's data.")
@config_option
@click.argument("person")
@_forwarder_option
@_purpose_option
@click.option("--from", "begin", help=f"Since when, ISO 8601 ({EXAMPLE}). Default: now.")
@click.option("--to", "end", help="Until when; without it, until it is withdrawn.")
@by_option
@told
def consent_grant(
    config_path: Path | None,
    person: str,
    forwarder: str,
    purpose: str,
    begin: str | None,
    end: str | None,
    by_path: Path | None,
) -> None:
    """Sign that the forwarder may have PERSON's data: also what has waited for it.

    \b
    Example:
      vitalwire consent grant 3fa9 --forwarder mqtt --purpose care
    """
    _consent(config_path, person, forwarder, purpose, True, begin, end, by_path)


@consent_group.command("withdraw", short_help="Sign that a forwarder gets nothing more.")
@config_option
@click.argument("person")
@_forwarder_option
@_purpose_option
@by_option
@told
def consent_withdraw(
    config_path: Path | None, person: str, forwarder: str, purpose: str, by_path: Path | None
) -> None:
    """Sign that the forwarder gets nothing more of PERSON's from now on. What it has, it has.

    \b
    Example:
      vitalwire consent withdraw 3fa9 --forwarder mqtt --purpose care
    """
    _consent(config_path, person, forwarder, purpose, False, None, None, by_path)


def _consent(
    config_path: Path | None,
    person: str,
    forwarder: str,
    purpose: str,
    granted: bool,
    begin: str | None,
    end: str | None,
    by_path: Path | None,
) -> None:
    from protocol.records import make_consent

    book = Book(configuration.load(config_path))
    signer = book.operators.signer(by_path)
    now = now_ms()
    since, until = period(begin, end, now)
    if getattr(book.config, forwarder) is None:
        click.echo(f"WARNING: no [{forwarder}] is configured here: nothing goes there", err=True)
    about = (signer, book.person(person), forwarder, purpose, granted, since, now, os.urandom(8), until)
    take(book, made(book, make_consent, *about))


@consent_group.command("list", short_help="List what was said about consent, and what holds.")
@config_option
@click.argument("person", required=False)
@told
def consent_list(config_path: Path | None, person: str | None) -> None:
    """List what was said about consent, of PERSON or of everybody, and what holds now.

    \b
    Example:
      vitalwire consent list 3fa9
    """
    book = Book(configuration.load(config_path))
    who = None if person is None else book.person(person)
    now = now_ms()
    said = [one for one in book.state.records(who, current=True) if one["record"] == "consent"]
    for fields in said:
        about = (fields["forwarder"], fields["purpose"], fields["person"])
        holds = "may have it now" if book.state.allows(*about, now) else "may not have it now"
        click.echo(printable(f"{book.called(fields['person'])}  {in_words(fields)}  ({holds})"))
    if not said:
        click.echo("none: nothing was said about consent (vitalwire consent grant)", err=True)


def barred(book: Book, person: bytes) -> list[str]:
    """The forwarders of this configuration that may not have that person's data now."""
    config = book.config
    there = {"mqtt": config.mqtt, "file": config.file, "fhir": config.fhir}
    now = now_ms()
    return [name for name in FORWARDERS if there[name] and not book.state.allows(name, CARE, person, now)]
