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


class Pressures(click.ParamType):
    """SYSTOLIC/DIASTOLIC in mmHg, as people say it: 128/82."""

    name = "SYS/DIA"

    def convert(
        self, value: Any, param: "click.Parameter | None", ctx: "click.Context | None"
    ) -> tuple[float, float]:
        """The two numbers; else as any bad parameter."""
        if isinstance(value, tuple):
            return value
        try:
            systolic, diastolic = (float(part) for part in str(value).split("/"))
        except ValueError:
            self.fail(f"{value!r} is not two pressures such as 128/82.", param, ctx)
        if not (LEAST_MMHG <= diastolic <= systolic - LEAST_PULSE_MMHG and systolic <= MOST_MMHG):
            self.fail(
                f"{value!r}: diastolic from {LEAST_MMHG} on, systolic up to {MOST_MMHG} and at least"
                f" {LEAST_PULSE_MMHG} above it.",
                param,
                ctx,
            )
        return systolic, diastolic


LEAST_MMHG, MOST_MMHG, LEAST_PULSE_MMHG = 30, 240, 10
PRESSURES = Pressures()
