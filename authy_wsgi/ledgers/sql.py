"""A ledger in a SQL database: exact across the processes of a machine (SQLite) or across machines (PostgreSQL)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, delete, func, insert, select

from authy_wsgi.contracts import Allowance, Budget
from authy_wsgi.database import TRIES, VALUES, Database
from authy_wsgi.errors import Unavailable
from authy_wsgi.tickets import digest, new_id, short

_SWEEP_ONE_IN = 200
_SLACK = 3600


class SQLLedger:
    """`SQLLedger("sqlite:///second-factor.db")`, or the database of a `SQLStore`. Each call is one transaction; a busy database is `Unavailable`."""

    def __init__(self, database: str | Database) -> None:
        self.database = database if isinstance(database, Database) else Database(database)
        self.database.prepare()

    @contextmanager
    def _step(self, *keys: str, write: bool = True) -> Iterator[Connection]:
        try:
            with self.database.transaction() if write else self.database.reading() as connection:
                self.database.lock(connection, *(int.from_bytes(digest(key)[:8], "big", signed=True) for key in keys))
                yield connection
        except Unavailable as error:
            raise Unavailable("ledger", error.reason) from None

    def spend(self, budgets: Sequence[Budget], *, now: int) -> Allowance:
        keys = [_short(f"{budget.rule}:{budget.window}:{budget.subject}") for budget in budgets]
        receipt = new_id()
        with self._step(*keys) as connection:
            self._sweep(connection, now)
            left, full = [], []
            for key, budget in zip(keys, budgets, strict=True):
                live = TRIES.c.key == key, TRIES.c.ends > now
                oldest = select(TRIES.c.ends).where(*live).order_by(TRIES.c.ends.desc()).offset(budget.limit - 1).limit(1)
                # One statement: a try that is given back takes no lock, and two would see it come and go between them.
                count, again_at = connection.execute(select(func.count(), oldest.scalar_subquery()).select_from(TRIES).where(*live)).one()
                if again_at is not None:
                    full.append((again_at, budget))
                left.append(budget.limit - count - 1)
            if full:
                again_at, refused = max(full, key=lambda each: each[0])
                return Allowance(ok=False, refused=refused, again_at=again_at)
            rows = [{"key": key, "receipt": receipt, "at": now, "ends": now + budget.window} for key, budget in zip(keys, budgets, strict=True)]
            if rows:
                connection.execute(insert(TRIES), rows)
        return Allowance(ok=True, receipt=receipt, left=tuple(left))

    def give_back(self, receipt: str) -> None:
        with self._step() as connection:
            connection.execute(delete(TRIES).where(TRIES.c.receipt == receipt))

    def claim(self, key: str, value: bytes, ttl: int, *, now: int) -> bytes:
        with self._step(key) as connection:
            self._sweep(connection, now)
            stored = self._live(connection, key, now)
            if stored is not None:
                return stored
            self._store(connection, key, value, now + ttl)
        return value

    def put(self, key: str, value: bytes, ttl: int, *, now: int) -> None:
        with self._step(key) as connection:
            self._sweep(connection, now)
            self._store(connection, key, value, now + ttl)

    def get(self, key: str, *, now: int) -> bytes | None:
        with self._step(write=False) as connection:
            return self._live(connection, key, now)

    def get_many(self, keys: Sequence[str], *, now: int) -> list[bytes | None]:
        """What is under each of these keys, in one statement."""
        with self._step(write=False) as connection:
            rows = connection.execute(select(VALUES.c.key, VALUES.c.value).where(VALUES.c.key.in_(keys), VALUES.c.ends > now))
            found = {key: bytes(value) for key, value in rows}
        return [found.get(key) for key in keys]

    def pop(self, key: str, *, now: int) -> bytes | None:
        with self._step(key) as connection:
            stored = self._live(connection, key, now)
            connection.execute(delete(VALUES).where(VALUES.c.key == key))
            return stored

    @staticmethod
    def _live(connection: Connection, key: str, now: int) -> bytes | None:
        stored = connection.execute(select(VALUES.c.value).where(VALUES.c.key == key, VALUES.c.ends > now)).scalar_one_or_none()
        return None if stored is None else bytes(stored)

    @staticmethod
    def _store(connection: Connection, key: str, value: bytes, ends: int) -> None:
        connection.execute(delete(VALUES).where(VALUES.c.key == key))
        connection.execute(insert(VALUES).values(key=key, value=value, ends=ends))

    @staticmethod
    def _sweep(connection: Connection, now: int) -> None:
        if random.randrange(_SWEEP_ONE_IN) == 0:  # noqa: S311 - when to clean up is no secret
            # Later than they end: another machine's clock may be behind this one's.
            connection.execute(delete(VALUES).where(VALUES.c.ends <= now - _SLACK))
            connection.execute(delete(TRIES).where(TRIES.c.ends <= now - _SLACK))


def _short(key: str) -> str:
    """A key that fits into its column; subjects of others may be long."""
    return key if len(key) <= 200 else short(digest(key), 32)
