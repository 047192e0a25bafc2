"""Django with its own users, sessions and database, and the middleware behind them.

The settings are made in this process, once, and hold nothing that reaches beyond Django: no logging, no time zone, a database in a file of its own.
"""

from __future__ import annotations

import tempfile
from typing import Any

import django
from django.conf import settings
from django.contrib.auth import login, logout
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.http import HttpResponse
from django.urls import re_path

from authy_wsgi import SecondFactor

from .site import KEY, LONG, shown

APPS = "authy_wsgi.integrations.django"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "authy_wsgi.integrations.django.middleware.SecondFactorMiddleware",
]


def front(request: Any) -> HttpResponse:
    return HttpResponse(shown("front", request.environ))


def members(request: Any) -> HttpResponse:
    return HttpResponse(shown("saved" if request.method == "POST" else "members", request.environ))


def pay(request: Any) -> HttpResponse:
    from authy_wsgi.integrations.django.decorators import second_factor_required

    return second_factor_required(max_age=60)(lambda request: HttpResponse(shown("paid", request.environ)))(request)


def sign_in(request: Any) -> HttpResponse:
    from .django_people.models import Person

    person, _ = Person.objects.get_or_create(name=request.POST["user"])
    login(request, person, backend="django.contrib.auth.backends.ModelBackend")
    # Django's own remember-me: a session that ends with the browser, or one that lasts.
    request.session.set_expiry(LONG if "remember" in request.POST else 0)
    return HttpResponse("signed in")


def sign_out(request: Any) -> HttpResponse:
    logout(request)
    return HttpResponse("signed out")


urlpatterns = [
    re_path(r"^\Z", front),
    re_path(r"^members(/.*)?\Z", lambda request, *_rest: members(request)),
    re_path(r"^pay\Z", pay),
    re_path(r"^login\Z", sign_in),
    re_path(r"^logout\Z", sign_out),
]


def configure() -> None:
    """Django's settings, once in a process; and its tables."""
    if settings.configured:
        return
    settings.configure(
        SECRET_KEY=KEY * 2,
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["site.example"],
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "tests.frameworks.django_people", APPS],
        AUTH_USER_MODEL="django_people.Person",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{tempfile.mkdtemp()}/site.db", "OPTIONS": {"timeout": 20}}},
        MIDDLEWARE=MIDDLEWARE,
        LOGIN_URL="/login",
        LOGGING_CONFIG=None,
        USE_TZ=True,
    )
    django.setup(set_prefix=False)
    from django.core.management import call_command

    call_command("migrate", verbosity=0, run_syncdb=True)
    # A server may be about to fork, and a connection to SQLite must not come along.
    connections.close_all()


def make(given: dict[str, Any]) -> tuple[SecondFactor, Any]:
    configure()
    from authy_wsgi.integrations.django.factor import second_factor

    settings.SECOND_FACTOR = {name.upper(): value for name, value in given.items() if name != "identity"}
    second_factor.cache_clear()
    return second_factor(), WSGIHandler()
