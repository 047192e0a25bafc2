"""Flask, with the extension; the site keeps its login in Flask's own session."""

from __future__ import annotations

from typing import Any

from flask import Flask, request, session

from authy_wsgi import Login
from authy_wsgi import SecondFactor as Core
from authy_wsgi.integrations.flask import SecondFactor, second_factor_required

from .site import KEY, new_login_id, shown


def login() -> Login | None:
    return Login(session["user"], session["login_id"]) if "user" in session else None


def make(settings: dict[str, Any]) -> tuple[Core, Any]:
    app = Flask(__name__)
    app.secret_key = KEY
    SecondFactor(app, **{**settings, "identity": login})

    @app.get("/")
    def front() -> str:
        return shown("front", request.environ)

    @app.get("/members")
    @app.get("/members/<path:_rest>")
    def members(_rest: str = "") -> str:
        return shown("members", request.environ)

    @app.post("/members")
    def save() -> str:
        return shown("saved", request.environ)

    @app.route("/pay", methods=["GET", "POST"])
    @second_factor_required(max_age=60)
    def pay() -> str:
        return shown("paid", request.environ)

    @app.post("/login")
    def sign_in() -> str:
        session["user"], session["login_id"] = request.form["user"], new_login_id()
        return "signed in"

    @app.get("/logout")
    def sign_out() -> str:
        session.clear()
        return "signed out"

    return app.extensions["second_factor"].core, app
