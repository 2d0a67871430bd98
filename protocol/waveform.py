"""Lossless waveform codec 1: adaptive second-order prediction, adaptive Rice coding, in 32-bit integers.

Each block decodes alone. It begins with one byte: mode (high 3 bits: 0 predicted, 1 raw) and sample width
`bits` (low 5).

Predicted: the first sample as `bits` bits in offset binary, k0 in 5 bits, then one code for each further
sample, and zero bits up to the byte. With d1, d2 the last two differences (0 where there are none yet), the
difference d is predicted as p = (w1·d1 + w2·d2 + 128) >> 8; the residual e = d - p is folded to u (0, -1,
1, -2 … → 0, 1, 2, 3 …). Code: q = u >> k zeros, a one, the low k bits of u; or, where q would be 16 or
more, 16 zeros and u in bits + 4 bits. After each code the weights move by the signs: w += 8 where e and its
difference have the same sign, w -= 8 where they have not, within ±512; they begin as (192, 0). `a`, 16 ×
the running mean of u, moves as a += 4u - (a >> 2) and begins as 21 << k0; k is the least with a < 28 << k.

Raw: `bits` bits a sample in offset binary; taken when it is not longer, so that a block of n samples never
has more than 1 + ceil(n·bits / 8) bytes.

Sources: sign-sign LMS (Widrow & Stearns, Adaptive Signal Processing, 1985); R. F. Rice, JPL 79-22, 1979;
escape and adaptation of k after JPEG-LS (ITU-T T.87 A.5). Every intermediate fits 31 bits signed, so that
an ESP32 makes no heap integers: |w·d| sums stay below 2^28 + 128, u below 2^22, a below 2^26, the bit
accumulator below 2^29.
"""

from array import array

from protocol.errors import CodecError, LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    # samples, n, bits, k0, out, most -> size
    Loop = Callable[[Sequence[int], int, int, int, bytearray, int], int]

CODEC = 1
MAX_BITS = 18
MAX_SAMPLES = 65535

_RAW = 0x20
_ZEROS = 16
_K_MAX = 21
_SLACK = 8


def encode(samples: "Sequence[int]", n: int, bits: int = MAX_BITS, loop: "Loop | None" = None) -> bytes:
    """The first `n` of `samples` (signed, `bits` wide) as one block; LocalError when one does not fit.

    `loop`: a native twin of `predicted`, which may want `samples` in an array('i').
    """
    if not 0 < n <= MAX_SAMPLES or not 2 <= bits <= MAX_BITS:
        raise LocalError(f"a block of {n} samples of {bits} bits")
    most = 1 + ((n * bits + 7) >> 3)
    out = bytearray(most + _SLACK)
    out[0] = bits
    # Differences beyond those of MAX_BITS would leave the 32 bits that the loop has.
    k = first_k(samples, n)
    size = (loop or predicted)(samples, n, bits, k, out, most) if k <= _K_MAX else -1
    if size < 0:
        raise LocalError(f"a sample wider than {bits} bits")
    if size >= most:
        size = most
        out[0] = _RAW | bits
        _raw(samples, n, bits, 1 << (bits - 1), out)
    return bytes(memoryview(out)[:size])


def first_k(samples: "Sequence[int]", n: int) -> int:
    """k0 for a block: from the mean of the first eight differences."""
    m = min(n, 9)
    total = 0
    for i in range(1, m):
        total += abs(samples[i] - samples[i - 1])
    k = 0
    if m > 1:
        mean = 5 * total // (2 * (m - 1))
        while 2 << k <= mean:
            k += 1
    return k


def predicted(samples: "Sequence[int]", n: int, bits: int, k: int, out: bytearray, most: int) -> int:
    """Fill `out` from offset 1; the size of the block, `most` or more when raw is better, or -1 when a sample
    is too wide. `k`: k0.
    """
    half = 1 << (bits - 1)
    x0 = samples[0]
    if not -half <= x0 < half:
        return -1
    a = 21 << k
    top = 28 << k
    acc = (x0 + half) << 5 | k
    free = bits + 5
    at = 1
    wide = bits + 4
    w1 = 192
    w2 = d1 = d2 = 0
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
        x = samples[i]
        if not -half <= x < half:
            return -1
        d = x - x0
        x0 = x
        e = d - ((w1 * d1 + w2 * d2 + 128) >> 8)
        u = e << 1 if e >= 0 else -1 - (e << 1)
        while a >= top:
            top <<= 1
            k += 1
        while k and a < top >> 1:
            top >>= 1
            k -= 1
        q = u >> k
        if q < _ZEROS:
            width = k + 1
            code = 1 << k | u & ((1 << k) - 1)
        else:
            q = _ZEROS
            width = wide
            code = u
        if q + width > 22:
            acc <<= q
            free += q
            while free >= 8:
                free -= 8
                out[at] = acc >> free & 0xFF
                at += 1
            acc &= (1 << free) - 1
            q = 0
        acc = acc << (q + width) | code
        free += q + width
        a += (u << 2) - (a >> 2)
        if e:
            if d1:
                if (e ^ d1) >= 0:
                    if w1 < 512:
                        w1 += 8
                elif w1 > -512:
                    w1 -= 8
            if d2:
                if (e ^ d2) >= 0:
                    if w2 < 512:
                        w2 += 8
                elif w2 > -512:
                    w2 -= 8
        d2 = d1
        d1 = d
    if i < n:
        for rest in range(i, n):
            if not -half <= samples[rest] < half:
                return -1
        return most
    if free:
        out[at] = acc << (8 - free) & 0xFF
        at += 1
    return at


