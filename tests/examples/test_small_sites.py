"""The small sites: Flask, Django, plain WSGI and PasteDeploy, each by the few journeys that its pages have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paste.deploy import loadapp

from authy_wsgi.testing import Authy, Clock
from authy_wsgi.testing.flask import FlaskClient
from examples import flask_site, plain

from .conftest import Browser, form_to, heading, words

BASIC = {"alice": "YWxpY2U6c21vb3RoIHN0b25l", "bob": "Ym9iOnJpdmVyIGJlZA=="}


class TestFlask:
    @pytest.fixture
    def app(self, tmp_path: Path, authy: Authy, second_factor_clock: Clock, secret: str) -> Any:
        return flask_site.make_app(tmp_path / "factor.db", secret=secret, client=authy.client(), https=False, clock=second_factor_clock)

    def sign_in(self, browser: Browser, name: str = "alice") -> Any:
        form = browser.open("/login").form
        form["name"], form["password"] = name, flask_site.ACCOUNTS[name]
        return form.submit(status="*")

    def test_in_pay_and_out(self, app: Any, second_factor_clock: Clock) -> None:
        browser = Browser(app)
        assert browser.open("/").request.path == "/login"
        self.sign_in(browser)
        page = browser.pass_second_factor("alice")
        assert heading(page) == "Good to see you, alice"
        assert "and by sms" in words(page)
        second_factor_clock.advance(61)
        browser.expect_second_factor("/pay")
        page = browser.pass_second_factor("alice", path="/pay")
        page.form["amount"] = "12"
        assert heading(page.form.submit()) == "Paid 12"
        assert browser.send(browser.open("/"), "/logout").request.path == "/login"
        self.sign_in(browser)
        browser.expect_second_factor("/")

    def test_a_wrong_password(self, app: Any) -> None:
        form = Browser(app).open("/login").form
        form["name"], form["password"] = "alice", "wrong"
        assert "do not belong together" in words(form.submit(status=422))

    def test_a_form_of_somebody_elses_does_nothing(self, app: Any) -> None:
        browser = Browser(app)
        self.sign_in(browser)
        browser.grant_second_factor("alice")
        assert "Go back" in browser.post("/pay", {"amount": "1"}, status=400).text

    def test_by_flasks_own_client(self, app: Any) -> None:
        app.test_client_class = FlaskClient
        client = app.test_client()
        client.post("/login", data={"name": "bob", "password": flask_site.ACCOUNTS["bob"]})
        client.grant_second_factor("bob", "push")
        assert "Good to see you, bob" in client.get("/").text


class TestPlain:
    @pytest.fixture
    def app(self, tmp_path: Path, authy: Authy, second_factor_clock: Clock, secret: str) -> Any:
        self.gate: Any = None
        return plain.make_app(tmp_path / "factor.db", secret=secret, client=authy.client(), https=False, clock=second_factor_clock)

    def browser(self, app: Any, name: str = "alice") -> Browser:
        browser = Browser(app)
        browser.authorization = ("Basic", (name, plain.ACCOUNTS[name]))
        return browser

    def test_password_then_phone_then_the_site(self, app: Any) -> None:
        page = self.browser(app).pass_second_factor("alice")
        assert heading(page) == "Good to see you, alice"
        assert "Confirmed by sms" in words(page)

    @pytest.mark.parametrize("given", ["", "Basic", "Basic ???", "Basic YWxpY2U6d3Jvbmc=", "Bearer x", "Basic bm9ib2R5Og==", "Basic /w=="])
    def test_nobody_comes_to_the_phone_without_the_password(self, app: Any, given: str) -> None:
        answer = Browser(app).get("/", headers={"Authorization": given}, status=401)
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")

    def test_the_ini_file(self, tmp_path: Path, authy: Authy, secret: str) -> None:
        text = Path(plain.__file__).with_name("paste.ini").read_text().replace("http://127.0.0.1:8001", authy.url)
        (tmp_path / "paste.ini").write_text(text.replace("0123456789abcdef0123456789abcdef", authy.api_key))
        app = loadapp(f"config:{tmp_path / 'paste.ini'}", global_conf={"second_factor_secret": secret})
        browser = self.browser(app, "bob")
        assert heading(browser.pass_second_factor("bob")) == "Good to see you, bob"
        assert (tmp_path / "second-factor.db").is_file()


def test_the_django_project(tmp_path: Path, authy: Authy) -> None:
    # In a process of its own: a process has one Django project.
    settings = {"DJANGO_SETTINGS_MODULE": "examples.django_site.settings", "DEMO_FOLDER": str(tmp_path), "AUTHY_API_KEY": authy.api_key}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/examples/django_project.py"]
    root = Path(plain.__file__).parents[1]
    done = subprocess.run(
        command, env={**os.environ, **settings, "AUTHY_BASE_URL": authy.url}, cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
    assert form_to is not None
