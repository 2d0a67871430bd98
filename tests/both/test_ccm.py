"""AES-CCM: all packet vectors of RFC 3610 on the backend in use, block boundaries, and what must not open."""

from protocol import crypto
from protocol.errors import LocalError, SealError

h = bytes.fromhex

KEY_1 = bytes(range(0xC0, 0xD0))
KEY_2 = h("d7828d13b2b0bdc325a76236df93cc6b")

# key, nonce, additional data, message, ciphertext and tag: RFC 3610 §8, packet vectors 1 to 24
VECTORS = (
    (
        KEY_1,
        h("00000003020100a0a1a2a3a4a5"),
        h("0001020304050607"),
        h("08090a0b0c0d0e0f101112131415161718191a1b1c1d1e"),
        h("588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0"),
    ),
    (
        KEY_1,
        h("00000004030201a0a1a2a3a4a5"),
        h("0001020304050607"),
        h("08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
        h("72c91a36e135f8cf291ca894085c87e3cc15c439c9e43a3ba091d56e10400916"),
    ),
    (
        KEY_1,
        h("00000005040302a0a1a2a3a4a5"),
        h("0001020304050607"),
        h("08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"),
        h("51b1e5f44a197d1da46b0f8e2d282ae871e838bb64da8596574adaa76fbd9fb0c5"),
    ),
    (
        KEY_1,
        h("00000006050403a0a1a2a3a4a5"),
        h("000102030405060708090a0b"),
        h("0c0d0e0f101112131415161718191a1b1c1d1e"),
        h("a28c6865939a9a79faaa5c4c2a9d4a91cdac8c96c861b9c9e61ef1"),
    ),
    (
        KEY_1,
        h("00000007060504a0a1a2a3a4a5"),
        h("000102030405060708090a0b"),
        h("0c0d0e0f101112131415161718191a1b1c1d1e1f"),
        h("dcf1fb7b5d9e23fb9d4e131253658ad86ebdca3e51e83f077d9c2d93"),
    ),
    (
        KEY_1,
        h("00000008070605a0a1a2a3a4a5"),
        h("000102030405060708090a0b"),
        h("0c0d0e0f101112131415161718191a1b1c1d1e1f20"),
        h("6fc1b011f006568b5171a42d953d469b2570a4bd87405a0443ac91cb94"),
    ),
    (
        KEY_1,
        h("00000009080706a0a1a2a3a4a5"),
        h("0001020304050607"),
        h("08090a0b0c0d0e0f101112131415161718191a1b1c1d1e"),
        h("0135d1b2c95f41d5d1d4fec185d166b8094e999dfed96c048c56602c97acbb7490"),
    ),
    (
        KEY_1,
        h("0000000a090807a0a1a2a3a4a5"),
        h("0001020304050607"),
        h("08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
        h("7b75399ac0831dd2f0bbd75879a2fd8f6cae6b6cd9b7db24c17b4433f434963f34b4"),
    ),
    (
        KEY_1,
        h("0000000b0a0908a0a1a2a3a4a5"),
        h("0001020304050607"),
        h("08090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"),
        h("82531a60cc24945a4b8279181ab5c84df21ce7f9b73f42e197ea9c07e56b5eb17e5f4e"),
    ),
    (
        KEY_1,
        h("0000000c0b0a09a0a1a2a3a4a5"),
        h("000102030405060708090a0b"),
        h("0c0d0e0f101112131415161718191a1b1c1d1e"),
        h("07342594157785152b074098330abb141b947b566aa9406b4d999988dd"),
    ),
    (
        KEY_1,
        h("0000000d0c0b0aa0a1a2a3a4a5"),
        h("000102030405060708090a0b"),
        h("0c0d0e0f101112131415161718191a1b1c1d1e1f"),
        h("676bb20380b0e301e8ab79590a396da78b834934f53aa2e9107a8b6c022c"),
    ),
    (
        KEY_1,
        h("0000000e0d0c0ba0a1a2a3a4a5"),
        h("000102030405060708090a0b"),
        h("0c0d0e0f101112131415161718191a1b1c1d1e1f20"),
        h("c0ffa0d6f05bdb67f24d43a4338d2aa4bed7b20e43cd1aa31662e7ad65d6db"),
    ),
    (
        KEY_2,
        h("00412b4ea9cdbe3c9696766cfa"),
        h("0be1a88bace018b1"),
        h("08e8cf97d820ea258460e96ad9cf5289054d895ceac47c"),
        h("4cb97f86a2a4689a877947ab8091ef5386a6ffbdd080f8e78cf7cb0cddd7b3"),
    ),
    (
        KEY_2,
        h("0033568ef7b2633c9696766cfa"),
        h("63018f76dc8a1bcb"),
        h("9020ea6f91bdd85afa0039ba4baff9bfb79c7028949cd0ec"),
        h("4ccb1e7ca981befaa0726c55d378061298c85c92814abc33c52ee81d7d77c08a"),
    ),
    (
        KEY_2,
        h("00103fe41336713c9696766cfa"),
        h("aa6cfa36cae86b40"),
        h("b916e0eacc1c00d7dcec68ec0b3bbb1a02de8a2d1aa346132e"),
        h("b1d23a2220ddc0ac900d9aa03c61fcf4a559a4417767089708a776796edb723506"),
    ),
    (
        KEY_2,
        h("00764c63b8058e3c9696766cfa"),
        h("d0d0735c531e1becf049c244"),
        h("12daac5630efa5396f770ce1a66b21f7b2101c"),
        h("14d253c3967b70609b7cbb7c499160283245269a6f49975bcadeaf"),
    ),
    (
        KEY_2,
        h("00f8b678094e3b3c9696766cfa"),
        h("77b60f011c03e1525899bcae"),
        h("e88b6a46c78d63e52eb8c546efb5de6f75e9cc0d"),
        h("5545ff1a085ee2efbf52b2e04bee1e2336c73e3f762c0c7744fe7e3c"),
    ),
    (
        KEY_2,
        h("00d560912d3f703c9696766cfa"),
        h("cd9044d2b71fdb8120ea60c0"),
        h("6435acbafb11a82e2f071d7ca4a5ebd93a803ba87f"),
        h("009769ecabdf48625594c59251e6035722675e04c847099e5ae0704551"),
    ),
    (
        KEY_2,
        h("0042fff8f1951c3c9696766cfa"),
        h("d85bc7e69f944fb8"),
        h("8a19b950bcf71a018e5e6701c91787659809d67dbedd18"),
        h("bc218daa947427b6db386a99ac1aef23ade0b52939cb6a637cf9bec2408897c6ba"),
    ),
    (
        KEY_2,
        h("00920f40e56cdc3c9696766cfa"),
        h("74a0ebc9069f5b37"),
        h("1761433c37c5a35fc1f39f406302eb907c6163be38c98437"),
        h("5810e6fd25874022e80361a478e3e9cf484ab04f447efff6f0a477cc2fc9bf548944"),
    ),
    (
        KEY_2,
        h("0027ca0c7120bc3c9696766cfa"),
        h("44a3aa3aae6475ca"),
        h("a434a8e58500c6e41530538862d686ea9e81301b5ae4226bfa"),
        h("f2beed7bc5098e83feb5b31608f8e29c38819a89c8e776f1544d4151a4ed3a8b87b9ce"),
    ),
    (
        KEY_2,
        h("005b8ccbcd9af83c9696766cfa"),
        h("ec46bb63b02520c33c49fd70"),
        h("b96b49e21d621741632875db7f6c9243d2d7c2"),
        h("31d750a09da3ed7fddd49a2032aabf17ec8ebf7d22c8088c666be5c197"),
    ),
    (
        KEY_2,
        h("003ebe94044b9a3c9696766cfa"),
        h("47a65ac78b3d594227e85e71"),
        h("e2fcfbb880442c731bf95167c8ffd7895e337076"),
        h("e882f1dbd38ce3eda7c23f04dd65071eb41342acdf7e00dccec7ae52987d"),
    ),
    (
        KEY_2,
        h("008d493b30ae8b3c9696766cfa"),
        h("6e37a6ef546d955d34ab6059"),
        h("abf21c0b02feb88f856df4a37381bce3cc128517d4"),
        h("f32905b88a641b04b9c9ffb58cc390900f3da12ab16dce9e82efa16da62059"),
    ),
)
NONCE = bytes(range(13))


def refused(key, nonce, aad, sealed, tag_len):
    try:
        crypto.ccm_open(key, nonce, aad, sealed, tag_len)
    except SealError as error:
        return error.cause == "bad_tag"
    return False


def test_rfc3610_vectors():
    for key, nonce, aad, message, sealed in VECTORS:
        tag_len = len(sealed) - len(message)
        assert crypto.ccm_seal(key, nonce, aad, message, tag_len) == sealed
        assert crypto.ccm_open(key, nonce, aad, sealed, tag_len) == message


def test_every_length_around_the_blocks():
    for n in (0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 257, 1000):
        message = bytes([i & 255 for i in range(n)])
        for aad in (b"", b"a", bytes(13), bytes(14), bytes(15), bytes(300)):
            for tag_len in (4, 8, 16):
                sealed = crypto.ccm_seal(KEY_1, NONCE, aad, message, tag_len)
                assert len(sealed) == n + tag_len
                assert crypto.ccm_open(KEY_1, NONCE, aad, sealed, tag_len) == message


def test_nothing_opens_changed():
    sealed = crypto.ccm_seal(KEY_1, NONCE, b"header", b"twenty bytes of text", 8)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1 << (at % 8)
        assert refused(KEY_1, NONCE, b"header", bytes(changed), 8)
    for n in range(len(sealed)):
        assert refused(KEY_1, NONCE, b"header", sealed[:n], 8)
    assert refused(KEY_1, NONCE, b"header", sealed + b"\x00", 8)
    assert refused(KEY_1, NONCE, b"heades", sealed, 8)
    assert refused(KEY_1, NONCE, b"", sealed, 8)
    assert refused(KEY_2, NONCE, b"header", sealed, 8)
    assert refused(KEY_1, NONCE[:12] + b"\x00", b"header", sealed, 8)


def test_limits_are_our_error():
    for key, nonce, message, tag_len in (
        (KEY_1[:15], NONCE, b"", 8),
        (KEY_1, NONCE[:12], b"", 8),
        (KEY_1, NONCE + b"\x00", b"", 8),
        (KEY_1, NONCE, b"", 7),
        (KEY_1, NONCE, b"", 18),
        (KEY_1, NONCE, bytes(0x10000), 8),
    ):
        try:
            crypto.ccm_seal(key, nonce, b"", message, tag_len)
            raise AssertionError("sealed beyond the limits")
        except LocalError:
            pass
