"""A user store on a Django model, in one of the project's own databases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q

from authy_wsgi.contracts import User
from authy_wsgi.documents import dump_user, fold, load_user, new_version, tombstone
from authy_wsgi.errors import AmbiguousUser, Conflict, Unavailable

R = TypeVar("R")


class ModelStore:
    """`ModelStore()`, or `ModelStore(using="other")` for another database than the default one.

    A change is durable when `save` returns. So it may not stand inside a transaction of the app's (ATOMIC_REQUESTS, `atomic()`): what is spent must stay
    spent, whatever becomes of the view. There Django raises `RuntimeError`; mark such a view `@transaction.non_atomic_requests`.
    """

    def __init__(self, using: str = "default", *, case_sensitive_ids: bool = False) -> None:
        self.using = using
        self.case_sensitive_ids = case_sensitive_ids

    def __repr__(self) -> str:
        return f"ModelStore(using={self.using!r})"

    @property
    def _rows(self) -> Any:
        # Models can be imported once the apps are loaded; settings, which name this store, are read before.
        from authy_wsgi.integrations.django.models import SecondFactorUser

        return SecondFactorUser.objects.using(self.using)

    def _row(self, user_id: str) -> Any:
        """The user's row, None where there is none; `AmbiguousUser` where only another spelling has one."""
        found = list(self._rows.filter(Q(pk=user_id) | Q(folded=fold(user_id, case_sensitive=self.case_sensitive_ids))))
        for row in found:
            if row.pk == user_id:
                return row
        if found:
            raise AmbiguousUser("two spellings of one user id")
        return None

    def _step(self, user_id: str, work: Callable[[], R]) -> R:
        """SECURITY: `durable`, so that no rollback of the app's brings back what is used up.

        `work` writes before it reads: on SQLite a transaction that began with a reading is refused at once where another one writes.
        """
        try:
            with transaction.atomic(using=self.using, durable=True):
                return work()
        except IntegrityError:
            self.get(user_id)  # which says so where it is another spelling that is in the way
            raise Conflict("the stored version is another one") from None
        except DatabaseError as error:
            raise Unavailable("store", type(error).__name__) from None

    def get(self, user_id: str) -> User | None:
        try:
            row = self._row(user_id)
        except DatabaseError as error:
            raise Unavailable("store", type(error).__name__) from None
        return None if row is None else load_user(row.pk, row.version, row.document)

    def save(self, user: User) -> User:
        saved = replace(user, version=new_version())
        values = {"version": saved.version, "document": dump_user(saved)}

        def work() -> User:
            if not user.version:
                self._rows.create(pk=user.id, folded=fold(user.id, case_sensitive=self.case_sensitive_ids), **values)
            elif self._rows.filter(pk=user.id, version=user.version).update(**values) != 1:
                self._row(user.id)
                raise Conflict("the stored version is another one")
            return saved

        return self._step(user.id, work)

    def delete(self, user_id: str) -> None:
        left = tombstone(user_id)
        self._step(user_id, lambda: self._rows.filter(pk=user_id).update(version=left.version, document=dump_user(left)) or self._row(user_id))

    def erase(self, user_id: str) -> None:
        self._step(user_id, lambda: self._rows.filter(pk=user_id).delete()[0] or self._row(user_id))

    def ids(self, after: str = "", limit: int = 1000) -> Sequence[str]:
        return list(self._rows.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:limit])
