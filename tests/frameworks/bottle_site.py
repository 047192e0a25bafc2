"""Bottle: a `before_request` hook. Bottle takes no WSGI app as an answer, so `answered` makes its own kind of response of one."""

from __future__ import annotations

import json
from typing import Any

from bottle import Bottle, HTTPResponse, request, response

from authy_wsgi import Login, SecondFactor

from .site import KEY, new_login_id, shown


def glue(app: Bottle, second_factor: SecondFactor) -> None:
    @app.hook("before_request")
    def gate() -> None:
        answered(second_factor.gate(request.environ, login()))


def answered(answer: Any) -> None:
    if answer is not None:
        head: list[Any] = []
        body = answer(request.environ, lambda *given: head.extend(given))
        raise HTTPResponse(body, *head)


def login() -> Login | None:
    found = request.get_cookie("bottle", secret=KEY)
    return Login(*json.loads(found)) if found else None


def make(settings: dict[str, Any]) -> tuple[SecondFactor, Any]:
    second_factor = SecondFactor(**settings)
    app = Bottle()
    glue(app, second_factor)

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

    @app.route("/pay", method=["GET", "POST"])
    def pay() -> str:
        answered(second_factor.require(request.environ, login(), max_age=60))
        return shown("paid", request.environ)

    @app.post("/login")
    def sign_in() -> str:
        response.set_cookie("bottle", json.dumps([request.forms.user, new_login_id()]), secret=KEY, path="/")
        return "signed in"

    @app.get("/logout")
    def sign_out() -> str:
        response.delete_cookie("bottle", path="/")
        return "signed out"

    return second_factor, app


GLUE = (glue, answered)
