"""The agent's configuration: one TOML file, read once into an immutable object; all has defaults that work.

docs/agent.md is the reference. An unknown key is an error that names the nearest known one and the line,
because a misspelt key that is quietly ignored is a setting that somebody believes in.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

AUTO = "auto"


class ConfigError(Exception):
    """The configuration cannot be used.

    `path` and `line` (None when no line is to blame) say where, `problem` what, `hint` what to do.
    """

    def __init__(
        self, problem: str, path: Path | None = None, line: int | None = None, hint: str = ""
    ) -> None:
        where = f"{path}, line {line}: " if line else f"{path}: " if path else ""
        super().__init__(where + problem + (f" ({hint})" if hint else ""))
        self.problem = problem
        self.path = path
        self.line = line
        self.hint = hint


@dataclass(frozen=True)
class LinkConfig:
    """One serial port: a device name, a pyserial URL (`socket://host:port`), or "auto".

    "auto" stands for every USB serial port there is, now and later.
    """

    port: str
    baud: int = 115200


@dataclass(frozen=True)
class MqttConfig:
    """Where batches go. The password is read from its file at connection, and kept nowhere."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    receipt_timeout_s: float = 15.0

    @property
    def url(self) -> str:
        """The broker's address, without credentials."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


@dataclass(frozen=True)
class Config:
    """Everything `agent run` needs. Paths are absolute; seconds, milliseconds and bytes as named."""

    state_dir: Path
    key: Path
    links: tuple[LinkConfig, ...] = (LinkConfig(AUTO),)
    commit_ms: int = 40
    batch_s: float = 2.0
    batch_bytes: int = 256 * 1024
    collector: Path | None = None
    mqtt: MqttConfig | None = None
    source: Path | None = field(default=None, compare=False)

    @property
    def store(self) -> Path:
        """The SQLite file."""
        return self.state_dir / "agent.db"

    @property
    def errands(self) -> Path:
        """What commands want of the agent that runs."""
        return self.state_dir / "errands"

    @property
    def peers(self) -> Path:
        """The file of paired nodes' public keys."""
        return self.state_dir / "peers.json"

    @property
    def status(self) -> Path:
        """The file that is written once a second."""
        return self.state_dir / "status.json"


def default_state_dir() -> Path:
    """$XDG_DATA_HOME/vitalwire, or ~/.local/share/vitalwire."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "vitalwire"


def default_path() -> Path:
    """$VITALWIRE_CONFIG, or $XDG_CONFIG_HOME/vitalwire/agent.toml, or ~/.config/vitalwire/agent.toml."""
    named = os.environ.get("VITALWIRE_CONFIG")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "vitalwire" / "agent.toml"


Check = Callable[[Any], str | None]


def _text(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return "must be text"
    return "must be text without NUL characters" if "\0" in value else None


def _path(value: Any) -> str | None:
    wrong = _text(value)
    if wrong:
        return wrong
    try:
        Path(value).expanduser()
    except RuntimeError:
        return "must be a path, and no home folder is known for the user after its ~"
    return None


def _whole(low: int, high: int) -> Check:
    def check(value: Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"must be a whole number from {low} to {high}"

    return check


def _number(low: float, high: float) -> Check:
    def check(value: Any) -> str | None:
        fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        return None if fits else f"must be a number from {low:g} to {high:g}"

    return check


def _broker(value: Any) -> str | None:
    wrong = "must be mqtt://host[:port] or mqtts://host[:port]"
    if not isinstance(value, str):
        return wrong
    try:
        parts = urlsplit(value)
        sound = (
            parts.scheme in ("mqtt", "mqtts") and parts.hostname and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        return wrong
    if not sound or parts.path not in ("", "/") or parts.query or parts.fragment:
        return wrong
    return "must not hold a password: use username and password_file" if parts.username else None


SCHEMA: Mapping[str, Mapping[str, Check]] = {
    "agent": {"state_dir": _path, "key": _path},
    "links": {"port": _text, "baud": _whole(300, 4_000_000)},
    "store": {"commit_ms": _whole(1, 50)},
    "custody": {"batch_seconds": _number(0.1, 2.0), "batch_kib": _whole(8, 256)},
    "collector": {"public": _path},
    "mqtt": {
        "url": _broker,
        "username": _text,
        "password_file": _path,
        "ca_file": _path,
        "receipt_timeout_s": _number(1, 3600),
    },
}


class _Source:
    """The text of the file, to find the line that a key or table stands on."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines = text.splitlines()

    def line(self, table: str, index: int, key: str | None = None) -> int | None:
        """Where `key` of the index-th `table` is written (its header when the key is nowhere to be seen)."""
        current, seen, header = "", -1, None
        for number, text in enumerate(self._lines, 1):
            head = re.match(r"\s*\[{1,2}\s*[\"']?([^\]\"'.\s]+)", text)
            if head:
                current = head[1]
                if current == table:
                    seen += 1
                    if seen == index:
                        header = number
                        if key is None:
                            return number
                continue
            name = re.match(r"\s*[\"']?([^=\"'.\s]+)[\"']?\s*[.=]", text)
            if not name:
                continue
            if current == "" and name[1] == table:
                header = number
                if key is None:
                    return number
            if key is not None and seen == index and current == table and name[1] == key:
                return number
        return header

    def error(
        self, problem: str, table: str, index: int = 0, key: str | None = None, hint: str = ""
    ) -> ConfigError:
        return ConfigError(problem, self.path, self.line(table, index, key), hint)


