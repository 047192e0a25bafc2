"""The world of `tests.support`, with one of the five sites in it, and browsers that sign in by the site's own login form."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from webtest import TestResponse

from authy_wsgi import SecondFactor
from authy_wsgi.backend import Backend
from authy_wsgi.emulator.handset import Handset
from tests.support import PHONE, Browser, World, way_form

from .doors import OwnClient, mounted

SITES = ("plain", "pyramid", "flask", "bottle", "django")

# A choice of two: to parse a page with all countries takes a third of a test's time.
COUNTRIES = ["US", "PT"]

# From a site's name, its app and where that is mounted to what makes each browser's entrance.
Door = Callable[[str, Any, str], Callable[[], Any]]


def make_site(name: str, settings: dict[str, Any]) -> tuple[SecondFactor, Any]:
    """The gate and the app of a site. A server that runs one of them loads one framework."""
    made: tuple[SecondFactor, Any] = import_module(f"tests.frameworks.{name}_site").make(settings)
    return made


def never(_environ: dict[str, Any]) -> None:
    raise AssertionError("the gate must not ask the setting: the framework hands its login over")


def inside(_name: str, app: Any, below: str) -> Callable[[], Any]:
    """No door: WebTest calls the app. Its lint checks both what that is asked and what it answers."""
    # As a server does, hand over an environ of the app's own: Django and Bottle write decoded paths into it, which WebTest would read later.
    wsgi = mounted(lambda environ, start_response: app(dict(environ), start_response), below)
    return lambda: wsgi


class Town(World):
    """A world with two people, whose names and numbers a journey asks for: where a server outlives a test they are new ones each time."""

    alice, bob = "alice", "bob"
    number, other_number = PHONE, "+14085555299"
    desk: Backend  # that of whoever looks after the site, elsewhere: on the same store, with a memory of its own

    @property
    def typed_number(self) -> str:
        """Alice's number as she types it."""
        return f"{self.number[2:5]}-{self.number[5:8]}-{self.number[8:]}"

    def phone(self, number: str = "") -> Handset:
        return super().phone(number or self.number)

    def browser(self, user: str | None = "alice", session: str | None = None, **environ: Any) -> SiteBrowser:
        return SiteBrowser(self, user, session, environ)


class SiteWorld(Town):
    """A world with a whole site in this process, and a door to it."""

    def __init__(self, name: str, below: str = "", door: Door = inside, **settings: Any) -> None:
        super().__init__(below=below, validate=False, identity=never, logout_url=f"{below}/logout", **{"countries": COUNTRIES, **settings})
        self.desk = self.backend
        self.gate, app = make_site(name, self.settings)
        self.backend = self.gate.backend
        self._entrance = door(name, app, below)

    def entrance(self) -> Any:
        return self._entrance()


class SiteBrowser(Browser):
    """One browser, and the site's own login page in it."""

    world: Town

    def sign_in(self, user: str | None, session: str | None = None, *, remember: bool = False) -> None:
        if user is not None:
            fields = {"user": user, **({"remember": "on"} if remember else {})}
            assert "signed in" in self.post("/login", fields, status=200)

    def sign_out(self) -> TestResponse:
        return self.get("/logout", status=200)

    def enrol(self, number: str = "", path: str = "/members", email: str = "alice@example.com") -> TestResponse:
        return super().enrol(number or self.world.number, path, email)

    def enrolled(self, number: str = "", path: str = "/members") -> TestResponse:
        return super().enrolled(number or self.world.number, path)

    def by_sms(self, path: str = "/members") -> TestResponse:
        """Asked for the second factor there, give it by text message; the page that it leads to."""
        page = self.submit(way_form(self.visit(path), "sms")).follow()
        return self.follow(self.enter(page, self.world.phone().code))

    # What becomes of cookies by another hand than an answer's

    def forget_cookie(self, suffix: str = "") -> None:
        super().forget_cookie(suffix)
        self._by_hand()

    def set_cookie(self, name: str, value: str) -> None:
        self.http.set_cookie(name, value)
        self._by_hand()

    def start_again(self) -> None:
        """Closed and opened again: what lasts no longer than the browser is gone."""
        self.http.cookiejar.clear_session_cookies()
        self._by_hand()

    def _by_hand(self) -> None:
        if isinstance(self.entrance, OwnClient):
            self.entrance.adopt("; ".join(f"{cookie.name}={cookie.value}" for cookie in self.http.cookiejar))
