"""Loss frames of an agent that takes everything and acknowledges nothing, and of a memory that is short."""

import gc

from firmware.sealer import MAX_RANGES, Sealer
from protocol import frames, outbox
from protocol.outbox import FRAME_COST, Outbox, add_range

MAX_BYTES = 12288
# A frame of the longest list of ranges is below this.
LOSS_BYTES = 1500
TAG = bytes(8)


class Part:
    """What a sealer needs beside the outbox: keys that cost no time, an attester, a record, a clock."""

    def __init__(self):
        self.fails = 0

    def seal(self, seq, plaintext):
        if self.fails:
            self.fails -= 1
            raise MemoryError("no room for a frame")
        return plaintext + TAG

    def add(self, seq, plaintext):
        pass

    def retain(self, next_seq):
        pass

    def now_us(self):
        return 5


def sealer(max_bytes=MAX_BYTES):
    part = Part()
    return Sealer(part, Outbox(max_bytes), part, part, part), part


def wave(one):
    body = {
        frames.WAVE_CHANNEL: 0,
        frames.WAVE_COUNT: 250,
        frames.WAVE_PERIOD_NS: 4000000,
        frames.WAVE_LSB: 4000,
        frames.WAVE_CODEC: 2,
        frames.WAVE_DATA: bytes(160),
    }
    one.seal(frames.KIND_WAVE, body)


def vitals(one):
    one.seal(frames.KIND_VITALS, {frames.VITALS_HR: 700, frames.VITALS_RR: [850], frames.VITALS_SPO2: 970})


def stated(one):
    """Merged ranges that the loss frames held name, and how many frames that are."""
    ranges, count = [], 0
    for frame in one.box._frames:
        kind, _, body = frames.unpack(frame[1][: -len(TAG)])
        if kind == frames.KIND_LOSS:
            count += 1
            for first, length, _ in body[frames.LOSS_RANGES]:
                add_range(ranges, first, length)
    return ranges, count


def copied(ranges):
    return [list(one) for one in ranges]


def test_an_agent_that_acknowledges_nothing_for_two_hours_takes_no_alarm():
    one, _ = sealer()
    box = one.box
    alarms = []
    for second in range(1, 2 * 3600 + 1):
        wave(one)
        vitals(one)
        if second % 120 == 0:
            one.event(32, frames.PRIORITY_HIGH)
            alarms.append(box.next_seq - 1)
            gc.collect()
        if second % 5 == 0:
            one.losses()
            assert box.bytes <= MAX_BYTES + LOSS_BYTES + FRAME_COST
            assert len(box.evictions()) <= MAX_BYTES // FRAME_COST
    assert len(alarms) == 60 and all(box.holds(seq) for seq in alarms)
    assert stated(one)[1] == 1
    one.losses(True)
    known, count = stated(one)
    assert 1 < count <= 4
    for seq in box.numbers():
        add_range(known, seq, 1)
    # The last loss frame needed room itself.
    for first, length in box.evictions():
        add_range(known, first, length)
    assert known == [[0, box.next_seq]]


def test_what_was_evicted_meanwhile_is_stated_when_the_frame_before_is_acknowledged():
    one, _ = sealer(4096)
    for _ in range(60):
        vitals(one)
    one.losses()
    first = one.box.next_seq - 1
    for _ in range(30):
        vitals(one)
        one.losses()
    assert stated(one)[1] == 1 and one.box.holds(first)
    one.box.ack(first, 1)
    one.losses()
    waiting = stated(one)[0]
    assert len(waiting) == 1 and waiting[0][1] >= 30


