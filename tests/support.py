"""A small world for tests: a site behind the gate, the emulator, phones, browsers and one clock for all of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any
from wsgiref.validate import validator

import requests
from webtest import TestApp, TestResponse

from authy_wsgi import AuthyClient, Event, Login, MemoryLedger, MemoryStore, SecondFactor, environ_key, proven
from authy_wsgi.emulator import Emulator, WSGIAdapter
from authy_wsgi.emulator.handset import Handset

API_KEY = "0123456789abcdef0123456789abcdef"
SECRET = "test-secret-test-secret-test-secret-1"
START = 1_700_000_000
PHONE = "+14085555270"
HTML = {"Accept": "text/html,application/xhtml+xml"}


class Clock:
    """Unix seconds that move when they are told to."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: int) -> None:
        self.now += seconds


class CountingApp:
    """The app inside: says what it was asked, counts how often, and keeps the environ."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls.append(environ)
        seen = proven(environ)
        text = f"app {environ['REQUEST_METHOD']} {environ['SCRIPT_NAME']}{environ['PATH_INFO']} {seen.user_id} {[proof.channel for proof in seen.proofs]}"
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text.encode())))])
        return [text.encode()]


def session_for(app: Any) -> requests.Session:
    """A requests session in which every URL leads into `app`."""
    session = requests.Session()
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, WSGIAdapter(app))
    return session


class World:
    """A site behind the gate, with everything around it in this process. `settings` replace those of the SecondFactor."""

    def __init__(self, *, app: Any = None, below: str = "", validate: bool = True, client: dict[str, Any] | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.emulator = Emulator(API_KEY, clock=self.clock, seed=1)
        self.client = AuthyClient(API_KEY, base_url="http://127.0.0.1:8999", session=session_for(self.emulator), **(client or {}))
        self.app = app or CountingApp()
        self.events: list[Event] = []
        self.below = below
        defaults: dict[str, Any] = {
            "identity": environ_key("site.login"),
            "secret": SECRET,
            "users": MemoryStore(),
            "ledger": MemoryLedger(),
            "single_process": True,
            "clients": self.client,
            "enrolment": "open",
            "clock": self.clock,
            "events": self.events.append,
            "site_name": "Acorn Ledger",
        }
        self.settings = {**defaults, **settings}
        if "database" in dir(self.settings["users"]) and "ledger" not in settings:
            del self.settings["ledger"]
        # validator checks both sides of the middleware: what it hands to the app, and what it answers.
        self.gate = SecondFactor(validator(self.app) if validate else self.app, **self.settings)
        self.wsgi: Any = validator(self.gate) if validate else self.gate
        if below:
            from werkzeug.middleware.dispatcher import DispatcherMiddleware

            self.wsgi = DispatcherMiddleware(_nothing, {below: self.wsgi})
        self.backend = self.gate.backend

    def browser(self, user: str | None = "alice", session: str | None = None, **environ: Any) -> Browser:
        return Browser(self, user, session, environ)

    def entrance(self) -> Any:
        """The app that one browser's requests go to."""
        return self.wsgi

    def phone(self, number: str = PHONE) -> Handset:
        return self.emulator.phone(number)

    def calls(self, route: str = "") -> list[Any]:
        """What the provider was asked."""
        return [call for call in self.emulator.calls if call.route.startswith(route)]

    @property
    def app_calls(self) -> int:
        return len(self.app.calls)

    def kinds(self) -> list[str]:
        """What was told, but for who met the wall (`challenged`, which nearly every journey begins with)."""
        return [event.kind for event in self.events if event.kind != "challenged"]


def _nothing(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"not here"]


_sessions = itertools.count(1)


