"""Flash that lies, refuses, or was torn: one record is lost, and said to be."""

import os

from firmware import spool_put
from firmware.flash import FlashError
from protocol import cbor
from protocol.frames import LANE_VITALS, LANE_WAVE
from tests.both.node_memory import raises
from tests.both.spool_world import Flash, World, drain_box, end_worlds, files


def stored(folder, n=60, counter=1):
    """A world with one segment of vitals on flash, and its path."""
    w = World(folder, counter)
    for _ in range(n):
        w.make(LANE_VITALS, 60)
    w.store_all()
    return w, folder + "/spool/%08x100000" % counter


def change(path, at, data):
    with open(path, "rb") as file:
        whole = file.read()
    with open(path, "wb") as file:
        file.write(whole[:at] + data + whole[at + len(data) :])


def test_a_damaged_record_costs_itself_and_is_stated():
    with Flash() as folder:
        for at in (20, 21, 24, 26, 30, 60, 20 + 72 * 7 + 3):
            w, path = stored(folder)
            change(path, at, b"\xff")
            gone = (at - 20) // 72
            assert drain_box(w.box, 1) == [seq for seq in range(60) if seq != gone], at
            assert w.box.evictions() == [[gone, 1]], at
            w.tidy()
            assert files(folder) == []


def test_a_flipped_bit_in_a_segments_head_takes_no_frame_and_in_a_records_that_one():
    with Flash() as folder:
        w = World(folder, 1)
        for _ in range(80):
            w.make(LANE_VITALS, 60)
        w.box.ack(0, 70)
        w.store_all()
        path = folder + "/spool/00000001100000"
        with open(path, "rb") as file:
            whole = file.read()
        for at in range(32):
            # With its lowest bit the head's number is 71: it may not hide frame 70.
            for bit in (1, 0x80):
                with open(path, "wb") as file:
                    file.write(whole[:at] + bytes((whole[at] ^ bit,)) + whole[at + 1 :])
                after = World(folder, 2)
                begin = 70 if at < 20 else 71
                assert drain_box(after.session.earlier[0].box, 1) == list(range(begin, 80)), at
                assert [entry[1:] for entry in after.spool.damaged] == ([] if at < 20 else [(70, 1)]), at
                end_worlds()


def test_damage_with_marks_in_it_is_searched_through():
    with Flash() as folder:
        w, path = stored(folder)
        change(path, 20 + 72 * 5, b"\xa5" * 100)
        assert drain_box(w.box, 1) == [seq for seq in range(60) if seq not in (5, 6)]
        assert w.box.evictions() == [[5, 2]]


def test_a_torn_end_of_the_last_boot_is_what_its_memory_held():
    with Flash() as folder:
        _, path = stored(folder)
        with open(path, "rb") as file:
            whole = file.read()
        for cut in (len(whole) - 1, len(whole) - 71, len(whole) - 72, 30, 20, 3, 0):
            with open(path, "wb") as file:
                file.write(whole[:cut])
            after = World(folder, 2)
            held = max(cut - 20, 0) // 72
            ((_, _), *past) = after.boxes()
            if held:
                assert drain_box(past[0][1], 1) == list(range(held)), cut
                assert past[0][1].next_seq == held
            assert not after.spool.damaged


def test_damage_of_an_earlier_boot_is_stated_by_the_next():
    with Flash() as folder:
        _, path = stored(folder)
        change(path, 20 + 72 * 10, b"\0" * 20)
        w = World(folder, 2)
        assert len(drain_box(w.session.earlier[0].box, 1)) == 59
        for _ in range(4):
            w.tidy()
        assert w.stated[0][1][1][0][1:3] == [10, 1] and files(folder) == ["evicted"]


def test_a_segment_without_its_head_still_gives_its_frames():
    with Flash() as folder:
        w, path = stored(folder)
        change(path, 0, b"nothing like it was ")
        assert drain_box(w.box, 1) == list(range(60))


