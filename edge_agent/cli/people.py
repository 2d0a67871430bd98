"""The agent's commands about people: who there is, whose node it is, who may have whose data, what was typed.

Each makes a record, signs it with an operator's key, and has the agent take it: the one that runs, or one
that runs for that alone.
"""

import os
from contextlib import closing
from pathlib import Path

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import config_option, fail, told
from edge_agent.cli.people_asking import (
    EXAMPLE,
    Aliases,
    Book,
    moment,
    now_ms,
    period,
    record_action,
    shown_time,
)
from edge_agent.cli.people_consent import barred, consent_group
from edge_agent.cli.people_data import audit_command, erase_command, export_command
from edge_agent.cli.people_operators import operator_group
from edge_agent.cli.people_signing import by_option, in_words, made, take
from edge_agent.people.lost import problem, remedy
from edge_agent.people.state import NOBODY, PeopleError
from edge_agent.readable import printable


@click.group("person")
def person_group() -> None:
    """Make and show people. A person is 16 random bytes; a name stays on this machine.

    \b
    Example:
      vitalwire person new
    """


@person_group.command("new")
@config_option
@click.option("--alias", default="", help="What to call the person on this machine. It goes nowhere else.")
@told
def person_new(config_path: Path | None, alias: str) -> None:
    """Make a person, and print the pseudonym.

    \b
    Example:
      vitalwire person new --alias "Ada, room 3"
    """
    config = configuration.load(config_path)
    person = os.urandom(16)
    Aliases(config.state_dir).keep(person, alias)
    click.echo(person.hex())


@person_group.command("alias", short_help="Call a person by a name on this machine.")
@config_option
@click.argument("person")
@click.argument("name")
@told
def person_alias(config_path: Path | None, person: str, name: str) -> None:
    """Call PERSON (pseudonym, its first digits, or the name until now) NAME on this machine.

    \b
    Example:
      vitalwire person alias 3fa9 "Ada, room 4"
    """
    book = Book(configuration.load(config_path))
    book.aliases.keep(book.person(person), name)


@person_group.command("list")
@config_option
@told
def person_list(config_path: Path | None) -> None:
    """List everybody, and whose node is whose now.

    \b
    Example:
      vitalwire person list
    """
    book = Book(configuration.load(config_path))
    for line in book.unbelieved:
        click.echo(printable(line), err=True)
    for node in book.state.lost:
        click.echo(f"{problem(node)}: {remedy(node)}", err=True)
    now = now_ms()
    if not book.known():
        click.echo("none: vitalwire person new makes a pseudonym", err=True)
    for person in book.known():
        nodes = [span.node.hex() for span in book.state.spans(person) if span.meets(now, now)]
        erased = book.state.erased_at(person)
        what = f"erased {shown_time(erased)}" if erased is not None else "node " + ", ".join(nodes)
        click.echo(printable(f"{book.called(person)}  {what if nodes or erased is not None else 'no node'}"))


@person_group.command("show", short_help="Show the records about a person.")
@config_option
@click.argument("person")
@told
def person_show(config_path: Path | None, person: str) -> None:
    """Show the records about PERSON (pseudonym, its first digits, or the name here). That is recorded.

    \b
    Example:
      vitalwire person show 3fa9
    """
    book = Book(configuration.load(config_path))
    who = book.person(person)
    record_action(book.config, "read", who)
    click.echo(printable(book.called(who)))
    values = _typed_values(book, who)
    for fields in book.state.records(who):
        click.echo(printable("  " + in_words(fields)))
        if fields["record_id"] in values:
            click.echo(printable("    " + values[fields["record_id"]]))


def _typed_values(book: Book, person: bytes) -> dict[bytes, str]:
    """What was typed about a person, in words, by record; what is erased is not there."""
    from edge_agent.people.records import typed_about
    from edge_agent.people.values import as_typed
    from edge_agent.store.database import open_reader

    if not book.config.store.exists():
        return {}
    with closing(open_reader(book.config)) as db:
        return {fields["record_id"]: as_typed(fields) for fields in typed_about(db, person)}


# Whose node it is


