"""A user store in a SQL database: one row a user (id, folded id, version, one JSON document)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from authy_wsgi.contracts import User
from authy_wsgi.database import USERS, Database
from authy_wsgi.documents import dump_user, fold, load_user, new_version, tombstone
from authy_wsgi.errors import AmbiguousUser, Conflict, Unavailable


class SQLStore:
    """`SQLStore("sqlite:///second-factor.db")`, or any SQLAlchemy URL. Brings a ledger along: `SecondFactor` uses the same database for it.

    The tables are made at the first start. `case_sensitive_ids=True` for sites where `John` and `john` are two people.
    """

    def __init__(self, url: str | Database, *, case_sensitive_ids: bool = False) -> None:
        self.database = url if isinstance(url, Database) else Database(url)
        self.case_sensitive_ids = case_sensitive_ids
        self.database.prepare()

    def __repr__(self) -> str:
        return f"SQLStore({self.database.shown!r})"

    @contextmanager
    def _step(self, *, write: bool = True) -> Iterator[Connection]:
        try:
            with self.database.transaction() if write else self.database.reading() as connection:
                yield connection
        except Unavailable as error:
            raise Unavailable("store", error.reason) from None

    def _row(self, connection: Connection, user_id: str) -> Any:
        """The user's row, None where there is none; `AmbiguousUser` where only another spelling has one."""
        # SECURITY: by id as well as by its folded form, which another setting of case_sensitive_ids may have made: nobody who is enrolled may look like nobody.
        folded = fold(user_id, case_sensitive=self.case_sensitive_ids)
        rows = connection.execute(select(USERS).where(or_(USERS.c.id == user_id, USERS.c.folded == folded))).all()
        for row in rows:
            if row.id == user_id:
                return row
        if rows:
            raise AmbiguousUser("two spellings of one user id")
        return None

    def get(self, user_id: str) -> User | None:
        with self._step(write=False) as connection:
            row = self._row(connection, user_id)
        return None if row is None else load_user(row.id, row.version, row.document)

    def save(self, user: User) -> User:
        saved = replace(user, version=new_version())
        values = {"version": saved.version, "document": dump_user(saved)}
        with self._step() as connection:
            row = self._row(connection, user.id)
            if (row.version if row else 0) != user.version:
                raise Conflict("the stored version is another one")
            if not self._write(connection, user, values, insert_only=row is None):
                raise Conflict("the stored version is another one")
        return saved

    def _write(self, connection: Connection, user: User, values: dict[str, Any], *, insert_only: bool) -> bool:
        if not insert_only:
            mine = (USERS.c.id == user.id, USERS.c.version == user.version)
            return connection.execute(update(USERS).where(*mine).values(values)).rowcount == 1
        try:
            with connection.begin_nested():
                connection.execute(insert(USERS).values(folded=fold(user.id, case_sensitive=self.case_sensitive_ids), id=user.id, **values))
        except IntegrityError:
            return False
        return True

    def delete(self, user_id: str) -> None:
        left = tombstone(user_id)
        with self._step() as connection:
            if self._row(connection, user_id) is not None:
                connection.execute(update(USERS).where(USERS.c.id == user_id).values(version=left.version, document=dump_user(left)))

    def erase(self, user_id: str) -> None:
        with self._step() as connection:
            if self._row(connection, user_id) is not None:
                connection.execute(delete(USERS).where(USERS.c.id == user_id))

    def ids(self, after: str = "", limit: int = 1000) -> Sequence[str]:
        with self._step(write=False) as connection:
            return list(connection.execute(select(USERS.c.id).where(USERS.c.id > after).order_by(USERS.c.id).limit(limit)).scalars())
