"""`vitalwire store rekey`: the store of an agent that does not run, put under another key."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_agent import config as configuration
from edge_agent.cli.commanding import NEVER_RAN, config_option, fail, told
from edge_agent.config import Config
from edge_agent.readable import counted

if TYPE_CHECKING:
    from edge_agent.store.keys import Source

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("rekey", short_help="Put the store under another key.")
@config_option
@click.option("--key-file", type=_FILE, help="A file with 64 hexadecimal digits; made when it is not there.")
@click.option("--credential", help="A systemd credential that this command is given.")
@click.option("--passphrase-file", type=_FILE, help="A file with a passphrase in its first line.")
@told
def rekey_command(
    config_path: Path | None, key_file: Path | None, credential: str | None, passphrase_file: Path | None
) -> None:
    """Put the store under another key: because the old one was seen, or is to come from somewhere else.

    Without an option a new key takes the place of the one in the configured key file; the old one is kept
    beside it, because backups are under it. The agent has to be stopped, and the disk needs as much room
    again as the store takes. It may be cut off at any moment: the store opens under the old key or under the
    new one, and this command, or the agent's start, ends what was begun. It is recorded in the chain.

    \b
    Example:
      vitalwire store rekey
      vitalwire store rekey --passphrase-file /etc/vitalwire/passphrase.new
    """
    from edge_agent.cli.people_asking import record_action
    from edge_agent.lock import hold
    from edge_agent.store import key_change, keys

    config = configuration.load(config_path)
    if not config.store.exists():
        fail(f"no store at {config.store}: {NEVER_RAN}")
    now = keys.source_of(config)
    then = _then(now, key_file, credential, passphrase_file)
    if then != now:
        _read(config.store, then)
    with hold(config.state_dir / "agent.lock"):
        settled = key_change.settle(config.store, now)
        if settled:
            click.echo(f"{config.store}: a change of the key was cut off after its last step; it is done now")
            _say_next(config, now, then)
            return
        if settled is False:
            click.echo("a change of the key was cut off before the store was under it: it begins anew")
        if then != now and key_change.is_under(config.store, then):
            click.echo(f"{config.store}: is under {then} already; nothing to do")
            _say_next(config, now, then)
            return
        # Before anything is recorded: the agent that does it would set a damaged store aside.
        key_change.check(config.store, now)
    record_action(config, "rekey_store", config.store.name)
    done = 0
    with (
        hold(config.state_dir / "agent.lock"),
        click.progressbar(length=0, label="copying", file=sys.stderr) as bar,
    ):

        def shown(pages: int, whole: int) -> None:
            nonlocal done
            bar.length = whole
            bar.update(pages - done)
            done = pages

        new = key_change.new_key(config.store, now, then, time.time_ns() // 1_000_000)
        copied = key_change.rekey(config.store, now, new, shown)
    what = f"{counted(copied.bytes, 'byte')}, {counted(copied.entries, 'entry')}"
    click.echo(f"{config.store}: {what} are under a new key: {then}; read back")
    _say_next(config, now, then)


def _then(now: "Source", key_file: Path | None, credential: str | None, passphrase: Path | None) -> "Source":
    from edge_agent.store.keys import Source

    named = [one for one in (key_file, credential, passphrase) if one is not None]
    if len(named) > 1:
        fail("one new key at a time: name one of --key-file, --credential, --passphrase-file")
    if not named:
        if now.credential is not None or now.passphrase_file is not None:
            fail(
                f"the store's key is {now}, which no command can change: name where the new one is, with "
                "--key-file, --credential or --passphrase-file"
            )
        return now
    return Source((key_file or now.key_file).absolute(), credential, passphrase and passphrase.absolute())


def _read(store: Path, then: "Source") -> None:
    """Ends the command where the new key cannot be read, before anything is recorded or made."""
    from edge_agent.store import key_files, keys
    from edge_agent.store.errors import StoreKeyError

    try:
        if then.passphrase_file is not None:
            key_files.secret(then.passphrase_file, store)
        elif then.credential is not None or then.key_file.exists():
            keys.given(then, store)
        elif not then.key_file.parent.is_dir():
            fail(f"{then.key_file.parent} is no folder: make it, or name another place for the new key")
    except StoreKeyError as e:
        what = e.problem.removeprefix("its ")
        if then.passphrase_file is None:
            fail(f"the new key cannot be read: {what}; nothing has changed")
        fail(
            f"the new key cannot be read: {what}; nothing has changed (make {then.passphrase_file} first, "
            "mode 0600, with the passphrase in its first line)"
        )


def _say_next(config: Config, now: "Source", then: "Source") -> None:
    from edge_agent.store.key_files import old_files

    if then != now:
        name, value = next(
            (name, value)
            for name, value in (
                ("passphrase_file", then.passphrase_file),
                ("credential", then.credential),
                ("key_file", then.key_file),
            )
            if value is not None
        )
        click.echo(f'now the configuration, before the agent starts: under [store] {name} = "{value}"')
    if then.passphrase_file is not None or then.credential is not None:
        click.echo("keep a copy of it, apart from the store: without it the store is noise")
    else:
        click.echo(f"back up {then.key_file}, apart from the store: without it the store is noise")
    old = old_files(now.key_file) if then == now else []
    where = str(old[-1]) if old else str(now)
    click.echo(
        f"copies and stores set aside until now are under the old key ({where}): keep it as long as them; "
        f"{config.store.name}-check has changed, too"
    )
