"""Orders: who may give them, until when, and what must be in one; the vectors judge the rest."""

from protocol import crypto, frames, identity, orders

NODE_ID = b"node 123"
BOOT_ID = b"\0\0\0\7" + b"bootboot"
MARK = {1: b"12345678", 2: frames.OP_MARK, 4: 1000, 8: 5}
CUFF = {1: b"12345678", 2: frames.OP_MEASURE_BP, 4: 1000, 8: 5}


def authority():
    return crypto.run(identity.from_seed_steps(b"a" * 32, b"x" * 32))


def judged(kind, body, believed=(), now_us=1000):
    keys = {one.id: one.ed_pub for one in believed}
    return crypto.run(orders.check_steps(NODE_ID, BOOT_ID, kind, body, now_us, keys))


def test_what_moves_the_cuff_or_changes_alarms_needs_an_authority():
    guarded = (frames.OP_MEASURE_BP, frames.OP_CUFF_LEAK, frames.OP_CUFF_STATIC, frames.OP_ACKNOWLEDGE)
    for operation in range(10):
        needed = orders.needs_authority(frames.KIND_COMMAND, {2: operation})
        assert needed == (operation in guarded)
    for setting in range(8):
        needed = orders.needs_authority(frames.KIND_CONFIG, {2: {setting: 0}})
        assert needed == (setting in (frames.SET_MODE, frames.SET_LIMITS, frames.SET_CUFF_SIZE))
    assert orders.needs_authority(frames.KIND_CONFIG, {2: {frames.SET_MAINS_HZ: 50, frames.SET_LIMITS: []}})
    assert not orders.needs_authority(frames.KIND_CONFIG, {2: {}})


def test_an_order_holds_until_its_moment():
    assert judged(frames.KIND_COMMAND, MARK, (), 1000) == frames.RESULT_DONE
    assert judged(frames.KIND_COMMAND, MARK, (), 1001) == frames.RESULT_EXPIRED


def test_signed_by_who_is_believed():
    who = authority()
    body = crypto.run(orders.sign_steps(who, NODE_ID, BOOT_ID, frames.KIND_COMMAND, CUFF.copy()))
    assert judged(frames.KIND_COMMAND, body, [who]) == frames.RESULT_DONE
    assert judged(frames.KIND_COMMAND, body, []) == frames.RESULT_UNAUTHORISED
    assert judged(frames.KIND_COMMAND, CUFF, [who]) == frames.RESULT_UNAUTHORISED
    for key, value in ((1, b"87654321"), (2, frames.OP_STRIP), (3, {}), (4, 1001), (8, 6)):
        changed = body.copy()
        changed[key] = value
        assert judged(frames.KIND_COMMAND, changed, [who]) == frames.RESULT_UNAUTHORISED, key
    later = body.copy()
    later[frames.ORDER_REASON] = "not signed: for the audit"
    assert judged(frames.KIND_COMMAND, later, [who]) == frames.RESULT_DONE


def test_a_signature_that_is_there_must_be_good_where_none_is_needed():
    who = authority()
    body = crypto.run(orders.sign_steps(who, NODE_ID, BOOT_ID, frames.KIND_COMMAND, MARK.copy()))
    assert judged(frames.KIND_COMMAND, body, [who]) == frames.RESULT_DONE
    assert judged(frames.KIND_COMMAND, body, []) == frames.RESULT_UNAUTHORISED
    body[frames.ORDER_SIGNATURE] = bytes(64)
    assert judged(frames.KIND_COMMAND, body, [who]) == frames.RESULT_UNAUTHORISED


def test_malformed_orders():
    for key in MARK:
        for wrong in (None, True, -1, b"", b"x" * 9, "x", [], {}, 1):
            body = MARK.copy()
            body[key] = wrong
            good = wrong == 1 and not isinstance(wrong, bool) and key != 1
            result = judged(frames.KIND_COMMAND, body, (), 1)
            assert (result == frames.RESULT_MALFORMED) != good, (key, wrong)
        without = {other: MARK[other] for other in MARK if other != key}
        assert judged(frames.KIND_COMMAND, without, (), 1) == frames.RESULT_MALFORMED
    for key, wrong in (
        (3, 7),
        (3, []),
        (5, bytes(7)),
        (5, "authority"),
        (6, bytes(63)),
        (6, None),
        (7, b"why"),
    ):
        body = MARK.copy()
        body[key] = wrong
        assert judged(frames.KIND_COMMAND, body, (), 1) == frames.RESULT_MALFORMED, (key, wrong)
    assert judged(frames.KIND_CONFIG, MARK, (), 1) == frames.RESULT_MALFORMED


def test_keys_that_are_not_known_change_nothing():
    body = MARK.copy()
    body[99] = "later"
    assert judged(frames.KIND_COMMAND, body) == frames.RESULT_DONE
