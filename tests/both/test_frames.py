"""Frames: packing, checking of each kind, lanes."""

from protocol import frame_schema, frames
from protocol.errors import FrameError, LocalError

ID = b"12345678"
STATUS = {key: 0 for key in range(1, 15)}
WAVE = {1: 0, 2: 1, 3: 4000000, 4: 3050, 5: 2, 6: b"\x32\x00"}
BOOT = {1: "1.0", 2: "virtual", 3: 1, 4: [bytes(32), bytes(32)], 7: [[0, "MAX30003", 4000000, 3050]], 8: 1}
ATTEST = {1: 0, 2: 64, 3: bytes(32), 4: bytes(64)}

GOOD = [
    (frames.KIND_BOOT, BOOT),
    (frames.KIND_WAVE, WAVE),
    (frames.KIND_VITALS, {}),
    (frames.KIND_EVENT, {1: 9, 2: 0}),
    (frames.KIND_STATUS, STATUS),
    (frames.KIND_LOSS, {1: [[0, 1, 1]]}),
    (frames.KIND_ATTEST, ATTEST),
    (frames.KIND_TIME, {1: 0, 2: 0}),
    (frames.KIND_BP, {1: 0, 2: 1200, 3: 800, 4: 930, 7: 0, 8: 1500, 10: 1, 11: 1}),
    (frames.KIND_LOG, {1: 1, 2: "text"}),
    (frames.KIND_ANSWER, {1: ID, 2: 0}),
    (frames.KIND_LOST_BEFORE, {1: [[b"\0\0\0\1" + bytes(8), 0, 1, 1]]}),
    (frames.KIND_COMMAND, {1: ID, 2: 1, 4: 7, 8: 9}),
    (frames.KIND_CONFIG, {1: ID, 2: {1: 50}, 4: 7, 8: 9}),
    (frames.KIND_UPDATE, {1: ID, 2: 4}),
    (frames.KIND_UNPAIR, {1: ID}),
    (frames.KIND_ACK, [0, []]),
    (frames.KIND_TIME_DOWN, {1: 5}),
]

WRONG = (None, True, -1, 1 << 40, b"", "x", [], [1], {}, [[0, 0, 0]], b"\0" * 33, "x" * 300, [None] * 2)


def refused(kind, body, t_us=0):
    try:
        frames.unpack(frames.pack(kind, t_us, body))
    except FrameError as error:
        assert error.cause == "malformed_frame"
        return str(error)
    return None


def test_good_ones_pass_and_come_back():
    for kind, body in GOOD:
        assert frames.unpack(frames.pack(kind, 17, body)) == (kind, 17, body)


def test_each_required_key_is_required():
    for kind, body in GOOD:
        if not isinstance(body, dict):
            continue
        for key in body:
            without = {other: body[other] for other in body if other != key}
            said = refused(kind, without)
            assert said and "key %d" % key in said, (kind, key, said)


def test_each_key_of_a_wrong_type_is_refused():
    for kind, body in GOOD:
        if isinstance(body, dict):
            for key in body:
                count = 0
                for wrong in WRONG:
                    changed = {other: body[other] for other in body}
                    changed[key] = wrong
                    if refused(kind, changed):
                        count += 1
                assert count >= len(WRONG) - 3, (kind, key, count)


def test_optional_keys_are_checked_when_there():
    for kind, body, key, wrong in (
        (frames.KIND_BOOT, BOOT, 5, 7),
        (frames.KIND_BOOT, BOOT, 6, [bytes(12), 5, 1, 3]),
        (frames.KIND_BOOT, BOOT, 6, [bytes(11), 5, True, 3]),
        (frames.KIND_BOOT, BOOT, 6, [bytes(12), 5, True]),
        (frames.KIND_WAVE, WAVE, 7, 1 << 16),
        (frames.KIND_WAVE, WAVE, 8, -1),
        (frames.KIND_WAVE, WAVE, 9, None),
        (frames.KIND_WAVE, WAVE, 15, 0),
        (frames.KIND_VITALS, {}, 1, "65"),
        (frames.KIND_VITALS, {}, 2, [912, 0]),
        (frames.KIND_VITALS, {}, 2, [800] * 65),
        (frames.KIND_VITALS, {}, 6, 101),
        (frames.KIND_VITALS, {}, 16, 0),
        (frames.KIND_EVENT, {1: 1, 2: 1}, 3, b""),
        (frames.KIND_EVENT, {1: 1, 2: 1}, 4, "é" * 33),
    ):
        changed = {other: body[other] for other in body}
        changed[key] = wrong
        said = refused(kind, changed)
        assert said and "key %d" % key in said, (kind, key, said)


