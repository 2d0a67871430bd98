"""What a file says in words: events, readings, gaps and doubts, within what each format can hold."""

from tools.collector.export_grid import Grid, position_us
from tools.collector.export_read import Event, Recording, Value

EDF_BYTES, WFDB_BYTES = 40, 255
"""Of one annotation: what edflib writes, and what a byte that counts them can say. Both cut silently."""

_GOES_ON = "... "
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")

Note = tuple[int, int, str]
"""(onset, duration, text), us from the file's beginning."""


def notes(recording: Recording, of: Grid) -> list[Note]:
    """Events, readings, gaps and samples to be questioned, in order."""
    found = [(one.unix_us - of.begin_us, 0, _happened(one)) for one in recording.events]
    found += [(one.unix_us - of.begin_us, 0, _reading(one)) for one in recording.values]
    for placed in of.signals:
        label = placed.signal.label
        for at, count in placed.gaps(of.blocks):
            found.append((position_us(placed, at), round(count * placed.period_us), f"no {label}"))
        for at, marked in placed.marked():
            length_us = round(marked.count * placed.period_us)
            found.append((position_us(placed, at), length_us, f"{label}: {marked.what}"))
    return sorted(found)


def expected(recording: Recording) -> int:
    """How many annotations there will be, at most, before one is split."""
    signals = sum(len(one.runs) + 1 + len(one.marked) for one in recording.signals)
    return len(recording.events) + len(recording.values) + signals


def pieces(text: str, most: int, encoding: str) -> list[str]:
    """A text in pieces of so many bytes at most, in which no character ends a field: such, and what the
    encoding lacks, is escaped as in Python (\\n, \\u2013, and \\\\ for the backslash).
    """
    out, size, piece = list[str](), 0, ""
    for one in text:
        shown = _escaped(one, encoding)
        length = len(shown.encode(encoding))
        if size + length > most:
            out.append(piece)
            piece, size = _GOES_ON, len(_GOES_ON)
        piece, size = piece + shown, size + length
    return [*out, piece]


def _escaped(one: str, encoding: str) -> str:
    try:
        one.encode(encoding)
        good = one.isprintable() and one != "\\"
    except UnicodeEncodeError:
        good = False
    return one if good else one.encode("unicode_escape").decode("ascii")


def cell(text: str) -> str:
    """A text as a table's cell: what a spreadsheet would take for a formula begins with an apostrophe."""
    return "'" + text if text.startswith(_FORMULA) else text


def exact(value: int, exponent: int) -> str:
    """value x 10^exponent, with as many decimals as it has."""
    if exponent >= 0:
        return str(value * 10**exponent)
    sign, digits = "-" if value < 0 else "", str(abs(value)).zfill(1 - exponent)
    return f"{sign}{digits[:exponent]}.{digits[exponent:]}"


def _happened(one: Event) -> str:
    return one.what + (f": {one.text}" if one.text else "") + _aside(one.source)


def _reading(one: Value) -> str:
    return f"{one.name} {exact(one.value, one.exponent)}" + _aside(one.doubt, one.source)


def _aside(*words: str) -> str:
    said = "; ".join(word for word in words if word)
    return f" ({said})" if said else ""
