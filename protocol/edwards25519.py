"""The group of edwards25519 (RFC 8032 §5.1): base point multiples in constant time, others in variable time.

A point is (X, Y, Z, T): x = X/Z, y = Y/Z, T = XY/Z, each loosely reduced (see field25519.py). The formulas
are those of Hisil, Wong, Carter and Dawson (2008), as in RFC 8032 §5.1.4. They are complete: no pair of
points is a special case.
"""

from protocol.field25519 import LIFT, LIFT_FOLDED, MASK, P, invert_steps, root_power_steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    Point = tuple[int, int, int, int]

ORDER = (1 << 252) + 27742317777372353535851937790883648493
_D = 0x52036CEE2B6FFE738CC740797779E89800700A4D4141D8AB75EB4DCA135978A3
_2D = 0x2406D9DC56DFFCE7198E80F2EEF3D13000E0149A8283B156EBD69B9426B2F159
_SQRT_M1 = 0x2B8324804FC1DF0B2B4D00993DFBD7A72F431806AD2FE478C4EE1B274A0EA0B0

# A comb of four teeth with signed digits. Entry i, with bits t2 t1 t0, is the point 2^192 B ± 2^128 B ± 2^64
# B ± B (plus where t2, t1, t0 are 1), as y + x, y - x and 2dxy of 32 bytes, little-endian. Bytes, because as
# big integers it would hold three times as much of a node's heap for good.
_COMB = (
    b"\x3e\x38\x73\x24\xc8\xa2\xb0\x4b\x54\x48\x9a\xd3\x1c\xd9\x93\x8b\x51\x8b\x45\xaa\xee\xc2\x83\x64"
    b"\x27\x68\x08\x48\x46\x94\xce\x4b\xad\xd0\x88\xdb\x13\xa8\xe2\xe3\xc1\x4d\xb1\x5b\x3d\xb1\x40\x6f"
    b"\xd2\x2b\x1e\x55\x25\x54\x71\xc6\x6d\x39\x64\xc4\xae\xb7\x05\x40\x1c\x79\xec\x5b\x82\xe1\x80\xcc"
    b"\x25\x76\x6d\xaf\xd0\xa9\xb4\xe0\x98\x2e\xbb\x2f\x7d\x35\x4d\x61\xda\x43\xa6\x63\x76\xbb\x77\x1c"
    b"\xe7\x68\x3e\xae\x59\xb5\xd2\x16\xbd\xac\x47\x58\x73\x62\xc5\x6f\x75\x08\x29\x96\x54\x1f\x89\xb9"
    b"\x66\x8a\xf3\x6f\xcf\xfd\xa8\x43\xb0\x34\x71\x9d\x75\xd2\xde\xe9\x0d\x0a\x7b\x54\x93\xb5\xbc\xe7"
    b"\xfb\x44\x73\x02\xf0\x65\xbc\x5e\xa7\x80\xbc\x89\x8f\x35\x4f\x66\xb4\xeb\x15\x67\x64\x39\xd4\x3d"
    b"\xf1\xa3\xe4\x3b\xf1\x92\x4d\x11\x59\xc1\xd4\x57\x67\x8b\x43\xe1\x85\x6c\xef\x7c\x9c\x7c\xb5\x51"
    b"\x81\x47\x04\xac\x05\x3e\x14\x99\x52\x86\x72\xc6\xa6\xfd\x80\x55\xd2\xbc\x15\x0c\xd9\x84\xf4\x3e"
    b"\x57\x26\xce\x48\x1e\x9c\x9d\x1d\xc9\xd5\x0d\x5a\x65\x1b\x33\x1f\xd3\x2b\x86\xc9\x61\x5f\x54\x0b"
    b"\x33\x78\x73\x15\xb3\x89\x97\x39\x5c\xd4\x43\x77\x90\x73\x50\x13\xab\x1e\xad\xf5\x2f\x86\xe0\x13"
    b"\x7a\xd1\x71\x90\xb9\x63\xfa\xfe\xeb\x8c\x82\xf3\x93\x66\x37\xd8\x5a\x05\x5d\x4a\xb1\xe7\x56\x0a"
    b"\x9c\x8c\x5f\x25\x6a\xce\xcf\xad\xee\x88\x44\xc9\x41\x77\xd8\x8b\xfd\x5b\x44\x04\xd4\x94\x3a\x09"
    b"\x8a\x14\xe9\xfc\xf3\x11\x25\x7b\x3e\x5b\x23\xbf\xf7\x46\x42\x12\xcb\x7d\xd8\x1e\x54\x6e\x7e\xe8"
    b"\x92\x55\x38\xc1\x34\xec\x52\x78\x13\x5f\x42\x65\x88\x5a\x18\x7c\xef\xaf\xd9\x9e\x8e\x81\x4f\x97"
    b"\x19\x7c\x06\x6b\x01\x39\x33\x03\xa5\xf0\x65\xa1\xdd\x9a\x7c\x44\xb5\x57\x18\x14\xa0\x04\x64\x59"
    b"\x8d\x0c\xbf\xd8\x1f\x1b\x89\xf7\xc9\xae\x0b\x9f\x8b\x27\x52\xb3\x33\xe2\xcd\xac\x39\x17\x26\x08"
    b"\x5c\xc8\xd9\xf2\x54\x87\x68\x6e\x2d\x4a\x94\x84\x91\x8f\x63\x82\x04\x30\x82\x97\xad\xae\x54\x61"
    b"\xee\xac\xc0\x2f\xdf\x49\xa3\x78\xc0\x59\xe0\x47\xa4\xdd\xaa\x11\xb9\xcf\x54\xf2\xd9\x33\x63\xa3"
    b"\xda\xc3\xef\x0d\x54\x3c\xf8\xbe\xa2\xca\x6f\xf5\xc3\xf8\x96\x8e\xbb\xad\x77\x4b\x23\xb2\xcc\x42"
    b"\x33\xd9\xfd\x77\x68\xfd\xd2\xcc\x42\x9e\x75\x43\xfe\x6e\x77\x82\x74\xc3\x97\xe4\x9f\xf4\xc4\xde"
    b"\x1a\x8c\x24\x48\x57\x69\x44\x5e\xab\x71\x9a\x2f\xc4\x80\xf8\x63\x3a\x06\x02\x91\xb0\x91\x0b\x45"
    b"\xd1\x1b\x29\xd4\x82\x7c\xe9\x46\x6e\xfb\xa8\xf8\xb3\xfe\xd2\x43\xfe\x1f\x09\x97\x74\x16\xbd\x28"
    b"\x08\xa7\x4b\x9d\xd0\x95\x29\x70\x94\xed\x00\x5f\x1a\xd3\x37\xfb\xbc\x12\x14\x9f\xef\xfb\x4e\x15"
    b"\xa2\x53\x60\x15\xc8\x2e\x7b\x05\x29\x91\xfd\xf2\x26\xb4\xac\x0d\xd5\xdd\x10\xbd\x20\x8d\x0d\xe3"
    b"\x2e\xb3\x9b\x07\x9d\x96\xb7\x27\x9d\x11\x1a\x27\xb0\x74\x7e\x08\x42\x1f\x0e\x0b\x27\xe0\xc0\x67"
    b"\x8f\x64\x2b\x0d\x9d\x83\xdc\xee\x8b\x8a\x9c\xfb\x96\xa0\xe6\x6a\x81\x82\x8d\x90\x5a\x3e\x24\xa7"
    b"\xd1\x8c\x51\x8f\xda\x8c\xe1\x72\xac\xdc\x8d\x1f\x3b\xe8\xe3\xf2\x3c\x7b\x8f\xbd\xba\x3d\xd1\x70"
    b"\x42\xb8\xfb\x47\x67\xeb\x7e\x13\x8b\x1a\x81\x60\x75\x5c\xdf\x79\x9a\xc8\xf8\x71\x6f\xa7\x2b\x5a"
    b"\xc2\xff\xc8\x3b\x56\x2a\x95\x09\x3c\xf8\x7e\xdc\x4b\xcb\xa8\xa2\x26\xc2\x93\x5f\xfa\xc6\xb5\x96"
    b"\xa5\xe3\x64\x06\x1b\xeb\xeb\xd4\x2f\xcf\xc6\xe5\xdc\x4a\x9b\x40\xc4\x50\x43\x83\xb9\x3d\xd5\x44"
    b"\xb4\x05\xf5\xa5\x05\x93\x29\x89\x2f\xff\x49\x59\xa2\xfa\x22\xfb\x64\x7d\x65\x04\xa7\x68\xb9\x69"
)
_COMB_TOP = 1 << 256
_ALL_PLUS = (1 << 256) - 1
_HALF = (ORDER + 1) // 2


