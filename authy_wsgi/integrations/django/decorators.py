"""`@second_factor_required(max_age=60)`: a view that wants a younger or stronger proof."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse

from authy_wsgi.contracts import Strength
from authy_wsgi.integrations.django import factor

View = Callable[..., HttpResponse]


def second_factor_required(*, max_age: int | None = None, strength: Strength | None = None) -> Callable[[View], View]:
    """A proof at most `max_age` seconds old, or of at least this strength. Class-based views: `@method_decorator(..., name="dispatch")`."""

    def decorated(view: View) -> View:
        @wraps(view)
        def asking(request: HttpRequest, *args: Any, **named: Any) -> HttpResponse:
            return factor.require(request, max_age=max_age, strength=strength) or view(request, *args, **named)

        return asking

    return decorated
