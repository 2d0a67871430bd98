"""The agent's commands about people: who there is, whose node it is, who may have whose data, what was typed.

Each makes a record, signs it with an operator's key, and has the agent take it: the one that runs, or one
that runs for that alone.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge_agent import config as configuration
from edge_agent.cli_people_data import audit_command, erase_command, export_command
from edge_agent.cli_people_operators import operator_group
from edge_agent.commanding import config_option, fail, told
from edge_agent.people_asking import EXAMPLE, Aliases, Book, ask, moment, now_ms, record_action, shown_time
from edge_agent.people_state import PeopleError
from edge_agent.readable import printable
from protocol.records import CARE, PURPOSES

by_option = click.option(
    "--by",
    "by_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The secret key of the operator who signs; without it, the one that lies in operators/.",
)


def _take(book: Book, record: bytes) -> None:
    from edge_agent.errands import RECORD

    click.echo(printable(ask(book.config, RECORD, {"record": record})))


def _made(book: Book, make: Callable[..., bytes], *args: Any, **more: Any) -> bytes:
    """The record, refused here as the agent would refuse it, before anything is asked."""
    from protocol.errors import LocalError
    from protocol.records import read_record

    try:
        record = make(*args, **more)
    except LocalError as e:
        raise PeopleError(f"that cannot be kept: {e}", "the command's --help says what can") from None
    book.state.check(read_record(record), now_ms())
    return record


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


@person_group.command("alias")
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
    now = now_ms()
    for person in book.known():
        nodes = [span.node.hex() for span in book.state.spans(person) if span.meets(now, now)]
        erased = book.state.erased_at(person)
        what = f"erased {shown_time(erased)}" if erased is not None else "node " + ", ".join(nodes)
        click.echo(printable(f"{book.called(person)}  {what if nodes or erased is not None else 'no node'}"))


@person_group.command("show")
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
    for fields in book.state.records(who):
        click.echo(printable("  " + _in_words(fields)))


def _in_words(fields: dict[str, Any]) -> str:
    what = fields["record"]
    head = f"{fields['record_id'].hex()}  {shown_time(fields['made_at_ms'])}  {what}"
    if what == "assignment":
        about = f"node {fields['node_id'].hex()} from {shown_time(fields['from_ms'])}"
        about += f" to {shown_time(fields['to_ms'])}" if fields["to_ms"] is not None else ""
    elif what == "consent":
        word = "granted" if fields["granted"] else "withdrawn"
        about = f"{word}: {fields['forwarder']} for {fields['purpose']} from {shown_time(fields['from_ms'])}"
        about += f" to {shown_time(fields['to_ms'])}" if fields["to_ms"] is not None else ""
    elif what == "manual":
        about = "typed; its values: vitalwire export"
    else:
        about = fields.get("reason") or ""
    replaced = f"  replaces {fields['replaces'].hex()}" if fields["replaces"] else ""
    return f"{head}  {about}  by {fields['by'].hex()}{replaced}"


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
    since = now if begin is None else moment(begin)
    until = None if end is None else moment(end)
    if until is not None and until < since:
        fail(f"it would end ({shown_time(until)}) before it begins ({shown_time(since)}): give a later --to")
    old = None if replaces is None else _record_id(replaces)
    who, whose = book.node(node), book.person(person)
    _take(book, _made(book, make_assignment, signer, who, whose, since, now, os.urandom(8), until, old))


@click.command("unassign")
@config_option
@click.argument("node")
@click.option("--at", "end", help=f"Since when, ISO 8601 ({EXAMPLE}). Default: now.")
@by_option
@told
def unassign_command(config_path: Path | None, node: str, end: str | None, by_path: Path | None) -> None:
    """Sign that the node NODE is nobody's any more.

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
    if span is None:
        fail(f"node {named.hex()} is nobody's at {shown_time(at)}: nothing has to be done")
    about = (signer, named, span.person, span.from_ms, now, os.urandom(8), at, span.record_id)
    _take(book, _made(book, make_assignment, *about))


def _record_id(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 8:
        raise PeopleError(f"{text!r} is no record id", "16 hex digits, as vitalwire person show prints them")
    return found


# Who may have it


@click.group("consent")
def consent_group() -> None:
    """Say who may have a person's data, and for what.

    \b
    Example:
      vitalwire consent list
    """


_forwarder_option = click.option("--forwarder", required=True, help="mqtt, file, fhir: as in the file.")
_purpose_option = click.option("--purpose", type=click.Choice(PURPOSES), default=CARE, show_default=True)


@consent_group.command("grant")
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


@consent_group.command("withdraw")
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
    since = now if begin is None else moment(begin)
    until = None if end is None else moment(end)
    if until is not None and until < since:
        fail(f"it would end ({shown_time(until)}) before it begins ({shown_time(since)}): give a later --to")
    about = (signer, book.person(person), forwarder, purpose, granted, since, now, os.urandom(8), until)
    _take(book, _made(book, make_consent, *about))


@consent_group.command("list")
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
    for fields in book.state.records(who, current=True):
        if fields["record"] == "consent":
            about = (fields["forwarder"], fields["purpose"], fields["person"])
            holds = "may have it now" if book.state.allows(*about, now) else "may not have it now"
            click.echo(printable(f"{book.called(fields['person'])}  {_in_words(fields)}  ({holds})"))


# What was typed


@click.command("note")
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
    from edge_agent.people_values import typed
    from protocol.records import make_manual

    book = Book(configuration.load(config_path))
    signer = book.operators.signer(by_path)
    now = now_ms()
    about = (signer, book.person(person), typed(values), now if at is None else moment(at), now)
    _take(book, _made(book, make_manual, *about, os.urandom(8), device=device, note=text))


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
