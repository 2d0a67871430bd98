"""A spool without room: what goes, in which order, and what is said of it."""

from firmware import spool_put
from protocol import cbor, frames
from protocol.frames import LANE_ALARM, LANE_VITALS, LANE_WAVE
from protocol.outbox import SPARE
from tests.both import spool_world
from tests.both.spool_world import Flash, World, drain_box, files


def chains(folder):
    """How many segments each chain has."""
    counts = [0, 0, 0, 0]
    for name in files(folder):
        if len(name) == 14:
            counts[int(name[8])] += 1
    return counts


def long_outage(w, seconds):
    for n in range(seconds):
        w.second(n)
        if n % 10 == 9:
            w.store_all()


def test_the_oximeters_waveform_goes_first_then_the_other():
    with Flash() as folder:
        w = World(folder, max_kib=88)
        long_outage(w, 60)
        assert not w.box.evictions() and chains(folder)[3] > 1
        long_outage(w, 160)
        assert w.box.evictions() and w.spool.used <= w.spool.limit
        got = drain_box(w.box, 1)
        made = w.box.next_seq
        lost = set()
        for first, count in w.box.evictions():
            lost |= set(range(first, first + count))
        assert set(got) | lost == set(range(made)) and w.box.evicted == made - len(got)
        urgent = [seq for seq in range(made) if w.lanes[seq][0] != LANE_WAVE]
        assert set(urgent) <= set(got), "no vitals and no alarm went"
        late = [seq for seq in got if w.lanes[seq] == (LANE_WAVE, SPARE)]
        assert not late or late[0] > got[len(got) // 2], "the oximeter's waveform went before the other"


def test_vitals_go_when_no_waveform_is_left_and_alarms_last():
    with Flash() as folder:
        w = World(folder, max_kib=64)
        for n in range(950):
            w.make(LANE_VITALS, 70)
            if n % 100 == 0:
                w.make(LANE_ALARM)
            if n % 40 == 39:
                w.store_all()
        got = set(drain_box(w.box, 1))
        made = range(w.box.next_seq)
        assert len(got) < len(made)
        assert all(seq in got for seq in made if w.lanes[seq][0] == LANE_ALARM)
        assert w.box.next_seq - 1 in got


def test_the_oldest_boots_go_first_and_a_later_one_says_so():
    with Flash() as folder:
        long_outage(World(folder, 1, 60), 40)
        long_outage(World(folder, 2, 60), 90)
        w = World(folder, 3, 60)
        noted = spool_put.read_evicted(w.spool)
        assert noted[0][0][3] == 1 and w.spool.to_state
        w.tidy()
        ((kind, body),) = w.stated
        assert kind == frames.KIND_LOST_BEFORE
        assert body == {1: [entry + [frames.LOSS_OUTBOX_FULL] for entry in noted]}
        w.tidy()
        assert len(w.stated) == 1 and spool_put.read_evicted(w.spool) == noted, "kept until it has arrived"
        w.box.ack(w.box.next_seq - 1, 1)
        w.tidy()
        assert spool_put.read_evicted(w.spool) == []
        # All that is not noted comes.
        first_of = {entry[0][3]: entry[1] for entry in noted}
        end_of = {entry[0][3]: entry[1] + entry[2] for entry in noted}
        for boot_id, box in w.boxes()[1:]:
            got = set(drain_box(box, boot_id[3]))
            for seq in range(box.next_seq):
                assert seq in got or first_of[boot_id[3]] <= seq < end_of[boot_id[3]]


def test_another_power_cut_before_that_arrived_makes_the_next_boot_say_it():
    with Flash() as folder:
        long_outage(World(folder, 1, 44), 90)
        World(folder, 2, 44).tidy()
        w = World(folder, 3, 44)
        w.tidy()
        assert w.stated[0][1][1][0][0][3] == 1


def test_boots_of_an_agent_that_is_gone_stay_until_there_is_no_room():
    with Flash() as folder:
        long_outage(World(folder, 1, 56), 24)
        other = (bytes(32), bytes(range(32)))
        w = World(folder, 2, 56, agents=(other,))
        w.session.headers = [[spool_world.node_id(*other), bytes(32), bytes(32)]]
        assert w.session.earlier == [] and [name for name in files(folder) if name[:8] == "00000001"]
        long_outage(w, 200)
        assert not [name for name in files(folder) if name[:8] == "00000001" and name[8:9] in ("2", "3")]
        assert spool_put.read_evicted(w.spool)[0][0][3] == 1
        again = World(folder, 3, 56)
        assert [boot.boot_id[3] for boot in again.session.earlier][-1] == 1


def test_flash_that_is_full_of_other_things_is_as_if_the_spool_were():
    with Flash() as folder:
        w = World(folder, max_kib=4000)
        long_outage(w, 40)
        real, refused = spool_put.append, []

        def append(spool, chain, found):
            if spool.used >= limit[0]:
                refused.append(spool.used)
                raise OSError(spool_put.NO_SPACE, "full")
            return real(spool, chain, found)

        limit = [w.spool.used + 10]
        spool_put.append = append
        try:
            long_outage(w, 150)
        finally:
            spool_put.append = real
        assert refused and w.spool.limit <= refused[0] + 8 and w.box.evictions()
        assert drain_box(w.box, 1)[-1] == w.box.next_seq - 1


def test_many_boots_come_a_few_at_a_time():
    with Flash() as folder:
        for counter in range(1, 8):
            long_outage(World(folder, counter, 2000), 20)
        w = World(folder, 8, 2000)
        seen = []
        while w.session.earlier:
            assert len(w.session.earlier) <= 2
            for boot in list(w.session.earlier):
                assert len(drain_box(boot.box, boot.boot_id[3])) > 40
                seen.append(boot.boot_id[3])
            w.tidy()
            w.tidy()
        assert sorted(seen) == [1, 2, 3, 4, 5, 6, 7] and files(folder) == []


def test_a_boot_whose_headers_are_damaged_is_given_up_and_stated():
    with Flash() as folder:
        long_outage(World(folder, 1), 30)
        with open(folder + "/spool/00000001", "wb") as file:
            file.write(b"VWR1 and what else was there is gone")
        w = World(folder, 2)
        assert w.session.earlier == [] and w.told and files(folder) == ["evicted"]
        w.tidy()
        assert w.stated[0][1][1][0][:2] == [(1).to_bytes(4, "big") + b"12345678", 0]
        assert cbor.dumps(w.stated[0][1])
