"""A maker's key: Ed25519 in PEM, the secret half encrypted under a passphrase (PKCS #8, RFC 5958).

`NAME.key` and `NAME.pub`; other tools read both. The public half is also what a board knows its maker by, as
64 hexadecimal digits.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.files import write_atomically

LEAST_PASSPHRASE = 12
PUBLIC = 0o644


class ReleaseError(Exception):
    """What a maker asked for cannot be done; the text says which file, why, and what to do."""


@dataclass
class Maker:
    """A maker's key; 32 bytes each."""

    ed_seed: bytes
    ed_pub: bytes

    def __repr__(self) -> str:
        return f"<Maker {self.ed_pub.hex()}>"


def place(path: Path) -> Path:
    """Where the public half goes of a new key at `path`. ReleaseError: not there, or something is there."""
    public = path.with_suffix(".pub")
    if public == path:
        raise ReleaseError(f"{path}: a secret key is not kept under that name; name it {path.stem}.key")
    for one in (path, public):
        if one.exists():
            raise ReleaseError(f"{one} exists already; keys are never replaced: name another file")
    return public


def create(path: Path, passphrase: str) -> Maker:
    """New keys at `path` and beside it, as .pub; never replaces a file. ReleaseError."""
    public = place(path)
    if len(passphrase) < LEAST_PASSPHRASE:
        raise ReleaseError(f"a passphrase has at least {LEAST_PASSPHRASE} characters: take a few words")
    key = Ed25519PrivateKey.generate()
    encrypted = form.BestAvailableEncryption(passphrase.encode())
    try:
        write_atomically(path, key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, encrypted))
        write_atomically(
            public,
            key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo),
            PUBLIC,
        )
    except OSError as e:
        raise ReleaseError(f"{path} cannot be written: {e.strerror}") from e
    return _maker(key)


def load(path: Path, passphrase: str) -> Maker:
    """The key in the file at `path`. ReleaseError: missing, of another sort, or the passphrase is wrong."""
    try:
        key = form.load_pem_private_key(read(path), passphrase.encode())
    except TypeError:
        raise ReleaseError(
            f"{path} is not encrypted: a maker's key is; vitalwire release keygen makes one"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ReleaseError(f"{path}: the passphrase is wrong, or it holds no private key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ReleaseError(f"{path}: its key is not Ed25519")
    return _maker(key)


def _maker(key: Ed25519PrivateKey) -> Maker:
    return Maker(
        key.private_bytes(form.Encoding.Raw, form.PrivateFormat.Raw, form.NoEncryption()),
        key.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw),
    )


def read(path: Path) -> bytes:
    """What is in the file. ReleaseError."""
    try:
        return path.read_bytes()
    except OSError as e:
        raise ReleaseError(f"{path} cannot be read: {e.strerror}") from None
