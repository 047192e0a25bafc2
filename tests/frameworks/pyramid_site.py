"""Pyramid, by `config.include`; the site keeps its login in Pyramid's session, and remembers people by a ticket that lasts: the framework's own two helpers."""

from __future__ import annotations

from typing import Any

from pyramid.authentication import AuthTktCookieHelper, SessionAuthenticationHelper
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import forget, remember
from pyramid.session import SignedCookieSessionFactory

from authy_wsgi import SecondFactor

from .site import KEY, LONG, shown


class Policy:
    """A security policy on the session, as Pyramid's documentation writes it, and on a ticket for whoever wants to be remembered."""

    def __init__(self) -> None:
        self._helper = SessionAuthenticationHelper()
        self._ticket = AuthTktCookieHelper(KEY, cookie_name="remembered", max_age=LONG, hashalg="sha512", wild_domain=False, http_only=True)

    def identity(self, request: Request) -> str | None:
        ticket = self._ticket.identify(request)
        return self._helper.authenticated_userid(request) or (ticket["userid"] if ticket else None)

    def authenticated_userid(self, request: Request) -> str | None:
        return request.identity

    def permits(self, request: Request, context: Any, permission: str) -> bool:
        return request.identity is not None

    def remember(self, request: Request, userid: str, **options: Any) -> Any:
        lasting = self._ticket.remember(request, userid) if options.pop("lasting", False) else []
        return [*self._helper.remember(request, userid, **options), *lasting]

    def forget(self, request: Request, **options: Any) -> Any:
        return [*self._helper.forget(request, **options), *self._ticket.forget(request)]


def with_headers(text: str, headers: Any) -> Response:
    response = Response(text)
    response.headerlist.extend(headers)
    return response


def front(request: Request) -> Response:
    return Response(shown("front", request.environ))


def members(request: Request) -> Response:
    return Response(shown("saved" if request.method == "POST" else "members", request.environ))


def pay(request: Request) -> Response:
    return Response(shown("paid", request.environ))


def sign_in(request: Request) -> Response:
    return with_headers("signed in", remember(request, request.POST["user"], lasting="remember" in request.POST))


def sign_out(request: Request) -> Response:
    return with_headers("signed out", forget(request))


def make(settings: dict[str, Any]) -> tuple[SecondFactor, Any]:
    config = Configurator()
    config.set_session_factory(SignedCookieSessionFactory(KEY))
    config.set_security_policy(Policy())
    config.include("authy_wsgi.integrations.pyramid")
    config.set_second_factor(**{name: value for name, value in settings.items() if name != "identity"})
    for path, view in {"/": front, "/members": members, "/members/{rest:.*}": members, "/login": sign_in, "/logout": sign_out}.items():
        config.add_route(path, path)
        config.add_view(view, route_name=path)
    config.add_route("/pay", "/pay")
    config.add_view(pay, route_name="/pay", second_factor_max_age=60)
    app = config.make_wsgi_app()
    return app.registry["authy_wsgi.second_factor"], app
