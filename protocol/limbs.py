"""Numbers of 255 bits and words of 64 in small limbs, in arrays: what the native twin (limbs_fast.py)
calculates without garbage, and always the same instructions.

A number modulo p = 2^255 - 19 has 20 limbs of 13 bits, least first; limbs may be negative. It is *short* when
none is beyond ±4098, as products are and what is carried. A number of n times that is called n high (unsigned
limbs of 13 bits: 2). Products of one a high and one b high stay below 2^31 while ab <= 6, for a column is the
sum of at most 20 products; nothing else comes near that. Carrying is exact: 2^260 = 608 (mod p).

This is the reference, limb for limb: carried limbs are the digits -4096 to 4095 of a number, so that there is
one way to have them, and here products are big integers. It serves where the port cannot compile the native
twin, a hundred times as slowly and with garbage; the test-suite compares them.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array

END = 0
MULTIPLY = 1
SQUARE = 2
SWAP = 3
ADD = 4
SUBTRACT = 5
ADD_TWICE = 6
CARRIED_DIFFERENCE = 7
ADD_A24 = 8

A24 = 121665
LIMBS = 20
FLAG = 60
# 4096 in each limb
_HALVES = 4096 * ((1 << 260) - 1) // 8191
_FACTORS = {ADD: 1, SUBTRACT: -1, ADD_TWICE: 2, CARRIED_DIFFERENCE: -1, ADD_A24: A24}


def limb_run(registers: "array[int]", program: "bytes | bytearray") -> None:
    """Execute `program` on numbers in an array('i'): register n is at 20 n.

    Registers 0 to 2 are work, and the first word of 3 is the flag. Instructions of four bytes, up to END:
    what, register d for the result, and a and b. MULTIPLY d = ab; SQUARE d = a^(2^b), b no register but from
    1 to 255; SWAP d and a, where the flag is 1 and not 0; ADD d = a + b; SUBTRACT d = a - b; and, carried,
    ADD_TWICE d = a + 2b; CARRIED_DIFFERENCE d = a - b; ADD_A24 d = a + 121665 b. All but sums, differences
    and what is swapped come out short.
    """
    r = registers
    at = 0
    while program[at] != END:
        op, d, a, b = program[at : at + 4]
        at += 4
        d *= LIMBS
        a *= LIMBS
        if op == SQUARE:
            for _ in range(b):
                _product(r, d, a, a)
                a = d
            continue
        b *= LIMBS
        if op == MULTIPLY:
            _product(r, d, a, b)
        elif op == SWAP:
            mask = -r[FLAG]
            for i in range(LIMBS):
                c = (r[d + i] ^ r[a + i]) & mask
                r[d + i] ^= c
                r[a + i] ^= c
        else:
            k = _FACTORS[op]
            sums = [r[a + i] + k * r[b + i] for i in range(LIMBS)]
            if op > SUBTRACT:
                _carry(r, d, _number(sums))
            else:
                for i in range(LIMBS):
                    r[d + i] = sums[i]


def _product(r: "array[int]", d: int, a: int, b: int) -> None:
    x = _number(r[a : a + LIMBS])
    product = (x if a == b else _number(r[b : b + LIMBS])) * x
    high = (product + _HALVES) >> 260
    _carry(r, d, product - (high << 260) + 608 * high)


def _number(limbs: "list[int] | array[int]") -> int:
    number = 0
    for i in range(LIMBS - 1, -1, -1):
        number = (number << 13) + limbs[i]
    return number


def _carry(r: "array[int]", d: int, number: int) -> None:
    """The digits of the number; what is above them is folded, and carried as far as the third."""
    number += _HALVES
    for i in range(d, d + LIMBS):
        r[i] = (number & 8191) - 4096
        number >>= 13
    c = r[d] + 608 * number + 4096
    r[d] = (c & 8191) - 4096
    c = r[d + 1] + (c >> 13) + 4096
    r[d + 1] = (c & 8191) - 4096
    r[d + 2] += c >> 13


def limb_choose(registers: "array[int]", table: bytes, wanted: int) -> None:
    """Three numbers from entry `wanted` of eight, all of which are read, into registers 4, 5 and 6. An entry:
    60 limbs of 16 bits, little-endian.
    """
    for i in range(3 * LIMBS):
        c = 0
        for n in range(8):
            at = 120 * n + 2 * i
            c |= (table[at] | table[at + 1] << 8) & -((((n ^ wanted) - 1) >> 3) & 1)
        registers[4 * LIMBS + i] = c


def limb_load(registers: "array[int]", register: int, data: "bytes | bytearray") -> None:
    """A number of 32 bytes, little-endian, into a register: 2 high."""
    held = bits = at = 0
    for i in range(LIMBS * register, LIMBS * register + LIMBS):
        while bits < 13 and at < 32:
            held |= data[at] << bits
            at += 1
            bits += 8
        registers[i] = held & 8191
        held >>= 13
        bits -= 13


def limb_store(registers: "array[int]", register: int, out: bytearray) -> None:
    """A register's number, at most 60 high, fully reduced, into 32 bytes, little-endian; the register keeps
    that.

    Each round folds what is above 2^255: the first two leave that no more, or less than nothing, and after
    the third it lies below 2^255. The last two add 19 and, unless that overflowed, take it away again.
    """
    first = LIMBS * register
    over = 0
    for extra in (0, 0, 0, 19, -19):
        c = 19 * over + extra
        for i in range(first, first + LIMBS):
            c += registers[i]
            registers[i] = c & 8191
            c >>= 13
        over = (registers[first + 19] >> 8) + 32 * c
        registers[first + 19] &= 255
    held = bits = at = 0
    for i in range(first, first + LIMBS):
        held |= registers[i] << bits
        bits += 13
        while bits >= 8 and at < 32:
            out[at] = held & 255
            held >>= 8
            bits -= 8
            at += 1


def sha512_block(state: "array[int]", w: "array[int]", block: "bytes | bytearray", k: bytes) -> None:
    """SHA-512's state (array('H') of 32: 8 words, each four quarters, least first) after one more block of
    128 bytes. FIPS 180-4 §6.4.2. `w`: array of 416, 'H' or wider; `k`: the constants, big-endian.

    The schedule is a ring of 16 words. The eight variables are a window that moves down by a word a round.
    """
    for i in range(64):
        w[(i & 60) + 3 - (i & 3)] = block[2 * i] << 8 | block[2 * i + 1]
    p = 384
    for i in range(32):
        w[p + i] = state[i]
    for n in range(0, 320, 4):
        at = n & 63
        if n >= 64:
            y = (n + 4) & 63
            z = (n + 56) & 63
            t = (n + 36) & 63
            x = [w[y + (i & 3)] for i in range(5)]
            s = [w[z + (i & 3)] for i in range(8)]
            c = 0
            for j in range(4):
                within = 0xFFFF if j < 3 else 0
                u = x[j] >> 7 | (x[j + 1] & within) << 9
                u ^= (x[j] >> 1 | x[j + 1] << 15) ^ (x[j] >> 8 | x[j + 1] << 8)
                g = s[j] >> 6 | (s[j + 1] & within) << 10
                g ^= (s[j + 1] >> 3 | s[j + 2] << 13) ^ (s[j + 3] >> 13 | s[j] << 3)
                c += w[at + j] + w[t + j] + (u & 0xFFFF) + (g & 0xFFFF)
                w[at + j] = c & 0xFFFF
                c >>= 16
        a = [w[p + (i & 3)] for i in range(7)]
        e = [w[p + 16 + (i & 3)] for i in range(7)]
        c = g = h = 0
        for j in range(4):
            u = e[j] >> 14 ^ e[j + 1] << 2 ^ e[j + 1] >> 2 ^ e[j + 2] << 14 ^ e[j + 2] >> 9 ^ e[j + 3] << 7
            c += (u & 0xFFFF) + w[p + 28 + j] + w[at + j] + (k[2 * n + 6 - 2 * j] << 8 | k[2 * n + 7 - 2 * j])
            c += w[p + 24 + j] ^ (e[j] & (w[p + 20 + j] ^ w[p + 24 + j]))
            u = (
                a[j + 1] >> 12
                ^ a[j + 2] << 4
                ^ a[j + 2] >> 2
                ^ a[j + 3] << 14
                ^ a[j + 2] >> 7
                ^ a[j + 3] << 9
            )
            y = w[p + 4 + j]
            z = w[p + 8 + j]
            g += (c & 0xFFFF) + (u & 0xFFFF) + ((a[j] & y) | (z & (a[j] | y)))
            w[p - 4 + j] = g & 0xFFFF
            g >>= 16
            h += (c & 0xFFFF) + w[p + 12 + j]
            w[p + 12 + j] = h & 0xFFFF
            h >>= 16
            c >>= 16
        p -= 4
    for i in range(0, 32, 4):
        c = 0
        for j in range(i, i + 4):
            c += state[j] + w[p + j]
            state[j] = c & 0xFFFF
            c >>= 16
