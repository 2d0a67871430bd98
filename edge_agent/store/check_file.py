"""The check file beside the store at `agent.db`: `agent.db-check`, JSON.

It says how the key is made of what was given (nothing, or scrypt, RFC 7914, with its salt), and has a keyed
check value. The value tells a wrong key from a damaged file: with a wrong key nothing is ever set aside, and
with the right one a first page that does not open is damage. It is written before the store, so there is no
store of this version without it unless somebody removed it.

While the key is changed (key_change.py) it describes both, the second under `next`, each with the first bytes
of the file that it opens: the new file is renamed over the old one, and those bytes, a salt in clear, say
which of the two is there. So whatever cuts the change off, it is known which key opens the store.
"""

import hmac
import json
from pathlib import Path
from typing import Any, cast

from edge_agent.files import write_atomically
from edge_agent.store.errors import StoreKeyError

Told = dict[str, Any]

SALT_BYTES = 16
MAX_BYTES = 4096
_ONLY_WHILE_CHANGED = ("begins", "next")


def check_path(path: Path) -> Path:
    """The check file of the store at `path`."""
    return path.with_name(path.name + "-check")


def read(path: Path) -> Told | None:
    """What it says; None: there is none, or what is there is none that was ever written."""
    try:
        with check_path(path).open("rb") as file:
            found = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError):
        return None
    return cast("Told", found) if isinstance(found, dict) and "check" in found else None


def write(path: Path, told: Told) -> None:
    """Replace it, durably. OSError as it comes."""
    write_atomically(check_path(path), json.dumps(told).encode() + b"\n")


def described(key: bytes, kdf: Told | None = None) -> Told:
    """What it says of this key; `kdf`: how that is made of a passphrase, None: it was given as it is."""
    return (kdf or {"kdf": "none"}) | {"check": _value(key)}


def fits(told: Told, key: bytes) -> bool:
    """Whether this is the key that it tells of."""
    return hmac.compare_digest(str(told["check"]), _value(key))


def _value(key: bytes) -> str:
    return hmac.new(key, b"vitalwire/1 store key", "sha256").hexdigest()


def change(path: Path) -> Told | None:
    """What it says when a change of the key is under way, or was cut off; else None."""
    told = read(path)
    return told if told is not None and isinstance(told.get("next"), dict) else None


def in_force(path: Path) -> Told | None:
    """What it says of the key that the store at `path` is under; None: nothing. OSError as it comes;
    StoreKeyError: the key was being changed, and the file is of neither key.
    """
    told = change(path)
    if told is None or not path.exists():
        return plain(read(path))
    begins = beginning(path)
    for one in (told, told["next"]):
        if one.get("begins") == begins:
            return plain(one)
    problem = "its key was being changed, and its first bytes are those of neither: they are damaged"
    hint = f"keep all that is here; restore it from a backup, with that one's {check_path(path).name}"
    raise StoreKeyError(path, problem, hint)


def plain(told: Told | None) -> Told | None:
    """The same without what matters only while the key is changed."""
    return told and {name: value for name, value in told.items() if name not in _ONLY_WHILE_CHANGED}


def beginning(path: Path) -> str:
    """The salt that the file at `path` begins with, in hex. OSError as it comes."""
    with path.open("rb") as file:
        return file.read(SALT_BYTES).hex()
