"""`vitalwire release …`: what a maker of firmware does."""

import warnings
from collections.abc import Callable
from getpass import GetPassWarning
from pathlib import Path
from typing import Any

import click

from edge_agent.files import write_atomically
from protocol.update import UpdateError
from tools.maker_key import NoMaker, maker_key
from tools.release import bundles, keys, repository
from tools.release.keys import PUBLIC, Maker, ReleaseError

FILE = click.Path(path_type=Path, dir_okay=False)
KEY = click.option("--key", "key", type=FILE, required=True, help="The maker's key file.")
PASSPHRASE = click.option(
    "--passphrase-file", type=FILE, help="Its first line is the passphrase. Without it one is asked."
)
Handler = Callable[..., Any]


class _Group(click.Group):
    """Refusals become click's own errors."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (NoMaker, ReleaseError) as e:
            raise click.ClickException(str(e)) from e


@click.group("release", cls=_Group, short_help="Make, sign and publish updates.")
def command() -> None:
    """Updates of nodes, as their maker makes them: docs/updates.md.

    \b
    Example:
      vitalwire release keygen maker.key
      vitalwire release make --board esp32_s3_kit --maker maker.pub --out kit.vwu
      vitalwire release sign kit.vwu --key maker.key
      vitalwire release publish updates kit.vwu --key maker.key
    """


@command.command(short_help="Make a maker's key.")
@click.argument("key", type=FILE)
@PASSPHRASE
def keygen(key: Path, passphrase_file: "Path | None") -> None:
    """Make a maker's key; its secret half is encrypted. Who has it and the passphrase can change every node.

    \b
    Example:
      vitalwire release keygen maker.key
    """
    # What can be known before is not told only after a passphrase was typed; so below.
    keys.place(key)
    made = keys.create(key, _passphrase(passphrase_file, True))
    click.echo(f"{key} (secret, encrypted) and {key.with_suffix('.pub')}: {made.ed_pub.hex()}")


@command.command(short_help="Make an unsigned bundle of this source tree.")
@click.option("--board", required=True, help="For which board, as in vitalwire boards list.")
@click.option(
    "--maker",
    "makers",
    type=FILE,
    multiple=True,
    required=True,
    help="Public key of whose updates it takes; again for more.",
)
@click.option("--version", "version", help="Its version; without it that of firmware/version.py.")
@click.option("--out", type=FILE, required=True, help="Where the bundle goes.")
def make(board: str, makers: tuple[Path, ...], version: "str | None", out: Path) -> None:
    """Build for a board, and put that into an unsigned bundle: the same bytes for the same inputs.

    \b
    Example:
      vitalwire release make --board esp32_s3_kit --maker maker.pub --version 0.2.0 --out kit.vwu
    """
    made = bundles.make(board, version, [maker_key(path) for path in makers])
    _write(out, made.encoded())
    click.echo(f"{out}: {bundles.described(made)[0]}, not signed")


@command.command(short_help="Sign a bundle.")
@click.argument("bundle", type=FILE)
@KEY
@PASSPHRASE
def sign(bundle: Path, key: Path, passphrase_file: "Path | None") -> None:
    """Sign a bundle in place.

    \b
    Example:
      vitalwire release sign kit.vwu --key maker.key
    """
    unsigned = bundles.read(bundle)
    signed = bundles.sign(unsigned, _maker(key, passphrase_file))
    _write(bundle, signed.encoded())
    click.echo(f"{bundle}: version {signed.version} for {signed.board}, id {signed.id.hex()}")


@command.command(short_help="Check a bundle or a repository.")
@click.argument("what", type=click.Path(path_type=Path))
@click.option("--maker", type=FILE, required=True, help="The public key of who should have signed it.")
def verify(what: Path, maker: Path) -> None:
    """Check every byte of a bundle, or of a repository with all that it holds, and say what is in it.

    \b
    Example:
      vitalwire release verify kit.vwu --maker maker.pub
    """
    public = maker_key(maker)
    if what.is_dir():
        lines = repository.check(what, public)
    else:
        one = bundles.read(what)
        try:
            one.verify([public])
        except UpdateError as e:
            raise ReleaseError(f"{what}: {e.detail}") from None
        lines = bundles.described(one)
    for line in lines:
        click.echo(line)


@command.command(short_help="Put bundles into a repository.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("bundle", type=FILE, nargs=-1, required=True)
@click.option("--group", "groups", multiple=True, help="For nodes of this group; again for more.")
@KEY
@PASSPHRASE
def publish(
    folder: Path,
    bundle: tuple[Path, ...],
    groups: tuple[str, ...],
    key: Path,
    passphrase_file: "Path | None",
) -> None:
    """Put signed bundles into a folder that any web server can serve, and sign its index anew.

    \b
    Example:
      vitalwire release publish updates kit.vwu --group ward-3 --key maker.key
    """
    for path in bundle:
        bundles.read(path)
    index = repository.publish(folder, bundle, groups, _maker(key, passphrase_file))
    click.echo(f"{folder}: {len(index['releases'])} releases, index {index['serial']}")


def _maker(key: Path, passphrase_file: "Path | None") -> Maker:
    keys.read(key)
    return keys.load(key, _passphrase(passphrase_file, False))


def _passphrase(file: "Path | None", new: bool) -> str:
    if file is None:
        return _typed(new)
    try:
        return file.read_text("utf-8").split("\n", 1)[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as e:
        raise ReleaseError(f"{file} cannot be read: {e}") from None


def _typed(new: bool) -> str:
    with warnings.catch_warnings():
        # Without a terminal it is read as it comes.
        warnings.simplefilter("ignore", GetPassWarning)
        try:
            return click.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True)
        except click.Abort as e:
            if not isinstance(e.__context__, EOFError):
                raise
    raise ReleaseError("nobody is here to type the passphrase: say --passphrase-file")


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data, PUBLIC)
    except OSError as e:
        raise ReleaseError(f"{path} cannot be written: {e.strerror}") from e
