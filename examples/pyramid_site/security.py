"""Who is there, and what they may do: the site's own login, which knows nothing of a second factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyramid.request import RequestLocalCache

from examples.pyramid_site import models


class SecurityPolicy:
    """The session holds the random id of a login, the database knows whose it is."""

    def __init__(self) -> None:
        self._found = RequestLocalCache(self._find)

    def identity(self, request: Any) -> models.Account | None:
        found: models.Account | None = self._found.get_or_create(request)
        return found

    def authenticated_userid(self, request: Any) -> str | None:
        account = self.identity(request)
        return account.name if account else None

    def permits(self, request: Any, _context: object, permission: str) -> bool:
        """ "view" is for whoever is signed in, "keep" for keepers."""
        account = self.identity(request)
        return account is not None and (permission == "view" or (permission == "keep" and account.keeper))

    def remember(self, request: Any, userid: str, **_options: Any) -> Sequence[tuple[str, str]]:
        # SECURITY: nothing of the session before the login outlives it, its CSRF token neither (session fixation).
        request.session.invalidate()
        request.session["login"] = models.begin_sign_in(request.db, userid, request.registry.clock())
        return []

    def forget(self, request: Any, **_options: Any) -> Sequence[tuple[str, str]]:
        models.end_sign_in(request.db, request.session.get("login", ""))
        request.session.invalidate()
        return []

    def _find(self, request: Any) -> models.Account | None:
        sign_in_id = request.session.get("login", "")
        return models.signed_in(request.db, sign_in_id, request.registry.clock()) if sign_in_id else None
