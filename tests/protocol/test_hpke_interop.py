"""A standard HPKE library and the pure code on MicroPython open each other's boot headers and downlinks.

The contexts on this side are made after the wire protocol's text, with `pyhpke` and `cryptography` only.
"""

import json
import os
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pyhpke import AEADId, CipherSuite, ContextInterface, KDFId, KEMId, KEMKey

VM = Callable[..., CompletedProcess[str]]

SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.EXPORT_ONLY)
K = os.urandom(16)
BOOT_ID = os.urandom(12)
NONCE = os.urandom(16)


class Party:
    """Keys and id of a party, made by `cryptography` alone."""

    def __init__(self) -> None:
        self.ed = Ed25519PrivateKey.generate()
        self.x = X25519PrivateKey.generate()
        self.ed_pub = self.ed.public_key().public_bytes_raw()
        self.x_pub = self.x.public_key().public_bytes_raw()
        digest = Hash(SHA256())
        digest.update(self.ed_pub + self.x_pub)
        self.id = digest.finalize()[:8]
        self.secrets = [self.ed.private_bytes_raw(), self.x.private_bytes_raw()]

    def send(self, to: "Party", info: list[Any]) -> tuple[bytes, ContextInterface]:
        return SUITE.create_sender_context(public(to.x_pub), cbor2.dumps(info), secret(self))

    def receive(self, enc: bytes, sender: "Party", info: list[Any]) -> ContextInterface:
        return SUITE.create_recipient_context(enc, secret(self), cbor2.dumps(info), public(sender.x_pub))


def public(raw: bytes) -> Any:
    return KEMKey.from_pyca_cryptography_key(X25519PublicKey.from_public_bytes(raw))


def secret(party: Party) -> Any:
    return KEMKey.from_pyca_cryptography_key(party.x)


NODE, AGENT = Party(), Party()
BOOT_INFO = ["vitalwire/1 boot", NODE.id, AGENT.id, BOOT_ID]
DOWN_INFO = ["vitalwire/1 down", AGENT.id, NODE.id, BOOT_ID, NONCE]


@pytest.fixture(params=["micropython", "micropython32"])
def vm(request: pytest.FixtureRequest) -> VM:
    """Each of the two, one with the words of an ESP32."""
    return request.getfixturevalue(request.param)


def on_vm(vm: VM, *request: Any) -> Any:
    text = json.dumps([[one.hex() if isinstance(one, bytes) else one for one in request]])
    result = vm("tests/protocol/vm_peer.py", stdin=text)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout)[0]


def wrapping(ctx: ContextInterface) -> AESCCM:
    return AESCCM(ctx.export(b"vitalwire/1 wrap", 16), 16)


def down_cipher(ctx: ContextInterface) -> tuple[AESCCM, bytes, bytes]:
    """(cipher, IV, AAD) of a downlink."""
    shared = ctx.export(b"vitalwire/1 down", 32)
    key = HKDF(SHA256(), 16, NONCE, b"vitalwire/1 down key").derive(shared)
    iv = HKDF(SHA256(), 13, NONCE, b"vitalwire/1 down iv").derive(shared)
    external = cbor2.dumps([1, 1, BOOT_ID])
    return AESCCM(key, 8), iv, cbor2.dumps(["Encrypt0", bytes.fromhex("a1010a"), external])


def nonce_of(iv: bytes, counter: int) -> bytes:
    return (int.from_bytes(iv, "big") ^ counter).to_bytes(13, "big")


def test_pyhpke_opens_a_boot_header_of_the_vm(vm: VM) -> None:
    made = on_vm(vm, "wrap", K, BOOT_ID, *NODE.secrets, AGENT.id, AGENT.x_pub, os.urandom(32))
    enc, wrapped = [bytes.fromhex(one) for one in made]
    ctx = AGENT.receive(enc, NODE, BOOT_INFO)
    assert wrapping(ctx).decrypt(bytes(13), wrapped, b"") == K


def test_the_vm_opens_a_boot_header_of_pyhpke(vm: VM) -> None:
    enc, ctx = NODE.send(AGENT, BOOT_INFO)
    wrapped = wrapping(ctx).encrypt(bytes(13), K, b"")
    opened = on_vm(vm, "unwrap", enc, wrapped, BOOT_ID, *AGENT.secrets, NODE.id, NODE.x_pub)
    assert bytes.fromhex(opened) == K


def test_pyhpke_opens_a_downlink_of_the_vm(vm: VM) -> None:
    texts = [b"first", b"", os.urandom(180)]
    made = on_vm(vm, "down_send", *AGENT.secrets, NODE.id, NODE.x_pub, BOOT_ID, NONCE, os.urandom(32), *texts)
    enc, *messages = [bytes.fromhex(one) for one in made]
    cipher, iv, aad = down_cipher(NODE.receive(enc, AGENT, DOWN_INFO))
    for counter, (text, message) in enumerate(zip(texts, messages, strict=True)):
        protected, unprotected, ciphertext = cbor2.loads(message)
        assert (protected, unprotected) == (bytes.fromhex("a1010a"), {6: bytes([counter])})
        assert cipher.decrypt(nonce_of(iv, counter), ciphertext, aad) == text


def test_the_vm_opens_a_downlink_of_pyhpke(vm: VM) -> None:
    enc, ctx = AGENT.send(NODE, DOWN_INFO)
    cipher, iv, aad = down_cipher(ctx)
    texts = [b"first", b"", os.urandom(180)]
    messages = [
        cbor2.dumps(
            [bytes.fromhex("a1010a"), {6: bytes([i])}, cipher.encrypt(nonce_of(iv, i), text, aad)],
            canonical=True,
        )
        for i, text in enumerate(texts)
    ]
    opened = on_vm(vm, "down_receive", enc, *NODE.secrets, AGENT.id, AGENT.x_pub, BOOT_ID, NONCE, *messages)
    assert [bytes.fromhex(one) for one in opened] == texts


def test_cryptography_verifies_an_attestation_of_the_vm(vm: VM) -> None:
    plaintexts = [b"one", b"two", b"three"]
    first, count, root, signature = on_vm(vm, "attestation", *NODE.secrets, BOOT_ID, *plaintexts)
    root = bytes.fromhex(root)
    message = cbor2.dumps(["vitalwire/1 attest", NODE.id, BOOT_ID, first, count, root])
    Ed25519PublicKey.from_public_bytes(NODE.ed_pub).verify(bytes.fromhex(signature), message)
    assert (first, count) == (0, 3)

    def digest(data: bytes) -> bytes:
        h = Hash(SHA256())
        h.update(data)
        return h.finalize()

    leaves = [digest(b"\0" + cbor2.dumps([BOOT_ID, seq, one])) for seq, one in enumerate(plaintexts)]
    assert root == digest(b"\1" + digest(b"\1" + leaves[0] + leaves[1]) + leaves[2])


def test_the_vm_verifies_signatures_of_cryptography(vm: VM) -> None:
    message = os.urandom(100)
    signature = NODE.ed.sign(message)
    assert on_vm(vm, "verify", NODE.ed_pub, message, signature) is True
    assert on_vm(vm, "verify", NODE.ed_pub, message + b"\0", signature) is False
    assert on_vm(vm, "verify", AGENT.ed_pub, message, signature) is False
