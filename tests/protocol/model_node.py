"""A node of the model: the session, outbox, boot record and keys of the product around a manual clock, with
every promise of a sender checked as it goes."""

from firmware.boots import BootRecord
from protocol import crypto, frames
from protocol import session_events as ev
from protocol.outbox import Outbox
from protocol.seal import SealingKeys
from protocol.session_node import NodeSession
from protocol.window import BYTES, FRAMES, WINDOW_BYTES, WINDOW_FRAMES, Window


class Flash:
    """What outlasts a power cut: records by name. `retained`: what outlasts a reset only."""

    def __init__(self):
        self.records = {}
        self.retained = None

    def read(self, name):
        return self.records.get(name)

    def write(self, name, payload):
        self.records[name] = payload

    def set_aside(self, name):
        del self.records[name]

    def retained_read(self):
        return self.retained

    def retained_write(self, memory):
        self.retained = bytes(memory)


class Box(Outbox):
    """An outbox that frees nothing which no agent has on its disk."""

    def __init__(self, max_bytes, boot_id, durable):
        super().__init__(max_bytes)
        self.boot_id = boot_id
        self.durable = durable

    def ack(self, first, count):
        for seq in self.numbers():
            if first <= seq < first + count:
                assert (self.boot_id, seq) in self.durable, f"frame {seq} is freed, and on no disk"
        return super().ack(first, count)


class Spool:
    """Frames of an earlier boot as flash would hold them: what window.py asks of a box, no more."""

    def __init__(self, boot_id, headers, next_seq, held, durable):
        self.boot_id = boot_id
        self.headers = headers
        self.box = self
        self.next_seq = next_seq
        self.flight = {}
        self.durable = durable
        self.held = {frame[0]: frame for frame in held}

    def waiting(self):
        return bool(self.held)

    def ranges(self, limit):
        numbers = sorted(self.held)
        every = [[seq, 1] for seq in numbers[: limit - 1]]
        rest = numbers[limit - 1 :]
        return every + ([[rest[0], rest[-1] - rest[0] + 1]] if rest else [])

    def choose(self, last, first):
        for seq in sorted(self.held):
            if seq >= first and self.held[seq][2] <= last and seq not in self.flight:
                return self.held[seq]
        return None

    def ack(self, first, count):
        numbers = [seq for seq in self.held if first <= seq < first + count]
        for seq in numbers:
            assert (self.boot_id, seq) in self.durable, f"frame {seq} is freed, and on no disk"
            del self.held[seq]
        return len(numbers)


class WatchedWindow(Window):
    """A window whose every choice is held against §10 and the agent's limits."""

    def start(self, boxes):
        super().start(boxes)
        self.live_from = boxes[0].next_seq

    def next_frame(self, now_ms):
        before = [sent for box in self.boxes if box is not None for sent in box.flight.values()]
        size = sum(len(sent.sealed) for sent in before)
        alarms = self._alarms_waiting()
        sent = super().next_frame(now_ms)
        fresh = sent is not None and sent.tries == 1
        if alarms and len(before) < FRAMES[0] and size + len(alarms[0][1]) <= BYTES[0]:
            alarm_again = sent is not None and sent.index == 0 and sent.lane == frames.LANE_ALARM
            assert fresh or alarm_again, "an alarm waits for what was sent before"
        if fresh and alarms:
            assert (sent.index, sent.seq) == (0, alarms[0][0]), "an alarm waits behind other frames"
        if fresh and not alarms:
            assert len(before) < WINDOW_FRAMES and size + len(sent.sealed) <= WINDOW_BYTES
        if sent is not None and sent.lane != frames.LANE_ALARM:
            assert self.waves or sent.lane != frames.LANE_WAVE, "a waveform that the agent does not take"
            assert not fresh or len(before) < self.most, "more in flight than the agent takes"
        return sent

    def _alarms_waiting(self):
        if not self.boxes:
            return []
        newest = self.boxes[0]
        return [
            frame
            for frame in newest._frames
            if frame[2] == frames.LANE_ALARM and frame[0] >= self.live_from and frame[0] not in newest.flight
        ]


class Boot:
    """What the model knows of one boot, whatever its node and agents make of it."""

    def __init__(self, boot_id):
        self.id = boot_id
        self.counter = int.from_bytes(boot_id[:4], "big")
        self.made = {}
        self.evicted = set()
        self.gone = set()
        self.clean = False

    def expand(self, ranges):
        return {seq for first, count in ranges for seq in range(first, first + count)}


