# ruff: noqa: F821
"""Limbs as native machine code: the viper twin of limbs.py, with the same results to the last word.

Viper's ptr32 zero-extends on a 64-bit port, where what was summed from such words is right in its lower 32
bits: before a shift it is read as ``x << sh >> sh``, and `sh` is 0 on 32 bits. The first three locals are in
the processor's registers: they are the pointers of the innermost loop, which multiplies five limbs by five.
Ports without a native emitter refuse this file with SyntaxError: field25519.py then takes the pure twin.
"""

import sys

import micropython
from micropython import const

MULTIPLY = const(1)
SQUARE = const(2)
SWAP = const(3)
ADD = const(4)
SUBTRACT = const(5)
ADD_TWICE = const(6)
CARRIED_DIFFERENCE = const(7)
ADD_A24 = const(8)
A24 = const(121665)
FLAG = const(60)
WORD_SHIFT = 32 if sys.maxsize > 0x7FFFFFFF else 0


@micropython.viper
def limb_run(r: ptr32, y: ptr32):
    """The same as limbs.limb_run(registers, program)."""
    x = r
    sh = int(WORD_SHIFT)
    work = int(r)
    program = ptr8(int(y))
    mask = 0 - r[FLAG]
    at = 0
    while program[at] != 0:
        op = program[at]
        d = work + 80 * program[at + 1]
        a = work + 80 * program[at + 2]
        b = work + 80 * program[at + 3]
        times = 1
        k = 1
        if op == SQUARE:
            times = program[at + 3]
        elif op == ADD_TWICE:
            k = 2
        elif op == ADD_A24:
            k = A24
        elif op != ADD:
            k = 0 - 1
        at += 4
        while times != 0:
            times -= 1
            if op <= SQUARE:
                r = ptr32(work)
                i = 0
                while i < 40:
                    r[i] = 0
                    r[i + 1] = 0
                    i += 2
                if op == SQUARE:
                    x = ptr32(a)
                    while i < 60:
                        r[i] = x[i - 40] << 1
                        i += 1
                i = 0
                while i < 80:
                    x = ptr32(a + i)
                    j = 0
                    if op == SQUARE:
                        j = i
                        b = a
                    while j < 80:
                        y = ptr32(b + j)
                        r = ptr32(work + i + j)
                        r[0] += x[0] * y[0]
                        r[1] += x[0] * y[1] + x[1] * y[0]
                        r[2] += x[0] * y[2] + x[1] * y[1] + x[2] * y[0]
                        r[3] += x[0] * y[3] + x[1] * y[2] + x[2] * y[1] + x[3] * y[0]
                        r[4] += x[0] * y[4] + x[1] * y[3] + x[2] * y[2] + x[3] * y[1] + x[4] * y[0]
                        r[5] += x[1] * y[4] + x[2] * y[3] + x[3] * y[2] + x[4] * y[1]
                        r[6] += x[2] * y[4] + x[3] * y[3] + x[4] * y[2]
                        r[7] += x[3] * y[4] + x[4] * y[3]
                        r[8] += x[4] * y[4]
                        j += 20
                        if op == SQUARE:
                            b = work + 160
                    i += 20
                r = ptr32(work)
                c = 4096
                i = 0
                while i < 39:
                    c += r[i] << sh >> sh
                    r[i] = (c & 8191) - 4096
                    c = (c >> 13) + 4096
                    i += 1
                r[39] = c - 4096
                a = work
                b = work + 80
                k = 608
            r = ptr32(d)
            x = ptr32(a)
            y = ptr32(b)
            i = 0
            if op == SWAP:
                while i < 20:
                    c = (r[i] ^ x[i]) & mask
                    r[i] ^= c
                    x[i] ^= c
                    i += 1
            elif op == ADD or op == SUBTRACT:  # noqa: SIM109 - there is no `in`
                while i < 20:
                    r[i] = x[i] + k * y[i]
                    i += 1
            else:
                c = 4096
                while i < 20:
                    c += (x[i] << sh >> sh) + k * (y[i] << sh >> sh)
                    r[i] = (c & 8191) - 4096
                    c = (c >> 13) + 4096
                    i += 1
                c = (r[0] << sh >> sh) + 608 * (c - 4096) + 4096
                r[0] = (c & 8191) - 4096
                c = (r[1] << sh >> sh) + (c >> 13) + 4096
                r[1] = (c & 8191) - 4096
                r[2] += c >> 13
            a = d


@micropython.viper
def limb_choose(r: ptr32, table: ptr16, wanted: int):
    """The same as limbs.limb_choose."""
    r = ptr32(int(r) + 320)
    i = 0
    while i < 60:
        c = 0
        n = 0
        at = i
        while n < 8:
            c |= table[at] & (0 - ((((n ^ wanted) - 1) >> 3) & 1))
            at += 60
            n += 1
        r[i] = c
        i += 1


