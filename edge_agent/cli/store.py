"""`vitalwire store`: what is in the store, whether it is sound, its room, and copies of it."""

import errno
import json
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import NEVER_RAN, config_option, fail, told
from edge_agent.cli.store_key import rekey_command
from edge_agent.cli.waiting import busy
from edge_agent.config import Config
from edge_agent.readable import counted, printable

if TYPE_CHECKING:
    from edge_agent.store.backup import Copied

EXIT_FAILED = 1
POLL_S = 0.2
WAIT_S = 600.0
LATE_S = 10.0


@click.group("store")
def store_group() -> None:
    """Look after the agent's store.

    \b
    Example:
      vitalwire store stats
    """


store_group.add_command(rekey_command)


def _there(config: Config) -> None:
    if not config.store.exists():
        fail(f"no store at {config.store}: {NEVER_RAN}")


@store_group.command("stats", short_help="Show what is in the store, what has gone, and its room.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON: bytes, and Unix milliseconds.")
@told
def stats_command(config_path: Path | None, as_json: bool) -> None:
    """Show what is in the store, what has gone and why, and how much room there is.

    The agent may be running: nothing is written.

    \b
    Example:
      vitalwire store stats --json
    """
    from edge_agent.cli.shown_store import stats_lines
    from edge_agent.store import database
    from edge_agent.store.stats import stats

    config = configuration.load(config_path)
    _there(config)
    alone = config.mqtt is None and config.file is None and config.fhir is None
    try:
        with closing(database.open_reader(config)) as db:
            db.execute("BEGIN")
            found = stats(db, config.store, config.storage.quota_mib, alone)
    except (database.Error, KeyError, IndexError, TypeError) as e:
        fail(f"{config.store}: cannot be read: {e} (vitalwire store check says more)")
    for line in [json.dumps(found, indent=1)] if as_json else stats_lines(found):
        click.echo(line)


@store_group.command("check", short_help="Check every page, index, count and hash of the store.")
@config_option
@told
def check_command(config_path: Path | None) -> None:
    """Check the store: every page and index, every count, the hashes that stand for what is gone.

    Exit status 1 when something is wrong. The agent may be running; nothing is changed. It reads all of the
    store, a million frames in about 20 s; the log grows meanwhile.
    `vitalwire verify` checks the collector's receipts and what nodes signed as well.

    \b
    Example:
      vitalwire store check
    """
    from edge_agent.cli.damaged import tell_agent
    from edge_agent.custody.checking import check
    from edge_agent.keys import load_public, public_path
    from edge_agent.store.keys import source_of

    config = configuration.load(config_path)
    _there(config)
    with busy("checking the store"):
        results = check(config.store, load_public(public_path(config.key)), source_of(config))
    for result in results:
        click.echo(f"{'ok    ' if result.good else 'FAILED'}  {printable(result.sentence)}")
    if not all(result.good for result in results):
        click.echo(
            "keep a copy of the whole state directory, then see docs/operating.md: Looking after the store",
            err=True,
        )
        tell_agent(config)
        sys.exit(EXIT_FAILED)


@store_group.command("compact")
@config_option
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(1, 86_400),
    metavar="SECONDS",
    default=WAIT_S,
    show_default=True,
    help="How long a running agent may take; what it has given back by then stays so.",
)
@told
def compact_command(config_path: Path | None, wait_s: float) -> None:
    """Give the room that the store does not use back to the disk.

    An agent that runs does it between its commits, and to ask it needs a few kB; else it is done here, and no
    room is needed. It may be cut off at any moment: the store stays sound, and what was given back stays so.

    \b
    Example:
      vitalwire store compact
    """
    from edge_agent.lock import Locked, hold
    from edge_agent.store.compacting import compact
    from edge_agent.store.database import PAGE
    from edge_agent.store.keys import source_of

    config = configuration.load(config_path)
    _there(config)
    before = config.store.stat().st_size
    try:
        lock = hold(config.state_dir / "agent.lock")
    except Locked:
        text = _asked(config, wait_s)
    else:
        with lock, click.progressbar(length=_unused(config), label="giving back", file=sys.stderr) as bar:
            compact(config.store, source_of(config), bar.update)
        text = f"{counted(_unused(config) * PAGE, 'byte')} unused"
    click.echo(printable(text))
    click.echo(f"{config.store}: {counted(before, 'byte')} before, {config.store.stat().st_size} now")


def _unused(config: Config) -> int:
    from edge_agent.store import database
    from edge_agent.store.compacting import unused

    try:
        with closing(database.open_reader(config)) as db:
            return unused(db)
    except database.Error as e:
        fail(f"{config.store}: cannot be read: {e} (vitalwire store check says more)")


