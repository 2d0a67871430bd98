"""Sealing: the keys of a boot, its header for each agent, and the downlink of a connection.

Every sealed message is a COSE_Encrypt0 (RFC 9052, AES-CCM-16-64-128) whose Partial IV is a number used once
under its key; see docs/wire-protocol.md §5-§7. The envelope has a fixed shape, so it is written and read by
hand, byte for byte as `cbor` would.
"""

from protocol import cbor, crypto
from protocol.errors import LocalError, SealError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Protocol

    from protocol.identity import Identity

    class Committed(Protocol):
        """What says that the boot counter is on flash: by an id of 12 bytes, else none."""

        boot_id: bytes


KEY_BYTES = 16
BOOT_ID_BYTES = 12
TAG_BYTES = 8
HELLO_TAG_BYTES = 16
MAX_COUNTER = 0xFFFFFFFF
# From here on a connection's numbers are for what is on its way already.
_SOON = 0xFFFFFF00

_UP = 0
_DOWN = 1
_HEAD = b"\x83\x43\xa1\x01\x0a\xa1\x06"  # [h'A1010A', {6: …
_AAD = b"\x83\x68Encrypt0\x43\xa1\x01\x0a\x50\x83\x01"  # ["Encrypt0", h'A1010A', h'83 01 direction boot-id']
_WRAP_NONCE = bytes(13)
_WRAP_TAG_BYTES = 16


class _Channel:
    """One key in one direction: COSE_Encrypt0 under numbers that the owner must not repeat."""

    def __init__(self, key: bytes, iv: bytes, direction: int, boot_id: bytes):
        self._key = key
        self._iv_head = iv[:9]
        self._iv_tail = int.from_bytes(iv[9:], "big")
        self._aad = _AAD + bytes((direction, 0x40 | BOOT_ID_BYTES)) + boot_id

    def seal(self, counter: int, plaintext: bytes) -> bytes:
        piv = shortest(counter)
        sealed = crypto.ccm_seal(self._key, self._nonce(counter), self._aad, plaintext, TAG_BYTES)
        return envelope(piv, sealed)

    def open(self, message: bytes) -> "tuple[int, bytes]":
        counter, at = _parse(message)
        nonce = self._iv_head + (self._iv_tail ^ counter).to_bytes(4, "big")
        return counter, crypto.ccm_open(self._key, nonce, self._aad, message[at:], TAG_BYTES)

    def _nonce(self, counter: int) -> bytes:
        return self._iv_head + (self._iv_tail ^ counter).to_bytes(4, "big")


class BootKeys:
    """The keys of one boot of a node as its agents have them: they open its uplink, and know its hello tags.

    `K` is 16 bytes and secret, `boot_id` 12. Attributes: `K`, `boot_id`.
    """

    def __init__(self, K: bytes, boot_id: bytes):
        if len(K) != KEY_BYTES or len(boot_id) != BOOT_ID_BYTES:
            raise LocalError("boot keys need 16 bytes of key and 12 of boot id")
        self.K = K
        self.boot_id = boot_id
        key = crypto.hkdf(K, boot_id, b"vitalwire/1 up key", KEY_BYTES)
        iv = crypto.hkdf(K, boot_id, b"vitalwire/1 up iv", 13)
        self._hello_key = crypto.hkdf(K, boot_id, b"vitalwire/1 hello", 32)
        self._channel = _Channel(key, iv, _UP, boot_id)

    def __repr__(self) -> str:
        return "<BootKeys %s>" % self.boot_id.hex()

    def open(self, sealed: bytes) -> "tuple[int, bytes]":
        """(sequence number, plaintext) of what SealingKeys made; else SealError."""
        return self._channel.open(sealed)

    def hello_tag(self, body: bytes) -> bytes:
        """The tag of a hello body, 16 bytes: its sender holds this boot's key."""
        return crypto.hmac_sha256(self._hello_key, body)[:HELLO_TAG_BYTES]


