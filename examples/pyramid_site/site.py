"""The Pyramid site: configuration, security policy and views."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from pyramid.config import Configurator
from pyramid.exceptions import BadCSRFToken
from pyramid.httpexceptions import HTTPForbidden, HTTPSeeOther
from pyramid.request import RequestLocalCache
from pyramid.session import SignedCookieSessionFactory

from authy_wsgi import AuthyClient, Event, SecondFactor, SQLStore, proven
from examples.pyramid_site import second_factor
from examples.pyramid_site.bank import Bank, LoggedIn, read_amount
from examples.state import kept_secret, sqlite_url

SITE_NAME = "Acorn Ledger"
ACCOUNTS = {"alice": "eight acorns", "bob": "winter store"}
FRESH_SECONDS = 60

_HERE = Path(__file__).parent
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_CHANNELS = {
    "sms": "a code by text message",
    "call": "a code by phone call",
    "email": "a code by e-mail",
    "app": "a code from the Authy app",
    "push": "an approval on your phone",
}


def now() -> int:
    return int(time.time())


def main(_global_config: Mapping[str, str], **settings: str) -> Any:
    """The site as an ini file sets it up: `folder`, `authy.api_key`, `authy.base_url`, `https`."""
    folder = Path(settings["folder"])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    client = AuthyClient(settings["authy.api_key"], base_url=settings["authy.base_url"])
    secret = kept_secret(folder / "secret")
    https = settings.get("https", "true").lower() != "false"
    return make_app(folder / "site.db", folder / "second-factor.db", secret=secret, client=client, https=https)


def make_app(
    bank_file: Path,
    factor_file: Path,
    *,
    secret: str,
    client: AuthyClient,
    https: bool = True,
    clock: Callable[[], int] = now,
    events: Callable[[Event], object] | None = None,
) -> Any:
    """The site as a WSGI app. The two SQLite files are made where they are missing: ours, and the second factor's."""
    factor = SecondFactor(
        identity=second_factor.identity,
        secret=secret,
        users=SQLStore(sqlite_url(factor_file)),
        clients=client,
        enrolment="open",
        exempt="/static",
        login_url="/login",
        logout_url="/logout",
        site_name=SITE_NAME,
        accent="#8a4b12",
        https=https,
        clock=clock,
        events=events,
    )
    with Configurator() as config:
        config.registry.bank = Bank(bank_file, ACCOUNTS, clock)
        config.set_session_factory(SignedCookieSessionFactory(secret, cookie_name="acorn_session", httponly=True, secure=https, samesite="Lax"))
        config.set_security_policy(SecurityPolicy())
        config.set_default_csrf_options(require_csrf=True)
        config.add_renderer(".html", Renderer)
        second_factor.includeme(config, factor)
        _add_pages(config)
        return config.make_wsgi_app()


def _add_pages(config: Any) -> None:
    pages = (
        ("home", "/", {"GET": home}),
        ("login", "/login", {"GET": login_form, "POST": login}),
        ("members", "/members", {"GET": members}),
        ("pay", "/pay", {"GET": pay_form, "POST": pay}),
        ("paid", "/paid/{payment}", {"GET": paid}),
        ("logout", "/logout", {"GET": logout_form, "POST": logout}),
    )
    for name, path, views in pages:
        config.add_route(name, path)
        for method, view in views.items():
            config.add_view(view, route_name=name, request_method=method, renderer=f"{name}.html")
    config.add_notfound_view(not_found, renderer="message.html")
    config.add_exception_view(stale, context=BadCSRFToken, renderer="message.html")
    config.add_forbidden_view(sign_in_first)
    config.add_static_view("static", str(_HERE / "static"))


class SecurityPolicy:
    """Who is there: the session holds the random id of a login, the bank knows whose it is."""

    def __init__(self) -> None:
        self._found = RequestLocalCache(self._find)

    def identity(self, request: Any) -> LoggedIn | None:
        found: LoggedIn | None = self._found.get_or_create(request)
        return found

    def authenticated_userid(self, request: Any) -> str | None:
        found = self.identity(request)
        return found.name if found else None

    def permits(self, request: Any, _context: object, _permission: str) -> bool:
        """Whoever is logged in may do everything here."""
        return self.identity(request) is not None

    def _find(self, request: Any) -> LoggedIn | None:
        login_id = request.session.get("login", "")
        bank: Bank = request.registry.bank
        return bank.logged_in(login_id) if login_id else None


