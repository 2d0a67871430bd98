"""Properties of the CBOR codec, with cbor2 as the second opinion."""

from typing import Any

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol import cbor
from protocol.errors import CborError

INTS = st.integers(-(1 << 63), (1 << 63) - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
KEYS = st.one_of(INTS, TEXT, st.binary(max_size=10))
LEAVES = st.one_of(INTS, st.binary(max_size=300), TEXT, st.booleans(), st.none())
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=25,
)


def depth(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max((depth(item) for item in value), default=0)
    if isinstance(value, dict):
        return 1 + max((depth(item) for item in value.values()), default=0)
    return 0


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_what_goes_in_comes_out_and_cbor2_agrees(value: Any) -> None:
    if depth(value) > cbor.MAX_DEPTH:
        return
    data = cbor.dumps(value)
    assert cbor.loads(data) == value
    assert cbor2.loads(data) == value
    # cbor2 sorts by length first (RFC 7049 §3.9), so only without maps is it the same bytes.
    if not has_map(value):
        assert cbor2.dumps(value, canonical=True) == data
    for end in range(len(data)):
        with pytest.raises(CborError):
            cbor.loads(data[:end])


def has_map(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(has_map(item) for item in value))


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
@example(bytes.fromhex("a10001"))
@example(bytes.fromhex("d28443a10127a0"))
def test_random_bytes_are_refused_or_are_the_one_encoding(data: bytes) -> None:
    try:
        value = cbor.loads(data)
    except CborError as error:
        assert error.offset is not None and 0 <= error.offset <= len(data)
        return
    assert cbor.dumps(value) == data
    assert cbor2.loads(data) == value


@settings(max_examples=100, deadline=None)
@given(VALUES, st.data())
def test_one_changed_byte_is_refused_or_another_value(value: Any, data: st.DataObject) -> None:
    if depth(value) > cbor.MAX_DEPTH:
        return
    encoded = bytearray(cbor.dumps(value))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = cbor.loads(bytes(encoded))
    except CborError:
        return
    assert cbor.dumps(changed) == encoded


@settings(max_examples=200, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4))
def test_prefixes_follow_each_other(values: list[Any]) -> None:
    if any(depth(value) > cbor.MAX_DEPTH for value in values):
        return
    stream = b"".join(cbor.dumps(value) for value in values)
    at = 0
    for value in values:
        got, at = cbor.loads_prefix(stream, at)
        assert got == value
    assert at == len(stream)
