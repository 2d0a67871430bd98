"""What an agent asks of a node beside acks: flow, orders, un-pairing; versions, and what none knows yet."""

from protocol import cbor, cobs, frames, messages
from protocol import session_events as ev
from protocol import session_states as st
from protocol.errors import LocalError
from tests.both.session_world import AGENT, NODE, World

WAVE = {1: 0, 2: 1, 3: 4000000, 4: 4000, 5: 2, 6: b"x"}
COMMAND = {
    frames.ORDER_ID: bytes(8),
    frames.ORDER_WHAT: frames.OP_IDENTIFY,
    frames.ORDER_EXPIRES_US: 1 << 40,
    frames.ORDER_MS: 1 << 40,
}


def live():
    w = World()
    w.run(1000)
    assert w.agent.state == st.LIVE and len(w.box) == 0
    return w


def of(events, cls):
    return [event for event in events if isinstance(event, cls)]


def wave(w):
    return w.make(frames.KIND_WAVE, WAVE, frames.LANE_WAVE)


# Flow


def test_waveforms_stay_until_they_are_wanted_again():
    w = live()
    w.agent.flow(waves=False)
    w.run(100)
    waves = [wave(w) for _ in range(3)]
    w.make()
    w.make(body={1: 33, 2: 3}, lane=frames.LANE_ALARM)
    w.run(10000)
    assert w.box.numbers() == waves
    changed = of(w.node_events, ev.FlowChanged)[0]
    assert (changed.waves, changed.bytes_s, changed.most) == (False, 0, 16)
    w.agent.flow()
    w.run(1000)
    assert len(w.box) == 0 and not w.node.rejected


def test_a_flow_that_is_lost_is_said_again_with_the_next_ping():
    w = live()
    w.agent.flow(waves=False)
    w.run(100)
    wave(w)
    w.agent.flow()
    assert w.agent.pull(w.now)
    w.run(1000)
    assert len(w.box) == 1
    w.agent.ping()
    w.run(1000)
    assert len(w.box) == 0


def test_a_flow_ends_with_its_connection():
    w = live()
    w.agent.flow(waves=False, bytes_s=1, window=1)
    w.run(100)
    wave(w)
    w.start_agent()
    w.agent.solicit()
    w.run(5000)
    assert len(w.box) == 0


def test_a_flow_that_says_nonsense_is_counted_and_changes_nothing():
    for body in ({1: 1}, {2: 0}, {2: -1}, {2: True}, {3: 0}, {3: 17}, {3: b""}):
        w = live()
        w.agent._control.append(w.agent._down.seal(cbor.dumps((frames.KIND_FLOW, 0, body))))
        w.run(200)
        assert w.node.rejected == {"malformed_frame": 1}
        wave(w)
        w.run(500)
        assert len(w.box) == 0
    w = live()
    for wrong in ((True, -1, 0), (True, 1 << 32, 0), (True, 0, 17), (True, 0, -1)):
        try:
            w.agent.flow(*wrong)
            raise AssertionError("sent")
        except LocalError:
            pass


# Orders


def with_(key, value):
    body = dict(COMMAND)
    body[key] = value
    return body


def refused(w, kind, body):
    """Whether the session does not send it."""
    try:
        if kind == frames.KIND_UNPAIR:
            w.agent.unpair(body[frames.UNPAIR_ID])
        else:
            w.agent.order(kind, body)
    except LocalError:
        return True
    return False


def test_an_order_arrives_as_it_was_given():
    w = live()
    w.agent.order(frames.KIND_COMMAND, COMMAND)
    w.agent.unpair(b"12345678")
    w.run(500)
    arrived = [(event.kind, event.body) for event in of(w.node_events, ev.DownlinkIn)]
    assert arrived == [(frames.KIND_COMMAND, COMMAND), (frames.KIND_UNPAIR, {1: b"12345678"})]
    assert not w.node.unknown and w.agent.boot_id == w.boot.boot_id


