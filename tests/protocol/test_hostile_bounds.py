"""What an input can make a decoder hold or do: bounded by the input's own size, whatever it declares."""

import sys
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from protocol import (
    batch,
    cbor,
    cobs,
    cose,
    frame_schema,
    frames,
    handover,
    messages,
    proof,
    records,
    waveform,
)
from protocol.errors import ProtocolError
from protocol.outbox import add_range
from tools.vectors.keys import AGENT, COLLECTOR, NODE

MOST_BYTES = 20_000
HEADS = [
    major + length
    for major in (b"\x5a", b"\x7a", b"\x9a", b"\xba")
    for length in (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x10\x00\x00")
] + [major + b"\xff" * 8 for major in (b"\x5b", b"\x7b", b"\x9b", b"\xbb")]
DECODERS: "list[Callable[[bytes], Any]]" = [
    cbor.loads,
    frames.unpack,
    frames.unpack_down,
    messages.parse_clear,
    messages.parse_hello_body,
    batch.parse_entry,
    batch.parse_head,
    batch.parse_ask,
    batch.parse_refusal,
    records.read_record,
    lambda data: cose.split1(data, "it"),
    lambda data: batch.open_batch(data, COLLECTOR),
    lambda data: batch.parse_batch(data, AGENT.ed_pub, AGENT.id),
    lambda data: batch.verify_receipt(data, COLLECTOR.ed_pub),
    lambda data: handover.follow(AGENT.ed_pub, [data]),
    lambda data: proof.verify_proof(data, proof.Party(NODE.ed_pub), proof.Party(AGENT.ed_pub)),
]


def peak(call: "Callable[[], Any]") -> int:
    """Bytes that a call holds at most, once all is imported; a refusal is no matter."""
    with suppress(ProtocolError):
        call()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        with suppress(ProtocolError):
            call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def calls(call: "Callable[[], Any]") -> int:
    """Functions of Python that it calls: work that no clock of a busy machine distorts."""
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        with suppress(ProtocolError):
            call()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("head", HEADS, ids=bytes.hex)
def test_a_declared_length_allocates_nothing(head: bytes) -> None:
    for inside in (
        b"",
        b"\x81",
        b"\x83\x02\x00\xa1\x06",
        b"\xa1\x01",
        b"\xa2\x00\x01\x01",
        b"\xd2\x84\x43\xa1\x01\x27\xa0",
    ):
        for decode in DECODERS:
            data = inside + head + bytes(40)
            assert peak(lambda decode=decode, data=data: decode(data)) < MOST_BYTES


def test_a_declared_number_of_samples_allocates_nothing() -> None:
    for first in (0x02, 0x12, 0x22, 0x32, 0x52, 0x92, 0xD2):
        assert peak(lambda first=first: waveform.decode(bytes((first,)) + bytes(20), 65_535)) < MOST_BYTES


def test_a_message_without_an_end_holds_no_more_than_the_limit() -> None:
    decoder = cobs.Decoder()

    def feed() -> None:
        for _ in range(2000):
            decoder.feed(b"\x11" * 1000)

    assert peak(feed) < 2 * cobs.MAX_ENCODED + MOST_BYTES


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x00", b"\x82\x00", b"\xd2\x81"], ids=bytes.hex)
def test_depth_is_bounded_everywhere(opening: bytes) -> None:
    for decode in DECODERS:
        for before in (b"", b"\x83\x18\x63\x00", b"\xa1\x01"):
            data = before + opening * 100_000
            with pytest.raises(ProtocolError):
                decode(data)
            assert calls(lambda decode=decode, data=data: decode(data)) < 2000


def grows_no_faster_than_the_input(make: "Callable[[int], Callable[[], Any]]", n: int) -> None:
    """Four times the size is less than six times the work: n² would be sixteen."""
    small, large = calls(make(n)), calls(make(4 * n))
    assert large < 6 * small + 500, (small, large)


@pytest.mark.parametrize(
    "value",
    [
        lambda n: [0, [[4 * i, 1] for i in range(n)]],
        lambda n: {i: i for i in range(n)},
        lambda n: {b"%06d" % i: i for i in range(n)},
        lambda n: [[[[i]]] for i in range(n)],
        lambda n: ["x" * 20 for _ in range(n)],
        lambda n: "é" * n,
    ],
    ids=["ranges", "keys", "byte keys", "nested", "texts", "text"],
)
def test_work_goes_with_the_size(value: "Callable[[int], Any]") -> None:
    def decoding(n: int) -> "Callable[[], Any]":
        data = cbor.dumps(value(n))
        return lambda: cbor.loads(data)

    grows_no_faster_than_the_input(decoding, 100)
    grows_no_faster_than_the_input(lambda n: lambda: cbor.dumps(value(n)), 100)
    for kind in (*frame_schema.BODIES, frames.KIND_ACK, 99):

        def unpacking(n: int, kind: int = kind) -> "Callable[[], Any]":
            data = cbor.dumps([kind, 0, value(n)])
            return lambda: frames.unpack(data)

        grows_no_faster_than_the_input(unpacking, 100)


@pytest.mark.parametrize("kind", [frames.KIND_LOSS, frames.KIND_BOOT, frames.KIND_EVENT, frames.KIND_VITALS])
def test_lists_inside_frames(kind: int) -> None:
    """Also where an item is wrong, and the place of it is looked up."""

    def unpacking(n: int) -> "Callable[[], Any]":
        ranges = [[4 * i, 1, 1] for i in range(n)]
        earlier = [[i, i, 0, 0] for i in range(1, n)]
        body = {key: [*ranges, *earlier] for key in range(20)} | {1: ranges}
        data = cbor.dumps([kind, 0, body])
        return lambda: frames.unpack(data)

    grows_no_faster_than_the_input(unpacking, 50)


def test_many_boots_headers_and_ranges_in_a_hello() -> None:
    def parsing(n: int) -> "Callable[[], Any]":
        headers = [[bytes(8), bytes(32), bytes(32)]] * n
        boots = [
            [(1000 - i).to_bytes(4, "big") + bytes(8), headers[:8], 90, [[2 * j, 1] for j in range(16)]]
            for i in range(16)
        ]
        boots[-1][1] = headers
        data = messages.hello(messages.hello_body(1, bytes(8), bytes(16), 1, boots), bytes(16))
        return lambda: messages.parse_clear(data)

    grows_no_faster_than_the_input(parsing, 100)


def test_ranges_out_of_order_cost_a_step_each() -> None:
    """An agent gathers what it acknowledges: the worst order is backwards, with gaps."""

    def gathering(n: int) -> "Callable[[], Any]":
        def gather() -> None:
            into: list[list[int]] = []
            for i in range(n, 0, -1):
                add_range(into, 4 * i, 1)

        return gather

    grows_no_faster_than_the_input(gathering, 200)


def test_a_stream_of_delimiters_and_of_tiny_messages() -> None:
    def feeding(piece: bytes) -> "Callable[[int], Callable[[], Any]]":
        return lambda n: lambda: cobs.Decoder().feed(piece * n)

    for piece in (b"\0", b"\x01\0", b"\x02\0", b"\x02a\0", b"\x05abcd"):
        grows_no_faster_than_the_input(feeding(piece), 500)
    decoder = cobs.Decoder()
    stream = cobs.encode(b"x" * 4000)
    whole = calls(lambda: [decoder.feed(stream[i : i + 1]) for i in range(len(stream))])
    assert whole < 12 * len(stream)
