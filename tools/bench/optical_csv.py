"""A recording of red and infrared light in a CSV file, made into what the node's sensor would count."""

import csv
import math
from pathlib import Path

import numpy as np

from tools.bench.pulses import FS_HZ, FULL_SCALE, Trace, counts

Array = np.ndarray

SLOWEST_HZ, FASTEST_HZ = 25.0, 100_000.0
SHORTEST_S = 5.0
MISSING = ("", "nan", "na", "n/a", "null", "none", "-")
BRIDGED_S = 0.05
HEADER_ROWS = 60  # instruments write facts before the names
SCALED_TO = 131_072  # counts: where the brightest of what must be scaled comes to
FINGER = 30_000
ZEROS = 16  # of the sinc, on each side
PASS = 0.45  # of the lower of both rates
CHUNK = 4096


class BadRecording(Exception):
    """A file that cannot be scored; the text says where and why."""


def load(path: Path, fs_hz: float, columns: "list[str]") -> "tuple[Trace, list[float | None]]":
    """(what the sensor counts, 100 a second; the reference at the end of each second, None without one).

    columns: red, infrared and perhaps a reference, each a name or a number from 0. Raises BadRecording.
    """
    if not SLOWEST_HZ <= fs_hz <= FASTEST_HZ:
        raise BadRecording(f"--fs {fs_hz:g}: a recording needs {SLOWEST_HZ:g} samples a second or more")
    if len(columns) not in (2, 3):
        raise BadRecording("--columns takes red,ir or red,ir,ref")
    _in_order(columns[0].strip().lower(), columns[1].strip().lower())
    rows = _rows(path)
    first, at = _columns(rows, columns, path)
    if first >= len(rows):
        raise BadRecording(f"{path}: no row of numbers in columns {','.join(columns)}")
    both = [_numbers(rows, first, column, path) for column in at[:2]]
    red, ir = _whole(both[0], both[1], fs_hz, path)
    if len(red) < SHORTEST_S * fs_hz:
        raise BadRecording(f"{path}: {len(red) / fs_hz:.1f} s; {SHORTEST_S:g} s are the least")
    seconds = int(len(red) / fs_hz)
    reference: list[float | None] = [None] * seconds
    if len(at) == 3:
        for s in range(seconds):
            reference[s] = _reference(rows, first, at[2], int((s + 1) * fs_hz) - 1, int(fs_hz))
    if 0 < max((r for r in reference if r is not None), default=0.0) <= 1:
        raise BadRecording(f"{path}: a reference of 1 at most; it is to be in %")
    pair = [
        counts(resampled(_scaled(x, name, path), fs_hz)[: seconds * FS_HZ])
        for x, name in ((red, "red"), (ir, "ir"))
    ]
    return Trace(pair[0], pair[1], np.array([r or 0.0 for r in reference])), reference


def _rows(path: Path) -> "list[list[str]]":
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise BadRecording(f"{path} cannot be read as text: {e}") from None
    lines = [line for line in text.splitlines() if line.strip()]
    some = lines[-HEADER_ROWS:]
    for mark in (";", "\t", ","):  # a comma may also be a decimal one
        if 2 * sum(mark in line for line in some) > len(some):
            reader = csv.reader(lines, delimiter=mark, skipinitialspace=True)
            rows = [[cell.strip() for cell in row] for row in reader]
            return rows if mark == "," else [[_decimal(cell) for cell in row] for row in rows]
    return [line.split() for line in lines]


def _decimal(cell: str) -> str:
    point = cell.replace(",", ".")
    return cell if math.isnan(_number([point], 0)) else point


def _in_order(red: str, ir: str) -> None:
    if red == ir:
        raise BadRecording(f"--columns {red},{ir}: both colours are the same column")
    if (red.startswith("ir") or "infra" in red) and "red" in ir and "infra" not in ir:
        raise BadRecording(f"--columns {red},{ir}: red comes first, then infrared")


def _columns(rows: "list[list[str]]", columns: "list[str]", path: Path) -> "tuple[int, list[int]]":
    """(the first row of numbers, the places of the columns)."""
    names = [c.strip() for c in columns]
    after = 0
    if all(name.isdigit() for name in names):
        at = [int(name) for name in names]
    else:
        for k, row in enumerate(rows[:HEADER_ROWS]):
            plain = [cell.lower() for cell in row]
            found = [_place(name, row, plain) for name in names]
            if None not in found:
                at = [place for place in found if place is not None]
                after = k + 1
                break
        else:
            known = ", ".join(rows[0][:20]) if rows else "nothing"
            raise BadRecording(f"{path} has no columns {','.join(names)}; its first row holds {known}")
    for k in range(after, min(len(rows), after + HEADER_ROWS)):
        if all(not math.isnan(_number(rows[k], column)) for column in at[:2]):
            return k, at
    return len(rows), at