@micropython.viper
def limb_load(r: ptr32, register: int, data: ptr8):
    """The same as limbs.limb_load."""
    r = ptr32(int(r) + 80 * register)
    held = 0
    bits = 0
    at = 0
    i = 0
    while i < 20:
        while bits < 13 and at < 32:
            held |= data[at] << bits
            at += 1
            bits += 8
        r[i] = held & 8191
        held >>= 13
        bits -= 13
        i += 1


@micropython.viper
def limb_store(r: ptr32, register: int, out: ptr8):
    """The same as limbs.limb_store."""
    sh = int(WORD_SHIFT)
    r = ptr32(int(r) + 80 * register)
    over = 0
    n = 0
    while n < 5:
        c = 19 * over
        if n == 3:
            c += 19
        elif n == 4:
            c -= 19
        i = 0
        while i < 20:
            c += r[i] << sh >> sh
            r[i] = c & 8191
            c >>= 13
            i += 1
        over = (r[19] >> 8) + 32 * c
        r[19] &= 255
        n += 1
    held = 0
    bits = 0
    at = 0
    i = 0
    while i < 20:
        held |= r[i] << bits
        bits += 13
        while bits >= 8 and at < 32:
            out[at] = held
            held >>= 8
            bits -= 8
            at += 1
        i += 1


@micropython.viper
def sha512_block(state: ptr16, w: ptr16, block: ptr8, k: ptr8):
    """The same as limbs.sha512_block."""
    i = 0
    while i < 64:
        j = i << 1
        at = (i & 60) + 3 - (i & 3)
        w[at] = block[j] << 8 | block[j + 1]
        i += 1
    v = ptr16(int(w) + 128)
    i = 0
    while i < 32:
        v[320 + i] = state[i]
        i += 1
    p = 316
    n = 0
    while n < 320:
        at = n & 63
        if n >= 64:
            y = (n + 4) & 63
            z = (n + 56) & 63
            t = (n + 36) & 63
            x0 = w[y]
            z0 = w[z]
            z1 = w[z + 1]
            z2 = w[z + 2]
            z3 = w[z + 3]
            c = 0
            j = 0
            while j < 4:
                u = w[y + ((j + 1) & 3)]
                h = (j - 3) >> 2
                s = (x0 >> 7 | (u & h) << 9) ^ (x0 >> 1 | u << 15) ^ (x0 >> 8 | u << 8)
                g = (z0 >> 6 | (z1 & h) << 10) ^ (z1 >> 3 | z2 << 13) ^ (z3 >> 13 | z0 << 3)
                c += w[at + j] + w[t + j] + (s & 0xFFFF) + (g & 0xFFFF)
                w[at + j] = c
                c >>= 16
                x0 = u
                t0 = z0
                z0 = z1
                z1 = z2
                z2 = z3
                z3 = t0
                j += 1
        j = 0
        c = 0
        g = 0
        h = 0
        while j < 4:
            y = p + 4 + ((j + 1) & 3)
            z = p + 4 + ((j + 2) & 3)
            t = p + 4 + ((j + 3) & 3)
            x0 = v[p + 20 + j]
            x1 = v[y + 16]
            z2 = v[z + 16]
            z3 = v[t + 16]
            s = (x0 >> 14 | x1 << 2) ^ (x1 >> 2 | z2 << 14) ^ (z2 >> 9 | z3 << 7)
            u = 2 * n + 6 - 2 * j
            c += (s & 0xFFFF) + v[p + 32 + j] + w[at + j] + (k[u] << 8 | k[u + 1])
            c += v[p + 28 + j] ^ (x0 & (v[p + 24 + j] ^ v[p + 28 + j]))
            t0 = c & 0xFFFF
            c >>= 16
            x0 = v[p + 4 + j]
            x1 = v[y]
            z2 = v[z]
            z3 = v[t]
            s = (x1 >> 12 | z2 << 4) ^ (z2 >> 2 | z3 << 14) ^ (z2 >> 7 | z3 << 9)
            z0 = v[p + 8 + j]
            z1 = v[p + 12 + j]
            g += t0 + (s & 0xFFFF) + ((x0 & z0) | (z1 & (x0 | z0)))
            v[p + j] = g
            g >>= 16
            h += t0 + v[p + 16 + j]
            v[p + 16 + j] = h
            h >>= 16
            j += 1
        p -= 4
        n += 4
    i = 0
    c = 0
    while i < 32:
        if i & 3 == 0:
            c = 0
        c += state[i] + v[i]
        state[i] = c
        c >>= 16
        i += 1
