"""Frames of several boots on one connection, and of two agents."""

from protocol import crypto, frames, messages
from protocol import session_events as ev
from protocol import session_states as st
from protocol.node_hello import MAX_HELLO
from tests.both.session_world import AGENT, STRANGER, Earlier, World


def hellos(w):
    """The bodies of the hellos that the agent accepts from now on."""
    return [[len(event.boots), event.boots] for event in w.events if isinstance(event, ev.HelloAccepted)]


def with_earlier(boots, each=5):
    """A world whose node holds frames of so many earlier boots."""
    w = World()
    w.up = lambda data: []
    for _ in range(boots):
        w.run(40)
        for _ in range(each):
            w.make()
        w.next_boot()
    w.up = lambda data: [data]
    return w


def test_all_boots_are_delivered_on_one_connection():
    w = with_earlier(3)
    w.make()
    w.run(6000)
    assert w.agent.state == st.LIVE and len(w.box) == 0 and not w.node.window.waiting()
    assert [count for count, _ in hellos(w)] == [4]
    counts = {}
    for boot_id, _ in w.stored:
        counts[boot_id[3]] = counts.get(boot_id[3], 0) + 1
    assert counts[1] == counts[2] == counts[3] == 5 and counts[4] >= 1
    assert not w.agent.rejected and not w.node.rejected and w.duplicates == 0


def test_what_is_of_before_the_connection_is_past():
    w = with_earlier(1)
    before = w.make(body={1: 33, 2: 3}, lane=frames.LANE_ALARM)
    w.run(3000)
    after = w.make(body={1: 33, 2: 3}, lane=frames.LANE_ALARM)
    w.run(1000)
    past = {(key[0][3], key[1]): event.past for key, event in w.frames_in.items()}
    assert past[2, before] and not past[2, after]
    assert all(is_past for (boot, _), is_past in past.items() if boot == 1)


def test_a_cut_at_any_point_resumes_what_is_left_of_every_boot():
    for cut in range(400, 2000, 90):
        w = with_earlier(2)
        room = [cut]

        def pipe(data, w=w, room=room):
            if w.now > 4000:
                return [data]
            passed = data[: room[0]]
            room[0] -= len(passed)
            return [passed]

        w.up = pipe
        w.run(4000)
        had = len(w.stored)
        w.start_agent()
        w.run(12000, 100)
        assert not w.node.window.waiting() and w.duplicates == 0
        assert len([key for key in w.stored if key[0][3] < 3]) == 10 and had <= len(w.stored)


def test_an_empty_boot_leaves_the_next_hello():
    w = with_earlier(2)
    w.run(6000)
    w.start_agent()
    w.agent.solicit()
    w.run(3000)
    assert [count for count, _ in hellos(w)] == [3, 1] and w.node.earlier == []


def test_more_boots_than_a_hello_holds_come_one_hello_after_the_other():
    w = with_earlier(13, 1)
    w.run(20000, 50)
    assert {boot_id[3] for boot_id, _ in w.stored} == set(range(1, 15))
    sizes = [count for count, _ in hellos(w)]
    assert 8 < sizes[0] < 14 and len(sizes) == 2 and not w.agent.rejected
    # The oldest are in the first.
    assert hellos(w)[0][1][-1][0][3] == 1


def test_boots_that_wait_for_a_place_come_also_while_the_newest_is_never_empty():
    w = with_earlier(13, 1)
    held = w.make()
    newest, real = w.node.boot.boot_id, w.agent.ack
    w.agent.ack = lambda boot, ranges: None if (boot, ranges) == (newest, [(held, 1)]) else real(boot, ranges)
    w.run(20000, 50)
    assert w.box.holds(held) and {boot_id[3] for boot_id, _ in w.stored} == set(range(1, 15))


class Holes:
    """A box that holds every other frame, far into its boot."""

    next_seq = 1 << 25

    def waiting(self):
        return True

    def ranges(self, limit):
        count = min(limit, 40)
        every = [[(1 << 24) + 2 * n, 1] for n in range(count)]
        every[-1][1] = 2 * (40 - count) + 1
        return every


