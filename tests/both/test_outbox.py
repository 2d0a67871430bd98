from protocol import outbox
from protocol.errors import LocalError
from protocol.frames import LANE_ALARM, LANE_VITALS, LANE_WAVE
from protocol.outbox import FRAME_COST, MAX_EVICTED, MAX_SEQ, MIN_BYTES, Outbox, add_range


def filled(lanes, size=10, max_bytes=100000):
    box = Outbox(max_bytes)
    for seq, lane in enumerate(lanes):
        box.add(seq, b"x" * size, lane)
    return box


def test_ranges_merge_in_any_order():
    ranges = []
    for n in (5, 3, 9, 4, 10, 1, 3):
        add_range(ranges, n, 1)
    assert ranges == [[1, 1], [3, 3], [9, 2]]
    add_range(ranges, 0, 20)
    assert ranges == [[0, 20]]
    add_range(ranges, 5, 2)
    assert ranges == [[0, 20]]


def test_merging_agrees_with_sets():
    state = 12345
    for _ in range(60):
        ranges, numbers = [], set()
        for _ in range(30):
            state = (state * 1103 + 12345) % 65521
            first, count = state % 60, 1 + state % 4
            add_range(ranges, first, count)
            numbers |= set(range(first, first + count))
        flat = [n for first, count in ranges for n in range(first, first + count)]
        assert flat == sorted(numbers)
        for i in range(len(ranges) - 1):
            assert ranges[i][0] + ranges[i][1] < ranges[i + 1][0]


def test_the_oldest_frame_that_is_not_in_flight_is_chosen():
    box = filled([LANE_WAVE, LANE_VITALS, LANE_WAVE, LANE_ALARM, LANE_VITALS])
    assert [box.choose(lane, 0)[0] for lane in (LANE_ALARM, LANE_VITALS, LANE_WAVE)] == [3, 1, 0]
    assert box.choose(LANE_WAVE, 2)[0] == 2 and box.choose(LANE_VITALS, 4)[0] == 4
    assert box.choose(LANE_ALARM, 4) is None and box.choose(LANE_WAVE, 5) is None
    box.flight = {3: None, 0: None}
    assert box.choose(LANE_ALARM, 0) is None and box.choose(LANE_WAVE, 0)[0] == 1
    assert box.ack(1, 1) == 1 and box.ack(4, 1) == 1 and box.choose(LANE_VITALS, 0) is None


def test_only_what_is_held_is_freed():
    box = filled([LANE_VITALS] * 8)
    assert box.ack(2, 3) == 3 and box.ack(1, 5) == 2 and box.ack(2, 3) == 0
    assert box.numbers() == [0, 6, 7] and box.bytes == 3 * (10 + FRAME_COST)


def test_the_last_number_of_a_boot():
    box = Outbox(10000)
    box.next_seq = MAX_SEQ
    box.add(MAX_SEQ, b"last", LANE_VITALS)
    assert box.next_seq == 1 << 32 and box.ranges(4) == [[MAX_SEQ, 1]]
    try:
        box.add(box.next_seq, b"one more", LANE_VITALS)
        raise AssertionError("a number above 32 bits")
    except LocalError as e:
        assert e.cause == "exhausted"
    assert box.numbers() == [MAX_SEQ] and box.ack(MAX_SEQ, 1) == 1


def test_eviction_order_and_merged_record():
    box = Outbox(100 + 5 * FRAME_COST)
    box.add(0, b"x" * 10, LANE_ALARM, keep=True)
    for seq in range(1, 5):
        box.add(seq, b"x" * 20, LANE_WAVE if seq != 2 else LANE_VITALS)
    for seq in range(5, 9):
        box.add(seq, b"x" * 20, LANE_VITALS)
    assert box.numbers() == [0, 5, 6, 7, 8]
    assert box.evictions() == [[1, 4]]
    assert box.evicted == 4
    box.evictions_sealed()
    assert box.evictions() == []
    assert box.bytes == 10 + 4 * 20 + 5 * FRAME_COST


def test_what_is_to_be_stated_has_an_upper_end():
    """An agent that acknowledges every other frame, and no loss frame."""
    box = Outbox(4 * (10 + FRAME_COST))
    for seq in range(3 * MAX_EVICTED):
        box.add(seq, b"x" * 10, LANE_VITALS if seq % 2 else LANE_WAVE)
        box.ack(seq, seq % 2)
    ranges = box.evictions()
    held = box.numbers()[0]
    assert len(ranges) == MAX_EVICTED and box.evicted == held // 2 > MAX_EVICTED
    assert [one for one in ranges[1:] if one[1] != 1] == []
    assert ranges[0] == [0, ranges[1][0] - 1] and ranges[-1] == [held - 2, 1]


def test_a_shrunk_outbox_holds_less_from_then_on():
    box = filled([LANE_WAVE] * 10 + [LANE_ALARM], 936)
    assert box.bytes == 11 * (936 + FRAME_COST)
    box.shrink()
    assert box.max_bytes == 8250 and box.bytes <= 8250
    assert box.evictions() == [[0, 3]] and box.numbers()[-1] == 10
    box.add(11, b"x" * 936, LANE_VITALS)
    assert box.bytes <= 8250 and box.evictions() == [[0, 4]]
    for _ in range(20):
        box.shrink()
    assert box.max_bytes == MIN_BYTES and box.numbers() == [8, 9, 10, 11]


class Tight(list):
    """A list for which memory has no longer piece: it takes as many as it has had."""

    def append(self, one):
        if len(self) >= self.most:
            raise MemoryError("allocating 4096 bytes")
        super().append(one)


