"""What would happen to a request: the gate's rules in words, for `authy-wsgi check --path`."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.util import setup_testing_defaults

from authy_wsgi.contracts import NOT_NEEDED, Environ, Login, Need, User
from authy_wsgi.errors import SecondFactorError
from authy_wsgi.identity import login_reader
from authy_wsgi.middleware import SecondFactor
from authy_wsgi.policy import REQUIRED, Exemptions, described, required


def environ_for(target: str, method: str) -> Environ:
    """The request for a path (with a query or without), as a server would hand it over."""
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path or "/").decode("latin-1"),
        "QUERY_STRING": query,
    }
    setup_testing_defaults(environ)
    return environ


def who_sends_nothing(second_factor: SecondFactor) -> str:
    """Whom `identity` takes a request for that says nothing of anybody: "" for nobody. Raises what `identity` raises, as a request would meet it."""
    settings = second_factor.settings
    login = login_reader(settings.canonical)(settings.identity(environ_for("/", "GET")))
    return login.user_id if login else ""


def explain(second_factor: SecondFactor, target: str, user_id: str, method: str = "GET") -> list[str]:
    """The lines that say what the gate does with such a request of such a user, and by which rule."""
    settings = second_factor.settings
    environ = environ_for(target, method)
    path = str(environ["PATH_INFO"])
    if path == settings.prefix or path.startswith(settings.prefix + "/"):
        return [f"{path} is one of our own pages."]
    if not user_id:
        return ["Nobody is signed in: the request goes through to the app as it is, which has to ask for its own login."]
    login = Login(settings.canonical(user_id), "check")
    if settings.logout_url and path == settings.logout_url:
        return [f"{path} is the app's logout: it goes through without a second factor, and ends the pass."]
    lines, free = _exempt(settings.exempt, path)
    if free:
        return lines
    try:
        answer: object = (settings.policy or required)(environ, login)
    except Exception as error:  # noqa: BLE001 - the gate answers whatever a policy raises
        return [*lines, f"The policy raises {type(error).__name__} for this request: the answer is 503, and the app is not called."]
    if answer is NOT_NEEDED:
        return [*lines, "The policy says that no second factor is needed here: it goes through."]
    if not isinstance(answer, Need):
        lines.append(f"The policy answers {type(answer).__name__}, which is neither a Need nor NOT_NEEDED; that counts as required.")
        answer = REQUIRED
    lines.append(f"It needs {described(answer)}.")
    return [*lines, *_standing(second_factor, login, answer)]


def _exempt(paths: tuple[str, ...], path: str) -> tuple[list[str], bool]:
    for rule in paths:
        if Exemptions([rule]).match(path):
            return [f"It goes through without a second factor: {rule} is exempt, with all that is below it."], True
        if path == rule or path.startswith(rule + "/"):
            return [f"It begins like {rule}, which is exempt, but can be read in more than one way; so it is not."], False
    return [], False


def _standing(second_factor: SecondFactor, login: Login, need: Need) -> list[str]:
    backend = second_factor.backend
    try:
        user = backend.accounts.user(login.user_id)
    except SecondFactorError as error:
        return [f"The record of {login.user_id!r} cannot be read ({type(error).__name__}): the answer is 503, and the app is not called."]
    only_told = [] if second_factor.settings.enforce else ["But enforce=False: it goes through all the same, and is logged."]
    if user.disabled:
        return [f"{user.id} is switched off by an administrator: refused.", *only_told]
    if not user.factors:
        return [*_without_factor(second_factor, user, need), *([] if need.if_enrolled else only_told)]
    ways = list(dict.fromkeys(way.channel for way in backend.ways_of(user, need)))
    lines = [f"With a pass that shows this, {user.id} goes through. Without one a browser is sent to our pages, and a program gets 401."]
    lines.append(f"Ways that would do: {', '.join(ways)}." if ways else f"None of the ways of {user.id} would do: this is a dead end for them.")
    if user.closed:
        lines.append(f"Closed after too many wrong ones: {', '.join(sorted(user.closed))}; 'users open' opens them.")
    return [*lines, *only_told]


def _without_factor(second_factor: SecondFactor, user: User, need: Need) -> list[str]:
    if need.if_enrolled:
        return [f"{user.id} has no factor, and only those who have one are asked: it goes through."]
    mode = second_factor.backend.enrolment_mode(user)
    return [f"{user.id} has no factor yet: a browser is asked to add one (enrolment: {mode}), a program gets 401."]
