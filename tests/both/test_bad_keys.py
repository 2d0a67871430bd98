"""Keys, signatures and tags made to pass for good ones: what curves and ciphers are known to be attacked by.

The cases are made here from the curve's own facts: points of small order, second encodings of a number, sums
with the group's order. The pure code and the backend in use must both refuse each.
"""

from protocol import crypto, ed25519, edwards25519, hpke, seal, x25519
from protocol.crypto import run
from protocol.edwards25519 import ORDER
from protocol.errors import SealError
from protocol.field25519 import P, new_registers
from protocol.identity import generate_steps
from tests.both.sealing import seal_one

SEED = bytes(range(32))
PUBLIC = run(crypto.ed25519_public_steps(SEED))
MESSAGE = b"72 a minute"
SIGNATURE = run(crypto.ed25519_sign_steps(SEED, PUBLIC, MESSAGE))
R, S = SIGNATURE[:32], int.from_bytes(SIGNATURE[32:], "little")
# y of a point of order 8; its negative is another.
ORDER_8_Y = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
SMALL_ORDER_Y = (0, 1, P - 1, ORDER_8_Y, P - ORDER_8_Y)
SIGN = 1 << 255
# u of the points of small order on the curve and on its twist.
SMALL_ORDER_U = (
    0,
    1,
    P - 1,
    0xB8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
)


def le(number):
    return number.to_bytes(32, "little")


def verdict(pub, message, signature):
    """What the pure code and the backend say, which must be the same."""
    pure = run(ed25519.verify_steps(pub, message, signature))
    assert pure == run(crypto.ed25519_verify_steps(pub, message, signature))
    return pure


def raises(call):
    try:
        call()
    except SealError as error:
        return error.cause
    return None


def test_only_one_s_signs():
    assert verdict(PUBLIC, MESSAGE, R + le(S))
    for s in (S + ORDER, S + 2 * ORDER, ORDER, 0, ORDER - S, S ^ 1, S | SIGN, S | 1 << 253, 2 * SIGN - 1):
        assert not verdict(PUBLIC, MESSAGE, R + le(s))


def test_an_r_of_small_order_or_with_a_second_encoding_signs_nothing():
    for y in SMALL_ORDER_Y:
        for encoded in (y, y | SIGN, y + P if y + P < SIGN else y):
            for s in (0, S):
                assert not verdict(PUBLIC, MESSAGE, le(encoded) + le(s))
    # The same R with its x negated, and R written as no encoder writes it.
    assert not verdict(PUBLIC, MESSAGE, R[:31] + bytes((R[31] ^ 0x80,)) + le(S))
    assert not verdict(PUBLIC, MESSAGE, b"\xff" * 32 + le(S))


def test_a_signature_is_not_of_a_key_that_differs_by_a_point_of_small_order():
    registers = new_registers(edwards25519.REGISTERS)
    for y in SMALL_ORDER_Y[2:]:
        assert run(edwards25519.decode_steps(registers, PUBLIC))
        edwards25519.keep_point(registers, edwards25519.LAST)
        assert run(edwards25519.decode_steps(registers, le(y)))
        edwards25519.add_point(registers, edwards25519.LAST)
        other = run(edwards25519.encode_steps(registers))
        assert other != PUBLIC and not verdict(other, MESSAGE, SIGNATURE)


def test_keys_that_sign_everything_are_no_keys():
    for y in SMALL_ORDER_Y:
        for encoded in (y, y | SIGN, y + P if y + P < SIGN else y, (y + P | SIGN) if y + P < SIGN else y):
            assert not ed25519.acceptable_public(le(encoded))
            for r in (le(1), le(encoded)):
                assert not verdict(le(encoded), MESSAGE, r + le(0))


