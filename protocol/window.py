"""What is in flight on one connection, of all boots together: what goes next, and when it goes again.

docs/wire-protocol.md §10 and §8.2 (flow). A *box* holds the sealed frames of one boot; Outbox is one. What
sending needs of a box, and no more:

    next_seq             number of the next frame to be made; 2^32 when none is left
    waiting()            whether a frame is held
    ranges(limit)        what is held, [[first, count], …] ascending; more than `limit`: joined to a superset
    flight               {number: Sent} of its frames in flight: set and kept by the Window; a box that evicts
                         takes what it evicts out
    choose(last, first)  the oldest held frame from number `first` on, of a lane up to `last`, that is not in
                         `flight`: (number, sealed, lane, …), or None
    ack(first, count)    free those that are held; how many that were

A box of an earlier boot is only asked for what is held from number 0 on, and never for a frame twice on one
connection unless it was given back: the bytes of a frame in flight are kept here.
"""

from protocol.checks import is_uint
from protocol.errors import FrameError
from protocol.frames import (
    FLOW_BYTES_S,
    FLOW_WAVES,
    FLOW_WINDOW,
    LANE_ALARM,
    LANE_VITALS,
    LANE_WAVE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WINDOW_FRAMES = 16
WINDOW_BYTES = 8192
# How much may be in flight for each place to add to it, so that the more urgent ones always find room. What
# is never acknowledged (a full disk) may fill the window, and an alarm of now goes at once all the same.
BACKLOG = 3
FRAMES = (32, 15, 14, 12)
BYTES = (10240, 7680, 7168, 6144)

LATER_ACKS = 3
RTO_FIRST_MS = 3000
RTO_MIN_MS = 1000
RTO_MAX_MS = 30000

# With a limit on bytes a second: how much of an idle time may be made up for.
CATCH_UP_MS = 250


class Sent:
    """A frame in flight. `index`: position of its boot; `place`: live alarm, live vitals or past alarm, live
    wave, backlog; `order`: running number of its last transmission; `hits`: later ones acked since.
    """

    def __init__(self, index: int, seq: int, sealed: bytes, lane: int, place: int):
        self.index = index
        self.seq = seq
        self.sealed = sealed
        self.lane = lane
        self.place = place
        self.order = 0
        self.sent_ms = 0
        self.rto_ms = 0
        self.tries = 0
        self.hits = 0


class RoundTrip:
    """The retransmission time-out of RFC 6298, in whole ms: `rto_ms`.

    SRTT and RTTVAR are kept times 8 and 4, so that no difference is too small to count.
    """

    def __init__(self) -> None:
        self.rto_ms = RTO_FIRST_MS
        self._srtt8 = -1
        self._rttvar4 = 0

    def measured(self, rtt_ms: int) -> None:
        """A frame sent once was acked after `rtt_ms` (Karn: never one that was sent again)."""
        if self._srtt8 < 0:
            self._srtt8 = 8 * rtt_ms
            self._rttvar4 = 2 * rtt_ms
        else:
            off = rtt_ms - (self._srtt8 >> 3)
            self._rttvar4 += abs(off) - (self._rttvar4 >> 2)
            self._srtt8 += off
        self.rto_ms = min(max((self._srtt8 >> 3) + self._rttvar4, RTO_MIN_MS), RTO_MAX_MS)

    def silent(self) -> None:
        """Nothing came within the time-out: wait twice as long, until the next measurement."""
        self.rto_ms = min(2 * self.rto_ms, RTO_MAX_MS)


class Window:
    """The frames in flight of one connection.

    `resent`: frames sent again, since the boot. `waves`, `bytes_s`, `most`: the agent's flow limits.
    """

    def __init__(self) -> None:
        self.resent = 0
        self.boxes: "list[Any]" = []
        self.bytes_s = 0
        self.stop()

    def stop(self) -> None:
        """No connection: nothing is in flight, and no limit of the last one holds."""
        self._take([])
        self.trip = RoundTrip()
        self.flow(True, 0, WINDOW_FRAMES)
        self._live_from = 0
        self._order = 0
        self._recover = 0
        self._free_ms = 0

    def start(self, boxes: "list[Any]") -> None:
        """A connection streams. `boxes`: by the boots' positions in the hello, None where the agent has no
        key; what they hold now is backlog."""
        self.stop()
        self._take(boxes)
        self._live_from = boxes[0].next_seq

    def _take(self, boxes: "list[Any]") -> None:
        for some in (self.boxes, boxes):
            for box in some:
                if box is not None:
                    box.flight = {}
        self.boxes = boxes

    def flow(self, waves: bool, bytes_s: int, most: int) -> None:
        """What the agent takes: waveforms or none, bytes a second (0: any number), frames in flight."""
        self.waves = waves
        if bytes_s != self.bytes_s:
            # What was sent under another limit is not owed under this one.
            self.bytes_s = bytes_s
            self._free_ms = 0
        self.most = most
        if not waves:
            for box in self.boxes:
                if box is not None:
                    for seq in [seq for seq in box.flight if box.flight[seq].lane == LANE_WAVE]:
                        del box.flight[seq]

    def waiting(self) -> bool:
        """Whether any box holds a frame that this agent can open."""
        return any(box is not None and box.waiting() for box in self.boxes)

    def next_frame(self, now_ms: int) -> "Sent | None":
        """The frame to put on the wire now, marked as in flight; None: nothing to send, a full window, or the
        agent's limit."""
        n = size = 0
        slow = bool(self.bytes_s) and now_ms < self._free_ms
        due: "Sent | None" = None
        for box in self.boxes:
            if box is None:
                continue
            for sent in box.flight.values():
                n += 1
                size += len(sent.sealed)
                if slow and sent.lane != LANE_ALARM:
                    continue
                if self._is_due(sent, now_ms) and (due is None or _goes_before(sent, due)):
                    due = sent
        if due is None or due.place != LANE_ALARM:
            fresh = self._fresh(n, size, due is not None, slow)
            if fresh is not None:
                self.boxes[fresh.index].flight[fresh.seq] = fresh
                return self._sent(fresh, now_ms)
        if due is None:
            return None
        self.resent += 1
        if due.hits < LATER_ACKS and due.order > self._recover:
            # One silence, however many frames it took: only what was sent after it can tell of another.
            self._recover = self._order
            self.trip.silent()
        return self._sent(due, now_ms)

    def _is_due(self, sent: Sent, now_ms: int) -> bool:
        # A time-out that has grown since holds for later transmissions; one that was measured holds at once.
        rto_ms = self.trip.rto_ms if self.trip.rto_ms < sent.rto_ms else sent.rto_ms
        return sent.hits >= LATER_ACKS or now_ms - sent.sent_ms >= rto_ms

    def _sent(self, sent: Sent, now_ms: int) -> Sent:
        self._order += 1
        sent.order = self._order
        sent.sent_ms = now_ms
        sent.rto_ms = self.trip.rto_ms
        sent.tries += 1
        sent.hits = 0
        if self.bytes_s:
            # Index, framing and stuffing are 5 bytes and one in 254.
            wire = len(sent.sealed) + (len(sent.sealed) >> 7) + 5
            self._free_ms = max(self._free_ms, now_ms - CATCH_UP_MS) + wire * 1000 // self.bytes_s
        return sent

    def _fresh(self, n: int, size: int, alarm_only: bool, slow: bool) -> "Sent | None":
        """The most urgent frame that is not in flight, where it fits; `alarm_only`: a live alarm or none."""
        newest = self.boxes[0] if self.boxes else None
        if newest is None or n >= FRAMES[LANE_ALARM]:
            return None
        frame = newest.choose(LANE_ALARM, self._live_from)
        if frame is not None:
            return self._fitting(n, size, 0, frame, LANE_ALARM)
        if alarm_only:
            return None
        for index in range(len(self.boxes)):
            frame = self._chosen(index, LANE_ALARM)
            if frame is not None:
                return self._fitting(n, size, index, frame, LANE_VITALS)
        if slow:
            return None
        worst = LANE_WAVE if self.waves else LANE_VITALS
        for lane in range(LANE_VITALS, worst + 1):
            frame = newest.choose(lane, self._live_from)
            if frame is not None:
                return self._fitting(n, size, 0, frame, lane)
        for index in range(len(self.boxes) - 1, -1, -1):
            frame = self._chosen(index, worst)
            if frame is not None:
                return self._fitting(n, size, index, frame, BACKLOG)
        return None

    def _chosen(self, index: int, last: int) -> "Any":
        box = self.boxes[index]
        return None if box is None else box.choose(last, 0)

    def _fitting(self, n: int, size: int, index: int, frame: "Any", place: int) -> "Sent | None":
        seq, sealed, lane = frame[0], frame[1], frame[2]
        if n >= FRAMES[place] or (lane != LANE_ALARM and n >= self.most):
            return None
        if n and size + len(sealed) > BYTES[place]:
            return None
        return Sent(index, seq, sealed, lane, place)

    def ack(self, index: int, first: int, count: int, now_ms: int) -> int:
        """These frames of the boot at `index` are on the agent's disk: freed. How many were held."""
        box = self.boxes[index]
        flight = box.flight
        orders: "list[int]" = []
        for seq in [seq for seq in flight if first <= seq < first + count]:
            sent = flight.pop(seq)
            orders.append(sent.order)
            if sent.tries == 1:
                self.trip.measured(now_ms - sent.sent_ms)
        if orders:
            for other in self.boxes:
                if other is not None:
                    for sent in other.flight.values():
                        for order in orders:
                            if sent.order < order:
                                sent.hits += 1
        return box.ack(first, count)


def flow_limits(body: "dict[Any, Any]") -> "tuple[bool, int, int]":
    """(waves, bytes_s, most) for Window.flow of a flow frame's body; FrameError."""
    waves = body.get(FLOW_WAVES, True)
    bytes_s = body.get(FLOW_BYTES_S)
    most = body.get(FLOW_WINDOW, WINDOW_FRAMES)
    if waves is not True and waves is not False:
        raise FrameError("flow: key 1 (waveforms) is not true or false")
    if bytes_s is not None and (not is_uint(bytes_s) or bytes_s == 0):
        raise FrameError("flow: key 2 (bytes a second) is not a number from 1")
    if not is_uint(most) or not 1 <= most <= WINDOW_FRAMES:
        raise FrameError("flow: key 3 (frames in flight) is not from 1 to 16")
    return waves, bytes_s or 0, most


def _goes_before(a: Sent, b: Sent) -> bool:
    return a.place < b.place or (a.place == b.place and a.order < b.order)
