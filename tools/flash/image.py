"""The stock MicroPython image: from a file, or from its address, checked against the hash that is pinned."""

import hashlib
import os
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from edge_agent.files import write_atomically
from tools.build import ROOT
from tools.flash.trouble import Trouble

ESP_MAGIC = 0xE9
SHA256_HEX = 64
TIMEOUT_S = 30
CHUNK = 64 * 1024
MOST_BYTES = 16 * 1024 * 1024
PLAIN_FILE = 0o644


class Image(NamedTuple):
    """`data`, its SHA-256 in hex, and where it goes: `offset`, None where the chip's ROM looks for it."""

    data: bytes
    sha256: str
    offset: int | None


def of_board(name: str) -> dict[str, Any]:
    """The table [image] of a board's board.toml; empty: it has none."""
    return tomllib.loads((ROOT / "boards" / name / "board.toml").read_text("utf-8")).get("image", {})


def cache_folder() -> Path:
    """Where downloaded images stay: $VITALWIRE_CACHE, else what the system has for that."""
    given = os.environ.get("VITALWIRE_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vitalwire"


def load(
    pinned: dict[str, Any],
    given: str | None = None,
    sha256: str | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Image:
    """The image that `given` names (a file or a URL), else the board's, whose [image] is `pinned`.

    `sha256`: what it has to be, in place of what board.toml says. Trouble when there is none, it is another,
    or an address comes without a hash to hold it against.
    """
    source = given or pinned.get("url")
    if source is None:
        raise Trouble(
            "the board names no MicroPython image",
            "say --image FILE or URL: micropython.org/download has one for each chip",
        )
    own = given is None or given == pinned.get("url")
    pin = (sha256 or (pinned.get("sha256") if own else None) or "").lower()
    if pin and not (len(pin) == SHA256_HEX and set(pin) <= set("0123456789abcdef")):
        raise Trouble(f"{pin!r} is no SHA-256", f"it has {SHA256_HEX} hexadecimal digits")
    offset = pinned.get("offset")
    if "://" not in source:
        return _checked(_read(Path(source)), pin, source, offset)
    if not pin:
        raise Trouble(
            f"there is no hash to hold {source} against",
            f"look at what it gives (curl -fsSL {source} | sha256sum), and say it: --image-sha256 HASH,"
            " or for good sha256 in the board's [image]",
        )
    kept = cache_folder() / f"{pin}.bin"
    if kept.is_file() and _sha256(data := kept.read_bytes()) == pin:
        return _checked(data, pin, source, offset)
    image = _checked(_fetch(source, progress), pin, source, offset)
    try:
        write_atomically(kept, image.data, PLAIN_FILE)
    except OSError as e:
        raise Trouble(
            f"the image cannot be kept in {kept.parent}: {e.strerror}",
            "make room there, or set VITALWIRE_CACHE to another folder",
        ) from e
    return image


def _checked(data: bytes, pin: str, source: str, offset: int | None) -> Image:
    found = _sha256(data)
    if pin and found != pin:
        raise Trouble(
            f"wrong checksum: {source} has SHA-256 {found}, not {pin}",
            "download it again; if it stays so, do not use it: it is not the file that was pinned",
        )
    if not data or data[0] != ESP_MAGIC:
        raise Trouble(
            f"{source} is no ESP image: it does not begin with 0xE9", "take the .bin file for the chip"
        )
    return Image(data, found, offset)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise Trouble(f"{path}: {e.strerror}", "say where the image is: --image FILE or URL") from e


def _fetch(url: str, progress: Callable[[int, int], None]) -> bytes:
    if not url.startswith(("https://", "http://")):
        raise Trouble(f"{url} is no address of the web", "say --image FILE, or a URL with https://")
    data = bytearray()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            whole = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(CHUNK):
                data += chunk
                if len(data) > MOST_BYTES:
                    raise Trouble(
                        f"{url} has more than {MOST_BYTES >> 20} MiB", "it is no image; say --image FILE"
                    )
                progress(len(data), max(whole, len(data)))
    except (OSError, ValueError) as e:
        why = e.reason if isinstance(e, urllib.error.URLError) else e
        raise Trouble(f"{url}: {why}", "see whether this computer is online, or say --image FILE") from e
    return bytes(data)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
