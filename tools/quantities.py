"""The table of quantities in docs/wire-protocol.md §13, from protocol/nomenclature.py.

python -m tools.quantities          write it
python -m tools.quantities --check  exit with 1 if it would change
"""

import argparse
import sys
from pathlib import Path

from protocol import nomenclature
from protocol.frame_names import KIND_NAMES
from protocol.nomenclature import Quantity

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "wire-protocol.md"
BEGIN = "<!-- made by python -m tools.quantities -->\n"
END = "<!-- to here -->\n"

_HEAD = (
    "| number | quantity | name | where | scale | on the wire | UCUM | MDC | LOINC |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


def table() -> str:
    """The table in Markdown."""
    return _HEAD + "".join(_row(quantity) for quantity in nomenclature.QUANTITIES)


def written(document: str) -> str:
    """The document with its table made anew; ValueError when it has no place for one."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{DOCUMENT.name} has no place for the table of quantities")
    return before + BEGIN + table() + END + after


def _row(quantity: Quantity) -> str:
    wide = "–" if quantity.least is None else f"{quantity.least} to {quantity.most}"
    cells = (
        str(quantity.number),
        quantity.what,
        f"`{quantity.name}`",
        _where(quantity),
        _scale(quantity),
        wide,
        f"`{quantity.ucum}`",
        str(quantity.mdc or "–"),
        ", ".join(quantity.loinc) or "–",
    )
    return f"| {' | '.join(cells)} |\n"


def _where(quantity: Quantity) -> str:
    if not quantity.kind:
        return "–"
    kind = KIND_NAMES[quantity.kind]
    if quantity.channel != nomenclature.ANY:
        return f"{kind}, channel {quantity.channel}"
    return f"{kind} {quantity.key}"


def _scale(quantity: Quantity) -> str:
    unit = quantity.unit or "1"
    if quantity.channel != nomenclature.ANY:
        return f"LSB · 10^{quantity.exponent} {unit}" if quantity.exponent else f"LSB · {unit}"
    return f"{10**quantity.exponent:g} {unit}"


def main() -> int:
    """Write the table; the exit status: 1 when --check finds that it would change."""
    parser = argparse.ArgumentParser(description="Write the table of quantities into docs/wire-protocol.md.")
    parser.add_argument("--check", action="store_true", help="only say whether it would change")
    check = parser.parse_args().check
    document = DOCUMENT.read_text("utf-8")
    new = written(document)
    if new != document and not check:
        DOCUMENT.write_text(new, "utf-8")
    return 1 if check and new != document else 0


if __name__ == "__main__":
    sys.exit(main())
