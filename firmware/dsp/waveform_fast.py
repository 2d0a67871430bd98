# ruff: noqa: F821
"""The waveform codec, sample by sample, as native machine code: the viper twin of protocol.waveform's
`predicted`, line for line.

Viper's ptr32 zero-extends on a 64-bit port: a sample is read as ``x << sh >> sh``, and `sh` is 0 on 32 bits.
Ports without a native emitter refuse this file with SyntaxError: kernels.py then takes the pure twin.
"""

import sys

import micropython
from micropython import const

ZEROS = const(16)
WORD_SHIFT = 32 if sys.maxsize > 0x7FFFFFFF else 0


@micropython.viper
def predicted(samples: ptr32, n: int, bits: int, k: int, out: ptr8, most: int) -> int:
    """See protocol.waveform.predicted; `samples` is an array('i')."""
    sh = int(WORD_SHIFT)
    half = 1 << (bits - 1)
    x0 = samples[0] << sh >> sh
    if x0 < -half or x0 >= half:
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
        x = samples[i] << sh >> sh
        if x < -half or x >= half:
            return -1
        d = x - x0
        x0 = x
        e = d - ((w1 * d1 + w2 * d2 + 128) >> 8)
        u = e << 1 if e >= 0 else -1 - (e << 1)
        while a >= top:
            top <<= 1
            k += 1
        while k != 0 and a < top >> 1:
            top >>= 1
            k -= 1
        q = u >> k
        if q < ZEROS:
            width = k + 1
            code = 1 << k | u & ((1 << k) - 1)
        else:
            q = ZEROS
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
        if e != 0:
            if d1 != 0:
                if (e ^ d1) >= 0:
                    if w1 < 512:
                        w1 += 8
                elif w1 > -512:
                    w1 -= 8
            if d2 != 0:
                if (e ^ d2) >= 0:
                    if w2 < 512:
                        w2 += 8
                elif w2 > -512:
                    w2 -= 8
        d2 = d1
        d1 = d
    if i < n:
        for rest in range(i, n):
            x = samples[rest] << sh >> sh
            if x < -half or x >= half:
                return -1
        return most
    if free != 0:
        out[at] = acc << (8 - free) & 0xFF
        at += 1
    return at
