"""The public half of a maker's key: whose updates a board takes."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class NoMaker(Exception):
    """A file that holds no such key; the text says why."""


def maker_key(path: Path) -> bytes:
    """The 32 bytes of the Ed25519 public key in a .pub file (PEM, SubjectPublicKeyInfo). NoMaker."""
    try:
        key = form.load_pem_public_key(path.read_bytes())
    except OSError as e:
        raise NoMaker(f"{path} cannot be read: {e.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise NoMaker(f"{path} holds no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise NoMaker(f"{path}: its key is not Ed25519")
    return key.public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