def _asked(config: Config, wait_s: float) -> str:
    """What the agent that runs answers."""
    from edge_agent.nodes.errands import COMPACT, Errands

    errands = Errands(config.errands)
    now_ms = time.time_ns() // 1_000_000
    done, whole = 0, _unused(config)
    try:
        errand = errands.put(COMPACT, b"", now_ms + int(wait_s * 1000))
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        fail(
            f"{config.errands}: {e.strerror}: there is not even room to ask the agent that runs. Stop it, run"
            " this again, start it: with the agent stopped no room is needed"
        )
    deadline = time.monotonic() + wait_s + LATE_S
    answer: dict[str, Any] | None = None
    try:
        with click.progressbar(length=whole, label="giving back", file=sys.stderr) as bar:
            while answer is None and time.monotonic() < deadline:
                time.sleep(POLL_S)
                answer = errands.answer_to(errand)
                left = _unused(config)
                bar.update(max(0, whole - left - done))
                done = max(done, whole - left)
    finally:
        errands.take_back(errand)
    if answer is None:
        fail(f"the agent did not answer within {wait_s + LATE_S:g} s: see its log, or vitalwire status")
    if not answer["good"]:
        fail(str(answer["text"]))
    return str(answer["text"])


@store_group.command("export", short_help="Copy the store, encrypted, for a backup.")
@config_option
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option(
    "--frames",
    "frames_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write every frame here too, IN CLEAR, one JSON object a line. That is recorded.",
)
@told
def export_command(config_path: Path | None, out: Path | None, frames_path: Path | None) -> None:
    """Copy the store to OUT as it is at this moment, encrypted under the same key, for a backup.

    The agent may be running. The copy is read back before it gets its name, and is never written over.

    \b
    Example:
      vitalwire store export /media/backup/agent-2026-11-23.db
    """
    config = configuration.load(config_path)
    _there(config)
    if out is None and frames_path is None:
        fail("where to? name OUT, a new file for the copy, or --frames FILE.jsonl")
    for path in (out, frames_path):
        if path is not None and path.exists():
            fail(f"{path} exists already: nothing is ever written over, name another place")
        if path is not None and not path.parent.is_dir():
            fail(f"{path.parent} is no folder: make it, or name another place")
    if out is not None:
        _copy(config, out)
    if frames_path is not None:
        _frames(config, frames_path)


def _copy(config: Config, out: Path) -> None:
    from edge_agent.cli.people_asking import Aliases
    from edge_agent.custody.signing import signing_path
    from edge_agent.store import backup, keys

    done = 0
    with click.progressbar(length=0, label="copying", file=sys.stderr) as bar:

        def shown(pages: int, whole: int) -> None:
            nonlocal done
            bar.length = whole
            bar.update(pages - done)
            done = pages

        source = keys.source_of(config)
        copied = backup.export(config.store, out, source, shown)
    click.echo(
        f"{out}: {counted(copied.bytes, 'byte')}, {counted(copied.entries, 'entry')},"
        f" {counted(copied.batches, 'batch')}; read back"
    )
    click.echo(f"{keys.check_path(out)}: keep it with the copy, as agent.db-check is with the store")
    click.echo("the key is in neither. Back up, apart from the copy:")
    click.echo(f"  the store's key, without which the copy is noise: {source}")
    names = Aliases(config.state_dir).path
    beside = (config.key, signing_path(config.key), config.peers, names, config.operators, config.authorities)
    for path in beside:
        if path.exists():
            click.echo(f"  {path}")
    _note(config, out, copied)


def _note(config: Config, out: Path, copied: "Copied") -> None:
    """Note in the log where the copy is, and how it is known from another file there, so that an erasure can
    name it. It is good without that, too.
    """
    from edge_agent.cli.people_asking import record_action
    from edge_agent.keys import KeyFileError
    from edge_agent.people.left_over import COPIED
    from edge_agent.store.errors import StoreError

    try:
        if not config.key.exists():
            # An agent that was started for this alone would make one.
            fail(f"{config.key} is not here")
        where = str(out.parent.resolve() / out.name)
        record_action(config, COPIED, where, begins=copied.begins, size=copied.bytes)
    except (click.ClickException, KeyFileError, StoreError) as e:
        said = e.message if isinstance(e, click.ClickException) else e
        click.echo(printable(f"not noted, so that `vitalwire erase` will not name it: {said}"), err=True)


def _frames(config: Config, path: Path) -> None:
    from edge_agent.cli.people_asking import record_action
    from edge_agent.store import database
    from edge_agent.store.frames_file import write_frames

    record_action(config, "export_frames", path.name)
    try:
        with closing(database.open_reader(config)) as db:
            db.execute("BEGIN")
            count = db.value("SELECT count(*) FROM journal WHERE kind = 0")
            with click.progressbar(length=count, label="frames", file=sys.stderr) as bar:
                written = write_frames(db, path, bar.update)
    except (database.Error, ValueError) as e:
        fail(f"{config.store}: cannot be read: {e} (vitalwire store check says more)")
    click.echo(f"{path}: {counted(written, 'frame')}, in clear: whoever has the file reads them")
