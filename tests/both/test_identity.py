"""Identities: derivation, names, what is shown, and the message of a pairing."""

from protocol import cbor, crypto, identity
from protocol.crypto import run
from protocol.errors import LocalError

# RFC 8032 §7.1 test 1 and RFC 7748 §6.1
ED_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
ED_PUB = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
X_SK = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
X_PUB = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
FINGERPRINT = "422e8dd4b8aed6b9cf40567efd79e9a4d5fb85412857331a2a9764e54add39f4"
# From the 64 bytes 00 01 … 3f
GENERATED = "6750e26081617609"


def test_public_halves_and_names():
    me = run(identity.from_seed_steps(ED_SEED, X_SK))
    assert me.public() == (ED_PUB, X_PUB)
    assert me.fingerprint == crypto.sha256(ED_PUB + X_PUB) == bytes.fromhex(FINGERPRINT)
    assert me.id == me.fingerprint[:8] == identity.node_id(ED_PUB, X_PUB)


def test_generated_from_entropy():
    me = run(identity.generate_steps(bytes(range(64))))
    assert me.id.hex() == GENERATED
    again = run(identity.from_seed_steps(me.ed_seed, me.x_sk))
    assert again.public() == me.public()
    other = run(identity.generate_steps(bytes(range(63)) + b"\x00"))
    for mine, theirs in zip((me.ed_seed, me.x_sk, me.id), (other.ed_seed, other.x_sk, other.id)):
        assert mine != theirs
    assert me.ed_seed != me.x_sk


def test_lengths():
    for entropy in (b"", bytes(63), bytes(65)):
        try:
            run(identity.generate_steps(entropy))
            raise AssertionError("an identity from %d bytes" % len(entropy))
        except LocalError:
            pass
    try:
        identity.Identity(ED_SEED, ED_PUB, X_SK, X_PUB[:31])
        raise AssertionError("a short key")
    except LocalError:
        pass


def test_secrets_are_not_shown():
    me = identity.Identity(ED_SEED, ED_PUB, X_SK, X_PUB)
    for text in (repr(me), str(me)):
        assert me.id.hex() in text
        for secret in (ED_SEED, X_SK):
            assert secret.hex() not in text and repr(secret) not in text


def test_fingerprint_for_people():
    text = identity.fingerprint_text(bytes.fromhex(FINGERPRINT))
    groups = text.split(" ")
    assert len(groups) == 8 and {len(group) for group in groups} == {4}
    assert "".join(groups) == FINGERPRINT[:32]


def test_pair_message():
    nonce = bytes(range(16))
    message = identity.pair_message(ED_PUB, X_PUB, X_PUB, ED_PUB, nonce)
    assert message[:18] == b"\x86\x70vitalwire/1 pair"
    assert cbor.loads(message) == ["vitalwire/1 pair", ED_PUB, X_PUB, X_PUB, ED_PUB, nonce]
