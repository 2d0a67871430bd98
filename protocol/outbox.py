"""The node's sealed, not yet acknowledged frames of one boot.

Guarantees: a frame leaves only by an acknowledgement or by a recorded eviction. When the byte bound is
reached, waveforms go first (oldest first), then vitals, then alarms; frames marked `keep` (boot, loss) are
never evicted. `evictions()` gives the merged ranges that the next loss frame must state; they stay here
until `evictions_sealed()`. Where a node has a spool, the oldest frames move there while the link is away, and
are as if they were here: `spool` is a box of them (window.py) until there are none. In which order frames go,
and when again, is window.py's.
"""

from protocol.errors import LocalError
from protocol.frames import LANE_ALARM, LANE_VITALS, LANE_WAVE
from protocol.on_demand import HELD, forget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_SEQ = 0xFFFFFFFF

# What a held frame costs a 32-bit node beside its bytes: a tuple, a slot, an object's head, rounding.
FRAME_COST = 64
# An agent that acknowledges everything but loss frames has more of them to be stated than frames are held.
MAX_EVICTED = 300
# In the place of `keep`, of a frame that goes before all others where a spool is full.
SPARE = 2
# With less, a time echo is evicted before it goes, and no connection is ever proved.
MIN_BYTES = 4096

_NO_ALARMS = (LANE_WAVE, LANE_VITALS)
_ALARMS = (LANE_ALARM,)


