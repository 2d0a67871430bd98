"""The agent's commands about what is kept: `export`, `erase`, `audit`."""

import json
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import NEVER_RAN, answered, config_option, fail, told
from edge_agent.cli.people_asking import (
    EXAMPLE,
    Aliases,
    Book,
    ask,
    moment,
    now_ms,
    record_action,
    shown_time,
)
from edge_agent.cli.waiting import busy
from edge_agent.readable import counted, printable, readable
from protocol.errors import ProtocolError

if TYPE_CHECKING:
    from protocol.identity import Identity

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
STAYS_TOO = "These stores stay, and the person in them (--set-aside, --copies destroy what is here):"
GONE_TOO = "These copies are not where they were made, and are not named again until they are there again:"
GOES_TOO = """\
These stores are destroyed whole, with what they hold of others and was not delivered:"""


@click.command("erase")
@config_option
@click.argument("person")
@click.option(
    "--by",
    "by_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The secret key of the operator who signs; without it, the one that lies in operators/.",
)
@click.option(
    "--reason",
    type=click.Choice(["asked", "ended", "mistake"]),
    help="The person asked for it, their care ended, or the data were taken by mistake. Everybody gets that.",
)
@click.option(
    "--set-aside", "set_aside", is_flag=True, help="Destroy damaged stores, too, that were set aside here."
)
@click.option("--copies", is_flag=True, help="Destroy copies, too, that `vitalwire store export` made.")
@click.option("--confirm", help="The pseudonym, for scripts; without it, it is asked for.")
@told
def erase_command(
    config_path: Path | None,
    person: str,
    by_path: Path | None,
    reason: str | None,
    set_aside: bool,
    copies: bool,
    confirm: str | None,
) -> None:
    """Destroy all that is kept of PERSON on this machine. The chain still verifies afterwards.

    Other stores that still hold them are named: damaged ones that were set aside, copies that were made here.
    They can only be destroyed whole; for one who is erased already nothing else is done.

    \b
    Example:
      vitalwire erase 3fa9 --by /media/stick/ward-3.key --set-aside
    """
    from edge_agent.people.left_over import DESTROYED, GONE, LEFT, destroy, find

    book = Book(configuration.load(config_path))
    who = book.person(person)
    done = book.state.erased_at(who) is not None
    if done and not set_aside and not copies:
        fail(f"person {who.hex()} is erased already (--set-aside and --copies destroy other stores)")
    signer = None if done else book.operators.signer(by_path)
    others = find(book.config, book.state, who)
    meant = [one for one in others if (copies if one.copy else set_aside) and not one.kept]
    going = [one for one in meant if one.there]
    missing = [one for one in meant if not one.there]
    staying = [one for one in others if one not in meant]
    if not done:
        click.echo(GOES)
    if going:
        click.echo(GOES_TOO)
    for one in going:
        click.echo(printable(f"  {one.path}: {one.why}"))
    if staying:
        click.echo(STAYS_TOO)
    for one in staying:
        click.echo(printable(f"  {one.path}: {one.why}"))
    if missing:
        click.echo(GONE_TOO)
    for one in missing:
        click.echo(printable(f"  {one.path}: {one.why}"))
    if done and not meant:
        why = "see above" if staying else "no store that is here holds anything of them"
        fail(f"nothing was destroyed: {why}")
    if confirm is None:
        question = f"Type the pseudonym of {book.called(who)} to go on"
        confirm = answered(lambda: click.prompt(question, default=""), "--confirm PSEUDONYM")
    if confirm.strip().lower() != who.hex():
        fail(f"that is not {who.hex()}: nothing was erased")
    if staying:
        record_action(book.config, LEFT, who, files=", ".join(str(one.path) for one in staying))
    if signer is not None:
        _erase(book, signer, who, reason)
    failed = 0
    for one in meant:
        begins = one.note.begins if one.note is not None else None
        known = {"begins": begins} if begins else {}
        record_action(book.config, DESTROYED if one.there else GONE, who, file=str(one.path), **known)
        if not one.there:
            told = f"noted as gone: {one.path}: if it was moved, destroy it where it is"
            click.echo(printable(told), err=True)
            continue
        try:
            destroy(book.config, one)
        except OSError as e:
            failed += 1
            click.echo(printable(f"NOT destroyed: {e.filename or one.path}: {e.strerror}"), err=True)
        else:
            click.echo(printable(f"destroyed: {one.path}"))
    for one in staying:
        remedy = "destroy it where it is"
        if one.there and not one.kept:
            option = "--copies" if one.copy else "--set-aside"
            remedy = f"vitalwire erase {who.hex()} {option} destroys it"
        click.echo(printable(f"NOT erased: {one.path}: {one.why} ({remedy})"), err=True)
    if failed:
        fail(f"{counted(failed, 'store')} could not be destroyed: see above, then run the same again")