def test_nothing_is_ordered_without_a_node():
    w = World()
    for ask in (lambda: w.agent.order(frames.KIND_COMMAND, COMMAND), w.agent.flow, w.agent.ping):
        try:
            ask()
            raise AssertionError("sent")
        except st.TransitionError as e:
            assert e.state == st.WAITING


def test_an_order_longer_than_a_burst_is_our_mistake():
    w = live()
    longest = dict(COMMAND)
    longest[frames.ORDER_AUTHORITY] = bytes(8)
    longest[frames.ORDER_SIGNATURE] = bytes(64)
    longest[frames.ORDER_REASON] = "r" * 32
    w.agent.order(frames.KIND_COMMAND, longest)
    w.agent.order(frames.KIND_UPDATE, {1: bytes(8), 2: 2, 4: 1, 5: 1 << 31, 6: bytes(128)})
    sizes = []
    w.down = lambda data: sizes.append(len(data)) or [data]
    w.run(1000)
    assert len(of(w.node_events, ev.DownlinkIn)) == 2 and max(sizes) <= 200
    for kind, body in (
        (frames.KIND_COMMAND, with_(frames.ORDER_ARGS, {1: "a" * 150})),
        (frames.KIND_ACK, {}),
    ):
        assert refused(w, kind, body)


def test_a_malformed_order_is_our_mistake_and_goes_nowhere():
    w = live()
    for kind, body in (
        (frames.KIND_COMMAND, with_(frames.ORDER_WHAT, "dance")),
        (frames.KIND_COMMAND, with_(frames.ORDER_ID, bytes(7))),
        (frames.KIND_COMMAND, with_(frames.ORDER_EXPIRES_US, -1)),
        (frames.KIND_COMMAND, with_(frames.ORDER_SIGNATURE, bytes(63))),
        (frames.KIND_COMMAND, with_(frames.ORDER_REASON, "r" * 33)),
        (frames.KIND_COMMAND, {}),
        (frames.KIND_COMMAND, None),
        (frames.KIND_CONFIG, COMMAND),
        (frames.KIND_CONFIG, with_(frames.ORDER_WHAT, {frames.SET_MAINS_HZ: 0})),
        (frames.KIND_UPDATE, {1: bytes(8), 2: frames.STEP_DATA}),
        (frames.KIND_UPDATE, {1: bytes(8), 2: 2, 4: 1, 5: 0, 6: bytes(129)}),
        (frames.KIND_UNPAIR, {frames.UNPAIR_ID: bytes(9)}),
    ):
        assert refused(w, kind, body), (kind, body)
    w.agent.order(frames.KIND_COMMAND, with_(99, "of a later version"))
    w.run(500)
    assert [event.body[99] for event in of(w.node_events, ev.DownlinkIn)] == ["of a later version"]


# Versions


def spoken(body, versions):
    """A hello body of the same node that speaks these versions, as one of the future would say it."""
    fields = cbor.loads(body)
    fields[1] = versions[0]
    fields[7] = versions
    return cbor.dumps(fields)


def test_the_greatest_common_version_is_welcomed():
    w = World()
    w.up = lambda data: []
    w.run(40)
    body = spoken(messages.parse_clear(w.node._hello)[1]["body"], [1, 2, 7])
    w.agent.feed(cobs.encode(messages.hello(body, w.boot.hello_tag(body))), w.now)
    kind, fields = messages.parse_clear(cobs.decode(w.agent.pull(w.now + 200)[:-1].rsplit(b"\0", 1)[-1]))
    assert (kind, fields["version"]) == (messages.MSG_WELCOME, 1) and w.agent.version == 1
    assert w.agent.state == st.PROVING