def base_multiply_steps(scalar: int) -> "Generator[None, None, Point]":
    """`scalar` (secret, below ORDER) times the base point, in the same steps whatever it is.

    scalar = sum of ±2^i for i = 0 … 255 (mod ORDER): the signs are the bits of (scalar + 2^256 - 1) / 2. So
    every column of the comb adds or subtracts exactly one entry (Hedabou, Pinel and Beneteau 2005).
    """
    m = MASK
    top = _COMB_TOP
    lift = LIFT
    lift_folded = LIFT_FOLDED
    two_p = P << 1
    signs = ((scalar + _ALL_PLUS) * _HALF % ORDER).to_bytes(32, "little")
    table = [
        (
            top | int.from_bytes(_COMB[at : at + 32], "little"),
            top | int.from_bytes(_COMB[at + 32 : at + 64], "little"),
            top | int.from_bytes(_COMB[at + 64 : at + 96], "little"),
        )
        for at in range(0, len(_COMB), 96)
    ]
    yield
    x = 0
    y = 1
    z = 1
    t = 0
    for column in range(63, -1, -1):
        x, y, z, t = double((x, y, z, t), True)

        at = column >> 3
        shift = column & 7
        sign = (signs[at + 24] >> shift) & 1
        t0 = (signs[at] >> shift) & 1
        t1 = (signs[at + 8] >> shift) & 1
        t2 = (signs[at + 16] >> shift) & 1
        wanted = (t2 << 2 | t1 << 1 | t0) ^ (7 * (sign ^ 1))
        plus = minus = product = top
        for i in range(8):
            same = (((i ^ wanted) - 1) >> 3) & 1
            mask = (top << same) - same
            p, q, r = table[i]
            plus |= p & mask
            minus |= q & mask
            product |= r & mask
        # The negative of a point has y + x and y - x exchanged and 2dxy negated. `top` goes with the
        # exchange.
        negative = sign ^ 1
        mask = (top << negative) - negative
        q = ((plus ^ minus) | top) & mask
        plus ^= q
        minus ^= q
        product ^= ((product ^ (two_p - (product ^ top))) & mask) | top

        q = (y - x + lift) * minus
        a = (q & m) + 38 * (q >> 256)
        q = (y + x) * plus
        b = (q & m) + 38 * (q >> 256)
        q = t * product
        c = (q & m) + 38 * (q >> 256)
        e = b - a + lift_folded
        f = z + z - c + lift_folded
        g = z + z + c
        h = b + a
        q = e * f
        q = (q & m) + 38 * (q >> 256)
        x = (q & m) + 38 * (q >> 256)
        q = g * h
        q = (q & m) + 38 * (q >> 256)
        y = (q & m) + 38 * (q >> 256)
        q = f * g
        q = (q & m) + 38 * (q >> 256)
        z = (q & m) + 38 * (q >> 256)
        q = e * h
        q = (q & m) + 38 * (q >> 256)
        t = (q & m) + 38 * (q >> 256)
        if not column & 1:
            yield
    return x, y, z, t


