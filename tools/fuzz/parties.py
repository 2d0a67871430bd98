"""A node, an agent and what a paired peer that means harm can do: seal anything, under any number."""

from protocol import cbor, crypto, seal
from protocol.identity import from_seed_steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from protocol.identity import Identity

_ENC0 = b"\xa1\x01\x0a"


def secret(label: str, size: int = 32) -> bytes:
    """Bytes that stand for random ones: the first `size` of the label's hash."""
    return crypto.sha256(b"vitalwire fuzz: " + label.encode())[:size]


def party(label: str) -> "Identity":
    """The identity that follows from a label."""
    return crypto.run(from_seed_steps(secret(label + " ed25519"), secret(label + " x25519")))


class Random:
    """Reproducible bytes, never the same twice."""

    def __init__(self, seed: int):
        self._seed = seed
        self._n = 0

    def __call__(self, n: int) -> bytes:
        """The next `n` bytes."""
        out = b""
        while len(out) < n:
            self._n += 1
            out += crypto.sha256(b"%d %d" % (self._seed, self._n))
        return out[:n]


def sealed(key: bytes, iv: bytes, direction: int, boot_id: bytes, number: int, plaintext: bytes) -> bytes:
    """COSE_Encrypt0 as docs/wire-protocol.md §6 has it, whoever used that number before."""
    aad = cbor.dumps(["Encrypt0", _ENC0, cbor.dumps([1, direction, boot_id])])
    tail = int.from_bytes(iv[9:], "big") ^ number
    text = crypto.ccm_seal(key, iv[:9] + tail.to_bytes(4, "big"), aad, plaintext, 8)
    size = 1
    while number >> (8 * size):
        size += 1
    return cbor.dumps([_ENC0, {6: number.to_bytes(size, "big")}, text])


class Boot:
    """A boot of the node whose key everyone who means harm knows. Attributes: K, boot_id, header."""

    def __init__(self, node: "Identity", agent: "Identity", counter: int):
        self.boot_id = counter.to_bytes(4, "big") + secret(f"boot {counter}", 8)
        self.K = secret(f"content key {counter}", 16)
        self._key = crypto.hkdf(self.K, self.boot_id, b"vitalwire/1 up key", 16)
        self._iv = crypto.hkdf(self.K, self.boot_id, b"vitalwire/1 up iv", 13)
        self._hello_key = crypto.hkdf(self.K, self.boot_id, b"vitalwire/1 hello", 32)
        enc, wrapped = crypto.run(
            seal.wrap_header_steps(
                self.K, self.boot_id, node, agent.id, agent.x_pub, secret(f"ephemeral {counter}")
            )
        )
        self.header = [agent.id, enc, wrapped]

    def seal(self, number: int, plaintext: bytes) -> bytes:
        """A sealed frame."""
        return sealed(self._key, self._iv, 0, self.boot_id, number, plaintext)

    def tag(self, body: bytes) -> bytes:
        """The tag of a hello body."""
        return crypto.hmac_sha256(self._hello_key, body)[:16]


_PUBLIC_KEY_STEPS = (
    "ed25519_sign_steps",
    "ed25519_verify_steps",
    "hpke_auth_receive_steps",
    "hpke_auth_send_steps",
    "x25519_public_steps",
    "x25519_steps",
)
_KEPT = 64


def remember_curves() -> None:
    """Let every slow public-key operation of this process keep its results: they are functions.

    A session's handshake is the same in nearly every input, and costs more than all the rest of it.
    """
    for name in _PUBLIC_KEY_STEPS:
        setattr(crypto, name, _kept(getattr(crypto, name)))


def _kept(steps):  # type: ignore[no-untyped-def]
    known = {}

    def run(*arguments):  # type: ignore[no-untyped-def]
        yield from ()
        if arguments not in known:
            if len(known) >= _KEPT:
                known.clear()
            known[arguments] = yield from steps(*arguments)
        return known[arguments]

    return run