def test_without_a_common_version_the_agent_says_which_it_speaks():
    w = World()
    w.up = lambda data: []
    w.run(40)
    w.agent.pull(w.now)
    body = spoken(messages.parse_clear(w.node._hello)[1]["body"], [2, 3])
    w.agent.feed(cobs.encode(messages.hello(body, w.boot.hello_tag(body))), w.now)
    refusal = w.agent.pull(w.now + 200)
    assert w.agent.state == st.WAITING and w.agent.rejected["unknown_version"] == 1
    w.node.feed(refusal, w.now)
    refused = of(w.node.take_events(), ev.Refused)
    assert [(event.code, list(event.versions)) for event in refused] == [(messages.REFUSE_VERSION, [1])]
    assert w.node.state == st.GREETING


def test_the_list_of_versions_lies_under_the_tag():
    w = World()
    w.up = lambda data: []
    w.run(40)
    fields = messages.parse_clear(w.node._hello)[1]
    w.agent.feed(cobs.encode(messages.hello(spoken(fields["body"], [1, 2]), fields["tag"])), w.now)
    assert w.agent.state == st.WAITING and w.agent.rejected == {"bad_tag": 1}


def test_a_welcome_of_another_version_changes_nothing_and_is_answered():
    w = World()
    w.down = lambda data: []
    w.run(100)
    w.node.feed(cobs.encode(messages.welcome(2, AGENT.id, bytes(32), w.node._nonce)), w.now)
    assert w.node.rejected == {"unknown_version": 1} and w.node.state == st.GREETING
    kind, fields = messages.parse_clear(cobs.decode(w.node.pull(w.now)[:-1]))
    assert (kind, fields["code"], list(fields["versions"])) == (messages.MSG_REFUSAL, 1, [1])
    w.node.feed(cobs.encode(messages.refusal(9, messages.REFUSE_VERSION, [9])), w.now)
    assert w.node.pull(w.now) == b""
    w.down = lambda data: [data]
    w.run(20000)
    assert w.node.state == st.STREAMING


# What is of a later protocol


def test_what_is_not_known_is_carried_and_counted():
    w = live()
    w.agent._send(99, {1: 2})
    w.run(200)
    arrived = of(w.node_events, ev.DownlinkIn)
    assert [(event.kind, event.body) for event in arrived] == [(99, {1: 2})]
    assert w.node.unknown == {"unknown_kind": 1} and not w.node.rejected
    for frame in ((frames.KIND_FLOW, 0, {1: False, 9: 0}), (frames.KIND_TIME_DOWN, 0, {1: 5, 8: 0, 9: b""})):
        w.agent._control.append(w.agent._down.seal(cbor.dumps(frame)))
    w.run(200)
    assert w.node.unknown["unknown_key"] == 3 and not w.node.window.waves and not w.node.rejected
    seq = w.make(63, {1: b"later"}), w.make(body={1: 9, 2: 0, 30: 1, 31: 2})
    w.run(500)
    assert all((w.boot.boot_id, n) in w.stored for n in seq)
    assert w.agent.unknown == {"unknown_kind": 1, "unknown_key": 2} and not w.agent.rejected


def test_a_clear_message_that_is_not_known_is_counted_and_ignored():
    w = live()
    message = cobs.encode(cbor.dumps({0: 77, 1: 1}))
    w.take(w.agent.feed(message, w.now))
    w.node.feed(message, w.now)
    assert w.agent.unknown == w.node.unknown == {"unknown_message": 1}
    assert not w.agent.rejected and not w.node.rejected
    assert not of(w.node.take_events(), ev.Rejected) and not of(w.events, ev.Rejected)
    w.make()
    w.run(300)
    assert len(w.box) == 0 and w.node.identity is NODE


def test_an_agent_without_a_proof_asks_for_another_hello():
    w = World()
    w.run(40)
    w.agent.feed(w.node.pull(w.now) or cobs.encode(w.node._hello), w.now)
    assert w.agent.state == st.PROVING
    solicit = cobs.encode(messages.solicit(1))
    asked = [ms for ms in range(0, 50000, 1000) if solicit in w.agent.pull(w.now + ms)]
    assert asked == [15000, 30000, 45000]
