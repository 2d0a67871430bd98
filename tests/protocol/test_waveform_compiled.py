"""The compiled codec does what the interpreted one does, errors included, and is it where numba is not."""

import os
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import waveform, waveform_compiled
from protocol.errors import CodecError, LocalError

SAMPLES = st.integers(2, 18).flatmap(
    lambda bits: st.tuples(
        st.just(bits),
        st.lists(st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1), min_size=1, max_size=200),
    )
)


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    pytest.importorskip("numba")
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        pytest.skip("NUMBA_DISABLE_JIT is set")
    assert waveform_compiled.loops().predicted and waveform_compiled.loops().restored


@pytest.fixture
def afresh() -> Iterator[None]:
    waveform_compiled.loops.cache_clear()
    yield
    waveform_compiled.loops.cache_clear()


@settings(max_examples=150, deadline=None)
@given(SAMPLES)
def test_the_same_blocks(block: "tuple[int, list[int]]") -> None:
    bits, samples = block
    data = waveform.encode(samples, len(samples), bits)
    assert waveform_compiled.encode(samples, len(samples), bits) == data
    decoded = waveform_compiled.decode(data, len(samples))
    assert type(decoded) is array and decoded.typecode == "i" and decoded.tolist() == samples


def outcome(decode: "Callable[..., Any]", data: Any, n: int) -> Any:
    try:
        return decode(data, n).tolist()
    except CodecError as error:
        return error.offset, error.detail


@settings(max_examples=150, deadline=None)
@given(SAMPLES, st.data())
def test_the_same_errors(block: "tuple[int, list[int]]", data: st.DataObject) -> None:
    bits, samples = block
    changed = bytearray(waveform.encode(samples, len(samples), bits))
    for bit in data.draw(st.lists(st.integers(0, 8 * len(changed) - 1), max_size=3)):
        changed[bit >> 3] ^= 1 << (bit & 7)
    cut = data.draw(st.integers(0, len(changed)))
    n = data.draw(st.one_of(st.just(len(samples)), st.integers(-1, 70_000)))
    for some in (changed, bytes(changed[:cut]), memoryview(changed + b"\0")):
        assert outcome(waveform_compiled.decode, some, n) == outcome(waveform.decode, some, n)


@pytest.mark.parametrize("kind", [list, tuple, lambda some: array("i", some), lambda some: array("h", some)])
def test_samples_of_any_kind(kind: "Callable[[list[int]], Any]") -> None:
    samples = [5, -7, 300, 12, 0, 1]
    assert waveform_compiled.encode(kind(samples), 4, 16) == waveform.encode(samples, 4, 16)
    with pytest.raises(IndexError):
        waveform_compiled.encode(kind(samples), 7, 16)


@pytest.mark.parametrize("wide", [1 << 17, -(1 << 17) - 1, 1 << 31, 1 << 63, -(1 << 80)])
def test_too_wide(wide: int) -> None:
    with pytest.raises(LocalError, match="wider than 18 bits"):
        waveform_compiled.encode([0, wide, 0], 3)


def test_without_numba(monkeypatch: pytest.MonkeyPatch, afresh: None) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    assert waveform_compiled.loops() == (None, None)
    block = waveform_compiled.encode([1, 2, 3], 3)
    assert waveform_compiled.decode(block, 3).tolist() == [1, 2, 3]


def test_told_not_to_compile(monkeypatch: pytest.MonkeyPatch, afresh: None) -> None:
    monkeypatch.setattr(__import__("numba").config, "DISABLE_JIT", 1)
    assert waveform_compiled.loops() == (None, None)


def test_no_folder_for_the_cache() -> None:
    numba = pytest.importorskip("numba")
    asked: list[bool] = []

    def njit(loop: Any, cache: bool = False) -> Any:
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return numba.njit(loop)

    loop = waveform_compiled._compiled(njit, waveform.restored)  # pyright: ignore[reportPrivateUsage]
    out = array("i", bytes(12))
    block = np.frombuffer(bytes.fromhex("12000040e0"), np.uint8)
    assert asked == [True, False]
    assert loop(block, 5, 3, np.frombuffer(out, np.int32)) == waveform.restored(bytes(block), 5, 3, out)


def test_nothing_is_imported_before_it_is_used() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, protocol.waveform_compiled; print('numba' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "False\n"
