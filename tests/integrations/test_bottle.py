"""The Bottle plugin: routes' options, paths that are not there, forms, and what a plugin may not do."""

from __future__ import annotations

from typing import Any

import pytest
from bottle import Bottle, request, response

from authy_wsgi import Misconfigured, environ_key
from authy_wsgi.integrations.bottle import SecondFactor
from tests.integrations.helpers import sent_on
from tests.support import World


class BottleWorld(World):
    def __init__(self) -> None:
        super().__init__()
        self.site = Bottle()
        self.plugin = SecondFactor(**self.settings)
        self.site.install(self.plugin)
        self.gate, self.backend = self.plugin.core, self.plugin.core.backend

        @self.site.get("/members")
        def members() -> str:
            return f"members {request.environ['site.login'].user_id}"

        @self.site.route("/pay", method=["GET", "POST"], second_factor_max_age="1m")
        def pay() -> str:
            return f"paid {request.forms.amount}"

        @self.site.get("/admin", second_factor_strength="code")
        def admin() -> str:
            return "admin"

        @self.site.get("/logout")
        def logout() -> str:
            self.plugin.forget(response)
            return "signed out"

        self.wsgi = lambda environ, start_response: self.site(dict(environ), start_response)


def test_routes_ask_for_what_their_options_say() -> None:
    world = BottleWorld()
    alice = world.browser()
    assert alice.enrolled().text == "members alice"
    assert alice.get("/nowhere").status_int == 404
    assert alice.get("/pay").text.startswith("paid")
    world.clock.advance(61)
    assert alice.get("/pay").status_int == 303
    assert alice.get("/admin").status_int == 303
    assert alice.get("/members").text == "members alice"
    assert world.browser().get("/nowhere").status_int == 303


def test_a_form_that_a_route_asks_about_is_kept_and_sent_on() -> None:
    world = BottleWorld()
    alice = world.browser()
    alice.enrolled()
    world.clock.advance(61)
    assert sent_on(alice, "/pay", {"amount": "sieben €"}).text == "paid sieben €"


def test_forget_ends_our_pass() -> None:
    world = BottleWorld()
    alice = world.browser()
    alice.enrolled()
    held = alice.cookie() or ""
    said = alice.get("/logout").headers.getall("Set-Cookie")
    assert sum("second_factor" in value and "Max-Age=0" in value for value in said) == 2
    alice.http.set_cookie("__Host-second_factor", held)
    assert alice.get("/members").status_int == 303


def test_an_app_that_acts_for_somebody_else_than_the_one_proved_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    world = BottleWorld()

    @world.site.hook("before_request")
    def by_token() -> None:
        if token := request.get_header("X-Token"):
            request.environ["site.login"] = token

    alice = world.browser()
    alice.enrolled()
    assert alice.get("/members", headers={"X-Token": "bob", "Accept": "text/html"}).status_int == 503
    assert "acts for somebody whom the gate was not asked about" in caplog.text


def test_settings_may_be_the_apps_own_configuration() -> None:
    app: Any = Bottle()
    app.config.update({"second_factor.enrolment": "open", "second_factor.exempt": "/static", "second_factor.https": "off"})
    settings = {name: value for name, value in World().settings.items() if name not in ("identity", "enrolment")}
    plugin = SecondFactor(identity=environ_key("x.y"), **settings)
    app.install(plugin)
    assert plugin.core.settings.exempt == ("/static",)
    with pytest.raises(Misconfigured, match="installed already"):
        Bottle().install(plugin)
    with pytest.raises(Misconfigured, match="secret is missing"):
        Bottle().install(SecondFactor(identity=environ_key("x.y")))
