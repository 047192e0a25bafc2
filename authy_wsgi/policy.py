"""Which request needs what: ready-made policies, and exemptions by path.

A policy is a callable of (environ, login) that answers a `Need` or `NOT_NEEDED`. Anything else, a forgotten `return` too, counts as needed and is logged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from authy_wsgi.contracts import NOT_NEEDED, Environ, Login, Need, NotNeeded, Policy

REQUIRED = Need()
WHERE_ENROLLED = Need(if_enrolled=True)

# What servers, proxies and apps read in different ways.
_AMBIGUOUS = re.compile(r"[\x00\\;%]|//|/\.{1,2}(/|\Z)")


def required(_environ: Environ, _login: Login) -> Need:
    """Everybody needs it, everywhere. The default."""
    return REQUIRED


def where_enrolled(_environ: Environ, _login: Login) -> Need:
    """Asked of those who have a factor; the others may add one when they like."""
    return WHERE_ENROLLED


def for_users(users: Collection[str] | Callable[[str], bool], otherwise: Need | NotNeeded = NOT_NEEDED) -> Policy:
    """Required for some users: a collection of ids, or a function of the id. `otherwise` goes for the rest, `Need(if_enrolled=True)` for instance."""
    chosen = users if callable(users) else frozenset(users).__contains__

    def policy(_environ: Environ, login: Login) -> Need | NotNeeded:
        return REQUIRED if chosen(login.user_id) else otherwise

    return policy


def full_path(environ: Environ) -> str:
    """SCRIPT_NAME and PATH_INFO together: what rules are judged on, wherever a header or a mount moves the split between them."""
    return str(environ.get("SCRIPT_NAME", "")) + str(environ.get("PATH_INFO", ""))


class Exemptions:
    """Paths that need no second factor, with all that is below them, by whole segments."""

    def __init__(self, paths: Collection[str]) -> None:
        self.paths = tuple(paths)
        self._below = tuple(path + "/" for path in paths)

    def __bool__(self) -> bool:
        return bool(self.paths)

    def match(self, path: str) -> bool:
        """Whether this full path is exempt. An ambiguous one never is."""
        # SECURITY: "/static/../admin" is exempt for whoever compares texts, and is /admin for whoever resolves it; bytes beyond ASCII have many readings.
        return (path in self.paths or path.startswith(self._below)) and path.isascii() and not _AMBIGUOUS.search(path)
