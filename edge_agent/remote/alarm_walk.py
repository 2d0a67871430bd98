"""The waves around an alarm, found by walking from its event both ways, some frames at a time."""

from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from edge_agent.ledger.facts import BootFacts
from edge_agent.ledger.ranges import Ranges
from edge_agent.remote.strips import LATE_US, openable, overlap_us
from edge_agent.store.database import Database
from edge_agent.store.rows import JournalRow
from protocol import frames
from protocol.errors import ProtocolError

CHANNELS = (frames.CH_ECG, frames.CH_PPG_RED, frames.CH_PPG_IR)
# However a node numbers its frames, so many around an alarm are read.
MOST_FRAMES = 4096
# So many numbers are asked for at once, which costs as much as reading ASKING frames.
CHUNK = 128
ASKING = 8
# These are made when they say, or (waves) LATE_US later at most: which of two is the later one is known.
_TIMELY = (frames.KIND_VITALS, frames.KIND_STATUS, frames.KIND_BOOT)

Waves = dict[int, list[tuple[int, int, int]]]


class Found(NamedTuple):
    """`waves`: (number, journal id, µs within the time asked for) by channel, ascending. `last`: the number
    after which nothing is of that time; None: it is not here yet. `first`: the same before it.
    """

    waves: Waves
    first: int
    last: int | None


class Near(NamedTuple):
    """Of the numbers around an event: which are stored, and which may still come. `listed`: the node has the
    boot still.
    """

    listed: bool
    stored: Ranges
    coming: Ranges

    @classmethod
    def of(cls, facts: BootFacts, seq: int) -> "Near":
        """As it is now, of the numbers that find() looks at; cheap, however many others there are."""
        first, end = max(0, seq - MOST_FRAMES), seq + 1 + MOST_FRAMES
        region = Ranges([(first, end - first)])
        lacking = region.minus(facts.stored).minus(facts.losses).minus(facts.elsewhere)
        lacking = lacking.minus(facts.agent_losses)
        since = Ranges([(max(first, facts.next_seq), max(0, end - max(first, facts.next_seq)))])
        coming = lacking.both(facts.held).union(lacking.both(since))
        return cls(facts.listed, region.both(facts.stored), coming)

    @property
    def cost(self) -> int:
        """What this took, in frames: a node may leave every second number out."""
        return 1 + len(self.stored) + len(self.coming)

    def counts(self, first: int, last: int) -> tuple[bool, int, int]:
        """What differs once something is stored, or given up, between these numbers, both in."""
        region = Ranges([(first, last + 1 - first)])
        return self.listed, region.both(self.stored).count, region.both(self.coming).count


def find(db: Database, facts: BootFacts, seq: int, from_us: int, to_us: int) -> Generator[int, None, Found]:
    """The waves between two times of a boot's clock, around its event `seq`. Yields after each step what that
    cost, in frames; between two steps the store may change.
    """
    waves: Waves = {}

    def take(row: JournalRow) -> int | None:
        return _take(row, from_us, to_us, waves)

    first, last = 0, None
    for rows in _down(db, facts.row, seq):
        before = _first_that(rows, take, lambda t_us: t_us + LATE_US <= from_us)
        yield len(rows) + ASKING
        if before is not None:
            first = before
            break
    for rows in _up(db, facts.row, seq + 1, facts.stored.end):
        last = _first_that(rows, take, lambda t_us: t_us - LATE_US >= to_us)
        yield len(rows) + ASKING
        if last is not None:
            break
    for one in waves.values():
        one.sort()
    return Found(waves, first, last)


def _first_that(
    rows: list[JournalRow], take: Callable[[JournalRow], int | None], beyond: Callable[[int], bool]
) -> int | None:
    """Take rows until one is of another time; its number."""
    for row in rows:
        t_us = take(row)
        if t_us is not None and beyond(t_us):
            return row.seq
    return None


def _take(row: JournalRow, from_us: int, to_us: int, waves: Waves) -> int | None:
    """Put a wave of that time among the others; a frame's time, if it says when the frame was made."""
    try:
        kind, t_us, body = frames.unpack(row.data or b"")
    except ProtocolError:
        return None
    channel = body[frames.WAVE_CHANNEL] if kind == frames.KIND_WAVE else None
    if channel in CHANNELS:
        part_us = overlap_us(t_us, body, from_us, to_us)
        if part_us and row.seq is not None:
            waves.setdefault(channel, []).append((row.seq, row.id, part_us))
    return t_us if kind in _TIMELY or channel in CHANNELS else None


def _down(db: Database, boot: int, seq: int) -> Iterator[list[JournalRow]]:
    """Frames of a boot from that number downwards."""
    stop = max(-1, seq - MOST_FRAMES)
    while seq > stop:
        yield openable(db, boot, max(0, seq - CHUNK + 1), seq)[::-1]
        seq -= CHUNK


def _up(db: Database, boot: int, seq: int, end: int) -> Iterator[list[JournalRow]]:
    """Frames of a boot from that number upwards."""
    stop = min(end, seq + MOST_FRAMES)
    while seq < stop:
        yield openable(db, boot, seq, seq + CHUNK - 1)
        seq += CHUNK
