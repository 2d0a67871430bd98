"""AES-CCM (RFC 3610, NIST SP 800-38C) with a 13-byte nonce, from AES in CBC and in ECB mode.

CCM is a CBC-MAC over the message and counter mode over the same message. The MAC is the last block of one CBC
encryption with a zero IV; the key stream is one ECB encryption of the counter blocks. On MicroPython both are
single calls of `cryptolib`, which has neither CTR nor CCM. The AES is handed in by the backend, and works in
place, so that sealing needs little memory.

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
    """AES-CCM over `cbc(key, blocks)`, with an IV of zeros, and `ecb(key, blocks)`: both encrypt in place."""

    def __init__(self, cbc: "Callable[[bytes, bytearray], None]", ecb: "Callable[[bytes, bytearray], None]"):
        self._cbc = cbc
        self._ecb = ecb

    def seal(self, key: bytes, nonce: bytes, aad: bytes, plaintext: bytes, tag_len: int) -> bytes:
        """Ciphertext, then the tag of `tag_len` bytes. A nonce serves once under a key. RFC 3610 §2.2."""
        _check(key, nonce, aad, tag_len)
        n = len(plaintext)
        if n > MAX_MESSAGE:
            raise LocalError("a CCM message of %d bytes; the limit is %d" % (n, MAX_MESSAGE))
        blocks = _mac_blocks(nonce, aad, plaintext, tag_len)
        self._cbc(key, blocks)
        tag = blocks[-16 : len(blocks) - 16 + tag_len]
        stream = self._stream(key, nonce, n)
        return _xor(plaintext, stream[16 : 16 + n], n) + _xor(tag, stream[:tag_len], tag_len)

    def open(self, key: bytes, nonce: bytes, aad: bytes, sealed: bytes, tag_len: int) -> bytes:
        """The plaintext; SealError when the tag does not match all the rest. RFC 3610 §2.5."""
        _check(key, nonce, aad, tag_len)
        n = len(sealed) - tag_len
        if n < 0 or n > MAX_MESSAGE:
            raise SealError("a sealed message of %d bytes" % len(sealed))
        stream = self._stream(key, nonce, n)
        plaintext = _xor(sealed[:n], stream[16 : 16 + n], n)
        blocks = _mac_blocks(nonce, aad, plaintext, tag_len)
        self._cbc(key, blocks)
        different = 0
        last = len(blocks) - 16
        for i in range(tag_len):
            different |= blocks[last + i] ^ stream[i] ^ sealed[n + i]
        if different:
            raise SealError("the tag does not match")
        return plaintext

    def _stream(self, key: bytes, nonce: bytes, n: int) -> memoryview:
        """S_0 … of RFC 3610 §2.3: the first block is for the tag, the others for `n` bytes of message."""
        count = (n + 31) // 16
        blocks = bytearray((b"\x01" + nonce + b"\x00\x00") * count)
        for i in range(1, count):
            blocks[16 * i + 15] = i & 255
            blocks[16 * i + 14] = i >> 8
        self._ecb(key, blocks)
        return memoryview(blocks)


def _check(key: bytes, nonce: bytes, aad: bytes, tag_len: int) -> None:
    if len(key) not in (16, 32):
        raise LocalError("an AES key of %d bytes" % len(key))
    if len(nonce) != NONCE_BYTES:
        raise LocalError("a CCM nonce of %d bytes; it must have %d" % (len(nonce), NONCE_BYTES))
    if len(aad) > MAX_AAD:
        raise LocalError("additional data of %d bytes; the limit is %d" % (len(aad), MAX_AAD))
    if tag_len not in (4, 6, 8, 10, 12, 14, 16):
        raise LocalError("a CCM tag of %d bytes" % tag_len)


def _mac_blocks(nonce: bytes, aad: bytes, plaintext: bytes, tag_len: int) -> bytearray:
    """B_0 … of RFC 3610 §2.2: flags, nonce, length; the additional data after its length; the message."""
    a = len(aad)
    n = len(plaintext)
    start = (a + 33) // 16 * 16 if a else 16
    blocks = bytearray(start + (n + 15) // 16 * 16)
    blocks[0] = (0x40 if a else 0) | (tag_len - 2) // 2 << 3 | 1
    blocks[1:14] = nonce
    blocks[14] = n >> 8
    blocks[15] = n & 255
    if a:
        blocks[16] = a >> 8
        blocks[17] = a & 255
        blocks[18 : 18 + a] = aad
    blocks[start : start + n] = plaintext
    return blocks


def _xor(a: "bytes | bytearray", b: memoryview, n: int) -> bytes:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).to_bytes(n, "big")
