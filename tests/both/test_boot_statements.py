"""What a node says of its earlier boots: all that no agent has acknowledged, each once, whatever was cut."""

import firmware.flash as flash
from firmware.boots import (
    BOOT_RECORDS,
    CLEAR_SOON,
    MAX_SAID,
    MAX_U32,
    RESERVE_BOUND_S,
    RESERVE_EVERY_S,
    RETAINED_BOUND_S,
    BootRecord,
    together,
)
from protocol import cbor, frame_rules, frame_schema, frames
from tests.both.node_memory import Board, Medium, PowerCut, boot, on


def body_of(record):
    """The statements that the boot frame of `record` carries."""
    body = {}
    if record.statement is not None:
        body[frames.BOOT_PREVIOUS] = record.statement
    if record.earlier() is not None:
        body[frames.BOOT_EARLIER] = record.earlier()
    return body


def counters(body):
    """The counters of the boots that `body` speaks of, each as often as it does."""
    said = list(body.get(frames.BOOT_EARLIER, []))
    if frames.BOOT_PREVIOUS in body:
        said.append(body[frames.BOOT_PREVIOUS])
    out = []
    for item in said:
        if isinstance(item[0], int):
            out += range(item[0], item[1] + 1)
        else:
            out.append(int.from_bytes(item[0][:4], "big"))
    return out


def test_every_boot_states_all_that_no_agent_has_acknowledged():
    records = on(Medium())
    said = []
    for n in range(MAX_SAID):
        board = Board(b"")
        record = boot(records, board)
        assert (record.earlier() or []) == said[:-1]
        assert record.statement == (said[-1] if said else None)
        record.retain(10 * n)
        # Power goes off: flash alone is left.
        said.append([record.boot_id, 0, False, RESERVE_BOUND_S])


def test_what_was_acknowledged_is_not_said_again_once_flash_knows():
    records = on(Medium())
    for _ in range(2):
        boot(records, Board())
    third = boot(records, Board())
    third.reserve(40, RESERVE_EVERY_S, True)
    fourth = boot(records, Board())
    assert fourth.statement == [third.boot_id, 40, False, RESERVE_BOUND_S] and fourth.earlier() is None
    fourth.close(5, False)
    fifth = boot(records, Board())
    assert fifth.earlier() == [fourth.statement] and fifth.statement == [fourth.boot_id, 5, True, 0]
    fifth.close(6, True)
    assert boot(records, Board()).earlier() is None


def writes(medium, action):
    """How many records `action` writes."""
    counted = []
    rename = medium.rename
    flash.os.rename = lambda old, new: (counted.append(new), rename(old, new))
    action()
    flash.os.rename = rename
    return len(counted)


def test_statements_cost_no_write_but_one_when_many_have_arrived():
    medium = Medium()
    records = on(medium)
    for n in range(CLEAR_SOON):
        assert writes(medium, lambda: boot(records, Board())) == len(BOOT_RECORDS)
        record = BootRecord(records, Board())
        assert len(record.earlier() or []) == n
    record = boot(records, Board())

    def seconds(delivered):
        for second in range(1, RESERVE_EVERY_S):
            record.reserve(second, second, delivered)

    assert writes(medium, lambda: seconds(False)) == 0
    assert writes(medium, lambda: seconds(True)) == 1
    after = boot(records, Board())
    assert after.earlier() is None and after.statement[:2] == [record.boot_id, 1]


def test_more_than_a_boot_frame_takes_are_put_together_and_every_boot_is_in_it_once():
    records = on(Medium())
    many = 3 * MAX_SAID
    for n in range(many):
        record = boot(records, Board())
        body = body_of(record)
        assert counters(body) == list(range(1, n + 1))
        assert len(cbor.dumps(body)) < 500
        if frames.BOOT_EARLIER in body:
            assert frame_schema._fits(body[frames.BOOT_EARLIER], "earlier", 1, frame_rules.MAX_EARLIER)
        record.reserve(7, RESERVE_EVERY_S, False)
    first, last, known, bound_s = BootRecord(records, Board()).earlier()[0]
    assert (first, last) == (1, many - MAX_SAID + 1)
    assert (known, bound_s) == (7 * last, RESERVE_BOUND_S * last)


