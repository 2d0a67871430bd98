# ruff: noqa: F821
"""The waveform codec, sample by sample, as native machine code: the viper twin of protocol.waveform's
`predicted`, line for line.

Viper's ptr32 zero-extends on a 64-bit port: a sample is read as ``x << sh >> sh``, and `sh` is 0 on 32 bits.
Ports without a native emitter refuse this file with SyntaxError: kernels.py then takes the pure twin.
"""

import sys

import micropython

WORD_SHIFT = 32 if sys.maxsize > 0x7FFFFFFF else 0


@micropython.viper
def predicted(samples: ptr32, n: int, bits: int, out: ptr8) -> int:
    """See protocol.waveform.predicted; `samples` is an array('i')."""
    sh = int(WORD_SHIFT)
    seen = 0
    for i in range(n):
        x = samples[i] << sh >> sh
        seen |= x if x >= 0 else -1 - x
    if seen >> (bits - 1) != 0:
        return -1
    width = 2
    while seen >> (width - 1) != 0:
        width += 1
    half = 1 << (width - 1)
    most = 1 + ((n * width + 7) >> 3)
    out[0] = width

    last = samples[0] << sh >> sh
    m = (n if n < 9 else 9) - 1
    total = 0
    p = last
    for i in range(m):
        x = samples[i + 1] << sh >> sh
        total += x - p if x >= p else p - x
        p = x
    k = 0
    while m != 0 and 2 << k <= 5 * total // (2 * m):
        k += 1
    acc = (last + half) << 5 | k
    free = width + 5
    at = 1

    w1 = 1024
    w7 = -768
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
        if p < -half:
            p = -half
        elif p >= half:
            p = half - 1
        x = samples[i] << sh >> sh
        e = x - p
        u = e << 1 if e >= 0 else -1 - (e << 1)

        b = a + 18
        while b >= 32 << k:
            k += 1
        while k != 0 and b < 16 << k:
            k -= 1
        m = 1 << k
        if k > 1 and b < 23 << k:
            m = 3 << (k - 2)
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
        if e != 0:
            step = (0x700000 if q > 1 else 0x540000 if q != 0 else 0x1C0000) // (spread + m)
            if e < 0:
                step = 0 - step
            w = w1 + (step * d1 >> 14)
            w1 = -4096 if w < -4096 else 4096 if w > 4096 else w
            w = w2 + (step * d2 >> 14)
            w2 = -4096 if w < -4096 else 4096 if w > 4096 else w
            w = w3 + (step * d3 >> 14)
            w3 = -4096 if w < -4096 else 4096 if w > 4096 else w
            w = w4 + (step * d4 >> 14)
            w4 = -4096 if w < -4096 else 4096 if w > 4096 else w
            w = w5 + (step * d5 >> 14)
            w5 = -4096 if w < -4096 else 4096 if w > 4096 else w
            w = w6 + (step * d6 >> 14)
            w6 = -4096 if w < -4096 else 4096 if w > 4096 else w
            w = w7 + (step * e1 >> 14)
            w7 = -4096 if w < -4096 else 4096 if w > 4096 else w
            w = w8 + (step * e2 >> 14)
            w8 = -4096 if w < -4096 else 4096 if w > 4096 else w
        spread += (d if d >= 0 else 0 - d) - (spread >> 3)
        d6 = d5
        d5 = d4
        d4 = d3
        d3 = d2
        d2 = d1
        d1 = -16384 if d < -16384 else 16384 if d > 16384 else d
        e2 = e1
        e1 = -16384 if e < -16384 else 16384 if e > 16384 else e
    if i < n:
        return most
    if free != 0:
        out[at] = acc << (8 - free) & 0xFF
        at += 1
    return at