def test_signatures_in_another_shape():
    for other in (
        le(S) + R,
        bytes(64),
        SIGNATURE[:63],
        SIGNATURE + b"\0",
        b"",
        R,
    ):
        assert not verdict(PUBLIC, MESSAGE, other)
    for message in (b"", MESSAGE[:-1], MESSAGE + b"\0", b"\0" + MESSAGE):
        assert not verdict(PUBLIC, message, SIGNATURE)


def test_points_of_small_order_give_no_secret_in_any_encoding():
    for u in SMALL_ORDER_U:
        for encoded in (u, u + P if u + P < SIGN else u):
            for bits in (encoded, encoded | SIGN):
                assert raises(lambda bits=bits: run(x25519.shared_steps(SEED, le(bits)))) == "bad_key"
                assert raises(lambda bits=bits: run(crypto.x25519_steps(SEED, le(bits)))) == "bad_key"


def test_secret_keys_with_every_clamped_bit_agree_with_their_clamped_form():
    peer = run(crypto.x25519_public_steps(SEED))
    plain = bytes((0x40,)) + SEED[1:31] + bytes((0x41,))
    expected = run(crypto.x25519_steps(plain, peer))
    for low, high in ((0x47, 0x01), (0x41, 0xC1), (0x40, 0x81)):
        other = bytes((low,)) + SEED[1:31] + bytes((high,))
        assert run(x25519.shared_steps(other, peer)) == run(crypto.x25519_steps(other, peer)) == expected


def parties():
    return [run(generate_steps(bytes((n,)) * 64)) for n in (1, 2)]


def test_a_header_from_a_key_of_small_order_opens_nothing():
    node, agent = parties()
    enc, wrapped = run(seal.wrap_header_steps(bytes(16), bytes(12), node, agent.id, agent.x_pub, SEED))

    def opened(enc, node_x_pub):
        return run(seal.unwrap_header_steps(enc, wrapped, bytes(12), agent, node.id, node_x_pub))

    assert opened(enc, node.x_pub) == bytes(16)
    for u in SMALL_ORDER_U:
        assert raises(lambda u=u: opened(le(u), node.x_pub)) == "bad_key"
        assert raises(lambda u=u: opened(enc, le(u))) == "bad_key"
        assert raises(lambda u=u: run(hpke.auth_send_steps(le(u), b"", SEED, PUBLIC, SEED))) == "bad_key"
    # The same point in its other encoding is another key to HPKE: it binds the bytes.
    assert raises(lambda: opened(enc[:31] + bytes((enc[31] | 0x80,)), node.x_pub)) == "bad_tag"


def test_a_tag_cut_short_is_no_tag():
    """CCM's first block holds the tag's length, so no tag is the beginning of a longer one."""
    key, nonce = bytes(16), bytes(13)
    whole = crypto.ccm_seal(key, nonce, b"", MESSAGE, 8)
    short = crypto.ccm_seal(key, nonce, b"", MESSAGE, 4)
    assert whole[: len(short)] != short
    for sealed, tag_len in ((whole[:-4], 4), (short, 8), (whole + bytes(8), 16), (whole[:8], 8), (b"", 8)):
        assert (
            raises(lambda sealed=sealed, n=tag_len: crypto.ccm_open(key, nonce, b"", sealed, n)) == "bad_tag"
        )
    frame = seal_one(key, bytes(12), 3, MESSAGE)
    keys = seal.BootKeys(key, bytes(12))
    for n in range(1, 9):
        cut = frame[:9] + bytes((0x40 | len(MESSAGE) + 8 - n,)) + frame[10:-n]
        assert raises(lambda cut=cut: keys.open(cut)) in ("bad_tag", "bad_header")


def test_equal_sees_every_bit():
    text = bytes(range(16))
    assert crypto.equal(text, bytes(range(16))) and crypto.equal(b"", b"")
    for at in range(16):
        for bit in range(8):
            changed = bytearray(text)
            changed[at] ^= 1 << bit
            assert not crypto.equal(text, bytes(changed))
    assert not crypto.equal(text, text[:15]) and not crypto.equal(text[:15], text)
