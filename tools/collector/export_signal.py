"""One channel of a recording: its samples, when each block of them was measured, and at which true rate.

A sensor's own oscillator decides when it samples; a frame names its nominal period and the moment of its
first sample. So samples that follow each other without a gap stay together, and their times are those of
their blocks, never their number times the nominal period.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from edge_agent.waves import joins
from protocol import frames
from protocol.frame_names import CHANNEL_NAMES

MAX_OFF_US = 50_000
"""A recording ends where its blocks' times lie no longer so near to one line, one rate for all of it."""

PIECE = 1 << 16
"""Samples whose times are in memory at once."""


class Run(NamedTuple):
    """Samples without a gap. `first`: index in the signal's samples; `unix_us`: when that was measured;
    `seq`: the number of its frame, None where that is not to be said.
    """

    first: int
    count: int
    unix_us: int
    seq: int | None


class Marked(NamedTuple):
    """Samples that are to be questioned, within a run. `what`: in words."""

    first: int
    count: int
    what: str


@dataclass
class Signal:
    """Samples of all runs, one after the other. `source`: "" of a body, else what made them up."""

    channel: int
    period_ns: int
    lsb: int
    source: str
    runs: list[Run] = field(default_factory=list[Run])
    samples: "array[int]" = field(default_factory=lambda: array("i"))
    marked: list[Marked] = field(default_factory=list[Marked])
    _blocks: "array[int]" = field(default_factory=lambda: array("q"))
    _times: "array[int]" = field(default_factory=lambda: array("q"))
    _node_us: int = 0
    _slowest: float = 0.0
    _fastest: float = float("inf")
    _bound_us: int = 0

    @property
    def label(self) -> str:
        """For people; says so when no body was measured."""
        name = CHANNEL_NAMES.get(self.channel, f"channel {self.channel}")
        return f"{name} ({self.source})" if self.source else name

    @property
    def unit(self) -> str:
        """What `lsb` counts, times 10^-3."""
        return {frames.CH_ECG: "uV", frames.CH_CUFF: "kPa"}.get(self.channel, "nA")

    @property
    def begin_us(self) -> int:
        """When the first sample was measured."""
        return self.runs[0].unix_us

    @property
    def end_us(self) -> int:
        """When the sample after the last would be."""
        return round(self._times[-1] + (len(self.samples) - self._blocks[-1]) * self.period_us)

    def add(
        self, t_us: int, unix_us: int, bound_us: int, seq: int, samples: "array[int]", whole: bool, what: str
    ) -> bool:
        """The next block; False: no one rate has it and all before it where they belong, and nothing is
        added. `t_us`: the node's time; `whole`: the frame says that nothing is missing before it; `what`:
        why it is to be questioned.
        """
        follows = bool(self.runs) and whole
        follows = follows and joins(
            self.period_ns, len(self.samples) - self._blocks[-1], t_us - self._node_us
        )
        if follows and not self._narrow(unix_us, bound_us):
            return False
        first = len(self.samples)
        if follows:
            self.runs[-1] = self.runs[-1]._replace(count=self.runs[-1].count + len(samples))
        else:
            self.runs.append(Run(first, len(samples), unix_us, seq))
            self._bound_us = bound_us
        self._mark(first, len(samples), what, follows)
        self._blocks.append(first)
        self._times.append(unix_us)
        self._node_us = t_us
        self.samples.extend(samples)
        return True

    def _narrow(self, unix_us: int, bound_us: int) -> bool:
        run = self.runs[-1]
        n, away = len(self.samples) - run.first, unix_us - run.unix_us
        slack = MAX_OFF_US + self._bound_us + bound_us
        low, high = max(self._slowest, (away - slack) / n), min(self._fastest, (away + slack) / n)
        if low > high:
            return False
        self._slowest, self._fastest = low, high
        return True

    def _mark(self, first: int, count: int, what: str, follows: bool) -> None:
        last = self.marked[-1] if self.marked else None
        if last is not None and follows and last.what == what and last.first + last.count == first:
            self.marked[-1] = last._replace(count=last.count + count)
        elif what:
            self.marked.append(Marked(first, count, what))

    @property
    def period_us(self) -> float:
        """The true period: nominal, where every block is within a sample of where that puts it, else the one
        that has the block that is furthest off nearest.
        """
        nominal = self.period_ns / 1000
        n, away = self._from_run()
        if not len(n):
            return nominal
        off = float(np.abs(away - n * nominal).max())
        if off <= nominal:
            return nominal
        near, far, found = 0.0, off, nominal
        for _ in range(40):
            middle = (near + far) / 2
            low, high = float(((away - middle) / n).max()), float(((away + middle) / n).min())
            if low <= high:
                far, found = middle, (low + high) / 2
            else:
                near = middle
        return found

    def _from_run(self) -> "tuple[np.ndarray, np.ndarray]":
        """Of each block but the first of a run: (samples, us) since its run began."""
        n, away = [np.empty(0)], [np.empty(0)]
        for run, at, times in self.blocks():
            n.append(at[1:] - run.first)
            away.append(times[1:] - run.unix_us)
        return np.concatenate(n), np.concatenate(away)

    def blocks(self) -> "Iterator[tuple[Run, np.ndarray, np.ndarray]]":
        """Of each run its blocks: (index of the first sample, Unix us)."""
        at, times = np.array(self._blocks), np.array(self._times)
        for run in self.runs:
            low, high = np.searchsorted(at, (run.first, run.first + run.count))
            yield run, at[low:high], times[low:high]

    def times(self) -> "Iterator[tuple[int, np.ndarray]]":
        """When each sample was measured, Unix us, evenly from block to block: in pieces, each with the index
        of its first sample.
        """
        period_us = self.period_us
        for run, at, times in self.blocks():
            end = run.first + run.count
            last_us = times[-1] + (end - at[-1]) * period_us
            points, moments = np.append(at, end), np.append(times.astype(float), last_us)
            latest = -np.inf
            for first in range(run.first, end, PIECE):
                after = min(first + PIECE, end)
                # The points around the piece: between two of them nothing else counts.
                low = int(np.searchsorted(points, first, "right")) - 1
                high = int(np.searchsorted(points, after)) + 1
                along = np.interp(np.arange(first, after), points[low:high], moments[low:high])
                along = np.maximum(np.maximum.accumulate(along), latest)
                latest = along[-1]
                yield first, np.rint(along).astype(np.int64)

    def questioned(self, first: int, count: int) -> list[str]:
        """Of so many samples why each is to be questioned, "" where it is not."""
        said = [""] * count
        for one in self.marked:
            low, high = max(one.first, first), min(one.first + one.count, first + count)
            if low < high:
                said[low - first : high - first] = [one.what] * (high - low)
        return said
