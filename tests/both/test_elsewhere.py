from protocol.elsewhere import MAX_RANGES, Elsewhere

A, B, C = b"agent  A", b"agent  B", b"agent  C"


def between_two():
    known = Elsewhere()
    known.paired(A)
    known.paired(B)
    return known


def test_what_one_acknowledged_the_other_is_told_once():
    known = between_two()
    known.acked(A, 0, 10)
    known.acked(A, 10, 5)
    assert known.tell(A, 20) == []
    assert known.tell(B, 20) == [[0, 15]]
    assert known.tell(B, 21) == []
    known.acked(B, 20, 1)
    assert known.tell(B, 22) == []
    assert known.tell(A, 22) == [[20, 1]]


def test_a_statement_that_went_to_another_agent_is_made_again():
    known = between_two()
    known.acked(A, 0, 10)
    assert known.tell(B, 10) == [[0, 10]]
    known.acked(A, 10, 3)
    assert known.tell(B, 13) == [[0, 13]]
    known.acked(B, 13, 1)
    assert known.tell(B, 14) == []


def test_what_is_acknowledged_elsewhere_meanwhile_is_told_next():
    known = between_two()
    known.acked(A, 0, 10)
    assert known.tell(B, 10) == [[0, 10]]
    known.acked(A, 11, 3)
    assert known.tell(B, 14) == []
    known.acked(B, 10, 1)
    assert known.tell(B, 14) == [[11, 3]]


def test_an_agent_paired_later_is_told_of_what_was_before():
    known = between_two()
    known.acked(A, 0, 4)
    known.acked(B, 4, 4)
    known.paired(C)
    known.paired(A)
    assert known.tell(C, 8) == [[0, 8]]
    assert known.tell(A, 9) == [[4, 4]] and known.tell(B, 10) == [[0, 4]]


def test_an_agent_that_is_forgotten_is_told_nothing():
    known = between_two()
    known.acked(A, 0, 4)
    known.tell(B, 4)
    known.forgotten(B)
    known.acked(A, 4, 1)
    assert known.tell(B, 5) == []


def test_ranges_are_bounded_and_never_say_too_much():
    known = between_two()
    acked = set()
    for n in range(3 * MAX_RANGES):
        known.acked(A, 10 * n, 1 + n % 5)
        acked |= set(range(10 * n, 10 * n + 1 + n % 5))
    told = known.tell(B, 1000)
    assert len(told) == MAX_RANGES
    said = {n for first, count in told for n in range(first, first + count)}
    assert said <= acked and known.unsaid == 2 * len(acked - said)
