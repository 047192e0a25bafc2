"""The Flask extension: configuration, Flask-Login with its remember-me, and what a later step may not do."""

from __future__ import annotations

from typing import Any

import flask
import flask_login
import pytest
from webtest import TestApp

from authy_wsgi import Login, MemoryLedger, MemoryStore, Misconfigured, Strength, proven
from authy_wsgi.integrations.flask import SecondFactor, second_factor_required
from tests.integrations.helpers import sent_on
from tests.support import API_KEY, SECRET, Browser, Clock, World, words


class Person(flask_login.UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


class FlaskWorld(World):
    """A Flask app with Flask-Login, as its documentation writes it."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.site = app = flask.Flask(__name__)
        app.config.update(
            SECRET_KEY="the app's own key", **{f"SECOND_FACTOR_{name.upper()}": value for name, value in self.settings.items() if name != "identity"}, **config
        )
        logins = flask_login.LoginManager(app)
        logins.user_loader(Person)
        logins.session_protection = None

        @app.get("/members")
        def members() -> str:
            seen = proven(flask.request.environ)
            return f"members: {seen.user_id} {[proof.channel for proof in seen.proofs]} {flask_login.current_user.is_authenticated}"

        @app.route("/pay", methods=["GET", "POST"])
        @second_factor_required(max_age=60)
        def pay() -> str:
            return f"paid {flask.request.form.get('amount', '')}"

        @app.get("/code")
        @second_factor_required(strength=Strength.CODE)
        def code() -> str:
            return "code"

        @app.post("/login")
        def login() -> str:
            flask_login.login_user(Person(flask.request.form["user"]), remember="remember" in flask.request.form)
            return "signed in"

        @app.get("/logout")
        def logout() -> str:
            flask_login.logout_user()
            return "signed out"

        self.before(app)
        SecondFactor(app)
        self.core = app.extensions["second_factor"].core
        self.gate, self.backend = self.core, self.core.backend
        self.wsgi = app

    def before(self, app: flask.Flask) -> None:
        """What else the app does."""

    def person(self, user: str = "alice", **fields: str) -> Browser:
        browser = Browser(self, None, None, {})
        browser.post("/login", {"user": user, **fields}, status=200)
        return browser


def test_flask_logins_user_is_asked_and_comes_in() -> None:
    world = FlaskWorld()
    assert world.browser(None).get("/members").text == "members: None [] False"
    alice = world.person()
    assert alice.enrolled().text == "members: alice ['sms'] True"
    assert alice.get("/nowhere").status_int == 404
    assert world.person().get("/nowhere").status_int == 303


def test_a_login_remembered_by_flask_login_is_another_login_for_us() -> None:
    world = FlaskWorld()
    alice = world.person(remember="1")
    alice.enrolled()
    alice.http.cookiejar.clear("site.example", "/", "session")
    assert alice.http.cookies.get("remember_token")
    assert "Confirm it is you" in words(alice.visit("/members"))
    world.clock.advance(31)
    page = alice.choose(alice.visit("/members"), "sms")
    assert alice.follow(alice.enter(page, world.phone().code)).text == "members: alice ['sms'] True"


def test_a_logout_by_flask_login_ends_our_pass_in_every_copy() -> None:
    world = FlaskWorld()
    alice = world.person()
    alice.enrolled()
    copy = dict(alice.http.cookies)
    response = alice.get("/logout", status=200)
    assert any("second_factor=" in value and "Max-Age=0" in value for value in response.headers.getall("Set-Cookie"))
    thief = world.browser(None)
    for name, value in copy.items():
        thief.http.set_cookie(name, value.strip('"'))
    assert thief.get("/members").status_int == 303


def test_signing_in_again_over_a_live_login_asks_again() -> None:
    world = FlaskWorld()
    alice = world.person()
    alice.enrolled()
    alice.post("/login", {"user": "alice"}, status=200)
    assert alice.get("/members").status_int == 303


def test_a_form_of_a_view_that_asks_is_kept_and_sent_on() -> None:
    world = FlaskWorld()
    alice = world.person()
    alice.enrolled(path="/members")
    world.clock.advance(61)
    assert sent_on(alice, "/pay", {"amount": "7"}).text == "paid 7"


def test_a_stronger_proof_is_asked_for_by_the_decorator() -> None:
    world = FlaskWorld()
    alice = world.person()
    alice.enrolled()
    assert alice.get("/code").status_int == 303


class Impersonating(FlaskWorld):
    """An app that lets somebody in by a header, after everything else."""

    def before(self, app: flask.Flask) -> None:
        @app.before_request
        def by_token() -> None:
            if token := flask.request.headers.get("X-Token"):
                flask_login.login_user(Person(token))


def test_an_app_that_acts_for_somebody_else_than_the_one_proved_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    world = Impersonating()
    alice = world.person()
    alice.enrolled()
    answer = alice.get("/members", headers={"X-Token": "bob", "Accept": "text/html"})
    assert answer.status_int == 503
    assert "acts for somebody whom the gate was not asked about" in caplog.text
    nobody = world.browser(None)
    assert nobody.get("/members", headers={"X-Token": "bob", "Accept": "text/html"}).status_int == 503


def test_texts_in_the_configuration_will_do_and_faults_are_told_at_once() -> None:
    app = flask.Flask(__name__)
    app.config.update(
        SECOND_FACTOR_SECRET=SECRET, SECOND_FACTOR_USERS="memory", SECOND_FACTOR_LEDGER="memory", SECOND_FACTOR_AUTHY_API_KEY=API_KEY,
        SECOND_FACTOR_ENROLMENT="open", SECOND_FACTOR_EXEMPT="/static /health", SECOND_FACTOR_RULES="/pay max_age=1m", SECOND_FACTOR_HTTPS="no",
    )  # fmt: skip
    extension = SecondFactor(identity=lambda: None)
    extension.init_app(app)
    assert app.extensions["second_factor"].core.settings.exempt == ("/static", "/health")
    with pytest.raises(Misconfigured, match="has a second factor already"):
        SecondFactor(app, identity=lambda: None)
    wrong = flask.Flask(__name__)
    wrong.config.update(SECOND_FACTOR_HTTPS="perhaps", SECOND_FACTOR_ENROLMENT="open")
    with pytest.raises(Misconfigured) as caught:
        SecondFactor(wrong)
    for each in ("https must be", "identity is missing", "secret is missing", "users is missing"):
        assert each in str(caught.value)


def test_an_app_without_flask_login_says_who_is_there_by_itself() -> None:
    app = flask.Flask(__name__)
    app.secret_key = "x"
    clock = Clock()

    def who() -> Login | None:
        return Login(flask.session["user"], flask.session["id"]) if "user" in flask.session else None

    SecondFactor(
        app, identity=who, secret=SECRET, users=MemoryStore(), ledger=MemoryLedger(), single_process=True, clients=World().client, enrolment="open", clock=clock
    )

    @app.get("/in")
    def sign_in() -> str:
        flask.session.update(user="alice", id="1")
        return "in"

    browser = TestApp(app, extra_environ={"wsgi.url_scheme": "https", "HTTP_HOST": "site.example"})
    browser.get("/in", headers={"Accept": "text/html"}, status=200)
    assert browser.get("/x", headers={"Accept": "text/html"}, status=303).headers["Location"].startswith("/second-factor/")


def test_an_app_that_does_not_say_who_is_there_is_told_how_to_in_flasks_way() -> None:
    app = flask.Flask(__name__)
    with pytest.raises(Misconfigured, match=r"no Flask-Login, so say SecondFactor\(app, identity=who\)"):
        SecondFactor(app, secret=SECRET, users=MemoryStore(), ledger=MemoryLedger(), clients=World().client, enrolment="open")
    with pytest.raises(Misconfigured, match="takes no arguments under Flask"):
        SecondFactor(app, identity=lambda environ: None, secret=SECRET, users=MemoryStore(), ledger=MemoryLedger(), clients=World().client, enrolment="open")


def test_a_number_is_an_id_too_and_a_truth_value_is_none() -> None:
    found: list[object] = [7, True]
    app = flask.Flask(__name__)
    settings = {"secret": SECRET, "users": MemoryStore(), "ledger": MemoryLedger(), "single_process": True, "clients": World().client}
    SecondFactor(app, identity=lambda: found[0], enrolment="open", **settings)  # type: ignore[arg-type, return-value]
    browser = TestApp(app, extra_environ={"wsgi.url_scheme": "https", "HTTP_HOST": "site.example"})
    assert browser.get("/x", headers={"Accept": "text/html"}, status=303).headers["Location"].startswith("/second-factor/")
    found.pop(0)
    browser.get("/x", headers={"Accept": "text/html"}, status=503)
