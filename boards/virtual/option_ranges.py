"""Numbers on a command line that are finite, and in the range their option has a use for."""

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A click.FloatRange that refuses NaN and infinities, which bounds alone do not."""

    def convert(self, value: Any, param: "click.Parameter | None", ctx: "click.Context | None") -> float:
        """The number; else as any bad parameter: usage, and status 2."""
        try:
            finite = math.isfinite(float(value))
        except (ValueError, TypeError):
            finite = True  # not a number at all, which click has words for
        if not finite:
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return super().convert(value, param, ctx)


HEART_RATE = FiniteRange(20, 300)
"""Beats a minute of a synthetic patient."""
SATURATION = FiniteRange(50, 100)
"""SpO2, in %."""
SPEED = FiniteRange(0.1, 100)
"""Times faster than the wall."""
