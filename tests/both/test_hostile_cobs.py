"""What a stream of bytes does to the decoder: each fault is named, and every cut leaves it usable."""

from protocol import cobs

MESSAGES = [b"a", b"\0", b"one\0two\0", b"\x01" * 254, b"\x01" * 255, bytes(40)]
WIRE = b"".join([cobs.encode(message) for message in MESSAGES])


def test_each_fault_of_a_piece_is_named():
    decoder = cobs.Decoder(16)
    assert decoder.feed(b"\x09ab\0" + b"x" * 20 + b"\0" + b"\x02\0" + cobs.encode(b"next")) == [b"next"]
    assert [(fault.cause, fault.layer, fault.offset) for fault in decoder.faults] == [
        ("malformed_cobs", "cobs", 0),
        ("oversize", "cobs", 16),
        ("malformed_cobs", "cobs", 0),
    ]
    assert decoder.malformed == 2 and decoder.oversize == 1
    assert decoder.feed(b"\x02") == [] and decoder.faults == []
    assert decoder.feed(b"\0") == [] and len(decoder.faults) == 1


def test_every_byte_of_a_stream_lost_or_changed_costs_two_messages_at_most():
    for at in range(len(WIRE)):
        for stream in (
            WIRE[:at] + WIRE[at + 1 :],
            WIRE[:at] + b"\0" + WIRE[at + 1 :],
            WIRE[:at] + bytes((WIRE[at] ^ 0x55,)) + WIRE[at + 1 :],
        ):
            decoder = cobs.Decoder()
            got = decoder.feed(stream)
            assert len([message for message in MESSAGES if message in got]) >= len(MESSAGES) - 2
            decoder.feed(b"\0")
            assert decoder.feed(cobs.encode(b"next")) == [b"next"]


def test_a_stream_cut_anywhere_goes_on_with_the_next_message():
    for at in range(len(WIRE)):
        decoder = cobs.Decoder()
        decoder.feed(WIRE[:at])
        assert decoder.feed(b"\0" + cobs.encode(b"next"))[-1:] == [b"next"]


def test_a_message_without_an_end_is_dropped_and_holds_no_memory():
    decoder = cobs.Decoder(100)
    for _ in range(500):
        decoder.feed(b"\x05abcd")
    assert decoder.oversize == 1 and len(decoder._partial) == 0
    decoder.feed(b"\0")
    assert decoder.feed(cobs.encode(b"next")) == [b"next"]
