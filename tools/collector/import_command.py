"""`vitalwire import DIR`: batches that were carried here on a medium are stored, and receipted."""

import sys
import time
from contextlib import ExitStack
from pathlib import Path

import click

from edge_agent import keys
from edge_agent.files import make_folder
from edge_agent.lock import Locked, hold
from edge_agent.readable import counted, printable
from tools.collector import database, stick
from tools.collector.commands_read import damaged, database_option, in_words, state_option
from tools.collector.folder import AGENTS, KEY, LOCK, STORE
from tools.collector.intake import Intake
from tools.collector.opening import open_store
from tools.collector.signing import Signing
from tools.collector.store import Store, StoreError
from tools.collector.trust import Trust

MAX_SHOWN = 20


@click.command("import", short_help="Take batches from a medium, and write their receipts.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--receipts",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder for the receipts.  [default: DIR]",
)
@state_option
@database_option
def command(folder: Path, receipts: Path | None, state: Path, place: str | None) -> None:
    """Take the batches in DIR, which an agent wrote ([file] out), and write their receipts beside them.

    Carry the medium back to the agent, which takes the receipts from its [file] in and clears both folders.
    Nothing is deleted here.
    Files that are no batches, half-written, damaged or refused are named and left; exit 1 when there are any.
    Doing it twice does no harm.

    \b
    Example:
      vitalwire import /media/usb/out --receipts /media/usb/in
    """
    with ExitStack() as closing:
        try:
            store = _open(closing, state, place)
            signing = Signing(keys.load_or_create(state / KEY, "collector"), state / KEY)
            intake = Intake(store, signing, Trust(state / AGENTS))
            files, left = stick.candidates(folder)
            summary = stick.Summary(left=left)
            with click.progressbar(length=len(files), label="batches", file=sys.stderr) as bar:
                stick.take(files, receipts or folder, intake.handle_all, summary, bar.update)
        except Locked as e:
            who = f" (pid {e.pid})" if e.pid else ""
            raise click.ClickException(
                f"a collector{who} runs with the state {state}: stop it first, it may run again afterwards"
            ) from e
        except OSError as e:
            raise click.ClickException(
                f"{printable(str(e))}; what has its receipt is taken: mend it, and import again"
            ) from e
        except (keys.KeyFileError, StoreError) as e:
            raise in_words(e) from e
        except database.errors() as e:
            raise damaged(state, place, e) from e
    click.echo(_told(summary, receipts or folder))
    sys.exit(1 if summary.left else 0)


def _open(closing: ExitStack, state: Path, place: str | None) -> Store:
    make_folder(state)
    if place is not None and database.is_postgres(place):
        store = Store(place)
    else:
        # An SQLite file has one writer.
        closing.enter_context(hold(state / LOCK))
        store, said = open_store(state / STORE if place is None else Path(place), time.time_ns() // 1_000_000)
        if said:
            click.echo(f"WARNING {said}", err=True)
    closing.callback(store.close)
    return store


def _told(summary: stick.Summary, receipts: Path) -> str:
    again = f", of which {summary.again} had their receipt already" if summary.again else ""
    lines = [
        f"{counted(summary.taken, 'batch')} taken ({summary.bytes / 1e6:.1f} MB){again}; receipts"
        f" are in {receipts}"
    ]
    lines += [f"left: {printable(one.name)}: {printable(one.why)}" for one in summary.left[:MAX_SHOWN]]
    if len(summary.left) > MAX_SHOWN:
        lines.append(f"left: {len(summary.left) - MAX_SHOWN} more")
    if summary.taken:
        lines.append("carry the receipts back to the agent, to its [file] in: it frees what they are for")
    return "\n".join(lines)
