"""Commands and answers on their way (docs/wire-protocol.md §11.3): encrypted to the one that they are for, so
a broker reads neither. CPython only.

HPKE (RFC 9180) in mode Base, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM. Who sent it, the signature
inside says (remote.py).
"""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey, KEMKeyInterface, KEMKeyPair
from pyhpke.exceptions import PyHPKEError

from protocol import cbor
from protocol.checks import is_bytes
from protocol.cose import VERSION, versioned
from protocol.errors import BatchError
from protocol.identity import Identity

MAX_MESSAGE = 4096
"""Bytes of a sealed command; what is longer is refused unread."""
MAX_ANSWER = 32_768
"""Bytes of a sealed answer, which carries every hand-over of the agent's signing key (64, of 270 bytes)."""

_SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES128_GCM)


def seal_command(signed: bytes, agent_id: bytes, agent_x_pub: bytes, eph_sk: "bytes | None" = None) -> bytes:
    """A command encrypted to its agent. `eph_sk`: 32 fresh random bytes; left out, they are drawn here."""
    enc, sealed = _seal(signed, agent_x_pub, cbor.dumps(["vitalwire/1 command", agent_id]), eph_sk)
    return cbor.dumps({1: VERSION, 2: agent_id, 3: enc, 4: sealed})


def unseal_command(message: bytes, agent: Identity) -> bytes:
    """The signed command. BatchError: wrong_agent, bad_seal, …"""
    agent_id, enc, sealed, _ = _envelope(message, "sealed command", MAX_MESSAGE)
    if agent_id != agent.id:
        raise BatchError(f"a command for agent {agent_id.hex()}, not {agent.id.hex()}", cause="wrong_agent")
    return _unseal(enc, sealed, agent, cbor.dumps(["vitalwire/1 command", agent_id]))


def seal_answer(
    signed: bytes, agent_id: bytes, authority_id: bytes, authority_x_pub: bytes, eph_sk: "bytes | None" = None
) -> bytes:
    """An answer encrypted to the authority that asked."""
    info = cbor.dumps(["vitalwire/1 answer", agent_id, authority_id])
    enc, sealed = _seal(signed, authority_x_pub, info, eph_sk)
    return cbor.dumps({1: VERSION, 2: agent_id, 3: enc, 4: sealed, 5: authority_id})


def unseal_answer(message: bytes, authority: Identity) -> bytes:
    """The signed answer. BatchError: wrong_authority (it is for another one), bad_seal, …"""
    agent_id, enc, sealed, authority_id = _envelope(message, "sealed answer", MAX_ANSWER)
    if authority_id != authority.id:
        raise BatchError("an answer for another authority", cause="wrong_authority")
    return _unseal(enc, sealed, authority, cbor.dumps(["vitalwire/1 answer", agent_id, authority_id]))


def seal_secret(secret: bytes, agent_id: bytes, agent_x_pub: bytes) -> bytes:
    """Something that a command tells its agent and nobody else on the machine."""
    enc, sealed = _seal(secret, agent_x_pub, cbor.dumps(["vitalwire/1 secret", agent_id]), None)
    return cbor.dumps({1: VERSION, 2: agent_id, 3: enc, 4: sealed})


def unseal_secret(message: bytes, agent: Identity) -> bytes:
    """What was sealed. BatchError: wrong_agent, bad_seal, …"""
    agent_id, enc, sealed, _ = _envelope(message, "sealed secret", MAX_MESSAGE)
    if agent_id != agent.id:
        raise BatchError(f"for agent {agent_id.hex()}, not {agent.id.hex()}", cause="wrong_agent")
    return _unseal(enc, sealed, agent, cbor.dumps(["vitalwire/1 secret", agent_id]))


def _envelope(message: bytes, what: str, most: int) -> "tuple[bytes, bytes, bytes, bytes | None]":
    if len(message) > most:
        raise BatchError(f"{what}: {len(message)} bytes; {most} is the limit", cause="oversize")
    fields = versioned(message, what)
    agent_id, enc, sealed = fields.get(2), fields.get(3), fields.get(4)
    if not is_bytes(agent_id, 8) or not is_bytes(enc, 32) or not isinstance(sealed, bytes):
        raise BatchError(f"{what}: a field is missing or of a wrong length")
    authority = fields.get(5)
    return agent_id, enc, sealed, authority if is_bytes(authority, 8) else None


def _seal(clear: bytes, x_pub: bytes, info: bytes, eph_sk: "bytes | None") -> "tuple[bytes, bytes]":
    pair = None
    if eph_sk is not None:
        private = X25519PrivateKey.from_private_bytes(eph_sk)
        pair = KEMKeyPair(_kem_key(private), _kem_key(private.public_key()))
    try:
        public = _kem_key(X25519PublicKey.from_public_bytes(x_pub))
        enc, context = _SUITE.create_sender_context(public, info, eks=pair)
        return enc, context.seal(clear, b"")
    except (PyHPKEError, ValueError) as error:
        raise BatchError("the far end's X25519 key gives no secret", cause="bad_seal") from error


def _unseal(enc: bytes, sealed: bytes, me: Identity, info: bytes) -> bytes:
    private = _kem_key(X25519PrivateKey.from_private_bytes(me.x_sk))
    try:
        return _SUITE.create_recipient_context(enc, private, info).open(sealed, b"")
    except (PyHPKEError, ValueError) as error:
        raise BatchError("not encrypted to this key, or changed on the way", cause="bad_seal") from error


def _kem_key(key: "X25519PrivateKey | X25519PublicKey") -> KEMKeyInterface:
    return KEMKey.from_pyca_cryptography_key(key)
