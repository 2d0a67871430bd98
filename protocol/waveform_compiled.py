"""protocol.waveform with its two loops compiled by numba (extra `fast`): CPython only, for blocks in bulk.

`encode` and `decode` are those of protocol.waveform, errors included: it is the same text that is compiled.
Without numba, or with NUMBA_DISABLE_JIT=1, it is interpreted.

Nothing happens on import. The first call imports numba and compiles, 1 to 2 s a loop, and costs a process
some 130 MB: who meets a block now and then is better off with protocol.waveform. numba keeps what it compiled
in `__pycache__` beside protocol/waveform.py (then the first call takes 0.5 s); where that cannot be written,
in the user's cache folder; in $NUMBA_CACHE_DIR if that is set. Where nothing can be written, every process
compiles for itself.
"""

from array import array
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from protocol import waveform


class Loops(NamedTuple):
    """What `encode` and `decode` of protocol.waveform take; None: their own, interpreted."""

    predicted: "waveform.Loop | None"
    restored: "waveform.Restore | None"


def encode(samples: "Sequence[int]", n: int, bits: int = waveform.MAX_BITS) -> bytes:
    """See protocol.waveform.encode."""
    return waveform.encode(samples, n, bits, loops().predicted)


def decode(data: "bytes | bytearray | memoryview", n: int) -> "array[int]":
    """See protocol.waveform.decode."""
    return waveform.decode(data, n, loops().restored)


@cache
def loops() -> Loops:
    """The compiled loops, for blocks and samples of any type; none without numba."""
    try:
        import numba
        import numpy as np
    except ImportError:
        return Loops(None, None)
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        return Loops(None, None)
    compiled_predicted = _compiled(numba.njit, waveform.predicted)
    compiled_restored = _compiled(numba.njit, waveform.restored)

    def predicted(samples: "Sequence[int]", n: int, bits: int, out: bytearray) -> int:
        try:
            words = np.asarray(samples[:n], np.int64)
        except OverflowError:
            return -1
        if len(words) < n:
            raise IndexError(f"{len(words)} samples where {n} are to be encoded")
        return int(compiled_predicted(words, n, bits, np.frombuffer(out, np.uint8)))

    def restored(
        data: "bytes | bytearray | memoryview", size: int, n: int, out: "array[int]"
    ) -> "tuple[int, int, int, int]":
        # Read-only whatever it was, or numba compiles once for each kind.
        block = np.frombuffer(memoryview(data).toreadonly(), np.uint8)
        return compiled_restored(block, size, n, np.frombuffer(out, np.int32))

    return Loops(predicted, restored)


def _compiled(njit: "Callable[..., Any]", loop: "Callable[..., Any]") -> "Callable[..., Any]":
    try:
        return njit(loop, cache=True)
    except RuntimeError:  # no folder for its cache can be written
        return njit(loop)
