"""Flask with Flask-Login, its remember-me included, and the extension."""

from __future__ import annotations

from typing import Any

from flask import Flask, request
from flask_login import LoginManager, UserMixin, login_user, logout_user

from authy_wsgi import SecondFactor as Core
from authy_wsgi.integrations.flask import SecondFactor, second_factor_required

from .site import KEY, shown


class Person(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


def make(settings: dict[str, Any]) -> tuple[Core, Any]:
    app = Flask(__name__)
    app.secret_key = KEY
    LoginManager(app).user_loader(Person)
    SecondFactor(app, **{name: value for name, value in settings.items() if name != "identity"})

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
        login_user(Person(request.form["user"]), remember="remember" in request.form)
        return "signed in"

    @app.get("/logout")
    def sign_out() -> str:
        logout_user()
        return "signed out"

    return app.extensions["second_factor"].core, app
