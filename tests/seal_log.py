"""Everything that is ever sealed, by key and nonce: on this interpreter, and on a node's VM."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol import crypto

# Put into a node's main.py: a line for each seal, written before anything comes of it. The file lies outside
# the node's flash: no snapshot takes it back.
ON_VM = """
from hashlib import sha256
from protocol import crypto
real_seal = crypto.ccm_seal
seals = open({path!r}, "a")
def logged(key, nonce, aad, plaintext, tag_len):
    line = [sha256(key).digest(), nonce, sha256(aad + plaintext).digest()]
    seals.write(" ".join([part.hex() for part in line]) + "\\n")
    seals.flush()
    return real_seal(key, nonce, aad, plaintext, tag_len)
crypto.ccm_seal = logged
"""


class SealLog:
    """(key, nonce) → what was sealed with them; `repeated` lists the pairs that served twice."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], str] = {}
        self.repeated: list[tuple[str, str]] = []

    def add(self, key: str, nonce: str, text: str) -> None:
        if (key, nonce) in self.seen:
            self.repeated.append((key, nonce))
        self.seen[key, nonce] = text

    @property
    def keys(self) -> set[str]:
        return {key for key, _ in self.seen}

    def read(self, path: Path) -> "SealLog":
        """Add what a node's VM wrote; the last line may be cut where it was killed: of that nothing came."""
        for line in path.read_text().split("\n")[:-1]:
            self.add(*line.split())
        return self

    def here(self, monkeypatch: pytest.MonkeyPatch) -> "SealLog":
        """Add, from now on, whatever this interpreter seals."""
        real: Callable[[bytes, bytes, bytes, bytes, int], bytes] = crypto.ccm_seal

        def logged(key: bytes, nonce: bytes, aad: bytes, plaintext: bytes, tag_len: int) -> bytes:
            self.add(
                hashlib.sha256(key).hexdigest(), nonce.hex(), hashlib.sha256(aad + plaintext).hexdigest()
            )
            return real(key, nonce, aad, plaintext, tag_len)

        monkeypatch.setattr(crypto, "ccm_seal", logged)
        return self
