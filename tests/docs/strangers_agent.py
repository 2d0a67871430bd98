"""An agent's side of a link as somebody elsewhere would write it: from docs/wire-protocol.md alone."""

import hashlib
import hmac
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from tests.docs.strangers_node import Channel, encode, expand, export, exporter, extract, stuffed, unstuffed


class Agent:
    """One agent at one link. `node`: the public keys of the node that it is paired with, or None."""

    def __init__(self, ed_pub: bytes, x_secret: bytes):
        self.ed_pub, self.x = ed_pub, X25519PrivateKey.from_private_bytes(x_secret)
        self.x_pub = self.x.public_key().public_bytes_raw()
        self.id = hashlib.sha256(ed_pub + self.x_pub).digest()[:8]
        self.node: tuple[bytes, bytes] | None = None
        self.up: Channel | None = None
        self.down: Channel | None = None

    def clear(self, fields: "dict[int, Any]") -> bytes:
        return stuffed(encode(fields))

    def solicit(self) -> bytes:
        return self.clear({0: 6, 1: 1})

    def request(self, nonce: bytes) -> bytes:
        self.nonce = nonce
        return self.clear({0: 3, 1: 1, 2: self.ed_pub, 3: self.x_pub, 4: nonce})

    def replied(self, wire: bytes) -> None:
        """A pair reply: its signature is over both parties' keys and the nonce of the request."""
        reply = cbor2.loads(unstuffed(wire[:-1]))
        assert reply[0] == 4 and reply[4] == self.nonce
        signed = ["vitalwire/1 pair", self.ed_pub, self.x_pub, reply[2], reply[3], reply[4]]
        Ed25519PublicKey.from_public_bytes(reply[2]).verify(reply[5], encode(signed))
        self.node = (reply[2], reply[3])

    def hello(self, wire: bytes, ephemeral: bytes) -> bytes:
        """The answer to a hello: a refusal while the node is not paired, else the welcome."""
        message = cbor2.loads(unstuffed(wire[:-1]))
        body = cbor2.loads(message[1])
        if self.node is None or 6 in body:
            return self.clear({0: 5, 1: 1, 2: 2})
        node_id, (boot_id, headers, _, _) = body[2], body[5][0]
        node_x = self.node[1]
        assert hashlib.sha256(self.node[0] + node_x).digest()[:8] == node_id
        enc, wrapped = next(header[1:] for header in headers if header[0] == self.id)
        info = encode(["vitalwire/1 boot", node_id, self.id, boot_id])
        secret = exporter(self.agree(enc) + self.agree(node_x), enc + self.x_pub + node_x, info)
        K = AESCCM(export(secret, b"vitalwire/1 wrap", 16), tag_length=16).decrypt(bytes(13), wrapped, b"")
        hello_key = expand(extract(boot_id, K), b"vitalwire/1 hello", 32)
        assert message[2] == hmac.new(hello_key, message[1], hashlib.sha256).digest()[:16]
        self.up = Channel(K, boot_id, "up", 0, boot_id)
        mine = X25519PrivateKey.from_private_bytes(ephemeral)
        down_enc = mine.public_key().public_bytes_raw()
        dh = mine.exchange(X25519PublicKey.from_public_bytes(node_x)) + self.agree(node_x)
        info = encode(["vitalwire/1 down", self.id, node_id, boot_id, body[3]])
        secret = export(exporter(dh, down_enc + node_x + self.x_pub, info), b"vitalwire/1 down", 32)
        self.down = Channel(secret, body[3], "down", 1, boot_id)
        return self.clear({0: 2, 1: 1, 2: self.id, 3: down_enc, 4: body[3]})

    def agree(self, public: bytes) -> bytes:
        return self.x.exchange(X25519PublicKey.from_public_bytes(public))

    def told(self, wire: bytes) -> Any:
        """The frame in a data message; frames come in any order."""
        assert self.up is not None
        index, sealed = cbor2.loads(unstuffed(wire[:-1]))
        assert index == 0
        self.up.next = 0
        return cbor2.loads(self.up.open(sealed))

    def says(self, kind: int, t_us: int, body: Any) -> bytes:
        assert self.down is not None
        return stuffed(encode(self.down.seal(encode([kind, t_us, body]))))
