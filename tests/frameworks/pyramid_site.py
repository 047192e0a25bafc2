"""Pyramid: a tween. The gate's answer is a WebOb response, and that is what Pyramid takes from a tween and from a view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.authentication import SessionAuthenticationHelper
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory

from authy_wsgi import Login, SecondFactor

from .site import KEY, new_login_id, shown


def glue(handler: Callable[[Request], Any], registry: Any) -> Callable[[Request], Any]:
    gate = registry["second_factor"].gate

    def tween(request: Request) -> Any:
        return gate(request.environ, request.identity) or handler(request)

    return tween


class Policy:
    """A security policy on the session. The login's id is a part of what it remembers."""

    def __init__(self) -> None:
        self._helper = SessionAuthenticationHelper()

    def identity(self, request: Request) -> Login | None:
        found = self._helper.authenticated_userid(request)
        return None if found is None else Login(*found)

    def authenticated_userid(self, request: Request) -> str | None:
        return None if request.identity is None else request.identity.user_id

    def permits(self, request: Request, context: Any, permission: str) -> bool:
        return request.identity is not None

    def remember(self, request: Request, user_id: str, **_options: Any) -> Any:
        return self._helper.remember(request, [user_id, new_login_id()])

    def forget(self, request: Request, **_options: Any) -> Any:
        return self._helper.forget(request)


def front(request: Request) -> Response:
    return Response(shown("front", request.environ))


def members(request: Request) -> Response:
    return Response(shown("saved" if request.method == "POST" else "members", request.environ))


def pay(request: Request) -> Any:
    second_factor = request.registry["second_factor"]
    return second_factor.require(request.environ, request.identity, max_age=60) or Response(shown("paid", request.environ))


def sign_in(request: Request) -> Response:
    Policy().remember(request, request.POST["user"])
    return Response("signed in")


def sign_out(request: Request) -> Response:
    request.session.invalidate()
    return Response("signed out")


def make(settings: dict[str, Any]) -> tuple[SecondFactor, Any]:
    config = Configurator()
    config.registry["second_factor"] = second_factor = SecondFactor(**settings)
    config.set_session_factory(SignedCookieSessionFactory(KEY))
    config.set_security_policy(Policy())
    config.add_tween("tests.frameworks.pyramid_site.glue")
    pages = {"/": front, "/members": members, "/members/{rest:.*}": members, "/pay": pay, "/login": sign_in, "/logout": sign_out}
    for path, view in pages.items():
        config.add_route(path, path)
        config.add_view(view, route_name=path)
    return second_factor, config.make_wsgi_app()


GLUE = (glue,)