class SealingKeys(BootKeys):
    """The node's own keys of a boot: what makes (key, nonce) unique is refused here, not left to callers.

    `record` is the boot's record of firmware.boots, or whatever has a `boot_id`: empty until the boot counter
    is on flash, and then no keys can be made (LocalError).
    """

    def __init__(self, K: bytes, record: "Committed"):
        BootKeys.__init__(self, K, record.boot_id)
        self._next = 0

    def seal(self, seq: int, plaintext: bytes) -> bytes:
        """The encoded COSE_Encrypt0 of frame `seq`, which must be above every number sealed before.

        LocalError otherwise (repeated_number), and beyond 32 bits (exhausted): then the boot must end. When
        anything else goes wrong, nothing was sealed and the number is still free.
        """
        if seq < self._next:
            raise LocalError("number %d was sealed before" % seq, cause="repeated_number")
        after = seq + 1
        sealed = self._channel.seal(seq, plaintext)
        self._next = after
        return sealed


def wrap_header_steps(
    K: bytes, boot_id: bytes, node_identity: "Identity", agent_id: bytes, agent_x_pub: bytes, eph_sk: bytes
) -> "Generator[None, None, tuple[bytes, bytes]]":
    """The boot header for one agent: (enc, wrapped K), 32 bytes each. `eph_sk`: 32 fresh random bytes."""
    info = _boot_info(node_identity.id, agent_id, boot_id)
    enc, ctx = yield from crypto.hpke_auth_send_steps(
        agent_x_pub, info, node_identity.x_sk, node_identity.x_pub, eph_sk
    )
    key = crypto.hpke_export(ctx, b"vitalwire/1 wrap", KEY_BYTES)
    return enc, crypto.ccm_seal(key, _WRAP_NONCE, b"", K, _WRAP_TAG_BYTES)


def unwrap_header_steps(
    enc: bytes, wrapped: bytes, boot_id: bytes, agent_identity: "Identity", node_id: bytes, node_x_pub: bytes
) -> "Generator[None, None, bytes]":
    """K from a boot header; SealError unless that node wrapped it for this agent and boot."""
    info = _boot_info(node_id, agent_identity.id, boot_id)
    ctx = yield from crypto.hpke_auth_receive_steps(
        enc, agent_identity.x_sk, agent_identity.x_pub, info, node_x_pub
    )
    key = crypto.hpke_export(ctx, b"vitalwire/1 wrap", KEY_BYTES)
    K = crypto.ccm_open(key, _WRAP_NONCE, b"", wrapped, _WRAP_TAG_BYTES)
    if len(K) != KEY_BYTES:
        raise SealError("a wrapped key of %d bytes" % len(K), cause="bad_header")
    return K


class Downlink:
    """One connection's sealed way from an agent to a node. Nothing of it is ever stored.

    `version`: the protocol version of the connection, which is in the welcome; where its two ends differ in
    it, so do their keys.
    """

    def __init__(self, secret: bytes, boot_id: bytes, hello_nonce: bytes, version: int = 1):
        key = crypto.hkdf(secret, hello_nonce, b"vitalwire/%d down key" % version, KEY_BYTES)
        iv = crypto.hkdf(secret, hello_nonce, b"vitalwire/%d down iv" % version, 13)
        self._channel = _Channel(key, iv, _DOWN, boot_id)
        self._next = 0

    @staticmethod
    def sender_steps(
        agent_identity: "Identity",
        node_id: bytes,
        node_x_pub: bytes,
        boot_id: bytes,
        hello_nonce: bytes,
        eph_sk: bytes,
        version: int = 1,
    ) -> "Generator[None, None, tuple[bytes, Downlink]]":
        """The agent's end: (enc for the welcome, Downlink). `eph_sk`: 32 fresh random bytes."""
        info = _down_info(version, agent_identity.id, node_id, boot_id, hello_nonce)
        enc, ctx = yield from crypto.hpke_auth_send_steps(
            node_x_pub, info, agent_identity.x_sk, agent_identity.x_pub, eph_sk
        )
        secret = crypto.hpke_export(ctx, b"vitalwire/%d down" % version, 32)
        return enc, Downlink(secret, boot_id, hello_nonce, version)

    @staticmethod
    def receiver_steps(
        enc: bytes,
        node_identity: "Identity",
        agent_id: bytes,
        agent_x_pub: bytes,
        boot_id: bytes,
        hello_nonce: bytes,
        version: int = 1,
    ) -> "Generator[None, None, Downlink]":
        """The node's end. A wrong `enc` or sender shows in the first message that does not open."""
        return receive_downlink_steps(
            enc, node_identity, agent_id, agent_x_pub, boot_id, hello_nonce, version
        )

    @property
    def spent(self) -> bool:
        """Its numbers end soon: the sender should begin another connection."""
        return self._next >= _SOON

    def seal(self, plaintext: bytes) -> bytes:
        """The encoded COSE_Encrypt0 of the next message; the counter starts at 0 and is never reused.

        LocalError (exhausted) after 2^32: the connection must end.
        """
        after = self._next + 1
        sealed = self._channel.seal(self._next, plaintext)
        self._next = after
        return sealed

    def open(self, sealed: bytes) -> bytes:
        """The plaintext; SealError (`replayed_downlink` when the counter is not above all before it)."""
        counter, plaintext = self._channel.open(sealed)
        if counter < self._next:
            raise SealError("downlink message %d again" % counter, cause="replayed_downlink")
        self._next = counter + 1
        return plaintext