def _erase(book: Book, signer: "Identity", who: bytes, reason: str | None) -> None:
    from edge_agent.nodes.errands import RECORD
    from protocol.errors import LocalError
    from protocol.records import make_erasure, read_record

    try:
        record = make_erasure(signer, who, now_ms(), os.urandom(8), reason)
    except LocalError as e:
        fail(f"that cannot be recorded: {e}")
    book.state.check(read_record(record), now_ms())
    told_back = ask(book.config, RECORD, {"record": record}, ERASE_WAIT_S)
    book.aliases.forget(who)
    click.echo(printable(told_back))


@click.command("export", short_help="Write all that is kept of a person, with the proof.")
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
    from edge_agent import keys
    from edge_agent.custody import signing
    from edge_agent.people import export as patient_export
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
        for left in patient_export.sweep(out):
            click.echo(f"removed what an export that was ended had left in clear: {left}", err=True)
        with closing(database.open_reader(config)) as db:
            db.execute("BEGIN")
            source = patient_export.Source(db, book.state, mine, now_signs, operators, collectors)
            with busy("writing the export"):
                facts = patient_export.make(source, who, out, now_ms())
    except patient_export.ExportError as e:
        fail(e)
    except (database.Error, ProtocolError, ValueError) as e:
        fail(f"{config.store}: damaged: {e} (vitalwire verify says more)")
    click.echo(
        f"{out}: {counted(facts.frames, 'frame')} and {counted(facts.records, 'record')} of"
        f" person {who.hex()}"
    )
    erased = book.state.erased_at(who)
    if erased is not None:
        click.echo(f"erased at {shown_time(erased)}: what was measured is destroyed, signed records stay")
    elif not facts.frames:
        click.echo("no frame: those of a recording or a model, or without a date, are in nobody's export")
    if facts.waiting:
        click.echo(f"{facts.waiting} more are not signed yet: export again in a few seconds to have them")
    click.echo(f"to check it anywhere: vitalwire verify {out}")


@click.command("audit", short_help="Show who did what, to whom, when.")
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
    from edge_agent.custody import audit
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
            there = {line.what for line in audit.lines(db)} if what is not None and not found else set[str]()
            checked = audit.verify(db, agent, {line.batch for line in found if line.batch is not None})
    except (database.Error, UnicodeDecodeError) as e:
        fail(f"{config.store}: cannot be read: {e} (vitalwire verify says more)")
    names = Aliases(config.state_dir).all()
    for line in found:
        if as_json:
            shown = line._asdict() | {"at": shown_time(line.at_ms), "signed": line.batch in checked.good}
            click.echo(json.dumps(readable(shown), ensure_ascii=False))
        else:
            on = line.on.hex() if isinstance(line.on, bytes) else str(line.on)
            on += f" ({names[line.on]})" if names.get(line.on) else ""
            more = " ".join(f"{name}={value}" for name, value in readable(_in_words(line.more)).items())
            seal = " " if line.batch in checked.good else "-" if line.batch is None else "!"
            click.echo(printable(f"{seal} {shown_time(line.at_ms)}  {line.what}  {on}  by {line.by}  {more}"))
    if there:
        click.echo(printable(f"none is {what!r}; there are: {', '.join(sorted(there))}"), err=True)
    waiting = sum(line.batch is None for line in found)
    click.echo(f"{counted(len(found), 'line')}; {waiting} are in no signed batch yet (-)", err=True)
    wrong = [*checked.wrong, *(line.wrong for line in found if line.wrong)]
    for sentence in wrong:
        click.echo(printable(f"FAILED  {sentence}"), err=True)
    if wrong:
        raise SystemExit(1)


def _in_words(more: dict[str, Any]) -> dict[str, Any]:
    """What a statement says, of an order to a node what was asked and why."""
    from protocol.frames import ORDER_ARGS, ORDER_REASON, ORDER_WHAT

    body = more.get("body")
    if not isinstance(body, dict) or more.get("name") == "strip":
        return more
    order = cast("dict[int, Any]", body)
    what = order.get(ORDER_WHAT)
    asked: dict[str, Any] = {"reason": order.get(ORDER_REASON), "arguments": order.get(ORDER_ARGS)}
    if isinstance(what, dict):
        asked["settings"] = what
    rest = {name: value for name, value in more.items() if name != "body"}
    return rest | {name: value for name, value in asked.items() if value is not None}
