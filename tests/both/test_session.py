"""Node and agent sessions over pipes that lose, corrupt, repeat and split; both ends on the same
interpreter."""

from protocol import messages
from protocol import session_events as ev
from protocol import session_states as st
from protocol.session_agent import AgentSession
from tests.both.sealing import sealing
from tests.both.session_world import AGENT, NODE, STRANGER, World


def test_a_frame_gets_through_and_is_freed():
    w = World()
    for _ in range(30):
        w.make()
    w.run(1500)
    assert w.node.state == st.STREAMING and w.agent.state == st.LIVE
    assert sorted(s for _, s in w.stored) == list(range(w.box.next_seq))
    assert len(w.box) == 0 and w.duplicates == 0 and w.node.window.resent == 0
    assert not w.agent.rejected and not w.node.rejected


def test_one_byte_at_a_time_changes_nothing():
    w = World()
    w.up = w.down = lambda data: [data[i : i + 1] for i in range(len(data))]
    for _ in range(10):
        w.make()
    w.run(800)
    assert len(w.box) == 0 and not w.agent.rejected and not w.node.rejected


def test_boot_text_before_the_first_message_is_cut_off():
    w = World()
    w.agent.feed(b"ets Jul 29 2019 12:21:46\r\nrst:0x1 (POWERON_RESET)\r\n", 0)
    w.make()
    w.run(600)
    assert w.agent.state == st.LIVE and len(w.box) == 0


def lossy(rate, state):
    def pipe(data):
        out = []
        state[0] = (state[0] * 1103515 + 12345) % 2147483
        r = state[0] % 100
        if r < rate:
            return out
        if r < 2 * rate:
            bad = bytearray(data)
            bad[state[0] % len(bad)] ^= 1 << (state[0] % 8)
            return [bytes(bad)]
        if r < 3 * rate:
            return [data, data]
        if r < 4 * rate:
            return [data[: len(data) // 2]]
        return [data]

    return pipe


def test_everything_arrives_once_the_pipe_heals():
    for seed in (1, 2, 3, 4):
        w = World(max_bytes=20000)
        w.up = lossy(8, [seed])
        w.down = lossy(8, [seed + 100])
        for _ in range(40):
            w.make()
            w.run(500)
        w.up = w.down = lambda data: [data]
        w.run(120000, 200)
        assert len(w.box) == 0
        assert sorted(s for _, s in w.stored) == list(range(w.box.next_seq))


def test_an_agent_that_restarts_resumes_without_acked_frames_sent_again():
    w = World()
    for _ in range(20):
        w.make()
    w.run(1000)
    before = w.duplicates
    w.start_agent()
    for _ in range(5):
        w.make()
    w.run(6000)
    assert w.agent.state == st.LIVE and len(w.box) == 0
    assert w.duplicates == before
    assert len(w.stored) == w.box.next_seq


def test_cut_at_every_point_of_the_greeting_recovers():
    for cut in range(0, 300, 7):
        w = World()
        room = [cut]

        def pipe(data, w=w, room=room):
            if w.now > 5000:
                return [data]
            passed = data[: room[0]]
            room[0] -= len(passed)
            return [passed]

        w.up = pipe
        w.make()
        w.run(40000, 100)
        assert w.agent.state == st.LIVE and len(w.box) == 0


def test_a_node_reset_begins_a_new_boot():
    w = World()
    w.make()
    w.run(500)
    w.boot_node(2)
    w.make()
    w.run(3000)
    assert len({boot for boot, _ in w.stored}) == 2 and len(w.box) == 0


def test_a_replayed_connection_is_refused_and_never_live():
    w = World()
    recorded = []
    w.up = lambda data: recorded.append(data) or [data]
    w.make()
    w.run(1000)
    before = dict(w.stored)
    w.start_agent()
    w.events = []
    for data in recorded:
        w.take(w.agent.feed(data, w.now))
    assert w.agent.state == st.WAITING
    assert not w.got(ev.HelloAccepted) and not w.got(ev.Live) and w.stored == before
    w.last[NODE.id] = (1, 7)
    w.start_agent()
    for data in recorded:
        w.take(w.agent.feed(data, w.now))
    assert w.agent.rejected["replayed_hello"] >= 1


def test_a_replayed_frame_is_the_same_frame():
    w = World()
    recorded = []
    w.up = lambda data: recorded.append(data) or [data]
    w.make()
    w.run(1000)
    before = dict(w.stored)
    for data in recorded[1:]:
        w.take(w.agent.feed(data, w.now))
    assert w.stored == before and w.duplicates >= 1


def test_a_forged_frame_is_counted_and_harms_nothing():
    w = World()
    w.run(500)
    forged = sealing(bytes(16), w.boot.boot_id)
    from protocol import cobs

    w.take(
        w.agent.feed(cobs.encode(b"\x82\x00" + forged.seal(5, b"\x83\x05\x00\xa2\x01\x09\x02\x00")), w.now)
    )
    assert w.agent.rejected == {"bad_tag": 1}
    w.make()
    w.run(500)
    assert len(w.box) == 0


def test_an_unpaired_node_is_announced_and_nothing_else():
    w = World(paired=False)
    w.agent = AgentSession(AGENT, {}.get, w.last.get, w.random)
    w.make()
    w.run(1000)
    announced = w.got(ev.Announced)
    assert announced and announced[0].ed_pub == NODE.ed_pub and announced[0].x_pub == NODE.x_pub
    assert not w.stored and w.agent.rejected["unknown_node"] >= 1
    assert any(isinstance(e, ev.Refused) and e.code == messages.REFUSE_UNKNOWN for e in w.node_events)


def test_pairing_over_the_cable_then_frames_of_the_same_boot():
    w = World(paired=False)
    w.make()
    w.run(500)
    nonce = w.random(16)
    w.agent.request_pairing(nonce)
    w.run(40)
    asked = [e for e in w.node_events if isinstance(e, ev.PairAsked)]
    assert asked[0].x_pub == AGENT.x_pub and asked[0].nonce == nonce
    w.node.accept_pairing(asked[0].ed_pub, asked[0].x_pub, asked[0].nonce)
    w.run(3000)
    replies = w.got(ev.PairReply)
    assert replies[0].signature_ok and replies[0].ed_pub == NODE.ed_pub
    assert w.agent.state == st.LIVE and len(w.box) == 0


def test_a_hello_for_another_agent_is_refused():
    w = World(agent=STRANGER)
    w.make()
    w.run(1000)
    assert w.agent.state == st.WAITING and not w.stored
    assert sum(w.agent.rejected.values()) >= 1


def test_downlink_never_bursts_beyond_200_bytes():
    w = World()
    sizes = []
    w.down = lambda data: sizes.append(len(data)) or [data]
    w.run(500)
    for _ in range(20):
        w.agent.ping()
    out = w.agent.pull(w.now + 200)
    assert 0 < len(out) <= 200
    assert w.agent.pull(w.now + 210) == b""
    assert w.agent.pull(w.now + 310)
    assert max(sizes) <= 200


def test_a_replayed_downlink_is_dropped():
    w = World()
    recorded = []
    w.down = lambda data: recorded.append(data) or [data]
    w.make()
    w.run(1000)
    for data in recorded[1:]:
        w.node.feed(data, w.now)
    assert w.node.rejected.get("replayed_downlink", 0) >= 1
    w.make()
    w.run(1000)
    assert len(w.box) == 0
