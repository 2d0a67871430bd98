"""The agent's commands about what is kept: `export`, `erase`, `audit`."""

import json
import os
from contextlib import closing
from pathlib import Path

import click

from edge_agent import config as configuration
from edge_agent.commanding import NEVER_RAN, config_option, fail, told
from edge_agent.people_asking import EXAMPLE, Book, ask, moment, now_ms, record_action, shown_time
from edge_agent.readable import printable, readable
from protocol.errors import ProtocolError

# An erasure goes through all frames of the person's nodes.
ERASE_WAIT_S = 3600.0
GOES = """\
This destroys, on this machine, for good:
  all that was measured on that person, or can have been, and all that was typed about them;
  the keys under which it lay; the person's name in people.json.
This stays:
  the chain, with the hash of every entry, so that other people's data can still be proved;
  the signed records: that a person of this pseudonym had these nodes, when, and what was consented to;
  this erasure and who signed it, which collectors receive and follow.
This is out of reach:
  what other collectors, FHIR servers, exports and backups hold: ask whoever keeps them."""


@click.command("erase")
@config_option
@click.argument("person")
@click.option(
    "--by",
    "by_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The secret key of the operator who signs; without it, the one that lies in operators/.",
)
@click.option("--reason", help="Why (200 bytes); it stays in the record.")
@click.option("--confirm", help="The pseudonym, for scripts; without it, it is asked for.")
@told
def erase_command(
    config_path: Path | None, person: str, by_path: Path | None, reason: str | None, confirm: str | None
) -> None:
    """Destroy all that is kept of PERSON on this machine. The chain still verifies afterwards.

    \b
    Example:
      vitalwire erase 3fa9 --by /media/stick/ward-3.key
    """
    from edge_agent.errands import RECORD
    from protocol.errors import LocalError
    from protocol.records import make_erasure, read_record

    book = Book(configuration.load(config_path))
    who = book.person(person)
    signer = book.operators.signer(by_path)
    click.echo(GOES)
    if confirm is None:
        confirm = click.prompt(f"Type the pseudonym of {book.called(who)} to go on", default="")
    if confirm.strip().lower() != who.hex():
        fail(f"that is not {who.hex()}: nothing was erased")
    try:
        record = make_erasure(signer, who, now_ms(), os.urandom(8), reason)
    except LocalError as e:
        fail(f"that cannot be recorded: {e}")
    book.state.check(read_record(record), now_ms())
    told_back = ask(book.config, RECORD, {"record": record}, ERASE_WAIT_S)
    book.aliases.forget(who)
    click.echo(printable(told_back))


@click.command("export")
@config_option
@click.argument("person")
@click.argument("out", type=click.Path(path_type=Path))
@told
def export_command(config_path: Path | None, person: str, out: Path) -> None:
    """Write all that is kept of PERSON to OUT, a folder or a .zip, with the proof that it is genuine. That is
    recorded. Anyone checks it with: vitalwire verify OUT

    \b
    Example:
      vitalwire export 3fa9 ada.zip
    """
    from edge_agent import keys, patient_export, signing
    from edge_agent.store import database

    book = Book(configuration.load(config_path))
    config = book.config
    who = book.person(person)
    if out.exists():
        fail(f"{out} exists already: an export is never written over, name another place")
    record_action(config, "export", who)
    identity = keys.load(config.key)
    path = signing.signing_path(config.key)
    now_signs = signing.read_file(path, identity) if path.exists() else signing.Signing(identity, [])
    public = [config.collector, *([] if config.file is None else [config.file.public])]
    operators = [one.keys for one in [*book.operators.all(), *book.operators.former()]]
    collectors = [keys.load_public(one) for one in public if one is not None]
    mine = keys.PublicKeys(*identity.public())
    try:
        with closing(database.open_reader(config)) as db:
            db.execute("BEGIN")
            source = patient_export.Source(db, book.state, mine, now_signs, operators, collectors)
            facts = patient_export.make(source, who, out, now_ms())
    except patient_export.ExportError as e:
        fail(e)
    except (database.Error, ProtocolError, ValueError) as e:
        fail(f"{config.store}: damaged: {e} (vitalwire verify says more)")
    click.echo(f"{out}: {facts.frames} frames and {facts.records} records of person {who.hex()}")
    if not facts.frames:
        click.echo("no frame: those of a recording or a model, or without a date, are in nobody's export")
    if facts.waiting:
        click.echo(f"{facts.waiting} more are not signed yet: export again in a few seconds to have them")
    click.echo(f"to check it anywhere: vitalwire verify {out}")


@click.command("audit")
@config_option
@click.option("--since", help=f"From when on, ISO 8601 ({EXAMPLE}).")
@click.option("--what", help="These actions only, such as assign, consent, erase, export, ordered.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@told
def audit_command(config_path: Path | None, since: str | None, what: str | None, as_json: bool) -> None:
    """Show who did what, to whom, when: the statements in the signed chain, and that it is whole.

    Exit status 1 if a line, or the chain around it, does not verify.

    \b
    Example:
      vitalwire audit --since 2026-11-01 --what consent
    """
    from edge_agent import audit
    from edge_agent.keys import load_public, public_path
    from edge_agent.store import database
    from edge_agent.store.database import open_reader

    config = configuration.load(config_path)
    if not config.store.exists():
        fail(f"no store at {config.store}: {NEVER_RAN}")
    agent = load_public(public_path(config.key))
    try:
        with closing(open_reader(config)) as db:
            db.execute("BEGIN")
            found = list(audit.lines(db, 0 if since is None else moment(since), what))
            checked = audit.verify(db, agent, {line.batch for line in found if line.batch is not None})
    except (database.Error, UnicodeDecodeError) as e:
        fail(f"{config.store}: cannot be read: {e} (vitalwire verify says more)")
    for line in found:
        if as_json:
            shown = line._asdict() | {"at": shown_time(line.at_ms), "signed": line.batch in checked.good}
            click.echo(json.dumps(readable(shown), ensure_ascii=False))
        else:
            on = line.on.hex() if isinstance(line.on, bytes) else str(line.on)
            more = " ".join(f"{name}={value}" for name, value in readable(line.more).items())
            seal = " " if line.batch in checked.good else "-" if line.batch is None else "!"
            click.echo(printable(f"{seal} {shown_time(line.at_ms)}  {line.what}  {on}  by {line.by}  {more}"))
    waiting = sum(line.batch is None for line in found)
    click.echo(f"{len(found)} lines; {waiting} are in no signed batch yet (-)", err=True)
    for sentence in checked.wrong:
        click.echo(printable(f"FAILED  {sentence}"), err=True)
    if checked.wrong:
        raise SystemExit(1)
