"""Records of people, made by an operator, as tests want them."""

import os

from protocol import records
from tests.edge_agent.fakes import identity

OPERATOR, STRANGER = identity(21), identity(22)
ADA, BOB, EVE = b"a" * 16, b"b" * 16, b"e" * 16
NODE, OTHER_NODE = b"node-one", b"node-two"
NOW = 1_790_000_000_000
HOUR = 3_600_000


def assigned(person, from_ms=NOW, to_ms=None, node=NODE, replaces=None, by=OPERATOR, made_ms=NOW) -> bytes:
    return records.make_assignment(by, node, person, from_ms, made_ms, os.urandom(8), to_ms, replaces)


def consented(
    person, granted=True, forwarder="mqtt", purpose="care", from_ms=0, made_ms=NOW, to_ms=None, replaces=None
) -> bytes:
    return records.make_consent(
        OPERATOR, person, forwarder, purpose, granted, from_ms, made_ms, os.urandom(8), to_ms, replaces
    )


def erased(person, made_ms=NOW, by=OPERATOR) -> bytes:
    return records.make_erasure(by, person, made_ms, os.urandom(8))


def typed(person, values=((8, 1310), (9, 840)), made_ms=NOW, note=None, replaces=None) -> bytes:
    return records.make_manual(
        OPERATOR, person, values, made_ms, made_ms, os.urandom(8), replaces, None, note
    )


def fields(record: bytes) -> dict:
    return records.read_record(record)