def test_what_is_put_together_never_claims_less_than_its_parts():
    def said(counter, known_next, clean, bound_s):
        return [counter.to_bytes(4, "big") + bytes(8), known_next, clean, bound_s]

    assert together(said(4, 10, True, 0), said(5, 3, False, 35)) == [4, 5, 13, 35]
    assert together([1, 3, 9, 2], said(4, 1, False, 1)) == [1, 4, 10, 3]
    assert together([1, 3, 9, 2], said(6, 1, False, 1)) == [1, 6, 10, MAX_U32], "4 and 5 are unheard of"
    full = together([1, 3, MAX_U32, MAX_U32], said(4, 9, False, 9))
    assert full == [1, 4, MAX_U32, MAX_U32]


def test_a_cut_at_any_write_neither_loses_nor_doubles_a_statement():
    """Boots, each cut at some write or none; with and without an agent's acknowledgement."""
    for acknowledged in (False, True):
        cut = 0
        while True:
            medium = Medium()
            records = on(medium)
            heard = {}
            used = set()
            for _ in range(5):
                record = boot(records, Board())
                used.add(record.boot_id[:4])
            five = [[item[0][:4], item[1:]] for item in told(BootRecord(records, Board()))]
            # From here on: a sixth boot that is cut at step `cut` of its life.
            medium.steps = cut
            record = BootRecord(records, Board())
            try:
                record.commit(b"abcdefgh")
                used.add(record.boot_id[:4])
                if acknowledged:
                    heard = {item[0]: item for item in told(record)}
                record.reserve(3, 1, acknowledged)
                record.reserve(90, RESERVE_EVERY_S + 1, acknowledged)
                record.close(99, acknowledged)
            except PowerCut:
                pass
            finished = medium.steps > 0
            medium.steps = None
            after = boot(records, Board())
            said = counters(body_of(after))
            assert len(said) == len(set(said)), "a boot stated twice in one frame"
            assert after.boot_id[:4] not in used
            for item in told(after):
                assert heard.get(item[0], item) == item, "said otherwise than before"
                heard[item[0]] = item
            mine = int.from_bytes(after.boot_id[:4], "big")
            assert sorted([int.from_bytes(one[:4], "big") for one in heard]) == list(range(1, mine)), cut
            kept = [[item[0][:4], item[1:]] for item in heard.values() if item[0][:4] in used]
            assert all(one in kept for one in five)
            if finished:
                break
            cut += 1
        assert cut > 30


def told(record):
    """Everything that `record` states."""
    return (record.earlier() or []) + ([record.statement] if record.statement else [])


def test_a_lost_record_of_the_newest_boot_still_says_what_came_before():
    """Flash forgot a commit that memory remembers."""
    medium = Medium()
    records = on(medium)
    board = Board(b"")
    boot(records, board)
    second = boot(records, board)
    older = dict(medium.files)
    third = boot(records, board)
    third.retain(8)
    medium.files.clear()
    medium.files.update(older)
    after = BootRecord(records, board)
    assert after.statement == [third.boot_id, 8, False, RETAINED_BOUND_S]
    assert counters(body_of(after)) == [1, 2, 3]
    assert after.earlier()[-1] == [second.boot_id, 0, False, RESERVE_BOUND_S]


def test_a_record_without_statements_is_understood():
    records = on(Medium())
    old = (7).to_bytes(4, "big") + bytes(8)
    records.write("boot-a", cbor.dumps([old, 5, True, 0]))
    after = BootRecord(records, Board())
    assert after.statement == [old, 5, True, 0] and after.earlier() is None and after.fault is None
