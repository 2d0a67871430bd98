"""The waveform codec itself, run on integers that refuse to leave 31 bits signed."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import waveform

LIMIT = 1 << 30


class Small(int):
    """An integer whose every result is checked to be a small integer of a 32-bit MicroPython."""

    widest = 0


def _checked(name: str) -> Callable[..., Any]:
    real = getattr(int, name)

    def operation(self: int, *others: Any) -> Any:
        result = real(self, *others)
        if result is NotImplemented:
            return result
        assert -LIMIT <= result < LIMIT, (name, int(self), others, int(result))
        Small.widest = max(Small.widest, abs(int(result)))
        return Small(result)

    return operation


for _name in ("add", "sub", "mul", "floordiv", "lshift", "rshift", "and", "or", "xor"):
    for _side in ("", "r"):
        setattr(Small, f"__{_side}{_name}__", _checked(f"__{_side}{_name}__"))
for _name in ("__neg__", "__abs__"):
    setattr(Small, _name, _checked(_name))


def hostile() -> "list[list[int]]":
    top, low = 131_071, -131_072
    n = 400
    patterns = [[top if i % (2 * p) < p else low for i in range(n)] for p in (1, 2, 3, 4, 7, 20, 100)]
    patterns.append([(i * i * 7919) % 262_144 + low for i in range(n)])
    patterns.append([top if (i * i) % 7 < 3 else low for i in range(n)])
    patterns.append([0] * 200 + [low, top] * 100)
    patterns.append([0] * 50 + [top] + [0] * 50 + [low] + [1, -1] * 100)
    patterns.append([low + (i * 16_384) % 262_144 for i in range(n)])
    patterns += [worst(calm) for calm in (1, 2, 5, 23)]
    return patterns


def worst(calm: int) -> "list[int]":
    """Samples of which every `calm`-th is at that end of the range which makes the block longer."""
    samples = [0]
    for i in range(120):
        if i % calm:
            samples.append(samples[-1] + i % 3 - 1 if abs(samples[-1]) < 131_000 else samples[-1])
            continue
        both = [[*samples, 131_071], [*samples, -131_072]]
        out = bytearray(5 * len(samples) + 40)
        samples = max(both, key=lambda some: waveform.predicted(some, len(some), 18, out))
    return samples


@pytest.mark.parametrize("samples", hostile())
def test_encoding(samples: "list[int]") -> None:
    small = [Small(sample) for sample in samples]
    assert waveform.encode(small, len(small)) == waveform.encode(samples, len(samples))


class Bytes(bytes):
    """Bytes whose items are checked integers."""

    def __getitem__(self, at: Any) -> Any:
        item = super().__getitem__(at)
        return Small(item) if isinstance(item, int) else item


def test_decoding_what_encoding_makes() -> None:
    for samples in hostile():
        block = waveform.encode(samples, len(samples))
        assert list(waveform.decode(Bytes(block), len(samples))) == samples


def test_decoding_anything() -> None:
    seed = 1
    for _ in range(200):
        block = bytearray([18])
        for _ in range(60):
            seed = (seed * 1_103_515_245 + 12_345) & 0x7FFFFFFF
            block.append((seed >> 16) & 255 & ((seed >> 8) | (seed >> 24) & 255))
        for n in (1, 20, 60, 200):
            try:
                waveform.decode(Bytes(block), n)
            except waveform.CodecError:
                continue


SAMPLES = st.lists(
    st.one_of(st.integers(-131_072, 131_071), st.sampled_from([-131_072, 131_071, 0]), st.integers(-3, 3)),
    min_size=1,
    max_size=120,
)


@settings(max_examples=60, deadline=None)
@given(SAMPLES)
def test_anything_there_and_back(samples: "list[int]") -> None:
    block = waveform.encode([Small(sample) for sample in samples], len(samples))
    assert block == waveform.encode(samples, len(samples))
    assert list(waveform.decode(Bytes(block), len(samples))) == samples


def test_the_check_itself_can_fail() -> None:
    with pytest.raises(AssertionError):
        _ = Small(1 << 29) << 2
    Small.widest = 0
    for samples in hostile():
        waveform.encode([Small(sample) for sample in samples], len(samples))
    assert Small.widest > 1 << 26
