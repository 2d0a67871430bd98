"""Real servers for tests: a Mosquitto and a PostgreSQL on loopback, started and ended here by their pid.

The fixtures are every test's: `mosquitto` and `authority` for a broker, `postgres` and `postgres_server`
for a database. What cannot be had skips the test with the reason, and fails it when CI=true.
"""

import getpass
import importlib.util
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import absent
from tools.crash.postgres import Postgres
from tools.demo.broker import LOOPBACK
from tools.services.server import Server, ServerError, with_parent


def _module(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        absent(f"no {name}: it is in the extra {extra}")


# ---- Mosquitto


class Authority:
    """A certificate authority: `server(names…)` and `client(name)` give (certificate file, key file)."""

    def __init__(self, folder: Path):
        trustme = _module("trustme", "dev")
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._ca = trustme.CA()
        self.ca_file = folder / f"ca-{secrets.token_hex(4)}.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def server(self, *names: str, not_after: datetime | None = None) -> tuple[Path, Path]:
        """For a server of these names or addresses (127.0.0.1 and localhost when none is given)."""
        return self._write(self._ca.issue_cert(*(names or (LOOPBACK, "localhost")), not_after=not_after))

    def client(self, name: str, not_after: datetime | None = None) -> tuple[Path, Path]:
        """For a client: `name` becomes the common name. `not_after` has a time zone, and may be past."""
        made = self._write(self._ca.issue_cert(f"{name}.example", common_name=name, not_after=not_after))
        made[1].chmod(0o600)
        return made

    def _write(self, issued) -> tuple[Path, Path]:
        stem = self._folder / secrets.token_hex(4)
        certificate, key = stem.with_suffix(".crt"), stem.with_suffix(".key")
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return certificate, key


class Mosquitto(Server):
    """A broker on 127.0.0.1:`port`; `url` is mqtt://… or, with an `authority`, mqtts://….

    With TLS clients need a certificate, whose common name is their user name. `persistence`: what is queued
    outlives a stop (and a kill, but for the last second: `autosave_interval 1`). `lines`: more of
    mosquitto.conf, e.g. `max_packet_size 262144` or `acl_file …`.
    """

    def __init__(
        self,
        folder: Path,
        authority: Authority | None = None,
        persistence: bool = False,
        lines: tuple[str, ...] = (),
    ):
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            absent("no Mosquitto: tools/services/install.sh installs Debian's")
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__("mosquitto", folder / "mosquitto.log")
        self._program, self._config = program, folder / "mosquitto.conf"
        self.authority = authority
        self.url = f"{'mqtts' if authority else 'mqtt'}://{LOOPBACK}:{self.port}"
        # Before the listener: a setting that is one listener's stays the listener's.
        config = [
            f"user {getpass.getuser()}",
            "max_queued_messages 0",
            f"persistence {'true' if persistence else 'false'}",
            f"persistence_location {folder}/",
            "autosave_interval 1",
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            f"listener {self.port} {LOOPBACK}",
            "allow_anonymous true",
        ]
        if authority is not None:
            certificate, key = authority.server()
            config += [
                f"cafile {authority.ca_file}",
                f"certfile {certificate}",
                f"keyfile {key}",
                "require_certificate true",
                "use_identity_as_username true",
            ]
        self._config.write_text("\n".join([*config, *lines, ""]), encoding="utf-8")

    def command(self) -> list[str]:
        """Mosquitto on its configuration file."""
        return with_parent([self._program, "-c", str(self._config)])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority of this test's own."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """`mosquitto(authority=None, persistence=False, lines=())` starts a broker that ends with the test."""
    brokers: list[Mosquitto] = []

    def start(
        authority: Authority | None = None, persistence: bool = False, lines: tuple[str, ...] = ()
    ) -> Mosquitto:
        broker = Mosquitto(tmp_path / f"mosquitto-{len(brokers)}", authority, persistence, lines)
        brokers.append(broker)
        broker.start()
        return broker

    yield start
    for broker in brokers:
        broker.stop()


# ---- PostgreSQL


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One server for this process's tests. A test that stops it starts it again."""
    try:
        server = Postgres()
    except ServerError as e:
        if e.absent:
            absent(str(e))
        raise
    yield server
    server.remove()


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[str]:
    """The URL of a fresh, empty database."""
    name = postgres_server.make_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)
