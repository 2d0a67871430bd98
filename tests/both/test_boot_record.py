"""The boot record: counters never used twice; what flash and memory know of the boot before."""

import firmware.flash as flash
from firmware.boots import (
    BOOT_RECORDS,
    RESERVE_BOUND_S,
    RESERVE_EVERY_S,
    RETAINED_BOUND_S,
    BootRecord,
    CommitError,
    read_retained,
)
from tests.both.node_memory import Board, Medium, PowerCut, boot, on, raises


def test_counters_grow_and_the_first_boot_has_nothing_to_state():
    records = on(Medium())
    first = boot(records, Board())
    assert first.statement is None and first.boot_id == b"\0\0\0\x0112345678"
    second = boot(records, Board())
    assert second.boot_id[:4] == b"\0\0\0\x02"
    assert second.statement == [first.boot_id, 0, False, RESERVE_BOUND_S]


def test_a_counter_survives_a_cut_at_any_step_without_being_used_twice():
    steps = 0
    while True:
        medium = Medium()
        records = on(medium)
        used = [int.from_bytes(boot(records, Board()).boot_id[:4], "big")]
        medium.steps = steps
        record = BootRecord(records, Board())
        try:
            record.commit(b"abcdefgh")
            used.append(int.from_bytes(record.boot_id[:4], "big"))
        except PowerCut:
            assert record.boot_id == b""
        finished = medium.steps > 0
        medium.steps = None
        used.append(int.from_bytes(boot(records, Board()).boot_id[:4], "big"))
        assert sorted(set(used)) == used
        if finished:
            return
        steps += 1


def test_a_commit_that_fails_leaves_no_boot_id_and_may_be_tried_again():
    medium = Medium()
    record = BootRecord(on(medium), Board())
    medium.broken = True
    raises(CommitError, lambda: record.commit(b"12345678"))
    assert record.boot_id == b""
    medium.broken = False
    record.commit(b"12345678")
    assert record.boot_id[:4] == b"\0\0\0\x01"


def test_a_medium_that_takes_writes_and_keeps_nothing_is_no_commit():
    medium = Medium()
    record = BootRecord(on(medium), Board())
    medium.rename = lambda old, new: None
    flash.os.rename = medium.rename
    assert "reads back" in raises(CommitError, lambda: record.commit(b"12345678")).cause


def test_reservations_come_at_a_bounded_rate():
    medium = Medium()
    records = on(medium)
    record = boot(records, Board())
    for second in range(RESERVE_EVERY_S + 1):
        record.reserve(3 * second, second, False)
    statement = BootRecord(records, Board()).statement
    assert statement == [record.boot_id, 3 * RESERVE_EVERY_S, False, RESERVE_BOUND_S]
    before = dict(medium.files)
    record.reserve(3 * RESERVE_EVERY_S, 10 * RESERVE_EVERY_S, False)
    assert medium.files == before, "nothing new, nothing written"


def test_an_orderly_end_is_stated_as_such():
    records = on(Medium())
    record = boot(records, Board())
    record.close(77, False)
    assert BootRecord(records, Board()).statement == [record.boot_id, 77, True, 0]


def test_memory_that_survived_knows_more_than_flash():
    records = on(Medium())
    board = Board(b"")
    record = boot(records, board)
    record.retain(41)
    record.retain(42)
    statement = BootRecord(records, board).statement
    assert statement == [record.boot_id, 42, False, RETAINED_BOUND_S]
    assert BootRecord(records, Board(b"")).statement[3] == RESERVE_BOUND_S, "power was off: flash alone"


def test_an_orderly_end_outweighs_memory():
    records = on(Medium())
    board = Board(b"")
    record = boot(records, board)
    record.retain(42)
    record.close(42, False)
    assert BootRecord(records, board).statement == [record.boot_id, 42, True, 0]


def test_memory_of_an_older_boot_is_not_believed():
    records = on(Medium())
    board = Board(b"")
    first = boot(records, board)
    first.retain(500)
    old = board.memory
    second = boot(records, Board())
    second.reserve(9, RESERVE_EVERY_S, False)
    assert BootRecord(records, Board(old)).statement == [second.boot_id, 9, False, RESERVE_BOUND_S]


def test_memory_counts_on_where_the_record_is_damaged():
    medium = Medium()
    records = on(medium)
    board = Board(b"")
    record = boot(records, board)
    record.retain(5)
    medium.files["state/boot-a"] = medium.files["state/boot-b"] = b"rubbish"
    after = BootRecord(records, board)
    assert "damaged" in after.fault
    assert after.statement == [record.boot_id, 5, False, RETAINED_BOUND_S]
    after.commit(b"12345678")
    assert after.boot_id[:4] == b"\0\0\0\x02"
    assert medium.files["state/boot-a.bad"] == medium.files["state/boot-b.bad"] == b"rubbish"


def test_damage_to_one_place_never_takes_the_counter_back():
    for place in BOOT_RECORDS:
        for reservations in range(4):
            medium = Medium()
            records = on(medium)
            boot(records, Board())
            record = boot(records, Board())
            for n in range(reservations):
                record.reserve(10 * (n + 1), (n + 1) * RESERVE_EVERY_S, False)
            medium.files["state/" + place] = b"rubbish"
            after = BootRecord(records, Board())
            boot_id, known_next, clean, bound_s = after.statement
            assert boot_id == record.boot_id and not clean
            assert 10 * (reservations - 1) <= known_next <= 10 * reservations
            assert bound_s == 2 * RESERVE_BOUND_S
            after.commit(b"12345678")
            assert after.boot_id[:4] == b"\0\0\0\x03"
            assert BootRecord(records, Board()).fault is None


def test_garbage_in_memory_is_nothing():
    assert read_retained(None) is None
    assert read_retained(b"") is None
    assert read_retained(bytes(20)) is None
    board = Board(b"")
    record = boot(on(Medium()), board)
    record.retain(3)
    good = board.memory
    assert read_retained(good) == (record.boot_id, 3)
    for i in range(len(good)):
        assert read_retained(good[:i]) is None
        assert read_retained(good[:i] + bytes((good[i] ^ 1,)) + good[i + 1 :]) is None


def test_a_reservation_that_is_put_off_comes_later_and_not_earlier():
    records = on(Medium())
    record = boot(records, Board())
    for second in range(1, 300):
        record.put_off(second - 1)
        record.reserve(second, second, True)
    assert BootRecord(records, Board()).statement[1] == 0
    record.put_off(5)
    for second in range(300, 331):
        record.reserve(second, second, True)
    assert BootRecord(records, Board()).statement[1:] == [298 + RESERVE_EVERY_S, False, RESERVE_BOUND_S]