def _nearest(word: str, known: list[str]) -> str:
    return get_close_matches(word, known, n=1, cutoff=0.0)[0]


def _unknown(source: _Source, table: str, index: int, key: str) -> ConfigError:
    elsewhere = [t for t, keys in SCHEMA.items() if key in keys]
    if elsewhere:
        hint = f"it belongs under [{elsewhere[0]}]"
    else:
        hint = f"did you mean {_nearest(key, list(SCHEMA[table]))!r}?"
    return source.error(f"unknown key {key!r} in [{table}]", table, index, key, hint)


def _checked(source: _Source, table: str, index: int, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise source.error(
            f"{table!r} must be a table", table, index, None, f"write [{table}] on a line of its own"
        )
    values = cast("dict[str, Any]", given)
    for key, value in values.items():
        check = SCHEMA[table].get(key)
        if check is None:
            raise _unknown(source, table, index, key)
        wrong = check(value)
        if wrong:
            # A URL with an @ may hold a password, which has no place in a message.
            shown = "" if "@" in str(value) else f", not {value!r}"
            raise source.error(f"{key} {wrong}{shown}", table, index, key)
    return values


def _links(source: _Source, given: Any) -> tuple[LinkConfig, ...]:
    tables = cast("list[Any]", given if isinstance(given, list) else [given])
    links: list[LinkConfig] = []
    for index, table in enumerate(tables):
        values = _checked(source, "links", index, table)
        if "port" not in values:
            raise source.error(
                "a link without a port", "links", index, None, 'port = "/dev/ttyUSB0", or "auto"'
            )
        link = LinkConfig(values["port"], values.get("baud", 115200))
        if any(link.port == other.port for other in links):
            raise source.error(f"port {link.port} is named twice", "links", index, "port")
        links.append(link)
    return tuple(links)


def parse(text: str, path: Path) -> Config:
    """The configuration that `text` means. Raises ConfigError.

    Relative paths are relative to the folder of `path`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        found = re.search(r"\(at line (\d+)", str(e))
        line = int(found[1]) if found else len(text.splitlines()) or 1
        raise ConfigError(f"not TOML: {e}", path, line) from None
    source = _Source(path, text)
    folder = path.absolute().parent
    for table in document:
        if table not in SCHEMA:
            home = [name for name, keys in SCHEMA.items() if table in keys]
            hint = (
                f"it belongs under [{home[0]}]"
                if home
                else f"did you mean {_nearest(table, list(SCHEMA))!r}?"
            )
            raise source.error(f"unknown key {table!r}", table, 0, None, hint)
    tables = {name: _checked(source, name, 0, document.get(name, {})) for name in SCHEMA if name != "links"}

    def located(table: str, key: str) -> Path | None:
        value = tables[table].get(key)
        return None if value is None else folder / Path(value).expanduser()

    state_dir = located("agent", "state_dir") or default_state_dir()
    collector = located("collector", "public")
    mqtt = None
    if tables["mqtt"]:
        values = tables["mqtt"]
        if "url" not in values:
            raise source.error("[mqtt] without url", "mqtt", 0, None, 'url = "mqtt://host:1883"')
        if collector is None:
            raise source.error(
                "[mqtt] without a collector", "mqtt", 0, None,
                "batches are sealed to the collector's key: [collector] public = \"collector.pub\"",
            )  # fmt: skip
        parts = urlsplit(cast("str", values["url"]))
        tls = parts.scheme == "mqtts"
        mqtt = MqttConfig(
            host=cast("str", parts.hostname),
            port=parts.port or (8883 if tls else 1883),
            tls=tls,
            username=values.get("username"),
            password_file=located("mqtt", "password_file"),
            ca_file=located("mqtt", "ca_file"),
            receipt_timeout_s=float(values.get("receipt_timeout_s", 15.0)),
        )
    return Config(
        state_dir=state_dir,
        key=located("agent", "key") or state_dir / "agent.key",
        links=_links(source, document["links"]) if "links" in document else (LinkConfig(AUTO),),
        commit_ms=tables["store"].get("commit_ms", 40),
        batch_s=float(tables["custody"].get("batch_seconds", 2.0)),
        batch_bytes=tables["custody"].get("batch_kib", 256) * 1024,
        collector=collector,
        mqtt=mqtt,
        source=path,
    )


def load(path: Path | None = None) -> Config:
    """The configuration at `path`.

    With None the one at default_path(), or the defaults when there is none.
    """
    if path is None:
        path = default_path()
        if not path.exists() and not os.environ.get("VITALWIRE_CONFIG"):
            state_dir = default_state_dir()
            return Config(state_dir=state_dir, key=state_dir / "agent.key")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError("there is no such file", path) from None
    except UnicodeDecodeError as e:
        raise ConfigError(f"not UTF-8 text: byte {e.start}", path) from None
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", path) from None
    return parse(text, path)
