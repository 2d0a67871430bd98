"""Lossless waveform codec 2: adaptive linear prediction, adaptive Golomb coding, in 32-bit integers.

docs/wire-protocol.md §8.3 specifies it, with a worked example. Each block decodes alone. Its first byte is
mode (high 3 bits: 0 predicted, 1 raw) and width (low 5: the bits that its widest sample needs). Predicted:
the first sample in `width` bits, k0 in 5 bits, then for each further sample

1. what is expected: the sample before it plus eight weighted taps (the last six differences, the last two
   errors), kept within the width;
2. the error e, folded to u (0, -1, 1, -2 … → 0, 1, 2, 3 …), in a Golomb code, whose divisor m follows the
   running mean of u (`a` is 16 times that); where the quotient would be 16 or more, 16 zeros and u itself;
3. the weights move along their taps in the direction of e: the further, the larger e is beside m, and the
   less, the larger the running mean of the differences (`spread` is 8 times that).

Raw: every sample in `width` bits, when that is not longer; so no block exceeds 1 + ceil(n·width / 8) bytes.

The two loops, `predicted` and `restored`, are of integers and indexing only: they run on both interpreters,
compile with numba (waveform_compiled.py), and have a native twin (firmware/dsp/waveform_fast.py).

Sources: normalised LMS with a limited error (S. Haykin, Adaptive Filter Theory); S. W. Golomb, Run-length
encodings, 1966; escape and running mean after JPEG-LS (ITU-T T.87 A.5). Every intermediate is within 2^30,
so that an ESP32 makes no heap integers: eight taps within 2^14 by weights within 2^12 are 2^29; a tap is
below 6 · (spread + m), so by a step below 2^26; u < 2^19, a < 2^24, the bit accumulator < 2^30.
"""

from array import array

from protocol.errors import CodecError, LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # samples, n, bits, out -> size
    Loop = Callable[[Sequence[int], int, int, bytearray], int]
    # data, size, n, out -> what is wrong, where, which sample, a value
    Restore = Callable[[bytes | bytearray | memoryview, int, int, array[int]], tuple[int, int, int, int]]

CODEC = 2
MAX_BITS = 18
MAX_SAMPLES = 65535

_RAW = 0x20
_K_MAX = 19

# What a block can have wrong beyond its first byte.
_CUT, _ESCAPE, _BEYOND, _K0, _REST, _PADDING, _WIDE = 1, 2, 3, 4, 5, 6, 7
_WRONG = (
    "",
    "the block ends in sample {i} of {n}",
    "sample {i} is escaped without need",
    "sample {i} is {x}, beyond {width} bits",
    "k0 {x} is beyond 19",
    "{x} bytes after the last sample",
    "padding bits that are not zero",
    "{width} bits where the widest sample needs less",
)


def encode(samples: "Sequence[int]", n: int, bits: int = MAX_BITS, loop: "Loop | None" = None) -> bytes:
    """The first `n` of `samples` as one block; LocalError when one is wider than `bits`, signed.

    `loop`: a native twin of `predicted`, which may want `samples` in an array('i').
    """
    if not 0 < n <= MAX_SAMPLES or not 2 <= bits <= MAX_BITS:
        raise LocalError(f"a block of {n} samples of {bits} bits")
    out = bytearray(9 + ((n * bits + 7) >> 3))  # one code beyond raw
    size = (loop or predicted)(samples, n, bits, out)
    if size < 0:
        raise LocalError(f"a sample wider than {bits} bits")
    width = out[0]
    most = 1 + ((n * width + 7) >> 3)
    if size >= most:
        size = most
        out[0] = _RAW | width
        _raw(samples, n, width, 1 << (width - 1), out)
    return bytes(memoryview(out)[:size])


