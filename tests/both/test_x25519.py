"""X25519: RFC 7748 vectors on the pure ladder and on the backend; keys that must be refused."""

from protocol import crypto, x25519
from protocol.crypto import run
from protocol.errors import LocalError, SealError

h = bytes.fromhex

# scalar, u, result: RFC 7748 §5.2
VECTORS = (
    (
        h("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
        h("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
        h("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"),
    ),
    (
        h("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
        h("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"),
        h("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"),
    ),
    (
        b"\x09" + bytes(31),
        b"\x09" + bytes(31),
        h("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"),
    ),
)
# RFC 7748 §6.1: secret, public
ALICE = (
    h("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"),
    h("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
)
BOB = (
    h("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"),
    h("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"),
)
SHARED = h("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")

P = (1 << 255) - 19
ORDER_8 = (
    h("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    h("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
)


def both():
    """(public, shared) of the pure code, and of the backend in use: the same on MicroPython."""
    return (
        (x25519.public_steps, x25519.shared_steps),
        (crypto.x25519_public_steps, crypto.x25519_steps),
    )


def test_rfc7748_vectors():
    for _, shared in both():
        for scalar, u, expected in VECTORS:
            assert run(shared(scalar, u)) == expected


def test_a_thousand_rounds():
    """RFC 7748 §5.2: k and u fed back; the result after one round is in VECTORS. On CPython, where the pure
    twin takes a minute, of the backend.
    """
    k = u = b"\x09" + bytes(31)
    for _ in range(1000):
        k, u = run(crypto.x25519_steps(k, u)), k
    assert k == h("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")


def test_diffie_hellman_of_rfc7748():
    for public, shared in both():
        assert run(public(ALICE[0])) == ALICE[1]
        assert run(public(BOB[0])) == BOB[1]
        assert run(shared(ALICE[0], BOB[1])) == SHARED
        assert run(shared(BOB[0], ALICE[1])) == SHARED


def test_public_key_is_the_ladder_from_the_base_point():
    sk = bytes(range(32))
    for _ in range(3):
        pk = run(x25519.public_steps(sk))
        assert pk == run(x25519.shared_steps(sk, b"\x09" + bytes(31)))
        sk = pk


def test_any_encoding_of_u_is_taken_modulo_p():
    """RFC 7748 §5: the top bit is ignored and values from p up are accepted."""
    for _, shared in both():
        plain = run(shared(ALICE[0], b"\x09" + bytes(31)))
        assert run(shared(ALICE[0], b"\x09" + bytes(30) + b"\x80")) == plain
        assert run(shared(ALICE[0], (P + 9).to_bytes(32, "little"))) == plain


def test_small_order_gives_no_secret():
    points = [value.to_bytes(32, "little") for value in (0, 1, P - 1, P, P + 1)]
    points.extend(ORDER_8)
    for _, shared in both():
        for u in points:
            for key in (u, u[:31] + bytes((u[31] | 0x80,))):
                try:
                    run(shared(ALICE[0], key))
                    raise AssertionError("a secret from a point of small order")
                except SealError as error:
                    assert error.cause == "bad_key"


def test_lengths():
    for public, shared in both():
        for n in (0, 31, 33):
            for steps in (public(bytes(n)), shared(bytes(n), ALICE[1])):
                try:
                    run(steps)
                    raise AssertionError("a secret key of %d bytes" % n)
                except LocalError:
                    pass
            try:
                run(shared(ALICE[0], bytes(n)))
                raise AssertionError("a public key of %d bytes" % n)
            except SealError as error:
                assert error.cause == "bad_key"


def test_the_ladder_comes_in_slices():
    assert sum([1 for _ in x25519.shared_steps(ALICE[0], BOB[1])]) >= 36
    assert sum([1 for _ in x25519.public_steps(ALICE[0])]) >= 20
