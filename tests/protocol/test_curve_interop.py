"""The pure code agrees with `cryptography` on random inputs, and on the awkward ones."""

import hashlib
import hmac
import random
from array import array
from collections.abc import Callable, Generator
from struct import unpack_from

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from protocol import backend_cpython as standard
from protocol import ccm, ed25519, edwards25519, field25519, hkdf, hpke, x25519
from protocol.crypto import run
from protocol.errors import SealError
from protocol.field25519 import P, load_register, new_registers, register_bytes
from protocol.sha512 import sha512_steps

ORDER = edwards25519.ORDER
# A point of order 8, as found by multiplying points of the curve with the group's order.
ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826


@pytest.fixture
def rng() -> random.Random:
    return random.Random(25519)


def test_hashes(rng: random.Random) -> None:
    for n in range(0, 400, 13):
        data, key = rng.randbytes(n), rng.randbytes(n % 140)
        assert run(sha512_steps(data)) == hashlib.sha512(data).digest()
        assert hkdf.hmac_sha256(key, data) == hmac.digest(key, data, "sha256")
        assert hkdf.hkdf(data, key, data[:9], n + 1) == standard.hkdf(data, key, data[:9], n + 1)


def test_x25519(rng: random.Random) -> None:
    for _ in range(6):
        sk, u = rng.randbytes(32), rng.randbytes(32)
        assert run(x25519.public_steps(sk)) == run(standard.x25519_public_steps(sk))
        assert run(x25519.shared_steps(sk, u)) == run(standard.x25519_steps(sk, u))


def test_x25519_extreme_keys() -> None:
    keys = (bytes(32), b"\xff" * 32, b"\xf8" + bytes(31), bytes(31) + b"\x7f", bytes(31) + b"\x40")
    points = (2, P - 2, P + 2, (1 << 255) - 1, (1 << 254) - 1)
    for n, sk in enumerate(keys):
        assert run(x25519.public_steps(sk)) == run(standard.x25519_public_steps(sk))
        for u in (9, points[n]):
            pk = u.to_bytes(32, "little")
            assert run(x25519.shared_steps(sk, pk)) == run(standard.x25519_steps(sk, pk))


def test_ed25519(rng: random.Random) -> None:
    for n in range(6):
        seed, message = rng.randbytes(32), rng.randbytes(31 * n)
        pub = run(standard.ed25519_public_steps(seed))
        assert run(ed25519.public_steps(seed)) == pub
        signature = run(standard.ed25519_sign_steps(seed, pub, message))
        assert run(ed25519.sign_steps(seed, pub, message)) == signature
        assert run(ed25519.verify_steps(pub, message, signature))
        forged = bytearray(signature)
        forged[rng.randrange(64)] ^= 1 << rng.randrange(8)
        for verify in (ed25519.verify_steps, standard.ed25519_verify_steps):
            assert not run(verify(pub, message, bytes(forged)))


def _decoded(y: int) -> "array[int]":
    registers = new_registers(edwards25519.REGISTERS)
    assert run(edwards25519.decode_steps(registers, y.to_bytes(32, "little")))
    return registers


def _based(scalar: int) -> "array[int]":
    registers = new_registers(edwards25519.REGISTERS)
    run(edwards25519.base_multiply_steps(registers, scalar))
    return registers


def test_ed25519_with_keys_outside_the_prime_order_group(rng: random.Random) -> None:
    """With A + T, T of order 8, one message in eight satisfies the cofactorless equation: agree which."""
    verdicts: list[bool] = []
    for _ in range(16):
        scalar, nonce = rng.randrange(ORDER), rng.randrange(ORDER)
        registers = _decoded(ORDER_8)
        edwards25519.keep_point(registers, edwards25519.LAST)
        run(edwards25519.base_multiply_steps(registers, scalar))
        edwards25519.add_point(registers, edwards25519.LAST)
        pub = run(edwards25519.encode_steps(registers))
        r = run(edwards25519.encode_steps(_based(nonce)))
        message = rng.randbytes(8)
        k = int.from_bytes(hashlib.sha512(r + pub + message).digest(), "little") % ORDER
        signature = r + ((nonce + k * scalar) % ORDER).to_bytes(32, "little")
        verdict = run(ed25519.verify_steps(pub, message, signature))
        assert verdict == run(standard.ed25519_verify_steps(pub, message, signature))
        verdicts.append(verdict)
    assert 0 < sum(verdicts) < 8


def test_ed25519_public_keys_of_every_kind(rng: random.Random) -> None:
    """Random strings, half of them off the curve: the same verdict, and never an exception."""
    seed = rng.randbytes(32)
    signature = run(standard.ed25519_sign_steps(seed, b"", b"message"))
    for _ in range(40):
        pub = rng.randbytes(32)
        assert not run(ed25519.verify_steps(pub, b"message", signature))
        assert not run(standard.ed25519_verify_steps(pub, b"message", signature))


