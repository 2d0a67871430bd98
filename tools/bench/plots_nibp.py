"""What one looks at of blood pressure: the envelope with the chosen points, or errors over a cohort."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tools.bench import plots_ecg
from tools.bench.nibp_people import GENERATORS, Person

if TYPE_CHECKING:
    from tools.bench.nibp import Measured

COLOURS = ("#0b6e99", "#e67e22")
INK = "#222222"


def add_option(parser: argparse.ArgumentParser) -> None:
    """--plot FILE: the envelope of a recording, or Bland–Altman of the cohort."""
    plots_ecg.add_option(parser)


def envelope(found: "Measured", path: Path) -> None:
    """Heights over cuff pressure, the artery that was fitted, and what was read from it."""
    figure, axes = plots_ecg.pyplot().subplots(figsize=(6.4, 3.6), layout="constrained")
    at = found.envelope
    if len(at):
        axes.plot(at[:, 0], at[:, 1], "o", ms=4, color=COLOURS[0], label="heights of beats, averaged")
        axes.plot(at[:, 0], at[:, 2], "-", color=COLOURS[1], label="fitted artery")
    if not found.refused:
        for name, value in (("SYS", found.sys), ("MAP", found.map), ("DIA", found.dia)):
            axes.axvline(value, color=INK, lw=0.8, ls=":")
            axes.annotate(f"{name} {value:.0f}", (value, 1.06), ha="center", annotation_clip=False)
    axes.set(xlabel="cuff pressure, mmHg", ylabel="height, by the greatest", ylim=(0, 1.15))
    axes.invert_xaxis()
    axes.legend(loc="lower center", frameon=False)
    plots_ecg.save(figure, path)


def bland_altman(people: "Sequence[Person]", found: "Sequence[Measured]", path: Path) -> None:
    """Difference over mean of measured and given, systolic and diastolic, in mmHg."""
    figure, both = plots_ecg.pyplot().subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axes, key, name in zip(both, ("sys", "dia"), ("systolic", "diastolic"), strict=True):
        differences: list[float] = []
        for colour, generator in zip(COLOURS, GENERATORS, strict=True):
            pairs = [
                (getattr(f, key), getattr(p.arm, f"{key}_mmhg"))
                for p, f in zip(people, found, strict=True)
                if not f.refused and p.traits["generator"] == generator
            ]
            measured, given = np.array(pairs).reshape(-1, 2).T
            axes.plot((measured + given) / 2, measured - given, ".", ms=4, color=colour, label=generator)
            differences += list(measured - given)
        mean, sd = float(np.mean(differences)), float(np.std(differences))
        for value in (mean, mean - 1.96 * sd, mean + 1.96 * sd):
            axes.axhline(value, color=INK, lw=0.8, ls=":")
        axes.set(title=f"{name}: {mean:+.1f} ± {sd:.1f} mmHg", xlabel="mean of measured and given, mmHg")
    both[0].set_ylabel("measured − given, mmHg")
    both[1].legend(frameon=False)
    plots_ecg.save(figure, path)
