"""What an agent does about a hello that somebody made up costs it little: no list of boots is worked through
before the tag, and nothing is said without end."""

from protocol import cobs, messages, session_agent
from protocol import session_events as ev
from protocol import session_states as st
from tests.both.session_world import AGENT, NODE, World

SOLICIT = cobs.encode(messages.solicit(messages.VERSION))


def hello_heard(w):
    """The first hello that the agent is sent."""
    heard = []
    w.up = lambda data: heard.append(data) or [data]
    w.run(600)
    return messages.parse_clear(cobs.Decoder(4096).feed(heard[0])[0])[1]


def made_up(node_id, nonce, conn, boots, tag=bytes(16)):
    return cobs.encode(messages.hello(messages.hello_body(1, node_id, nonce, conn, boots), tag))


def test_a_hello_with_a_bad_tag_costs_one_opening():
    w = World(counter=40)
    hello = hello_heard(w)
    header = [AGENT.id, NODE.x_pub, bytes(32)]
    others = [[(39 - n).to_bytes(4, "big") + bytes(8), [header], 0, []] for n in range(15)]
    said = made_up(NODE.id, bytes(16), hello["conn"] + 1, hello["boots"] + others)
    opened = []
    unwrap = session_agent.unwrap_header_steps

    def counting(enc, wrapped, boot_id, *rest):
        opened.append(boot_id)
        return unwrap(enc, wrapped, boot_id, *rest)

    session_agent.unwrap_header_steps = counting
    try:
        events = w.agent.feed(said, w.now)
    finally:
        session_agent.unwrap_header_steps = unwrap
    assert [event.cause for event in events] == ["bad_tag"]
    assert opened == [hello["boots"][0][0]]
    assert w.agent.state == st.LIVE


def test_boots_whose_headers_do_not_open_are_counted_after_a_good_tag():
    w = World(counter=40)
    hello = hello_heard(w)
    header = [AGENT.id, NODE.x_pub, bytes(32)]
    others = [[(39 - n).to_bytes(4, "big") + bytes(8), [header], 0, []] for n in range(3)]
    boots = hello["boots"] + others
    body = messages.hello_body(1, NODE.id, bytes(16), hello["conn"] + 1, boots)
    events = w.agent.feed(cobs.encode(messages.hello(body, w.boot.hello_tag(body))), w.now)
    accepted = [event for event in events if isinstance(event, ev.HelloAccepted)]
    assert len(events) == 4 and len(accepted) == 1 and len(accepted[0].boots) == 4


def test_the_last_hello_again_is_welcomed_again_under_its_own_tag_only():
    w = World()
    hello = hello_heard(w)
    w.agent.pull(w.now + 1000)
    again = cobs.encode(messages.hello(hello["body"], hello["tag"]))
    assert w.agent.feed(again, w.now + 1000) == []
    welcome = cobs.Decoder().feed(w.agent.pull(w.now + 1000))[0]
    assert messages.parse_clear(welcome)[0] == messages.MSG_WELCOME
    forged = cobs.encode(messages.hello(hello["body"], bytes(16)))
    assert [event.cause for event in w.agent.feed(forged, w.now + 2000)] == ["replayed_hello"]
    refusal = messages.refusal(messages.VERSION, messages.REFUSE_REPLAYED)
    assert cobs.Decoder().feed(w.agent.pull(w.now + 2000)) == [refusal]
    assert w.agent.state == st.LIVE


def test_a_hello_like_the_last_one_asks_for_another_at_most_once_in_2_s():
    w = World()
    w.last[NODE.id] = (7, 3)
    said = made_up(NODE.id, bytes(16), 3, [[(7).to_bytes(4, "big") + bytes(8), [], 0, []]])
    out = b""
    for now in range(10000, 20000, 10):
        w.agent.feed(said * 5, now)
        out += w.agent.pull(now)
    assert out == SOLICIT * 5


def test_a_port_that_takes_nothing_gathers_no_solicits():
    w = World()
    for now in range(0, 600000, 10000):
        w.agent.feed(b"\0", now)
        w.agent.solicit()
    assert w.agent.pull(600000) == SOLICIT
