"""Bland-Altman plot of oximetry (Bland and Altman, Lancet 1986): each reading's error over its size."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SOME = 4000  # points of a group that are drawn


def bland_altman(path: Path, groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw rows with `truth` and `errors` (points of SpO2), a colour a group, to `path` (PNG, SVG, PDF)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8.5, 4.8), layout="constrained")
    every = []
    for name, rows in groups.items():
        pairs = [(row["truth"], row["errors"]) for row in rows if "errors" in row]
        if not pairs:
            continue
        truth = np.concatenate([pair[0] for pair in pairs])
        errors = np.concatenate([pair[1] for pair in pairs])
        every.append(errors)
        step = max(1, len(errors) // SOME)
        label = f"{name} (n {len(errors)}, Arms {np.sqrt((errors**2).mean()):.2f})"
        axes.plot(
            (truth + errors / 2)[::step],
            errors[::step],
            ".",
            markersize=2.5,
            alpha=0.6,
            label=label,
            rasterized=True,
        )
    if every:
        errors = np.concatenate(every)
        bias, spread = errors.mean(), 1.96 * errors.std()
        for level, style in ((bias, "-"), (bias - spread, "--"), (bias + spread, "--")):
            axes.axhline(level, color="black", linewidth=0.8, linestyle=style)
        axes.legend(
            fontsize=6.5, loc="upper left", bbox_to_anchor=(0, -0.12), ncols=1, frameon=False, markerscale=3
        )
    axes.set_xlabel("mean of what was put in and what was read, % SpO2")
    axes.set_ylabel("read minus put in, points")
    axes.set_title("Numerical error of the signal processing (not accuracy on people)", fontsize=9)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