def test_frames_give_way_to_one_that_no_longer_list_can_be_had_for():
    box = filled([LANE_WAVE] * 16, 936, 1 << 20)
    box._frames = Tight(box._frames)
    box._frames.most = 16
    box.add(16, b"x" * 936, LANE_VITALS)
    assert box.evictions() == [[0, 5]] and box.numbers() == list(range(5, 17))
    assert box.bytes == 12 * (936 + FRAME_COST) and box.next_seq == 17
    for seq in range(17, 40):
        box.add(seq, b"x" * 936, LANE_WAVE)
    # Vitals and alarms outlive the waveforms.
    assert box.holds(16) and box.holds(39) and box.evicted + len(box) == 40


def test_a_frame_that_nothing_can_give_way_to_changes_nothing():
    box = Outbox(1 << 20)
    for seq in range(4):
        box.add(seq, b"x" * 936, LANE_ALARM, True)
    box._frames = Tight(box._frames)
    box._frames.most = 4
    held = box.bytes
    try:
        box.add(4, b"x", LANE_WAVE)
        raise AssertionError("held")
    except MemoryError:
        pass
    assert box.numbers() == [0, 1, 2, 3] and box.next_seq == 4 and box.bytes == held
    assert box.evictions() == []


def test_a_frame_is_held_though_no_memory_is_left_to_note_what_it_puts_out():
    box = filled([LANE_WAVE] * 4, 936, 4 * (936 + FRAME_COST))
    real = outbox.add_range

    def failing(ranges, first, count):
        raise MemoryError("no room for a range")

    outbox.add_range = failing
    try:
        box.add(4, b"x" * 936, LANE_WAVE)
    finally:
        outbox.add_range = real
    assert box.numbers() == [0, 1, 2, 3, 4] and box.evicted == 0 and box.next_seq == 5
    box.add(5, b"x" * 936, LANE_WAVE)
    assert box.numbers() == [2, 3, 4, 5] and box.evictions() == [[0, 2]]


def test_a_small_outbox_does_not_grow_by_shrinking():
    box = filled([LANE_WAVE] * 10, 36, 600)
    box.shrink()
    assert box.max_bytes == 600


def test_what_is_in_flight_goes_last():
    box = Outbox(4 * (10 + FRAME_COST))
    for seq in range(4):
        box.add(seq, b"x" * 10, LANE_WAVE)
    box.flight = {0: None}
    box.add(4, b"x" * 10, LANE_VITALS)
    assert box.numbers() == [0, 2, 3, 4] and box.evictions() == [[1, 1]]
    for seq in range(5, 8):
        box.add(seq, b"x" * 10, LANE_ALARM)
    assert box.numbers() == [0, 5, 6, 7]
    box.add(8, b"x" * 10, LANE_ALARM)
    assert box.numbers() == [5, 6, 7, 8] and not box.flight
    box.flight = {5: None}
    box.add(9, b"x" * 10, LANE_ALARM)
    assert box.numbers() == [5, 7, 8, 9]
    box.add(10, b"x" * (10 + 3 * (10 + FRAME_COST)), LANE_ALARM, keep=True)
    assert box.numbers() == [10] and not box.flight


def test_nothing_is_lost_silently():
    box = Outbox(20 * (10 + FRAME_COST))
    for seq in range(100):
        box.add(seq, b"x" * 10, (LANE_ALARM, LANE_VITALS, LANE_WAVE)[seq % 3])
    evicted = {n for first, count in box.evictions() for n in range(first, first + count)}
    held = set(box.numbers())
    assert not evicted & held
    assert evicted | held == set(range(100))


def test_the_widest_gaps_between_held_ranges_stay():
    box = filled([LANE_VITALS] * 200)
    assert box.ranges(1) == [[0, 200]]
    for first, count in ((0, 3), (5, 1), (20, 10), (40, 2), (60, 2), (63, 1), (100, 40), (150, 2)):
        box.ack(first, count)
    every = [[3, 2], [6, 14], [30, 10], [42, 18], [62, 1], [64, 36], [140, 10], [152, 48]]
    assert box.ranges(16) == box.ranges(8) == every
    assert box.ranges(3) == [[3, 17], [30, 70], [140, 60]]
    assert box.ranges(1) == [[3, 197]]
    for limit in range(1, 10):
        ranges = box.ranges(limit)
        assert len(ranges) == min(limit, 8)
        for i in range(len(ranges) - 1):
            assert ranges[i][0] + ranges[i][1] < ranges[i + 1][0]
    assert Outbox(100).ranges(1) == []


class Counted:
    """A list that counts how often a frame was looked at."""

    def __init__(self, frames):
        self.frames = frames
        self.looks = 0

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, i):
        self.looks += 1
        return self.frames[i]


def test_acknowledging_what_is_not_held_costs_next_to_nothing():
    box = filled([LANE_VITALS] * 256)
    box.ack(100, 10)
    box._frames = Counted(box._frames)
    for first, count in ((256, 5), (100, 10), (103, 1), (104, 3)):
        box._frames.looks = 0
        assert box.ack(first, count) == 0 and box._frames.looks <= 10


def test_held_ranges_are_joined_to_a_superset_when_many():
    box = filled([LANE_VITALS] * 60)
    for seq in range(0, 60, 2):
        box.ack(seq, 1)
    ranges = box.ranges(4)
    assert len(ranges) == 4
    covered = {n for first, count in ranges for n in range(first, first + count)}
    assert set(box.numbers()) <= covered
