"""System checks: `python manage.py check`."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's own name
from django.core.exceptions import ImproperlyConfigured

from authy_wsgi.integrations.django.factor import second_factor

MIDDLEWARE = "authy_wsgi.integrations.django.middleware.SecondFactorMiddleware"
BEFORE = ("django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware")


def check_second_factor(**_more: Any) -> list[CheckMessage]:
    """Whether the settings can work, and whether the middleware stands where it must."""
    found: list[CheckMessage] = []
    order = list(settings.MIDDLEWARE)
    if MIDDLEWARE not in order:
        found.append(Error("The second factor guards nothing: its middleware is missing.", hint=f"Add {MIDDLEWARE!r} to MIDDLEWARE.", id="second_factor.E001"))
    late = [name.rpartition(".")[2] for name in BEFORE if MIDDLEWARE in order and (name not in order or order.index(name) > order.index(MIDDLEWARE))]
    if late:
        hint = f"Put {MIDDLEWARE!r} after {' and '.join(late)}."
        found.append(Error("SecondFactorMiddleware cannot see who is there.", hint=hint, id="second_factor.E002"))
    try:
        notices = second_factor().warnings()
    except ImproperlyConfigured as fault:
        return [*found, Error(str(fault), id="second_factor.E003")]
    return [*found, *(Warning(notice, id="second_factor.W001") for notice in notices)]