def _raw(samples: "Sequence[int]", n: int, bits: int, half: int, out: bytearray) -> None:
    acc = 0
    free = 0
    at = 1
    for i in range(n):
        acc = acc << bits | samples[i] + half
        free += bits
        while free >= 8:
            free -= 8
            out[at] = acc >> free & 0xFF
            at += 1
        acc &= (1 << free) - 1
    if free:
        out[at] = acc << (8 - free) & 0xFF


def decode(data: "bytes | bytearray | memoryview", n: int) -> "array[int]":
    """The `n` samples of a block, as array('i'); CodecError, with a byte offset, if no encoder makes it."""
    if not 0 < n <= MAX_SAMPLES:
        raise CodecError(f"{n} samples")
    if len(data) == 0:
        raise CodecError("an empty block", 0)
    bits = data[0] & 31
    if data[0] & ~_RAW > 31 or not 2 <= bits <= MAX_BITS:
        raise CodecError(f"first byte 0x{data[0]:02x} is no mode and width", 0)
    most = 1 + ((n * bits + 7) >> 3)
    if data[0] & _RAW:
        if len(data) != most:
            raise CodecError(f"{len(data)} bytes where {n} raw samples take {most}", min(len(data), most))
        return _decode_raw(data, n, bits)
    if len(data) >= most or (len(data) - 1) << 3 < bits + 4 + n:
        raise CodecError(f"{len(data)} bytes cannot hold {n} predicted samples", 0)
    return _decode_predicted(data, n, bits)


def _decode_raw(data: "bytes | bytearray | memoryview", n: int, bits: int) -> "array[int]":
    out = array("i", bytes(4 * n))
    half = 1 << (bits - 1)
    acc = 0
    have = 0
    at = 1
    for i in range(n):
        while have < bits:
            acc = acc << 8 | data[at]
            at += 1
            have += 8
        have -= bits
        out[i] = (acc >> have) - half
        acc &= (1 << have) - 1
    if acc:
        raise CodecError("padding bits that are not zero", at - 1)
    return out


def _decode_predicted(data: "bytes | bytearray | memoryview", n: int, bits: int) -> "array[int]":
    out = array("i", bytes(4 * n))
    half = 1 << (bits - 1)
    wide = bits + 4
    end = len(data)
    acc = 0
    have = 0
    at = 1
    while have < bits + 5:
        acc = acc << 8 | data[at]
        at += 1
        have += 8
    have -= bits + 5
    k = acc >> have & 31
    x = (acc >> (have + 5)) - half
    acc &= (1 << have) - 1
    if k > _K_MAX:
        raise CodecError(f"k0 {k} is beyond {_K_MAX}", 1)
    out[0] = x
    a = 21 << k
    top = 28 << k
    w1 = 192
    w2 = d1 = d2 = 0
    for i in range(1, n):
        while a >= top:
            top <<= 1
            k += 1
        while k and a < top >> 1:
            top >>= 1
            k -= 1
        q = 0
        width = k
        while True:
            if have == 0:
                if at == end:
                    raise CodecError(f"the block ends in sample {i} of {n}", end)
                acc = data[at]
                at += 1
                have = 8
            have -= 1
            if acc >> have:
                acc &= (1 << have) - 1
                break
            q += 1
            if q == _ZEROS:
                width = wide
                break
        while have < width:
            if at == end:
                raise CodecError(f"the block ends in sample {i} of {n}", end)
            acc = acc << 8 | data[at]
            at += 1
            have += 8
        have -= width
        u = acc >> have
        acc &= (1 << have) - 1
        if q < _ZEROS:
            u |= q << k
        elif u >> k < _ZEROS:
            raise CodecError(f"sample {i} is escaped without need", at - 1)
        e = -1 - (u >> 1) if u & 1 else u >> 1
        d = e + ((w1 * d1 + w2 * d2 + 128) >> 8)
        x += d
        if not -half <= x < half:
            raise CodecError(f"sample {i} is {x}, beyond {bits} bits", at - 1)
        out[i] = x
        a += (u << 2) - (a >> 2)
        if e:
            if d1:
                if (e ^ d1) >= 0:
                    if w1 < 512:
                        w1 += 8
                elif w1 > -512:
                    w1 -= 8
            if d2:
                if (e ^ d2) >= 0:
                    if w2 < 512:
                        w2 += 8
                elif w2 > -512:
                    w2 -= 8
        d2 = d1
        d1 = d
    if at != end:
        raise CodecError(f"{end - at} bytes after the last sample", at)
    if acc:
        raise CodecError("padding bits that are not zero", end - 1)
    return out