def multiply_steps(point: "Point", scalar: int) -> "Generator[None, None, Point]":
    """`scalar` times any point, both public: the time tells them. Signed windows of 4 bits."""
    twice = double(point, True)
    odd = [_cached(point)]
    for _ in range(3):
        point = _add(point, _cached(twice))
        odd.append(_cached(point))
    yield
    digits = _signed_windows(scalar)
    yield
    x = t = 0
    y = z = 1
    for i in range(len(digits) - 1, -1, -1):
        digit = digits[i]
        x, y, z, t = double((x, y, z, t), digit != 128 or i == 0)
        if digit > 128:
            x, y, z, t = _add((x, y, z, t), odd[(digit - 128) >> 1])
        elif digit < 128:
            plus, minus, product, twice_z = odd[(128 - digit) >> 1]
            x, y, z, t = _add((x, y, z, t), (minus, plus, (P << 1) - product, twice_z))
        if not i & 3:
            yield
    return x, y, z, t


def _signed_windows(scalar: int) -> bytearray:
    """The width-4 non-adjacent form, least digit first, each plus 128: digits are 0 or odd, -7 to 7."""
    digits = bytearray()
    while scalar:
        digit = 0
        if scalar & 1:
            digit = ((scalar & 15) ^ 8) - 8
            scalar -= digit
        digits.append(digit + 128)
        scalar >>= 1
    return digits


