"""The pure code goes the same way whatever the secret: every instruction of the interpreter, in order.

That is what Python code can keep to. The limbs' own code is native on a node: that this goes the same way,
too, is shown in tests/both/test_limbs.py. What is left to big integers is in docs/threat-model.md.
"""

import hashlib
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from protocol import ccm, crypto, ed25519, edwards25519, field25519, hkdf, sha512, x25519
from protocol.crypto import run
from protocol.errors import SealError

WATCHED = {
    module.__file__ for module in (ccm, crypto, ed25519, edwards25519, field25519, hkdf, sha512, x25519)
}
SECRETS = [
    bytes(32),
    b"\xff" * 32,
    bytes(31) + b"\x40",
    b"\x01" + bytes(31),
    bytes(range(32)),
    hashlib.sha256(b"one").digest(),
    hashlib.sha256(b"two").digest(),
]


def way(action: "Callable[[], Any]") -> str:
    """A digest of every instruction that the watched modules execute."""
    digest = hashlib.sha256()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in WATCHED:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            digest.update(b"%d %d." % (frame.f_code.co_firstlineno, frame.f_lasti))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return digest.hexdigest()


def same(make: "Callable[[bytes], Callable[[], Any]]", secrets: "list[bytes]" = SECRETS) -> bool:
    """Whether all secrets go the same way."""
    return len({way(make(secret)) for secret in secrets}) == 1


PEER = run(x25519.public_steps(bytes(range(7, 39))))


def test_x25519() -> None:
    assert same(lambda secret: lambda: run(x25519.shared_steps(secret, PEER)))
    assert same(lambda secret: lambda: run(x25519.public_steps(secret)))


def test_ed25519_signing() -> None:
    pub = bytes(range(32))
    assert same(lambda secret: lambda: run(ed25519.sign_steps(secret, pub, b"72 a minute")))
    assert same(lambda secret: lambda: run(ed25519.public_steps(secret)))


def test_base_point_multiples_at_the_ends_of_the_range() -> None:
    order = edwards25519.ORDER
    scalars = [n.to_bytes(32, "big") for n in (0, 1, 2, order - 1, order // 2, 1 << 251)]

    def multiply(scalar: bytes) -> "Callable[[], Any]":
        registers = field25519.new_registers(edwards25519.BASE_REGISTERS)
        return lambda: run(edwards25519.base_multiply_steps(registers, int.from_bytes(scalar, "big")))

    assert same(multiply, scalars)


def test_hashes_and_keys_made_from_them() -> None:
    assert same(lambda secret: lambda: hkdf.hmac_sha256(secret, b"message"))
    assert same(lambda secret: lambda: hkdf.hkdf(secret, b"salt", b"info", 45))
    assert same(lambda secret: lambda: run(sha512.sha512_steps(secret, b"message")))


def test_comparisons() -> None:
    text = bytes(range(16))
    others = [bytes(at) + b"\x80" + bytes(15 - at) for at in range(16)]
    changed = [bytes(a ^ b for a, b in zip(text, other, strict=True)) for other in others]
    assert same(lambda other: lambda: crypto.equal(text, other), [*changed, text, bytes(16), b"\xff" * 16])


def test_a_wrong_tag_is_found_after_as_long_wherever_it_is_wrong() -> None:
    pure = ccm.Ccm(lambda key, blocks: None, lambda key, blocks: None)
    sealed = pure.seal(bytes(16), bytes(13), b"aad", b"plaintext", 8)

    def opened(at: bytes) -> "Callable[[], Any]":
        wrong = bytearray(sealed)
        wrong[len(sealed) - 8 + at[0]] ^= 1 << at[0]

        def attempt() -> None:
            with pytest.raises(SealError):
                pure.open(bytes(16), bytes(13), b"aad", bytes(wrong), 8)

        return attempt

    assert same(opened, [bytes((n,)) for n in range(8)])


def test_the_check_can_fail() -> None:
    """Verification is of public things, and does not keep to it."""
    registers = field25519.new_registers(edwards25519.REGISTERS)
    y = 4 * pow(5, -1, field25519.P) % field25519.P
    assert run(edwards25519.decode_steps(registers, y.to_bytes(32, "little")))
    scalars = [bytes(31) + b"\x05", b"\x0f" * 32]
    assert not same(
        lambda scalar: lambda: run(edwards25519.multiply_steps(registers, int.from_bytes(scalar, "big"))),
        scalars,
    )
