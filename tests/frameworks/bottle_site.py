"""Bottle, with the plugin; the site keeps its login in a signed cookie of Bottle's, and remembers people by a second one that lasts."""

from __future__ import annotations

import json
from typing import Any

from bottle import Bottle, request, response

from authy_wsgi import Login
from authy_wsgi import SecondFactor as Core
from authy_wsgi.integrations.bottle import SecondFactor

from .site import KEY, LONG, new_login_id, shown


def login(_environ: dict[str, Any]) -> Login | None:
    # The lasting one has an id of its own: whoever comes back by it alone is in another login.
    found = request.get_cookie("bottle", secret=KEY) or request.get_cookie("remembered", secret=KEY)
    return Login(*json.loads(found)) if found else None


def make(settings: dict[str, Any]) -> tuple[Core, Any]:
    app = Bottle()
    second_factor = SecondFactor(**{**settings, "identity": login})
    app.install(second_factor)

    @app.get("/")
    def front() -> str:
        return shown("front", request.environ)

    @app.get("/members")
    @app.get("/members/<_rest:path>")
    def members(_rest: str = "") -> str:
        return shown("members", request.environ)

    @app.post("/members")
    def save() -> str:
        return shown("saved", request.environ)

    @app.route("/pay", method=["GET", "POST"], second_factor_max_age=60)
    def pay() -> str:
        return shown("paid", request.environ)

    @app.post("/login")
    def sign_in() -> str:
        response.set_cookie("bottle", json.dumps([request.forms.user, new_login_id()]), secret=KEY, path="/")
        if request.forms.remember:
            response.set_cookie("remembered", json.dumps([request.forms.user, new_login_id()]), secret=KEY, path="/", max_age=LONG)
        return "signed in"

    @app.get("/logout")
    def sign_out() -> str:
        response.delete_cookie("bottle", path="/")
        response.delete_cookie("remembered", path="/")
        return "signed out"

    return second_factor.core, app
