"""HPKE (RFC 9180) in mode Auth: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, export-only.

A context is its exporter secret (32 bytes): there is no AEAD in it. Who opens it knows that the sender held
the secret key of the stated public key. A recipient whose secret key has leaked can be fooled about that
(key-compromise impersonation, RFC 9180 §9.1.1).
"""

from protocol import hkdf, x25519

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

_MODE_AUTH = b"\x02"
_KEM_SUITE = b"KEM\x00\x20"
_SUITE = b"HPKE\x00\x20\x00\x01\xff\xff"
_SECRET_BYTES = 32


def auth_send_steps(
    recipient_pk: bytes, info: bytes, sender_sk: bytes, sender_pk: bytes, eph_sk: bytes
) -> "Generator[None, None, tuple[bytes, bytes]]":
    """Encapsulated key (32 bytes) and context of an HPKE Auth sender, export-only. RFC 9180 §4.1 and §5.1.3.

    `eph_sk` is 32 fresh random bytes; `sender_pk` must be the public key of `sender_sk`. SealError (bad_key)
    when the recipient's key has small order.
    """
    enc = yield from x25519.public_steps(eph_sk)
    dh = yield from x25519.shared_steps(eph_sk, recipient_pk)
    dh += yield from x25519.shared_steps(sender_sk, recipient_pk)
    return enc, (yield from _exporter_secret_steps(dh, enc + recipient_pk + sender_pk, info))


def auth_receive_steps(
    enc: bytes, recipient_sk: bytes, recipient_pk: bytes, info: bytes, sender_pk: bytes
) -> "Generator[None, None, bytes]":
    """Context of an HPKE Auth recipient, export-only. RFC 9180 §4.1 and §5.1.3.

    `recipient_pk` must be the public key of `recipient_sk`. SealError (bad_key) when `enc` or the sender's
    key has small order.
    """
    dh = yield from x25519.shared_steps(recipient_sk, enc)
    dh += yield from x25519.shared_steps(recipient_sk, sender_pk)
    return (yield from _exporter_secret_steps(dh, enc + recipient_pk + sender_pk, info))


def export(ctx: bytes, exporter_context: bytes, n: int) -> bytes:
    """`n` bytes that only the two ends of the context know. RFC 9180 §5.3."""
    return _labeled_expand(_SUITE, ctx, b"sec", exporter_context, n)


def _exporter_secret_steps(dh: bytes, kem_context: bytes, info: bytes) -> "Generator[None, None, bytes]":
    yield
    prk = _labeled_extract(_KEM_SUITE, b"", b"eae_prk", dh)
    shared_secret = _labeled_expand(_KEM_SUITE, prk, b"shared_secret", kem_context, _SECRET_BYTES)
    yield
    context = (
        _MODE_AUTH
        + _labeled_extract(_SUITE, b"", b"psk_id_hash", b"")
        + _labeled_extract(_SUITE, b"", b"info_hash", info)
    )
    secret = _labeled_extract(_SUITE, shared_secret, b"secret", b"")
    secret = _labeled_expand(_SUITE, secret, b"exp", context, _SECRET_BYTES)
    yield
    return secret


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hkdf.extract(salt, b"HPKE-v1" + suite + label + ikm)


def _labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, n: int) -> bytes:
    return hkdf.expand(prk, bytes((n >> 8, n & 255)) + b"HPKE-v1" + suite + label + info, n)
