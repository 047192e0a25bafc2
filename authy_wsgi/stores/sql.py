"""A user store in a SQL database: one row a user (id, folded id, version, one JSON document)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update
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
        self.single_process = self.database.single_process
        self._case_sensitive = case_sensitive_ids
        self.database.prepare()

    def __repr__(self) -> str:
        return f"SQLStore({self.database.shown!r})"

    @contextmanager
    def _step(self) -> Iterator[Connection]:
        try:
            with self.database.transaction() as connection:
                yield connection
        except Unavailable as error:
            raise Unavailable("store", error.reason) from None

    def get(self, user_id: str) -> User | None:
        with self._step() as connection:
            row = connection.execute(select(USERS.c.id, USERS.c.version, USERS.c.document).where(USERS.c.folded == self._folded(user_id))).one_or_none()
        if row is None:
            return None
        if row.id != user_id:
            raise AmbiguousUser("two spellings of one user id")
        return load_user(row.id, row.version, row.document)

    def _folded(self, user_id: str) -> str:
        return fold(user_id, case_sensitive=self._case_sensitive)

    def save(self, user: User) -> User:
        saved = replace(user, version=new_version())
        values = {"version": saved.version, "document": dump_user(saved)}
        with self._step() as connection:
            if user.version:
                changed = connection.execute(update(USERS).where(*self._mine(user.id), USERS.c.version == user.version).values(values)).rowcount
            else:
                changed = self._insert(connection, user.id, values)
        if changed != 1:
            raise Conflict("the stored version is another one")
        return saved

    def _insert(self, connection: Connection, user_id: str, values: dict[str, object]) -> int:
        stored = connection.execute(select(USERS.c.id).where(USERS.c.folded == self._folded(user_id))).scalar_one_or_none()
        if stored is not None and stored != user_id:
            raise AmbiguousUser("two spellings of one user id")
        if stored is not None:
            return 0
        try:
            with connection.begin_nested():
                connection.execute(insert(USERS).values(folded=self._folded(user_id), id=user_id, **values))
        except IntegrityError:
            return 0
        return 1

    def delete(self, user_id: str) -> None:
        left = tombstone(user_id)
        with self._step() as connection:
            connection.execute(update(USERS).where(*self._mine(user_id)).values(version=left.version, document=dump_user(left)))

    def erase(self, user_id: str) -> None:
        with self._step() as connection:
            connection.execute(delete(USERS).where(*self._mine(user_id)))

    def _mine(self, user_id: str) -> tuple[ColumnElement[bool], ...]:
        return (USERS.c.folded == self._folded(user_id), USERS.c.id == user_id)

    def ids(self, after: str = "", limit: int = 1000) -> Sequence[str]:
        with self._step() as connection:
            return list(connection.execute(select(USERS.c.id).where(USERS.c.id > after).order_by(USERS.c.id).limit(limit)).scalars())
