"""What a value of the configuration may be: each check has words for the reference and for what is wrong."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("localhost", "localhost.")
# As systemd takes them: no path, no control characters.
_CREDENTIAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,254}")


class Check(NamedTuple):
    """`says`: the type in a few words; `wrong(value)`: what is wrong with it, or None."""

    says: str
    wrong: Callable[[Any], str | None]


def _text_wrong(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return "must be text"
    return "must be text without NUL characters" if "\0" in value else None


def _path_wrong(value: Any) -> str | None:
    wrong = _text_wrong(value)
    if wrong:
        return wrong
    try:
        Path(value).expanduser()
    except RuntimeError:
        return "must be a path, and no home folder is known for the user after its ~"
    return None


def whole(low: int, high: int) -> Check:
    """A whole number from `low` to `high`."""

    def wrong(value: Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"must be a whole number from {low} to {high}"

    return Check(f"{low}–{high}", wrong)


def number(low: float, high: float) -> Check:
    """A number from `low` to `high`."""

    def wrong(value: Any) -> str | None:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"must be a number from {low:g} to {high:g}"

    return Check(f"{low:g}–{high:g}", wrong)


def one_of(*words: str) -> Check:
    """One of these words."""

    def wrong(value: Any) -> str | None:
        return None if value in words else "must be one of " + ", ".join(f'"{word}"' for word in words)

    return Check(" or ".join(f'"{word}"' for word in words), wrong)


def host_port(value: str) -> tuple[str, int] | None:
    """`host:port`, or `[v6]:port`; None when it is neither."""
    host, colon, port = value.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        return None
    if ":" in bare and bare == host:
        return None
    return None if re.search(r"[\s/@\0]", bare) else (bare, int(port))


def address(url: str) -> tuple[str, str]:
    """The scheme and the host of a URL that has been checked."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or ""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it. A name that is not localhost may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() in LOOPBACK_NAMES


def _listen_wrong(value: Any) -> str | None:
    if isinstance(value, str) and host_port(value) is not None:
        return None
    return 'must be "host:port", as "127.0.0.1:7117"'


def _loopback_wrong(value: Any) -> str | None:
    wrong = _listen_wrong(value)
    if wrong:
        return wrong
    host, _ = host_port(value) or ("", 0)
    return None if is_loopback(host) else "must be on loopback, as it is for everybody: put a proxy before it"


def _url_wrong(value: Any, schemes: tuple[str, ...], path: bool, credentials: str) -> str | None:
    wrong = "must be " + " or ".join(f"{scheme}://host[:port]" for scheme in schemes)
    wrong += "[/path]" if path else ""
    if not isinstance(value, str) or re.search(r"[\s\0]", value):
        return wrong
    try:
        parts = urlsplit(value)
        sound = parts.scheme in schemes and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        return wrong
    if not sound or parts.query or parts.fragment or not (path or parts.path in ("", "/")):
        return wrong
    return f"must not hold a password: use {credentials}" if "@" in parts.netloc else None


def _broker_wrong(value: Any) -> str | None:
    return _url_wrong(value, ("mqtt", "mqtts"), False, "username and password_file")


def _server_wrong(value: Any) -> str | None:
    return _url_wrong(value, ("https", "http"), True, "token_file")


def _credential_wrong(value: Any) -> str | None:
    fits = isinstance(value, str) and _CREDENTIAL.fullmatch(value)
    return None if fits else "must be the name of a systemd credential: letters, digits, . _ - @"


def _truth_wrong(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


TEXT = Check("text", _text_wrong)
PATH = Check("path", _path_wrong)
TRUTH = Check("true or false", _truth_wrong)
LISTEN = Check("host:port", _listen_wrong)
LOOPBACK = Check("host:port on loopback", _loopback_wrong)
BROKER = Check("mqtt:// or mqtts://", _broker_wrong)
SERVER = Check("https:// or http://", _server_wrong)
CREDENTIAL = Check("name", _credential_wrong)
