"""A Pyramid site: register with a phone number, sign in, look around, pay; and a room for keepers. SQLAlchemy, an ini file, and a second factor by
`config.include`.

`main` is what the ini file names; `make_app` is the same for programs.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

with warnings.catch_warnings():
    # Pyramid 2.1 still imports what setuptools gives up.
    warnings.filterwarnings("ignore", "pkg_resources is deprecated")
    from pyramid.config import Configurator
from pyramid.session import SignedCookieSessionFactory

from authy_wsgi import AuthyClient, Event, Profile
from authy_wsgi.integrations.texts import flag
from examples import passwords
from examples.pyramid_site import models
from examples.pyramid_site.rendering import Renderer
from examples.pyramid_site.security import SecurityPolicy
from examples.state import kept_secret, sqlite_url

__all__ = ["ACCOUNTS", "SITE_NAME", "main", "make_app"]

SITE_NAME = "Acorn Ledger"
# Accounts of the example, to try it with: name -> (password, phone, whether a keeper).
ACCOUNTS = {"alice": ("eight acorns", "+12025550123", True), "bob": ("winter store", "+12025550143", False)}
SECOND_FACTOR = {
    "second_factor.enrolment": "known",
    "second_factor.exempt": "/static /register",
    "second_factor.login_url": "/login",
    "second_factor.logout_url": "/logout",
    "second_factor.site_name": SITE_NAME,
    "second_factor.accent": "#8a4b12",
}


def now() -> int:
    return int(time.time())


def main(_global_config: Mapping[str, str], **settings: Any) -> Any:
    """The site as an ini file sets it up: `folder`, where all that it keeps lies, and the settings of the second factor."""
    folder = Path(settings["folder"])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.setdefault("second_factor.secret", kept_secret(folder / "secret"))
    settings.setdefault("second_factor.users", sqlite_url(folder / "second-factor.db"))
    return configured(settings, sqlite_url(folder / "site.db"), now)


def make_app(
    site_file: Path,
    factor_file: Path,
    *,
    secret: str,
    client: AuthyClient,
    https: bool = True,
    clock: Callable[[], int] = now,
    events: Callable[[Event], object] | None = None,
) -> Any:
    """The site as a WSGI app. The two SQLite files are made where they are missing: ours, and the second factor's."""
    settings = {"second_factor.secret": secret, "second_factor.users": sqlite_url(factor_file), "second_factor.https": str(https)}
    return configured(settings, sqlite_url(site_file), clock, clients=client, clock=clock, events=events)


def configured(settings: Mapping[str, Any], database: str, now: Callable[[], int], **second_factor: Any) -> Any:
    """All of it. `second_factor` are settings of it that no text can say."""
    sessions = models.open_database(database)
    with sessions() as db:
        for name, (password, phone, keeper) in ACCOUNTS.items():
            models.register(db, name, password, f"{name}@example.com", phone, keeper=keeper, at=now())

    def profile(name: str) -> Profile | None:
        """What the site knows of a person: the second factor sends its codes to that phone."""
        with sessions() as db:
            account = db.get(models.Account, name)
            return Profile(name=account.name, email=account.email, phone=account.phone) if account else None

    def password_stamp(name: str) -> str:
        """A text that changes with the password, and says nothing about it."""
        with sessions() as db:
            account = db.get(models.Account, name)
            return passwords.stamp(account.password) if account else ""

    with Configurator(settings={**SECOND_FACTOR, **settings}) as config:
        secure = flag(config.registry.settings.get("second_factor.https", "true"))
        secret = config.registry.settings["second_factor.secret"]
        config.set_session_factory(SignedCookieSessionFactory(secret, cookie_name="acorn_session", httponly=True, secure=secure, samesite="Lax"))
        config.set_security_policy(SecurityPolicy())
        config.set_default_csrf_options(require_csrf=True)

        config.include("authy_wsgi.integrations.pyramid")
        config.set_second_factor(profile=profile, password_stamp=password_stamp, **second_factor)

        config.registry.clock, config.registry.site_name = now, SITE_NAME
        config.registry.accounts = {name: password for name, (password, _, _) in ACCOUNTS.items()}
        config.add_request_method(lambda request: _session(request, sessions), "db", reify=True)
        config.add_renderer(".html", Renderer)
        for name, path in ROUTES.items():
            config.add_route(name, path)
        config.add_static_view("static", str(Path(__file__).parent / "static"))
        config.scan("examples.pyramid_site.views")
        return config.make_wsgi_app()


ROUTES = {
    "home": "/",
    "register": "/register",
    "login": "/login",
    "members": "/members",
    "pay": "/pay",
    "paid": "/paid/{payment}",
    "keepers": "/keepers",
    "logout": "/logout",
}


def _session(request: Any, sessions: Any) -> Any:
    db = sessions()
    request.add_finished_callback(lambda _request: db.close())
    return db
