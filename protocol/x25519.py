"""X25519 (RFC 7748) in pure integers, in slices: the Montgomery ladder.

No branch and no index depends on the secret; see field25519.py for what that is worth with big integers.
"""

from protocol import edwards25519 as edwards
from protocol.errors import LocalError, SealError
from protocol.field25519 import LIFT, LIFT_FOLDED, MASK, TOP, P, invert_steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

KEY_BYTES = 32
_A24 = 121665
_TWO_TOPS = TOP << 1


def public_steps(sk: bytes) -> "Generator[None, None, bytes]":
    """The public key of the secret `sk` (any 32 bytes), 32 bytes. RFC 7748 §6.1.

    Computed on the Edwards form of the curve, where the base point has a table: u = (Z + Y) / (Z - Y) (RFC
    7748 §4.1).
    """
    scalar = int.from_bytes(_clamped(sk), "little") % edwards.ORDER
    _, y, z, _ = yield from edwards.base_multiply_steps(scalar)
    inverse = yield from invert_steps(z - y + LIFT)
    return ((z + y) * inverse % P).to_bytes(32, "little")


def shared_steps(sk: bytes, pk: bytes) -> "Generator[None, None, bytes]":
    """The shared secret of `sk` and the other's public key, 32 bytes. RFC 7748 §5 and §6.1.

    Raises SealError (bad_key) when the public key has not 32 bytes or the result is all zeros: a key of small
    order.
    """
    if len(pk) != KEY_BYTES:
        raise SealError("an X25519 public key of %d bytes" % len(pk), cause="bad_key")
    u = (int.from_bytes(pk, "little") & ((1 << 255) - 1)) % P
    x, z = yield from _ladder_steps(_clamped(sk), u)
    inverse = yield from invert_steps(z)
    shared = x * inverse % P
    if not shared:
        raise SealError("an X25519 public key that gives no secret", cause="bad_key")
    return shared.to_bytes(32, "little")


def _clamped(sk: bytes) -> bytes:
    """decodeScalar25519 of RFC 7748 §5, as bytes."""
    if len(sk) != KEY_BYTES:
        raise LocalError("an X25519 secret key of %d bytes" % len(sk))
    return bytes((sk[0] & 248,)) + sk[1:31] + bytes((sk[31] & 127 | 64,))


def _ladder_steps(k: bytes, u: int) -> "Generator[None, None, tuple[int, int]]":
    """(x, z) of k times the point at u, loosely reduced; k little-endian. RFC 7748 §5; yields every 4 bits.

    The swap leaves TOP set in both numbers of a pair: in a difference it cancels, from a sum two TOPs are
    taken.
    """
    m = MASK
    top = TOP
    lift = LIFT
    lift_folded = LIFT_FOLDED
    two_tops = _TWO_TOPS
    a24 = _A24
    x2 = 1
    z2 = 0
    x3 = u
    z3 = 1
    last = 0
    for i in range(31, -1, -1):
        byte = k[i]
        for shift in range(7, -1, -1):
            bit = (byte >> shift) & 1
            swap = bit ^ last
            last = bit
            mask = (top << swap) - swap
            t = ((x2 ^ x3) | top) & mask
            x2 ^= t
            x3 ^= t
            t = ((z2 ^ z3) | top) & mask
            z2 ^= t
            z3 ^= t

            a = x2 + z2 - two_tops
            b = x2 - z2 + lift
            t = (x3 - z3 + lift) * a
            da = (t & m) + 38 * (t >> 256)
            t = (x3 + z3 - two_tops) * b
            cb = (t & m) + 38 * (t >> 256)
            t = a * a
            aa = (t & m) + 38 * (t >> 256)
            t = b * b
            bb = (t & m) + 38 * (t >> 256)
            t = da + cb
            t *= t
            t = (t & m) + 38 * (t >> 256)
            x3 = (t & m) + 38 * (t >> 256)
            t = da - cb + lift_folded
            t *= t
            t = u * ((t & m) + 38 * (t >> 256))
            t = (t & m) + 38 * (t >> 256)
            z3 = (t & m) + 38 * (t >> 256)
            t = aa * bb
            t = (t & m) + 38 * (t >> 256)
            x2 = (t & m) + 38 * (t >> 256)
            e = aa - bb + lift_folded
            t = e * (aa + a24 * e)
            t = (t & m) + 38 * (t >> 256)
            z2 = (t & m) + 38 * (t >> 256)
            if not shift & 3:
                yield
    return x2, z2
