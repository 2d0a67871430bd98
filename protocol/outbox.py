"""The node's sealed, not yet acknowledged frames of one boot, and the order in which they go.

Guarantees: a frame leaves only by an acknowledgement or by a recorded eviction. When the byte bound is
reached, waveforms go first (oldest first), then vitals, then alarms; frames marked `keep` (boot, loss) are
never evicted. `evictions()` gives the merged ranges that the next loss frame must state; they stay here
until `evictions_sealed()`.
"""

from protocol.frames import LANE_ALARM, LANE_VITALS, LANE_WAVE

WINDOW_FRAMES = 16
WINDOW_BYTES = 8192
# How much of the window each lane may fill, so that the more urgent ones always find room.
BACKLOG = 3
WINDOWS = (16, 16, 14, 12)

RTO_FIRST_MS = 3000
RTO_MIN_MS = 1000
RTO_MAX_MS = 30000

# What a held frame costs a 32-bit node beside its bytes: a tuple, a slot, an object's head, rounding.
FRAME_COST = 64


class Sent:
    """A frame in flight. `order`: running number of its last transmission; `hits`: later ones acked since."""

    def __init__(self, seq: int, sealed: bytes, lane: int):
        self.seq = seq
        self.sealed = sealed
        self.lane = lane
        self.order = 0
        self.sent_ms = 0
        self.tries = 0
        self.hits = 0


class Outbox:
    """Frames in sequence order, bounded by `max_bytes`: sealed bytes and FRAME_COST for each frame."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self.bytes = 0
        self.next_seq = 0
        self.evicted = 0
        self.resent = 0
        self.rto_ms = RTO_FIRST_MS
        self._frames: "list[tuple[int, bytes, int, bool]]" = []
        self._flight: "dict[int, Sent]" = {}
        self._flight_bytes = 0
        self._srtt = 0
        self._rttvar = 0
        self._backoff = 1
        self._backed_off_ms = -RTO_MAX_MS
        self._order = 0
        self._live_from = 0
        self._evicted_ranges: "list[list[int]]" = []

    def __len__(self) -> int:
        return len(self._frames)

    def numbers(self) -> "list[int]":
        """The sequence numbers held, ascending."""
        return [frame[0] for frame in self._frames]

    def holds(self, seq: int) -> bool:
        """Whether the frame of that number is held."""
        for frame in self._frames:
            if frame[0] >= seq:
                return frame[0] == seq
        return False

    def add(self, seq: int, sealed: bytes, lane: int, keep: bool = False) -> None:
        """Hold a frame sealed under number `seq` (the next one); evicts others when the bound is passed."""
        self._frames.append((seq, sealed, lane, keep))
        self.bytes += len(sealed) + FRAME_COST
        self.next_seq = seq + 1
        self._evict()

    def shrink(self) -> None:
        """Memory is short: hold a quarter less than now, from now on."""
        self.max_bytes = min(self.max_bytes, self.bytes) * 3 // 4
        self._evict()

    def _evict(self) -> None:
        while self.bytes > self.max_bytes and self._evict_one():
            pass

    def _evict_one(self) -> bool:
        # What is in flight may have arrived: it goes only when nothing else is left.
        for spared in (self._flight, ()):
            for victim in (LANE_WAVE, LANE_VITALS, LANE_ALARM):
                for i in range(len(self._frames)):
                    seq, _, lane, keep = self._frames[i]
                    if lane == victim and not keep and seq not in spared:
                        self._drop(i)
                        add_range(self._evicted_ranges, seq, 1)
                        self.evicted += 1
                        return True
        return False

    def _drop(self, i: int) -> None:
        seq, sealed, _, _ = self._frames.pop(i)
        self.bytes -= len(sealed) + FRAME_COST
        if self._flight.pop(seq, None) is not None:
            self._flight_bytes -= len(sealed)

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
        for frame in self._frames:
            add_range(out, frame[0], 1)
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
        self._flight = {}
        self._flight_bytes = 0
        self._backoff = 1
        self._live_from = self.next_seq

    def ack(self, first: int, count: int, now_ms: int) -> int:
        """Free the held frames numbered first … first+count-1; returns how many there were."""
        freed = 0
        newest = 0
        i = 0
        while i < len(self._frames) and self._frames[i][0] < first + count:
            seq = self._frames[i][0]
            if seq < first:
                i += 1
                continue
            sent = self._flight.get(seq)
            if sent is not None:
                newest = max(newest, sent.order)
                if sent.tries == 1:
                    self._measured(now_ms - sent.sent_ms)
            self._drop(i)
            freed += 1
        if freed:
            self._backoff = 1
            for sent in self._flight.values():
                if sent.order < newest:
                    sent.hits += 1
        return freed

    def _measured(self, rtt_ms: int) -> None:
        if not self._srtt:
            self._srtt = rtt_ms
            self._rttvar = rtt_ms // 2
        else:
            delta = rtt_ms - self._srtt
            self._srtt += delta // 8
            self._rttvar += (abs(delta) - self._rttvar) // 4
        self.rto_ms = min(max(self._srtt + 4 * self._rttvar, RTO_MIN_MS), RTO_MAX_MS)

    def next_frame(self, now_ms: int) -> "Sent | None":
        """The frame to put on the wire now, marked as in flight; None: nothing to send, or a full window."""
        if not self._frames:
            return None
        sent = self._due(now_ms) if self._flight else None
        if sent is not None:
            self.resent += 1
        else:
            sent = self._fresh()
            if sent is None:
                return None
            self._flight[sent.seq] = sent
            self._flight_bytes += len(sent.sealed)
        self._order += 1
        sent.order = self._order
        sent.sent_ms = now_ms
        sent.tries += 1
        sent.hits = 0
        return sent

    def _due(self, now_ms: int) -> "Sent | None":
        best: "Sent | None" = None
        timed_out = False
        timeout = min(self.rto_ms * self._backoff, RTO_MAX_MS)
        for sent in self._flight.values():
            late = now_ms - sent.sent_ms >= timeout
            if (late or sent.hits >= 3) and (best is None or (sent.lane, sent.seq) < (best.lane, best.seq)):
                best = sent
                timed_out = late
        if timed_out and now_ms - self._backed_off_ms >= timeout:
            self._backoff = min(self._backoff * 2, 8)
            self._backed_off_ms = now_ms
        return best

    def _fresh(self) -> "Sent | None":
        n = len(self._flight)
        if n >= WINDOW_FRAMES or self._flight_bytes >= WINDOW_BYTES:
            return None
        found = [-1, -1, -1, -1]
        for i in range(len(self._frames)):
            seq, _, lane, _ = self._frames[i]
            if seq not in self._flight:
                place = BACKLOG if lane != LANE_ALARM and seq < self._live_from else lane
                if found[place] < 0:
                    found[place] = i
                    if place == LANE_ALARM:
                        break
        for place in (LANE_ALARM, LANE_VITALS, LANE_WAVE, BACKLOG):
            if found[place] >= 0:
                if n >= WINDOWS[place]:
                    return None
                seq, sealed, lane, _ = self._frames[found[place]]
                return Sent(seq, sealed, lane)
        return None

    def waiting(self) -> bool:
        """True while any frame is held."""
        return bool(self._frames)


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
