"""`vitalwire collector …` that read a store beside a running collector: prove it, print what was measured."""

import json
import sys
from pathlib import Path
from string import hexdigits

import click

from edge_agent import keys
from edge_agent.cli.waiting import busy
from edge_agent.readable import counted, printable
from tools.collector import database, query, verify
from tools.collector.folder import PUBLIC, STORE, default_state_dir
from tools.collector.store import Store, StoreError

state_option = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_state_dir,
    show_default="~/.local/share/vitalwire-collector",
    help="Folder with the collector's key, store, status and the agents it knows.",
)
database_option = click.option(
    "--database",
    "place",
    metavar="ADDRESS",
    help="postgresql://[user@]host/name, or an SQLite file.  [default: collector.sqlite3 in the state folder]"
    " A password is taken from PGPASSWORD, ~/.pgpass or a service, never from here.",
)

ID_DIGITS = 16
# A node may be named by so many digits of its id, if no other one's here begins with them.
MIN_DIGITS = 4
MOST_NAMED = 8


def in_words(e: Exception) -> click.ClickException:
    """An error that a person can mend."""
    return click.ClickException(printable(str(e)))


def check_begun(state: Path) -> None:
    """See to it that a collector has run with that state folder. ClickException."""
    if not (state / PUBLIC).exists():
        raise click.ClickException(
            f"no collector has run with the state folder {state}: start it (vitalwire collector run), or name"
            " its folder (--state)"
        )


def damaged(state: Path, place: str | None, e: Exception) -> click.ClickException:
    """The store gave an error that does not pass by itself."""
    said = printable(" ".join(str(e).split()))
    if place is not None and database.is_postgres(place):
        return click.ClickException(f"the database: {said}; see its log, and whether it is reachable")
    return click.ClickException(
        f"{place or state / STORE}: {said}; restore it from a backup, or let the collector"
        " begin anew: at its next start it sets this one aside"
    )


def open_reader(state: Path, place: str | None) -> Store:
    """The store to read from; a click error that says what to do when it cannot be."""
    path = None if place is not None and database.is_postgres(place) else Path(place or state / STORE)
    if path is not None and not path.exists():
        if place is None:
            check_begun(state)
        raise click.ClickException(
            f"{path}: there is no such store; name the right one: --state or --database"
        )
    try:
        return Store(place or state / STORE, read_only=True)
    except StoreError as e:
        raise in_words(e) from e
    except database.errors() as e:
        raise damaged(state, place, e) from e


