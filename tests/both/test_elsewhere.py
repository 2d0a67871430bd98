from protocol.elsewhere import MAX_RANGES, Elsewhere

A, B, C = b"agent  A", b"agent  B", b"agent  C"


def between_two():
    known = Elsewhere()
    known.paired(A)
    known.paired(B)
    return known


def told(known, agent_id, seq):
    """What frame `seq` states for this agent."""
    ranges = known.tell(agent_id)
    if ranges:
        known.told(agent_id, seq)
    return ranges


def test_what_one_acknowledged_the_other_is_told_once():
    known = between_two()
    known.acked(A, 0, 10)
    known.acked(A, 10, 5)
    assert told(known, A, 20) == []
    assert told(known, B, 20) == [[0, 15]]
    assert told(known, B, 21) == []
    known.acked(B, 20, 1)
    assert told(known, B, 22) == []
    assert told(known, A, 22) == [[20, 1]]


def test_a_statement_that_went_to_another_agent_is_made_again():
    known = between_two()
    known.acked(A, 0, 10)
    assert told(known, B, 10) == [[0, 10]]
    known.acked(A, 10, 3)
    assert told(known, B, 13) == [[0, 13]]
    known.acked(B, 13, 1)
    assert told(known, B, 14) == []


def test_what_is_acknowledged_elsewhere_meanwhile_is_told_next():
    known = between_two()
    known.acked(A, 0, 10)
    assert told(known, B, 10) == [[0, 10]]
    known.acked(A, 11, 3)
    assert told(known, B, 14) == []
    known.acked(B, 10, 1)
    assert told(known, B, 14) == [[11, 3]]


def test_an_agent_paired_later_is_told_of_what_was_before():
    known = between_two()
    known.acked(A, 0, 4)
    known.acked(B, 4, 4)
    known.paired(C)
    known.paired(A)
    assert told(known, C, 8) == [[0, 8]]
    assert told(known, A, 9) == [[4, 4]] and told(known, B, 10) == [[0, 4]]


def test_an_agent_that_is_forgotten_is_told_nothing():
    known = between_two()
    known.acked(A, 0, 4)
    told(known, B, 4)
    known.forgotten(B)
    known.acked(A, 4, 1)
    assert told(known, B, 5) == []


def test_ranges_are_bounded_and_never_say_too_much():
    known = between_two()
    acked = set()
    for n in range(3 * MAX_RANGES):
        known.acked(A, 10 * n, 1 + n % 5)
        acked |= set(range(10 * n, 10 * n + 1 + n % 5))
    said_now = told(known, B, 1000)
    assert len(said_now) == MAX_RANGES
    said = {n for first, count in said_now for n in range(first, first + count)}
    assert said <= acked and known.unsaid == 2 * len(acked - said)


def test_what_could_not_be_sealed_is_still_to_be_told():
    known = between_two()
    known.acked(A, 0, 10)
    assert known.tell(B) == [[0, 10]]
    known.acked(B, 10, 1)
    known.acked(A, 11, 1)
    assert told(known, B, 12) == [[0, 10], [11, 1]]
