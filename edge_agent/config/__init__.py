"""The agent's configuration: one TOML file, read once into an immutable object; all has defaults that work.

docs/config.md is the reference. An unknown key is an error that names the nearest known one and the line,
because a misspelt key that is quietly ignored is a setting that somebody believes in.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from edge_agent.config.checks import PATH, host_port, is_loopback
from edge_agent.config.combined import combined, warnings
from edge_agent.config.source import ConfigError, Source
from edge_agent.config.table import TABLES
from edge_agent.config.values import (
    AUTO,
    BleConfig,
    Config,
    FhirConfig,
    FileConfig,
    LinkConfig,
    MqttConfig,
    OpsConfig,
    PeopleConfig,
    StoreConfig,
    TcpConfig,
    UpdatesConfig,
    default_path,
    default_state_dir,
)

__all__ = [
    "AUTO",
    "BleConfig",
    "Config",
    "ConfigError",
    "FhirConfig",
    "FileConfig",
    "LinkConfig",
    "MqttConfig",
    "OpsConfig",
    "PeopleConfig",
    "Settings",
    "StoreConfig",
    "TcpConfig",
    "UpdatesConfig",
    "default_path",
    "default_state_dir",
    "host_port",
    "is_loopback",
    "load",
    "parse",
    "settings",
]

# For a message about a path that cannot be read.
MAX_BYTES = 1 << 20

Values = Mapping[str, Any]


class Settings(NamedTuple):
    """What the file says, checked: `given[table]` as written, each of `[[links]]` under `links`."""

    path: Path
    source: Source
    given: Mapping[str, Values]
    links: tuple[Values, ...]

    def value(self, table: str, key: str) -> Any:
        """What holds: as given (a path absolute), else the default."""
        given = self.given.get(table, {}).get(key)
        described = TABLES[table].key(key)
        assert described is not None
        if given is None:
            return described.default
        if described.check is PATH:
            return self.path.absolute().parent / Path(given).expanduser()
        return given

    def values(self, table: str) -> Values | None:
        """All keys of a table that holds; None when the file does not have the table."""
        if table not in self.given:
            return None
        return {key.name: self.value(table, key.name) for key in TABLES[table].keys}


def _nearest(word: str, known: list[str]) -> str:
    return get_close_matches(word, known, n=1, cutoff=0.0)[0]


def _home(word: str) -> str | None:
    homes = [name for name, table in TABLES.items() if table.key(word)]
    return f"it belongs under [{homes[0]}]" if homes else None


def _checked(source: Source, table: str, index: int, given: Any) -> Values:
    if not isinstance(given, dict):
        raise source.error(
            f"{table!r} must be a table", table, index, None, f"write [{table}] on a line of its own"
        )
    values = cast("dict[str, Any]", given)
    described = TABLES[table]
    for name, value in values.items():
        key = described.key(name)
        if key is None:
            hint = _home(name) or f"did you mean {_nearest(name, [k.name for k in described.keys])!r}?"
            raise source.error(f"unknown key {name!r} in [{table}]", table, index, name, hint)
        wrong = key.check.wrong(value)
        if wrong:
            # A URL with an @ may hold a password, which has no place in a message.
            shown = "" if "@" in str(value) else f", not {value!r}"
            raise source.error(f"{name} {wrong}{shown}", table, index, name)
    if described.needs and described.needs not in values:
        needed = described.key(described.needs)
        assert needed is not None
        what = f"[[{table}]]" if described.many else f"[{table}]"
        raise source.error(
            f"{what} without {needed.name}", table, index, None, f'{needed.name} = "{needed.example}"'
        )
    return values


def settings(text: str, path: Path) -> Settings:
    """What the file says, each key checked by itself. Raises ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        found = re.search(r"\(at line (\d+)", str(e))
        line = int(found[1]) if found else len(text.splitlines()) or 1
        raise ConfigError(f"not TOML: {e}", path, line) from None
    source = Source(path, text)
    for table in document:
        if table not in TABLES:
            hint = _home(table) or f"did you mean {_nearest(table, list(TABLES))!r}?"
            raise source.error(f"unknown key {table!r}", table, 0, None, hint)
    links = document.pop("links", [])
    tables = cast("list[Any]", links if isinstance(links, list) else [links])
    return Settings(
        path,
        source,
        {name: _checked(source, name, 0, given) for name, given in document.items()},
        tuple(_checked(source, "links", index, given) for index, given in enumerate(tables)),
    )


