"""What fails at any layer names the layer, the cause and where it can the offset; it is counted by cause; and
the connection goes on as if it had not been. The VMs run this file, too (test_on_vm.py).
"""

from protocol import cbor, cobs, frames, messages, waveform
from protocol import session_events as ev
from protocol import session_states as st
from protocol.errors import CodecError
from tools.fuzz import parties, sessions

parties.remember_curves()

AGENT = sessions.Agent()
NODE = sessions.Node()
EVENT = frames.pack(frames.KIND_EVENT, 9, {1: 9, 2: 0})
GOOD = AGENT.boots[0].seal(80, EVENT)
TAMPERED = GOOD[:-1] + bytes((GOOD[-1] ^ 1,))
LENGTHENED = GOOD + b"\0"
PAIR_REPLY = messages.pair_reply(1, bytes(32), bytes(32), bytes(16), bytes(64))


def up(plaintext, number=81):
    return messages.data(0, AGENT.boots[0].seal(number, plaintext))


# what, layer, cause, offset in the input of that layer (None: all of it is wrong), bytes, framed by the test
TO_AGENT = (
    ("no COBS", "cobs", "malformed_cobs", 0, b"\x09ab\0", False),
    ("no COBS later on", "cobs", "malformed_cobs", 3, b"\x03ab\x05c\0", False),
    ("a message without an end", "cobs", "oversize", 4096, b"\x11" * 4200 + b"\0", False),
    ("none of three sorts", "message", "malformed_message", 0, b"\x18\x20", True),
    ("a clear message cut off", "message", "malformed_message", 0, b"\xa1\x00", True),
    (
        "a clear message with a float",
        "message",
        "malformed_message",
        4,
        b"\xa2\x00\x06\x01\xfb" + bytes(8),
        True,
    ),
    ("a clear message without its type", "message", "malformed_message", 0, b"\xa1\x01\x01", True),
    ("another version", "message", "unknown_version", 4, b"\xa2\x00\x06\x01\x02", True),
    ("a refusal without a code", "message", "malformed_message", 0, b"\xa2\x00\x05\x01\x01", True),
    ("a solicit", "message", "malformed_message", 0, messages.solicit(1), True),
    ("data of a boot that is not listed", "message", "malformed_message", 1, messages.data(9, GOOD), True),
    ("data of a boot beyond any list", "message", "malformed_message", 1, b"\x82\x18\x63" + GOOD, True),
    ("data without an index", "message", "malformed_message", 1, b"\x82\xff", True),
    ("no envelope", "seal", "bad_header", 0, b"\x82\x00\x80", True),
    ("an envelope that is longer than it says", "seal", "bad_header", 9, messages.data(0, LENGTHENED), True),
    ("a changed seal", "seal", "bad_tag", None, messages.data(0, TAMPERED), True),
    ("the seal of another boot", "seal", "bad_tag", None, messages.data(1, GOOD), True),
    ("sealed noise", "frame", "malformed_frame", 0, up(b"\xff\x00\x01"), True),
    ("a sealed frame cut off", "frame", "malformed_frame", 3, up(EVENT[:5]), True),
    ("a sealed frame without priority", "frame", "malformed_frame", 3, up(cbor.dumps([5, 9, {1: 9}])), True),
    (
        "a sealed frame out of range",
        "frame",
        "malformed_frame",
        7,
        up(cbor.dumps([5, 9, {1: 9, 2: 4}])),
        True,
    ),
    ("a pair reply that nobody asked for", "session", "out_of_turn", None, PAIR_REPLY, True),
    ("an old hello", "message", "replayed_hello", None, AGENT.hello(1), True),
)


def check(link, row, refused_by):
    what, layer, cause, offset, data, framed = row
    state = link.session.state
    before = link.session.rejected.get(cause, 0)
    events = link.say(data) if framed else link.feed(data)
    said = [event for event in events if isinstance(event, ev.Rejected)]
    assert len(said) == 1, (what, [event.detail for event in said])
    assert said[0].cause == cause, (what, said[0].cause, said[0].detail)
    assert said[0].detail.startswith(layer + ": "), (what, said[0].detail)
    at = said[0].detail.rpartition(" at offset ")[2] if " at offset " in said[0].detail else None
    assert at == (None if offset is None else str(offset)), (what, said[0].detail)
    assert link.session.rejected[cause] == before + 1, what
    assert link.session.state == state, what
    refused_by[layer] = refused_by.get(layer, 0) + 1


def test_an_agent():
    link = sessions.AgentLink(AGENT)
    link.say(AGENT.hello(2))
    link.ask(1)
    echo = frames.pack(frames.KIND_TIME, 9, {1: link.token, 2: 5})
    link.frame(0, 70, echo)
    assert link.session.state == st.LIVE
    refused_by = {}
    for number, row in enumerate(TO_AGENT):
        check(link, row, refused_by)
        events = link.frame(0, 100 + number, EVENT)
        assert [event.seq for event in events if isinstance(event, ev.FrameIn)] == [100 + number], row[0]
    assert sorted(refused_by) == ["cobs", "frame", "message", "seal", "session"]
    assert sum(link.session.rejected.values()) == len(TO_AGENT)