def predicted(samples: "Sequence[int]", n: int, bits: int, out: bytearray) -> int:
    """Fill `out` with a predicted block: its size, as many bytes as raw takes or more when raw is better, or
    -1 when a sample is wider than `bits`.
    """
    seen = 0
    for i in range(n):
        x = samples[i]
        seen |= x if x >= 0 else -1 - x
    if seen >> (bits - 1):
        return -1
    width = 2
    while seen >> (width - 1):
        width += 1
    half = 1 << (width - 1)
    most = 1 + ((n * width + 7) >> 3)
    out[0] = width

    last = samples[0]
    m = min(n, 9) - 1
    total = 0
    for i in range(m):
        total += abs(samples[i + 1] - samples[i])
    k = 0
    while m and 2 << k <= 5 * total // (2 * m):
        k += 1
    acc = (last + half) << 5 | k
    free = width + 5
    at = 1

    w1, w7 = 1024, -768
    w2 = w3 = w4 = w5 = w6 = w8 = 0
    d1 = d2 = d3 = d4 = d5 = d6 = e1 = e2 = 0
    a = 21 << k
    spread = 0
    i = 0
    while True:
        while free >= 8:
            free -= 8
            out[at] = acc >> free & 0xFF
            at += 1
        acc &= (1 << free) - 1
        i += 1
        if i == n or at >= most:
            break

        total = w1 * d1 + w2 * d2 + w3 * d3 + w4 * d4 + w5 * d5 + w6 * d6 + w7 * e1 + w8 * e2 + 1024
        p = last + (total >> 11)
        p = -half if p < -half else half - 1 if p >= half else p
        x = samples[i]
        e = x - p
        u = e << 1 if e >= 0 else -1 - (e << 1)

        b = a + 18
        while b >= 32 << k:
            k += 1
        while k and b < 16 << k:
            k -= 1
        m = 3 << (k - 2) if k > 1 and b < 23 << k else 1 << k
        q = u // m
        if q < 16:
            zeros = q
            code = u - q * m
            short = (1 << k) - m
            size = k
            if code < short:
                size -= 1
            else:
                code += short
            code |= 1 << size
            size += 1
        else:
            zeros = 16
            size = width + 1
            code = u
        acc <<= zeros
        free += zeros
        while free >= 8:
            free -= 8
            out[at] = acc >> free & 0xFF
            at += 1
        acc = (acc & ((1 << free) - 1)) << size | code
        free += size
        a += (u << 2) - (a >> 2)

        d = x - last
        last = x
        if e:
            step = (0x700000 if q > 1 else 0x540000 if q else 0x1C0000) // (spread + m)
            if e < 0:
                step = -step
            w = w1 + (step * d1 >> 14)
            w1 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w2 + (step * d2 >> 14)
            w2 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w3 + (step * d3 >> 14)
            w3 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w4 + (step * d4 >> 14)
            w4 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w5 + (step * d5 >> 14)
            w5 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w6 + (step * d6 >> 14)
            w6 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w7 + (step * e1 >> 14)
            w7 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w8 + (step * e2 >> 14)
            w8 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
        spread += abs(d) - (spread >> 3)
        d6 = d5
        d5 = d4
        d4 = d3
        d3 = d2
        d2 = d1
        d1 = d if -16384 < d < 16384 else 16384 if d > 0 else -16384
        e2 = e1
        e1 = e if -16384 < e < 16384 else 16384 if e > 0 else -16384
    if i < n:
        return most
    if free:
        out[at] = acc << (8 - free) & 0xFF
        at += 1
    return at


def _raw(samples: "Sequence[int]", n: int, width: int, half: int, out: bytearray) -> None:
    acc = 0
    free = 0
    at = 1
    for i in range(n):
        acc = acc << width | samples[i] + half
        free += width
        while free >= 8:
            free -= 8
            out[at] = acc >> free & 0xFF
            at += 1
        acc &= (1 << free) - 1
    if free:
        out[at] = acc << (8 - free) & 0xFF


def decode(data: "bytes | bytearray | memoryview", n: int, restore: "Restore | None" = None) -> "array[int]":
    """The `n` samples of a block, as array('i'); CodecError, with a byte offset, if no encoder makes it.

    `restore`: a compiled twin of `restored`.
    """
    if not 0 < n <= MAX_SAMPLES:
        raise CodecError(f"{n} samples")
    size = len(data)
    if size == 0:
        raise CodecError("an empty block", 0)
    width = data[0] & 31
    if data[0] & ~_RAW > 31 or not 2 <= width <= MAX_BITS:
        raise CodecError(f"first byte 0x{data[0]:02x} is no mode and width", 0)
    most = 1 + ((n * width + 7) >> 3)
    raw = data[0] & _RAW
    if raw:
        if size != most:
            raise CodecError(f"{size} bytes where {n} raw samples take {most}", min(size, most))
    elif size >= most or (size - 1) << 3 < width + 4 + n:
        raise CodecError(f"{size} bytes cannot hold {n} predicted samples", 0)
    out = array("i", bytes(4 * n))
    if raw:
        wrong, at, i, x = _decode_raw(data, n, width, out)
    else:
        wrong, at, i, x = (restore or restored)(data, size, n, out)
    if wrong:
        raise CodecError(_WRONG[wrong].format(i=i, n=n, x=x, width=width), at)
    return out


