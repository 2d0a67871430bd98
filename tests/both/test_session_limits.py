"""What a session takes from the other end and no more: questions for the time, and the version that was
chosen."""

from protocol import cobs, frames, messages
from protocol import session_events as ev
from protocol import session_states as st
from protocol.session_node import TIMES_A_SECOND
from tests.both.session_world import World


def test_questions_for_the_time_are_answered_four_times_a_second():
    w = World()
    w.run(500)
    w.run(2000)
    asked = [event for event in w.node_events if isinstance(event, ev.TimeAsked)]
    before = len(asked)
    for n in range(160):
        question = w.agent._down.seal(frames.pack(frames.KIND_TIME_DOWN, 0, {1: n}))
        w.node.feed(cobs.encode(question), w.now, w.now)
    w.run(900)
    asked = [event for event in w.node_events if isinstance(event, ev.TimeAsked)]
    assert len(asked) == before + TIMES_A_SECOND
    assert w.node.rejected == {"too_many_questions": 160 - TIMES_A_SECOND}
    w.run(1000)
    w.agent.ping()
    w.run(500)
    assert len([event for event in w.node_events if isinstance(event, ev.TimeAsked)]) == before + 5
    assert w.agent.state == st.LIVE and w.node.state == st.STREAMING


def test_whoever_lowers_the_version_in_a_welcome_gets_keys_that_open_nothing():
    welcome, common_version = messages.welcome, messages.common_version
    messages.common_version = lambda versions: 2
    messages.welcome = lambda version, *rest: welcome(version - 1, *rest)
    try:
        w = World()
        w.make()
        w.run(1000)
    finally:
        messages.welcome, messages.common_version = welcome, common_version
    assert w.agent.version == 2 and w.node.state == st.OPENING
    assert w.node.rejected and len(w.box) == 1 and not w.stored
