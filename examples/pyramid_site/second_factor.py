"""The second factor of the Pyramid site: a tween around everything, and `demand` for the pages that want a fresh proof."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from authy_wsgi import Login, SecondFactor, environ_key

LOGIN = "examples.pyramid_site.login"

#: The setting `identity`: who is there, as the site's own security policy resolved it. The tween puts it under this key, whatever was there before.
identity = environ_key(LOGIN)


def includeme(config: Any, factor: SecondFactor) -> None:
    """Put the tween above all others, and give the views `request.demand(max_age=60)`."""
    config.registry.second_factor = factor
    config.add_tween("examples.pyramid_site.second_factor.tween_factory")
    config.add_request_method(demand)


def tween_factory(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Ask the gate first; what it answers is a WSGI app that Pyramid sends as it is."""
    factor: SecondFactor = registry.second_factor

    def tween(request: Any) -> Any:
        request.environ[LOGIN] = _login_of(request)
        answer = factor.gate(request.environ, identity)
        return handler(request) if answer is None else answer

    return tween


def demand(request: Any, *, max_age: int) -> Any:
    """None where this person proved themselves in the last `max_age` seconds, else the answer to give instead of the view's own."""
    return request.registry.second_factor.require(request.environ, identity, max_age=max_age)


def _login_of(request: Any) -> Login | None:
    found = request.identity
    return Login(found.name, found.id) if found else None
