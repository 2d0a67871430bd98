"""Everything that comes from outside, changed at random: refused with a named error, or sound."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import batch, cbor, cobs, frames, handover, messages, proof, waveform
from protocol.errors import CodecError, ProtocolError
from tools.vectors import batches, session
from tools.vectors.frames import frame_vectors
from tools.vectors.keys import AGENT, COLLECTOR, NODE

PLAINTEXTS = [bytes.fromhex(one["plaintext"]) for one in frame_vectors()["frames"]]
CLEAR = [bytes.fromhex(one["message"]) for one in session.message_vectors()["clear"]]
BATCHES = [bytes.fromhex(one["bytes"]) for one in batches.batch_vectors()["examples"]]
ENTRIES = [bytes.fromhex(one) for one in batches.batch_vectors()["entries"]]


def changed(sound: "list[bytes]") -> "st.SearchStrategy[bytes]":
    """One of `sound` with bytes replaced, cut or repeated."""

    @st.composite
    def change(draw: st.DrawFn) -> bytes:
        data = bytearray(draw(st.sampled_from(sound)))
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, max(0, len(data) - 1)))
            what = draw(st.integers(0, 3))
            if what == 0 and data:
                data[at] = draw(st.integers(0, 255))
            elif what == 1:
                del data[at:]
            elif what == 2:
                data[at:at] = draw(st.binary(max_size=9))
            else:
                data[at:at] = data[at : at + draw(st.integers(0, 40))]
        return bytes(data)

    return change()


def survives(call: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a call that may raise nothing but a ProtocolError with a cause and a detail."""
    try:
        return call(*arguments)
    except ProtocolError as error:
        assert error.cause and error.detail and str(error)
        assert error.offset is None or error.offset >= 0
        return None


@settings(max_examples=200, deadline=None)
@given(changed(PLAINTEXTS))
def test_frames(data: bytes) -> None:
    found = survives(frames.unpack, data)
    if found is None:
        return
    kind, t_us, body = found
    assert cbor.dumps([kind, t_us, body]) == data and 0 <= t_us < 1 << 53
    assert frames.lane(kind, body) in (frames.LANE_ALARM, frames.LANE_VITALS, frames.LANE_WAVE)
    if kind == frames.KIND_WAVE:
        survives(waveform.decode, body[frames.WAVE_DATA], body[frames.WAVE_COUNT])


@settings(max_examples=200, deadline=None)
@given(changed(CLEAR))
def test_clear_messages(data: bytes) -> None:
    found = survives(messages.parse_clear, data)
    if found is not None:
        assert found[0] in messages.MSG_NAMES and cbor.dumps(cbor.loads(data)) == data


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_data_messages(data: bytes) -> None:
    survives(messages.split_data, data)
    survives(messages.split_data, b"\x82" + data)


@settings(max_examples=100, deadline=None)
@given(changed([*BATCHES, *ENTRIES]))
def test_batches_receipts_and_entries(data: bytes) -> None:
    assert survives(batch.open_batch, data, COLLECTOR) is None or data in BATCHES
    survives(batch.parse_batch, data, AGENT.ed_pub, AGENT.id)
    survives(batch.parse_entry, data)
    survives(batch.parse_head, data)
    survives(batch.verify_receipt, data, COLLECTOR.ed_pub)
    survives(handover.follow, AGENT.ed_pub, [data])
    survives(proof.verify_proof, data, proof.Party(NODE.ed_pub), proof.Party(AGENT.ed_pub))
    survives(batch.parse_refusal, data)
    survives(batch.parse_ask, data)
    batch.is_refusal(data)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=6), st.data())
def test_cobs_streams_in_any_pieces(sent: "list[bytes]", data: st.DataObject) -> None:
    wire = b"".join(cobs.encode(message) for message in sent)
    decoder = cobs.Decoder()
    got: list[bytes] = []
    at = 0
    while at < len(wire):
        size = data.draw(st.integers(1, 200))
        got += decoder.feed(wire[at : at + size])
        at += size
    assert got == [message for message in sent if message]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_cobs_noise_never_stops_the_next_message(noise: bytes) -> None:
    decoder = cobs.Decoder(100)
    decoder.feed(noise)
    decoder.feed(b"\0")
    assert decoder.feed(cobs.encode(b"next")) == [b"next"]
    assert len(decoder._partial) <= 100  # pyright: ignore[reportPrivateUsage]


SAMPLES = st.integers(2, 18).flatmap(
    lambda bits: st.tuples(
        st.just(bits),
        st.lists(st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1), min_size=1, max_size=200),
    )
)


@settings(max_examples=100, deadline=None)
@given(SAMPLES)
def test_waveforms_come_back(block: "tuple[int, list[int]]") -> None:
    bits, samples = block
    data = waveform.encode(samples, len(samples), bits)
    assert list(waveform.decode(data, len(samples))) == samples
    assert len(data) <= -(-len(samples) * bits // 8) + 1


@settings(max_examples=200, deadline=None)
@given(SAMPLES, st.data())
def test_changed_waveforms_are_refused_or_within_their_width(
    block: "tuple[int, list[int]]", data: st.DataObject
) -> None:
    bits, samples = block
    encoded = data.draw(changed([waveform.encode(samples, len(samples), bits)]))
    n = data.draw(st.one_of(st.just(len(samples)), st.integers(-1, 70_000)))
    try:
        decoded = waveform.decode(encoded, n)
    except CodecError as error:
        assert error.offset is None or 0 <= error.offset <= len(encoded)
        return
    half = 1 << ((encoded[0] & 31) - 1)
    assert len(decoded) == n and min(decoded) >= -half and max(decoded) < half


def test_a_huge_count_costs_nothing() -> None:
    with pytest.raises(CodecError):
        waveform.decode(b"\x12" + bytes(20), 65_535)
