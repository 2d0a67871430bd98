"""The node's one question of multicast DNS, and answers: good ones, and what anybody may send instead."""

import struct

from firmware import mdns

ID = "00112233445566aa"
INSTANCE = b"\x12Vitalwire 00112233"
HOST = b"\x12vitalwire-00112233\x05local\x00"


def _record(name, kind, data, ttl=10):
    return name + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def _answer(number=7, id_=ID, port=7117, addresses=((mdns.A, b"\x0a\x00\x00\x05"),)):
    """As an agent's: the question again, then PTR, SRV, TXT and addresses; names point back to it."""
    head = struct.pack(">HHHHHH", number, 0x8400, 1, 1, 0, 2 + len(addresses))
    service = b"\xc0\x0c"
    instance = INSTANCE + service
    text = b"id=" + id_.encode()
    return (
        head
        + mdns.question(number)[12:]
        + _record(service, mdns.PTR, instance)
        + _record(instance, mdns.SRV, struct.pack(">HHH", 0, 0, port) + HOST)
        + _record(instance, mdns.TXT, b"\x09version=1" + bytes((len(text),)) + text)
        + b"".join([_record(HOST, kind, data) for kind, data in addresses])
    )


def test_the_question():
    packet = mdns.question(0x1234)
    assert packet[:12] == b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
    assert packet[12:] == b"\x0a_vitalwire\x04_tcp\x05local\x00\x00\x0c\x00\x01"


def test_an_answer():
    assert mdns.agents(_answer(), 7) == [(ID, 7117, ["10.0.0.5"])]


def test_ipv4_comes_first_and_ipv6_in_full():
    six = bytes(range(16))
    found = mdns.agents(_answer(addresses=((mdns.AAAA, six), (mdns.A, b"\x7f\0\0\1"))), 7)
    assert found == [(ID, 7117, ["127.0.0.1", "1:203:405:607:809:a0b:c0d:e0f"])]


def test_names_are_compared_without_case():
    packet = _answer().replace(b"vitalwire-00112233", b"VITALWIRE-00112233")
    assert mdns.agents(packet, 7) == [(ID, 7117, ["10.0.0.5"])]


def test_of_another_question_or_no_answer():
    assert mdns.agents(_answer(), 8) == []
    assert mdns.agents(mdns.question(7), 7) == []
    other = _answer().replace(b"\x0a_vitalwire", b"\x0a_vitalwirx")
    assert mdns.agents(other, 7) == []


def test_cut_at_every_offset_and_any_byte_changed():
    packet = _answer()
    for end in range(len(packet)):
        mdns.agents(packet[:end], 7)
    for at in range(len(packet)):
        for wrong in (0, 0x3F, 0xC0, 0xFF):
            changed = packet[:at] + bytes((wrong,)) + packet[at + 1 :]
            for id_, port, addresses in mdns.agents(changed, 7):
                assert isinstance(id_, str) and 0 <= port < 65536 and len(addresses) <= 1


def test_pointers_in_a_ring_end():
    ring = struct.pack(">HHHHHH", 7, 0x8400, 0, 1, 0, 0) + b"\xc0\x0c" + bytes(20)
    assert mdns.agents(ring, 7) == []
    ring = struct.pack(">HHHHHH", 7, 0x8400, 0, 1, 0, 0) + b"\x01a\xc0\x0c" + bytes(20)
    assert mdns.agents(ring, 7) == []


def test_records_without_end_are_not_all_read():
    many = struct.pack(">HHHHHH", 7, 0x8400, 0, 65535, 65535, 65535)
    many += b"".join([_record(b"\x01x\x00", mdns.A, b"\0\0\0\0") for _ in range(200)])
    assert mdns.agents(many, 7) == []


def test_names_that_no_name_may_be():
    """Pointers make a name of hundreds of bytes out of two: such a packet would fill a node's heap."""
    long = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\x00"
    for name, good in ((long, True), (b"\x01b" + long, False), (b"\x40" + b"a" * 64 + b"\x00", False)):
        packet = struct.pack(">HHHHHH", 7, 0x8400, 0, 1, 0, 0) + _record(name, mdns.A, b"\0\0\0\0")
        try:
            assert mdns._name(packet, 12)[1] == 12 + len(name) and good
        except ValueError:
            assert not good
    head = struct.pack(">HHHHHH", 7, 0x8400, 0, 33, 0, 0)
    packet = head + _record(long, mdns.A, b"\0\0\0\0")
    for _ in range(31):
        packet += _record(b"\x02bb\xc0\x0c", mdns.A, b"\0\0\0\0")
    assert mdns.agents(packet, 7) == []


def test_an_answer_that_is_cut_says_what_came_before():
    many = [(mdns.A, bytes((10, 0, 0, n))) for n in range(1, 9)]
    packet = _answer(addresses=many)
    cut = packet[: len(packet) - 5]
    assert mdns.agents(cut, 7) == [(ID, 7117, ["10.0.0.%d" % n for n in range(7, 0, -1)])]