def test_of_many_ranges_one_frame_at_a_time_waits_for_its_acknowledgement():
    """Who acknowledges only the last of several would fill the outbox with what is never evicted."""
    one, _ = sealer(1 << 20)
    for seq in range(0, 5 * MAX_RANGES, 2):
        one.box.next_seq = seq + 1
        one.box._evicted_ranges.append([seq, 1])
    lost = copied(one.box.evictions())
    heard = []
    for _ in range(3):
        one.losses()
        one.losses()
        ranges, count = stated(one)
        assert count == 1
        for first, length in ranges:
            add_range(heard, first, length)
        one.box.ack(one.box.next_seq - 1, 1)
    assert heard == lost and not one.box.evictions()


def test_what_no_memory_was_for_to_note_is_not_evicted():
    one, _ = sealer(1 << 20)
    for _ in range(9):
        vitals(one)
    one.box.max_bytes = 0
    real = outbox.add_range

    def failing(ranges, first, count):
        raise MemoryError("no room for a range")

    outbox.add_range = failing
    try:
        one.box.shrink()
    finally:
        outbox.add_range = real
    assert len(one.box) == 9 and one.box.evicted == 0
    one.box.shrink()
    assert len(one.box) == 0 and copied(one.box.evictions()) == [[0, 9]]


def test_a_statement_that_no_memory_was_for_is_made_later():
    one, part = sealer(4096)
    for _ in range(60):
        vitals(one)
    lost = copied(one.box.evictions())
    part.fails = 1
    try:
        one.losses()
        raise AssertionError("sealed")
    except MemoryError:
        pass
    assert lost and not one.broken and copied(one.box.evictions()) == lost
    one.losses()
    assert stated(one)[0] == lost


def test_what_went_while_a_statement_failed_is_stated_though_nothing_could_be_noted_then():
    one, part = sealer(4096)
    for _ in range(60):
        vitals(one)
    lost = copied(one.box.evictions())
    real = outbox.add_range

    def failing(ranges, first, count):
        raise MemoryError("no room for a range")

    def refusing(seq, plaintext):
        one.box.shrink()
        one.box.max_bytes = 0
        one.box.shrink()
        outbox.add_range = failing
        raise MemoryError("no room for a frame")

    sealing, part.seal = part.seal, refusing
    try:
        one.losses()
        raise AssertionError("sealed")
    except MemoryError:
        pass
    try:
        one.losses()
        raise AssertionError("noted")
    except MemoryError:
        pass
    finally:
        outbox.add_range = real
        part.seal = sealing
    assert not len(one.box) and lost[0][1] < 60
    one.losses()
    assert stated(one)[0] == [[0, 60]]


def test_of_many_ranges_those_are_made_later_that_could_not_be_sealed():
    one, part = sealer(1 << 20)
    for seq in range(0, 4 * MAX_RANGES, 2):
        one.box.next_seq = seq + 1
        one.box._evicted_ranges.append([seq, 1])
    real = part.seal
    lost = copied(one.box.evictions())

    def second_fails(seq, plaintext):
        part.seal = failing
        return plaintext + TAG

    def failing(seq, plaintext):
        part.seal = real
        raise MemoryError("no room for a frame")

    part.seal = second_fails
    try:
        one.losses(True)
        raise AssertionError("sealed")
    except MemoryError:
        pass
    assert copied(one.box.evictions()) == lost[MAX_RANGES:]
    one.losses(True)
    assert stated(one)[0] == lost


class Session:
    """A session of which another agent has what this one asks for."""

    def __init__(self):
        self.agent_id = b"agent"
        self.elsewhere = self
        self.said = []

    def acked_elsewhere(self):
        return [] if self.said else [[0, 3]]

    def told(self, agent_id, seq):
        self.said.append((agent_id, seq))


def test_what_another_agent_has_counts_as_told_when_it_is_sealed():
    one, part = sealer()
    session = Session()
    part.fails = 1
    try:
        one.elsewhere(session)
        raise AssertionError("sealed")
    except MemoryError:
        pass
    assert not session.said
    vitals(one)
    one.elsewhere(session)
    one.elsewhere(session)
    assert session.said == [(b"agent", 1)] and stated(one) == ([[0, 3]], 1)
