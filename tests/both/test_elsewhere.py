from protocol.elsewhere import MAX_RANGES, Elsewhere
from protocol.outbox import Outbox

A, B, C = b"agent  A", b"agent  B", b"agent  C"


def between_two():
    known = Elsewhere()
    known.paired(A)
    known.paired(B)
    return known


def box_of(held, next_seq):
    """An outbox that holds these numbers of those below `next_seq`."""
    box = Outbox(1 << 20)
    for seq in range(next_seq):
        box.add(seq, b"", 1)
    for seq in range(next_seq):
        if seq not in held:
            box.ack(seq, 1)
    return box


def told(known, agent_id, seq, held=()):
    """What frame `seq` states for this agent."""
    ranges = known.tell(agent_id, box_of(held, seq))
    if ranges:
        known.told(agent_id, seq)
    return ranges


def test_an_agent_alone_is_told_nothing():
    known = between_two()
    known.acked(A, 0, 10)
    assert told(known, A, 12) == []


def test_what_is_held_no_longer_is_told_once_to_the_other():
    known = between_two()
    known.acked(A, 0, 15)
    assert told(known, B, 20, (3, 17, 18)) == [[0, 3], [4, 13], [19, 1]]
    assert told(known, B, 21, (3, 17, 18, 20)) == []
    known.acked(B, 20, 1)
    assert told(known, B, 22) == []
    assert told(known, A, 22) == [[0, 22]]


def test_a_statement_that_went_to_another_agent_is_made_again():
    known = between_two()
    known.acked(A, 0, 10)
    assert told(known, B, 10) == [[0, 10]]
    known.acked(A, 10, 3)
    assert told(known, B, 13) == [[0, 13]]
    known.acked(B, 13, 1)
    assert told(known, B, 14) == []


def test_what_another_is_given_meanwhile_is_told_next():
    known = between_two()
    known.acked(A, 0, 10)
    assert told(known, B, 10) == [[0, 10]]
    known.acked(A, 11, 3)
    assert told(known, B, 14) == []
    known.acked(B, 10, 1)
    assert told(known, B, 14) == [[0, 14]]


def test_an_agent_paired_later_is_told_of_what_was_before():
    known = between_two()
    known.acked(A, 0, 4)
    known.paired(C)
    known.paired(A)
    assert told(known, C, 8) == [[0, 8]]
    assert told(known, A, 9) == [] and told(known, B, 10) == [[0, 10]]


def test_an_agent_that_is_forgotten_is_told_nothing():
    known = between_two()
    known.acked(A, 0, 4)
    told(known, B, 4)
    known.forgotten(B)
    known.acked(A, 4, 1)
    assert told(known, B, 5) == []


def test_many_gaps_take_several_frames_and_no_frame_says_too_much():
    known = between_two()
    known.acked(A, 0, 1)
    held = set(range(0, 6 * MAX_RANGES, 2))
    missing = set(range(6 * MAX_RANGES)) - held
    said = set()
    seq = 6 * MAX_RANGES
    for _ in range(10):
        ranges = told(known, B, seq, held)
        if not ranges:
            break
        assert len(ranges) <= MAX_RANGES + 1
        now = {n for first, count in ranges for n in range(first, first + count)}
        assert not now & held
        said |= now
        known.acked(B, seq, 1)
        # What was held arrives meanwhile.
        for n in sorted(held)[:MAX_RANGES]:
            held.discard(n)
    assert missing <= said


def test_what_could_not_be_sealed_is_still_to_be_told():
    known = between_two()
    known.acked(A, 0, 10)
    assert known.tell(B, box_of((), 10)) == [[0, 10]]
    known.acked(B, 10, 1)
    known.acked(A, 11, 1)
    assert told(known, B, 12) == [[0, 12]]
