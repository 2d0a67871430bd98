"""The two databases that a collector can write: an SQLite file, or a PostgreSQL that several of them share.

Statements are written once, with `?` for what is put in, in the SQL that both read. Durable on both: SQLite
with `synchronous=FULL`, PostgreSQL with `synchronous_commit` at `on` or stricter. Nothing here retries: what
passes by itself is told apart from what does not (`unavailable`), and the caller tries again. A server that
is away is asked less and less often, whoever tries how often.
"""

import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from edge_agent.backoff import Backoff
from edge_agent.extras import remedy

CONNECT_S = 10
LOCK_S = 30
IDLE_S = 60
"""So long a PostgreSQL lets a collector that froze within a transaction hold up the others."""

AGAIN_FIRST_S, AGAIN_MOST_S = 0.5, 10.0
"""How soon a connection that broke is tried again, at first and at last."""
FETCH_ROWS = 1000
LOCKS = 256
"""Advisory locks that agents and nodes share: a transaction holds some of them, never more."""

_LOCK_SPACE = 0x76770001
"""The first of the two numbers of an advisory lock: nobody else's, one hopes, in a database of one's own."""


class AddressError(Exception):
    """A database's address cannot be used; the text says why and what to do, and never holds a password."""


def unavailable() -> tuple[type[Exception], ...]:
    """Errors after which nothing was stored, and trying again may help: the disk full, the server away."""
    psycopg = sys.modules.get("psycopg")
    if psycopg is None:
        return (sqlite3.OperationalError,)
    # The last two are of class "internal": we were frozen for too long; the server became a standby.
    passing = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.ReadOnlySqlTransaction)
    return (sqlite3.OperationalError, psycopg.OperationalError, psycopg.InterfaceError, *passing)


def errors() -> tuple[type[Exception], ...]:
    """Every error of either database."""
    psycopg = sys.modules.get("psycopg")
    return (sqlite3.Error,) if psycopg is None else (sqlite3.Error, psycopg.Error)


class Cursor(Protocol):
    """What a statement gave: as in DB-API 2.0."""

    rowcount: int

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Sqlite:
    """One SQLite file, WAL. `read_only`: nothing is made, nothing written."""

    dialect = "sqlite"
    warning = ""

    def __init__(self, path: Path, read_only: bool = False):
        self.name = str(path)
        if read_only:
            uri = f"{path.resolve().as_uri()}?mode=ro"
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=LOCK_S)
            try:
                # What is erased leaves no bytes behind in pages that are free.
                for setting in (
                    "journal_mode=WAL",
                    "synchronous=FULL",
                    "foreign_keys=ON",
                    "secure_delete=ON",
                ):
                    self._db.execute(f"PRAGMA {setting}")
            except sqlite3.DatabaseError:
                self._db.close()
                raise
        self.execute = self._db.execute

    def version(self) -> int:
        """Of the schema; 0 when there is none."""
        return self.execute("PRAGMA user_version").fetchone()[0]

    def set_version(self, version: int) -> None:
        """Of the schema, within the transaction that makes it so."""
        self.execute(f"PRAGMA user_version={version:d}")

    def stream(self, sql: str, args: Sequence[Any] = ()) -> Iterator[Any]:
        """The rows, a few at a time in memory."""
        return self.execute(sql, args)

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> int:
        """Put the rows in that are not there yet (by any of the table's keys); how many those were."""
        marks = ", ".join("?" * (columns.count(",") + 1))
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"
        return self._db.executemany(statement, rows).rowcount if rows else 0

    def insert_id(self, sql: str, args: Sequence[Any]) -> int:
        """The `id` of the row that an INSERT made."""
        row = self.execute(sql, args).lastrowid
        assert row is not None
        return row

    def begin(self, locks: Iterable[bytes] = (), read_only: bool = False) -> None:
        """A transaction, the only one that writes."""
        self.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")

    def commit(self) -> None:
        """On return it is on the disk."""
        self.execute("COMMIT")

    def rollback(self) -> None:
        """As if it had not been; also when the database ended it itself."""
        if self._db.in_transaction:
            self.execute("ROLLBACK")

    def scrub(self) -> str:
        """Leave no byte of what was deleted in the file or its log; what a person has to do yet: ""."""
        self.execute("VACUUM")
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return ""

    def close(self) -> None:
        """What is committed stays."""
        self._db.close()


