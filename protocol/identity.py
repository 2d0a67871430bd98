"""Who a party is: two key pairs, the fingerprint of their public halves, and the name that follows from it.

See docs/wire-protocol.md §2 (identity) and §4 (the pair signature).
"""

from protocol import cbor, crypto
from protocol.errors import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

ID_BYTES = 8
ENTROPY_BYTES = 64
_SHOWN_BYTES = 16


class Identity:
    """The keys of one party: Ed25519 (RFC 8032) to sign, X25519 (RFC 7748) to agree; 32 bytes each.

    `ed_seed` and `x_sk` are secret: they are never shown. The public halves must belong to them: make an
    Identity with `generate_steps` or `from_seed_steps` unless you have just stored what those gave.
    """

    def __init__(self, ed_seed: bytes, ed_pub: bytes, x_sk: bytes, x_pub: bytes):
        for part in (ed_seed, ed_pub, x_sk, x_pub):
            if len(part) != 32:
                raise LocalError("a key of %d bytes; keys have 32" % len(part))
        self.ed_seed = ed_seed
        self.ed_pub = ed_pub
        self.x_sk = x_sk
        self.x_pub = x_pub
        self.fingerprint = fingerprint(ed_pub, x_pub)
        self.id = self.fingerprint[:ID_BYTES]

    def public(self) -> "tuple[bytes, bytes]":
        """(ed25519 public, x25519 public)."""
        return self.ed_pub, self.x_pub

    def __repr__(self) -> str:
        return "<Identity %s>" % self.id.hex()


def generate_steps(entropy: bytes) -> "Generator[None, None, Identity]":
    """A new Identity from 64 bytes of entropy, which are never used again.

    The seeds are derived with HKDF, so that a pool of more bytes than bits of entropy serves both keys.
    """
    if len(entropy) != ENTROPY_BYTES:
        raise LocalError("%d bytes of entropy; an identity takes %d" % (len(entropy), ENTROPY_BYTES))
    ed_seed = crypto.hkdf(entropy, b"", b"vitalwire/1 ed25519 seed", 32)
    x_sk = crypto.hkdf(entropy, b"", b"vitalwire/1 x25519 secret", 32)
    return (yield from from_seed_steps(ed_seed, x_sk))


def from_seed_steps(ed_seed: bytes, x_sk: bytes) -> "Generator[None, None, Identity]":
    """The Identity of two stored secrets, 32 bytes each; the public halves are computed."""
    ed_pub = yield from crypto.ed25519_public_steps(ed_seed)
    x_pub = yield from crypto.x25519_public_steps(x_sk)
    return Identity(ed_seed, ed_pub, x_sk, x_pub)


def fingerprint(ed_pub: bytes, x_pub: bytes) -> bytes:
    """SHA-256 of both public keys, 32 bytes."""
    return crypto.sha256(ed_pub + x_pub)


def node_id(ed_pub: bytes, x_pub: bytes) -> bytes:
    """The id of any party (node, agent, collector): the first 8 bytes of its fingerprint."""
    return fingerprint(ed_pub, x_pub)[:ID_BYTES]


def fingerprint_text(fp: bytes) -> str:
    """The first 16 bytes of a fingerprint for people to compare: hex in groups of four digits."""
    digits = fp[:_SHOWN_BYTES].hex()
    return " ".join([digits[i : i + 4] for i in range(0, len(digits), 4)])


def pair_message(
    agent_ed: bytes,
    agent_x: bytes,
    node_ed: bytes,
    node_x: bytes,
    nonce: bytes,
    authority: "Any" = None,
    button: bool = False,
) -> bytes:
    """What a node signs when it pairs: both parties' public keys, the request's nonce (16 bytes), the
    authority that it took with it ([] or two public keys), if the request had one, and that its button was
    held, if the request wanted that."""
    what: "list[Any]" = ["vitalwire/1 pair", agent_ed, agent_x, node_ed, node_x, nonce]
    if authority is not None:
        what.append(authority)
    if button:
        what.append(True)
    return cbor.dumps(what)