def test_unknown_kinds_and_keys_are_carried():
    for body in (None, 5, "x", [1, [2]], {"any": {b"": True}}):
        assert frames.unpack(frames.pack(77, 0, body)) == (77, 0, body)
    extra = {1: 9, 2: 0, 40: [1, 2], 4000: "later"}
    assert frames.unpack(frames.pack(frames.KIND_EVENT, 0, extra))[2] == extra
    assert frames.unpack(frames.pack(frames.KIND_TIME_DOWN, 0, {1: 5, 9: b""}))[2] == {1: 5, 9: b""}


def test_a_node_reads_what_came_down_without_the_schema():
    for kind, body in GOOD:
        assert frames.unpack_down(frames.pack(kind, 17, body)) == (kind, 17, body)
    for kind in range(frames.KIND_ACK, frames.KIND_UNPAIR + 1):
        for body in (None, 5, "x", b"", [], [0]):
            try:
                frames.unpack_down(frames.pack(kind, 0, body))
            except FrameError:
                continue
            raise AssertionError((kind, body))
    assert frames.unpack_down(frames.pack(frames.KIND_BOOT, 0, None)) == (frames.KIND_BOOT, 0, None)
    assert frames.unpack_down(frames.pack(77, 0, "later")) == (77, 0, "later")


def test_what_is_not_known_is_counted():
    unknown, meanings = frame_schema.unknown, frame_schema.unknown_meanings
    for kind, body in GOOD:
        assert unknown(kind, body) == (False, 0) and meanings(kind, body) == 0, kind
        if isinstance(body, dict):
            later = {key: body[key] for key in body}
            later[90] = later[91] = None
            assert frames.unpack(frames.pack(kind, 0, later))[2] == later
            assert unknown(kind, later) == (False, 2) and meanings(kind, later) == 0
    for body in (None, [1], {1: 2}):
        assert unknown(77, body) == (True, 0) and meanings(77, body) == 0
    assert unknown(frames.KIND_CONFIG, {1: ID, 2: {1: 50, 77: 1}, 4: 7, 8: 9, 99: 1}) == (False, 2)


def test_meanings_that_are_not_known_are_carried_and_counted():
    for kind, key, known, later in (
        (frames.KIND_BOOT, 3, 6, 7),
        (frames.KIND_WAVE, 1, 3, 4),
        (frames.KIND_WAVE, 5, 2, 3),
        (frames.KIND_WAVE, 7, 7, 8),
        (frames.KIND_VITALS, 8, 511, 512),
        (frames.KIND_VITALS, 16, 3, 4),
        (frames.KIND_BP, 10, 5, 6),
        (frames.KIND_BP, 13, 15, 17),
        (frames.KIND_EVENT, 1, 52, 53),
        (frames.KIND_EVENT, 6, 3, 4),
        (frames.KIND_STATUS, 6, 6, 7),
        (frames.KIND_LOSS, 1, [[0, 1, 2]], [[0, 1, 3]]),
        (
            frames.KIND_LOST_BEFORE,
            1,
            [[b"\0\0\0\1" + bytes(8), 0, 1, 2]],
            [[b"\0\0\0\1" + bytes(8), 0, 1, 3]],
        ),
        (frames.KIND_LOG, 1, 4, 5),
        (frames.KIND_ANSWER, 2, 8, 9),
        (frames.KIND_COMMAND, 2, 10, 11),
        (frames.KIND_UPDATE, 2, 4, 5),
    ):
        good = dict(GOOD)[kind]
        for value, count in ((known, 0), (later, 1)):
            body = {other: good[other] for other in good}
            body[key] = value
            assert frames.unpack(frames.pack(kind, 0, body))[2] == body
            assert frame_schema.unknown_meanings(kind, body) == count, (kind, key, value)
            assert frame_schema.unknown(kind, body) == (False, 0)


