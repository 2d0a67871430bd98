"""A whole connection for each role: byte at a time, cut anywhere, and what a peer could make it hold.

The VMs run this file, too (test_on_vm.py).
"""

from protocol import cobs, frames, messages
from protocol import session_events as ev
from protocol import session_states as st
from tools.fuzz import parties, sessions

parties.remember_curves()

AGENT = sessions.Agent()
NODE = sessions.Node()
EVENT = frames.pack(frames.KIND_EVENT, 9, {1: 9, 2: 0})
TIME_DOWN = frames.pack(frames.KIND_TIME_DOWN, 5, {1: 77})
ACK = frames.pack(frames.KIND_ACK, 9, [0, [[0, 2]]])


def pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def reached_agent():
    """What a node says to an agent: its hello, and, once pinged, frames of two boots and the echo."""
    link = sessions.AgentLink(AGENT)
    link.say(AGENT.hello(1))
    link.ask(1)
    echo = frames.pack(frames.KIND_TIME, 9, {1: link.token, 2: 5})
    up = [messages.data(0, AGENT.boots[0].seal(number, EVENT)) for number in (0, 70, 300)]
    up += [messages.data(1, AGENT.boots[1].seal(9, EVENT)), messages.data(0, AGENT.boots[0].seal(71, echo))]
    return b"\0" + cobs.encode(AGENT.hello(1)), b"".join([cobs.encode(message) for message in up])


def told(link, data, size):
    """What the pieces meant to the session, as one text."""
    before = len(link.story)
    for piece in pieces(data, size):
        link.feed(piece)
    return " ".join([said for said in link.story[before:] if said])


def agent_story(size):
    hello, rest = reached_agent()
    link = sessions.AgentLink(AGENT)
    said = told(link, hello, size)
    link.ask(1)
    said += told(link, rest, size)
    return said, link.session.state, link.session.rejected


def test_an_agent_is_told_the_same_in_pieces_of_any_size():
    whole = agent_story(100000)
    assert whole[1] == st.LIVE and not whole[2]
    assert whole[0].count("FrameIn") == 5 and "TimeEcho" in whole[0]
    for size in (1, 2, 3, 7, 64, 251):
        assert agent_story(size) == whole


def test_an_agent_cut_off_anywhere_takes_the_next_connection():
    hello, rest = reached_agent()
    stream = hello + rest
    for end in range(0, len(stream), 1 if len(stream) < 1200 else 3):
        link = sessions.AgentLink(AGENT)
        link.feed(stream[: min(end, len(hello))])
        link.ask(1)
        link.feed(stream[len(hello) : max(end, len(hello))])
        link.serve()


def node_streaming(size):
    """A node with two frames, fed its welcome and what is sealed: (story, state, rejected, wire)."""
    link = sessions.NodeLink(NODE)
    for _ in range(2):
        link.step(sessions.MAKE, b"\1")
    wire = []
    link.say = wire.append
    link.welcome()
    link.down(0, TIME_DOWN)
    link.down(1, ACK)
    del link.say
    said = told(link, cobs.encode(wire[0]), size)
    link.turn()
    said += told(link, b"".join([cobs.encode(message) for message in wire[1:]]), size)
    return said, link.session.state, link.session.rejected, wire


def test_a_node_is_told_the_same_in_pieces_of_any_size():
    whole = node_streaming(100000)
    assert whole[1] == st.STREAMING and not whole[2]
    assert "TimeAsked" in whole[0] and "Acked" in whole[0]
    for size in (1, 2, 3, 7, 64):
        assert node_streaming(size)[:3] == whole[:3]


def test_a_node_cut_off_anywhere_takes_the_next_connection():
    wire = node_streaming(1000)[3]
    stream = b"".join([cobs.encode(message) for message in wire])
    first = len(cobs.encode(wire[0]))
    for end in range(0, len(stream)):
        link = sessions.NodeLink(NODE)
        link.feed(stream[: min(end, first)])
        link.turn()
        link.feed(stream[first : max(end, first)])
        link.serve()


def test_a_stranger_who_asks_without_end_gets_one_answer_and_fills_no_memory():
    body = messages.hello_body(1, bytes(8), bytes(16), 1, [[bytes(12), [], 1, []]])
    link = sessions.AgentLink(AGENT)
    one = cobs.encode(messages.hello(body, bytes(16)))
    link.feed(one * 50)
    assert link.session.rejected == {"unknown_node": 50}
    refusal = messages.refusal(1, messages.REFUSE_UNKNOWN)
    assert link.session.pull(5) == cobs.encode(refusal) and link.session.pull(500) == b""
    hello = cobs.encode(AGENT.hello(1))
    link.feed(hello * 50)
    out = b""
    for turn in range(20):
        out += link.session.pull(1000 + 100 * turn)
    assert len(cobs.Decoder().feed(out)) == 1


def test_a_hello_of_all_that_fits_is_taken_or_refused_and_the_next_is_taken():
    boot = AGENT.boots[0]
    other = [bytes(8), bytes(32), bytes(32)]
    boots = [[boot.boot_id, [boot.header] + [other] * 7, 70, [[4 * i, 1] for i in range(16)]]]
    for counter in range(6, 0, -1):
        boots.append(
            [counter.to_bytes(4, "big") + bytes(8), [other] * 3, 70, [[4 * i, 1] for i in range(16)]]
        )
    body = messages.hello_body(1, AGENT.node.id, bytes(16), 5, boots)
    link = sessions.AgentLink(AGENT)
    events = link.say(messages.hello(body, boot.tag(body)))
    assert any([isinstance(event, ev.HelloAccepted) for event in events])
    assert link.session.rejected == {"no_header": 6}
    link.serve()


def test_early_messages_before_the_downlink_is_open_are_bounded():
    link = sessions.NodeLink(NODE)
    link.welcome()
    for number in range(100):
        link.down(number, TIME_DOWN)
    events = link.turn()
    assert len([event for event in events if isinstance(event, ev.TimeAsked)]) <= 8
    link.serve()


def test_a_declared_length_is_refused_wherever_it_stands():
    """Four bytes that promise 4 GB, in the place of each item of a message."""
    sound = AGENT.hello(1)
    for head in (
        b"\x5a\xff\xff\xff\xff",
        b"\x9a\xff\xff\xff\xff",
        b"\xba\xff\xff\xff\xff",
        b"\x7a\xff\xff\xff\xff",
    ):
        link = sessions.AgentLink(AGENT)
        for at in range(0, len(sound), 5):
            link.say(sound[:at] + head + sound[at:])
        link.serve()