def _place(name: str, row: "list[str]", plain: "list[str]") -> "int | None":
    """Where a column is, by its name as it is written, or but for capitals, or by its number."""
    if name in row:
        return row.index(name)
    if name.lower() in plain:
        return plain.index(name.lower())
    return int(name) if name.isdigit() else None


def _number(row: "list[str]", column: int) -> float:
    try:
        value = float(row[column])
    except (IndexError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def _numbers(rows: "list[list[str]]", first: int, column: int, path: Path) -> Array:
    values = np.array([_number(row, column) for row in rows[first:]])
    cut = math.isnan(values[-1])  # a file that was cut within its last row
    for k in np.flatnonzero(np.isnan(values[:-1] if cut else values)):
        row = rows[first + int(k)]
        if column < len(row) and row[column].lower() not in MISSING:
            raise BadRecording(f"{path}: no number in column {column} of row {first + int(k) + 1}")
    return values


def _whole(red: Array, ir: Array, fs_hz: float, path: Path) -> "tuple[Array, Array]":
    """Both without what is missing: a line over BRIDGED_S at most; darkness beyond, so that the chain begins
    anew.
    """
    gone = np.isnan(red) | np.isnan(ir)
    if gone[-1]:
        red, ir, gone = red[:-1], ir[:-1], gone[:-1]
    if 2 * gone.sum() > len(gone):
        raise BadRecording(f"{path}: {int(gone.sum())} of {len(gone)} rows hold no sample")
    edges = np.flatnonzero(np.diff(np.concatenate([[0], gone.astype(int), [0]])))
    there = np.flatnonzero(~gone)
    for values in (red, ir):
        values[gone] = np.interp(np.flatnonzero(gone), there, values[there])
        for begin, end in edges.reshape(-1, 2):
            if end - begin > BRIDGED_S * fs_hz:
                values[begin:end] = 0
    return red, ir


def _reference(rows: "list[list[str]]", first: int, column: int, k: int, back: int) -> "float | None":
    """The newest reference up to sample `k`, if there is one within `back` samples."""
    for at in range(k, max(-1, k - back), -1):
        value = _number(rows[first + at], column) if first + at < len(rows) else math.nan
        if not math.isnan(value) and value > 0:
            return value
    return None


def _scaled(values: Array, name: str, path: Path) -> Array:
    """As counts of 18 bits, AC by DC kept: unchanged if they can be such counts, else by one factor."""
    if values.min() < 0 or np.median(values) <= 0:
        raise BadRecording(f"{path}: {name} is not light: values below 0 (is its DC taken off?)")
    if np.ptp(values) == 0:
        raise BadRecording(f"{path}: {name} never changes")
    whole = bool(np.all(values == np.round(values)))
    if whole and values.max() <= FULL_SCALE and np.median(values) >= FINGER:
        return values
    return values * (SCALED_TO / float(np.percentile(values, 99.9)))


def resampled(values: Array, fs_hz: float) -> Array:
    """At 100 a second: a windowed sinc that passes 0.45 of the lower rate, its gain at 0 exactly 1."""
    if fs_hz == FS_HZ:
        return values
    low = min(fs_hz, FS_HZ)
    half = math.ceil(ZEROS * fs_hz / low)
    out = np.empty(int(len(values) * FS_HZ / fs_hz + 1e-6))
    reach = np.arange(-half, half + 1)
    for begin in range(0, len(out), CHUNK):
        at = np.arange(begin, min(begin + CHUNK, len(out))) * (fs_hz / FS_HZ)
        near = np.round(at).astype(int)
        index = near[:, None] + reach
        apart = index - at[:, None]
        weight = np.sinc(2 * PASS * low / fs_hz * apart) * np.cos(
            np.pi / 2 * np.clip(apart / (half + 0.5), -1, 1)
        )
        weight /= weight.sum(axis=1, keepdims=True)
        out[begin : begin + len(at)] = (values[index.clip(0, len(values) - 1)] * weight).sum(axis=1)
    return out
