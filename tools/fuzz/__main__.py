"""`python -m tools.fuzz`: hostile inputs, made from a seed, against the decoders and the sessions."""

import json
import sys
from pathlib import Path

import click

from tools.fuzz import compare, guided, parties, table
from tools.fuzz.run import Report, fuzz
from tools.fuzz.targets import TARGETS, load

INPUTS = 100_000


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[TARGET]…", nargs=-1, type=click.Choice(list(TARGETS)))
@click.option("--inputs", type=click.IntRange(1), default=INPUTS, show_default=True, help="In all.")
@click.option("--seconds", type=click.FloatRange(0.1), help="At most, in all.")
@click.option("--seed", type=int, default=1, show_default=True, help="The inputs follow from it.")
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    help="A folder of more inputs to begin from, and of new finds.",
)
@click.option("--atheris", "by_coverage", is_flag=True, help="Let coverage lead; needs the extra [fuzz].")
@click.option("--vm", "on_vms", is_flag=True, help="Run the same inputs on MicroPython, too, and compare.")
@click.option(
    "--again", is_flag=True, help="One input, in hex on standard input, for one target: a reproducer."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="The figures, for programs.")
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
    reproducer.
    """
    parties.remember_curves()
    if again:
        _again(names)
        return
    chosen = [name for name in names or TARGETS if _there(name)]
    total = sum(TARGETS[name].share for name in chosen)
    reports: list[Report] = []
    for name in chosen:
        part = TARGETS[name].share / total
        many = max(1, round(inputs * part))
        most = None if seconds is None else seconds * part
        if on_vms and not TARGETS[name].on_vm:
            continue
        found = _seeds(corpus, name)
        if on_vms:
            reports.append(compare.compare(name, TARGETS[name].generator(found, seed), many))
        elif by_coverage:
            reports.append(guided.fuzz(name, many, most, seed, corpus))
        else:
            reports.append(fuzz(load(name), TARGETS[name].generator(found, seed), many, most, table.progress))
        table.progress(reports[-1])
        if corpus is not None:
            _keep(corpus / name, reports[-1].learned)
        if reports[-1].finding is not None:
            break
    click.echo(table.text(reports))
    if json_file is not None:
        json_file.write_text(json.dumps([report.as_json() for report in reports], indent=1) + "\n")
    for report in reports:
        if report.finding is not None:
            click.echo(table.account(report, seed))
            sys.exit(1)


def _there(name: str) -> bool:
    try:
        load(name)
    except ImportError as e:
        click.echo(f"{name} is left out: {e}", err=True)
        return False
    return True


def _again(names: "tuple[str, ...]") -> None:
    if len(names) != 1:
        raise click.UsageError("--again wants one target")
    click.echo(load(names[0]).run(bytes.fromhex(sys.stdin.read())))


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
