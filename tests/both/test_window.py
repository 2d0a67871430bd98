"""The sender's window over one box and over several: lanes, limits, retransmission (RFC 6298), flow."""

from protocol.frames import LANE_ALARM, LANE_VITALS, LANE_WAVE
from protocol.outbox import Outbox
from protocol.window import (
    BYTES,
    CATCH_UP_MS,
    FRAMES,
    RTO_FIRST_MS,
    RTO_MAX_MS,
    RTO_MIN_MS,
    WINDOW_BYTES,
    RoundTrip,
    Window,
)


def filled(lanes, size=10, box=None):
    box = Outbox(1 << 20) if box is None else box
    for lane in lanes:
        box.add(box.next_seq, b"x" * size, lane)
    return box


def started(*boxes):
    window = Window()
    window.start(list(boxes))
    return window


def live(lanes, size=10):
    """(window, box) with frames made after the connection began."""
    box = Outbox(1 << 20)
    window = started(box)
    filled(lanes, size, box)
    return window, box


def drain(window, now_ms=0):
    out = []
    while True:
        sent = window.next_frame(now_ms)
        if sent is None:
            return out
        out.append(sent.seq if sent.index == 0 else (sent.index, sent.seq))


# What goes first


def test_the_window_is_bounded_slides_with_acks_and_keeps_room_for_an_alarm():
    window, box = live([LANE_VITALS] * 40)
    assert drain(window) == list(range(FRAMES[1]))
    assert window.ack(0, 0, 4, 50) == 4
    assert drain(window, 60) == [15, 16, 17, 18]
    filled([LANE_ALARM, LANE_ALARM], box=box)
    assert drain(window, 70) == [40, 41]


def test_each_place_leaves_room_for_the_more_urgent_ones():
    box = filled([LANE_WAVE] * 30)
    window = started(box)
    assert len(drain(window)) == FRAMES[3]
    filled([LANE_WAVE] * 5, box=box)
    assert drain(window) == [30, 31]
    filled([LANE_VITALS] * 5, box=box)
    assert drain(window) == [35]
    filled([LANE_ALARM], box=box)
    assert drain(window) == [40]


def test_bytes_in_flight_are_bounded_and_leave_room_too():
    for size in (500, 700, 1300, 3800):
        window, box = live([LANE_WAVE] * 40, size)
        sent = len(drain(window))
        assert 0 < sent * size <= WINDOW_BYTES
        filled([LANE_ALARM], 100, box)
        assert drain(window) == [40]


def test_live_comes_before_backlog_and_alarms_before_all():
    box = filled([LANE_WAVE, LANE_WAVE, LANE_ALARM])
    window = started(box)
    filled([LANE_WAVE, LANE_VITALS, LANE_ALARM], box=box)
    assert drain(window) == [5, 2, 4, 3, 0, 1]


def test_boots_share_one_window_and_the_oldest_backlog_goes_first():
    newest, older = filled([LANE_WAVE, LANE_ALARM]), filled([LANE_VITALS, LANE_ALARM])
    oldest = filled([LANE_WAVE] * 3)
    window = started(newest, older, oldest)
    filled([LANE_VITALS, LANE_ALARM], box=newest)
    sent = drain(window)
    assert sent == [3, 1, (1, 1), 2, (2, 0), (2, 1), (2, 2), (1, 0), 0]
    assert window.ack(0, 0, 4, 5) == 4 and window.ack(1, 0, 2, 5) == 2 and window.ack(2, 0, 2, 5) == 2
    filled([LANE_WAVE] * 40, box=newest)
    assert len(drain(window, 6)) == FRAMES[2] - 1
    assert window.ack(2, 2, 1, 7) == 1 and not oldest.waiting() and window.waiting()


def test_an_alarm_of_now_goes_before_any_number_of_old_ones():
    newest, older = Outbox(1 << 20), filled([LANE_ALARM] * 40)
    window = started(newest, older)
    assert drain(window) == [(1, n) for n in range(15)]
    filled([LANE_ALARM], box=newest)
    assert drain(window) == [0]


def test_a_boot_that_the_agent_has_no_key_of_is_not_sent():
    newest, older = filled([LANE_VITALS]), filled([LANE_ALARM] * 3)
    window = started(newest, None)
    assert drain(window) == [0]
    window.ack(0, 0, 1, 5)
    assert older.waiting() and not window.waiting()


def test_an_alarm_goes_before_what_is_to_be_sent_again():
    window, box = live([LANE_WAVE] * 12)
    drain(window, 0)
    filled([LANE_ALARM], box=box)
    assert drain(window, RTO_FIRST_MS) == [12] + list(range(12))


def test_a_new_connection_begins_with_nothing_in_flight():
    box = filled([LANE_VITALS] * 6)
    window = started(box)
    drain(window)
    window.ack(0, 2, 2, 5)
    window.stop()
    assert drain(window, 6) == [] and not box.flight
    window.start([box])
    assert drain(window, 6) == [0, 1, 4, 5]


