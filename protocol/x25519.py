"""X25519 (RFC 7748) in limbs, in slices: the Montgomery ladder.

No branch and no index depends on the secret; see field25519.py for what that is worth.
"""

from protocol.errors import LocalError, SealError
from protocol.field25519 import (
    FLAG,
    LIMBS,
    calculate,
    give_back,
    invert_steps,
    load_register,
    new_registers,
    register_bytes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Generator

KEY_BYTES = 32
# Registers of the ladder: 4 u; 7 x2, 9 z2, 8 x3, 10 z3; 11 to 16 what RFC 7748 §5 calls A, B, C, D, E.
_U = 4
_REGISTERS = 20
_BEGIN = b"\x06\x04\x04\x13\x04\x08\x04\x13\x00"  # u is carried, and x3 = u
_LADDER = (
    b"\x03\x07\x08\x00\x03\x09\x0a\x00"  # x2 and x3, z2 and z3 change places where the flag is set
    b"\x04\x0b\x07\x09\x05\x0c\x07\x09\x04\x0d\x08\x0a\x05\x0e\x08\x0a"  # A, B = x2 ± z2, C, D = x3 ± z3
    b"\x01\x0e\x0e\x0b\x01\x0d\x0d\x0c"  # DA, CB
    b"\x04\x08\x0e\x0d\x02\x08\x08\x01"  # x3 = (DA + CB)^2
    b"\x05\x0a\x0e\x0d\x02\x0a\x0a\x01\x01\x0a\x0a\x04"  # z3 = u (DA - CB)^2
    b"\x02\x0b\x0b\x01\x02\x0c\x0c\x01\x01\x07\x0b\x0c"  # x2 = AA BB
    b"\x05\x0f\x0b\x0c\x08\x10\x0b\x0f\x01\x09\x0f\x10\x00"  # E = AA - BB, z2 = E (AA + 121665 E)
)
_QUOTIENT = b"\x01\x07\x07\x0b\x00"
_SUM_AND_DIFFERENCE = b"\x04\x07\x09\x08\x05\x09\x09\x08\x00"


def public_steps(sk: bytes) -> "Generator[None, None, bytes]":
    """The public key of the secret `sk` (any 32 bytes), 32 bytes. RFC 7748 §6.1.

    Computed on the Edwards form of the curve, where the base point has a table: u = (Z + Y) / (Z - Y) (RFC
    7748 §4.1).
    """
    # The ladder does without it.
    from protocol import edwards25519 as edwards

    scalar = int.from_bytes(_clamped(sk), "little") % edwards.ORDER
    registers = new_registers(edwards.BASE_REGISTERS)
    try:
        yield from edwards.base_multiply_steps(registers, scalar)
        calculate(registers, _SUM_AND_DIFFERENCE)
        return (yield from _quotient_steps(registers))
    finally:
        give_back(registers)


def shared_steps(sk: bytes, pk: bytes) -> "Generator[None, None, bytes]":
    """The shared secret of `sk` and the other's public key, 32 bytes. RFC 7748 §5 and §6.1.

    Raises SealError (bad_key) when the public key has not 32 bytes or the result is all zeros: a key of small
    order.
    """
    if len(pk) != KEY_BYTES:
        raise SealError("an X25519 public key of %d bytes" % len(pk), cause="bad_key")
    k = _clamped(sk)
    registers = new_registers(_REGISTERS)
    try:
        load_register(registers, _U, pk[:31] + bytes((pk[31] & 127,)))
        yield from _ladder_steps(registers, k)
        shared = yield from _quotient_steps(registers)
    finally:
        give_back(registers)
    seen = 0
    for byte in shared:
        seen |= byte
    if not seen:
        raise SealError("an X25519 public key that gives no secret", cause="bad_key")
    return shared


def _clamped(sk: bytes) -> bytes:
    """decodeScalar25519 of RFC 7748 §5, as bytes."""
    if len(sk) != KEY_BYTES:
        raise LocalError("an X25519 secret key of %d bytes" % len(sk))
    return bytes((sk[0] & 248,)) + sk[1:31] + bytes((sk[31] & 127 | 64,))


def _ladder_steps(registers: "array[int]", k: bytes) -> "Generator[None, None, None]":
    """x2 and z2 of k times the point at u; k little-endian. RFC 7748 §5; yields every 8 bits. The lowest bit
    of k is 0, so nothing changes places at the end.
    """
    calculate(registers, _BEGIN)
    registers[7 * LIMBS] = registers[10 * LIMBS] = 1
    last = 0
    for i in range(31, -1, -1):
        byte = k[i]
        for shift in range(7, -1, -1):
            bit = byte >> shift & 1
            registers[FLAG] = bit ^ last
            last = bit
            calculate(registers, _LADDER)
        yield


def _quotient_steps(registers: "array[int]") -> "Generator[None, None, bytes]":
    """Register 7 divided by register 9."""
    yield from invert_steps(registers)
    calculate(registers, _QUOTIENT)
    return bytes(register_bytes(registers, 7))
