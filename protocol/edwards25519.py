"""The group of edwards25519 (RFC 8032 §5.1): base point multiples in constant time, others in variable time.

A point (X, Y, Z, T) with x = X/Z, y = Y/Z, T = XY/Z lies in registers 7 to 10, and programs for limbs.py work
on it; all four are short. The formulas are those of Hisil, Wong, Carter and Dawson (2008), as in RFC 8032
§5.1.4. They are complete: no pair of points is a special case.

Registers: 4 to 6 what the comb adds, y + x, y - x and 2dxy; 11 to 18 A to H; 19 zero. Points that are added
otherwise are kept as Y + X, Y - X, 2dT, 2Z in four registers.
"""

from protocol.field25519 import (
    FLAG,
    LIMBS,
    calculate,
    choose_entry,
    invert_steps,
    load_register,
    register_bytes,
    root_power_steps,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Generator

ORDER = (1 << 252) + 27742317777372353535851937790883648493
BASE_REGISTERS = 20
"""As many need the base point's multiples."""
REGISTERS = 40
"""As many need others."""
X = 7
Y = 8
Z = 9
T = 10
_ODD = 20
LAST = 36
"""Room for a kept point that multiplication leaves alone when it is done."""
_D = (
    b"\xa3\x78\x59\x13\xca\x4d\xeb\x75\xab\xd8\x41\x41\x4d\x0a\x70\x00"
    b"\x98\xe8\x79\x77\x79\x40\xc7\x8c\x73\xfe\x6f\x2b\xee\x6c\x03\x52"
)
_2D = (
    b"\x59\xf1\xb2\x26\x94\x9b\xd6\xeb\x56\xb1\x83\x82\x9a\x14\xe0\x00"
    b"\x30\xd1\xf3\xee\xf2\x80\x8e\x19\xe7\xfc\xdf\x56\xdc\xd9\x06\x24"
)
_SQRT_M1 = (
    b"\xb0\xa0\x0e\x4a\x27\x1b\xee\xc4\x78\xe4\x2f\xad\x06\x18\x43\x2f"
    b"\xa7\xd7\xfb\x3d\x99\x00\x4d\x2b\x0b\xdf\xc1\x4f\x80\x24\x83\x2b"
)

_DOUBLE = (
    b"\x02\x0b\x07\x01\x02\x0c\x08\x01\x02\x0d\x09\x01"  # A = X^2, B = Y^2, C = Z^2
    b"\x04\x12\x0b\x0c\x05\x11\x0b\x0c\x06\x10\x11\x0d"  # H = A + B, G = A - B, F = G + 2C
    b"\x04\x0f\x07\x08\x02\x0f\x0f\x01\x05\x0f\x12\x0f"  # E = H - (X + Y)^2
    b"\x01\x07\x0f\x10\x01\x08\x11\x12\x01\x09\x10\x11"  # X = EF, Y = GH, Z = FG
)
_WITH_T = b"\x01\x0a\x0f\x12\x00"  # T = EH
_SUM = (
    b"\x05\x0f\x0c\x0b\x07\x10\x0e\x0d"  # E = B - A, F = D - C
    b"\x04\x11\x0e\x0d\x04\x12\x0c\x0b"  # G = D + C, H = B + A
    b"\x01\x07\x0f\x10\x01\x08\x11\x12\x01\x09\x10\x11"  # X = EF, Y = GH, Z = FG
) + _WITH_T
# Where the flag is set, the entry's negative: y + x and y - x exchanged, and 2dxy negated.
_ADD_CHOSEN = (
    b"\x03\x04\x05\x00\x05\x0b\x13\x06\x03\x06\x0b\x00"
    b"\x05\x0b\x08\x07\x01\x0b\x0b\x05"  # A = (Y - X)(y - x)
    b"\x04\x0c\x08\x07\x01\x0c\x0c\x04"  # B = (Y + X)(y + x)
    b"\x01\x0d\x0a\x06\x04\x0e\x09\x09"  # C = T 2dxy, D = 2Z
) + _SUM
# Of 4, which is d, and 5, which is 1: 17 is u = y^2 - 1, 18 is v = dy^2 + 1, 16 is v^3, and Z = u v^7.
_BEFORE_ROOT = (
    b"\x02\x11\x08\x01\x01\x12\x11\x04\x05\x11\x11\x05\x04\x12\x12\x05"
    b"\x02\x10\x12\x01\x01\x10\x10\x12\x02\x09\x10\x01\x01\x09\x09\x12\x01\x09\x09\x11\x00"
)
# X = u v^3 times the power; 13 is v X^2 - u, 14 is v X^2 + u; Y is carried.
_AFTER_ROOT = (
    b"\x01\x07\x10\x11\x01\x07\x07\x0b\x02\x0c\x07\x01\x01\x0c\x0c\x12"
    b"\x05\x0d\x0c\x11\x04\x0e\x0c\x11\x06\x08\x08\x13\x00"
)
_TIMES_4 = b"\x01\x07\x07\x04\x00"
_KEEP_X = b"\x06\x07\x07\x13\x00"  # carried, both of these
_NEGATE_X = b"\x07\x07\x13\x07\x00"
_COMPLETE = b"\x01\x0a\x07\x08\x04\x09\x05\x13\x00"  # T = XY, Z = 1
_NEGATE = b"\x05\x07\x13\x07\x05\x0a\x13\x0a\x00"
_TO_AFFINE = b"\x01\x07\x07\x0b\x01\x08\x08\x0b\x00"

# A comb of four teeth with signed digits. Entry i, with bits t2 t1 t0, is the point 2^192 B ± 2^128 B ± 2^64
# B ± B (plus where t2, t1, t0 are 1), as y + x, y - x and 2dxy: 20 limbs each, of 16 bits, little-endian.
_COMB = (
    b"\x3e\x18\x99\x03\x09\x12\x45\x01\xbb\x04\x2a\x04\x69\x0e\x9a\x03\xd9\x13\x5c\x0c\xd4\x02\x8b\x14"
    b"\xea\x0e\xe1\x01\x92\x1d\x04\x0d\x08\x08\x32\x02\xa5\x13\x97\x00\xad\x10\x46\x1c\xf6\x04\x50\x05"
    b"\x3e\x1e\xe0\x06\xc5\x0e\xab\x07\xb1\x00\x7a\x13\xf4\x0a\x3c\x0a\x55\x02\xaa\x18\x19\x17\x2d\x07"
    b"\x64\x04\x76\x1d\x6d\x01\x80\x00\x1c\x19\x63\x1f\x96\x00\xc3\x01\xc8\x1c\x12\x1b\xb5\x1d\x15\x1a"
    b"\xa9\x14\x05\x07\xa6\x0b\x76\x1f\xd2\x17\x9a\x06\x85\x09\x7b\x08\xa6\x03\xb3\x1b\xee\x1d\x38\x00"
    b"\xe7\x08\xf3\x11\x6b\x16\x6a\x05\x6d\x11\x5e\x16\x1e\x01\x6b\x0e\x62\x05\x7e\x0b\x1d\x02\x52\x0c"
    b"\x49\x15\x8f\x04\xe6\x1a\x4c\x11\xf3\x0f\x7b\x0e\x3f\x0a\x87\x00\xb0\x14\x89\x0b\x67\x1d\xa4\x1d"
    b"\x9d\x1e\x06\x05\xec\x11\x6a\x12\xb5\x1c\x3d\x1f\x3e\x11\xe6\x04\x00\x1f\x32\x1e\x7a\x1d\x14\x10"
    b"\xbc\x09\x7c\x0c\xcd\x13\xcc\x00\xb4\x0b\xaf\x18\x19\x19\x72\x08\xdd\x13\xf8\x11\x92\x0f\x27\x1e"
    b"\x92\x0d\x8a\x08\x56\x10\xa9\x0f\x75\x16\xc5\x01\x85\x17\x90\x0d\xef\x1c\xe3\x04\x5f\x0d\xa3\x00"
    b"\x81\x07\x22\x00\x6b\x01\x7c\x08\x91\x09\x29\x03\xca\x19\xd8\x14\xfd\x00\xac\x12\x34\x0f\x2b\x18"
    b"\x90\x0d\x42\x1a\xfb\x1c\xca\x04\xce\x08\xf2\x00\x67\x07\x3b\x00\xc9\x15\x6e\x10\x56\x19\x36\x06"
    b"\xf3\x11\xe9\x15\x18\x06\x39\x0c\x5f\x14\x5a\x18\x0c\x1e\xe6\x0a\x31\x1b\xc4\x0b\xe6\x10\x8b\x1a"
    b"\x43\x17\x83\x1c\x1c\x14\x26\x00\xab\x1e\x68\x0d\xfd\x0b\x0c\x01\x3e\x01\xbd\x08\xc7\x01\x32\x17"
    b"\x63\x1a\xf7\x1f\x3a\x03\x05\x07\x3f\x09\xb3\x1b\x60\x0b\xab\x00\x5d\x0a\x8a\x1d\xb9\x15\x14\x00"
    b"\x9c\x0c\xfc\x0a\x89\x1a\x9c\x1f\xdc\x0a\x77\x04\x12\x05\x39\x08\x77\x18\x5e\x0c\xff\x16\x88\x08"
    b"\x40\x0d\x4a\x1d\x24\x08\x91\x02\xe9\x1c\x9f\x0f\x44\x09\xf6\x00\x3e\x1b\x1a\x19\xef\x1d\x8d\x04"
    b"\x24\x11\xe5\x1e\x61\x1b\x83\x0a\x6e\x1e\x43\x17\x64\x15\x70\x02\x4c\x03\x76\x09\xe1\x0d\xe2\x0b"
    b"\x42\x05\x43\x14\x16\x06\xf8\x00\xef\x0f\xcd\x16\xa7\x03\x03\x1f\x74\x19\x0c\x1e\x19\x0c\x2d\x00"
    b"\x39\x13\x19\x08\x29\x1c\xcb\x02\xda\x0d\x4d\x1e\x11\x15\xf6\x0a\x18\x14\x00\x05\x01\x19\xb2\x00"
    b"\x8d\x0c\xf8\x05\xf6\x07\x36\x12\x78\x1f\x64\x17\x2e\x1c\x73\x11\x27\x12\x9a\x1d\x8c\x18\x9b\x19"
    b"\x9a\x13\x0b\x13\x20\x10\x0b\x19\xd9\x12\xa7\x1a\x21\x1a\xdc\x00\x2d\x0a\xa2\x04\x61\x04\x1f\x07"
    b"\x26\x08\x02\x18\x08\x1e\xb2\x15\xae\x14\x0a\x13\x3b\x0b\x81\x1f\xf2\x1d\xa4\x11\xe2\x01\x38\x0b"
    b"\xe0\x07\x22\x0d\xb7\x0a\x23\x00\xb9\x0f\xa6\x12\x7c\x16\x67\x06\x36\x0a\xed\x01\xbf\x17\x81\x0a"
    b"\x3c\x18\xf7\x15\xa8\x12\xdf\x0a\x3f\x0c\x7c\x0b\x3a\x0e\xb7\x15\x77\x0b\x1a\x11\x2c\x13\x85\x00"
    b"\x33\x19\xee\x1f\x1d\x1a\xfa\x05\xcd\x0c\x21\x0f\xd6\x0d\xc8\x1f\x6e\x17\x13\x04\xdd\x10\x2f\x09"
    b"\xfe\x09\x7a\x02\x7b\x0b\x83\x11\x24\x08\xba\x0a\x1a\x11\xbc\x00\xab\x11\xd3\x1c\x0b\x11\x01\x11"
    b"\x3f\x06\x1d\x03\x08\x04\x12\x16\x91\x0b\x28\x0a\xf4\x06\x52\x08\x2d\x08\xbe\x14\x1b\x19\x6d\x1f"
    b"\xa8\x18\x9f\x15\xbf\x14\x87\x00\xfe\x1f\x48\x18\x25\x1d\x2c\x1a\x8b\x02\x84\x13\x2e\x15\x13\x1a"
    b"\x95\x09\x81\x03\x65\x1b\x01\x1e\xa5\x11\xe9\x1b\xec\x13\x57\x02\x14\x1f\x7c\x1f\xbe\x13\x2a\x00"
    b"\xa2\x13\x02\x0b\x05\x12\x5d\x16\x57\x10\x94\x08\xf6\x0b\xde\x04\xb4\x0c\x6d\x08\x75\x17\x21\x1a"
    b"\x0b\x12\xc6\x06\x8c\x1b\x65\x16\x9b\x07\xe8\x14\xe5\x0d\x4f\x00\x9d\x11\xd0\x18\x09\x0c\xe9\x1c"
    b"\x87\x00\xa1\x0f\x38\x0c\xe1\x04\xe0\x00\x3e\x1b\x23\x19\x56\x1a\xd0\x19\x41\x0e\xbb\x0f\x51\x11"
    b"\x9c\x1b\xb7\x04\xa8\x19\xd5\x00\x81\x02\x6c\x04\xa4\x16\x7c\x08\x72\x1a\x68\x06\x46\x1d\x51\x1b"
    b"\x8c\x01\x97\x03\x2b\x17\x1b\x1f\xb1\x03\xf4\x11\xcb\x13\x67\x0f\x8f\x1d\xd5\x0d\x4f\x14\xe1\x00"
    b"\x42\x18\xdd\x1f\xd1\x19\xd6\x1d\x37\x11\x45\x0d\x04\x02\xac\x0e\x5c\x1f\xce\x13\x26\x12\xf1\x03"
    b"\xf7\x16\xd3\x15\x68\x09\xf8\x1f\xc8\x1b\xb1\x12\x4a\x05\x13\x00\x3c\x18\xf7\x03\xf7\x12\x96\x11"
    b"\x2a\x0a\x13\x01\x4f\x1e\x4b\x1f\xc6\x15\xb5\x0c\xe9\x18\xc9\x0c\xb0\x11\xf5\x15\x53\x1f\xe5\x19"
    b"\xc6\x05\xe7\x16\xd2\x06\x81\x00\xc4\x10\x1a\x1a\x60\x0e\x7b\x0a\x4d\x04\xda\x02\xd4\x17\xb4\x00"
    b"\x93\x09\x49\x1c\xcb\x1f\x93\x12\x25\x0a\x7d\x11\xec\x13\xac\x0f\x65\x04\x38\x05\x5a\x0e\xd3\x00"
)
_ALL_PLUS = (1 << 256) - 1
_HALF = (ORDER + 1) // 2


def base_multiply_steps(registers: "array[int]", scalar: int) -> "Generator[None, None, None]":
    """`scalar` (secret, below ORDER) times the base point, in the same steps whatever it is.

    scalar = sum of ±2^i for i = 0 … 255 (mod ORDER): the signs are the bits of (scalar + 2^256 - 1) / 2. So
    every column of the comb adds or subtracts exactly one entry (Hedabou, Pinel and Beneteau 2005).
    """
    double = _DOUBLE + _WITH_T
    signs = ((scalar + _ALL_PLUS) * _HALF % ORDER).to_bytes(32, "little")
    _begin(registers)
    for column in range(63, -1, -1):
        at = column >> 3
        shift = column & 7
        negative = (signs[at + 24] >> shift & 1) ^ 1
        t0 = signs[at] >> shift & 1
        t1 = signs[at + 8] >> shift & 1
        t2 = signs[at + 16] >> shift & 1
        calculate(registers, double)
        choose_entry(registers, _COMB, (t2 << 2 | t1 << 1 | t0) ^ (7 * negative))
        registers[FLAG] = negative
        calculate(registers, _ADD_CHOSEN)
        if not column & 3:
            yield


def multiply_steps(registers: "array[int]", scalar: int) -> "Generator[None, None, None]":
    """`scalar` times the point, both public: the time tells them. Signed windows of 4 bits."""
    double = _DOUBLE + b"\x00"
    double_with_t = _DOUBLE + _WITH_T
    keep_point(registers, _ODD)
    calculate(registers, double_with_t)
    keep_point(registers, LAST)
    add_point(registers, _ODD)
    for at in range(_ODD + 4, _ODD + 16, 4):
        keep_point(registers, at)
        if at < _ODD + 12:
            add_point(registers, LAST)
    yield
    digits = _signed_windows(scalar.to_bytes(32, "little"))
    yield
    _begin(registers)
    for i in range(len(digits) - 1, -1, -1):
        digit = digits[i]
        if digit == 128:
            calculate(registers, double_with_t if i == 0 else double)
        else:
            calculate(registers, double_with_t)
            if digit > 128:
                add_point(registers, _ODD + (digit - 129) * 2)
            else:
                add_point(registers, _ODD + (127 - digit) * 2, True)
        if not i & 7:
            yield


def _signed_windows(scalar: bytes) -> bytearray:
    """The width-4 non-adjacent form, least digit first, each plus 128: digits are 0 or odd, -7 to 7."""
    digits = bytearray(b"\x80" * (8 * len(scalar) + 4))
    bits = 8 * len(scalar)
    carry = i = 0
    while i < bits or carry:
        window = carry
        for j in range(i, min(i + 4, bits)):
            window += (scalar[j >> 3] >> (j & 7) & 1) << (j - i)
        if window & 1:
            carry = window >> 3
            digits[i] = 128 + window - 16 * carry
            i += 4
        else:
            i += 1
    return digits


def _begin(registers: "array[int]") -> None:
    """The neutral point: x = 0, y = 1."""
    for i in range(X * LIMBS, X * LIMBS + 4 * LIMBS):
        registers[i] = 0
    registers[Y * LIMBS] = registers[Z * LIMBS] = 1


def keep_point(registers: "array[int]", at: int) -> None:
    """The point into registers `at` and the three after it, for `add_point`; changes register 4."""
    load_register(registers, 4, _2D)
    program = (4, at, 8, 7, 5, at + 1, 8, 7, 1, at + 2, 10, 4, 4, at + 3, 9, 9, 0)
    calculate(registers, bytes(program))


def add_point(registers: "array[int]", at: int, negative: bool = False) -> None:
    """Add the kept point to the point, or with `negative` subtract it."""
    plus, minus = (at + 1, at) if negative else (at, at + 1)
    program = (5, 11, 8, 7, 1, 11, 11, minus, 4, 12, 8, 7, 1, 12, 12, plus, 1, 13, 10, at + 2)
    signed = (5 if negative else 4, 13, 19, 13, 1, 14, 9, at + 3)
    calculate(registers, bytes(program + signed) + _SUM)


def negate_point(registers: "array[int]") -> None:
    """The point's negative."""
    calculate(registers, _NEGATE)


def encode_steps(registers: "array[int]") -> "Generator[None, None, bytes]":
    """The 32-byte encoding: y little-endian, the top bit is x's lowest. RFC 8032 §5.1.2."""
    yield from invert_steps(registers)
    calculate(registers, _TO_AFFINE)
    encoded = register_bytes(registers, Y)
    encoded[31] |= (register_bytes(registers, X)[0] & 1) << 7
    return bytes(encoded)


def decode_steps(registers: "array[int]", encoded: bytes) -> "Generator[None, None, bool]":
    """The (public) point of a 32-byte encoding; False unless canonical and on the curve. RFC 8032 §5.1.3."""
    sign = encoded[31] >> 7
    y = encoded[:31] + bytes((encoded[31] & 127,))
    load_register(registers, Y, y)
    if bytes(register_bytes(registers, Y)) != y:
        return False
    load_register(registers, 4, _D)
    load_register(registers, 5, b"\x01" + bytes(31))
    calculate(registers, _BEFORE_ROOT)
    yield from root_power_steps(registers)
    calculate(registers, _AFTER_ROOT)
    if not any(register_bytes(registers, 14)):
        load_register(registers, 4, _SQRT_M1)
        calculate(registers, _TIMES_4)
    elif any(register_bytes(registers, 13)):
        return False
    x = register_bytes(registers, X)
    if sign and not any(x):
        return False
    calculate(registers, _KEEP_X if x[0] & 1 == sign else _NEGATE_X)
    calculate(registers, _COMPLETE)
    return True
