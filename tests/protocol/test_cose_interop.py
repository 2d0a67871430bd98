"""A standard COSE library opens what a node seals on MicroPython, and a node opens what that library makes.

`cwt` reads a full IV (header 5) where nodes send a Partial IV (header 6). Both are unprotected, so the AAD
does not cover them, and the test may put one for the other.
"""

import json
import random
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import cbor2
import pytest
from cwt import COSE, COSEKey
from cwt.exceptions import DecodeError

from protocol import crypto
from protocol.seal import BootKeys
from tests.both.sealing import seal_one

VM = Callable[..., CompletedProcess[str]]

PROTECTED = bytes.fromhex("a1010a")
K = bytes(range(16))
BOOT_ID = bytes.fromhex("0000002a") + bytes(range(8))
EXTERNAL_AAD = cbor2.dumps([1, 0, BOOT_ID], canonical=True)


@pytest.fixture(params=["micropython", "micropython32"])
def vm(request: pytest.FixtureRequest) -> VM:
    """Each of the two, one with the words of an ESP32."""
    return request.getfixturevalue(request.param)


def on_vm(vm: VM, *requests: list[Any]) -> list[Any]:
    text = json.dumps([[one.hex() if isinstance(one, bytes) else one for one in r] for r in requests])
    result = vm("tests/protocol/vm_peer.py", stdin=text)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout)


def cose_key() -> Any:
    key = crypto.hkdf(K, BOOT_ID, b"vitalwire/1 up key", 16)
    return COSEKey.new({1: 4, 3: 10, -1: key})  # kty symmetric, alg AES-CCM-16-64-128 (RFC 9053)


def full_nonce(piv: bytes) -> bytes:
    iv = crypto.hkdf(K, BOOT_ID, b"vitalwire/1 up iv", 13)
    return bytes(a ^ b for a, b in zip(iv, piv.rjust(13, b"\0"), strict=True))


def with_full_iv(sealed: bytes) -> bytes:
    protected, unprotected, ciphertext = cbor2.loads(sealed)
    assert protected == PROTECTED and list(unprotected) == [6]
    return cbor2.dumps(cbor2.CBORTag(16, [protected, {5: full_nonce(unprotected[6])}, ciphertext]))


def cases() -> list[tuple[int, bytes]]:
    rng = random.Random(16)
    sequence = [
        0,
        1,
        255,
        256,
        65535,
        65536,
        0xFFFFFF,
        0x1000000,
        0x3FFFFFFF,
        0x40000000,
        0x80000000,
        0xFFFFFFFF,
    ]
    sizes = [0, 1, 7, 15, 16, 17, 31, 200, 247, 248, 255, 1000]
    return [(seq, rng.randbytes(n)) for seq, n in zip(sequence, sizes, strict=True)]


def test_cwt_opens_what_the_vm_seals(vm: VM) -> None:
    sealed = on_vm(vm, *[["seal_frame", K, BOOT_ID, seq, plaintext] for seq, plaintext in cases()])
    here = BootKeys(K, BOOT_ID)
    cose = COSE.new()
    for (seq, plaintext), text in zip(cases(), sealed, strict=True):
        message = bytes.fromhex(text)
        assert cose.decode(with_full_iv(message), cose_key(), external_aad=EXTERNAL_AAD) == plaintext
        assert here.open(message) == (seq, plaintext)
        assert seal_one(K, BOOT_ID, seq, plaintext) == message
        with pytest.raises(DecodeError):
            cose.decode(with_full_iv(message), cose_key(), external_aad=EXTERNAL_AAD + b"\0")


def test_the_vm_opens_what_cwt_seals(vm: VM) -> None:
    cose = COSE.new()
    requests: list[list[Any]] = []
    for seq, plaintext in cases():
        piv = seq.to_bytes(max(1, (seq.bit_length() + 7) // 8), "big")
        made = cose.encode(
            plaintext,
            cose_key(),
            protected={1: 10},
            unprotected={5: full_nonce(piv)},
            external_aad=EXTERNAL_AAD,
        )
        protected, _, ciphertext = cbor2.loads(made).value
        sealed = cbor2.dumps([protected, {6: piv}, ciphertext])
        assert BootKeys(K, BOOT_ID).open(sealed) == (seq, plaintext)
        requests.append(["open_frame", K, BOOT_ID, sealed])
    opened = on_vm(vm, *requests)
    assert [(seq, bytes.fromhex(plaintext)) for seq, plaintext in opened] == cases()


def test_hello_tags_agree(vm: VM) -> None:
    bodies = [b"", b"x", bytes(64), bytes(300)]
    tags = on_vm(vm, *[["hello_tag", K, BOOT_ID, body] for body in bodies])
    assert [bytes.fromhex(tag) for tag in tags] == [BootKeys(K, BOOT_ID).hello_tag(body) for body in bodies]
