"""The pages of the Bottle site, and the second factor around them."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bottle import BaseRequest, Bottle, HTTPResponse, request, static_file
from jinja2 import Environment, FileSystemLoader

from authy_wsgi import AuthyClient, Event, Login, Profile, SQLStore, phones, proven
from authy_wsgi.integrations.bottle import SecondFactor
from examples.bottle_site.people import NameTaken, People, Session
from examples.registration import password_complaint, read_registration, spelled
from examples.state import sqlite_url

SITE_NAME = "Harbour Club"
COOKIE = "harbour_session"
FRESH_SECONDS = 300

_HERE = Path(__file__).parent
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_CHANNELS = {
    "sms": "A code by text message",
    "call": "A code by phone call",
    "email": "A code by e-mail",
    "app": "A code from the Authy app",
    "push": "An approval on your phone",
}


def now() -> int:
    return int(time.time())


def make_site(
    people_file: Path,
    factor_file: Path,
    *,
    secret: str,
    client: AuthyClient,
    https: bool = True,
    clock: Callable[[], int] = now,
    events: Callable[[Event], object] | None = None,
) -> Bottle:
    """The whole site as a WSGI app. The two SQLite files are made where they are missing: ours, and the second factor's."""
    people = People(people_file, clock)
    site = Site(people, https=https)
    second_factor = SecondFactor(
        identity=site.login_of,
        secret=secret,
        users=SQLStore(sqlite_url(factor_file)),
        clients=client,
        enrolment="known",
        profile=site.profile_of,
        password_stamp=people.password_stamp,
        exempt="/static",
        login_url="/login",
        logout_url="/logout",
        site_name=SITE_NAME,
        logo=_HERE / "static" / "logo.svg",
        accent="#0b6a73",
        https=https,
        clock=clock,
        events=events,
    )
    site.app.install(second_factor)
    return site.app


