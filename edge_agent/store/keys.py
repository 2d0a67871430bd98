"""The key that the store is encrypted under: from a file, a systemd credential, or a passphrase.

Beside the store at `agent.db` lies `agent.db-check`: how the key is made of what was given (nothing, or
scrypt, RFC 7914, with its salt), and a keyed check value. The value tells a wrong key from a damaged file:
with a wrong key nothing is ever set aside, and with the right one a first page that does not open is damage.
It is written before the store, so there is no store of this version without it unless somebody removed it.
"""

import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from edge_agent.files import write_atomically
from edge_agent.store.database import HEADER, HEADER_BYTES, KEY_BYTES, is_plain
from edge_agent.store.errors import StoreError, StoreKeyError

if TYPE_CHECKING:
    from edge_agent.config import Config

SALT_BYTES = 16
# 32 MiB and about 0.1 s: once at each start, on a machine that has 90 MB for us.
SCRYPT = {"n": 1 << 15, "r": 8, "p": 1}
MAX_SCRYPT_BYTES = 256 << 20
MAX_FILE = 4096
_BACK = "put the right key back, or move the store away and begin a new one"


class Source(NamedTuple):
    """Where the key comes from; the passphrase goes before the credential, that before the file."""

    key_file: Path
    credential: str | None = None
    passphrase_file: Path | None = None


def source_of(config: "Config") -> Source:
    """As the configuration says."""
    named = config.storage
    file = named.key_file or source_beside(config.store).key_file
    return Source(file, named.credential, named.passphrase_file)


def source_beside(path: Path) -> Source:
    """The key file that a store has when nothing else is said."""
    return Source(path.with_name("store.key"))


def check_path(path: Path) -> Path:
    """The check file of the store at `path`."""
    return path.with_name(path.name + "-check")


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
    told = _read_check(path)
    fresh = make and not _encrypted(path)
    if source.passphrase_file is not None:
        given = _secret(source.passphrase_file, path).strip(b"\r\n")
        if told is None and not fresh:
            what = f"{check_path(path).name} is gone, and the salt of the passphrase with it"
            raise StoreKeyError(path, what, "restore that file from a backup of the store")
        told = told or {"kdf": "scrypt", "salt": os.urandom(SALT_BYTES).hex(), **SCRYPT}
        key = _stretched(given, told, path)
    else:
        key = _raw(source, path, fresh)
        told = told or {"kdf": "none"}
    if "check" in told:
        if not hmac.compare_digest(str(told["check"]), _check(key)):
            raise StoreKeyError(path, "the key is not the one that it was made with", _BACK)
    elif fresh:
        confirm(path, key, told)
    return key


def confirm(path: Path, key: bytes, told: dict[str, Any] | None = None) -> None:
    """Keep the check value of the key that opened the store at `path`, durably. OSError as it comes."""
    text = json.dumps((told or {"kdf": "none"}) | {"check": _check(key)})
    write_atomically(check_path(path), text.encode() + b"\n")


def is_confirmed(path: Path) -> bool:
    """Whether unlock() has compared the key with a check value."""
    return _read_check(path) is not None


def _check(key: bytes) -> str:
    return hmac.new(key, b"vitalwire/1 store key", "sha256").hexdigest()


def _read_check(path: Path) -> dict[str, Any] | None:
    """None: there is none, or what is there is none that was ever written."""
    try:
        with check_path(path).open("rb") as file:
            found = json.loads(file.read(MAX_FILE))
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) and "check" in found else None


def _encrypted(path: Path) -> bool:
    """Whether an encrypted store of ours may be at `path`: its key is never made anew."""
    try:
        if is_plain(path):
            return False
        with path.open("rb") as file:
            return looks_encrypted(file.read(HEADER_BYTES)) or _read_check(path) is not None
    except OSError:
        return False


def looks_encrypted(header: bytes) -> bool:
    """Whether the bytes of an encrypted store's header that stay in clear are as they must be."""
    return len(header) >= HEADER_BYTES and header[16 : 16 + len(HEADER)] == HEADER


def _raw(source: Source, path: Path, make: bool) -> bytes:
    if source.credential is not None:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            what = f"no systemd credentials here, and [store] credential names {source.credential!r}"
            hint = f"LoadCredentialEncrypted={source.credential} in the unit gives one"
            raise StoreKeyError(path, what, hint)
        return _key_in(Path(folder) / source.credential, path)
    if make and not source.key_file.exists():
        _make(source.key_file)
    return _key_in(source.key_file, path)


def _make(file: Path) -> None:
    text = f"# vitalwire store key: whoever has it reads the store\n{os.urandom(KEY_BYTES).hex()}\n"
    write_atomically(file, text.encode())


def _key_in(file: Path, path: Path) -> bytes:
    for line in _secret(file, path).splitlines():
        if not line.startswith(b"#"):
            try:
                key = bytes.fromhex(line.strip().decode("ascii"))
            except ValueError:
                break
            if len(key) == KEY_BYTES:
                return key
            break
    raise StoreKeyError(path, f"its key file {file} does not hold 64 hexadecimal digits", _BACK)


def _secret(file: Path, path: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE)
    except FileNotFoundError:
        raise StoreKeyError(path, f"its key file {file} is gone", _BACK) from None
    except OSError as e:
        hint = "see the rights on that file"
        raise StoreKeyError(path, f"its key file {file} cannot be read: {e.strerror}", hint) from None
    if not data.strip():
        raise StoreKeyError(path, f"its key file {file} is empty", _BACK)
    return data


def _stretched(passphrase: bytes, told: dict[str, Any], path: Path) -> bytes:
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