def double(point: "Point", with_t: bool) -> "Point":
    """The point added to itself; T is left out (0) unless asked for: doubling does not need it."""
    m = MASK
    lift_folded = LIFT_FOLDED
    x, y, z, _ = point
    t = x * x
    a = (t & m) + 38 * (t >> 256)
    t = y * y
    b = (t & m) + 38 * (t >> 256)
    t = z * z
    t = (t & m) + 38 * (t >> 256)
    h = a + b
    g = a - b + lift_folded
    f = t + t + g
    t = x + y
    t *= t
    e = h - (t & m) - 38 * (t >> 256) + lift_folded
    t = e * f
    t = (t & m) + 38 * (t >> 256)
    x = (t & m) + 38 * (t >> 256)
    t = g * h
    t = (t & m) + 38 * (t >> 256)
    y = (t & m) + 38 * (t >> 256)
    t = f * g
    t = (t & m) + 38 * (t >> 256)
    z = (t & m) + 38 * (t >> 256)
    if not with_t:
        return x, y, z, 0
    t = e * h
    t = (t & m) + 38 * (t >> 256)
    return x, y, z, (t & m) + 38 * (t >> 256)


def add(p: "Point", q: "Point") -> "Point":
    """The sum of two points."""
    return _add(p, _cached(q))


def _cached(point: "Point") -> "Point":
    """(Y + X, Y - X, 2dT, 2Z), fully reduced: what an addition needs of its second point."""
    x, y, z, t = point
    return (y + x) % P, (y - x) % P, t * _2D % P, (z + z) % P


def _add(point: "Point", cached: "Point") -> "Point":
    m = MASK
    lift_folded = LIFT_FOLDED
    x, y, z, t = point
    plus, minus, product, twice_z = cached
    q = (y - x + LIFT) * minus
    a = (q & m) + 38 * (q >> 256)
    q = (y + x) * plus
    b = (q & m) + 38 * (q >> 256)
    q = t * product
    c = (q & m) + 38 * (q >> 256)
    q = z * twice_z
    d = (q & m) + 38 * (q >> 256)
    e = b - a + lift_folded
    f = d - c + lift_folded
    g = d + c
    h = b + a
    q = e * f
    q = (q & m) + 38 * (q >> 256)
    x = (q & m) + 38 * (q >> 256)
    q = g * h
    q = (q & m) + 38 * (q >> 256)
    y = (q & m) + 38 * (q >> 256)
    q = f * g
    q = (q & m) + 38 * (q >> 256)
    z = (q & m) + 38 * (q >> 256)
    q = e * h
    q = (q & m) + 38 * (q >> 256)
    return x, y, z, (q & m) + 38 * (q >> 256)


def encode_steps(point: "Point") -> "Generator[None, None, bytes]":
    """The 32-byte encoding: y little-endian, the top bit is x's lowest. RFC 8032 §5.1.2."""
    x, y, z, _ = point
    inverse = yield from invert_steps(z)
    return (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def decode_steps(encoded: bytes) -> "Generator[None, None, Point | None]":
    """The (public) point of a 32-byte encoding; None unless canonical and on the curve. RFC 8032 §5.1.3."""
    y = int.from_bytes(encoded, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    if y >= P:
        return None
    yy = y * y % P
    u = yy - 1 + P
    v = (_D * yy + 1) % P
    v3 = v * v % P * v % P
    power = yield from root_power_steps(v3 * v3 % P * v % P * u % P)
    x = v3 * u % P * power % P
    check = v * x % P * x % P
    if (check + u) % P == 0:
        x = x * _SQRT_M1 % P
    elif (check - u) % P:
        return None
    if not x and sign:
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P
