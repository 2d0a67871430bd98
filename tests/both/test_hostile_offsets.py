"""A frame or message that is sound CBOR and still wrong: the error has the offset of the value that is."""

from protocol import cbor, frames, messages
from protocol.errors import FrameError, HelloError

ID = bytes(8)
ORDER = {1: ID, 2: 1, 4: 1, 8: 1}

FRAMES = (
    (b"\x83\x03\x00\xa1\x01", 3, "not CBOR"),
    (cbor.dumps([3, 0]), 0, "not an array"),
    (cbor.dumps({1: 2}), 0, "not an array"),
    (cbor.dumps(["3", 0, {}]), 1, "the kind"),
    (cbor.dumps([3, 1 << 53, {}]), 2, "t_us"),
    (cbor.dumps([300, True, {}]), 4, "t_us"),
    (cbor.dumps([3, 0, [1]]), 3, "not a map"),
    (cbor.dumps([3, 0, {"a": 1}]), 3, "key 'a'"),
    (cbor.dumps([3, 0, {3: 1001}]), 5, "key 3"),
    (cbor.dumps([3, 0x12345, {1: 5, 2: ["x"]}]), 11, "key 2"),
    (cbor.dumps([5, 0, {1: 1}]), 3, "key 2 (priority) is missing"),
    (cbor.dumps([35, 9, {1: ID, 2: {2: 0, 1: "x"}, 4: 1, 8: 1}]), 18, "key 1"),
    (cbor.dumps([33, 0, {}]), 4, "key 1"),
    (cbor.dumps([32, 0, []]), 4, "ack"),
    (cbor.dumps([32, 0, [0, [[5, 0]]]]), 4, "ack"),
)


def refused(kind_of, call, data):
    try:
        call(data)
    except kind_of as error:
        return error
    raise AssertionError("accepted " + data.hex())


def test_frames():
    for data, offset, words in FRAMES:
        error = refused(FrameError, frames.unpack, data)
        assert (error.offset, error.layer, error.cause) == (offset, "frame", "malformed_frame"), str(error)
        assert words in error.detail and str(error).endswith("at offset %d" % offset), str(error)


def test_any_value_of_a_frame_made_wrong_is_found_where_it_is():
    for kind, body in (
        (frames.KIND_VITALS, {1: 653, 2: [912], 3: 974, 4: 651, 5: 210, 6: 96, 7: 88, 8: 4, 15: 1, 16: 2}),
        (frames.KIND_STATUS, {key: key for key in range(1, 15)}),
        (frames.KIND_EVENT, {1: 1, 2: 0, 3: -5, 4: "text", 5: True, 6: 1, 7: 9, 8: 0, 9: [[1, 2]], 10: 9}),
        (frames.KIND_COMMAND, ORDER),
    ):
        sound = cbor.dumps([kind, 1000, body])
        frames.unpack(sound)
        for key in body:
            wrong = dict(body)
            wrong[key] = None
            data = cbor.dumps([kind, 1000, wrong])
            error = refused(FrameError, frames.unpack, data)
            assert data[error.offset] == 0xF6 and "key %d " % key in error.detail, str(error)


BOOT = [bytes(12), [[ID, bytes(32), bytes(32)]], 5, [[0, 2]]]
BODY = {1: 1, 2: ID, 3: bytes(16), 4: 1, 5: [BOOT]}


def hello(body):
    return messages.hello(cbor.dumps(body), bytes(16))


def without(body, key, value=None):
    changed = dict(body)
    del changed[key]
    if value is not None:
        changed[key] = value
    return changed


# a3 00 01 01 58 xx: the hello's body begins at 6
MESSAGES = (
    (b"\xa1\x00", 0, "not CBOR"),
    (b"\x82\x00\x00", 0, "not a map"),
    (cbor.dumps({1: 1}), 0, "key 0"),
    (cbor.dumps({0: "x", 1: 1}), 2, "key 0"),
    (cbor.dumps({0: 77, 1: 1}), 2, "type 77"),
    (cbor.dumps({0: 6}), 0, "key 1"),
    (cbor.dumps({0: 6, 1: 2}), 4, "version 2"),
    (cbor.dumps({0: 3, 1: 1, 2: "k", 3: bytes(32), 4: bytes(16)}), 6, "key 2"),
    (cbor.dumps({0: 2, 1: 1, 2: ID, 3: bytes(32), 4: bytes(15)}), 51, "key 4"),
    (cbor.dumps({0: 5, 1: 1, 2: 1, 3: [2, 1]}), 8, "key 3"),
    (cbor.dumps({0: 1, 1: 5}), 4, "body"),
    (messages.hello(cbor.dumps(BODY), bytes(15)), len(hello(BODY)) - 17, "tag"),
    (messages.hello(cbor.dumps(BODY)[:-1], bytes(16)), None, "not CBOR"),
    (hello(without(BODY, 4)), 4, "key 4"),
    (hello(without(BODY, 4, 0)), 6 + 32, "key 4"),
    (hello(without(BODY, 5, [])), 6 + 34, "key 5"),
    (hello(without(BODY, 5, [BOOT, BOOT])), 6 + 34, "newest first"),
)


def test_messages():
    for data, offset, words in MESSAGES:
        error = refused(HelloError, messages.parse_clear, data)
        assert error.layer == "message" and words in error.detail, str(error)
        if offset is not None:
            assert error.offset == offset, str(error)
        assert 0 <= error.offset <= len(data)


def test_a_fault_of_the_cbor_inside_a_hello_is_placed_in_the_message():
    body = cbor.dumps(BODY)
    for at in range(1, len(body)):
        changed = bytearray(body)
        changed[at] = 0xFF
        data = messages.hello(bytes(changed), bytes(16))
        try:
            messages.parse_clear(data)
        except HelloError as error:
            assert 6 <= error.offset <= 6 + len(body), str(error)
