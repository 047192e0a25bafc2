"""Which request needs what: ready-made policies, and exemptions by path.

A policy is a callable of (environ, login) that answers a `Need` or `NOT_NEEDED`. Anything else, a forgotten `return` too, counts as needed and is logged.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import lru_cache

from authy_wsgi.contracts import NOT_NEEDED, Environ, Login, Need, NotNeeded, Policy, Strength
from authy_wsgi.documents import fold
from authy_wsgi.errors import Misconfigured
from authy_wsgi.settings import is_plain_path

REQUIRED = Need()
WHERE_ENROLLED = Need(if_enrolled=True)

# What servers, proxies and apps read in different ways.
_AMBIGUOUS = re.compile(r"[\x00-\x1f\x7f\\;%]|//|/\s*\.\s*(\.\s*)?(/|\Z)")


def required(_environ: Environ, _login: Login) -> Need:
    """Everybody needs it, everywhere. The default."""
    return REQUIRED


def where_enrolled(_environ: Environ, _login: Login) -> Need:
    """Asked of those who have a factor; the others may add one when they like."""
    return WHERE_ENROLLED


def for_users(users: Collection[str] | Callable[[str], bool], otherwise: Need | NotNeeded = NOT_NEEDED) -> Policy:
    """Required for some users: a collection of ids, or a function of the id. `otherwise` goes for the rest, `Need(if_enrolled=True)` for instance.

    SECURITY: an id stands for all its spellings ("john" for "JOHN" too): a login that only differs there must not be one of the rest.
    """
    named = frozenset(map(fold, [users] if isinstance(users, str) else users)) if not callable(users) else frozenset()
    chosen = users if callable(users) else lambda user_id: fold(user_id) in named

    def policy(_environ: Environ, login: Login) -> Need | NotNeeded:
        return REQUIRED if chosen(login.user_id) else otherwise

    return policy


class ByPath:
    """`by_path({"/pay": Need(max_age=60), "/admin": Need(strength=Strength.CODE)})`: what a path and all that is below it needs, by whole segments; the
    longest path that fits counts. `otherwise` is the answer for all other paths, or another policy for them.

    SECURITY: where a path could be read in two ways, what either asks for is asked for together: as it is written, and with case and compatibility forms
    folded. An ambiguous one ("//", dot segments, a backslash, ";", a "%" that is left over, no slash at its start) needs all that any rule or `otherwise`
    asks for.
    """

    def __init__(self, rules: Mapping[str, Need], otherwise: Policy | Need | NotNeeded = REQUIRED) -> None:
        if not isinstance(rules, Mapping) or not all(is_plain_path(path) and isinstance(need, Need) for path, need in rules.items()):
            raise Misconfigured('by_path needs a mapping: a path such as "/a/b" (plain segments, no slash at its end) for each Need.')
        if not isinstance(otherwise, Need | NotNeeded) and not callable(otherwise):
            raise Misconfigured("by_path's otherwise must be a Need, NOT_NEEDED or a policy.")
        self.rules = dict(rules)
        self.otherwise = otherwise
        self._folded: dict[str, Need] = {}
        for path, need in rules.items():
            folded = _fold(path)
            self._folded[folded] = _together(need, self._folded[folded]) if folded in self._folded else need
        self._all = tuple(rules.values())

    def __call__(self, environ: Environ, login: Login) -> Need | NotNeeded:
        path, mount, inner = full_path(environ), str(environ.get("SCRIPT_NAME", "")), str(environ.get("PATH_INFO", ""))
        other = self._otherwise(environ, login)
        if any(_is_ambiguous(reading) for reading in (path, _fold(path), inner, _fold(inner))):
            return _together(*self._all, *([other] if isinstance(other, Need) else []))
        found = [*self._asked(self.rules, path, mount, other), *self._asked(self._folded, _fold(path), _fold(mount), other)]
        if mount:
            # What the app routes on, should a header have moved the split, is PATH_INFO alone; a rule for that only adds.
            found += [rules[rule] for rules, reading in ((self.rules, inner), (self._folded, _fold(inner))) if (rule := _longest(rules, reading))]
        needs = [need for need in found if isinstance(need, Need)]
        return _together(*needs) if needs else other

    @staticmethod
    def _asked(rules: Mapping[str, Need], path: str, mount: str, other: Need | NotNeeded) -> list[Need | NotNeeded]:
        """What one reading of a path asks for. A rule that says nothing of what comes after SCRIPT_NAME lessens nothing."""
        rule = _longest(rules, path)
        if not rule:
            return [other]
        return [rules[rule]] if not mount or reaches_beyond(rule, mount, path) else [rules[rule], other]

    def _otherwise(self, environ: Environ, login: Login) -> Need | NotNeeded:
        return self.otherwise(environ, login) if callable(self.otherwise) else self.otherwise

    def described(self) -> list[str]:
        """The rules as `authy-wsgi check` lists them."""
        lines = [f"{path}, and all that is below it: {described(need)}" for path, need in self.rules.items()]
        other = self.otherwise
        return [*lines, f"everything else: {described(other) if isinstance(other, Need | NotNeeded) else getattr(other, '__qualname__', type(other).__name__)}"]


by_path = ByPath


def _longest(rules: Mapping[str, Need], path: str) -> str:
    """The longest rule that fits, "" for none."""
    # A path may be long, a rule is not: what lies deeper than any rule is cut off at once.
    deepest = max((rule.count("/") for rule in rules), default=0)
    path = "/".join(path.split("/", deepest + 1)[: deepest + 1])
    while path and path not in rules:
        path = path.rpartition("/")[0]
    return path


def _is_ambiguous(path: str) -> bool:
    return _AMBIGUOUS.search(path) is not None or (path != "" and not path.startswith("/"))


def _fold(path: str) -> str:
    with suppress(UnicodeError):  # frameworks may have put decoded text there already
        path = path.encode("latin-1").decode("utf-8")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


@lru_cache(maxsize=256)
def _together(*needs: Need) -> Need:
    """One need that meets all of these; the same object for the same needs, by which the gate knows it again."""
    if len(set(needs)) == 1:
        return needs[0]
    ages = [need.max_age for need in needs if need.max_age is not None]
    strength = max((need.strength for need in needs), default=Strength.REMEMBERED)
    return Need(max_age=min(ages, default=None), strength=strength, if_enrolled=bool(needs) and all(need.if_enrolled for need in needs))


def described(need: Need | NotNeeded) -> str:
    """A need in words."""
    if not isinstance(need, Need):
        return need.value
    parts = [] if need.max_age is None else [f"at most {need.max_age} seconds old"]
    parts += [f"at least as strong as {need.strength.name.lower()}"] if need.strength > Strength.REMEMBERED else []
    return f"a second factor{', ' if parts else ''}{' and '.join(parts)}{', of those who have one' if need.if_enrolled else ''}"


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

    def match(self, path: str, mount: str = "") -> bool:
        """Whether this full path is exempt. An ambiguous one never is. `mount` is the SCRIPT_NAME that it begins with."""
        # SECURITY: "/static/../admin" is exempt for whoever compares texts, and is /admin for whoever resolves it; bytes beyond ASCII have many readings.
        if not (path in self.paths or path.startswith(self._below)) or not path.isascii() or " " in path or _AMBIGUOUS.search(path):
            return False
        return not mount or any(reaches_beyond(rule, mount, path) for rule in self.paths if path == rule or path.startswith(rule + "/"))


def reaches_beyond(rule: str, mount: str, path: str) -> bool:
    """Whether a path rule says something about what comes after SCRIPT_NAME, with the split between two segments.

    SECURITY: where a client's header can set SCRIPT_NAME (gunicorn takes one from its trusted peers), /static + /admin is below the exempt /static for us, and
    /admin for the app, which routes on PATH_INFO.
    """
    return rule.startswith(mount + "/") and path.startswith(mount + "/") and not mount.endswith("/")
