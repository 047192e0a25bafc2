"""The project's second factor: made of `settings.SECOND_FACTOR` when it is first needed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url

from authy_wsgi.contracts import Login, Profile, Strength
from authy_wsgi.errors import Misconfigured
from authy_wsgi.integrations.django.store import ModelStore
from authy_wsgi.integrations.marks import fresh_mark, mark_of
from authy_wsgi.integrations.texts import read_settings
from authy_wsgi.middleware import SecondFactor

GOODBYE = "authy_wsgi.django.goodbye"


@lru_cache(maxsize=1)
def second_factor() -> SecondFactor:
    """The one of this project. `ImproperlyConfigured` with every fault at once."""
    try:
        return SecondFactor(**read_settings(_texts(getattr(settings, "SECOND_FACTOR", None)), "", identity=_by_the_session))
    except Misconfigured as fault:
        raise ImproperlyConfigured("SECOND_FACTOR cannot work:\n" + "\n".join(f"  - {each}" for each in fault.faults)) from None


def _forget_settings(*, setting: str, **_more: Any) -> None:
    if setting in ("SECOND_FACTOR", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "DEBUG", "LOGIN_URL"):
        second_factor.cache_clear()


setting_changed.connect(_forget_settings, dispatch_uid="authy_wsgi")


def _texts(given: object) -> dict[str, Any]:
    """SECOND_FACTOR's keys as names of settings: {"AUTHY": {"API_KEY": ...}} is `authy.api_key`."""
    if not isinstance(given, Mapping):
        raise Misconfigured('is missing: SECOND_FACTOR = {"AUTHY": {"API_KEY": ...}, "ENROLMENT": "open", "LEDGER": "sqlite:///second-factor.db"}.')
    found: dict[str, Any] = {}
    for name, value in given.items():
        if str(name).upper() == "AUTHY" and isinstance(value, Mapping):
            found |= {f"authy.{key}".lower(): each for key, each in value.items()}
        else:
            found[str(name).lower()] = value
    if "identity" in found:
        raise Misconfigured("IDENTITY is no setting here: request.user says who is there.")
    defaults = {
        "secret": settings.SECRET_KEY,
        "other_secrets": list(settings.SECRET_KEY_FALLBACKS),
        "users": ModelStore(),
        "https": not settings.DEBUG,
        "login_url": resolve_url(settings.LOGIN_URL),
        "profile": profile_of,
        "password_stamp": password_stamp_of,
    }
    return {**defaults, **found}


def _by_the_session(_environ: Any) -> None:
    raise Misconfigured("Under Django the middleware says who is there: request.user. The environ does not.")


def _user(user_id: str) -> Any:
    model = get_user_model()
    try:
        return model.objects.get(pk=user_id)
    except (model.DoesNotExist, ValueError):
        return None


def profile_of(user_id: str) -> Profile | None:
    """What the project knows of a user: their name and e-mail address. Give PROFILE to say a phone number too."""
    user = _user(user_id)
    return user and Profile(name=user.get_username(), email=getattr(user, user.get_email_field_name(), "") or "")


def password_stamp_of(user_id: str) -> str:
    """Changes with the password, and ends what was proved before."""
    user = _user(user_id)
    return user.get_session_auth_hash() if user is not None and hasattr(user, "get_session_auth_hash") else ""


def login_of(request: HttpRequest) -> Login | None:
    """`request.user`, bound to this login by a mark in the session.

    Not by the session's key: that stays the same where somebody signs in again over a live login, and is none with signed cookies.
    """
    user = request.user
    return Login(str(user.pk), mark_of(request.session, str(user.pk))) if user.is_authenticated else None


def environ_of(request: HttpRequest) -> dict[str, Any]:
    environ: dict[str, Any] | None = getattr(request, "environ", None)
    if environ is None:
        raise ImproperlyConfigured("The second factor needs WSGI: serve the project by its wsgi.py.")
    return environ


def gate(request: HttpRequest) -> HttpResponse | None:
    """None to go on, else the answer."""
    return _answered(second_factor().gate(environ_of(request), lambda _environ: login_of(request)), request)


def confirm(request: HttpRequest) -> HttpResponse | None:
    """None where the view acts for the login that the gate has let through."""
    return _answered(second_factor().confirm(environ_of(request), lambda _environ: login_of(request)), request)


def require(request: HttpRequest, *, max_age: int | None = None, strength: Strength | None = None) -> HttpResponse | None:
    """A view's own demand: None where there is such a proof, else the answer to give."""
    form = request.POST if request.method == "POST" else None
    answer = second_factor().require(environ_of(request), lambda _environ: login_of(request), max_age=max_age, strength=strength, form=form)
    return _answered(answer, request)


def begin_with_the_login(request: HttpRequest, user: Any, **_more: Any) -> None:
    """The signal `user_logged_in`: whatever was proved in another login is not proved in this."""
    fresh_mark(request.session, str(user.pk))


def end_with_the_login(request: HttpRequest | None, **_more: Any) -> None:
    """The signal `user_logged_out`: our pass ends with the login, in every copy."""
    if request is not None and hasattr(request, "environ"):
        request.environ[GOODBYE] = second_factor().forget(request.environ)


def _answered(answer: Any, request: HttpRequest) -> HttpResponse | None:
    """Django takes no WSGI app as an answer: this makes a response of its own."""
    if answer is None:
        return None
    head: list[Any] = []
    response = HttpResponse(answer(environ_of(request), lambda *given: head.extend(given)), status=int(head[0][:3]))
    del response.headers["Content-Type"]
    send(response, head[1])
    return response


def send(response: HttpResponse, headers: list[tuple[str, str]]) -> None:
    """Our headers, cookies among them, on a response of Django's."""
    for name, value in headers:
        if name == "Set-Cookie":
            response.cookies.load(value)
        else:
            response.headers[name] = value