class Postgres:
    """One connection to a PostgreSQL, made again when it broke. Any number of collectors may have theirs.

    A transaction takes the advisory locks of the agents and nodes that it touches, in one order, before it
    reads: for each of them, collectors come one after the other, and each sees all that those before it did.
    """

    dialect = "postgresql"

    def __init__(self, address: str):
        try:
            import psycopg
        except ImportError:
            raise AddressError(f"PostgreSQL needs psycopg: {remedy('postgres')}") from None
        self._psycopg = psycopg
        self._conninfo, self.name = _checked(address)
        self._translated: dict[str, str] = {}
        self._cursors = 0
        self.warning = ""
        self._again = Backoff(AGAIN_FIRST_S, AGAIN_MOST_S)
        self._why = ""
        self._db = self._connected()

    def _reconnected(self) -> Any:
        """A new connection, when it is time for one."""
        wait_s = self._again.wait_s()
        if wait_s > 0:
            raise self._psycopg.OperationalError(f"{self._why} (asked again in {wait_s:.0f} s)")
        try:
            db = self._connected()
        except self._psycopg.Error as e:
            self._again.failed()
            self._why = " ".join(str(e).split())
            raise
        self._again.succeeded()
        return db

    def _connected(self) -> Any:
        db: Any = self._psycopg.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=CONNECT_S,
            application_name="vitalwire-collector",
            keepalives_idle=20,
            keepalives_interval=5,
            keepalives_count=3,
            target_session_attrs="read-write",
        )
        try:
            db.execute(f"SET lock_timeout = '{LOCK_S}s'")
            db.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_S}s'")
            db.execute("SET client_min_messages = warning")
            if db.execute("SHOW synchronous_commit").fetchone()[0] in ("off", "local"):
                db.execute("SET synchronous_commit = on")
            off = [name for name in ("fsync", "full_page_writes") if _shown(db, name) == "off"]
            self.warning = (
                f"PostgreSQL runs with {' and '.join(off)} off: a power cut loses what was receipted"
            )
            self.warning = self.warning if off else ""
        except BaseException:
            db.close()
            raise
        return db

    def version(self) -> int:
        """Of the schema; 0 when there is none."""
        # A query, not to_regclass: that remembers what was not there before it waited for the lock.
        (there,) = self.execute(
            "SELECT count(*) FROM pg_catalog.pg_tables"
            " WHERE schemaname = current_schema() AND tablename = 'meta'"
        ).fetchone()
        row = self.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() if there else None
        return int(row[0]) if row else 0

    def set_version(self, version: int) -> None:
        """Of the schema, within the transaction that makes it so."""
        self.execute(
            "INSERT INTO meta VALUES ('schema', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (b"%d" % version,),
        )

    def execute(self, sql: str, args: Sequence[Any] = ()) -> Cursor:
        """One statement; its rows are all here when it returns."""
        return self._db.execute(self._own(sql), args or None)

    def stream(self, sql: str, args: Sequence[Any] = ()) -> Iterator[Any]:
        """The rows, a few at a time in memory; within a transaction."""
        self._cursors += 1
        with self._db.cursor(name=f"rows_{self._cursors}") as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(self._own(sql), args or None)
            yield from cursor

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> int:
        """Put the rows in that are not there yet (by any of the table's keys); how many those were."""
        if not rows:
            return 0
        types = self._types(table)
        arrays = ", ".join(f"%b::{types[name.strip()]}[]" for name in columns.split(","))
        statement = f"INSERT INTO {table} ({columns}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING"
        return self._db.execute(statement, [list(column) for column in zip(*rows, strict=True)]).rowcount

    def insert_id(self, sql: str, args: Sequence[Any]) -> int:
        """The `id` of the row that an INSERT made."""
        return self.execute(f"{sql} RETURNING id", args).fetchone()[0]

    def begin(self, locks: Iterable[bytes] = (), read_only: bool = False) -> None:
        """A transaction, alone on what `locks` names, or (`read_only`) on one moment of the database."""
        if self._db.closed:
            self._db = self._reconnected()
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if read_only else "BEGIN")
        slots = sorted({int.from_bytes(name[:4], "big") % LOCKS for name in locks})
        if slots:
            # Each statement takes its snapshot when it begins: those that come after see what the holders
            # before us committed.
            self._db.execute(
                "SELECT pg_advisory_xact_lock(%s, slot) FROM unnest(%s::int[]) WITH ORDINALITY AS t (slot, n)"
                " ORDER BY n",
                (_LOCK_SPACE, slots),
            )

    def commit(self) -> None:
        """On return it is on the disk. An error leaves it open whether it is: the same again finds out."""
        self.execute("COMMIT")

    def rollback(self) -> None:
        """As if it had not been, also when the connection is gone."""
        try:
            self.execute("ROLLBACK")
        except self._psycopg.Error:
            self._db.close()

    def scrub(self) -> str:
        """What a person has to do, so that no byte of what was deleted is left."""
        return (
            "run VACUUM (FULL) frames, statements, conflicts when the collectors may wait,"
            " and let backups and archived WAL that hold it expire"
        )

    def close(self) -> None:
        """What is committed stays."""
        self._db.close()

    def _own(self, sql: str) -> str:
        found = self._translated.get(sql)
        if found is None:
            found = self._translated[sql] = sql.replace("%", "%%").replace("?", "%s")
        return found

    def _types(self, table: str) -> dict[str, str]:
        key = f"types of {table}"
        if key not in self._translated:
            rows = self._db.execute(
                "SELECT column_name, udt_name FROM information_schema.columns"
                " WHERE table_schema = current_schema() AND table_name = %s",
                (table,),
            ).fetchall()
            self._translated[key] = ",".join(f"{name} {type_}" for name, type_ in rows)
        return dict(pair.split(" ") for pair in self._translated[key].split(","))


Database = Sqlite | Postgres


def is_postgres(address: str) -> bool:
    """Whether a `--database` names a server rather than a file."""
    return address.startswith(("postgresql:", "postgres:"))


def _shown(db: Any, name: str) -> str:
    return db.execute(f"SHOW {name}").fetchone()[0]


def _checked(address: str) -> tuple[str, str]:
    """(what to connect with, what may be shown of it)."""
    from psycopg import ProgrammingError, conninfo

    try:
        facts = conninfo.conninfo_to_dict(address)
    except ProgrammingError:
        # Its text repeats the address, and with it a password.
        raise AddressError("expected postgresql://[user@]host[:port]/database") from None
    if "password" in facts or "sslpassword" in facts:
        raise AddressError(
            "a password in the address can be read by every user of this machine (ps); "
            "give it in the environment (PGPASSWORD), in ~/.pgpass, or as a service (postgresql:///?service=NAME)"
        )
    shown = "postgresql://" + (f"{facts['user']}@" if "user" in facts else "") + str(facts.get("host", ""))
    shown += f":{facts['port']}" if "port" in facts else ""
    shown += f"/{facts.get('dbname', '')}" + (f"?service={facts['service']}" if "service" in facts else "")
    return address, shown