class Renderer:
    """Jinja2 templates from the folder beside this file, with what every page needs."""

    _templates = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    _templates.globals["site_name"] = SITE_NAME

    def __init__(self, info: Any) -> None:
        self._template = self._templates.get_template(info.name)

    def __call__(self, values: Mapping[str, Any], system: Mapping[str, Any]) -> str:
        request = system["request"]
        request.response.headers.update(_HEADERS)
        found = request.identity
        shown = {"base": request.script_name, "csrf": request.session.get_csrf_token(), "user": found.name if found else "", "money": money, "when": when}
        return self._template.render(**{**shown, **values})


# The pages


def home(request: Any) -> Any:
    return {"left": "left" in request.GET}


def login_form(request: Any) -> Any:
    return go(request, "/members") if request.identity else {"accounts": ACCOUNTS, "name": ""}


def login(request: Any) -> Any:
    name = request.POST.get("name", "").strip().lower()
    bank: Bank = request.registry.bank
    if not bank.knows(name, request.POST.get("password", "")):
        request.response.status_int = 422
        return {"accounts": ACCOUNTS, "name": name[:40], "wrong": True}
    # SECURITY: nothing of the session before the login outlives it, its CSRF token neither (session fixation).
    request.session.invalidate()
    request.session["login"] = bank.log_in(name)
    return go(request, "/members")


def members(request: Any) -> Any:
    if request.identity is None:
        return go(request, "/login")
    proofs = [(_CHANNELS.get(proof.channel, proof.channel), proof.at) for proof in proven(request.environ).proofs]
    return {"proofs": proofs, "payments": request.registry.bank.payments(request.identity.name)}


def pay_form(request: Any) -> Any:
    """The form is behind a fresh proof, so that who fills it in may send it."""
    return request.demand(max_age=FRESH_SECONDS) or {"payee": "", "amount": "", "fresh_seconds": FRESH_SECONDS}


def pay(request: Any) -> Any:
    """Sending asks again: a proof may have grown old while the form was filled in."""
    answer = request.demand(max_age=FRESH_SECONDS)
    if answer is not None:
        return answer
    payee, amount = request.POST.get("payee", "").strip()[:60], request.POST.get("amount", "")[:20]
    cents = read_amount(amount)
    complaints = {}
    if not payee:
        complaints["payee"] = "Say who gets the acorns."
    if cents is None:
        complaints["amount"] = "Type an amount from 0.01 to 10,000, such as 12.50."
    if complaints:
        request.response.status_int = 422
        return {"payee": payee, "amount": amount, "complaints": complaints, "fresh_seconds": FRESH_SECONDS}
    return go(request, "/paid/" + request.registry.bank.pay(request.identity.name, payee, cents))


def paid(request: Any) -> Any:
    if request.identity is None:
        return go(request, "/login")
    payments = {payment.id: payment for payment in request.registry.bank.payments(request.identity.name)}
    found = payments.get(request.matchdict["payment"])
    return {"payment": found} if found else go(request, "/members")


def logout_form(request: Any) -> Any:
    return {} if request.identity else go(request, "/")


def logout(request: Any) -> Any:
    if request.identity:
        request.registry.bank.log_out(request.identity.id)
    request.session.invalidate()
    return go(request, "/?left")


def not_found(request: Any) -> Any:
    request.response.status_int = 404
    return {"heading": "There is no such page", "message": "Check the address, or go back to the start."}


def stale(request: Any) -> Any:
    request.response.status_int = 403
    return {"heading": "Please try again", "message": "That page was open for too long, or its cookie is gone. Nothing was done."}


def sign_in_first(request: Any) -> Any:
    return HTTPForbidden() if request.identity else go(request, "/login")


def go(request: Any, path: str) -> Any:
    return HTTPSeeOther(location=request.script_name + path, headers=[("Cache-Control", "no-store")])


def money(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02}"


def when(at: int) -> str:
    """Unix seconds as people here say it: "14:32 on 22 November 2026"."""
    there = datetime.fromtimestamp(at, UTC).astimezone()
    return f"{there:%H:%M} on {there.day} {there:%B %Y}"
