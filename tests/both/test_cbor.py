"""Deterministic CBOR: what it carries, what it refuses, and where it says the fault is."""

from protocol import cbor
from protocol.errors import CborError, LocalError


def refusal(data, tag=None, most=None):
    try:
        cbor.loads(data, tag, most)
    except CborError as error:
        return error
    raise AssertionError("accepted " + data.hex())


def raises(kind, value):
    try:
        cbor.dumps(value)
    except kind:
        return True
    return False


SAMPLE = [1, -70000, b"bytes", "text", [True, False, None, []], {1: {2: [3]}, -1: b"", "k": 1 << 53}]


def test_round_trip_of_everything_at_once():
    data = cbor.dumps(SAMPLE)
    assert cbor.loads(data) == SAMPLE
    assert cbor.dumps(cbor.loads(data)) == data


def test_every_integer_near_a_change_of_width():
    for power in (0, 4, 5, 7, 8, 15, 16, 29, 30, 31, 32, 33, 47, 52, 53, 61, 62, 63):
        for near in (-2, -1, 0, 1, 2):
            for value in ((1 << power) + near, -(1 << power) + near):
                if -(1 << 63) <= value < 1 << 63:
                    assert cbor.loads(cbor.dumps(value)) == value
                else:
                    assert raises(LocalError, value)


def test_lengths_near_a_change_of_width():
    for n in (0, 1, 23, 24, 255, 256, 257):
        assert cbor.loads(cbor.dumps(b"\xa5" * n)) == b"\xa5" * n
        assert cbor.loads(cbor.dumps("x" * n)) == "x" * n
        assert cbor.loads(cbor.dumps([0] * n)) == [0] * n
        assert cbor.loads(cbor.dumps({i: 0 for i in range(n)})) == {i: 0 for i in range(n)}


def test_any_buffer_is_a_byte_string():
    for buffer in (b"ab", bytearray(b"ab"), memoryview(b"ab")):
        assert cbor.dumps(buffer) == b"\x42ab"
        assert cbor.loads(type(buffer)(b"\x42ab")) == b"ab"


def test_map_keys_sort_by_their_encoding():
    # bytewise: 10, 100, -1, "z", "aa" (RFC 8949 §4.2.1)
    data = cbor.dumps({"aa": 5, 100: 2, "z": 4, -1: 3, 10: 1})
    assert data == bytes.fromhex("a50a011864022003617a0462616105")


def test_order_of_insertion_does_not_matter():
    keys = [7, 300, -4, 70000, "b", "a", 23, 24]
    forward = {key: 0 for key in keys}
    backward = {key: 0 for key in reversed(keys)}
    assert cbor.dumps(forward) == cbor.dumps(backward)


def test_what_is_not_carried():
    for value in (1.0, 1j, object(), cbor, {1, 2}, {1.5: 2}, {(1, 2): 3}, {True: 1}, {None: 1}, [0, [0.5]]):
        assert raises(TypeError, value)


def test_depth_is_bounded_both_ways():
    value = 0
    for _ in range(cbor.MAX_DEPTH):
        value = [value]
    assert cbor.loads(cbor.dumps(value)) == value
    assert raises(LocalError, [value])
    assert raises(LocalError, {1: value})
    error = refusal(b"\x81" * 500 + b"\x00")
    assert error.offset == cbor.MAX_DEPTH
    assert refusal(b"\xa1\x00" * 500 + b"\x00").offset == 2 * cbor.MAX_DEPTH


def test_truncation_at_every_offset():
    data = cbor.dumps(SAMPLE)
    for end in range(len(data)):
        assert refusal(data[:end]).offset <= end


def test_a_byte_after_the_item():
    data = cbor.dumps(SAMPLE)
    assert refusal(data + b"\x00").offset == len(data)


def test_hostile_lengths_are_refused_before_anything_is_allocated():
    for head in ("5b", "7b", "9b", "bb"):
        for length in ("0000000100000000", "7fffffffffffffff", "ffffffffffffffff"):
            assert refusal(bytes.fromhex(head + length)).offset == 0
    for head in ("5a", "7a", "9a", "ba"):
        assert refusal(bytes.fromhex(head + "00010000")).offset == 0


def test_every_single_byte_and_every_pair():
    """No crash, and what is accepted is what encoding makes."""
    for first in range(256):
        pair = bytearray((first, 0))
        accepted(bytes(pair[:1]))
        for second in range(256):
            pair[1] = second
            accepted(bytes(pair))


def accepted(data):
    try:
        value = cbor.loads(data)
    except CborError as error:
        assert error.cause == "malformed_cbor" and 0 <= error.offset <= len(data)
        return
    assert cbor.dumps(value) == data


def test_prefix_tells_where_the_item_ends():
    data = b"\xff" + cbor.dumps([1, 2]) + cbor.dumps("x")
    value, at = cbor.loads_prefix(data, 1)
    assert (value, at) == ([1, 2], 4)
    assert cbor.loads_prefix(data, at) == ("x", 6)


def test_tag_must_be_the_one_asked_for():
    assert cbor.loads(b"\xd2\x81\x00", 18) == [0]
    assert refusal(b"\x81\x00", 18).offset == 0
    assert refusal(b"\xd1\x81\x00", 18).offset == 0
    assert refusal(b"\xd2\xd2\x81\x00", 18).offset == 1
    assert refusal(b"\xd2\x81\x00").offset == 0


def test_the_error_says_where_and_why():
    error = refusal(bytes.fromhex("820118ff18"))
    assert str(error) == "cbor: 1 bytes after the item at offset 4"
    assert error.layer == "cbor" and error.code == 6


def test_more_items_than_are_taken_are_seen_before_any_is_made():
    for count in (31, 32, 33, 250):
        encoded = cbor.dumps({0: 6, 1: [[]] * (count - 5)})
        if count <= 32:
            assert cbor.loads(encoded, None, 32) == cbor.loads(encoded)
        else:
            assert refusal(encoded, None, 32).offset == len(encoded) - (count - 32)
    # Strings are one item each, however long; what is malformed is told as ever.
    strings = [b"x" * 300, "y" * 300]
    assert cbor.loads(cbor.dumps(strings), None, 3) == strings
    for bad in (b"\x9f" * 40, b"\x83\x01", b"\xff" * 40, b"\x98\x05" * 20):
        assert str(refusal(bad)) == str(refusal(bad, None, 32))