def _decode_raw(
    data: "bytes | bytearray | memoryview", n: int, width: int, out: "array[int]"
) -> "tuple[int, int, int, int]":
    half = 1 << (width - 1)
    acc = 0
    have = 0
    at = 1
    seen = 0
    for i in range(n):
        while have < width:
            acc = acc << 8 | data[at]
            at += 1
            have += 8
        have -= width
        x = (acc >> have) - half
        out[i] = x
        seen |= x if x >= 0 else -1 - x
        acc &= (1 << have) - 1
    if acc:
        return _PADDING, at - 1, n, 0
    if width > 2 and seen < half >> 1:
        return _WIDE, 0, n, 0
    return 0, at, n, 0


def restored(
    data: "bytes | bytearray | memoryview", size: int, n: int, out: "array[int]"
) -> "tuple[int, int, int, int]":
    """Fill `out` with the `n` samples of a predicted block of `size` bytes, whose first byte is sound.

    (0, …), or what is wrong, its byte offset, the sample in question and a value, for the text in _WRONG.
    """
    width = data[0] & 31
    half = 1 << (width - 1)
    acc = 0
    have = 0
    at = 1
    while have < width + 5:
        acc = acc << 8 | data[at]
        at += 1
        have += 8
    have -= width + 5
    k = acc >> have & 31
    last = (acc >> (have + 5)) - half
    acc &= (1 << have) - 1
    if k > _K_MAX:
        return _K0, 1, 0, k
    out[0] = last
    seen = last if last >= 0 else -1 - last

    w1, w7 = 1024, -768
    w2 = w3 = w4 = w5 = w6 = w8 = 0
    d1 = d2 = d3 = d4 = d5 = d6 = e1 = e2 = 0
    a = 21 << k
    spread = 0
    for i in range(1, n):
        total = w1 * d1 + w2 * d2 + w3 * d3 + w4 * d4 + w5 * d5 + w6 * d6 + w7 * e1 + w8 * e2 + 1024
        p = last + (total >> 11)
        p = -half if p < -half else half - 1 if p >= half else p

        b = a + 18
        while b >= 32 << k:
            k += 1
        while k and b < 16 << k:
            k -= 1
        m = 3 << (k - 2) if k > 1 and b < 23 << k else 1 << k
        short = (1 << k) - m
        q = 0
        while True:
            if have == 0:
                if at == size:
                    return _CUT, at, i, 0
                acc = data[at]
                at += 1
                have = 8
            have -= 1
            if acc >> have:
                acc &= (1 << have) - 1
                break
            q += 1
            if q == 16:
                break
        need = width + 1 if q == 16 else k - 1 if short else k
        while have < need:
            if at == size:
                return _CUT, at, i, 0
            acc = acc << 8 | data[at]
            at += 1
            have += 8
        have -= need
        u = acc >> have
        acc &= (1 << have) - 1
        if q < 16:
            if short and u >= short:
                if have == 0:
                    if at == size:
                        return _CUT, at, i, 0
                    acc = data[at]
                    at += 1
                    have = 8
                have -= 1
                u = (u << 1 | acc >> have) - short
                acc &= (1 << have) - 1
            u += q * m
        elif u // m < 16:
            return _ESCAPE, at - 1, i, 0
        e = -1 - (u >> 1) if u & 1 else u >> 1
        x = p + e
        if x < -half or x >= half:
            return _BEYOND, at - 1, i, x
        out[i] = x
        seen |= x if x >= 0 else -1 - x
        a += (u << 2) - (a >> 2)

        d = x - last
        last = x
        if e:
            step = (0x700000 if q > 1 else 0x540000 if q else 0x1C0000) // (spread + m)
            if e < 0:
                step = -step
            w = w1 + (step * d1 >> 14)
            w1 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w2 + (step * d2 >> 14)
            w2 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w3 + (step * d3 >> 14)
            w3 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w4 + (step * d4 >> 14)
            w4 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w5 + (step * d5 >> 14)
            w5 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w6 + (step * d6 >> 14)
            w6 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w7 + (step * e1 >> 14)
            w7 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
            w = w8 + (step * e2 >> 14)
            w8 = w if -4096 < w < 4096 else 4096 if w > 0 else -4096
        spread += abs(d) - (spread >> 3)
        d6 = d5
        d5 = d4
        d4 = d3
        d3 = d2
        d2 = d1
        d1 = d if -16384 < d < 16384 else 16384 if d > 0 else -16384
        e2 = e1
        e1 = e if -16384 < e < 16384 else 16384 if e > 0 else -16384
    if at != size:
        return _REST, at, n, size - at
    if acc:
        return _PADDING, size - 1, n, 0
    if width > 2 and seen < half >> 1:
        return _WIDE, 0, n, 0
    return 0, at, n, 0
