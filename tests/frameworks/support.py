"""The world of `tests.support`, with one of the five sites in it, and browsers that sign in by the site's own login form."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from webtest import TestResponse
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from tests.support import Browser, World, way_form

from . import bottle_site, django_site, flask_site, plain_site, pyramid_site

SITES = {"plain": plain_site, "pyramid": pyramid_site, "flask": flask_site, "bottle": bottle_site, "django": django_site}


def _never(_environ: dict[str, Any]) -> None:
    raise AssertionError("the gate must not ask the setting: the framework hands its login over")


def _nothing(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"no site is mounted here"]


class SiteWorld(World):
    """A world with a whole site. WebTest's lint checks both what it is asked and what it answers."""

    def __init__(self, site: ModuleType, below: str = "", **settings: Any) -> None:
        super().__init__(below=below, validate=False, identity=_never, logout_url=f"{below}/logout", **settings)
        self.gate, app = site.make(self.settings)
        self.backend = self.gate.backend
        # As a server does, hand over an environ of the app's own: Django and Bottle write decoded paths into it, which WebTest would read later.
        self.wsgi = lambda environ, start_response: app(dict(environ), start_response)
        if below:
            self.wsgi = DispatcherMiddleware(_nothing, {below: self.wsgi})

    def browser(self, user: str | None = "alice", session: str | None = None, **environ: Any) -> SiteBrowser:
        return SiteBrowser(self, user, session, environ)


class SiteBrowser(Browser):
    """One browser, and the site's own login page in it."""

    def sign_in(self, user: str | None, session: str | None = None) -> None:
        if user is not None:
            assert "signed in" in self.post("/login", {"user": user}, status=200)

    def sign_out(self) -> TestResponse:
        return self.get("/logout", status=200)

    def by_sms(self, path: str = "/members") -> TestResponse:
        """Asked for the second factor there, give it by text message; the page that it leads to."""
        page = self.submit(way_form(self.visit(path), "sms")).follow()
        return self.follow(self.enter(page, self.world.phone().code))