def test_a_hello_stays_short_however_many_holes_there_are():
    for boots, listed in ((2, 2), (6, 6), (14, 10)):
        w = World()
        header = [[AGENT.id, bytes(32), bytes(32)]]
        w.earlier = [Earlier(bytes((0, 0, 0, n)) + bytes(8), header, Holes()) for n in range(boots, 0, -1)]
        w.boot_node(20)
        w.node.tick(20)
        while not w.node.headers:
            crypto.run(w.node.steps())
        w.node.tick(40)
        body = messages.parse_clear(w.node._hello)[1]
        assert len(body["body"]) <= MAX_HELLO and len(body["boots"]) >= 1 + listed
        assert body["boots"][-1][0][3] == 1
        for _, _, next_seq, ranges in body["boots"][1:]:
            assert next_seq == 1 << 25 and ranges[0][0] == 1 << 24
            assert ranges[-1][0] + ranges[-1][1] == (1 << 24) + 79


def test_an_agent_gets_the_boots_that_it_has_a_header_of():
    w = with_earlier(1)
    w.node.add_agent(STRANGER.ed_pub, STRANGER.x_pub)
    w.start_agent(STRANGER)
    w.run(6000)
    assert w.agent.state == st.LIVE and {boot_id[3] for boot_id, _ in w.stored} == {2}
    assert w.node.earlier[0].box.waiting() and w.node.window.resent == 0
    assert w.agent.rejected == {"no_header": 1}
    w.start_agent(AGENT)
    w.agent.solicit()
    w.run(6000)
    assert len([key for key in w.stored if key[0][3] == 1]) == 5 and not w.node.earlier[0].box.waiting()


def test_an_ack_frees_in_the_boot_that_it_names_and_nowhere_else():
    w = with_earlier(1)
    w.agent.ack = lambda boot_id, ranges: None
    for _ in range(5):
        w.make()
    w.run(400)
    old, new = w.earlier[0].box, w.box
    assert w.node.state == st.STREAMING and old.numbers() == [0, 1, 2, 3, 4]
    held = new.numbers()
    w.node._acked([1, [[0, 2], [4, 1]]], w.now)
    assert old.numbers() == [2, 3] and new.numbers() == held and not w.node.rejected
    for bad in ([2, [[0, 1]]], [1, [[0, 6]]], [0, [[0, new.next_seq + 1]]]):
        rejected = sum(w.node.rejected.values())
        w.node._acked(bad, w.now)
        assert sum(w.node.rejected.values()) == rejected + 1
    assert old.numbers() == [2, 3] and new.numbers() == held


def test_an_agent_that_is_forgotten_is_in_no_further_hello():
    w = with_earlier(1)
    w.node.add_agent(STRANGER.ed_pub, STRANGER.x_pub)
    w.run(1000)
    w.node.forget_agent(AGENT.id)
    w.start_agent()
    w.agent.solicit()
    w.run(3000)
    assert w.agent.state == st.WAITING and "no_header" in w.agent.rejected
    w.node.forget_agent(STRANGER.id)
    w.events = []
    w.agent.solicit()
    w.run(3000)
    announced = [event for event in w.events if isinstance(event, ev.Announced)]
    assert announced and announced[0].ed_pub is not None


def test_forgetting_while_the_header_is_being_made():
    w = World()
    w.node.add_agent(STRANGER.ed_pub, STRANGER.x_pub)
    w.node.forget_agent(STRANGER.id)
    w.make()
    w.run(1000)
    assert [header[0] for header in w.node.headers] == [AGENT.id] and len(w.box) == 0


def test_the_other_agent_is_told_of_what_this_one_has():
    w = World()
    w.node.add_agent(STRANGER.ed_pub, STRANGER.x_pub)
    for _ in range(6):
        w.make()
    w.run(1000)
    assert w.node.acked_elsewhere() == []
    had = sorted(seq for _, seq in w.stored)
    w.start_agent(STRANGER)
    w.agent.solicit()
    w.run(3000)
    assert w.node.state == st.STREAMING
    ((first, count),) = w.node.acked_elsewhere()
    assert first == 0 and len(had) <= count == w.box.next_seq
    w.node.elsewhere.told(STRANGER.id, w.make())
    assert w.node.acked_elsewhere() == []
    w.run(500)
    assert w.node.acked_elsewhere() == []
