"""A user store in this process's memory: for tests and demos. Everything is gone with the process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from authy_wsgi.contracts import User
from authy_wsgi.documents import dump_user, fold, load_user, new_version, tombstone
from authy_wsgi.errors import AmbiguousUser, Conflict


class MemoryStore:
    """Writable, exact among the threads of one process. `case_sensitive_ids=True` for sites where `John` and `john` are two people."""

    single_process = True

    def __init__(self, *, case_sensitive_ids: bool = False) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, tuple[str, int, str]] = {}
        self.case_sensitive_ids = case_sensitive_ids

    def _row(self, user_id: str) -> tuple[str, int, str] | None:
        row = self._rows.get(fold(user_id, case_sensitive=self.case_sensitive_ids))
        if row is not None and row[0] != user_id:
            raise AmbiguousUser("two spellings of one user id")
        return row

    def get(self, user_id: str) -> User | None:
        with self._lock:
            row = self._row(user_id)
        return None if row is None else load_user(*row)

    def save(self, user: User) -> User:
        saved = replace(user, version=new_version())
        document = dump_user(saved)
        with self._lock:
            row = self._row(user.id)
            if (row[1] if row else 0) != user.version:
                raise Conflict("the stored version is another one")
            self._rows[fold(user.id, case_sensitive=self.case_sensitive_ids)] = (user.id, saved.version, document)
        return saved

    def delete(self, user_id: str) -> None:
        left = tombstone(user_id)
        with self._lock:
            if self._row(user_id) is not None:
                self._rows[fold(user_id, case_sensitive=self.case_sensitive_ids)] = (user_id, left.version, dump_user(left))

    def erase(self, user_id: str) -> None:
        with self._lock:
            if self._row(user_id) is not None:
                del self._rows[fold(user_id, case_sensitive=self.case_sensitive_ids)]

    def ids(self, after: str = "", limit: int = 1000) -> Sequence[str]:
        with self._lock:
            return sorted(row[0] for row in self._rows.values() if row[0] > after)[:limit]