def test_blood_pressure_is_there_when_it_was_measured_and_only_then():
    measured = dict(GOOD)[frames.KIND_BP]
    for key in (2, 3, 4):
        without = {other: measured[other] for other in measured if other != key}
        assert refused(frames.KIND_BP, without)
        failed = {other: measured[other] for other in measured if other not in (2, 3, 4)}
        failed[1] = frames.BP_LEAK
        assert refused(frames.KIND_BP, failed) is None
        failed[key] = 1
        assert refused(frames.KIND_BP, failed)


def test_an_update_s_step_says_what_else_is_there():
    for step, needed in ((frames.STEP_OFFER, {3: 9, 7: "0.2"}), (frames.STEP_DATA, {4: 0, 5: 0, 6: b"x"})):
        body = {1: ID, 2: step}
        body.update(needed)
        assert refused(frames.KIND_UPDATE, body) is None
        for key in needed:
            assert refused(frames.KIND_UPDATE, {other: body[other] for other in body if other != key})


def test_times_are_below_two_to_the_53():
    last = (1 << 53) - 1
    assert frames.unpack(frames.pack(frames.KIND_VITALS, last, {}))[1] == last
    for bad in (-1, 1 << 53):
        try:
            frames.pack(frames.KIND_VITALS, bad, {})
        except LocalError:
            continue
        raise AssertionError(bad)


def test_a_frame_too_long_for_the_wire_is_not_packed():
    try:
        frames.pack(frames.KIND_WAVE, 0, {6: bytes(frames.MAX_PLAINTEXT)})
    except LocalError:
        return
    raise AssertionError


def test_ack_ranges():
    assert refused(frames.KIND_ACK, [0, [[0, 3], [3, 1], [9, 1]]]) is None
    assert refused(frames.KIND_ACK, [0, [[0xFFFFFFFF, 1]]]) is None
    for ranges in (
        [[0, 0]],
        [[3, 1], [0, 3]],
        [[0, 3], [2, 1]],
        [[0xFFFFFFFF, 2]],
        [[1 << 32, 1]],
        [[0, 1 << 33]],
        [[0]],
        [[0, 1, 2]],
        [0, 1],
        [[True, 1]],
        [[-1, 2]],
        None,
    ):
        assert refused(frames.KIND_ACK, [0, ranges]), ranges
    for body in ([], [0], [0, [], 0], [-1, []], {0: []}, None):
        assert refused(frames.KIND_ACK, body), body


def test_truncation_at_every_offset():
    for kind, body in GOOD:
        plaintext = frames.pack(kind, 1 << 40, body)
        for end in range(len(plaintext)):
            try:
                frames.unpack(plaintext[:end])
            except FrameError as error:
                assert error.offset is not None and error.offset <= end
            else:
                raise AssertionError((kind, end))


def test_lanes():
    for kind, body in GOOD:
        expected = frames.LANE_WAVE if kind == frames.KIND_WAVE else frames.LANE_VITALS
        assert frames.lane(kind, body) == expected
    for priority in (1, 2, 3):
        assert frames.lane(frames.KIND_EVENT, {1: 1, 2: priority}) == frames.LANE_ALARM
        past = {1: 1, 2: priority, frames.EVENT_PAST: True}
        assert frames.lane(frames.KIND_EVENT, past) == frames.LANE_VITALS
        assert frames.lane(frames.KIND_EVENT, {1: 1, 2: priority, 5: False}) == frames.LANE_ALARM
    assert frames.LANE_ALARM < frames.LANE_VITALS < frames.LANE_WAVE
