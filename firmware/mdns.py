"""One question of multicast DNS, and the answers: who in this network is an agent.

RFC 6762 §6.7: a question from another port than 5353 is answered to its asker alone. RFC 6763: the answer
names the service (PTR), where it is (SRV, A, AAAA) and what it says of itself (TXT: `id=` the agent's id).
"""

import struct

GROUP = "224.0.0.251"
PORT = 5353
SERVICE = b"\x0a_vitalwire\x04_tcp\x05local\x00"
A = 1
PTR = 12
TXT = 16
AAAA = 28
SRV = 33
# RFC 1035 §2.3.4: of a name. Labels and pointers: with so many, pointers in a ring end, too.
MAX_NAME = 255
MAX_LABEL = 63
MAX_LABELS = 128
MAX_RECORDS = 32


def question(number):
    """The message that asks who offers the service; `number`: 16 bits that its answers have, too."""
    return struct.pack(">HHHHHH", number, 0, 1, 0, 0, 0) + SERVICE + struct.pack(">HH", PTR, 1)


def agents(packet, number):
    """[(agent id in hex or "", port, [address, …]), …] of an answer, also of one that is cut; whatever is no
    answer gives none.
    """
    places, said, addresses = {}, {}, {}
    if len(packet) < 12:
        return []
    found, flags, questions, one, two, three = struct.unpack(">HHHHHH", packet[:12])
    if found != number or not flags & 0x8000:
        return []
    try:
        _records(packet, questions, one + two + three, places, said, addresses)
    except (IndexError, ValueError):
        pass
    return [
        (said.get(name, ""), places[name][0], addresses.get(places[name][1], []))
        for name in places
        if name.endswith(b"._vitalwire._tcp.local")
    ]


def _records(packet, questions, records, places, said, addresses):
    """Fill the three by name: (port, host), id, addresses. IndexError, ValueError: here it is cut."""
    at = 12
    for _ in range(min(questions, MAX_RECORDS)):
        at = _name(packet, at)[1] + 4
    for _ in range(min(records, MAX_RECORDS)):
        name, at = _name(packet, at)
        if len(packet) < at + 10:
            raise ValueError
        kind, _, _, size = struct.unpack(">HHIH", packet[at : at + 10])
        at += 10
        data = packet[at : at + size]
        if len(data) != size:
            raise ValueError
        if kind == SRV and size > 6:
            port = struct.unpack(">H", data[4:6])[0]
            places[name] = port, _name(packet, at + 6)[0]
        elif kind == TXT:
            said[name] = _id(data)
        elif kind == A and size == 4:
            addresses.setdefault(name, []).insert(0, ".".join([str(byte) for byte in data]))
        elif kind == AAAA and size == 16:
            groups = struct.unpack(">HHHHHHHH", data)
            addresses.setdefault(name, []).append(":".join(["%x" % group for group in groups]))
        at += size


def _name(packet, at):
    """(the name that begins at `at`, in small letters; where what follows it begins)."""
    labels = []
    after = length = 0
    for _ in range(MAX_LABELS):
        size = packet[at]
        if size >= 0xC0:
            after = after or at + 2
            at = (size & 0x3F) << 8 | packet[at + 1]
        elif size > MAX_LABEL or length + size > MAX_NAME:
            raise ValueError
        elif size:
            length += size + 1
            labels.append(packet[at + 1 : at + 1 + size].lower())
            at += 1 + size
        else:
            return b".".join(labels), after or at + 1
    raise ValueError


def _id(data):
    at = 0
    while at < len(data):
        text = data[at + 1 : at + 1 + data[at]]
        if text.startswith(b"id="):
            return text[3:].decode()
        at += 1 + data[at]
    return ""
