"""Key files: an agent's or a collector's two key pairs, made once, in PEM, readable by their owner only.

`NAME.key` holds two PKCS #8 private keys (Ed25519 of RFC 8032, X25519 of RFC 7748; encoded as RFC 8410
says), `NAME.pub` the two public ones as SubjectPublicKeyInfo. Other tools can read both. The text before the
first PEM block is for people.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from edge_agent.files import ExposedError, check_secret, write_atomically
from protocol import crypto
from protocol.errors import SealError
from protocol.identity import Identity, fingerprint, fingerprint_text, from_seed_steps, generate_steps

ROLES = ("agent", "collector")
_MADE_BY = {
    "agent": "lies beside the agent's key (agent.pub)",
    "collector": "lies beside the collector's key (collector.pub)",
    "operator": "lies beside the operator's key, as `vitalwire operator new` made it",
    "authority": "`vitalwire keys new --role authority` made",
}
_BLOCK = re.compile(rb"-----BEGIN (PRIVATE|PUBLIC) KEY-----.*?-----END \1 KEY-----\s*", re.DOTALL)


class KeyFileError(Exception):
    """A key file cannot be used. `path`: which; `problem`: why; `hint`: what to do."""

    def __init__(self, path: Path, problem: str, hint: str = "") -> None:
        super().__init__(f"{path}: {problem}" + (f" ({hint})" if hint else ""))
        self.path = path
        self.problem = problem
        self.hint = hint


class PublicKeys(NamedTuple):
    """The public half of a party: 32 bytes each."""

    ed_pub: bytes
    x_pub: bytes

    @property
    def fingerprint(self) -> bytes:
        """32 bytes (docs/wire-protocol.md §2)."""
        return fingerprint(self.ed_pub, self.x_pub)

    @property
    def id(self) -> bytes:
        """8 bytes."""
        return self.fingerprint[:8]

    @property
    def agrees(self) -> bool:
        """Whether secrets come of its X25519 key: of a point of small order none do (RFC 7748 §6.1)."""
        try:
            crypto.run(crypto.x25519_steps(bytes(32), self.x_pub))
        except SealError:
            return False
        return True


def public_path(path: Path) -> Path:
    """Where the public half of the key file at `path` lives."""
    return path.with_suffix(".pub")


def create(path: Path, role: str) -> Identity:
    """Make new keys and write `path` (mode 0600) and its .pub; never replaces a file.

    Raises KeyFileError and OSError.
    """
    public = public_path(path)
    if public == path:
        raise KeyFileError(path, "a secret key is not kept under that name", f"name it {path.stem}.key")
    if path.exists():
        raise KeyFileError(path, "exists already", "keys are never replaced; name another file")
    if public.exists():
        hint = "keys are never replaced; name another file, or move that one away if its secret is lost"
        raise KeyFileError(public, "exists already", hint)
    identity = crypto.run(generate_steps(os.urandom(64)))
    text = _heading(role, identity.fingerprint, "secret: keep it here, and nowhere else")
    for key in (
        Ed25519PrivateKey.from_private_bytes(identity.ed_seed),
        X25519PrivateKey.from_private_bytes(identity.x_sk),
    ):
        text += key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    try:
        write_atomically(path, text)
        write_public(public, role, PublicKeys(*identity.public()))
    except OSError as e:
        raise KeyFileError(
            path, f"cannot be written: {e.strerror}", "see the disk and the rights on its folder"
        ) from None
    return identity


def load(path: Path) -> Identity:
    """The keys in the file at `path`. KeyFileError: missing, open to others, or not such a file."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise KeyFileError(path, "there is no such file", "vitalwire keys new makes one") from None
    except OSError as e:
        raise KeyFileError(path, f"cannot be read: {e.strerror}") from None
    blocks = _blocks(path, text, b"PRIVATE")
    check_private(path)
    ed_seed = x_sk = None
    for block in blocks:
        try:
            key = serialization.load_pem_private_key(block, None)
        except (ValueError, TypeError):
            raise KeyFileError(path, "a private key in it is damaged") from None
        if isinstance(key, Ed25519PrivateKey):
            ed_seed = key.private_bytes_raw()
        elif isinstance(key, X25519PrivateKey):
            x_sk = key.private_bytes_raw()
    if ed_seed is None or x_sk is None:
        raise KeyFileError(path, "it does not hold one Ed25519 and one X25519 private key")
    return crypto.run(from_seed_steps(ed_seed, x_sk))


def check_private(path: Path) -> None:
    """KeyFileError: others may read the secret keys in the file at `path`."""
    try:
        check_secret(path)
    except ExposedError as e:
        raise KeyFileError(path, e.problem, e.hint) from None


def load_public(path: Path, role: str | None = None) -> PublicKeys:
    """The public keys in the file at `path`. KeyFileError: missing, not such a file, or, by its first line,
    of somebody who is no `role`.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        ours = path.with_suffix(".key").exists()
        hint = "its key is here: the next start makes it again" if ours else "copy its owner's .pub file here"
        raise KeyFileError(path, "there is no such file", hint) from None
    except OSError as e:
        raise KeyFileError(path, f"cannot be read: {e.strerror}") from None
    ed_pub = x_pub = None
    for block in _blocks(path, text, b"PUBLIC"):
        try:
            key = serialization.load_pem_public_key(block)
        except ValueError:
            raise KeyFileError(path, "a public key in it is damaged") from None
        if isinstance(key, Ed25519PublicKey):
            ed_pub = key.public_bytes_raw()
        elif isinstance(key, X25519PublicKey):
            x_pub = key.public_bytes_raw()
    if ed_pub is None or x_pub is None:
        raise KeyFileError(path, "it does not hold one Ed25519 and one X25519 public key")
    if role is not None and not text.startswith(f"Vitalwire {role} ".encode()):
        article = "an" if role[0] in "aeiou" else "a"
        problem = f"its first line does not say that it is the key of {article} {role}"
        raise KeyFileError(path, problem, f"name the .pub file that {_MADE_BY[role]}")
    found = PublicKeys(ed_pub, x_pub)
    if not found.agrees:
        raise KeyFileError(path, "nothing can be sealed to its X25519 key", "ask its owner for another file")
    return found


def write_public(path: Path, role: str, keys: PublicKeys) -> None:
    """Write the public file of a party, atomically."""
    text = _heading(role, keys.fingerprint, "public: give it to whom it may concern")
    for key in (
        Ed25519PublicKey.from_public_bytes(keys.ed_pub),
        X25519PublicKey.from_public_bytes(keys.x_pub),
    ):
        text += key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_atomically(path, text, mode=0o644)


def load_or_create(path: Path, role: str) -> Identity:
    """The keys at `path`, made now if there are none; the .pub beside them is made good if it is gone."""
    if not path.exists():
        return create(path, role)
    identity = load(path)
    if not public_path(path).exists():
        write_public(public_path(path), role, PublicKeys(*identity.public()))
    return identity


def _heading(role: str, fp: bytes, note: str) -> bytes:
    return f"Vitalwire {role} {fp[:8].hex()}, {note}\nFingerprint {fingerprint_text(fp)}\n".encode()


def _blocks(path: Path, text: bytes, kind: bytes) -> list[bytes]:
    blocks = [found[0] for found in _BLOCK.finditer(text) if found[1] == kind]
    if len(blocks) != 2:
        raise KeyFileError(
            path, f"not a Vitalwire key file: {len(blocks)} {kind.decode().lower()} keys in it, not 2"
        )
    return blocks
