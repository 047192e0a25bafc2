"""A mark in the app's own session that is one and the same during a login, and never the same for two: the `Login.session` of frameworks that have none."""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from typing import Any

KEY = "second_factor.login"


def mark_of(session: MutableMapping[str, Any], user_id: str) -> str:
    """The mark of this user's login in a session; a new one where there is none (the framework has just let them in), or another user's."""
    found = session.get(KEY)
    if isinstance(found, list | tuple) and len(found) == 2 and found[0] == user_id and isinstance(found[1], str) and found[1]:
        return found[1]
    return fresh_mark(session, user_id)


def fresh_mark(session: MutableMapping[str, Any], user_id: str) -> str:
    """A login has just begun: whatever was proved in another one is not proved in this."""
    mark = secrets.token_urlsafe(16)
    session[KEY] = [user_id, mark]
    return mark


def drop_mark(session: MutableMapping[str, Any]) -> None:
    """The login has ended."""
    session.pop(KEY, None)
