"""The field of integers modulo p = 2^255 - 19, as big integers kept just short enough.

A number is held *loosely* reduced, below 2^256 + 2^49 but not necessarily below p. A product is folded with
2^256 = 38 (mod p): `t = (t & MASK) + 38 * (t >> 256)`; one fold of a product of numbers below 2^258 leaves
less than 2^266, a second leaves a loosely reduced number. Differences are kept positive by adding a multiple
of p that is larger than what is subtracted: `LIFT` for loosely reduced numbers, `LIFT_FOLDED` for products
folded once. The hot loops of x25519.py and edwards25519.py write this out in place: in bytecode a call would
cost more than the sum.

What constant time means here. No branch and no index depends on a secret, in the ladder, in fixed-base
multiplication and in signing; secrets are selected with masks whose length does not tell which was taken. But
the big integers of an interpreter are not constant-time machines: an intermediate result that happens to
begin with 16 (MicroPython) or 30 (CPython) zero bits takes a little less time, the last reduction modulo p or
modulo the group's order is an ordinary division, and the garbage collector runs when it likes. That is one
chance in 2^16 an operation, of values that an attacker cannot choose well.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

P = (1 << 255) - 19
MASK = (1 << 256) - 1
LIFT = P << 2
LIFT_FOLDED = P << 11
# One bit above every loosely reduced number. (TOP << s) - s is TOP for s = 0 and TOP + all the ones below for
# s = 1: a selection mask whose length does not depend on s.
TOP = 1 << 264


def invert_steps(z: int) -> "Generator[None, None, int]":
    """1/z, fully reduced; 0 for 0. By z^(p-2), in slices."""
    z11, t = yield from _power_steps(z)
    t = _square(t, 5)
    return t * z11 % P


def root_power_steps(z: int) -> "Generator[None, None, int]":
    """z^((p-5)/8), fully reduced: the power that square roots are made of (RFC 8032 §5.1.3). In slices."""
    _, t = yield from _power_steps(z)
    return _square(t, 2) * z % P


def _power_steps(z: int) -> "Generator[None, None, tuple[int, int]]":
    """(z^11, z^(2^250 - 1)), fully reduced."""
    z2 = z * z % P
    z9 = _square(z2, 2) * z % P
    z11 = z9 * z2 % P
    x5 = z11 * z11 % P * z9 % P
    x10 = _square(x5, 5) * x5 % P
    x20 = _square(x10, 10) * x10 % P
    x40 = _square(x20, 20) * x20 % P
    x50 = _square(x40, 10) * x10 % P
    yield
    x100 = _square(x50, 50) * x50 % P
    yield
    t = _square(x100, 50)
    yield
    t = _square(t, 50)
    yield
    return z11, _square(t * x100 % P, 50) * x50 % P


def _square(t: int, times: int) -> int:
    """t^(2^times), loosely reduced."""
    m = MASK
    for _ in range(times):
        t *= t
        t = (t & m) + 38 * (t >> 256)
        t = (t & m) + 38 * (t >> 256)
    return t
