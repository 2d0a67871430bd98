"""`vitalwire collector export` and `completeness`: what was measured, for others and for the ward."""

import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_agent.extras import remedy
from edge_agent.keys import KeyFileError
from edge_agent.people.state import PeopleState
from edge_agent.readable import counted
from tools.collector import completeness, database, query
from tools.collector.commands_read import (
    damaged,
    database_option,
    in_words,
    node_digits,
    node_of,
    open_reader,
    state_option,
)
from tools.collector.folder import OPERATORS, PSEUDONYMS, whole
from tools.collector.people import people
from tools.collector.store import Store

if TYPE_CHECKING:
    from tools.collector.export_read import Wanted


def _moment(_context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """Unix ms of an ISO 8601 time; without a zone it is UTC."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as e:
        raise click.BadParameter(
            f"{text!r}: a time is written as 2026-11-22 or 2026-11-22T14:30+01:00"
        ) from e
    return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


@click.command("export")
@state_option
@database_option
@click.option(
    "--node",
    metavar="NODE",
    callback=node_digits,
    help="The node's id in hex, or how it begins: all it measured, on whomever.",
)
@click.option(
    "--person",
    metavar="PERSON",
    help="The pseudonym, 32 hex digits: what was measured on them, by the signed assignments.",
)
@click.option(
    "--from",
    "from_ms",
    metavar="TIME",
    callback=_moment,
    help="First moment, ISO 8601.  [default: the beginning]",
)
@click.option(
    "--to", "to_ms", metavar="TIME", callback=_moment, help="The moment after the last.  [default: now]"
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["edf", "wfdb", "csv", "fhir"]),
    required=True,
    help="EDF+, WFDB, a CSV line a sample, or a FHIR bundle (of a person).",
)
@click.option("--deidentify", is_flag=True, help="Pseudonyms, shifted times, no free text.")
@click.option(
    "--key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Secret of the pseudonyms and shifts, made if absent.  [default: pseudonyms.key in the state]",
)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
def export(
    state: Path,
    place: str | None,
    node: str | None,
    person: str | None,
    from_ms: int | None,
    to_ms: int | None,
    form: str,
    deidentify: bool,
    key_file: Path | None,
    out: Path,
) -> None:
    """Write what was measured to files in the new folder OUT.

    \b
    Example:
      vitalwire collector export --person 3f2a… --from 2026-11-01 --format edf --deidentify study/
    """
    if (node is None) == (person is None):
        raise click.UsageError("say whose: --node or --person")
    if form == "fhir" and person is None:
        raise click.UsageError("a FHIR bundle is of a person: --person")
    try:
        from tools.collector import export as exports
        from tools.collector import export_files, export_read
    except ImportError as e:
        raise click.ClickException(f"{e}: {remedy('export')}") from e
    store = open_reader(state, place)
    try:
        mask = exports.Mask(exports.load_key(key_file or state / PSEUDONYMS) if deidentify else None)
        now_ms = time.time_ns() // 1_000_000
        whose = people(store, state / OPERATORS, now_ms)
        wanted = export_read.Wanted(store, whose, from_ms or 0, now_ms if to_ms is None else to_ms)
        with whole(out) as draft, store.reading():
            if person is not None:
                subject = exports.checked(person, 16, partial(click.BadParameter, param_hint="--person"))
                if not any(whose.spans(person=subject)):
                    raise click.ClickException(
                        "no node was ever that person's, by the records of operators known here"
                        f" (their .pub files: {state / OPERATORS})"
                    )
                moments = wanted.of_person(subject)
                name = exports.subject_name(mask, "person", subject)
            else:
                assert node is not None
                subject = node_of(store, node)
                moments = wanted.of_node(subject)
                name = exports.subject_name(mask, "node", subject)
            if form == "fhir":
                entries = exports.fhir(wanted, moments, mask, subject, _agent(store))
                made = exports.write_fhir(entries, draft / name)
            else:
                found = export_read.recordings(exports.masked(moments, mask, subject))
                made = export_files.write_all(map(mask.recording, found), form, draft, name)
            if not made:
                _say_left_out(wanted)
                raise click.ClickException("nothing was measured then: see vitalwire collector completeness")
    except export_files.ExportError as e:
        raise in_words(e) from e
    except (KeyFileError, OSError, ValueError) as e:
        raise in_words(e) from e
    except database.errors() as e:
        raise damaged(state, place, e) from e
    finally:
        store.close()
    _say_left_out(wanted)
    for path in made:
        click.echo(out / path.name)


def _say_left_out(wanted: "Wanted") -> None:
    for cause, n in sorted(wanted.left.items()):
        click.echo(f"left out: {counted(n, 'message')}, {cause}", err=True)


def _agent(store: Store) -> bytes:
    row = store.db.execute("SELECT agent FROM batches ORDER BY id LIMIT 1").fetchone()
    return bytes(8) if row is None else row[0]


@click.command("completeness", short_help="Say how much of each node's day is here.")
@state_option
@database_option
@click.option(
    "--node", metavar="NODE", callback=node_digits, help="Only this node: its id in hex, or how it begins."
)
@click.option("--day", metavar="DATE", callback=_moment, help="One day only, as 2026-11-22 (UTC).")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable: one object a node and day.")
def completeness_command(
    state: Path, place: str | None, node: str | None, day: int | None, as_json: bool
) -> None:
    """Say how much of each node's day is here, and what became of the rest. Days are UTC.

    \b
    Example:
      vitalwire collector completeness --day 2026-11-22
    """
    store = open_reader(state, place)
    try:
        with store.reading():
            nodes = query.nodes(store) if node is None else [node_of(store, node)]
            whose = people(store, state / OPERATORS, time.time_ns() // 1_000_000)
            n = 0
            for one in itertools.chain.from_iterable(_days(store, nodes, day, whose)):
                if as_json:
                    click.echo(json.dumps(one.as_json(), separators=(",", ":")))
                else:
                    click.echo(("\n" if n else "") + one.as_text())
                n += 1
        if not n:
            click.echo("nothing that was measured is here" + (f" of node {node}" if node else ""), err=True)
    except (KeyFileError, OSError) as e:
        raise in_words(e) from e
    except database.errors() as e:
        raise damaged(state, place, e) from e
    finally:
        store.close()


def _days(
    store: Store, nodes: list[bytes], day: int | None, whose: PeopleState
) -> Iterator[Iterator[completeness.Day]]:
    now_ms = time.time_ns() // 1_000_000
    for node in nodes:
        wanted = completeness.days(store, node) if day is None else [day - day % completeness.DAY_MS]
        yield (completeness.report(store, node, day_ms, now_ms, whose) for day_ms in wanted)


COMMANDS = (export, completeness_command)
