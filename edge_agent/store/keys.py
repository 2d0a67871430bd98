"""The key that the store is encrypted under: from a file, a systemd credential, or a passphrase.

How it is made of what was given, and whether it is the right one, says the check file (check_file.py).
"""

import hashlib
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_agent.store import check_file
from edge_agent.store.check_file import SALT_BYTES, Told, check_path, fits
from edge_agent.store.database import HEADER, HEADER_BYTES, KEY_BYTES, is_plain
from edge_agent.store.errors import StoreError, StoreKeyError
from edge_agent.store.key_files import BACK, key_in, make_key, new_file, old_files, secret

if TYPE_CHECKING:
    from edge_agent.config import Config

__all__ = ["check_path"]

# 32 MiB and about 0.1 s: once at each start, on a machine that has 90 MB for us.
SCRYPT = {"n": 1 << 15, "r": 8, "p": 1}
MAX_SCRYPT_BYTES = 256 << 20


class Source(NamedTuple):
    """Where the key comes from; the passphrase goes before the credential, that before the file."""

    key_file: Path
    credential: str | None = None
    passphrase_file: Path | None = None

    def __str__(self) -> str:
        if self.passphrase_file is not None:
            return f"the passphrase in {self.passphrase_file}"
        return f"the systemd credential {self.credential}" if self.credential else str(self.key_file)


def source_of(config: "Config") -> Source:
    """As the configuration says."""
    named = config.storage
    file = named.key_file or source_beside(config.store).key_file
    return Source(file, named.credential, named.passphrase_file)


def source_beside(path: Path) -> Source:
    """The key file that a store has when nothing else is said."""
    return Source(path.with_name("store.key"))


def unlock(path: Path, source: Source | None = None, make: bool = False) -> bytes:
    """The key of the store at `path`. StoreKeyError: it is missing, unreadable or another store's.

    `make`: a key file, and a check file, that are not there are made, unless an encrypted store is there.
    """
    source = source or source_beside(path)
    if path.is_dir():
        raise StoreError(path, "it is a folder, not a store", "move it away, or name another state_dir")
    if not make and path.is_file() and is_plain(path):
        problem = "made by an older version of the agent, in clear"
        raise StoreError(path, problem, "vitalwire agent run brings it up to date")
    told = check_file.in_force(path)
    fresh = make and not _encrypted(path)
    if source.passphrase_file is not None:
        if told is None and not fresh:
            what = f"{check_path(path).name} is gone, and the salt of the passphrase with it"
            raise StoreKeyError(path, what, "restore that file from a backup of the store")
        told = told or new_kdf()
        if told["kdf"] == "none":
            raise StoreKeyError(path, "it is under a key that is no passphrase", _back(told, source))
        key = of_passphrase(source.passphrase_file, told, path)
    else:
        key = _raw(source, path, fresh, told)
        told = told or {"kdf": "none"}
    if "check" in told:
        if not fits(told, key):
            raise StoreKeyError(path, "the key is not the one that it was made with", _back(told, source))
    elif fresh:
        confirm(path, key, told)
    return key


def confirm(path: Path, key: bytes, told: Told | None = None) -> None:
    """Keep the check value of the key that opened the store at `path`, durably. OSError as it comes."""
    check_file.write(path, check_file.described(key, told))


def is_confirmed(path: Path) -> bool:
    """Whether unlock() has compared the key with a check value."""
    return check_file.read(path) is not None


def _encrypted(path: Path) -> bool:
    """Whether an encrypted store of ours may be at `path`: its key is never made anew."""
    try:
        if is_plain(path):
            return False
        with path.open("rb") as file:
            return looks_encrypted(file.read(HEADER_BYTES)) or is_confirmed(path)
    except OSError:
        return False


def looks_encrypted(header: bytes) -> bool:
    """Whether the bytes of an encrypted store's header that stay in clear are as they must be."""
    return len(header) >= HEADER_BYTES and header[16 : 16 + len(HEADER)] == HEADER


def _back(told: Told, source: Source) -> str:
    for old in (source.key_file, *old_files(source.key_file)):
        # Of a copy from before the key was changed.
        with suppress(StoreError, OSError):
            if fits(told, key_in(old, source.key_file)):
                return f'{old} opens it: under [store] write key_file = "{old}", and no other key'
    at_ms = told.get("changed_ms")
    if not isinstance(at_ms, int):
        return BACK
    day = datetime.fromtimestamp(at_ms / 1000, UTC).date()
    return f"it was changed on {day}: name the new one under [store], or put it where the old one was"


def _raw(source: Source, path: Path, make: bool, told: Told | None) -> bytes:
    if source.credential is not None:
        return given(source, path)
    file, new = source.key_file, new_file(source.key_file)
    if make and not file.exists():
        make_key(file)
    if told is not None and check_file.change(path) is not None and new.exists():
        # A change of the key was cut off: the store may be under this one, which is not in its place yet.
        key = key_in(new, path)
        if fits(told, key):
            return key
    return key_in(file, path)


def given(source: Source, path: Path) -> bytes:
    """The key in the credential or the file of `source`, right or wrong. StoreKeyError."""
    if source.credential is None:
        return key_in(source.key_file, path)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        what = f"no systemd credentials here, and [store] credential names {source.credential!r}"
        hint = f"LoadCredentialEncrypted={source.credential} in the unit gives one"
        raise StoreKeyError(path, what, hint)
    return key_in(Path(folder) / source.credential, path)


def new_kdf() -> dict[str, Any]:
    """How a key is made of a passphrase from now on, with a new salt."""
    return {"kdf": "scrypt", "salt": os.urandom(SALT_BYTES).hex(), **SCRYPT}


def of_passphrase(file: Path, told: Told, path: Path) -> bytes:
    """The key of the passphrase in `file`, made as `told` says. StoreKeyError; StoreError: it does not."""
    passphrase = secret(file, path).strip(b"\r\n")
    try:
        n, r, p, salt = told["n"], told["r"], told["p"], bytes.fromhex(told["salt"])
        if told["kdf"] != "scrypt" or 128 * n * r * p > MAX_SCRYPT_BYTES:
            raise ValueError("its parameters are none that are made here")
        return hashlib.scrypt(
            passphrase, salt=salt, n=n, r=r, p=p, maxmem=2 * MAX_SCRYPT_BYTES, dklen=KEY_BYTES
        )
    except (KeyError, TypeError, ValueError) as e:
        problem = f"{check_path(path).name} does not say how the key is made of a passphrase: {e}"
        raise StoreError(path, problem, "restore that file, or give the key as it was given") from None
