"""A connection whose downlink numbers run out ends, and the next has another key."""

from protocol import seal
from protocol import session_events as ev
from tests.both.test_session import World


def test_the_agent_begins_another_connection():
    w = World()
    w.make()
    w.run(1000)
    assert len(w.got(ev.Live)) == 1 and not len(w.box)
    first = w.agent._down
    first._next = seal.MAX_COUNTER - 2
    assert first.spent
    for _ in range(5):
        w.make()
        w.run(1000)
    second = w.agent._down
    assert second is not first and not second.spent
    assert second._channel._key != first._channel._key
    assert len(w.got(ev.Live)) == 2 and len(w.got(ev.HelloAccepted)) == 2
    assert not len(w.box) and len(w.stored) == w.box.next_seq == 6 + len(w.got(ev.Live))
    # What was left of the first was never used up.
    assert first._next <= seal.MAX_COUNTER + 1
