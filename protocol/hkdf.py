"""HMAC-SHA256 (RFC 2104) and HKDF-SHA256 (RFC 5869) over the SHA-256 that both interpreters have."""

from hashlib import sha256

HASH_BYTES = 32
_BLOCK_BYTES = 64
_INNER = int.from_bytes(b"\x36" * _BLOCK_BYTES, "big")
_OUTER = int.from_bytes(b"\x5c" * _BLOCK_BYTES, "big")


def hmac_sha256(key: bytes, msg: bytes) -> bytes:
    """HMAC-SHA256 of `msg`, 32 bytes; a key of any length. RFC 2104, vectors in RFC 4231."""
    if len(key) > _BLOCK_BYTES:
        key = sha256(key).digest()
    padded = int.from_bytes(key + bytes(_BLOCK_BYTES - len(key)), "big")
    inner = sha256((padded ^ _INNER).to_bytes(_BLOCK_BYTES, "big"))
    inner.update(msg)
    outer = sha256((padded ^ _OUTER).to_bytes(_BLOCK_BYTES, "big"))
    outer.update(inner.digest())
    return outer.digest()


def extract(salt: bytes, ikm: bytes) -> bytes:
    """The pseudo-random key, 32 bytes. RFC 5869 §2.2; an empty salt counts as 32 zero bytes."""
    return hmac_sha256(salt, ikm)


def expand(prk: bytes, info: bytes, n: int) -> bytes:
    """`n` ≤ 8160 bytes of key material from the pseudo-random key. RFC 5869 §2.3."""
    if n > 255 * HASH_BYTES:
        raise ValueError("HKDF gives at most 8160 bytes")
    out = b""
    block = b""
    count = 0
    while len(out) < n:
        count += 1
        block = hmac_sha256(prk, block + info + bytes([count]))
        out += block
    return out[:n]


def hkdf(ikm: bytes, salt: bytes, info: bytes, n: int) -> bytes:
    """`n` bytes of key material: extract, then expand. RFC 5869 §2."""
    return expand(extract(salt, ikm), info, n)
