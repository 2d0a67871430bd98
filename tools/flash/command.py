"""`vitalwire flash`: bare boards become nodes."""

import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from edge_agent.cli.waiting import busy
from tools import build
from tools.flash import built, image, label, ports, report
from tools.flash.many import flash_all
from tools.flash.report import Outcome
from tools.flash.run import Plan
from tools.flash.trouble import Trouble
from tools.maker_key import NoMaker, maker_key


@click.command("flash", short_help="Make nodes of bare boards.")
@click.option("--board", help="A board of boards/; without it the chip decides, where one board has it.")
@click.option(
    "--port",
    "given",
    multiple=True,
    help="Its serial port, again for more boards; without it, what USB tells of.",
)
@click.option("--many", is_flag=True, help="Every board that is plugged in, all at once.")
@click.option("--image", "image_from", help="Another MicroPython image than the board's: a file or a URL.")
@click.option("--image-sha256", help="The SHA-256 that the image has to have, in hex.")
@click.option("--app-only", is_flag=True, help="MicroPython is on the board: leave it, keys and all.")
@click.option("--erase", is_flag=True, help="Erase the board in any case: it becomes a new node.")
@click.option("--source", is_flag=True, help="Ship sources instead of bytecode.")
@click.option(
    "--maker",
    "makers",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Public key of whose updates it takes; again for more.",
)
@click.option(
    "--tree",
    type=click.Path(path_type=Path),
    help="Ship this folder, which vitalwire build made, and no fresh build.",
)
@click.option(
    "--label",
    "label_to",
    type=click.Path(path_type=Path),
    help="Write a label for each board into this file: .png or .pdf.",
)
@click.option(
    "--kit",
    type=click.Path(path_type=Path),
    default=Path("kit.json"),
    show_default=True,
    help="The file for the agent (vitalwire kit import) to which the boards' public keys are added.",
)
@click.option(
    "--report",
    "report_to",
    type=click.Path(path_type=Path),
    help="Write a row for each board into this file, as CSV.",
)
@click.option("--yes", is_flag=True, help="Do not ask before boards are erased.")
def command(
    board: str | None,
    given: tuple[str, ...],
    many: bool,
    image_from: str | None,
    image_sha256: str | None,
    app_only: bool,
    erase: bool,
    source: bool,
    makers: tuple[Path, ...],
    tree: Path | None,
    label_to: Path | None,
    kit: Path,
    report_to: Path | None,
    yes: bool,
) -> None:
    """Write MicroPython and the application onto boards, have them make their keys and test themselves.

    A board that has the image already keeps its keys; any other is erased, and is a new node then. What was
    interrupted is run again with the same words: it goes on where it was.

    \b
    Example:
      vitalwire flash --board esp32_s3_kit --port /dev/ttyUSB0 --label kit.pdf
      vitalwire flash --board esp32_s3_kit --many --report flashed.csv --label kits.pdf
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if label_to is not None and label_to.suffix.lower() not in label.FORMATS:
        raise click.UsageError(f"{label_to} is neither .png nor .pdf; name the label's file so")
    if app_only and (erase or image_from):
        raise click.UsageError("--app-only leaves MicroPython as it is; take --erase and --image away")
    if tree is not None and (source or makers):
        raise click.UsageError("--tree is a build already; take --source and --maker away")
    try:
        if tree is None:
            keys = [maker_key(path).hex() for path in makers]
            make = _Once(lambda name: build.make(name, "source" if source else None, makers=keys))
        else:
            made = built.read(tree)
            if board not in (None, made.board):
                raise Trouble(f"{tree} is a build for {made.board}, not for {board}", "say one of the two")
            board, make = made.board, _Once(lambda name: made)
        plan = _plan(board, make, image_from, image_sha256, kit, erase, app_only)
        chosen = _ports(given, many, console)
    except (Trouble, build.BuildError, NoMaker) as e:
        raise click.ClickException(str(e)) from e
    if not app_only and not yes:
        _ask(chosen, erase)

    def done(outcome: Outcome) -> None:
        for line in report.told(outcome):
            console.print(line, markup=False)

    outcomes = flash_all(chosen, plan, console, done)
    _finish(outcomes, label_to, report_to, kit)


def _plan(
    board: str | None,
    make: Callable[[str], build.Build],
    image_from: str | None,
    sha256: str | None,
    kit: Path,
    erase: bool,
    app_only: bool,
) -> Plan:
    names = build.board_names()
    if board is not None and board not in names:
        raise Trouble(f"no board {board!r}", f"there are: {', '.join(names)}")
    tables = {name: _table(name) for name in names}
    chips = {name: table["chip"] for name, table in tables.items() if "chip" in table}
    images = _Once(lambda name: image.load(tables[name].get("image", {}), image_from, sha256))
    if board is not None:
        # What is wrong with them is known before any board is touched.
        if not app_only:
            with busy("fetching MicroPython"):
                images(board)
        with busy(f"building {board}"):
            make(board)
    return Plan(
        board,
        images,
        make,
        {name: table["model"] for name, table in chips.items()},
        {name: table.get("flash_mib", 0) for name, table in chips.items()},
        {name: str(table.get("title", "")) for name, table in tables.items()},
        kit,
        erase,
        app_only,
    )


class _Once:
    """`make(name)`, once for each name, whichever thread asks first."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._made: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str) -> Any:
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]


def _table(name: str) -> dict[str, Any]:
    try:
        return tomllib.loads((build.ROOT / "boards" / name / "board.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # `build` says what is wrong with it.


def _ports(given: tuple[str, ...], many: bool, console: Console) -> list[str]:
    """The ports of the boards that are to be flashed."""
    if given:
        return list(dict.fromkeys(given))
    boards, others = ports.find()
    for port in others:
        console.print(f"left out {port.device}: {port.about}", markup=False)
    if not boards:
        raise Trouble(
            "no board is plugged in, as far as USB tells",
            "plug one in with a cable that carries data, or say --port",
        )
    if len(boards) > 1 and not many:
        there = ", ".join(f"{port.device} ({port.about})" for port in boards)
        raise Trouble(f"several boards are plugged in: {there}", "say --port for one, or --many for all")
    for port in boards:
        console.print(f"found {port.device}: {port.about}", markup=False)
    return [port.device for port in boards]


def _ask(chosen: list[str], erase: bool) -> None:
    which = "Erase" if erase else "Erase, unless it has this very MicroPython already,"
    question = f"{which} what is on {', '.join(chosen)}, keys and all?"
    if not sys.stdin.isatty():
        raise click.ClickException(f"{question} Nobody is here to say so: add --yes")
    click.confirm(question, abort=True)


def _finish(outcomes: list[Outcome], label_to: Path | None, report_to: Path | None, kit: Path) -> None:
    passed = [one for one in outcomes if one.passed]
    problems: list[str] = []
    labels = [
        label.Label(one.board, one.title, one.firmware, one.keys.id, one.keys.fingerprint)
        for one in passed
        if one.keys is not None
    ]
    if passed:
        click.echo(f"kit file: {kit}")
    try:
        if label_to is not None and labels:
            for place in label.save(labels, label_to):
                click.echo(f"label: {place}")
    except Trouble as e:
        problems.append(str(e))
    try:
        if report_to is not None:
            report.write(outcomes, report_to)
            click.echo(f"report: {report_to}")
    except Trouble as e:
        problems.append(str(e))
    click.echo(f"{len(passed)} of {len(outcomes)} passed")
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    if len(passed) < len(outcomes) or problems:
        raise SystemExit(1)