class Node:
    """`agents`: public keys (ed25519, x25519) on its flash. `boots`: every Boot ever, oldest first."""

    def __init__(self, identity, agents, random, durable, max_bytes):
        self.identity = identity
        self.max_bytes = max_bytes
        self.agents = list(agents)
        self.random = random
        self.durable = durable
        self.flash = Flash()
        self.spools = []
        self.boots = []
        self.now = 0
        self.asked = {}
        self.orders = []
        self.next_at_hello = {}
        self.jobs = []
        self._boot()

    def _boot(self):
        self.record = BootRecord(self.flash, self.flash)
        self.record.commit(self.random(8))
        self.boot = Boot(self.record.boot_id)
        self.boots.append(self.boot)
        self.keys = SealingKeys(self.random(16), self.record)
        self.box = Box(self.max_bytes, self.boot.id, self.durable)
        self.session = NodeSession(self.identity, self.keys, self.box, self.random, self.spools)
        self.session.window = WatchedWindow()
        self.jobs = []
        self.began = self.now
        self.second = 0
        self.stated = -1
        for agent in self.agents:
            self.session.add_agent(*agent)
        body = {
            frames.BOOT_FIRMWARE: "model",
            frames.BOOT_BOARD: "none",
            frames.BOOT_RESET_CAUSE: 0,
            frames.BOOT_KEYS: [self.identity.ed_pub, self.identity.x_pub],
            frames.BOOT_CHANNELS: [],
            frames.BOOT_ENTROPY: 1,
        }
        if self.record.statement is not None:
            body[frames.BOOT_PREVIOUS] = self.record.statement
        if self.record.earlier() is not None:
            body[frames.BOOT_EARLIER] = self.record.earlier()
        self.seal(frames.KIND_BOOT, body, True)

    def seal(self, kind, body, keep=False):
        seq = self.box.next_seq
        plaintext = frames.pack(kind, (self.now - self.began) * 1000, body)
        sealed = self.keys.seal(seq, plaintext)
        self.box.add(seq, sealed, frames.lane(kind, body), keep)
        self.boot.made[seq] = plaintext
        self.boot.evicted |= self.boot.expand(self.box.evictions())
        self.record.retain(seq + 1)
        return seq

    def reset(self, clean, power, keep):
        """The end of a boot. `keep`: how many of its held frames (oldest first) are on flash by then."""
        if clean:
            self.seal(frames.KIND_EVENT, {frames.EVENT_CODE: frames.EVENT_STOP, frames.EVENT_PRIORITY: 0})
            self.record.close(self.box.next_seq, not self.box.holds(0))
            self.boot.clean = True
        held = list(self.box._frames)
        headers = [list(header) for header in self.session.headers]
        # Without a header nobody could ever read them.
        keep = keep if headers else 0
        if held[:keep]:
            next_seq = self.box.next_seq if clean else held[:keep][-1][0] + 1
            self.spools.insert(0, Spool(self.boot.id, headers, next_seq, held[:keep], self.durable))
        self.spools = [spool for spool in self.spools if spool.waiting()]
        self.boot.gone = {frame[0] for frame in held[keep:]}
        if power:
            self.flash.retained = None
        self._boot()

    def pair(self, agent):
        if agent not in self.agents:
            self.agents.append(agent)
            self.session.add_agent(*agent)

    def shrink(self):
        self.box.shrink()
        self.boot.evicted |= self.boot.expand(self.box.evictions())

    def tick(self, now, work):
        """Timers, events and, when `work`, the slow jobs that wait."""
        self.now = now
        conn = self.session.conn
        self.session.tick(now)
        if self.session.conn != conn:
            self._new_hello()
        job = self.session.steps()
        while job is not None:
            self.jobs.append(job)
            job = self.session.steps()
        if work:
            while self.jobs:
                crypto.run(self.jobs.pop(0))
        for event in self.session.take_events():
            if isinstance(event, ev.TimeAsked):
                self.asked[event.token] = self.boot.id
                received = event.stamp * 1000
                self.seal(
                    frames.KIND_TIME, {frames.TIME_TOKEN: event.token, frames.TIME_RECEIVED_US: received}
                )
            elif isinstance(event, ev.DownlinkIn):
                self.orders.append((event.kind, event.body[frames.ORDER_ID]))
        second = (now - self.began) // 1000
        if second != self.second:
            self.second = second
            self.record.reserve(self.box.next_seq, second, not self.box.holds(0))
            self.losses()

    def losses(self):
        if self.box.evictions() and not self.box.holds(self.stated):
            ranges = self.box.evictions()
            self.box.evictions_sealed()
            self.stated = self._loss(ranges, frames.LOSS_OUTBOX_FULL)
        ranges = self.session.acked_elsewhere()
        if ranges:
            self.session.elsewhere.told(self.session.agent_id, self._loss(ranges, frames.LOSS_ELSEWHERE))

    def _loss(self, ranges, reason):
        body = {frames.LOSS_RANGES: [[first, count, reason] for first, count in ranges]}
        return self.seal(frames.KIND_LOSS, body, True)

    def feed(self, data):
        conn = self.session.conn
        self.session.feed(data, self.now, self.now - self.began)
        if self.session.conn != conn:
            self._new_hello()

    def _new_hello(self):
        self.next_at_hello[self.boot.counter, self.session.conn] = self.box.next_seq
