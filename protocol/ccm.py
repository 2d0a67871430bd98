"""AES-CCM (RFC 3610, NIST SP 800-38C) with a 13-byte nonce, from AES in CBC and in ECB mode.

CCM is a CBC-MAC over the message and counter mode over the same message. The MAC is the last block of one CBC
encryption with a zero IV; the key stream is one ECB encryption of the counter blocks. On MicroPython both are
single calls of `cryptolib`, which has neither CTR nor CCM. The AES itself is handed in by the backend, so
that this file is the same, and is tested, on both interpreters.

Limits: the nonce is 13 bytes, hence messages shorter than 65536 bytes (a 2-byte length field); additional
data shorter than 65280 bytes; tags of 4 to 16 bytes, even. Opening compares the tags in constant time and
gives no plaintext when they differ.
"""

from protocol.errors import LocalError, SealError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NONCE_BYTES = 13
MAX_MESSAGE = 0xFFFF
MAX_AAD = 0xFEFF


class Ccm:
    """AES-CCM over `cbc(key, data)`, which begins with an IV of zeros, and `ecb(key, data)`; whole blocks."""

    def __init__(self, cbc: "Callable[[bytes, bytes], bytes]", ecb: "Callable[[bytes, bytes], bytes]"):
        self._cbc = cbc
        self._ecb = ecb

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes, tag_len: int) -> bytes:
        """Ciphertext, then the tag of `tag_len` bytes. A nonce serves once under a key. RFC 3610 §2.2."""
        _check(key, nonce, aad, tag_len)
        n = len(plaintext)
        if n > MAX_MESSAGE:
            raise LocalError("a CCM message of %d bytes; the limit is %d" % (n, MAX_MESSAGE))
        mac = self._cbc(key, _mac_blocks(nonce, aad, plaintext, n, tag_len))[-16:]
        return _xor_stream(self._ecb(key, _counter_blocks(nonce, n)), mac, plaintext, n, tag_len)

    def open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes, tag_len: int) -> bytes:
        """The plaintext; SealError when the tag does not match all the rest. RFC 3610 §2.5."""
        _check(key, nonce, aad, tag_len)
        n = len(sealed) - tag_len
        if n < 0 or n > MAX_MESSAGE:
            raise SealError("a sealed message of %d bytes" % len(sealed))
        stream = self._ecb(key, _counter_blocks(nonce, n))
        plaintext = _xor(sealed[:n], stream[16 : 16 + n], n)
        mac = self._cbc(key, _mac_blocks(nonce, aad, plaintext, n, tag_len))
        tag = _xor(mac[-16 : len(mac) - 16 + tag_len], stream[:tag_len], tag_len)
        different = 0
        for i in range(tag_len):
            different |= tag[i] ^ sealed[n + i]
        if different:
            raise SealError("the tag does not match")
        return plaintext


def _check(key: bytes, nonce: bytes, aad: bytes, tag_len: int) -> None:
    if len(key) not in (16, 32):
        raise LocalError("an AES key of %d bytes" % len(key))
    if len(nonce) != NONCE_BYTES:
        raise LocalError("a CCM nonce of %d bytes; it must have %d" % (len(nonce), NONCE_BYTES))
    if len(aad) > MAX_AAD:
        raise LocalError("additional data of %d bytes; the limit is %d" % (len(aad), MAX_AAD))
    if tag_len not in (4, 6, 8, 10, 12, 14, 16):
        raise LocalError("a CCM tag of %d bytes" % tag_len)


def _mac_blocks(nonce: bytes, aad: bytes, plaintext: bytes, n: int, tag_len: int) -> bytes:
    """B_0 … of RFC 3610 §2.2: flags, nonce, length; the additional data after its length; the message."""
    a = len(aad)
    flags = ((tag_len - 2) // 2) << 3 | 1
    if a:
        return b"".join(
            (
                bytes((flags | 0x40,)),
                nonce,
                bytes((n >> 8, n & 255, a >> 8, a & 255)),
                aad,
                bytes(-(a + 2) % 16),
                plaintext,
                bytes(-n % 16),
            )
        )
    return b"".join((bytes((flags,)), nonce, bytes((n >> 8, n & 255)), plaintext, bytes(-n % 16)))


def _counter_blocks(nonce: bytes, n: int) -> bytes:
    """A_0 … of RFC 3610 §2.3; A_0 encrypts the tag, the rest the message."""
    prefix = b"\x01" + nonce
    return b"".join([prefix + bytes((i >> 8, i & 255)) for i in range((n + 31) // 16)])


def _xor(a: bytes, b: bytes, n: int) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(n, "big")


def _xor_stream(stream: bytes, mac: bytes, plaintext: bytes, n: int, tag_len: int) -> bytes:
    """Message and tag under the key stream; the stream's first block is the tag's."""
    if not n:
        return _xor(mac[:tag_len], stream[:tag_len], tag_len)
    return _xor(plaintext + mac[:tag_len], stream[16 : 16 + n] + stream[:tag_len], n + tag_len)
