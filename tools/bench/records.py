"""Which recordings a benchmark takes: those of a folder, or the named ones among them."""

import argparse
import shutil
import sys
from pathlib import Path

from boards.virtual.recording import data_dir
from boards.virtual.rig import RigError, find_micropython
from tools.bench.interpreter import interpreter


def add_options(parser: argparse.ArgumentParser, database: str = "mitdb") -> None:
    """`--db` and `--records`; without `--db`, the folder `database` of $VITALWIRE_DATA."""
    parser.add_argument(
        "--db", type=Path, metavar="DIR", help=f"folder of WFDB records; else $VITALWIRE_DATA/{database}"
    )
    parser.add_argument("--records", metavar="A,B", help="names, separated by commas; all if not given")
    parser.set_defaults(database=database)


def chosen(parser: argparse.ArgumentParser, options: argparse.Namespace) -> "list[Path]":
    """The records' paths without extension; ends the program (status 2) when there are none."""
    data = data_dir()
    if options.db is None and data is None:
        parser.error(f"no recordings: give --db DIR, or set VITALWIRE_DATA to what has {options.database}/")
    folder: Path = options.db or Path(data or "") / options.database
    names = options.records.split(",") if options.records else sorted(p.stem for p in folder.glob("*.hea"))
    if not names:
        parser.error(f"no records (.hea) in {folder}")
    for name in names:
        if not (folder / f"{name}.hea").is_file():
            parser.error(f"no record {name} in {folder}")
    return [folder / name for name in names]


def add_interpreter(parser: argparse.ArgumentParser) -> None:
    """`--interpreter`: micropython, cpython or a path."""
    parser.add_argument(
        "--interpreter",
        metavar="{micropython,cpython,PATH}",
        help="what runs the firmware's code; the MicroPython VM if there is one. Results are the same",
    )


def runs(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """The interpreter's path; ends the program (status 2) when there is none such."""
    asked: str | None = options.interpreter
    if asked is None:
        return interpreter()
    if asked == "cpython":
        return sys.executable
    try:
        found = find_micropython() if asked == "micropython" else shutil.which(asked)
    except RigError as e:
        parser.error(f"--interpreter {asked}: {e}")
    if found is None:
        parser.error(f"--interpreter {asked}: no such program")
    return found
