"""What the Pyramid site knows: two accounts, who is logged in, and payments. One SQLite file."""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from examples import passwords

LOGIN_SECONDS = 12 * 3600

_AMOUNT = re.compile(r"([0-9]{1,5})(?:[.,]([0-9]{1,2}))?")

_TABLES = """
CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, password TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS logins (id TEXT PRIMARY KEY, name TEXT NOT NULL REFERENCES accounts (name), began INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS payments (id TEXT PRIMARY KEY, name TEXT NOT NULL, payee TEXT NOT NULL, cents INTEGER NOT NULL, at INTEGER NOT NULL) STRICT;
"""


class LoggedIn(NamedTuple):
    """Who is there. `id` is 128 random bits made at that login."""

    id: str
    name: str


class Payment(NamedTuple):
    """Money that left an account; `at` in Unix seconds."""

    id: str
    payee: str
    cents: int
    at: int


class Bank:
    """All of it. `accounts` (name -> password) are made where they are missing."""

    def __init__(self, path: Path, accounts: Mapping[str, str], clock: Callable[[], int]) -> None:
        self._path = path
        self._clock = clock
        with self._database() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_TABLES)
            known = {name for (name,) in database.execute("SELECT name FROM accounts")}
            fresh = [(name, passwords.hashed(password)) for name, password in accounts.items() if name not in known]
            database.executemany("INSERT OR IGNORE INTO accounts VALUES (?, ?)", fresh)

    def knows(self, name: str, password: str) -> bool:
        """Whether name and password belong together."""
        with self._database() as database:
            row = database.execute("SELECT password FROM accounts WHERE name = ?", (name,)).fetchone()
        return passwords.matches(password, row[0]) if row else passwords.matches_nobody(password)

    def log_in(self, name: str) -> str:
        """The id of a new login."""
        login_id = secrets.token_urlsafe(16)
        with self._database() as database:
            database.execute("DELETE FROM logins WHERE began < ?", (self._clock() - LOGIN_SECONDS,))
            database.execute("INSERT INTO logins VALUES (?, ?, ?)", (login_id, name, self._clock()))
        return login_id

    def logged_in(self, login_id: str) -> LoggedIn | None:
        """Whose login that is, while it lasts."""
        with self._database() as database:
            query = "SELECT id, name FROM logins WHERE id = ? AND began >= ?"
            row = database.execute(query, (login_id, self._clock() - LOGIN_SECONDS)).fetchone()
        return LoggedIn(*row) if row else None

    def log_out(self, login_id: str) -> None:
        """End a login, in every copy of its cookie."""
        with self._database() as database:
            database.execute("DELETE FROM logins WHERE id = ?", (login_id,))

    def pay(self, name: str, payee: str, cents: int) -> str:
        """A payment is made; its id."""
        payment_id = secrets.token_urlsafe(9)
        with self._database() as database:
            database.execute("INSERT INTO payments VALUES (?, ?, ?, ?, ?)", (payment_id, name, payee, cents, self._clock()))
        return payment_id

    def payments(self, name: str) -> list[Payment]:
        """What this account has paid, newest first."""
        with self._database() as database:
            rows = database.execute("SELECT id, payee, cents, at FROM payments WHERE name = ? ORDER BY at DESC, rowid DESC LIMIT 20", (name,))
            return [Payment(*row) for row in rows]

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=5)) as database, database:
            yield database


def read_amount(text: str) -> int | None:
    """An amount as people type it ("12", "12.50", "12,5") in cents, 10,000 at most; None for anything else."""
    written = _AMOUNT.fullmatch(text.strip())
    if written is None:
        return None
    cents = int(written[1]) * 100 + int((written[2] or "").ljust(2, "0"))
    return cents if 0 < cents <= 1_000_000 else None
