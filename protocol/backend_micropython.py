"""What `protocol.crypto` offers, on MicroPython: hashlib, cryptolib, and pure integers for the curves."""

from hashlib import sha256 as _sha256

import cryptolib

from protocol import ccm, ed25519, hpke, x25519
from protocol import hkdf as _hkdf

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
x25519_public_steps = x25519.public_steps
x25519_steps = x25519.shared_steps
ed25519_public_steps = ed25519.public_steps
ed25519_sign_steps = ed25519.sign_steps
ed25519_verify_steps = ed25519.verify_steps
hpke_auth_send_steps = hpke.auth_send_steps
hpke_auth_receive_steps = hpke.auth_receive_steps
hpke_export = hpke.export


def sha256(data: bytes) -> bytes:
    """SHA-256 of `data`, 32 bytes. FIPS 180-4."""
    return _sha256(data).digest()
