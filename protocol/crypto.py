"""The one small interface to cryptography: the same functions on both interpreters.

On CPython they are `cryptography` and `pyhpke`; on MicroPython, hashlib, cryptolib and limbs (limbs.py).

A slow public-key operation is a generator function named `*_steps`: it yields, often, so that a caller with
other work can do it in between, and returns its result (`r = yield from x25519_steps(sk, pk)`). `run` drives
one to its end. On CPython such a generator yields nothing.

Keys, hashes, nonces and messages are `bytes`. A seal that does not open, and a public key or shared secret
that must not be used, raise `SealError`.
"""

import sys

if sys.implementation.name == "micropython":
    from protocol.backend_micropython import (
        ccm_open,
        ccm_seal,
        ed25519_public_steps,
        ed25519_sign_steps,
        ed25519_verify_steps,
        hkdf,
        hmac_sha256,
        hpke_auth_receive_steps,
        hpke_auth_send_steps,
        hpke_export,
        sha256,
        x25519_public_steps,
        x25519_steps,
    )
else:
    from protocol.backend_cpython import (
        ccm_open,
        ccm_seal,
        ed25519_public_steps,
        ed25519_sign_steps,
        ed25519_verify_steps,
        hkdf,
        hmac_sha256,
        hpke_auth_receive_steps,
        hpke_auth_send_steps,
        hpke_export,
        sha256,
        x25519_public_steps,
        x25519_steps,
    )

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TypeVar

    T = TypeVar("T")

__all__ = (
    "ccm_open",
    "ccm_seal",
    "ed25519_public_steps",
    "ed25519_sign_steps",
    "ed25519_verify_steps",
    "equal",
    "hkdf",
    "hmac_sha256",
    "hpke_auth_receive_steps",
    "hpke_auth_send_steps",
    "hpke_export",
    "run",
    "sha256",
    "x25519_public_steps",
    "x25519_steps",
)


def run(steps: "Generator[None, None, T]") -> "T":
    """Drive `steps` to its end without pausing; its result."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def equal(a: bytes, b: bytes) -> bool:
    """Whether `a` and `b` are the same bytes, in a time that depends on their length only."""
    if len(a) != len(b):
        return False
    different = 0
    for i in range(len(a)):
        different |= a[i] ^ b[i]
    return different == 0
