"""Frames that lie on flash while the link is away."""

from firmware.spool import RECORD_EVERY_S
from protocol.frames import LANE_ALARM, LANE_VITALS, LANE_WAVE
from protocol.session_states import GREETING, STREAMING
from tests.both import spool_world
from tests.both.spool_world import Flash, World, drain_box, files


def test_what_is_moved_is_given_again_in_order():
    with Flash() as folder:
        w = World(folder)
        for n in range(24):
            w.second(n)
        total = w.box.next_seq
        w.store_all()
        assert not w.box.frames() and w.box.bytes == 0 and w.box.waiting()
        assert w.box.ranges(4) == [[0, total]]
        assert drain_box(w.box, 1) == list(range(total))
        assert not w.box.waiting()
        w.tidy()
        assert files(folder) == [] and w.box.spool is None and w.spool.used == 0


def test_memory_and_flash_together_are_one_box():
    with Flash() as folder:
        w = World(folder, max_bytes=100000)
        for n in range(10):
            w.second(n)
        w.store(2)
        w.store(1)
        for n in range(10):
            w.second(n)
        assert len(w.box.frames()) > 20
        assert w.box.choose(LANE_ALARM, 0) is None and w.box.choose(LANE_VITALS, 0)[0] == 1
        w.make(LANE_ALARM)
        assert w.box.choose(LANE_ALARM, 0)[0] == w.box.next_seq - 1
        assert w.box.choose(LANE_WAVE, 0)[0] == 0
        assert drain_box(w.box, 1) == list(range(w.box.next_seq))


def test_the_next_boot_gives_what_the_last_had_on_flash():
    with Flash() as folder:
        w = World(folder)
        for n in range(100):
            w.second(n)
            w.store_all()
        had = w.box.next_seq
        for n in range(3):
            w.second(n)
        after = World(folder, 2)
        ((boot_id, _), (past_id, past)) = after.boxes()
        assert past_id == w.boot_id and boot_id == after.boot_id
        assert after.session.earlier[0].headers == [spool_world.HEADER]
        assert past.ranges(1) == [[0, had]] and past.next_seq == had
        assert drain_box(past, 1) == list(range(had))
        after.tidy()
        after.tidy()
        assert files(folder) == [] and after.session.earlier == [] and after.session.anew == 1


def test_the_boot_record_waits_while_all_is_acknowledged_at_once():
    with Flash() as folder:
        w = World(folder)
        put_off = []
        w.start.record.put_off = put_off.append

        def second(now_s, acked, state=STREAMING):
            w.session.state = state
            w.clock.now_ms = lambda: now_s * 1000
            w.second(now_s)
            w.box.ack(0, acked(w.box.next_seq))
            del put_off[:]
            w.spool.second(None)
            return put_off

        # Some frames of this second are under way.
        assert second(100, lambda n: n) == [99] and second(101, lambda n: n - 1) == [100]
        # One of an earlier second, however many follow.
        assert second(102, lambda n: 1) == [] and second(103, lambda n: 1) == []
        assert second(104, lambda n: n) == [103]
        assert second(105, lambda n: n, GREETING) == []
        assert second(RECORD_EVERY_S + 3, lambda n: n) == []
