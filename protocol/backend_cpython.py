"""What `protocol.crypto` offers, on CPython: `cryptography` and `pyhpke`. Nothing here needs to yield.

The curve functions refuse exactly what the pure ones refuse (see `ed25519.acceptable_public`), so that both
ends agree on every input.
"""

import hashlib
import hmac
from collections.abc import Generator

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pyhpke import AEADId, CipherSuite, ContextInterface, KDFId, KEMId, KEMKey, KEMKeyInterface, KEMKeyPair

from protocol.ccm import MAX_MESSAGE, NONCE_BYTES
from protocol.ed25519 import SIGNATURE_BYTES, acceptable_public
from protocol.errors import LocalError, SealError
from protocol.x25519 import KEY_BYTES

_SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.EXPORT_ONLY)


def sha256(data: bytes) -> bytes:
    """SHA-256 of `data`, 32 bytes. FIPS 180-4."""
    return hashlib.sha256(data).digest()


def hmac_sha256(key: bytes, msg: bytes) -> bytes:
    """HMAC-SHA256 of `msg`, 32 bytes. RFC 2104."""
    return hmac.digest(key, msg, "sha256")


def hkdf(ikm: bytes, salt: bytes, info: bytes, n: int) -> bytes:
    """`n` bytes of key material. HKDF-SHA256, RFC 5869 §2."""
    return HKDF(SHA256(), n, salt, info).derive(ikm)


def ccm_seal(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes, tag_len: int) -> bytes:
    """Ciphertext, then the tag of `tag_len` bytes. AES-CCM, RFC 3610, 13-byte nonce."""
    if len(nonce) != NONCE_BYTES:
        raise LocalError(f"a CCM nonce of {len(nonce)} bytes; it must have {NONCE_BYTES}")
    if len(plaintext) > MAX_MESSAGE:
        raise LocalError(f"a CCM message of {len(plaintext)} bytes; the limit is {MAX_MESSAGE}")
    try:
        return AESCCM(key, tag_len).encrypt(nonce, plaintext, aad)
    except ValueError as error:
        raise LocalError(str(error)) from error


def ccm_open(key: bytes, nonce: bytes, aad: bytes, sealed: bytes, tag_len: int) -> bytes:
    """The plaintext; SealError when the tag does not match. AES-CCM, RFC 3610, 13-byte nonce."""
    if len(nonce) != NONCE_BYTES:
        raise LocalError(f"a CCM nonce of {len(nonce)} bytes; it must have {NONCE_BYTES}")
    if not tag_len <= len(sealed) <= MAX_MESSAGE + tag_len:
        raise SealError(f"a sealed message of {len(sealed)} bytes")
    try:
        return AESCCM(key, tag_len).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise SealError("the tag does not match") from None
    except ValueError as error:
        raise LocalError(str(error)) from error


def x25519_public_steps(sk: bytes) -> Generator[None, None, bytes]:
    """The public key of the secret `sk`, 32 bytes each. RFC 7748 §5."""
    yield from ()
    return _x_private(sk).public_key().public_bytes_raw()


def x25519_steps(sk: bytes, pk: bytes) -> Generator[None, None, bytes]:
    """The shared secret, 32 bytes; SealError (bad_key) when it is all zeros. RFC 7748 §6.1."""
    yield from ()
    try:
        return _x_private(sk).exchange(_x_public(pk))
    except ValueError as error:
        raise _bad_key() from error


def ed25519_public_steps(seed: bytes) -> Generator[None, None, bytes]:
    """The public key of the 32-byte `seed`. RFC 8032 §5.1.5."""
    yield from ()
    return _ed_private(seed).public_key().public_bytes_raw()


def ed25519_sign_steps(seed: bytes, pub: bytes, msg: bytes) -> Generator[None, None, bytes]:
    """The 64-byte signature of `msg`; `pub` must be the public key of `seed`. RFC 8032 §5.1.6."""
    yield from ()
    return _ed_private(seed).sign(msg)


def ed25519_verify_steps(pub: bytes, msg: bytes, sig: bytes) -> Generator[None, None, bool]:
    """Whether `sig` is `pub`'s signature of `msg`. RFC 8032 §5.1.7 without the cofactor, strict encodings."""
    yield from ()
    if len(sig) != SIGNATURE_BYTES or not acceptable_public(pub):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(pub).verify(sig, msg)
    except InvalidSignature:
        return False
    return True


def hpke_auth_send_steps(
    recipient_pk: bytes, info: bytes, sender_sk: bytes, sender_pk: bytes, eph_sk: bytes
) -> Generator[None, None, tuple[bytes, ContextInterface]]:
    """Encapsulated key (32 bytes) and context of an HPKE Auth sender, export-only. RFC 9180 §5.1.3.

    `eph_sk` is 32 fresh random bytes; `sender_pk` must be the public key of `sender_sk`.
    """
    yield from ()
    eph = _x_private(eph_sk)
    pair = KEMKeyPair(_kem_key(eph), _kem_key(eph.public_key()))
    try:
        return _SUITE.create_sender_context(
            _kem_key(_x_public(recipient_pk)), info, _kem_key(_x_private(sender_sk)), eks=pair
        )
    except ValueError as error:
        raise _bad_key() from error


def hpke_auth_receive_steps(
    enc: bytes, recipient_sk: bytes, recipient_pk: bytes, info: bytes, sender_pk: bytes
) -> Generator[None, None, ContextInterface]:
    """Context of an HPKE Auth recipient, export-only. RFC 9180 §5.1.3; `recipient_pk` is `recipient_sk`'s."""
    yield from ()
    try:
        _x_public(enc)
        return _SUITE.create_recipient_context(
            enc, _kem_key(_x_private(recipient_sk)), info, _kem_key(_x_public(sender_pk))
        )
    except ValueError as error:
        raise _bad_key() from error


def hpke_export(ctx: ContextInterface, exporter_context: bytes, n: int) -> bytes:
    """`n` bytes that only the two ends of the context know. RFC 9180 §5.3."""
    return ctx.export(exporter_context, n)


def _kem_key(key: X25519PrivateKey | X25519PublicKey) -> KEMKeyInterface:
    return KEMKey.from_pyca_cryptography_key(key)


def _x_private(sk: bytes) -> X25519PrivateKey:
    if len(sk) != KEY_BYTES:
        raise LocalError(f"an X25519 secret key of {len(sk)} bytes")
    return X25519PrivateKey.from_private_bytes(sk)


def _x_public(pk: bytes) -> X25519PublicKey:
    if len(pk) != KEY_BYTES:
        raise _bad_key()
    return X25519PublicKey.from_public_bytes(pk)


def _ed_private(seed: bytes) -> Ed25519PrivateKey:
    if len(seed) != KEY_BYTES:
        raise LocalError(f"an Ed25519 seed of {len(seed)} bytes")
    return Ed25519PrivateKey.from_private_bytes(seed)


def _bad_key() -> SealError:
    return SealError("an X25519 public key that gives no secret", cause="bad_key")