def test_the_comb_is_what_it_says(rng: random.Random) -> None:
    """Multiples of the base point by table and by windows are the same, at the ends of the range too."""
    scalars = [1, 2, 3, ORDER - 1, ORDER - 2, (1 << 252) - 1, 1 << 192, 1 << 64]
    scalars += [rng.randrange(ORDER) for _ in range(4)]
    for scalar in scalars:
        registers = _decoded(4 * pow(5, -1, P) % P)
        run(edwards25519.multiply_steps(registers, scalar))
        by_windows = run(edwards25519.encode_steps(registers))
        assert run(edwards25519.encode_steps(_based(scalar))) == by_windows
    identity = (1).to_bytes(32, "little")
    assert run(edwards25519.encode_steps(_based(0))) == identity


def test_every_entry_of_the_comb() -> None:
    for i in range(8):
        scalar = (1 << 192) + sum((1 if i >> k & 1 else -1) << 64 * k for k in range(3))
        registers = _decoded(4 * pow(5, -1, P) % P)
        run(edwards25519.multiply_steps(registers, scalar % ORDER))
        run(edwards25519.encode_steps(registers))
        x, y = (int.from_bytes(register_bytes(registers, at), "little") for at in (7, 8))
        d = -121665 * pow(121666, -1, P)
        expected = [(y + x) % P, (y - x) % P, 2 * d * x * y % P]
        words = unpack_from("<60H", edwards25519._COMB, 120 * i)
        limbs = [words[at : at + 20] for at in (0, 20, 40)]
        assert [sum(limb << 13 * k for k, limb in enumerate(one)) for one in limbs] == expected
        assert max(words) < 1 << 13


def _power(steps: "Callable[[array[int]], Generator[None, None, None]]", z: int) -> int:
    registers = new_registers(16)
    load_register(registers, field25519.Z, z.to_bytes(32, "little"))
    run(steps(registers))
    return int.from_bytes(register_bytes(registers, field25519.POWER), "little")


def test_field_powers(rng: random.Random) -> None:
    for z in [1, 2, P - 1, *(rng.randrange(1, P) for _ in range(20))]:
        assert _power(field25519.invert_steps, z) == pow(z, -1, P)
        assert _power(field25519.root_power_steps, z) == pow(z, (P - 5) // 8, P)
    assert _power(field25519.invert_steps, 0) == 0


def test_hpke(rng: random.Random) -> None:
    for n in (0, 7):
        recipient, sender, eph = rng.randbytes(32), rng.randbytes(32), rng.randbytes(32)
        recipient_pk, sender_pk = run(x25519.public_steps(recipient)), run(x25519.public_steps(sender))
        info = rng.randbytes(n * 11)
        enc, ctx = run(hpke.auth_send_steps(recipient_pk, info, sender, sender_pk, eph))
        enc_2, ctx_2 = run(standard.hpke_auth_send_steps(recipient_pk, info, sender, sender_pk, eph))
        received = run(standard.hpke_auth_receive_steps(enc, recipient, recipient_pk, info, sender_pk))
        assert enc == enc_2
        assert run(hpke.auth_receive_steps(enc, recipient, recipient_pk, info, sender_pk)) == ctx
        for m in (0, 1, 32, 100):
            exported = hpke.export(ctx, b"context", m)
            assert exported == standard.hpke_export(ctx_2, b"context", m)
            assert exported == standard.hpke_export(received, b"context", m)


def _aes(key: bytes, mode: modes.CBC | modes.ECB, blocks: bytearray) -> None:
    encryptor = Cipher(algorithms.AES(key), mode).encryptor()
    blocks[:] = encryptor.update(blocks) + encryptor.finalize()


def test_ccm(rng: random.Random) -> None:
    pure = ccm.Ccm(
        lambda key, blocks: _aes(key, modes.CBC(bytes(16)), blocks),
        lambda key, blocks: _aes(key, modes.ECB(), blocks),
    )
    for n in range(0, 300, 3):
        key, nonce = rng.randbytes(16 if n & 1 else 32), rng.randbytes(13)
        aad, message, tag_len = rng.randbytes(n % 40), rng.randbytes(n), (4, 6, 8, 10, 12, 14, 16)[n % 7]
        sealed = pure.seal(key, nonce, aad, message, tag_len)
        assert sealed == standard.ccm_seal(key, nonce, aad, message, tag_len)
        assert pure.open(key, nonce, aad, sealed, tag_len) == message
        forged = bytearray(sealed)
        forged[rng.randrange(len(forged))] ^= 1 << rng.randrange(8)
        with pytest.raises(SealError):
            pure.open(key, nonce, aad, bytes(forged), tag_len)
