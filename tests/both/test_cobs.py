"""COBS framing, fed in pieces of every size, with junk between."""

from protocol import cobs
from protocol.errors import CobsError

MESSAGES = [
    b"a",
    b"\0",
    b"\0\0\0",
    b"one\0two\0",
    bytes(range(256)),
    b"\x01" * 253,
    b"\x01" * 254,
    b"\x01" * 255,
    b"\x01" * 508,
    b"\x01" * 254 + b"\0",
    b"\0" + b"\x01" * 254,
    b"\x01" * 254 + b"\0" + b"\x01" * 254 + b"\0",
    bytes(600),
]


def test_no_zero_inside_and_bounded_growth():
    for message in MESSAGES:
        encoded = cobs.encode(message)
        assert encoded[-1] == 0 and encoded.find(b"\0") == len(encoded) - 1
        assert len(encoded) <= len(message) + len(message) // 254 + 2


def test_one_piece():
    wire = b"".join([cobs.encode(message) for message in MESSAGES])
    assert cobs.Decoder().feed(wire) == MESSAGES


def test_byte_at_a_time():
    decoder = cobs.Decoder()
    got = []
    for message in MESSAGES:
        encoded = cobs.encode(message)
        for i in range(len(encoded)):
            got.extend(decoder.feed(encoded[i : i + 1]))
            assert len(got) == MESSAGES.index(message) + (1 if i == len(encoded) - 1 else 0)
    assert got == MESSAGES
    assert decoder.malformed == decoder.oversize == 0


def test_cut_at_every_offset():
    wire = b"".join([cobs.encode(message) for message in MESSAGES[:5]])
    for at in range(len(wire)):
        decoder = cobs.Decoder()
        assert decoder.feed(wire[:at]) + decoder.feed(memoryview(wire)[at:]) == MESSAGES[:5]


def test_boot_text_is_cut_off_by_a_lone_zero():
    decoder = cobs.Decoder()
    got = decoder.feed(b"rst:0x1 (POWERON_RESET)\r\n" + b"\0" + cobs.encode(b"hello"))
    assert got == [b"hello"]
    assert decoder.malformed == 1


def test_empty_messages_are_ignored():
    decoder = cobs.Decoder()
    assert decoder.feed(b"\0\0\0\x01\0\0" + cobs.encode(b"x") + b"\0") == [b"x"]
    assert decoder.malformed == 0


def test_malformed_is_counted_and_the_next_message_arrives():
    decoder = cobs.Decoder()
    assert decoder.feed(b"\x09ab\0" + cobs.encode(b"next")) == [b"next"]
    assert decoder.malformed == 1


def test_oversize_is_dropped_at_once_and_counted_once():
    decoder = cobs.Decoder(16)
    for _ in range(1000):
        assert decoder.feed(b"\x05abcd") == []
    assert decoder.oversize == 1 and len(decoder._partial) <= 16
    assert decoder.feed(b"\0" + cobs.encode(b"next")) == [b"next"]
    assert decoder.oversize == 1 and decoder.malformed == 0


def test_the_limit_itself_passes():
    message = b"\x01" * 15
    assert len(cobs.encode(message)) == 17
    assert cobs.Decoder(16).feed(cobs.encode(message)) == [message]
    decoder = cobs.Decoder(15)
    assert decoder.feed(cobs.encode(message)) == [] and decoder.oversize == 1


def test_decode_names_the_block():
    for encoded, offset in ((b"\x02", 0), (b"\x02a\x05bc", 2), (b"\x01\x00", 1), (b"\xff" + b"a" * 253, 0)):
        try:
            cobs.decode(encoded)
        except CobsError as error:
            assert error.offset == offset
        else:
            raise AssertionError("accepted")


def test_every_two_bytes_decode_or_are_refused():
    for first in range(256):
        for second in (0, 1, 2, 3, 254, 255):
            decoder = cobs.Decoder()
            decoder.feed(bytes((first, second)))
            decoder.feed(b"\0")
            assert decoder.feed(cobs.encode(b"ok")) == [b"ok"]
