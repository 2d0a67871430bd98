"""Clear messages field by field, and the three sorts of message."""

from protocol import cbor, messages
from protocol.errors import HelloError

BOOT = [b"\0\0\0\7" + bytes(8), [[bytes(8), bytes(32), bytes(32)]], 70, [[0, 3], [5, 65]]]
OLDER = [b"\0\0\0\6" + bytes(8), [], 5, []]


def hello(boots=(BOOT,), conn=1, keys=None, tag=bytes(16), node=b"n" * 8, nonce=b"o" * 16):
    return messages.hello(messages.hello_body(1, node, nonce, conn, boots, keys), tag)


def refused(message):
    try:
        messages.parse_clear(message)
    except HelloError as error:
        return error
    return None


def test_hello_comes_back():
    kind, fields = messages.parse_clear(hello((BOOT, OLDER), 5, (b"e" * 32, b"x" * 32)))
    assert kind == messages.MSG_HELLO
    assert (fields["version"], fields["node_id"], fields["nonce"], fields["conn"]) == (
        1,
        b"n" * 8,
        b"o" * 16,
        5,
    )
    assert fields["boots"] == [BOOT, OLDER]
    assert fields["keys"] == (b"e" * 32, b"x" * 32)
    assert cbor.loads(fields["body"])[4] == 5 and fields["tag"] == bytes(16)


def test_hello_fields():
    assert refused(hello()) is None
    for bad in (
        hello(boots=()),
        hello(boots=[[b"\0\0\0\7" + bytes(8), [], 0, []]] * 2),
        hello(boots=(OLDER, BOOT)),
        hello(boots=[[bytes([i]) + bytes(11), [], 0, []] for i in range(17, 0, -1)]),
        hello(boots=[[bytes(11), [], 0, []]]),
        hello(boots=[[bytes(12), [], 0]]),
        hello(boots=[[bytes(12), [[bytes(8), bytes(32)]], 0, []]]),
        hello(boots=[[bytes(12), [[bytes(8), bytes(32), bytes(31)]], 0, []]]),
        hello(boots=[[bytes(12), [[bytes(8), bytes(32), bytes(32)]] * 9, 0, []]]),
        hello(boots=[[bytes(12), [], -1, []]]),
        hello(boots=[[bytes(12), [], (1 << 32) + 1, []]]),
        hello(boots=[[bytes(12), [], 5, [[0, 6]]]]),
        hello(boots=[[bytes(12), [], 5, [[3, 1], [1, 1]]]]),
        hello(boots=[[bytes(12), [], 99, [[2 * i, 1] for i in range(17)]]]),
        hello(boots=[b""]),
        hello(boots={}),
        hello(conn=0),
        hello(conn=1 << 32),
        hello(conn=None),
        hello(tag=bytes(15)),
        hello(tag=None),
        hello(node=bytes(7)),
        hello(nonce=bytes(17)),
        hello(keys=[bytes(32)]),
        hello(keys=[bytes(32), bytes(33)]),
        cbor.dumps({0: 1, 1: {}, 2: bytes(16)}),
        cbor.dumps({0: 1, 1: b"\x80", 2: bytes(16)}),
        cbor.dumps({0: 1, 2: bytes(16)}),
    ):
        error = refused(bad)
        assert error and error.code == messages.REFUSE_MALFORMED and error.cause == "malformed_message"


def test_another_version_is_told_apart_before_anything_else():
    body = cbor.dumps({1: 2, "all": "new"})
    for message in (
        messages.hello(body, bytes(16)),
        messages.welcome(2, bytes(8), bytes(32), bytes(16)),
        messages.solicit(3),
    ):
        error = refused(message)
        assert error and (error.cause, error.code) == ("unknown_version", messages.REFUSE_VERSION)


def test_each_field_of_the_others_is_checked():
    for good in (
        {0: 2, 1: 1, 2: bytes(8), 3: bytes(32), 4: bytes(16)},
        {0: 3, 1: 1, 2: bytes(32), 3: bytes(32), 4: bytes(16)},
        {0: 4, 1: 1, 2: bytes(32), 3: bytes(32), 4: bytes(16), 5: bytes(64)},
        {0: 5, 1: 1, 2: 6},
        {0: 6, 1: 1},
    ):
        assert messages.parse_clear(cbor.dumps(good))[0] == good[0]
        for key in good:
            without = {other: good[other] for other in good if other != key}
            assert refused(cbor.dumps(without)), (good[0], key)
            for wrong in (None, -1, True, "text", bytes(5), [], {}):
                changed = {other: good[other] for other in good}
                changed[key] = wrong
                assert refused(cbor.dumps(changed)), (good[0], key, wrong)


def with_key(encoded, key):
    fields = cbor.loads(encoded)
    fields[key] = 0
    return cbor.dumps(fields)


def test_keys_are_unsigned_integers():
    body = messages.hello_body(1, bytes(8), bytes(16), 1, [BOOT])
    for message in (
        messages.hello(body, bytes(16)),
        messages.welcome(1, bytes(8), bytes(32), bytes(16)),
        messages.pair_request(1, bytes(32), bytes(32), bytes(16)),
        messages.pair_reply(1, bytes(32), bytes(32), bytes(16), bytes(64)),
        messages.refusal(1, 6),
        messages.solicit(1),
    ):
        assert not refused(with_key(message, 99))
        for key in (-1, "a", b""):
            error = refused(with_key(message, key))
            assert error and error.cause == "malformed_message", (message[1], key)
    for key in (-1, "a", b""):
        assert refused(messages.hello(with_key(body, key), bytes(16))), key


def test_truncation_at_every_offset():
    for message in (hello(), messages.pair_request(1, bytes(32), bytes(32), bytes(16)), messages.solicit(1)):
        for end in range(len(message)):
            assert refused(message[:end])


def test_sorts():
    assert messages.sort(messages.solicit(1)) == messages.SORT_CLEAR
    assert messages.sort(messages.data(0, b"\x83")) == messages.SORT_DATA
    assert messages.sort(b"\x83\x43") == messages.SORT_DOWNLINK
    for other in (b"", b"\x00", b"\x81", b"\x84", b"\x98", b"\x43", b"\xd2", b"\xff", b"\xe0", b"\xc0"):
        assert messages.sort(other) == 0, other


def test_data_messages():
    for index in (0, 1, messages.MAX_BOOTS - 1):
        message = messages.data(index, b"sealed")
        assert messages.split_data(message) == (index, b"sealed")
    for bad in (
        b"",
        b"\x82",
        b"\x82\x18",
        b"\x82\x18\x05",
        b"\x82\x10",
        b"\x82\x20",
        b"\x82\x40",
        b"\x83\x00",
        b"\xa0",
    ):
        try:
            messages.split_data(bad)
        except HelloError:
            continue
        raise AssertionError(bad.hex())


def test_a_node_looks_at_the_type_before_it_decodes_the_rest():
    many = b"\x01\x98\xf0" + b"\x80" * 240
    for kind, said in (
        (77, "clear message of type 77"),
        (messages.MSG_HELLO, "a node takes no hello"),
        (messages.MSG_SOLICIT, "more items than are taken"),
    ):
        try:
            messages.parse_down(b"\xa2\x00" + cbor.head(0, kind) + many)
        except HelloError as error:
            assert said in str(error), kind
        else:
            raise AssertionError(kind)
    most = list(range(1, messages.MAX_VERSIONS + 1))
    assert messages.parse_down(messages.refusal(1, 1, most))[1]["versions"] == most
