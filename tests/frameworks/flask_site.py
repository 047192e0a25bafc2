"""Flask: a `before_request` function. What it answers may be any WSGI app, so that the gate's answer is handed over as it is."""

from __future__ import annotations

from typing import Any

from flask import Flask, request, session

from authy_wsgi import Login, SecondFactor

from .site import KEY, new_login_id, shown


def glue(app: Flask, second_factor: SecondFactor) -> None:
    @app.before_request
    def gate() -> Any:
        return second_factor.gate(request.environ, login())


def login() -> Login | None:
    return Login(session["user"], session["login_id"]) if "user" in session else None


def pay(second_factor: SecondFactor) -> Any:
    return second_factor.require(request.environ, login(), max_age=60) or shown("paid", request.environ)


def make(settings: dict[str, Any]) -> tuple[SecondFactor, Any]:
    second_factor = SecondFactor(**settings)
    app = Flask(__name__)
    app.secret_key = KEY
    glue(app, second_factor)

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
    def paying() -> Any:
        return pay(second_factor)

    @app.post("/login")
    def sign_in() -> str:
        session["user"], session["login_id"] = request.form["user"], new_login_id()
        return "signed in"

    @app.get("/logout")
    def sign_out() -> str:
        session.clear()
        return "signed out"

    return second_factor, app


GLUE = (glue,)
