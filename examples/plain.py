"""No framework: a WSGI app behind HTTP Basic, which a server or middleware in front has checked, and the second factor around it.

    application = SecondFactor(site, identity=basic_auth, ...)

`PasswordsFirst` stands for whatever signs people in where you are: a server's HTTP Basic, Kerberos, an SSO proxy. It leaves REMOTE_USER; where that is not by
Basic, say `identity=remote_user`.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

from authy_wsgi import SecondFactor, SQLStore, basic_auth, proven
from examples.state import sqlite_url

SITE_NAME = "Pebble"
ACCOUNTS = {"alice": "smooth stone", "bob": "river bed"}

Environ = dict[str, Any]
App = Callable[[Environ, Any], Iterable[bytes]]


def site(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """The app: says who is there, and knows nothing of passwords or phones."""
    seen = proven(environ)
    by = " and ".join(proof.channel for proof in seen.proofs)
    page = f"<!doctype html><html lang=en><title>{SITE_NAME}</title><h1>Good to see you, {escape(seen.user_id or 'stranger')}</h1><p>Confirmed by {escape(by)}."
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store")])
    return [page.encode()]


class PasswordsFirst:
    """HTTP Basic in front of everything."""

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        name = _name_of(environ.get("HTTP_AUTHORIZATION", ""))
        if not name:
            start_response("401 Unauthorized", [("WWW-Authenticate", f'Basic realm="{SITE_NAME}", charset="UTF-8"'), ("Content-Type", "text/plain")])
            return [b"Name and password, please."]
        environ.update(REMOTE_USER=name, AUTH_TYPE="Basic")
        return self.app(environ, start_response)


def _name_of(authorization: str) -> str:
    kind, _, given = authorization.partition(" ")
    try:
        name, _, password = b64decode(given, validate=True).decode().partition(":")
    except (Error, UnicodeDecodeError):
        return ""
    # In an example the passwords stand above; a server keeps digests of them.
    return name if kind.lower() == "basic" and hmac.compare_digest(password.encode(), ACCOUNTS.get(name, "").encode()) and name in ACCOUNTS else ""


def make_app(factor_file: Path, *, secret: str, client: Any, https: bool = True, **settings: Any) -> App:
    """The site. The second factor's SQLite file is made where it is missing."""
    application = SecondFactor(
        site,
        identity=basic_auth,
        secret=secret,
        users=SQLStore(sqlite_url(factor_file)),
        clients=client,
        enrolment="open",
        site_name=SITE_NAME,
        https=https,
        **settings,
    )
    return PasswordsFirst(application)


def paste_app(_global_config: object, **_local: str) -> App:
    """The same app for an ini file (`paste.ini`), which puts the second factor in front by itself."""
    return site


def paste_passwords(_global_config: object, **_local: str) -> Callable[[App], App]:
    """What signs people in, as a filter for an ini file."""
    return PasswordsFirst
