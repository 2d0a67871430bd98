"""HMAC-SHA256 (RFC 4231) and HKDF-SHA256 (RFC 5869): the pure module, and what the backend offers."""

from protocol import crypto, hkdf

HMAC_CASES = (
    # key, message, tag: RFC 4231 §4.2, 4.3, 4.4, 4.5, 4.7 and 4.8
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (
        bytes(range(1, 26)),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        b"\xaa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size data. The key needs"
        b" to be hashed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
)

HKDF_CASES = (
    # ikm, salt, info, prk, okm: RFC 5869 A.1, A.2, A.3
    (
        b"\x0b" * 22,
        bytes(range(13)),
        bytes(range(0xF0, 0xFA)),
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        b"\x0b" * 22,
        b"",
        b"",
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
)


def test_hmac_vectors():
    for key, message, tag in HMAC_CASES:
        assert hkdf.hmac_sha256(key, message).hex() == tag
        assert crypto.hmac_sha256(key, message).hex() == tag


def test_hkdf_vectors():
    for ikm, salt, info, prk, okm in HKDF_CASES:
        assert hkdf.extract(salt, ikm).hex() == prk
        n = len(okm) // 2
        assert hkdf.hkdf(ikm, salt, info, n).hex() == okm
        assert crypto.hkdf(ikm, salt, info, n).hex() == okm


def test_expand_gives_prefixes_and_has_an_end():
    prk = bytes(32)
    longest = hkdf.expand(prk, b"info", 255 * 32)
    for n in (0, 1, 31, 32, 33, 64, 255 * 32):
        assert hkdf.expand(prk, b"info", n) == longest[:n]
    try:
        hkdf.expand(prk, b"info", 255 * 32 + 1)
        raise AssertionError("more than HKDF can give")
    except ValueError:
        pass


def test_sha256():
    assert crypto.sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