def test_what_is_evicted_in_flight_makes_room():
    box = Outbox(20 * (10 + 64))
    window = started(box)
    filled([LANE_VITALS] * 20, box=box)
    assert drain(window) == list(range(15))
    filled([LANE_ALARM] * 20, box=box)
    assert box.numbers() == list(range(20, 40))
    assert drain(window) == list(range(20, 40)) and len(box.flight) == 20


def test_alarms_have_room_of_their_own_when_nothing_is_acknowledged():
    """The agent reads and its disk refuses: for hours every frame in flight stays there."""
    window, box = live([LANE_ALARM] + [LANE_VITALS] * 40)
    assert drain(window) == list(range(FRAMES[1]))
    window.flow(False, 512, 2)
    for _ in range(17):
        filled([LANE_ALARM, LANE_VITALS, LANE_WAVE], 110, box)
        alarm = box.next_seq - 3
        assert drain(window) == [alarm]
    filled([LANE_ALARM], box=box)
    assert drain(window) == [] and len(box.flight) == FRAMES[0]
    window.ack(0, 0, 1, 5)
    assert drain(window, 6) == [box.next_seq - 1]


def test_alarms_find_room_beside_the_longest_frames():
    window, box = live([LANE_WAVE] * 4, 3500)
    sent = len(drain(window))
    for _ in range(18):
        filled([LANE_ALARM], 110, box)
        assert drain(window) == [box.next_seq - 1]
    assert sent and sum(len(one.sealed) for one in box.flight.values()) <= BYTES[0]


# When it goes again


def test_a_time_out_sends_again_and_backs_off():
    window, _ = live([LANE_VITALS])
    assert drain(window, 0) == [0]
    assert drain(window, RTO_FIRST_MS - 1) == []
    assert drain(window, RTO_FIRST_MS) == [0]
    assert drain(window, 3 * RTO_FIRST_MS - 1) == []
    assert drain(window, 3 * RTO_FIRST_MS) == [0]
    assert window.resent == 2 and window.trip.rto_ms == 4 * RTO_FIRST_MS


def test_one_silence_doubles_once_however_many_frames_it_took():
    window, _ = live([LANE_VITALS] * 10)
    drain(window, 0)
    assert drain(window, RTO_FIRST_MS) == list(range(10))
    assert window.trip.rto_ms == 2 * RTO_FIRST_MS
    assert drain(window, 3 * RTO_FIRST_MS) == list(range(10))
    assert window.trip.rto_ms == 4 * RTO_FIRST_MS


def test_the_time_out_has_an_upper_end():
    window, _ = live([LANE_VITALS])
    now = 0
    for _ in range(10):
        assert drain(window, now) == [0]
        now += RTO_MAX_MS
    assert window.trip.rto_ms == RTO_MAX_MS


def test_three_later_acks_send_a_lost_frame_again_at_once():
    window, _ = live([LANE_VITALS] * 8)
    drain(window, 0)
    window.ack(0, 1, 1, 10)
    window.ack(0, 2, 1, 11)
    assert drain(window, 12) == []
    window.ack(0, 3, 1, 12)
    assert drain(window, 13) == [0]
    assert window.trip.rto_ms == RTO_MIN_MS
    window, _ = live([LANE_VITALS] * 8)
    drain(window, 0)
    window.ack(0, 1, 3, 10)
    assert drain(window, 12) == [0]


def test_acks_of_another_boot_tell_of_a_loss_too():
    older = filled([LANE_VITALS] * 2)
    window = started(filled([LANE_VITALS] * 4), older)
    assert drain(window) == [(1, 0), (1, 1), 0, 1, 2, 3]
    window.ack(0, 0, 3, 10)
    assert drain(window, 11) == [(1, 0), (1, 1)]


def test_a_frame_sent_again_is_not_measured_and_the_back_off_stays():
    """Karn: whose transmission an ack answers is not known; RFC 6298 §5: what was doubled stays so until a
    frame sent once has been acked.
    """
    window, box = live([LANE_VITALS])
    drain(window, 0)
    drain(window, RTO_FIRST_MS)
    window.ack(0, 0, 1, RTO_FIRST_MS + 1)
    assert window.trip.rto_ms == 2 * RTO_FIRST_MS
    filled([LANE_VITALS], box=box)
    assert drain(window, 10000) == [1]
    window.ack(0, 1, 1, 10200)
    assert window.trip.rto_ms == RTO_MIN_MS


def test_a_measured_time_out_holds_for_what_was_sent_before():
    window, _ = live([LANE_VITALS] * 2)
    drain(window, 0)
    window.ack(0, 0, 1, 100)
    assert window.trip.rto_ms == RTO_MIN_MS
    assert drain(window, 999) == [] and drain(window, 1000) == [1]


def test_a_slow_wire_is_learnt_and_not_flooded():
    """Every ack takes 5 s, the first time-out is 3 s: the same frames do not go twice for ever."""
    window, box = live([])
    acks = []
    for now in range(0, 120000, 100):
        if now % 1000 == 0:
            filled([LANE_VITALS], box=box)
        while acks and acks[0][0] <= now:
            window.ack(0, acks.pop(0)[1], 1, now)
        for seq in drain(window, now):
            acks.append((now + 5000, seq))
        if now == 60000:
            before = window.resent
    assert window.resent == before and window.trip.rto_ms > 5000


