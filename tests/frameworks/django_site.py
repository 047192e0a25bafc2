"""Django: a middleware below the session's. Django takes no WSGI app as an answer, so `answered` makes its own kind of response of one.

The settings are made in this process, once, and hold nothing that reaches beyond Django: no logging, no time zone, no database.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import re_path

from authy_wsgi import Login, SecondFactor

from .site import KEY, new_login_id, shown


def glue(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    gate = settings.SECOND_FACTOR.gate
    return lambda request: answered(gate(request.environ, login(request)), request) or get_response(request)


def answered(answer: Any, request: Any) -> HttpResponse | None:
    if answer is None:
        return None
    head: list[Any] = []
    response = HttpResponse(answer(request.environ, lambda *given: head.extend(given)), status=int(head[0][:3]))
    for name, value in head[1]:
        keep = response.cookies.load if name == "Set-Cookie" else partial(response.__setitem__, name)
        keep(value)
    return response


def login(request: Any) -> Login | None:
    return Login(request.session["user"], request.session["login_id"]) if "user" in request.session else None


def front(request: Any) -> HttpResponse:
    return HttpResponse(shown("front", request.environ))


def members(request: Any) -> HttpResponse:
    return HttpResponse(shown("saved" if request.method == "POST" else "members", request.environ))


def pay(request: Any) -> HttpResponse:
    answer = settings.SECOND_FACTOR.require(request.environ, login(request), max_age=60)
    return answered(answer, request) or HttpResponse(shown("paid", request.environ))


def sign_in(request: Any) -> HttpResponse:
    request.session["user"], request.session["login_id"] = request.POST["user"], new_login_id()
    return HttpResponse("signed in")


def sign_out(request: Any) -> HttpResponse:
    request.session.flush()
    return HttpResponse("signed out")


urlpatterns = [
    re_path(r"^\Z", front),
    re_path(r"^members(/.*)?\Z", lambda request, *_rest: members(request)),
    re_path(r"^pay\Z", pay),
    re_path(r"^login\Z", sign_in),
    re_path(r"^logout\Z", sign_out),
]


def make(given: dict[str, Any]) -> tuple[SecondFactor, Any]:
    if not settings.configured:
        settings.configure(
            SECRET_KEY=KEY,
            ROOT_URLCONF=__name__,
            ALLOWED_HOSTS=["site.example"],
            SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
            MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", f"{__name__}.glue"],
            LOGGING_CONFIG=None,
        )
        django.setup(set_prefix=False)
    settings.SECOND_FACTOR = SecondFactor(**given)
    return settings.SECOND_FACTOR, WSGIHandler()


GLUE = (glue, answered)
