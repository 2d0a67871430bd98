"""The node's sealed, not yet acknowledged frames of one boot, and the order in which they go.

Guarantees: a frame leaves only by an acknowledgement or by a recorded eviction. When the byte bound is
reached, waveforms go first (oldest first), then vitals, then alarms; frames marked `keep` (boot, loss) are
never evicted. `evictions()` gives the merged ranges that the next loss frame must state; they stay here
until `evictions_sealed()`.
"""

from protocol.frames import LANE_ALARM, LANE_VITALS, LANE_WAVE

REASON_FULL = 1

WINDOW_FRAMES = 16
WINDOW_BYTES = 8192
BACKLOG_WINDOW = 12
WAVE_WINDOW = 14

RTO_FIRST_MS = 3000
RTO_MIN_MS = 1000
RTO_MAX_MS = 30000


class Held:
    """One sealed frame.

    `order` is 0 while it is not in flight, else the running number of its last transmission.
    """

    __slots__ = ("hits", "keep", "lane", "order", "sealed", "sent_ms", "seq", "tries")

    def __init__(self, seq: int, sealed: bytes, lane: int, keep: bool):
        self.seq = seq
        self.sealed = sealed
        self.lane = lane
        self.keep = keep
        self.order = 0
        self.sent_ms = 0
        self.tries = 0
        self.hits = 0


class Outbox:
    """Frames in sequence order, bounded by `max_bytes` of sealed frames."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self.frames: "list[Held]" = []
        self.bytes = 0
        self.next_seq = 0
        self.evicted = 0
        self.resent = 0
        self.rto_ms = RTO_FIRST_MS
        self._srtt = 0
        self._rttvar = 0
        self._backoff = 1
        self._backed_off_ms = -RTO_MAX_MS
        self._order = 0
        self._live_from = 0
        self._flight: "list[Held]" = []
        self._flight_bytes = 0
        self._evicted_ranges: "list[list[int]]" = []

    def __len__(self) -> int:
        return len(self.frames)

    def add(self, seq: int, sealed: bytes, lane: int, keep: bool = False) -> None:
        """Hold a frame just sealed under number `seq` (the next one); evicts older ones when the bound is
        passed."""
        self.frames.append(Held(seq, sealed, lane, keep))
        self.bytes += len(sealed)
        self.next_seq = seq + 1
        while self.bytes > self.max_bytes and self._evict_one():
            pass

    def _evict_one(self) -> bool:
        for lane in (LANE_WAVE, LANE_VITALS, LANE_ALARM):
            for i in range(len(self.frames)):
                held = self.frames[i]
                if held.lane == lane and not held.keep:
                    self.frames.pop(i)
                    self._forget(held)
                    self.evicted += 1
                    add_range(self._evicted_ranges, held.seq, 1)
                    return True
        return False

    def evictions(self) -> "list[list[int]]":
        """Merged ranges [[first, count], …] evicted and not yet stated in a sealed loss frame."""
        return self._evicted_ranges

    def evictions_sealed(self) -> None:
        """The ranges of evictions() are in a sealed frame now."""
        self._evicted_ranges = []

    def ranges(self, limit: int) -> "list[list[int]]":
        """Held numbers as at most `limit` ascending ranges; the nearest neighbours are joined when there
        are more."""
        out: "list[list[int]]" = []
        for held in self.frames:
            add_range(out, held.seq, 1)
        while len(out) > limit:
            best = 0
            gap = None
            for i in range(len(out) - 1):
                g = out[i + 1][0] - out[i][0] - out[i][1]
                if gap is None or g < gap:
                    gap = g
                    best = i
            out[best][1] = out[best + 1][0] + out[best + 1][1] - out[best][0]
            out.pop(best + 1)
        return out

    def restart(self) -> None:
        """A new connection: nothing is in flight, all that is held is backlog."""
        for held in self._flight:
            held.order = 0
            held.hits = 0
        self._flight = []
        self._flight_bytes = 0
        self._backoff = 1
        self._live_from = self.next_seq

    def ack(self, first: int, count: int, now_ms: int) -> int:
        """Free the held frames numbered first … first+count-1; returns how many there were."""
        freed = 0
        newest = 0
        keep: "list[Held]" = []
        for held in self.frames:
            if first <= held.seq < first + count:
                freed += 1
                if held.order > newest:
                    newest = held.order
                if held.order and held.tries == 1:
                    self._measured(now_ms - held.sent_ms)
                self._forget(held)
            else:
                keep.append(held)
        if freed:
            self.frames = keep
            self._backoff = 1
            for held in self._flight:
                if held.order < newest:
                    held.hits += 1
        return freed

    def _forget(self, held: Held) -> None:
        self.bytes -= len(held.sealed)
        if held.order:
            self._flight.remove(held)
            self._flight_bytes -= len(held.sealed)

    def _measured(self, rtt_ms: int) -> None:
        if not self._srtt:
            self._srtt = rtt_ms
            self._rttvar = rtt_ms // 2
        else:
            delta = rtt_ms - self._srtt
            self._srtt += delta // 8
            self._rttvar += (abs(delta) - self._rttvar) // 4
        self.rto_ms = min(max(self._srtt + 4 * self._rttvar, RTO_MIN_MS), RTO_MAX_MS)

    def next_frame(self, now_ms: int) -> "Held | None":
        """The frame to put on the wire now, marked as in flight, or None (nothing to send, or the window is
        full)."""
        held = self._due(now_ms)
        if held is not None:
            self.resent += 1
        else:
            held = self._fresh()
            if held is None:
                return None
            self._flight.append(held)
            self._flight_bytes += len(held.sealed)
        self._order += 1
        held.order = self._order
        held.sent_ms = now_ms
        held.tries += 1
        held.hits = 0
        return held

    def _due(self, now_ms: int) -> "Held | None":
        best: "Held | None" = None
        timed_out = False
        timeout = min(self.rto_ms * self._backoff, RTO_MAX_MS)
        for held in self._flight:
            late = now_ms - held.sent_ms >= timeout
            if (late or held.hits >= 3) and (best is None or held.lane < best.lane):
                best = held
                timed_out = late
        if timed_out and now_ms - self._backed_off_ms >= timeout:
            self._backoff = min(self._backoff * 2, 8)
            self._backed_off_ms = now_ms
        return best

    def _fresh(self) -> "Held | None":
        n = len(self._flight)
        if n >= WINDOW_FRAMES or self._flight_bytes >= WINDOW_BYTES:
            return None
        wave: "Held | None" = None
        vitals: "Held | None" = None
        backlog: "Held | None" = None
        for held in self.frames:
            if held.order:
                continue
            if held.lane == LANE_ALARM:
                return held
            if held.seq < self._live_from:
                if backlog is None:
                    backlog = held
            elif held.lane == LANE_VITALS:
                if vitals is None:
                    vitals = held
            elif wave is None:
                wave = held
        if vitals is not None:
            return vitals
        if wave is not None and n < WAVE_WINDOW:
            return wave
        if wave is None and backlog is not None and n < BACKLOG_WINDOW:
            return backlog
        return None

    def waiting(self) -> bool:
        """True while any frame is held."""
        return bool(self.frames)


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