class Site:
    """The pages. They know nothing of a second factor, but for the line on the members' page that shows it, and the one route that asks for a fresh proof."""

    def __init__(self, people: People, *, https: bool = True) -> None:
        self._people = people
        self._https = https
        self._templates = Environment(
            loader=FileSystemLoader([_HERE / "templates", _HERE.parent / "templates"]), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )
        self._templates.globals.update(site_name=SITE_NAME, countries=phones.countries())
        self._templates.filters.update(when=_in_words, pretty=phones.pretty)
        self.app = Bottle()
        for path, method, view in (
            ("/", "GET", self._home),
            ("/register", "GET", self._register_form),
            ("/register", "POST", self._register),
            ("/login", "GET", self._login_form),
            ("/login", "POST", self._login),
            ("/members", "GET", self._members),
            ("/password", "GET", self._password_form),
            ("/password", "POST", self._password),
            ("/logout", "GET", self._logout_form),
            ("/logout", "POST", self._logout),
            ("/static/<name>", "GET", self._file),
        ):
            # Who sits down at somebody else's open browser must not be able to take the account over.
            fresh = {"second_factor_max_age": FRESH_SECONDS} if path == "/password" else {}
            self.app.route(path, method, view, **fresh)
        self.app.default_error_handler = self._error

    # Who is there

    def session_of(self, environ: dict[str, Any]) -> Session | None:
        """The login that a request belongs to. The pages ask this, and so does the second factor."""
        return self._people.session(BaseRequest(environ).get_cookie(COOKIE) or "")

    def login_of(self, environ: dict[str, Any]) -> Login | None:
        """The same for the second factor: its `identity`."""
        session = self.session_of(environ)
        return Login(session.name, session.id) if session else None

    def profile_of(self, name: str) -> Profile | None:
        """Where the second factor sends its codes: its `profile`."""
        person = self._people.person(name)
        return Profile(name=person.name, email=person.email, phone=person.phone) if person else None

    # The pages

    def _home(self) -> Any:
        return self._page("home.html", left="left" in request.query)

    def _register_form(self) -> Any:
        return self._go("/members") if self._session() else self._page("register.html", fields={}, complaints={})

    def _register(self) -> Any:
        fields = self._fields("name", "password", "email", "country", "phone")
        if not self._is_ours():
            return self._page("register.html", 403, fields=fields, complaints={}, stale=True)
        registration, complaints = read_registration(fields)
        if registration is not None:
            try:
                self._people.register(*registration)
            except NameTaken:
                complaints = {"name": "This name is taken. Choose another one, or sign in if it is yours."}
            else:
                return self._go(f"/login?new={registration.name}")
        return self._page("register.html", 422, fields=fields, complaints=complaints)

    def _login_form(self) -> Any:
        if self._session():
            return self._go("/members")
        name = request.query.getunicode("new", "")
        return self._page("login.html", name=name, new=self._people.person(name) is not None)

    def _login(self) -> Any:
        fields = self._fields("name", "password")
        name = spelled(fields["name"])
        if not self._is_ours():
            return self._page("login.html", 403, name=fields["name"], stale=True)
        if not self._people.knows(name, fields["password"]):
            return self._page("login.html", 422, name=fields["name"], wrong=True)
        # SECURITY: a fresh token at each login, so that nobody can plant one beforehand (session fixation).
        self._people.log_out(self._token())
        return self._with_cookie(self._go("/members"), self._people.log_in(name))

    def _members(self) -> Any:
        session = self._session()
        if session is None:
            return self._go("/login")
        person = self._people.person(session.name)
        proofs = [(_CHANNELS.get(proof.channel, proof.channel), proof.at) for proof in proven(request.environ).proofs]
        return self._page("members.html", person=person, proofs=proofs, names=self._people.names())

    def _password_form(self) -> Any:
        return self._page("password.html", complaint="")

    def _password(self) -> Any:
        session, fields = self._session(), self._fields("password")
        if not self._is_ours() or session is None:
            return self._page("password.html", 403, complaint="", stale=True)
        complaint = password_complaint(fields["password"])
        if complaint:
            return self._page("password.html", 422, complaint=complaint)
        # Every proof that was given under the old password ends with it, here and in every other browser: the setting password_stamp.
        self._people.change_password(session.name, fields["password"])
        return self._go("/members")

    def _logout_form(self) -> Any:
        return self._page("logout.html") if self._session() else self._go("/")

    def _logout(self) -> Any:
        if not self._is_ours():
            return self._page("logout.html", 403, stale=True) if self._session() else self._go("/")
        self._people.log_out(self._token())
        return self._with_cookie(self._go("/?left"), "")

    def _file(self, name: str) -> Any:
        return static_file(name, root=str(_HERE / "static"))

    def _error(self, error: Any) -> Any:
        said = {404: ("There is no such page", "Check the address, or go back to the start.")}
        heading, message = said.get(error.status_code, ("That did not work", "Go back and try again."))
        return self._page("message.html", error.status_code, heading=heading, message=message)

    # Reading and answering

    def _session(self) -> Session | None:
        return self.session_of(request.environ)

    def _token(self) -> str:
        return str(request.get_cookie(COOKIE) or "")

    def _fields(self, *names: str) -> dict[str, str]:
        return {name: (request.forms.getunicode(name) or "")[:300] for name in names}

    def _is_ours(self) -> bool:
        """Whether a form was on a page that we gave to this very browser."""
        given, token = request.forms.getunicode("csrf") or "", self._token()
        return bool(token) and hmac.compare_digest(given.encode(), _csrf(token).encode())

    def _page(self, template: str, status: int = 200, **values: Any) -> Any:
        token = self._token() or secrets.token_urlsafe(32)
        session = self._session()
        base = request.script_name.rstrip("/")
        html = self._templates.get_template(template).render(base=base, csrf=_csrf(token), user=session.name if session else "", **values)
        response = HTTPResponse(html, status, {**_HEADERS, "Content-Type": "text/html; charset=utf-8"})
        return response if self._token() else self._with_cookie(response, token)

    def _go(self, path: str) -> Any:
        # A path rather than Bottle's own absolute URL: behind a proxy we do not know our public address.
        return HTTPResponse(status=303, headers={"Location": request.script_name.rstrip("/") + path, "Cache-Control": "no-store"})

    def _with_cookie(self, response: Any, token: str) -> Any:
        """Every visitor has a cookie, so that the forms of strangers have a CSRF token too; it is a login only once the database says so."""
        options: Mapping[str, Any] = {"path": request.script_name, "httponly": True, "samesite": "lax", "secure": self._https}
        response.set_cookie(COOKIE, token, **options, **({} if token else {"max_age": 0}))
        return response


def _csrf(token: str) -> str:
    return hmac.digest(token.encode(), b"csrf", "sha256").hex()


def _in_words(at: int) -> str:
    """Unix seconds as people here say it: "14:32 on 22 November 2026"."""
    there = datetime.fromtimestamp(at, UTC).astimezone()
    return f"{there:%H:%M} on {there.day} {there:%B %Y}"