def receive_downlink_steps(
    enc: bytes,
    node_identity: "Identity",
    agent_id: bytes,
    agent_x_pub: bytes,
    boot_id: bytes,
    hello_nonce: bytes,
    version: int = 1,
) -> "Generator[None, None, Downlink]":
    """Downlink.receiver_steps."""
    info = _down_info(version, agent_id, node_identity.id, boot_id, hello_nonce)
    ctx = yield from crypto.hpke_auth_receive_steps(
        enc, node_identity.x_sk, node_identity.x_pub, info, agent_x_pub
    )
    secret = crypto.hpke_export(ctx, b"vitalwire/%d down" % version, 32)
    return Downlink(secret, boot_id, hello_nonce, version)


def _boot_info(node_id: bytes, agent_id: bytes, boot_id: bytes) -> bytes:
    return cbor.dumps(["vitalwire/1 boot", node_id, agent_id, boot_id])


def _down_info(version: int, agent_id: bytes, node_id: bytes, boot_id: bytes, hello_nonce: bytes) -> bytes:
    return cbor.dumps(["vitalwire/%d down" % version, agent_id, node_id, boot_id, hello_nonce])


def envelope(piv: bytes, sealed: bytes) -> bytes:
    """The COSE_Encrypt0 around a ciphertext, with this Partial IV."""
    n = len(sealed)
    if n < 24:
        head = bytes((0x40 | n,))
    elif n < 256:
        head = bytes((0x58, n))
    else:
        head = bytes((0x59, n >> 8, n & 255))
    return b"".join((_HEAD, bytes((0x40 | len(piv),)), piv, head, sealed))


def shortest(counter: int) -> bytes:
    """A Partial IV: big-endian, no leading zero bytes, h'00' for 0."""
    if counter < 0 or counter > MAX_COUNTER:
        raise LocalError("number %d does not fit 32 bits" % counter, cause="exhausted")
    if counter < 0x100:
        return bytes((counter,))
    if counter < 0x10000:
        return bytes((counter >> 8, counter & 255))
    if counter < 0x1000000:
        return counter.to_bytes(3, "big")
    return counter.to_bytes(4, "big")


def _parse(message: bytes) -> "tuple[int, int]":
    """(counter, offset of the ciphertext) of an envelope; SealError unless `seal` could have written it."""
    n = len(message)
    at = len(_HEAD)
    if message[:at] != _HEAD:
        raise SealError("not the COSE_Encrypt0 header in use", 0, cause="bad_header")
    length = message[at] - 0x40 if n > at else 0
    if length < 1 or length > 4 or n < at + 1 + length:
        raise SealError("a Partial IV must have 1 to 4 bytes", at, cause="bad_header")
    at += 1
    if length > 1 and message[at] == 0:
        raise SealError("a Partial IV that is not in its shortest form", at, cause="bad_header")
    counter = int.from_bytes(message[at : at + length], "big")
    at += length
    rest = n - at - 1
    if TAG_BYTES <= rest < 24:
        good = message[at] == 0x40 | rest
        size = 1
    elif 25 <= rest < 257:
        good = message[at] == 0x58 and message[at + 1] == rest - 1
        size = 2
    elif 258 <= rest <= 0xFFFF + 2:
        good = message[at] == 0x59 and (message[at + 1] << 8 | message[at + 2]) == rest - 2
        size = 3
    else:
        good = False
        size = 0
    if not good:
        raise SealError("a ciphertext whose length does not agree with the message's", at, cause="bad_header")
    return counter, at + size
