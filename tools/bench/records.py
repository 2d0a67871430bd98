"""Which recordings a benchmark takes: those of a folder, or the named ones among them."""

import argparse
from pathlib import Path

from boards.virtual.recording import data_dir


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
