"""Pictures of ECGs with what was found in them; SVG or PNG, as the file's name ends."""

import argparse
import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.extras import remedy
from tools import writable
from tools.bench.heartbeats import FS_HZ, LSB_NV, Detection, Recording

SUFFIXES = (".svg", ".png")
STRETCH_S = 10
ROWS = 3
OURS, MISSED, FALSE, INK = "#0b6e99", "#c0392b", "#e67e22", "#222222"


def add_option(parser: argparse.ArgumentParser) -> None:
    """--plot FILE, which is refused before the run where none can be drawn."""
    parser.add_argument("--plot", type=_file, metavar="FILE", help="draw the worst stretch (.svg or .png)")


def _file(text: str) -> Path:
    path = Path(text)
    why = writable.why_not(path)
    if path.suffix not in SUFFIXES:
        why = f"{text}: a picture's name ends in .svg or .png"
    elif importlib.util.find_spec("matplotlib") is None:
        why = f"pictures need matplotlib: {remedy('bench')}"
    if why is not None:
        raise argparse.ArgumentTypeError(why)
    return path


def pyplot() -> Any:
    """matplotlib's pyplot, drawing to files, with small SVGs of steady ids."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "vitalwire", "font.size": 8, "path.simplify_threshold": 0.3})
    return importlib.import_module("matplotlib.pyplot")


def save(figure: Any, path: Path) -> None:
    """Write and close it."""
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot().close(figure)


def worst(errors_s: Sequence[float], duration_s: float) -> float:
    """Where the stretch of STRETCH_S with the most errors begins; 20 s where there are none."""
    if not errors_s:
        return max(0.0, min(20.0, duration_s - STRETCH_S))
    at = np.array(sorted(errors_s))
    counts = np.searchsorted(at, at + STRETCH_S - 2) - np.arange(len(at))
    first = float(at[int(np.argmax(counts))])
    return max(0.0, min(first - 1, duration_s - STRETCH_S))


def worst_stretch(path: Path, pictures: Sequence[tuple[Recording, Detection, dict[str, Any]]]) -> None:
    """Draw the worst ten seconds of each of the three records with the most errors."""
    ranked = sorted(pictures, key=lambda p: -(p[2]["fn"] + p[2]["fp"]))[:ROWS]
    plots = pyplot()
    figure, rows = plots.subplots(len(ranked), 1, figsize=(9, 2.1 * len(ranked)), squeeze=False)
    for axes, (recording, found, row) in zip(rows[:, 0], ranked, strict=True):
        _stretch(axes, recording, found, row)
    figure.tight_layout()
    save(figure, path)


def _stretch(axes: Any, recording: Recording, found: Detection, row: dict[str, Any]) -> None:
    start = worst([*row["missed_s"], *row["false_s"]], recording.duration_s)
    low, high = round(start * FS_HZ), round((start + STRETCH_S) * FS_HZ)
    wave = recording.samples[low:high].astype(float) * LSB_NV / 1e6
    t = np.arange(low, low + len(wave)) / FS_HZ
    axes.plot(t, wave, color=INK, linewidth=0.7)
    top, bottom = float(wave.max()), float(wave.min())
    above = top + 0.06 * (top - bottom)
    wrong = set(row["false_s"])

    def inside(times: Sequence[float]) -> list[float]:
        return [s for s in times if start <= s < start + STRETCH_S]

    right = [s for s in inside(found.beats) if round(s, 2) not in wrong]
    for times, marker, colour, what in (
        (right, "v", OURS, "found"),
        (inside(row["missed_s"]), "x", MISSED, "missed"),
        (inside(row["false_s"]), "^", FALSE, "false"),
    ):
        axes.plot(times, [above] * len(times), marker, color=colour, markersize=5, label=what)
    axes.set_ylabel("mV")
    axes.set_title(
        f"{recording.name}: {row['fn']} missed, {row['fp']} false of {row['tp'] + row['fn']}", fontsize=8
    )
    axes.set_xlim(start, start + STRETCH_S)
    axes.set_ylim(bottom - 0.05 * (top - bottom), above + 0.1 * (top - bottom))
    axes.legend(loc="lower right", ncols=3, frameon=False, fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)


@dataclass(frozen=True)
class Strip:
    """Samples of a generated ECG and the beats found in it, in seconds."""

    group: str
    title: str
    samples: np.ndarray
    beats: Sequence[float]
    passed: bool


def strips(path: Path, drawn: Sequence[Strip]) -> None:
    """Draw five seconds of each, around the middle; at most a dozen, those that failed first."""
    chosen = sorted(drawn, key=lambda strip: strip.passed)[:12]
    plots = pyplot()
    figure, rows = plots.subplots(len(chosen), 1, figsize=(9, 1.3 * len(chosen)), squeeze=False)
    for axes, strip in zip(rows[:, 0], chosen, strict=True):
        low = max(0, len(strip.samples) // 2 - 5 * FS_HZ // 2)
        wave = strip.samples[low : low + 5 * FS_HZ].astype(float) * LSB_NV / 1e6
        t = np.arange(low, low + len(wave)) / FS_HZ
        axes.plot(t, wave, color=INK, linewidth=0.7)
        beats = [s for s in strip.beats if t[0] <= s <= t[-1]]
        axes.plot(beats, [float(wave.max())] * len(beats), "v", color=OURS, markersize=4)
        axes.set_title(strip.title, fontsize=7, color=INK if strip.passed else MISSED)
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    save(figure, path)
