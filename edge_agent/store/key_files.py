"""Files that hold a key of the store: 64 hexadecimal digits in a line, after lines that begin with `#`."""

import os
from pathlib import Path

from edge_agent.files import ExposedError, check_secret, fsync_folder, write_atomically
from edge_agent.store.database import KEY_BYTES
from edge_agent.store.errors import StoreKeyError

MAX_BYTES = 4096
BACK = "put the right key back, or move the store away and begin a new one"


def secret(file: Path, path: Path) -> bytes:
    """What is in `file`, for the store at `path`. StoreKeyError: nothing, or it cannot be read."""
    try:
        check_secret(file)
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES)
    except FileNotFoundError:
        raise StoreKeyError(path, f"its key file {file} is gone", BACK) from None
    except ExposedError as e:
        raise StoreKeyError(path, f"its key file {file}: {e.problem}", e.hint) from None
    except OSError as e:
        hint = "see the rights on that file"
        raise StoreKeyError(path, f"its key file {file} cannot be read: {e.strerror}", hint) from None
    if not data.strip():
        raise StoreKeyError(path, f"its key file {file} is empty", BACK)
    return data


def key_in(file: Path, path: Path) -> bytes:
    """The key in `file`, for the store at `path`. StoreKeyError: there is none in it."""
    for line in secret(file, path).splitlines():
        if not line.startswith(b"#"):
            try:
                key = bytes.fromhex(line.strip().decode("ascii"))
            except ValueError:
                break
            if len(key) == KEY_BYTES:
                return key
            break
    raise StoreKeyError(path, f"its key file {file} does not hold 64 hexadecimal digits", BACK)


def make_key(file: Path) -> bytes:
    """A new key, in `file`, durably. OSError as it comes."""
    key = os.urandom(KEY_BYTES)
    text = f"# vitalwire store key: whoever has it reads the store\n{key.hex()}\n"
    write_atomically(file, text.encode())
    return key


def new_file(file: Path) -> Path:
    """Where the key that is to take the place of the one in `file` lies until then."""
    return file.with_name(f".{file.stem}.rekey{file.suffix}")


def old_files(file: Path) -> list[Path]:
    """Keys that were in `file` before: backups, and stores that were set aside, are under them."""
    return sorted(file.parent.glob(f"{file.stem}.old-*{file.suffix}"))


def put_in_place(file: Path) -> None:
    """Have the new key take its place; the old one is kept. May be done again after it was cut off at any
    step. OSError as it comes.
    """
    if file.exists() and all(one.read_bytes() != file.read_bytes() for one in old_files(file)):
        n = 1
        while (old := file.with_name(f"{file.stem}.old-{n}{file.suffix}")).exists():
            n += 1
        write_atomically(old, file.read_bytes())
    os.replace(new_file(file), file)
    fsync_folder(file.parent)
