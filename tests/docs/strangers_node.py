"""A node as somebody elsewhere would write it: from docs/wire-protocol.md alone, without a line of protocol/.

Only hashing, AES, curves and general CBOR come from libraries that anybody has.
"""

import hashlib
import hmac
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

PROTECTED = bytes.fromhex("a1010a")
KEM = b"HPKE-v1KEM\x00\x20"
SUITE = b"HPKE-v1HPKE\x00\x20\x00\x01\xff\xff"


def encode(value: Any) -> bytes:
    return cbor2.dumps(value, canonical=True)


def stuffed(message: bytes) -> bytes:
    """COBS and the delimiter."""
    out = bytearray()
    runs = message.split(b"\0")
    for i, run in enumerate(runs):
        whole = len(run) // 254
        for n in range(whole):
            out += b"\xff" + run[254 * n : 254 * n + 254]
        rest = run[254 * whole :]
        if rest or not whole or i < len(runs) - 1:
            out += bytes((len(rest) + 1,)) + rest
    return bytes(out) + b"\0"


def unstuffed(encoded: bytes) -> bytes:
    out = bytearray()
    while encoded:
        code = encoded[0]
        out += encoded[1:code]
        encoded = encoded[code:]
        if code < 255 and encoded:
            out.append(0)
    return bytes(out)


def extract(salt: bytes, ikm: bytes) -> bytes:
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def expand(prk: bytes, info: bytes, size: int) -> bytes:
    out, block, count = b"", b"", 1
    while len(out) < size:
        block = hmac.new(prk, block + info + bytes((count,)), hashlib.sha256).digest()
        out += block
        count += 1
    return out[:size]


def exporter(dh: bytes, kem_context: bytes, info: bytes) -> bytes:
    """The exporter secret of HPKE in mode Auth."""
    shared = expand(
        extract(b"", KEM + b"eae_prk" + dh), b"\x00\x20" + KEM + b"shared_secret" + kem_context, 32
    )
    context = b"\x02" + extract(b"", SUITE + b"psk_id_hash") + extract(b"", SUITE + b"info_hash" + info)
    return expand(extract(shared, SUITE + b"secret"), b"\x00\x20" + SUITE + b"exp" + context, 32)


def export(secret: bytes, label: bytes, size: int) -> bytes:
    return expand(secret, size.to_bytes(2, "big") + SUITE + b"sec" + label, size)


class Channel:
    """One direction of sealed messages."""

    def __init__(self, secret: bytes, salt: bytes, way: str, direction: int, boot_id: bytes):
        prk = extract(salt, secret)
        self.cipher = AESCCM(expand(prk, f"vitalwire/1 {way} key".encode(), 16), tag_length=8)
        self.iv = int.from_bytes(expand(prk, f"vitalwire/1 {way} iv".encode(), 13), "big")
        self.aad = encode(["Encrypt0", PROTECTED, encode([1, direction, boot_id])])
        self.next = 0

    def seal(self, plaintext: bytes) -> "list[Any]":
        number = self.next
        self.next += 1
        short = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
        sealed = self.cipher.encrypt((self.iv ^ number).to_bytes(13, "big"), plaintext, self.aad)
        return [PROTECTED, {6: short}, sealed]

    def open(self, message: "list[Any]") -> bytes:
        protected, unprotected, sealed = message
        number = int.from_bytes(unprotected[6], "big")
        assert protected == PROTECTED and number >= self.next
        plain = self.cipher.decrypt((self.iv ^ number).to_bytes(13, "big"), sealed, self.aad)
        self.next = number + 1
        return plain


class Node:
    """One boot of a node that pairs with the first who asks."""

    def __init__(self, ed_seed: bytes, x_secret: bytes, boot_id: bytes, K: bytes):
        self.ed, self.x = (
            Ed25519PrivateKey.from_private_bytes(ed_seed),
            X25519PrivateKey.from_private_bytes(x_secret),
        )
        self.ed_pub, self.x_pub = (
            self.ed.public_key().public_bytes_raw(),
            self.x.public_key().public_bytes_raw(),
        )
        self.id = hashlib.sha256(self.ed_pub + self.x_pub).digest()[:8]
        self.boot_id, self.K = boot_id, K
        self.up = Channel(K, boot_id, "up", 0, boot_id)
        self.down: Channel | None = None
        self.hello_key = expand(extract(boot_id, K), b"vitalwire/1 hello", 32)
        self.agents: dict[bytes, bytes] = {}
        self.headers: list[list[bytes]] = []
        self.connection, self.nonce = 0, b""

    def agree(self, secret: X25519PrivateKey, public: bytes) -> bytes:
        return secret.exchange(X25519PublicKey.from_public_bytes(public))

    def hello(self, nonce: bytes, next_number: int, held: "list[list[int]]") -> bytes:
        self.connection += 1
        self.nonce = nonce
        boots = [[self.boot_id, self.headers, next_number, held]]
        fields: dict[int, Any] = {1: 1, 2: self.id, 3: nonce, 4: self.connection, 5: boots}
        if not self.agents:
            fields[6] = [self.ed_pub, self.x_pub]
        body = encode(fields)
        tag = hmac.new(self.hello_key, body, hashlib.sha256).digest()[:16]
        return stuffed(encode({0: 1, 1: body, 2: tag}))

    def paired(self, wire: bytes, ephemeral: bytes) -> bytes:
        """The reply to a pair request; the header for that agent is in the next hello."""
        request = cbor2.loads(unstuffed(wire[:-1]))
        assert request[0] == 3 and request[1] == 1
        ed, x, nonce = request[2], request[3], request[4]
        agent = hashlib.sha256(ed + x).digest()[:8]
        self.agents[agent] = x
        secret = X25519PrivateKey.from_private_bytes(ephemeral)
        enc = secret.public_key().public_bytes_raw()
        info = encode(["vitalwire/1 boot", self.id, agent, self.boot_id])
        dh = self.agree(secret, x) + self.agree(self.x, x)
        key = export(exporter(dh, enc + x + self.x_pub, info), b"vitalwire/1 wrap", 16)
        self.headers.append([agent, enc, AESCCM(key, tag_length=16).encrypt(bytes(13), self.K, b"")])
        signed = encode(["vitalwire/1 pair", ed, x, self.ed_pub, self.x_pub, nonce])
        reply = {0: 4, 1: 1, 2: self.ed_pub, 3: self.x_pub, 4: nonce, 5: self.ed.sign(signed)}
        return stuffed(encode(reply))

    def welcomed(self, wire: bytes) -> None:
        fields = cbor2.loads(unstuffed(wire[:-1]))
        assert fields[0] == 2 and fields[1] == 1 and fields[4] == self.nonce
        agent, enc = fields[2], fields[3]
        x = self.agents[agent]
        info = encode(["vitalwire/1 down", agent, self.id, self.boot_id, self.nonce])
        dh = self.agree(self.x, enc) + self.agree(self.x, x)
        secret = export(exporter(dh, enc + self.x_pub + x, info), b"vitalwire/1 down", 32)
        self.down = Channel(secret, self.nonce, "down", 1, self.boot_id)

    def told(self, wire: bytes) -> Any:
        """The frame in a sealed message of the agent."""
        assert self.down is not None
        return cbor2.loads(self.down.open(cbor2.loads(unstuffed(wire[:-1]))))

    def says(self, kind: int, t_us: int, body: Any) -> bytes:
        return stuffed(encode([0, self.up.seal(encode([kind, t_us, body]))]))
