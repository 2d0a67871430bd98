"""`vitalwire boards`: the boards that there are, how one is wired, and whether it can be."""

from pathlib import Path

import click

from tools import build
from tools.boards import picture, table
from tools.boards.chips import CHIPS


@click.group("boards", short_help="List, show and check the boards.")
def command() -> None:
    """The boards that a node can be built for, as their board.toml describes them.

    \b
    Example:
      vitalwire boards list
    """


@command.command("list")
def list_boards() -> None:
    """The boards that there are: name, chip, and what each is.

    \b
    Example:
      vitalwire boards list
    """
    for name in build.board_names():
        board = _read(name)
        chip = CHIPS.get(board.chip.get("model", ""))
        click.echo(f"{name:14} {chip.title if chip else '-':9} {board.settings.get('title', '')}")


@command.command("show")
@click.argument("name")
@click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), help="Draw the wiring into this file."
)
def show(name: str, svg: Path | None) -> None:
    """How a board is wired, as a table, or as a picture with --svg.

    \b
    Example:
      vitalwire boards show esp32_devkit --svg wiring.svg
    """
    board = _read(name)
    if svg is None:
        click.echo(table.page(board, build.ROOT / "drivers"))
        return
    if not board.chip:
        raise click.ClickException(f"{name} exists only in software: there is nothing to wire")
    try:
        svg.write_text(picture.svg(board, build.ROOT / "drivers"), "utf-8")
    except OSError as e:
        raise click.ClickException(f"cannot write {svg}: {e.strerror}") from e
    click.echo(f"{name}: {svg}")


@command.command("check", short_help="Whether boards can be built and wired as described.")
@click.argument("names", nargs=-1)
def check(names: tuple[str, ...]) -> None:
    """Whether boards can be built and wired as they are described: all of them, or those named. Exit code 1
    when one cannot.

    \b
    Example:
      vitalwire boards check esp32_s3_kit
    """
    wrong = 0
    for name in names or build.board_names():
        try:
            build.checked(name)
        except build.BuildError as e:
            wrong += 1
            click.echo(str(e), err=True)
        else:
            click.echo(f"{name}: good")
    if wrong:
        raise click.exceptions.Exit(1)


def _read(name: str) -> build.Board:
    try:
        return build.read_board(name)
    except build.BuildError as e:
        raise click.ClickException(str(e)) from e
