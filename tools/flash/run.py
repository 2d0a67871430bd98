"""One board from whatever it is to a node that says hello; every step is skipped that was done before."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tools import build
from tools.flash import kit, node, ports, tree
from tools.flash.alone import alone
from tools.flash.chip import Chip
from tools.flash.image import Image
from tools.flash.prompt import Prompt
from tools.flash.report import Outcome
from tools.flash.trouble import Interrupted, Trouble

# (what is being done, how much of it is done, of how much; 0 of 0: nobody knows).
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What a board is to become. `image` of a board's name and `make` of one give what goes onto it.

    `board`: None lets the chip decide where one board has it. `erase`: also where the image is there already.
    `app_only`: MicroPython is there, and stays as it is. `chips`, `flash_mib`, `titles`: of boards by name,
    where their board.toml says so.
    """

    board: str | None
    image: Callable[[str], Image]
    make: Callable[[str], build.Build]
    chips: dict[str, str]
    flash_mib: dict[str, int]
    titles: dict[str, str]
    kit: Path
    erase: bool = False
    app_only: bool = False


def flash(port: str, plan: Plan, tell: Tell) -> Outcome:
    """Flash the board on `port`. Never fails: what stops it stands in the outcome."""
    outcome = Outcome(port, plan.board or "")
    begun = time.monotonic()
    try:
        with alone(port):
            _flash(outcome, plan, tell)
        wrong = [line.name for line in outcome.lines if line.why]
        outcome.why = f"self-test: {', '.join(wrong)}; see to it, and run this again" if wrong else ""
    except Interrupted:
        outcome.why = "interrupted; run this again: it goes on where it was"
    except (Trouble, build.BuildError) as e:
        outcome.why = str(e)
    except Exception as e:
        outcome.why = f"{type(e).__name__}: {e}; this is a fault of the program, please report it"
    outcome.seconds = time.monotonic() - begun
    return outcome


def _flash(outcome: Outcome, plan: Plan, tell: Tell) -> None:
    chip = ports.chip_of(outcome.port)
    if not plan.app_only:
        _put_image(outcome, plan, tell)
    elif plan.board is None:
        raise Trouble("which board is it?", "say --board: with --app-only nobody asks the chip")
    tell("build", 0, 0)
    made = plan.make(outcome.board)
    outcome.firmware, outcome.title = made.version, plan.titles.get(outcome.board, "")
    prompt = Prompt(_came_back(outcome, chip))
    try:
        prompt.get(lambda text: tell(text, 0, 0))
        clock = node.Clock(prompt)
        there, files = tree.copy(prompt, made.files, lambda done, of: tell("copy", done, of))
        if there:
            outcome.went_on_with.append(f"{there} of {files} files that were there")
        tell("self-test", 0, 0)
        outcome.lines, outcome.keys = node.self_test(prompt, made)
        outcome.lines.append(clock.line())
        if outcome.keys is None:
            raise Trouble("the board made no keys", "run this again with --erase; else its flash is worn")
        tell("start", 0, 0)
        prompt.reset()
    finally:
        prompt.close()
    node.wait_for_hello(_came_back(outcome, chip), outcome.keys, lambda: tell("hello", 0, 0))
    if not any(line.why for line in outcome.lines):
        at = datetime.now(UTC).isoformat(timespec="seconds")
        kit.add(plan.kit, outcome.keys, outcome.board, outcome.firmware, at)


def _came_back(outcome: Outcome, chip: str) -> str:
    """The board's port after a reset; a new name is said."""
    port = ports.wait_for(outcome.port, chip)
    if port != outcome.port:
        outcome.now_on = port
    return port


def _put_image(outcome: Outcome, plan: Plan, tell: Tell) -> None:
    tell("chip", 0, 0)
    with Chip(outcome.port) as chip:
        outcome.chip, outcome.mac = chip.model, chip.mac
        outcome.board = plan.board or _board_of(chip.model, plan.chips)
        wanted = plan.chips.get(outcome.board)
        if wanted not in (None, chip.model):
            raise Trouble(
                f"wrong chip: {outcome.board} has an {wanted}, here is an {chip.model}",
                f"say --board {_one_of(chip.model, plan.chips)}, or plug in the other board",
            )
        least = plan.flash_mib.get(outcome.board, 0)
        if chip.flash_mib < least:
            raise Trouble(
                f"too little flash: {outcome.board} has {least} MiB, here are {chip.flash_mib}",
                "take the module that the board's [chip] describes",
            )
        image = plan.image(outcome.board)
        chip.check(image.data)
        offset = chip.boot_offset if image.offset is None else image.offset
        tell("look", 0, 0)
        if not plan.erase and chip.holds(image.data, offset):
            outcome.went_on_with.append("MicroPython that was there")
            return
        tell("erase", 0, 0)
        chip.erase()
        chip.write(image.data, offset, lambda done, of: tell("write", done, of))


def _one_of(chip: str, chips: dict[str, str]) -> str:
    return " or ".join(sorted(name for name, model in chips.items() if model == chip)) or "another"


def _board_of(chip: str, chips: dict[str, str]) -> str:
    names = sorted(name for name, model in chips.items() if model == chip)
    if len(names) != 1:
        there = f"boards with an {chip}: {', '.join(names)}" if names else f"no board has an {chip}"
        raise Trouble(f"which board is it? {there}", "say --board NAME")
    return names[0]