# RFC 6298, §2


def test_the_time_out_by_the_book():
    trip = RoundTrip()
    assert trip.rto_ms == RTO_FIRST_MS
    trip.measured(2000)
    assert trip.rto_ms == 2000 + 4 * 1000
    # RTTVAR ← 3/4·1000 + 1/4·|2000 − 1000| before SRTT ← 7/8·2000 + 1/8·1000
    trip.measured(1000)
    assert trip.rto_ms == 1875 + 4 * 1000
    # RTTVAR ← 3/4·1000 + 1/4·|1875 − 1075|, SRTT ← 1875 − 100
    trip.measured(1075)
    assert trip.rto_ms == 1775 + 4 * 950
    trip.silent()
    assert trip.rto_ms == 2 * (1775 + 4 * 950)
    trip.measured(1775)
    assert trip.rto_ms == 1775 + 3 * 950


def test_rounding_never_sticks():
    for first, then in ((5000, 1993), (1993, 5000), (2000, 2001), (2001, 2000), (0, 1500), (1500, 0)):
        trip = RoundTrip()
        trip.measured(first)
        for _ in range(300):
            trip.measured(then)
        assert max(then, RTO_MIN_MS) <= trip.rto_ms <= max(then + 4, RTO_MIN_MS)


def test_the_time_out_stays_within_its_bounds():
    trip = RoundTrip()
    trip.measured(0)
    assert trip.rto_ms == RTO_MIN_MS
    trip.measured(600000)
    assert trip.rto_ms == RTO_MAX_MS
    trip.silent()
    assert trip.rto_ms == RTO_MAX_MS


# What the agent takes


def test_without_waveforms_everything_else_goes():
    box = filled([LANE_WAVE, LANE_VITALS])
    window = started(box)
    filled([LANE_WAVE, LANE_VITALS, LANE_ALARM], box=box)
    assert drain(window) == [4, 3, 2, 0, 1]
    window.flow(False, 0, 16)
    assert sorted(box.flight) == [1, 3, 4]
    assert drain(window, RTO_FIRST_MS) == [4, 3, 1]
    window.flow(True, 0, 16)
    assert drain(window, RTO_FIRST_MS) == [2, 0]


def test_few_in_flight_but_alarms():
    window, box = live([LANE_VITALS] * 5)
    window.flow(True, 0, 2)
    assert drain(window) == [0, 1]
    filled([LANE_ALARM] * 3, box=box)
    assert drain(window) == [5, 6, 7]
    window.ack(0, 0, 1, 5)
    assert drain(window) == []
    window.ack(0, 5, 2, 5)
    assert drain(window) == []
    window.ack(0, 7, 1, 5)
    assert drain(window) == [1, 2]


def test_bytes_a_second_hold_on_the_average_and_not_for_alarms():
    window, box = live([LANE_VITALS] * 100, 95)
    window.flow(True, 1000, 16)
    sent = []
    for now in range(0, 10000, 100):
        sent += drain(window, now)
        for seq in list(box.flight):
            window.ack(0, seq, 1, now)
    assert 97 <= len(sent) <= 100 + CATCH_UP_MS // 100 + 1
    filled([LANE_ALARM] * 5, 95, box)
    assert drain(window, 10000)[:5] == [100, 101, 102, 103, 104]


def test_what_is_sent_again_counts_towards_the_limit():
    window, _ = live([LANE_VITALS] * 10, 95)
    drain(window, 0)
    window.flow(True, 100, 16)
    again = []
    for now in range(RTO_FIRST_MS, RTO_FIRST_MS + 5000, 100):
        again += drain(window, now)
    assert 4 <= len(again) <= 6


def test_a_limit_is_not_owed_what_was_sent_under_another():
    window, _ = live([LANE_VITALS] * 4, 3000)
    window.flow(True, 1, 16)
    assert drain(window) == [0]
    window.flow(True, 1, 8)
    assert drain(window, 1000) == []
    window.flow(True, 1000, 16)
    assert drain(window, 1000) == [1]
    assert drain(window, 2000) == []


def test_a_slow_limit_holds_back_no_past_alarm_that_is_to_be_sent_again():
    box = filled([LANE_ALARM, LANE_VITALS])
    window = started(box)
    assert drain(window) == [0, 1]
    window.flow(True, 1, 16)
    filled([LANE_VITALS], 3000, box)
    window.ack(0, 1, 1, 10)
    assert drain(window, 10) == [2]
    assert drain(window, 10 + RTO_FIRST_MS) == [0]
    assert drain(window, 10 + 4 * RTO_FIRST_MS) == [0]


def test_a_limit_ends_with_its_connection():
    window, box = live([LANE_WAVE] * 5)
    window.flow(False, 1, 1)
    assert drain(window) == []
    window.stop()
    window.start([box])
    assert drain(window) == [0, 1, 2, 3, 4]