class Browser:
    """One browser: cookies, and whoever the site's own login says is there."""

    def __init__(self, world: World, user: str | None, session: str | None, environ: dict[str, Any]) -> None:
        self.world = world
        self.scheme = "https" if world.gate.settings.https else "http"
        extra = {"wsgi.url_scheme": self.scheme, "HTTP_HOST": "site.example", "REMOTE_ADDR": "10.0.0.1", **environ}
        self.entrance = world.entrance()
        self.http = TestApp(self.entrance, extra_environ=extra, lint=True)
        self.sign_in(user, session)

    def sign_in(self, user: str | None, session: str | None = None) -> None:
        """The site's own login, as another user or in another login session."""
        self.http.extra_environ.pop("site.login", None)
        if user is not None:
            self.http.extra_environ["site.login"] = Login(user, f"s{next(_sessions)}" if session is None else session)

    def get(self, path: str = "/", **options: Any) -> TestResponse:
        """Navigate there."""
        options.setdefault("headers", HTML)
        options.setdefault("status", "*")
        return self.http.get(self.world.below + path, **options)

    def post(self, path: str, fields: Any = "", **options: Any) -> TestResponse:
        options.setdefault("headers", HTML)
        options.setdefault("status", "*")
        return self.http.post(self.world.below + path, fields, **options)

    def ours(self, page: str = "/") -> str:
        return "/second-factor" + page

    def visit(self, path: str = "/members") -> TestResponse:
        """Navigate there and follow redirects to whatever page that leads to."""
        return self.follow(self.get(path))

    @staticmethod
    def follow(response: TestResponse) -> TestResponse:
        for _ in range(8):
            if response.status_int not in (301, 302, 303, 307):
                return response
            response = response.follow(headers=HTML, status="*")
        raise AssertionError("redirects without end")

    def submit(self, form: Any, *, status: Any = "*", **fields: str) -> TestResponse:
        for name, value in fields.items():
            form[name] = value
        return form.submit(headers=HTML, status=status)

    def enrol(self, number: str = PHONE, path: str = "/members", email: str = "alice@example.com") -> TestResponse:
        """From the app's page to the page that asks for the first code."""
        page = self.visit(path)
        form = form_to(page, "/enrol")
        if "email" in form.fields:
            form["email"] = email
        return self.follow(self.submit(form, phone=number))

    def enter(self, page: TestResponse, code: str) -> TestResponse:
        """Type a code; the answer, not followed."""
        return self.submit(form_to(page, "/code"), code=code)

    def choose(self, page: TestResponse, channel: str) -> TestResponse:
        """Choose a way; the page that follows."""
        return self.follow(self.submit(way_form(page, channel)))

    def enrolled(self, number: str = PHONE, path: str = "/members") -> TestResponse:
        """Enrol and prove the number by its first code; the app's page."""
        page = self.enrol(number, path)
        return self.follow(self.enter(page, self.world.phone(number).code))

    def poll(self, page: TestResponse, status: Any = 200) -> Any:
        """Ask as the waiting page's script does."""
        form = form_to(page, "/poll")
        return self.http.post(form.action, form.submit_fields(), headers={"Accept": "application/json"}, status=status).json

    def forget_cookie(self, suffix: str = "") -> None:
        """Lose a cookie, as a browser does whose answer got lost."""
        wanted = ("__Host-" if self.scheme == "https" else "") + "second_factor" + suffix
        for cookie in list(self.http.cookiejar):
            if cookie.name == wanted:
                self.http.cookiejar.clear(cookie.domain, cookie.path, cookie.name)

    def cookie(self, suffix: str = "") -> str | None:
        return self.http.cookies.get(("__Host-" if self.scheme == "https" else "") + "second_factor" + suffix)


def form_to(page: TestResponse, end: str) -> Any:
    """The page's form whose action ends so."""
    found = [form for form in page.forms.values() if form.action.endswith(end)]
    assert found, f"no form to {end} on: {page.html.get_text(' ', strip=True)}"
    return found[0]


def way_form(page: TestResponse, channel: str) -> Any:
    found = [form for form in page.forms.values() if form.action.endswith("/start") and form["channel"].value == channel]
    assert found, f"no way {channel} on: {page.html.get_text(' ', strip=True)}"
    return found[0]


def words(page: TestResponse) -> str:
    """What a person reads in the card."""
    return " ".join(page.html.find("main").get_text(" ").split())
