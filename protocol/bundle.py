"""A bundle: the file that holds an update, its manifest and every file of it. CPython only.

CBOR `["vitalwire/1 bundle", signed manifest (bstr), [file (bstr), …]]`, the files in the manifest's order;
one that nobody has signed yet has `"vitalwire/1 unsigned bundle"` and, in the manifest's place, what is to be
signed. The encoding is deterministic and nothing may follow it: each byte is checked.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from protocol import cbor, crypto
from protocol.checks import is_bytes, is_list, is_map
from protocol.cose import Signer, sign1
from protocol.errors import CborError, LocalError
from protocol.update import MAX_FILES, MAX_MANIFEST, VERSION, Manifest, UpdateError

SIGNED = "vitalwire/1 bundle"
UNSIGNED = "vitalwire/1 unsigned bundle"
MAX_BUNDLE = 8 << 20


@dataclass(frozen=True)
class Bundle:
    """`manifest` is the signed one, or what is to be signed where not `signed`; `files` in its order: the
    bytes of object 1, 2, …; `paths` the same as they are called in the slot.
    """

    version: str
    board: str
    manifest: bytes
    paths: tuple[str, ...]
    files: tuple[bytes, ...]
    signed: bool

    @property
    def id(self) -> bytes:
        """The update's id on the wire: 8 bytes."""
        return crypto.sha256(self.manifest)[:8]

    def object(self, number: int) -> bytes:
        """What an object of the update holds: 0 the manifest, then the files."""
        return self.files[number - 1] if number else self.manifest

    def verify(self, makers: Sequence[bytes]) -> None:
        """UpdateError unless one of these makers (Ed25519 public keys) signed it."""
        if not self.signed:
            raise UpdateError("nobody has signed it", cause="bad_signature")
        crypto.run(_manifest(self.manifest).verify_steps(makers))

    def encoded(self) -> bytes:
        """The file's bytes."""
        return cbor.dumps([SIGNED if self.signed else UNSIGNED, self.manifest, list(self.files)])


def make(board: str, version: str, files: "dict[str, bytes]") -> Bundle:
    """An unsigned bundle. LocalError for what no update can be."""
    listed = [[path, len(data), hashlib.sha256(data).digest()] for path, data in sorted(files.items())]
    payload = cbor.dumps({1: VERSION, 2: "update", 3: version, 4: board, 5: listed})
    try:
        return _checked(payload, tuple(data for _, data in sorted(files.items())), False)
    except UpdateError as e:
        raise LocalError(e.detail) from e


def sign(bundle: Bundle, maker: Signer) -> Bundle:
    """The same, signed by `maker` instead of whoever did before."""
    payload = cbor.loads(bundle.manifest, 18)[2] if bundle.signed else bundle.manifest
    return _checked(sign1(maker, payload), bundle.files, True)


def read(encoded: bytes) -> Bundle:
    """The bundle in `encoded`: every file is what the manifest says. Who signed it is for `verify`.
    UpdateError.
    """
    if len(encoded) > MAX_BUNDLE:
        raise UpdateError(f"{len(encoded)} bytes; a bundle has at most {MAX_BUNDLE}", cause="too_large")
    try:
        found = cbor.loads(encoded, None, MAX_FILES + 8)
    except CborError as e:
        raise UpdateError(f"not a bundle: {e.detail}", e.offset) from e
    if not is_list(found) or len(found) != 3 or found[0] not in (SIGNED, UNSIGNED):
        raise UpdateError("not a bundle of this version")
    if not isinstance(found[1], bytes) or not is_list(found[2]):
        raise UpdateError("not a bundle: no manifest, or no files")
    if not all(isinstance(data, bytes) for data in found[2]):
        raise UpdateError("not a bundle: a file that is no byte string")
    return _checked(found[1], tuple(found[2]), found[0] == SIGNED)


def _checked(manifest: bytes, files: tuple[bytes, ...], signed: bool) -> Bundle:
    whole = manifest if signed else _as_if_signed(manifest)
    about = _manifest(whole)
    try:
        payload: Any = cbor.loads(cbor.loads(whole, 18)[2])
    except CborError as e:
        raise UpdateError(f"manifest: {e.detail}", e.offset) from e
    if not is_map(payload):
        raise UpdateError("manifest: not a map")
    entries = list(about.entries())
    if len(entries) != len(files):
        raise UpdateError(f"{len(files)} files, and the manifest has {len(entries)}")
    for (path, size, digest), data in zip(entries, files, strict=True):
        if len(data) != size or not is_bytes(digest, 32) or hashlib.sha256(data).digest() != digest:
            raise UpdateError(f"{path} is not what the manifest says", cause="bad_file")
    paths = tuple(path for path, _, _ in entries)
    return Bundle(about.version, about.board, manifest, paths, files, signed)


def _manifest(encoded: bytes) -> Manifest:
    return Manifest(lambda at, n: encoded[at : at + n], len(encoded))


def _as_if_signed(payload: bytes) -> bytes:
    if len(payload) > MAX_MANIFEST:
        raise UpdateError(f"a manifest of {len(payload)} bytes", cause="too_large")
    return cbor.head(6, 18) + cbor.dumps([cbor.dumps({1: -8}), {}, payload, bytes(64)])
