"""The site's own database: who is registered, and who is logged in."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from examples import passwords

SESSION_SECONDS = 12 * 3600

_TABLES = """
CREATE TABLE IF NOT EXISTS people (
    name TEXT PRIMARY KEY, password TEXT NOT NULL, email TEXT NOT NULL, phone TEXT NOT NULL, joined INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, name TEXT NOT NULL REFERENCES people (name), began INTEGER NOT NULL
) STRICT;
"""


class NameTaken(Exception):
    """Somebody has this user name already."""


class Person(NamedTuple):
    """What the site knows of a member. `phone` is E.164, `joined` Unix seconds."""

    name: str
    email: str
    phone: str
    joined: int


class Session(NamedTuple):
    """One login. `id` is 128 random bits made at that login; no two logins share it."""

    id: str
    name: str


class People:
    """Everybody, in one SQLite file. Each call opens it anew, so any thread may ask."""

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self._path = path
        self._clock = clock
        with self._database() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_TABLES)

    def register(self, name: str, password: str, email: str, phone: str) -> None:
        """A new member; `NameTaken` where the name is not free."""
        row = (name, passwords.hashed(password), email, phone, self._clock())
        try:
            with self._database() as database:
                database.execute("INSERT INTO people VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            raise NameTaken(name) from None

    def knows(self, name: str, password: str) -> bool:
        """Whether name and password belong together."""
        stored = self._password(name)
        return passwords.matches(password, stored) if stored else passwords.matches_nobody(password)

    def change_password(self, name: str, password: str) -> None:
        with self._database() as database:
            database.execute("UPDATE people SET password = ? WHERE name = ?", (passwords.hashed(password), name))

    def person(self, name: str) -> Person | None:
        with self._database() as database:
            row = database.execute("SELECT name, email, phone, joined FROM people WHERE name = ?", (name,)).fetchone()
        return Person(*row) if row else None

    def names(self) -> list[str]:
        """All members, in the order in which they joined."""
        with self._database() as database:
            return [name for (name,) in database.execute("SELECT name FROM people ORDER BY joined, name LIMIT 100")]

    def password_stamp(self, name: str) -> str:
        """A text that changes with the password, and says nothing about it."""
        return passwords.stamp(self._password(name))

    def log_in(self, name: str) -> str:
        """The token for the cookie of a new login."""
        token = secrets.token_urlsafe(32)
        with self._database() as database:
            database.execute("DELETE FROM sessions WHERE began < ?", (self._clock() - SESSION_SECONDS,))
            database.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_session_id(token), name, self._clock()))
        return token

    def session(self, token: str) -> Session | None:
        """The login that a cookie stands for, while it lasts."""
        with self._database() as database:
            query = "SELECT id, name FROM sessions WHERE id = ? AND began >= ?"
            row = database.execute(query, (_session_id(token), self._clock() - SESSION_SECONDS)).fetchone()
        return Session(*row) if row else None

    def log_out(self, token: str) -> None:
        """End the login, in every copy of its cookie."""
        with self._database() as database:
            database.execute("DELETE FROM sessions WHERE id = ?", (_session_id(token),))

    def _password(self, name: str) -> str:
        with self._database() as database:
            row = database.execute("SELECT password FROM people WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=5)) as database, database:
            yield database


def _session_id(token: str) -> str:
    # SECURITY: whoever reads the database (a backup, an injection elsewhere) finds no cookie in it.
    return hashlib.sha256(token.encode()).hexdigest()[:32]
