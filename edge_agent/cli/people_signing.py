"""What the commands that sign a record about a person share: whose key signs, having it taken, in words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edge_agent.cli.people_asking import Book, ask, now_ms, shown_time
from edge_agent.people.state import PeopleError
from edge_agent.readable import printable

by_option = click.option(
    "--by",
    "by_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The secret key of the operator who signs; without it, the one that lies in operators/.",
)


def take(book: Book, record: bytes) -> None:
    """Have the agent take it, and print what it says."""
    from edge_agent.nodes.errands import RECORD

    click.echo(printable(ask(book.config, RECORD, {"record": record})))


def made(book: Book, make: Callable[..., bytes], *args: Any, **more: Any) -> bytes:
    """The record, refused here as the agent would refuse it, before anything is asked."""
    from protocol.errors import LocalError
    from protocol.records import read_record

    try:
        record = make(*args, **more)
    except LocalError as e:
        raise PeopleError(f"that cannot be kept: {e}", "the command's --help says what can") from None
    book.state.check(read_record(record), now_ms())
    return record


def in_words(fields: dict[str, Any]) -> str:
    """A record in a line."""
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
        about = "typed"
    else:
        about = fields.get("reason") or ""
    replaced = f"  replaces {fields['replaces'].hex()}" if fields["replaces"] else ""
    return f"{head}  {about}  by {fields['by'].hex()}{replaced}"
