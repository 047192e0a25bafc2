"""One SQL database, opened per process: SQLite as the embedded default, PostgreSQL by URL. What `stores.sql` and `ledgers.sql` stand on."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from authy_wsgi.errors import Misconfigured, Unavailable

SCHEMA_VERSION = 1
_BUSY_SECONDS = 5
_READING = "second_factor_reading"
_METADATA = MetaData()

USERS = Table(
    "second_factor_users",
    _METADATA,
    Column("folded", String(1024), primary_key=True),
    Column("id", String(255), nullable=False, unique=True),
    Column("version", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
)
VALUES = Table(
    "second_factor_ledger",
    _METADATA,
    Column("key", String(255), primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("ends", BigInteger, nullable=False, index=True),
)
TRIES = Table(
    "second_factor_tries",
    _METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("key", String(255), nullable=False),
    Column("receipt", String(32), nullable=False, index=True),
    Column("at", BigInteger, nullable=False),
    Column("ends", BigInteger, nullable=False, index=True),
)
Index("second_factor_tries_key_at", TRIES.c.key, TRIES.c.at)
SCHEMA = Table("second_factor_schema", _METADATA, Column("version", Integer, nullable=False))

# One number for all our transactions that must not run beside each other; PostgreSQL's advisory locks take any 64-bit integer.
_SCHEMA_LOCK = 0x5EC0FAC7


# `authy-wsgi users migrate` sets it while it imports the site: every database that is opened meanwhile is brought up to date instead of refused.
MIGRATED: ContextVar[dict[str, int | None] | None] = ContextVar("MIGRATED", default=None)


class Database:
    """A database by URL. Connections are opened where they are first used, so that a fork after construction (gunicorn --preload, uWSGI) is harmless."""

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url)
            self._url.get_dialect()
        except ImportError as error:
            extra = ': pip install "authy-wsgi[postgresql]"' if str(url).startswith("postgresql") else ""
            raise Misconfigured(f"The database's driver {error.name} is not installed{extra}.") from None
        except (ArgumentError, NoSuchModuleError):
            perhaps = "postgresql://... instead of postgres://..." if str(url).startswith("postgres:") else '"sqlite:///second-factor.db"'
            raise Misconfigured(f"The database URL is not one that SQLAlchemy knows; write for example {perhaps}.") from None
        if self._url.get_backend_name() not in ("sqlite", "postgresql"):
            raise Misconfigured(f"{self._url.get_backend_name()} is no database for this: locks and transactions are known of SQLite and PostgreSQL only.")
        # Without its query, which may hold a password too.
        self.shown = self._url.set(query={}).render_as_string(hide_password=True)
        self.sqlite = self._url.get_backend_name() == "sqlite"
        self.file = self._url.database or "" if self.sqlite else ""
        if self.sqlite and (self._url.database or ":memory:") == ":memory:":
            # Each connection would get an empty database of its own.
            raise Misconfigured("A SQLite database in memory is another one for each thread: give a file, or use MemoryStore and MemoryLedger.")
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._engine: Engine | None = None
        self._pid = 0

    def __repr__(self) -> str:
        return f"Database({self.shown!r})"

    def _open(self) -> Engine:
        with self._lock:
            if self._engine is None or self._pid != os.getpid():
                if self._engine is not None:
                    self._engine.dispose(close=False)
                # The lock too: one that was held while the process forked stays held in the child.
                self._engine, self._pid, self._writing = self._new_engine(), os.getpid(), threading.Lock()
            return self._engine

    def _new_engine(self) -> Engine:
        if not self.sqlite:
            return create_engine(self._url, pool_pre_ping=True, hide_parameters=True, isolation_level="READ COMMITTED")
        engine = create_engine(self._url, hide_parameters=True, connect_args={"timeout": _BUSY_SECONDS})
        event.listen(engine, "connect", _sqlite_connected)
        event.listen(engine, "begin", _sqlite_begin)
        return engine

    def close(self) -> None:
        """Close the connections of this process; the next use opens new ones."""
        with self._lock:
            if self._engine is not None and self._pid == os.getpid():
                self._engine.dispose()
            self._engine = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One atomic step that may write. `Unavailable("database")` when the database does not take it; then nothing has changed."""
        with self._opened() as engine, self._turn(), engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One look at what is stored. On SQLite it waits for no writer."""
        with self._opened() as engine, engine.connect().execution_options(**{_READING: True}) as connection, connection.begin():
            yield connection

    @contextmanager
    def _opened(self) -> Iterator[Engine]:
        try:
            yield self._open()
        except SQLAlchemyError as error:
            # SECURITY: the text of a driver's error may quote values; its class is enough for the log.
            raise Unavailable("database", f"{type(error).__name__} at {self.shown}") from None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The threads of one process queue here; only processes meet at SQLite's own lock, which polls and lets some of many starve."""
        if not self.sqlite:
            yield
            return
        writing = self._writing
        if not writing.acquire(timeout=_BUSY_SECONDS):
            raise Unavailable("database", "other threads hold it")
        try:
            yield
        finally:
            writing.release()

    def lock(self, connection: Connection, *numbers: int) -> None:
        """Wait until no other transaction holds one of these numbers. On SQLite every transaction that may write waits for all others anyway."""
        if not self.sqlite:
            for number in sorted(set(numbers)):
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def version(self) -> int | None:
        """The schema's version, None for a database without our tables."""
        with self.reading() as connection:
            return self._version(connection)

    @staticmethod
    def _version(connection: Connection) -> int | None:
        if not inspect(connection).has_table(SCHEMA.name):
            return None
        return int(connection.execute(select(SCHEMA.c.version)).scalar_one_or_none() or 0)

    def prepare(self) -> None:
        """Create the tables where there are none; `Misconfigured` for tables of another version, with the command that brings them up to date."""
        if (migrated := MIGRATED.get()) is not None:
            migrated.setdefault(self.shown, self.migrate())
            return
        with self.transaction() as connection:
            self.lock(connection, _SCHEMA_LOCK)
            found = self._version(connection)
            if found is None:
                self._migrate(connection, None)
        if found not in (None, SCHEMA_VERSION):
            self.close()
            raise Misconfigured(_other_version(self.shown, int(found)))

    def migrate(self) -> int | None:
        """Bring the tables to this version's schema; the version that was there before. Nothing happens where they are up to date."""
        with self.transaction() as connection:
            self.lock(connection, _SCHEMA_LOCK)
            found = self._version(connection)
            if found is not None and found > SCHEMA_VERSION:
                raise Misconfigured(_other_version(self.shown, found))
            if found != SCHEMA_VERSION:
                self._migrate(connection, found)
            return found

    @staticmethod
    def _migrate(connection: Connection, found: int | None) -> None:
        _METADATA.create_all(connection)
        values: dict[str, Any] = {"version": SCHEMA_VERSION}
        connection.execute(insert(SCHEMA).values(values) if found is None else update(SCHEMA).values(values))


def _other_version(shown: str, found: int) -> str:
    if found > SCHEMA_VERSION:
        return f"The tables in {shown} are of version {found}, this authy_wsgi knows {SCHEMA_VERSION}: install the newer authy_wsgi again."
    return f"The tables in {shown} are of version {found}, this authy_wsgi needs {SCHEMA_VERSION}: make a copy, then run 'authy-wsgi users migrate --app ...'."


def _sqlite_connected(connection: Any, _record: Any) -> None:
    # The driver's own transaction control would begin late; with None every BEGIN is ours.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    # In WAL a read that turns into a write fails at once whatever the busy timeout is; a transaction that may write says so at its start.
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(_READING) else "BEGIN IMMEDIATE")
