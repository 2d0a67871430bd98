"""Ed25519 (RFC 8032 §5.1) in limbs, in slices.

Signing takes no branch and no index from a secret; see field25519.py for what that is worth. Verification is
of public things and takes what time it likes. It is strict: a public key or R that is not canonically
encoded, S not below the group's order, and public keys of small order (for which a signature proves nothing)
are refused; the equation is the one without the cofactor.
"""

from protocol import edwards25519 as edwards
from protocol.edwards25519 import ORDER
from protocol.errors import LocalError
from protocol.field25519 import P, give_back, new_registers
from protocol.sha512 import sha512_steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

KEY_BYTES = 32
SIGNATURE_BYTES = 64
# The y of the eight points of small order: 1 (order 1), p - 1 (2), 0 (4) and ± this (8).
_ORDER_8_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER_Y = (0, 1, P - 1, _ORDER_8_Y, P - _ORDER_8_Y)


def acceptable_public(pub: bytes) -> bool:
    """Whether `pub` is 32 bytes, canonical, and not of small order. It may still be off the curve."""
    if len(pub) != KEY_BYTES:
        return False
    y = int.from_bytes(pub, "little") & ((1 << 255) - 1)
    return y < P and y not in _SMALL_ORDER_Y


def public_steps(seed: bytes) -> "Generator[None, None, bytes]":
    """The public key of a 32-byte seed. RFC 8032 §5.1.5."""
    scalar, _ = yield from _expand_steps(seed)
    registers = new_registers(edwards.BASE_REGISTERS)
    try:
        yield from edwards.base_multiply_steps(registers, scalar)
        return (yield from edwards.encode_steps(registers))
    finally:
        give_back(registers)


def sign_steps(seed: bytes, pub: bytes, msg: bytes) -> "Generator[None, None, bytes]":
    """The 64-byte signature of `msg`. RFC 8032 §5.1.6.

    `pub` must be the public key of `seed`: signatures of one message under two public keys give the secret
    away.
    """
    if len(pub) != KEY_BYTES:
        raise LocalError("an Ed25519 public key of %d bytes" % len(pub))
    scalar, prefix = yield from _expand_steps(seed)
    digest = yield from sha512_steps(prefix, msg)
    r = int.from_bytes(digest, "little") % ORDER
    registers = new_registers(edwards.BASE_REGISTERS)
    try:
        yield from edwards.base_multiply_steps(registers, r)
        encoded = yield from edwards.encode_steps(registers)
    finally:
        give_back(registers)
    digest = yield from sha512_steps(encoded, pub, msg)
    s = (int.from_bytes(digest, "little") % ORDER * scalar + r) % ORDER
    return encoded + s.to_bytes(32, "little")


def verify_steps(pub: bytes, msg: bytes, sig: bytes) -> "Generator[None, None, bool]":
    """Whether `sig` is `pub`'s signature of `msg`. RFC 8032 §5.1.7: encode(S B - k A) = R."""
    if len(sig) != SIGNATURE_BYTES or not acceptable_public(pub):
        return False
    s = int.from_bytes(sig[32:], "little")
    if s >= ORDER:
        return False
    # Before the registers are taken: a hash wants some, too.
    digest = yield from sha512_steps(sig[:32], pub, msg)
    registers = new_registers(edwards.REGISTERS)
    try:
        if not (yield from edwards.decode_steps(registers, pub)):
            return False
        edwards.negate_point(registers)
        yield from edwards.multiply_steps(registers, int.from_bytes(digest, "little") % ORDER)
        edwards.keep_point(registers, edwards.LAST)
        yield from edwards.base_multiply_steps(registers, s)
        edwards.add_point(registers, edwards.LAST)
        encoded = yield from edwards.encode_steps(registers)
    finally:
        give_back(registers)
    return encoded == sig[:32]


def _expand_steps(seed: bytes) -> "Generator[None, None, tuple[int, bytes]]":
    """(secret scalar modulo the order, prefix) of a seed. RFC 8032 §5.1.5, steps 1-2."""
    if len(seed) != KEY_BYTES:
        raise LocalError("an Ed25519 seed of %d bytes" % len(seed))
    digest = yield from sha512_steps(seed)
    low = bytes((digest[0] & 248,)) + digest[1:31] + bytes((digest[31] & 63 | 64,))
    return int.from_bytes(low, "little") % ORDER, digest[32:]
