"""What is of a later protocol is kept, passed on and counted by both sides of a session, and is no error."""

from protocol import cbor, cobs, frames
from protocol import session_events as ev
from tests.both.test_session import World


def live():
    w = World()
    w.run(1000)
    assert not w.agent.rejected and not w.node.rejected
    return w


def test_an_agent_keeps_what_it_does_not_know():
    w = live()
    made = (
        w.make(77, "any body"),
        w.make(frames.KIND_EVENT, {1: 9, 2: 0, 90: [1], 91: None}),
        w.make(frames.KIND_EVENT, {1: 999, 2: 0}),
        w.make(frames.KIND_EVENT, {1: 9, 2: 0}),
    )
    w.run(1000)
    assert len(w.box) == 0
    kept = {seq for _, seq in w.stored}
    assert all(seq in kept for seq in made)
    assert w.agent.unknown == {"unknown_kind": 1, "unknown_key": 2, "unknown_meaning": 1}
    assert not w.agent.rejected


def test_clear_messages_of_an_unknown_type_are_ignored_by_both():
    w = live()
    later = cobs.encode(cbor.dumps({0: 77, 1: 2, 5: "later"}))
    state = w.agent.state, w.node.state
    w.take(w.agent.feed(later, w.now))
    w.node.feed(later, w.now)
    w.run(500)
    assert w.agent.unknown == {"unknown_message": 1} and w.node.unknown == {"unknown_message": 1}
    assert (w.agent.state, w.node.state) == state
    assert not w.agent.rejected and not w.node.rejected
    assert not w.got(ev.Rejected)


def test_a_node_counts_downlink_frames_of_an_unknown_kind():
    w = live()
    w.node.feed(cobs.encode(w.agent._down.seal(frames.pack(77, 0, "later"))), w.now)
    w.run(500)
    assert w.node.unknown == {"unknown_kind": 1} and not w.node.rejected