def test_what_is_only_unknown_is_carried():
    link = sessions.AgentLink(AGENT)
    link.say(AGENT.hello(2))
    link.say(cbor.dumps({0: 77, 1: 1}))
    events = link.say(up(cbor.dumps([99, 9, {"any": [1, None]}])))
    events += link.say(up(cbor.dumps([5, 9, {1: 9, 2: 0, 999: b"new"}]), 82))
    assert not link.session.rejected
    assert [event.seq for event in events if isinstance(event, ev.FrameIn)] == [81, 82]


def streaming():
    link = sessions.NodeLink(NODE)
    link.welcome()
    link.turn()
    link.down(0, frames.pack(frames.KIND_TIME_DOWN, 5, {1: 77}))
    assert link.session.state == st.STREAMING
    return link


TO_NODE = (
    ("no COBS", "cobs", "malformed_cobs", 0, b"\x09ab\0"),
    ("a message without an end", "cobs", "oversize", 256, b"\x11" * 600 + b"\0"),
    ("none of three sorts", "message", "malformed_message", 0, cobs.encode(b"\x18\x20")),
    ("a clear message cut off", "message", "malformed_message", 0, cobs.encode(b"\xa1\x00")),
    ("a hello", "message", "malformed_message", 0, cobs.encode(b"\xa1\x00\x01")),
    ("no envelope", "seal", "bad_header", 0, cobs.encode(b"\x83\x00\x80\x00")),
    ("a seal of nobody", "seal", "bad_tag", None, cobs.encode(GOOD)),
)
# a plaintext that the paired agent seals: what, layer, cause, offset
SEALED = (
    ("noise", "frame", "malformed_frame", 0, b"\xff\x00"),
    ("no array", "frame", "malformed_frame", 0, b"\xa0"),
    ("a time of 2^53", "frame", "malformed_frame", 3, cbor.dumps([33, 1 << 53, {1: 1}])),
    ("an ack that is none", "frame", "malformed_frame", None, cbor.dumps([32, 5, [0]])),
    ("an ack of what was not made", "frame", "malformed_frame", None, cbor.dumps([32, 5, [0, [[900, 1]]]])),
    ("a time without a token", "frame", "malformed_frame", None, cbor.dumps([33, 5, {}])),
    ("a flow of no frames", "frame", "malformed_frame", None, cbor.dumps([37, 5, {3: 0}])),
)


def test_a_node():
    link = streaming()
    refused_by = {}
    number = 1
    for row in TO_NODE:
        check(link, row + (False,), refused_by)
        number = goes_on(link, number)
    for what, layer, cause, offset, plaintext in SEALED:
        row = (what, layer, cause, offset, cobs.encode(sealed(link, number, plaintext)), False)
        check(link, row, refused_by)
        number = goes_on(link, number + 1)
    again = cobs.encode(sealed(link, 0, frames.pack(frames.KIND_TIME_DOWN, 5, {1: 77})))
    check(link, ("a number again", "seal", "replayed_downlink", None, again, False), refused_by)
    goes_on(link, number)
    other = messages.welcome(1, bytes(8), bytes(32), link.nonce)
    check(link, ("a welcome by a stranger", "session", "unknown_agent", None, other, True), refused_by)
    old = messages.welcome(1, NODE.agent.id, bytes(32), bytes(16))
    check(link, ("a welcome to another hello", "session", "replayed_welcome", None, old, True), refused_by)
    goes_on(link, number + 1)
    assert sorted(refused_by) == ["cobs", "frame", "message", "seal", "session"]


def sealed(link, number, plaintext):
    key, iv = link.keys
    return parties.sealed(key, iv, 1, NODE.boot.boot_id, number, plaintext)


def goes_on(link, number):
    # A node answers few questions a second.
    link.now += 1000
    events = link.down(number, frames.pack(frames.KIND_TIME_DOWN, 5, {1: number}))
    assert [event.token for event in events if isinstance(event, ev.TimeAsked)] == [number]
    return number + 1


def test_a_sealed_message_before_a_welcome_is_out_of_turn():
    link = sessions.NodeLink(NODE)
    row = ("sealed too early", "session", "out_of_turn", None, GOOD, True)
    check(link, row, {})
    link.serve()


def test_a_waveform():
    block = waveform.encode([0, 5, -7, 30, 12, 8, 9, 10, 3, 4], 10)
    for data, n in ((b"", 10), (block[:-1], 10), (block + b"\0", 10), (bytes((255,)) + block[1:], 10)):
        try:
            waveform.decode(data, n)
        except CodecError as error:
            assert error.layer == "waveform" and error.cause == "malformed_waveform"
            assert error.offset is not None and 0 <= error.offset <= len(data) and error.detail
        else:
            raise AssertionError("accepted")
    assert list(waveform.decode(block, 10)) == [0, 5, -7, 30, 12, 8, 9, 10, 3, 4]