def node_digits(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    """A node's id, or how it begins, as a person gives it; BadParameter."""
    if text is None:
        return None
    if set(text) - set(hexdigits) or not MIN_DIGITS <= len(text) <= ID_DIGITS:
        raise click.BadParameter(
            f"{text!r} is no node id: {ID_DIGITS} hex digits, or the first of them ({MIN_DIGITS} at least)"
        )
    return text.lower()


def node_of(store: Store, digits: str) -> bytes:
    """The node here whose id begins so; with all its digits it need not be here. BadParameter names those
    that may be meant.
    """
    if len(digits) == ID_DIGITS:
        return bytes.fromhex(digits)
    found = query.nodes_like(store, digits, MOST_NAMED + 1)
    if len(found) == 1:
        return found[0]
    if found:
        said = f"the ids of several nodes begin with {digits}, give more of the {ID_DIGITS} digits"
        named = found
    else:
        said = f"no node whose id begins with {digits} has frames here"
        named = query.nodes_like(store, "", MOST_NAMED + 1)
    listed = ", ".join(node.hex() for node in named[:MOST_NAMED])
    more = ", …" if len(named) > MOST_NAMED else ""
    raise click.BadParameter(said + (f": {listed}{more}" if named else ""), param_hint="--node")


@click.command("verify", short_help="Prove the store again from its bytes.")
@state_option
@database_option
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def verify_command(state: Path, place: str | None, as_json: bool) -> None:
    """Prove the store again from its bytes: signatures, roots, links, receipts, attestations, numbers.

    Exit 1 when it fails.

    \b
    Example:
      vitalwire collector verify --json
    """
    check_begun(state)
    if place is None and not (state / STORE).exists():
        raise click.ClickException(
            f"no store {state / STORE}: where it is in PostgreSQL, name it (--database), else name its folder"
            " (--state)"
        )
    try:
        with busy("proving the store again"):
            report = verify.verify_folder(state, place)
    except database.errors() as e:
        raise damaged(state, place, e) from e
    except (keys.KeyFileError, StoreError) as e:
        raise in_words(e) from e
    click.echo(json.dumps(_as_json(report), indent=1) if as_json else _as_text(report))
    sys.exit(0 if report.sound else 1)


def _as_json(report: verify.Report) -> dict[str, object]:
    return {
        "sound": report.sound,
        "batches": report.batches,
        "chains": report.chains,
        "waiting": report.waiting,
        "frames": report.frames,
        "attestations": report.attestations,
        "problems": report.problems,
        "boots": [
            {k: v.hex() if isinstance(v, bytes) else v for k, v in row._asdict().items()}
            for row in report.boots
        ],
    }


def _as_text(report: verify.Report) -> str:
    proofs = report.attestations
    lines = [
        f"{counted(report.batches, 'batch')} in {counted(report.chains, 'chain')},"
        f" {report.waiting} waiting for their predecessor;"
        f" {counted(report.frames, 'frame')}",
        f"attestations: {proofs['proved']} proved, {proofs['pending']} pending, {proofs['failed']} failed",
    ]
    for row in report.boots:
        lines.append(
            f"node {row.node.hex()} boot {int.from_bytes(row.boot[:4], 'big')}:"
            f" {row.stored} of {counted(row.highest + 1, 'frame')}, {row.evicted} evicted,"
            f" {row.missing} not here,"
            f" {row.attested} attested" + (f", {row.erased} erased" if row.erased else "")
        )
    lines += [f"PROBLEM {problem}" for problem in report.problems]
    lines.append("sound" if report.sound else "NOT SOUND")
    return "\n".join(map(printable, lines))


@click.command("samples", short_help="Print a node's waveform frames as JSON.")
@state_option
@database_option
@click.option(
    "--node",
    required=True,
    metavar="NODE",
    callback=node_digits,
    help="The node's id in hex, or how it begins.",
)
@click.option(
    "--channel",
    type=click.IntRange(0, 3),
    default=0,
    show_default=True,
    help="0 ECG, 1 PPG red, 2 PPG infrared, 3 cuff pressure.",
)
def samples(state: Path, place: str | None, node: str, channel: int) -> None:
    """Print a node's waveform frames, one JSON object a line, in the order in which they were measured.

    Exit 1 when one of them is damaged.

    \b
    Example:
      vitalwire collector samples --node 1189a7ff7734cef4 --channel 1
    """
    store = open_reader(state, place)
    unread, found = False, False
    try:
        with store.reading():
            node_id = node_of(store, node)
            for wave in query.waves(store, node_id, channel):
                click.echo(json.dumps(_wave_as_json(wave), separators=(",", ":")))
                unread, found = unread or wave.error is not None, True
    except database.errors() as e:
        raise damaged(state, place, e) from e
    finally:
        store.close()
    if not found:
        click.echo(f"no waveform of channel {channel} of node {node_id.hex()} is here", err=True)
    sys.exit(1 if unread else 0)


def _wave_as_json(wave: query.Wave | query.Unread) -> dict[str, object]:
    facts: dict[str, object] = {**wave._asdict(), "boot": wave.boot.hex()}
    if isinstance(wave, query.Wave) and wave.samples is not None:
        facts["samples"] = wave.samples.tolist()
    if wave.error is None:
        del facts["error"]
    return facts


COMMANDS = (verify_command, samples)
