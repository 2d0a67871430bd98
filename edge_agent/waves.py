"""Whether one wave frame goes on where another ended: by the node's clock, and what its sensor's may be off.

A frame names the nominal period of its samples; the sensor's own oscillator may be so much off it that a node
still follows it (firmware/sample_clock.py). Samples are missing where the frame says so, or where more time
went by than such an oscillator explains.
"""

PULL_DIVISOR = 20
"""An oscillator is off by a 20th of its nominal period at most (5 %)."""

JITTER_PERIODS = 2
"""Both moments are estimates: each is within a period."""


def joins(period_ns: int, samples: int, elapsed_us: int) -> bool:
    """Whether a block that begins `elapsed_us` after one of so many `samples` of the same channel, by the
    node's clock, is the next. A gap shorter than a 20th of that block and two samples is not seen by it.
    """
    length_ns = samples * period_ns
    return abs(elapsed_us * 1000 - length_ns) <= length_ns // PULL_DIVISOR + JITTER_PERIODS * period_ns