def _links(found: Settings) -> tuple[LinkConfig, ...]:
    links: list[LinkConfig] = []
    for index, values in enumerate(found.links):
        link = LinkConfig(values["port"], values.get("baud", 115200))
        if any(link.port == other.port for other in links):
            raise found.source.error(f"port {link.port} is named twice", "links", index, "port")
        links.append(link)
    if not links and "tcp" not in found.given:
        return (LinkConfig(AUTO),)
    return tuple(links)


def _mqtt(values: Values) -> MqttConfig:
    parts = urlsplit(cast("str", values["url"]))
    tls = parts.scheme == "mqtts"
    return MqttConfig(
        host=cast("str", parts.hostname),
        port=parts.port or (8883 if tls else 1883),
        tls=tls,
        username=values["username"],
        password_file=values["password_file"],
        ca_file=values["ca_file"],
        receipt_timeout_s=float(values["receipt_timeout_s"]),
        cert_file=values["cert_file"],
        cert_key_file=values["cert_key_file"],
        required=values["required"],
        max_packet_bytes=values["max_packet_kib"] * 1024,
    )


def _tcp(values: Values) -> TcpConfig:
    host, port = host_port(values["listen"]) or ("", 0)
    return TcpConfig(
        host,
        port,
        values["max_connections"],
        values["per_node_frames_s"],
        float(values["idle_s"]),
        float(values["hello_s"]),
        values["mdns"],
    )


def _ble(values: Values | None) -> BleConfig | None:
    if values is None or not values["enabled"]:
        return None
    return BleConfig(values["adapter"], values["claim"], values["max_connections"])


def parse(text: str, path: Path) -> Config:
    """The configuration that `text` means. Raises ConfigError.

    Relative paths are relative to the folder of `path`.
    """
    found = settings(text, path)
    value = found.value
    state_dir = value("agent", "state_dir") or default_state_dir()
    storage = {key.name: value("store", key.name) for key in TABLES["store"].keys}
    commit_ms = storage.pop("commit_ms")
    mqtt, file, fhir, tcp = (found.values(table) for table in ("mqtt", "file", "fhir", "tcp"))
    metrics = value("ops", "metrics")
    config = Config(
        state_dir=state_dir,
        key=value("agent", "key") or state_dir / "agent.key",
        links=_links(found),
        commit_ms=commit_ms,
        batch_s=float(value("custody", "batch_seconds")),
        batch_bytes=value("custody", "batch_kib") * 1024,
        collector=value("collector", "public"),
        mqtt=None if mqtt is None else _mqtt(mqtt),
        source=path,
        tcp=None if tcp is None else _tcp(tcp),
        ble=_ble(found.values("ble")),
        storage=StoreConfig(**storage),
        file=None if file is None else FileConfig(file["out"], file["in"], file["required"], file["public"]),
        fhir=None if fhir is None else FhirConfig(**fhir),
        people=PeopleConfig(value("people", "operators"), value("people", "consent")),
        remote=value("remote", "authorities"),
        claim=value("pairing", "claim"),
        updates=UpdatesConfig(**{key.name: value("updates", key.name) for key in TABLES["updates"].keys}),
        ops=OpsConfig(None if metrics is None else host_port(metrics), value("ops", "log")),
        warnings=tuple(warnings(found.source, found.given)),
    )
    combined(found.source, found.given)
    return config


def read_text(path: Path) -> str:
    """The file's text; ConfigError says why not."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError("there is no such file", path, hint="name the right one: --config FILE") from None
    except OSError as e:
        raise ConfigError(f"cannot be read: {e.strerror}", path) from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"larger than {MAX_BYTES >> 20} MiB: not a configuration", path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise ConfigError(f"not UTF-8 text: byte {e.start}", path) from None


def load(path: Path | None = None) -> Config:
    """The configuration at `path`.

    With None the one at default_path(), or the defaults when there is none.
    """
    if path is None:
        path = default_path()
        if not path.exists() and not os.environ.get("VITALWIRE_CONFIG"):
            state_dir = default_state_dir()
            return Config(state_dir=state_dir, key=state_dir / "agent.key")
    return parse(read_text(path), path)