def test_flash_that_refuses_leaves_all_in_memory_and_is_told_once():
    with Flash() as folder:
        w = World(folder)
        for _ in range(20):
            w.make(LANE_WAVE, 200)
        real = spool_put.in_pieces

        def broken(spool, file, at, data):
            if at > 1000:
                raise OSError(5, "EIO")
            return real(spool, file, at, data)

        spool_put.in_pieces = broken
        try:
            assert raises(FlashError, w.store).cause
        finally:
            spool_put.in_pieces = real
        assert len(w.box.frames()) == 20 and not w.box.evictions()
        w.store_all()
        # What that write left comes no second time.
        assert drain_box(w.box, 1) == list(range(20))
        w.tidy()
        assert files(folder) == []


def test_reading_that_fails_leaves_the_segment_to_the_next_boot():
    with Flash() as folder:
        _, path = stored(folder)
        after = World(folder, 2)
        box = after.session.earlier[0].box
        os.rename(path, path + "x")
        os.mkdir(path)
        assert drain_box(box, 1) == [] and not box.waiting()
        os.rmdir(path)
        os.rename(path + "x", path)
        for _ in range(3):
            after.tidy()
        assert "00000001" in files(folder)
        assert drain_box(World(folder, 3).session.earlier[0].box, 1) == list(range(60))


def test_an_earlier_boot_whose_last_segment_is_torn_can_be_acknowledged():
    with Flash() as folder:
        for size in (0, 3, 20, 40):
            w, _ = stored(folder, 130)
            *_, last = [folder + "/spool/" + name for name in files(folder) if len(name) == 14]
            with open(last, "rb") as file:
                whole = file.read()
            with open(last, "wb") as file:
                file.write(whole[:size])
            held = 8164 // 72
            after = World(folder, 2)
            past = after.session.earlier[0].box
            # What a hello says of it, and which acknowledgements are taken.
            assert past.ranges(1) == [[0, held]] and past.next_seq == held, size
            assert drain_box(past, 1) == list(range(held)), size
            after.tidy()
            after.tidy()
            assert files(folder) == [] and w.counter == 1


def test_a_number_beyond_what_the_end_tells_can_be_acknowledged_once_it_is_given():
    with Flash() as folder:
        w, path = stored(folder, 20)
        with open(path, "rb") as file:
            whole = file.read()
        # A write that failed at its end, and was begun again in another segment when the power went.
        with open(path[:-1] + "1", "wb") as file:
            file.write(whole[:20] + whole[20 + 72 * 5 : 20 + 72 * 7])
        past = World(folder, 2).session.earlier[0].box
        while past.choose(LANE_VITALS, 0) is not None:
            seq = past.choose(LANE_VITALS, 0)[0]
            past.flight[seq] = True
            assert seq < past.next_seq
        assert len(past.flight) == 20 and w.counter == 1


def test_what_the_file_system_refuses_to_read_is_left_out():
    with Flash() as folder:
        _, path = stored(folder, 130)
        *_, last = [folder + "/spool/" + name for name in files(folder) if len(name) == 14]
        os.remove(last)
        os.mkdir(last)
        after = World(folder, 2)
        assert after.session.earlier[0].box.next_seq == 8164 // 72 and path != last


def test_frames_of_another_identity_are_given_to_nobody():
    with Flash() as folder:
        stored(folder)
        w = World(folder, 2, identity=b"another!")
        assert w.session.earlier == [] and files(folder) == [] and w.spool.used == 0
        assert w.told == ["the spool held frames of an earlier identity of this node: they are gone"]
        w.tidy()
        assert w.stated == []


def test_boots_of_a_development_build_are_given():
    with Flash() as folder:
        w, _ = stored(folder)
        w.spool.records.write("00000001", cbor.dumps([w.boot_id, w.session.headers]))
        assert drain_box(World(folder, 2).session.earlier[0].box, 1) == list(range(60))
