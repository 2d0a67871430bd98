"""The grid of a file in which every channel has one rate from its beginning to its end (EDF+, WFDB).

A rate there is a whole number of samples in each block, and the block's length is in steps of 10 us. Where a
sensor's own rate is not its nominal one, the length is chosen so that all channels' true rates are in it.
"""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np

from tools.collector.export_signal import Marked, Signal

MAX_BLOCK_S = 60
"""Of an EDF data record, a WFDB frame."""

STEP_US = 10
MAX_AWAY_US = 5_000
"""How far the length of a block may move a sample in the whole of a recording, where there is a choice."""


class GridError(Exception):
    """The rates fit no block. The text says which."""


class Placed(NamedTuple):
    """A signal on a grid. `each`: samples in a block; `at`: position of each run; `worst_us`: how far a block
    of samples stands from its time, at most.
    """

    signal: Signal
    each: int
    period_us: float
    at: list[int]
    worst_us: int

    @property
    def end(self) -> int:
        """The position after the last sample."""
        return self.at[-1] + self.signal.runs[-1].count

    def part(self, low: int, high: int, filler: int) -> "np.ndarray":
        """The samples at positions `low` to before `high`, where there is none the filler."""
        found = np.full(high - low, filler, np.int32)
        samples = np.frombuffer(self.signal.samples, np.int32)
        for run, at in zip(self.signal.runs, self.at, strict=True):
            begin, end = max(at, low), min(at + run.count, high)
            if begin < end:
                first = run.first - at
                found[begin - low : end - low] = samples[first + begin : first + end]
        return found

    def gaps(self, blocks: int) -> list[tuple[int, int]]:
        """(position, number of samples) of each gap; before and after all samples, if it is a second."""
        second = 1e6 / self.period_us
        found = [(0, self.at[0])] if self.at[0] > second else []
        for run, at, after in zip(self.signal.runs, self.at, self.at[1:], strict=False):
            found.append((at + run.count, after - at - run.count))
        rest = blocks * self.each - self.end
        return [*found, (self.end, rest)] if rest > max(second, self.each) else found

    def marked(self) -> list[tuple[int, Marked]]:
        """(position, samples) of those to be questioned."""
        firsts = [run.first for run in self.signal.runs]
        found: list[tuple[int, Marked]] = []
        for one in self.signal.marked:
            n = int(np.searchsorted(firsts, one.first, "right")) - 1
            found.append((self.at[n] + one.first - firsts[n], one))
        return found


class Grid(NamedTuple):
    """`begin_us`: Unix, on a whole second."""

    begin_us: int
    block_us: int
    blocks: int
    signals: list[Placed]


def grid(signals: Sequence[Signal], begin_us: int, end_us: int, notes: int, notes_a_block: int) -> Grid:
    """These signals on one grid. `notes`: how many annotations have to find room in the file."""
    begin_us -= begin_us % 1_000_000
    periods = [one.period_us for one in signals]
    length_us = max(1, end_us - begin_us)
    room_us = length_us * notes_a_block // max(1, notes)
    if all(one.period_ns == period * 1000 for one, period in zip(signals, periods, strict=True)):
        block_us = _whole_seconds(signals)
    else:
        block_us = _any_length(periods, length_us, min(MAX_BLOCK_S * 1_000_000, max(1_000_000, room_us)))
    placed = [_place(one, begin_us, block_us, period) for one, period in zip(signals, periods, strict=True)]
    # A signal reaches beyond its end by the clock where its blocks had to make room for each other.
    blocks = [ceil(one.end / one.each) for one in placed]
    return Grid(
        begin_us, block_us, max(1, ceil(length_us / block_us), ceil(notes / notes_a_block), *blocks), placed
    )


def _whole_seconds(signals: Sequence[Signal]) -> int:
    for block_s in range(1, MAX_BLOCK_S + 1):
        # As nearly as a period in whole ns can say.
        counts = [round(block_s * 10**9 / one.period_ns) for one in signals]
        away = [abs(n * one.period_ns - block_s * 10**9) for n, one in zip(counts, signals, strict=True)]
        if all(off <= n for off, n in zip(away, counts, strict=True)):
            return block_s * 1_000_000
    rates = ", ".join(f"{one.label}: {one.period_ns} ns" for one in signals)
    raise GridError(f"no {MAX_BLOCK_S} s or less hold a whole number of samples ({rates}): export as csv")


def _any_length(periods: list[float], length_us: int, most_us: int) -> int:
    """The shortest block that moves no sample by more than MAX_AWAY_US, else that which moves them least."""
    fastest, slowest = min(periods), max(periods)
    low = max(1_000_000.0, slowest)
    if low > MAX_BLOCK_S * 1_000_000:
        raise GridError(
            f"a sample every {slowest / 1e6:.0f} s fits no block of {MAX_BLOCK_S} s: export as csv"
        )
    counts = np.arange(ceil(low / fastest), max(ceil(low / fastest), int(most_us / fastest)) + 1)
    blocks = np.rint(counts * fastest / STEP_US).astype(np.int64) * STEP_US
    away = np.zeros(len(blocks))
    for period in periods:
        each = np.maximum(1, np.rint(blocks / period))
        away = np.maximum(away, np.abs(blocks / each - period) / period * length_us)
    good = np.flatnonzero(away <= MAX_AWAY_US)
    return int(blocks[good[0] if len(good) else int(away.argmin())])


def _place(signal: Signal, begin_us: int, block_us: int, period_us: float) -> Placed:
    each = max(1, round(block_us / period_us))
    on_file_us = block_us / each
    at: list[int] = []
    worst, end = 0.0, 0
    for run, firsts, times in signal.blocks():
        end = max(end, round((run.unix_us - begin_us) / on_file_us))
        at.append(end)
        stands = begin_us + (end + firsts - run.first) * on_file_us
        worst = max(worst, float(np.abs(stands - times).max()))
        end += run.count
    return Placed(signal, each, on_file_us, at, ceil(worst))


def position_us(placed: Placed, at: int) -> int:
    """When that position is, since the file's beginning."""
    return round(at * placed.period_us)
