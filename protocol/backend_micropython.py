"""What `protocol.crypto` offers, on MicroPython: hashlib, cryptolib, and limbs for the curves,
which are loaded when they are wanted (on_demand.py).
"""

from hashlib import sha256 as _sha256

import cryptolib

from protocol import ccm, on_demand
from protocol import hkdf as _hkdf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

try:
    # Compiled now, while the heap is whole, and kept: an ESP32 gets executable memory back at a reset only.
    from protocol import limbs_fast  # noqa: F401  # pyright: ignore[reportUnusedImport]
except (SyntaxError, ImportError, MemoryError):  # no native emitter, no such file, no executable memory
    on_demand.refused.append("limbs_fast")

_ECB = 1
_CBC = 2
_ZERO_IV = bytes(16)


def _aes_cbc(key: bytes, blocks: bytearray) -> None:
    cryptolib.aes(key, _CBC, _ZERO_IV).encrypt(blocks, blocks)  # pyright: ignore[reportUnknownMemberType]


def _aes_ecb(key: bytes, blocks: bytearray) -> None:
    cryptolib.aes(key, _ECB).encrypt(blocks, blocks)  # pyright: ignore[reportUnknownMemberType]


_ccm = ccm.Ccm(_aes_cbc, _aes_ecb)

ccm_seal = _ccm.seal
ccm_open = _ccm.open
hmac_sha256 = _hkdf.hmac_sha256
hkdf = _hkdf.hkdf


def sha256(data: bytes) -> bytes:
    """SHA-256 of `data`, 32 bytes. FIPS 180-4."""
    return _sha256(data).digest()


def x25519_public_steps(sk: bytes) -> "Generator[None, None, bytes]":
    """x25519.public_steps."""
    from protocol import x25519

    return x25519.public_steps(sk)


def x25519_steps(sk: bytes, pk: bytes) -> "Generator[None, None, bytes]":
    """x25519.shared_steps."""
    from protocol import x25519

    return x25519.shared_steps(sk, pk)


def ed25519_public_steps(seed: bytes) -> "Generator[None, None, bytes]":
    """ed25519.public_steps."""
    from protocol import ed25519

    return ed25519.public_steps(seed)


def ed25519_sign_steps(seed: bytes, pub: bytes, msg: bytes) -> "Generator[None, None, bytes]":
    """ed25519.sign_steps."""
    from protocol import ed25519

    return ed25519.sign_steps(seed, pub, msg)


def ed25519_verify_steps(pub: bytes, msg: bytes, sig: bytes) -> "Generator[None, None, bool]":
    """ed25519.verify_steps."""
    from protocol import ed25519

    return ed25519.verify_steps(pub, msg, sig)


def hpke_auth_send_steps(
    recipient_pk: bytes, info: bytes, sender_sk: bytes, sender_pk: bytes, eph_sk: bytes
) -> "Generator[None, None, tuple[bytes, bytes]]":
    """hpke.auth_send_steps."""
    from protocol import hpke

    return hpke.auth_send_steps(recipient_pk, info, sender_sk, sender_pk, eph_sk)


def hpke_auth_receive_steps(
    enc: bytes, recipient_sk: bytes, recipient_pk: bytes, info: bytes, sender_pk: bytes
) -> "Generator[None, None, bytes]":
    """hpke.auth_receive_steps."""
    from protocol import hpke

    return hpke.auth_receive_steps(enc, recipient_sk, recipient_pk, info, sender_pk)


def hpke_export(ctx: bytes, exporter_context: bytes, n: int) -> bytes:
    """hpke.export."""
    from protocol import hpke

    return hpke.export(ctx, exporter_context, n)
