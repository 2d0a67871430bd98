"""The record of un-pairings: told until an agent knows, not of one that is paired, whole or not there."""

from firmware import unpaired
from firmware.aftermath import UNPAIRED_RECORD
from protocol import frames
from protocol.identity import node_id as party_id
from tests.both.node_memory import Medium, PowerCut, on

KEYS = [(bytes([n]) * 32, bytes([n + 1]) * 32) for n in (1, 3)]
A, B = [party_id(ed_pub, x_pub) for ed_pub, x_pub in KEYS]


class Box:
    """As far as it counts here: it numbers what is sealed, and is its own owner."""

    def __init__(self, records, agents=()):
        self.records = records
        self.agents = agents
        self.box = self
        self.next_seq = 5
        self.sealed = []

    def seal(self, kind, body, t_us, keep):
        assert kind == frames.KIND_EVENT and body[frames.EVENT_PAST] and keep
        assert body[frames.EVENT_CODE] == frames.EVENT_UNPAIRED
        self.sealed.append(body[frames.EVENT_TEXT])
        self.next_seq += 1
        return self.next_seq - 1


def told(records, agents=()):
    box = Box(records, agents)
    numbers = unpaired.tell(box, box)
    assert box.sealed == [agent_id.hex() for _, agent_id in numbers]
    return numbers


def test_each_is_told_until_it_has_arrived():
    records = on(Medium())
    assert told(records) == []
    unpaired.note(records, A)
    unpaired.note(records, A)
    assert told(records) == told(records) == [(5, A)]
    # Another goes while the word of the first is on its way.
    unpaired.note(records, B)
    unpaired.arrived(records, A)
    assert told(records) == [(5, B)]
    unpaired.arrived(records, B)
    unpaired.arrived(records, B)
    assert told(records) == [] and not records.holds(UNPAIRED_RECORD)


def test_nothing_is_told_of_an_agent_that_is_paired():
    records = on(Medium())
    unpaired.note(records, A)
    unpaired.note(records, B)
    assert told(records, KEYS[:1]) == [(5, B)]
    assert told(records, KEYS) == []


def test_a_record_keeps_the_newest_of_many():
    records = on(Medium())
    for n in range(20):
        unpaired.note(records, bytes([n]) * 8)
    assert [agent_id[0] for _, agent_id in told(records)] == list(range(12, 20))


def test_a_cut_at_any_step_leaves_the_word_of_those_before():
    steps = 0
    while True:
        medium = Medium()
        records = on(medium)
        unpaired.note(records, A)
        medium.steps = steps
        try:
            unpaired.note(records, B)
        except PowerCut:
            pass
        finished = medium.steps > 0
        medium.steps = None
        assert [agent_id for _, agent_id in told(records)] in ([A], [A, B])
        if finished:
            return
        steps += 1


def test_a_damaged_record_is_set_aside():
    medium = Medium()
    records = on(medium)
    records.write(UNPAIRED_RECORD, b"\xff")
    assert told(records) == [] and records.path(UNPAIRED_RECORD) + ".bad" in medium.files