class Outbox:
    """Frames in sequence order, bounded by `max_bytes`: sealed bytes and FRAME_COST for each frame."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self.bytes = 0
        self.next_seq = 0
        self.evicted = 0
        self.flight: "dict[int, Any]" = {}
        self.spool: "Any" = None
        self._frames: "list[tuple[int, bytes, int, int]]" = []
        self._lanes = [0, 0, 0]
        self._evicted_ranges: "list[list[int]]" = []
        self._unsealed: "list[list[int]]" = []

    def __len__(self) -> int:
        return len(self._frames)

    def numbers(self) -> "list[int]":
        """The sequence numbers held, ascending."""
        return [frame[0] for frame in self._frames]

    def holds(self, seq: int) -> bool:
        """Whether the frame of that number is held, or, where there is a spool, may be there."""
        i = self._from(seq)
        if i < len(self._frames) and self._frames[i][0] == seq:
            return True
        return self.spool is not None and self.spool.holds(seq)

    def _from(self, seq: int) -> int:
        """Where the frames from number `seq` on begin."""
        low, high = 0, len(self._frames)
        while low < high:
            middle = (low + high) >> 1
            if self._frames[middle][0] < seq:
                low = middle + 1
            else:
                high = middle
        return low

    def add(self, seq: int, sealed: bytes, lane: int, keep: int = False) -> None:
        """Hold a frame sealed under number `seq` (the next one); evicts others when the bound is passed, or
        when memory has no single piece left for a longer list.

        LocalError (`exhausted`) beyond the last number of a boot; MemoryError: nothing was added.
        """
        if seq > MAX_SEQ:
            raise LocalError("a boot has no number %d" % seq, None, "exhausted")
        frame = (seq, sealed, lane, keep)
        try:
            self._frames.append(frame)
        except MemoryError:
            self.shrink()
            self._frames.append(frame)  # where one was that went
        self._lanes[lane] += 1
        self.bytes += len(sealed) + FRAME_COST
        self.next_seq = seq + 1
        self._evict()

    def shrink(self) -> None:
        """Memory is short: hold a quarter less than now, from now on, and no less than MIN_BYTES."""
        self.max_bytes = min(self.max_bytes, max(min(self.max_bytes, self.bytes) * 3 // 4, MIN_BYTES))
        self._evict()

    def _evict(self) -> None:
        try:
            while self.bytes > self.max_bytes and self._evict_one():
                pass
        except MemoryError:
            # Nowhere to note what would go: it stays, and goes with a later frame.
            pass

    def _evict_one(self) -> bool:
        # What is in flight may have arrived: of what is no alarm, and of alarms, it goes last.
        for lanes in (_NO_ALARMS, _ALARMS):
            for spared in (self.flight, ()):
                for victim in lanes:
                    for i in range(len(self._frames)):
                        seq, _, lane, keep = self._frames[i]
                        if lane == victim and keep is not True and seq not in spared:
                            # In this order: where memory does not suffice to note it, it stays.
                            self._note(seq)
                            self._drop(i)
                            self.evicted += 1
                            return True
        return False

    def _note(self, seq: int) -> None:
        add_range(self._evicted_ranges, seq, 1)
        self._bound_ranges()

    def _bound_ranges(self) -> None:
        ranges = self._evicted_ranges
        if len(ranges) > MAX_EVICTED:
            # Joined, they name what is between, too: no harm, since what has arrived is not lost.
            first = ranges.pop(0)[0]
            ranges[0][1] += ranges[0][0] - first
            ranges[0][0] = first

    def _drop(self, i: int) -> None:
        seq, sealed, lane, _ = self._frames.pop(i)
        self.bytes -= len(sealed) + FRAME_COST
        self._lanes[lane] -= 1
        self.flight.pop(seq, None)

    def evictions(self) -> "list[list[int]]":
        """Merged ranges [[first, count], …] evicted and not yet stated in a sealed loss frame. MemoryError:
        ask again later, none is forgotten.
        """
        unsealed = self._unsealed
        while unsealed:
            add_range(self._evicted_ranges, unsealed[-1][0], unsealed[-1][1])
            unsealed.pop()
        return self._evicted_ranges

    def evictions_sealed(self) -> None:
        """The ranges of evictions() are in a sealed frame now."""
        self._evicted_ranges = []

    def evictions_unsealed(self, ranges: "list[list[int]]") -> None:
        """These of evictions() are in no frame after all. Takes no memory: there may be none."""
        self._unsealed = ranges

    def ranges(self, limit: int) -> "list[list[int]]":
        """Held numbers as at most `limit` ascending ranges (1 or more); the nearest neighbours are joined
        when there are more. What is in a spool is one range."""
        try:
            from protocol import held

            return held.held_ranges(self, limit)
        finally:
            forget(HELD)

    def choose(self, last: int, first: int) -> "tuple[int, bytes, int, int] | None":
        """The oldest frame from number `first` on, of a lane up to `last`, that is not in flight: (number,
        sealed, lane, keep)."""
        frame = self._choose(last, first)
        if self.spool is not None:
            self.spool.flight = self.flight
            other = self.spool.choose(last, first)
            if other is not None and (frame is None or other[0] < frame[0]):
                return other
        return frame

    def _choose(self, last: int, first: int) -> "tuple[int, bytes, int, int] | None":
        if not (self._lanes[0] or (last and self._lanes[1]) or (last > 1 and self._lanes[2])):
            return None
        i = self._from(first) if first else 0
        while i < len(self._frames):
            frame = self._frames[i]
            if frame[2] <= last and frame[0] not in self.flight:
                return frame
            i += 1
        return None

    def ack(self, first: int, count: int) -> int:
        """Free the held frames numbered first … first+count-1; returns how many there were."""
        freed = 0
        i = self._from(first)
        while i < len(self._frames) and self._frames[i][0] < first + count:
            self._drop(i)
            freed += 1
        return freed if self.spool is None else freed + self.spool.ack(first, count)

    def waiting(self) -> bool:
        """True while any frame is held."""
        return bool(self._frames) or (self.spool is not None and self.spool.waiting())

    # What moves to a spool

    def frames(self) -> "list[Any]":
        """Those in memory, oldest first: (number, sealed, lane, keep)."""
        return self._frames

    def moved(self, seq: int) -> None:
        """That frame is in the spool now, if it was here still."""
        i = self._from(seq)
        if i < len(self._frames) and self._frames[i][0] == seq:
            self._drop(i)

    def lost(self, first: int, count: int, frames: int = 0) -> None:
        """So many frames with numbers in this range went from the spool, and are to be stated."""
        add_range(self._evicted_ranges, first, count)
        self.evicted += frames
        self._bound_ranges()


def add_range(ranges: "list[list[int]]", first: int, count: int) -> None:
    """Merge [first, first+count) into the ascending list of [first, count] lists, in place."""
    end = first + count
    i = len(ranges)
    while i and ranges[i - 1][0] > first:
        i -= 1
    if i and ranges[i - 1][0] + ranges[i - 1][1] >= first:
        i -= 1
        start = ranges[i][0]
        end = max(end, start + ranges[i][1])
        ranges[i][1] = end - start
    else:
        ranges.insert(i, [first, count])
    while i + 1 < len(ranges) and ranges[i + 1][0] <= end:
        nxt = ranges.pop(i + 1)
        end = max(end, nxt[0] + nxt[1])
        ranges[i][1] = end - ranges[i][0]
