"""`python -m tools.fuzz`: hostile inputs, made from a seed, against the decoders and the sessions."""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from tools import writable
from tools.fuzz import compare, guided, parties, table
from tools.fuzz.run import Report, fuzz
from tools.fuzz.targets import TARGETS, load

INPUTS = 100_000
EXIT_FOUND, EXIT_USAGE = 1, 2


def _report_file(_context: click.Context, _option: click.Parameter, path: "Path | None") -> "Path | None":
    why = None if path is None else writable.why_not(path)
    if why is not None:
        raise click.BadParameter(why)
    return path


def _corpus_folder(_context: click.Context, _option: click.Parameter, path: "Path | None") -> "Path | None":
    if path is None:
        return None
    try:
        path.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and os.access(path, os.W_OK | os.X_OK):
            return path
        raise click.BadParameter(f"{path} is no folder that can be written to")
    except OSError as e:
        raise click.BadParameter(f"{path} is no folder that can be made: {e.strerror}") from None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[TARGET]…", nargs=-1, type=click.Choice(list(TARGETS)))
@click.option("--inputs", type=click.IntRange(1), default=INPUTS, show_default=True, help="In all.")
@click.option("--seconds", type=click.FloatRange(0.1), help="At most, in all.")
@click.option("--seed", type=int, default=1, show_default=True, help="The inputs follow from it.")
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    callback=_corpus_folder,
    help="A folder of more inputs to begin from, and of new finds.",
)
@click.option("--atheris", "by_coverage", is_flag=True, help="Let coverage lead; needs the extra [fuzz].")
@click.option("--vm", "on_vms", is_flag=True, help="Run the same inputs on MicroPython, too, and compare.")
@click.option(
    "--again",
    is_flag=True,
    help="One input, in hex on standard input, for one target: a reproducer; with --vm on MicroPython, too.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    callback=_report_file,
    help="The figures, for programs.",
)
def main(
    names: "tuple[str, ...]",
    inputs: int,
    seconds: "float | None",
    seed: int,
    corpus: "Path | None",
    by_coverage: bool,
    on_vms: bool,
    again: bool,
    json_file: "Path | None",
) -> None:
    """Feed changed inputs to each TARGET (all of them, when none is named) and say what came of it.

    A crash (anything but a named refusal), a hang or a growth of memory ends the run with status 1 and its
    reproducer. Status 2: wrong use, or a result that could not be written.
    """
    parties.remember_curves()
    if again:
        _again(names, on_vms)
        return
    chosen = [name for name in names or TARGETS if _there(name)]
    if on_vms and not any(TARGETS[name].on_vm for name in chosen):
        raise click.UsageError(f"{_no_vm(chosen)}: nothing was run")
    total = sum(TARGETS[name].share for name in chosen)
    reports: list[Report] = []
    unwritten = False
    for name in chosen:
        part = TARGETS[name].share / total
        many = max(1, round(inputs * part))
        most = None if seconds is None else seconds * part
        if on_vms and not TARGETS[name].on_vm:
            continue
        found = _seeds(corpus, name)
        if on_vms:
            reports.append(compare.compare(name, TARGETS[name].generator(found, seed), many, seconds=most))
        elif by_coverage:
            reports.append(guided.fuzz(name, many, most, seed, corpus))
        else:
            reports.append(fuzz(load(name), TARGETS[name].generator(found, seed), many, most, table.progress))
        table.progress(reports[-1])
        if corpus is not None:
            unwritten |= _unwritten(partial(_keep, corpus / name, reports[-1].learned))
        if reports[-1].finding is not None:
            break
    click.echo(table.text(reports))
    if json_file is not None:
        figures = json.dumps([report.as_json() for report in reports], indent=1) + "\n"
        unwritten |= _unwritten(partial(json_file.write_text, figures))
    for report in reports:
        if report.finding is not None:
            click.echo(table.account(report, seed))
            sys.exit(EXIT_FOUND)
    if unwritten:
        sys.exit(EXIT_USAGE)


def _unwritten(write: Callable[[], object]) -> bool:
    """Whether it could not be written, which is then told on standard error."""
    try:
        write()
    except OSError as e:
        click.echo(f"Error: {e.filename or 'the result'} could not be written: {e.strerror}", err=True)
        return True
    return False


def _there(name: str) -> bool:
    try:
        load(name)
    except ImportError as e:
        click.echo(f"{name} is left out: {e}", err=True)
        return False
    return True


def _no_vm(names: "list[str]") -> str:
    return f"MicroPython does not have what {', '.join(names) or 'no target'} needs"


def _again(names: "tuple[str, ...]", on_vms: bool) -> None:
    if len(names) != 1:
        raise click.UsageError("--again wants one target")
    if on_vms and not TARGETS[names[0]].on_vm:
        raise click.UsageError(_no_vm([names[0]]))
    text = sys.stdin.read()
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise click.UsageError(f"--again wants hex on standard input, not {text.strip()[:40]!r}") from None
    if not on_vms:
        click.echo(load(names[0]).run(data))
        return
    said, same = compare.again(names[0], data)
    click.echo(said)
    if not same:
        sys.exit(EXIT_FOUND)


def _seeds(corpus: "Path | None", name: str) -> "list[bytes]":
    if corpus is None or not (corpus / name).is_dir():
        return []
    return [path.read_bytes() for path in sorted((corpus / name).iterdir()) if path.is_file()]


def _keep(folder: Path, learned: "list[bytes]") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for data in learned:
        (folder / parties.crypto.sha256(data).hex()[:24]).write_bytes(data)


if __name__ == "__main__":
    main()