@click.command("assign")
@config_option
@click.argument("node")
@click.argument("person")
@click.option("--from", "begin", help=f"Since when, ISO 8601 ({EXAMPLE}); also in the past. Default: now.")
@click.option("--to", "end", help="Until when; without it, until further notice.")
@click.option("--replaces", help="The id of the assignment that this one corrects.")
@by_option
@told
def assign_command(
    config_path: Path | None,
    node: str,
    person: str,
    begin: str | None,
    end: str | None,
    replaces: str | None,
    by_path: Path | None,
) -> None:
    """Sign that the node NODE is PERSON's. What it has measured since then counts, stored or not.

    \b
    Example:
      vitalwire assign 9c1f 3fa9 --from 2026-11-22T08:00
    """
    from protocol.records import make_assignment

    book = Book(configuration.load(config_path))
    signer = book.operators.signer(by_path)
    now = now_ms()
    since, until = period(begin, end, now)
    old = None if replaces is None else _record_id(replaces)
    who, whose = book.node(node), book.person(person)
    take(book, made(book, make_assignment, signer, who, whose, since, now, os.urandom(8), until, old))
    for name in barred(book, whose):
        # Nothing of theirs leaves: whoever wonders why looks here first.
        hint = f"vitalwire consent grant {whose.hex()[:8]} --forwarder {name}"
        click.echo(f"{name} gets nothing of that person's until they allow it: {hint}", err=True)


@click.command("unassign", short_help="Sign that a node is nobody's any more.")
@config_option
@click.argument("node")
@click.option("--at", "end", help=f"Since when, ISO 8601 ({EXAMPLE}). Default: now.")
@by_option
@told
def unassign_command(config_path: Path | None, node: str, end: str | None, by_path: Path | None) -> None:
    """Sign that the node NODE is nobody's any more; or, where a lost store knew whose it was, that it was
    nobody's.

    \b
    Example:
      vitalwire unassign 9c1f
    """
    from protocol.records import make_assignment

    book = Book(configuration.load(config_path))
    signer = book.operators.signer(by_path)
    named = book.node(node)
    now = now_ms()
    at = now if end is None else moment(end)
    span = next((one for one in book.state.spans(node=named) if one.meets(at, at)), None)
    if span is None and named in book.state.lost:
        # It ends where it begins: nobody gets the node, and the past is settled.
        take(book, made(book, make_assignment, signer, named, NOBODY, at, now, os.urandom(8), at))
        return
    if span is None:
        fail(f"node {named.hex()} is nobody's at {shown_time(at)}: nothing has to be done")
    about = (signer, named, span.person, span.from_ms, now, os.urandom(8), at, span.record_id)
    take(book, made(book, make_assignment, *about))


def _record_id(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 8:
        raise PeopleError(f"{text!r} is no record id", "16 hex digits, as vitalwire person show prints them")
    return found


# What was typed


@click.command("note", short_help="Keep what was read off another device.")
@config_option
@click.argument("person")
@click.argument("values", nargs=-1, required=True)
@click.option("--at", "at", help=f"When it was measured, ISO 8601 ({EXAMPLE}). Default: now.")
@click.option("--device", help="What it was measured with (64 bytes).")
@click.option("--note", "text", help="A remark (200 bytes).")
@by_option
@told
def note_command(
    config_path: Path | None,
    person: str,
    values: tuple[str, ...],
    at: str | None,
    device: str | None,
    text: str | None,
    by_path: Path | None,
) -> None:
    """Keep what was read off another device about PERSON, as VALUES: name=value. Never merged with what
    nodes measure.

    \b
    Example:
      vitalwire note 3fa9 systolic_mmhg=131 diastolic_mmhg=84 --device "arm cuff"
    """
    from edge_agent.people.values import typed
    from protocol.records import make_manual

    book = Book(configuration.load(config_path))
    signer = book.operators.signer(by_path)
    now = now_ms()
    about = (signer, book.person(person), typed(values), now if at is None else moment(at), now)
    take(book, made(book, make_manual, *about, os.urandom(8), device=device, note=text))


commands: list[click.Command] = [
    person_group,
    assign_command,
    unassign_command,
    consent_group,
    operator_group,
    note_command,
    export_command,
    erase_command,
    audit_command,
]
