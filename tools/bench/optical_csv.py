"""A recording of red and infrared light in a CSV file, made into what the node's sensor would count."""

import csv
import math
from pathlib import Path

import numpy as np

from tools.bench.pulses import FS_HZ, FULL_SCALE, Trace, counts

Array = np.ndarray

SLOWEST_HZ, FASTEST_HZ = 25.0, 100_000.0
SHORTEST_S = 5.0
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
    rows = _rows(path)
    first, at = _columns(rows, columns, path)
    if first >= len(rows):
        raise BadRecording(f"{path}: no row of numbers in columns {','.join(columns)}")
    red, ir = (_numbers(rows, first, column, path) for column in at[:2])
    if len(red) < SHORTEST_S * fs_hz:
        raise BadRecording(f"{path}: {len(red) / fs_hz:.1f} s; {SHORTEST_S:g} s are the least")
    seconds = int(len(red) / fs_hz)
    reference: list[float | None] = [None] * seconds
    if len(at) == 3:
        for s in range(seconds):
            reference[s] = _reference(rows, first, at[2], int((s + 1) * fs_hz) - 1, int(fs_hz))
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
    sample = text[:4000]
    marks = {mark: sample.count(mark) for mark in (",", ";", "\t")}
    mark = max(marks, key=lambda m: marks[m])
    lines = [line for line in text.splitlines() if line.strip()]
    if marks[mark] == 0:
        return [line.split() for line in lines]
    return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark)]


def _columns(rows: "list[list[str]]", columns: "list[str]", path: Path) -> "tuple[int, list[int]]":
    """(the first row of numbers, the places of the columns)."""
    names = [c.strip() for c in columns]
    after = 0
    if all(name.isdigit() for name in names):
        at = [int(name) for name in names]
    else:
        for k, row in enumerate(rows[:HEADER_ROWS]):
            if all(name in row or name.isdigit() for name in names):
                at = [int(n) if n.isdigit() and n not in row else row.index(n) for n in names]
                after = k + 1
                break
        else:
            known = ", ".join(rows[0][:20]) if rows else "nothing"
            raise BadRecording(f"{path} has no columns {','.join(names)}; its first row holds {known}")
    for k in range(after, min(len(rows), after + HEADER_ROWS)):
        if all(not math.isnan(_number(rows[k], column)) for column in at[:2]):
            return k, at
    return len(rows), at


def _number(row: "list[str]", column: int) -> float:
    try:
        value = float(row[column])
    except (IndexError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def _numbers(rows: "list[list[str]]", first: int, column: int, path: Path) -> Array:
    values = np.array([_number(row, column) for row in rows[first:]])
    if math.isnan(values[-1]):
        values = values[:-1]  # a file that was cut within its last row
    wrong = np.isnan(values)
    if wrong.any():
        row = first + int(np.argmax(wrong)) + 1
        raise BadRecording(
            f"{path}: no number in column {column} of row {row} ({int(wrong.sum())} such rows)"
        )
    return values


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
