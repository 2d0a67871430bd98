"""Makers: whose signature on a bundle this agent believes, a file of an Ed25519 public key (PEM) each."""

import re
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_BLOCK = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----\s*", re.DOTALL)
# One signs, and the next one before it takes over.
MAX_MAKERS = 16


class MakersError(Exception):
    """A maker's file cannot be used: `path`, `problem`."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem} (ask the maker for another file, or take it away)")
        self.path = path
        self.problem = problem


def load(path: Path) -> list[bytes]:
    """The Ed25519 keys in the `.pub` files of a folder, or in one file; none where nothing is."""
    found = files(path)
    if len(found) > MAX_MAKERS:
        raise MakersError(path, f"{len(found)} files; {MAX_MAKERS} is the limit")
    return [_load(one) for one in found]


def files(path: Path) -> list[Path]:
    """The makers' files: of a folder, or that one file."""
    return [path] if path.is_file() else sorted(path.glob("*.pub"))


def _load(path: Path) -> bytes:
    try:
        text = path.read_bytes()
    except OSError as e:
        raise MakersError(path, f"cannot be read: {e.strerror}") from None
    for found in _BLOCK.finditer(text):
        try:
            key = serialization.load_pem_public_key(found[0])
        except ValueError:
            raise MakersError(path, "a public key in it is damaged") from None
        if isinstance(key, Ed25519PublicKey):
            return key.public_bytes_raw()
    raise MakersError(path, "there is no Ed25519 public key in it")
