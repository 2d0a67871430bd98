from protocol.frames import LANE_ALARM, LANE_VITALS, LANE_WAVE
from protocol.outbox import (
    FRAME_COST,
    RTO_FIRST_MS,
    RTO_MIN_MS,
    WINDOW_FRAMES,
    Outbox,
    add_range,
)


def filled(lanes, size=10, max_bytes=100000):
    box = Outbox(max_bytes)
    for seq, lane in enumerate(lanes):
        box.add(seq, b"x" * size, lane)
    return box


def drain(box, now_ms=0):
    out = []
    while True:
        held = box.next_frame(now_ms)
        if held is None:
            return out
        out.append(held.seq)


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


def test_window_is_bounded_and_slides_with_acks():
    box = filled([LANE_VITALS] * 40)
    assert drain(box) == list(range(WINDOW_FRAMES))
    assert box.ack(0, 4, 50) == 4
    assert drain(box, 60) == [16, 17, 18, 19]


def test_alarm_goes_before_everything_and_has_room_left():
    box = filled([LANE_WAVE] * 40)
    sent = drain(box)
    assert len(sent) < WINDOW_FRAMES
    box.add(40, b"alarm", LANE_ALARM)
    assert drain(box) == [40]


def test_live_comes_before_backlog():
    box = filled([LANE_WAVE] * 5)
    box.restart()
    box.add(5, b"w", LANE_WAVE)
    box.add(6, b"v", LANE_VITALS)
    box.add(7, b"a", LANE_ALARM)
    assert drain(box) == [7, 6, 5, 0, 1, 2, 3, 4]


def test_time_out_sends_again_and_backs_off():
    box = filled([LANE_VITALS])
    assert drain(box, 0) == [0]
    assert drain(box, RTO_FIRST_MS - 1) == []
    assert drain(box, RTO_FIRST_MS) == [0]
    assert drain(box, 2 * RTO_FIRST_MS) == []
    assert drain(box, 3 * RTO_FIRST_MS) == [0]
    assert box.resent == 2


def test_three_later_acks_send_a_lost_frame_again_at_once():
    box = filled([LANE_VITALS] * 8)
    drain(box, 0)
    box.ack(1, 1, 10)
    box.ack(2, 1, 11)
    assert drain(box, 12) == []
    box.ack(3, 1, 12)
    assert drain(box, 13) == [0]


def test_rto_follows_the_measured_round_trip():
    box = filled([LANE_VITALS] * 200)
    for now in range(0, 100):
        drain(box, now * 20)
        box.ack(box.numbers()[0], 1, now * 20 + 10)
    assert box.rto_ms == RTO_MIN_MS


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


def test_a_shrunk_outbox_holds_less_from_then_on():
    box = filled([LANE_WAVE] * 10 + [LANE_ALARM], 36)
    assert box.bytes == 11 * (36 + FRAME_COST)
    box.shrink()
    assert box.max_bytes == 825 and box.bytes <= 825
    assert box.evictions() == [[0, 3]] and box.numbers()[-1] == 10
    box.add(11, b"x" * 36, LANE_VITALS)
    assert box.bytes <= 825 and box.evictions() == [[0, 4]]


def test_what_is_in_flight_goes_last():
    box = Outbox(4 * (10 + FRAME_COST))
    for seq in range(4):
        box.add(seq, b"x" * 10, LANE_WAVE)
    assert box.next_frame(0).seq == 0
    box.add(4, b"x" * 10, LANE_VITALS)
    assert box.numbers() == [0, 2, 3, 4] and box.evictions() == [[1, 1]]
    for seq in range(5, 9):
        box.add(seq, b"x" * 10, LANE_ALARM)
    assert box.numbers() == [0, 6, 7, 8]


def test_nothing_is_lost_silently():
    box = Outbox(20 * (10 + FRAME_COST))
    for seq in range(100):
        box.add(seq, b"x" * 10, (LANE_ALARM, LANE_VITALS, LANE_WAVE)[seq % 3])
    evicted = {n for first, count in box.evictions() for n in range(first, first + count)}
    held = set(box.numbers())
    assert not evicted & held
    assert evicted | held == set(range(100))


def test_held_ranges_are_joined_to_a_superset_when_many():
    box = filled([LANE_VITALS] * 60)
    for seq in range(0, 60, 2):
        box.ack(seq, 1, 0)
    ranges = box.ranges(4)
    assert len(ranges) == 4
    covered = {n for first, count in ranges for n in range(first, first + count)}
    assert set(box.numbers()) <= covered


def test_restart_makes_all_unacked_frames_due_again():
    box = filled([LANE_VITALS] * 6)
    drain(box, 0)
    box.ack(2, 2, 5)
    box.restart()
    assert drain(box, 6) == [0, 1, 4, 5]
