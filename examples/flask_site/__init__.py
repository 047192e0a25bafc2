"""A small Flask site with Flask-Login, as its documentation writes it, and a second factor: the lines of `second_factor` below, and one decorator."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path
from typing import Any

from flask import Flask, abort, redirect, render_template, request, session, url_for
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user
from jinja2 import ChoiceLoader, FileSystemLoader

from authy_wsgi import proven
from authy_wsgi.integrations.flask import SecondFactor, second_factor_required
from examples import passwords
from examples.state import sqlite_url

SITE_NAME = "Thimble"
ACCOUNTS = {"alice": "needle and thread", "bob": "button jar"}


class Person(UserMixin):
    """Who is signed in."""

    def __init__(self, name: str) -> None:
        self.id = name


def make_app(factor_file: Path, *, secret: str, client: Any, https: bool = True, **second_factor: Any) -> Flask:
    """The site. The second factor's SQLite file is made where it is missing."""
    app = Flask(__name__)
    app.secret_key = secret
    app.config.update(SESSION_COOKIE_SECURE=https, SESSION_COOKIE_SAMESITE="Lax")
    app.jinja_loader = ChoiceLoader([FileSystemLoader(Path(__file__).parent / "templates"), FileSystemLoader(Path(__file__).parents[1] / "templates")])
    logins = LoginManager(app)
    logins.login_view = "login"
    stored = {name: passwords.hashed(password) for name, password in ACCOUNTS.items()}

    app.config.update(
        SECOND_FACTOR_SECRET=secret,
        SECOND_FACTOR_USERS=sqlite_url(factor_file),
        SECOND_FACTOR_ENROLMENT="open",
        SECOND_FACTOR_LOGIN_URL="/login",
        SECOND_FACTOR_LOGOUT_URL="/logout",
        SECOND_FACTOR_SITE_NAME=SITE_NAME,
        SECOND_FACTOR_HTTPS=https,
    )
    SecondFactor(app, clients=client, **second_factor)

    @logins.user_loader
    def load(name: str) -> Person | None:
        return Person(name) if name in ACCOUNTS else None

    @app.route("/login", methods=["GET", "POST"])
    def login() -> Any:
        if request.method == "GET":
            return render_template("login.html", accounts=ACCOUNTS)
        name, password = request.form.get("name", "").strip().lower(), request.form.get("password", "")
        if not (passwords.matches(password, stored[name]) if name in stored else passwords.matches_nobody(password)):
            return render_template("login.html", accounts=ACCOUNTS, wrong=True), 422
        session.clear()
        login_user(Person(name))
        return redirect(url_for("members"), 303)

    @app.get("/")
    @login_required
    def members() -> Any:
        channels = [proof.channel for proof in proven(request.environ).proofs]
        return render_template("members.html", name=current_user.get_id(), channels=channels, csrf=csrf())

    @app.route("/pay", methods=["GET", "POST"])
    @login_required
    @second_factor_required(max_age=60)
    def pay() -> Any:
        if request.method == "POST":
            check_csrf()
        return render_template("pay.html", paid=request.form.get("amount", "")[:20], csrf=csrf())

    @app.post("/logout")
    def logout() -> Any:
        check_csrf()
        logout_user()
        return redirect(url_for("login"), 303)

    return app


def csrf() -> str:
    """The token of this session's forms."""
    return str(session.setdefault("csrf", secrets.token_urlsafe(16)))


def check_csrf() -> None:
    """400 for a form that was on no page of ours."""
    if not hmac.compare_digest(request.form.get("csrf", "").encode(), str(session.get("csrf", "?")).encode()):
        abort(400, "That page was open for too long. Go back, reload it and try again.")
