"""The middleware: after the session's and the authentication's, before whatever answers for the app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse

from authy_wsgi.integrations.django import factor


class SecondFactorMiddleware:
    """Ask the gate before the project; and before each view, that it acts for the one who was let through."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        factor.second_factor()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not hasattr(request, "user") or not hasattr(request, "session"):
            raise ImproperlyConfigured("SecondFactorMiddleware must stand after SessionMiddleware and AuthenticationMiddleware in MIDDLEWARE.")
        answer = factor.gate(request)
        if answer is not None:
            return answer
        response = self._get_response(request)
        factor.send(response, request.environ.pop(factor.GOODBYE, []))
        return response

    def process_view(self, request: HttpRequest, view: Callable[..., Any], args: Any, named: Any) -> HttpResponse | None:
        return factor.confirm(request)
