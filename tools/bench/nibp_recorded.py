"""A recorded deflation: a file of columns, made into the samples that a node takes."""

import re
from pathlib import Path

import numpy as np

FS_HZ = 100
LEAST_HZ = 50
LEAST_S = 5
HIGHEST_MMHG = 350
TAPS = 32  # of the interpolator, on each side, in samples of the slower rate


class DeflationError(Exception):
    """A file that holds no deflation: `path`, and why."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")


def scale(text: str) -> "tuple[float, float]":
    """The type of a --scale: "a,b" for mmHg = a * volts + b. Raises ValueError."""
    a, b = (float(part) for part in text.split(","))
    if not np.isfinite([a, b]).all() or a == 0:
        raise ValueError
    return a, b


def load(path: Path, fs_hz: float, mmhg: "tuple[float, float]") -> np.ndarray:
    """Pressure in mmHg, 100 a second, from the columns time and volts of a file of `fs_hz` lines a second.

    Columns are parted by commas, semicolons, tabs or blanks; lines before the first of numbers are a header;
    further columns are not read. Raises DeflationError.
    """
    if not LEAST_HZ <= fs_hz <= 1e6:
        raise DeflationError(path, f"--fs must lie between {LEAST_HZ} and 1000000, not {fs_hz:g}")
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as e:
        raise DeflationError(path, e.strerror or "it cannot be read") from None
    values: list[float] = []
    for number, line in enumerate(lines, 1):
        fields = [part for part in re.split(r"[,;\s]+", line.strip()) if part]
        if not fields:
            continue
        try:
            value = float(fields[1]) if float(fields[0]) is not None else 0.0
        except (ValueError, IndexError):
            if values:
                raise DeflationError(path, f"line {number} has no two numbers: {line[:40]!r}") from None
            continue
        if not np.isfinite(value):
            raise DeflationError(path, f"line {number} has no finite number: {line[:40]!r}")
        values.append(value)
    if len(values) < LEAST_S * fs_hz:
        raise DeflationError(
            path, f"{len(values)} lines of numbers are less than {LEAST_S} s at {fs_hz:g} Hz"
        )
    pressure = np.array(values) * mmhg[0] + mmhg[1]
    if np.median(pressure) > HIGHEST_MMHG or pressure.max() < -HIGHEST_MMHG:
        raise DeflationError(path, f"{np.median(pressure):.0f} mmHg is no cuff's pressure: see --scale")
    return resampled(pressure, fs_hz)


def resampled(values: np.ndarray, fs_hz: float) -> np.ndarray:
    """The same at 100 a second: a windowed sinc, which lets nothing pass above half the slower rate."""
    if fs_hz == FS_HZ:
        return values
    slower = min(fs_hz, FS_HZ)
    reach = int(np.ceil(TAPS * fs_hz / slower))
    padded = np.pad(values, reach, mode="edge")
    at = np.arange(int(len(values) * FS_HZ / fs_hz)) * fs_hz / FS_HZ
    whole = at.astype(int)
    offsets = np.arange(-reach + 1, reach + 1)
    out = np.empty(len(at))
    for begin in range(0, len(at), 512):
        part = slice(begin, begin + 512)
        distance = (whole[part, None] + offsets - at[part, None]) * slower / fs_hz
        weight = np.sinc(0.9 * distance) * np.cos(np.pi * distance / (2 * TAPS + 2)) ** 2
        out[part] = (padded[whole[part, None] + offsets + reach] * weight).sum(1) / weight.sum(1)
    return out


def falling(pressure: np.ndarray) -> np.ndarray:
    """From the highest pressure on: where whoever pumped let go."""
    smooth = np.convolve(pressure, np.ones(11) / 11, "same")
    return pressure[int(np.argmax(smooth)) :]
