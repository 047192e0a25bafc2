"""The Pyramid include: settings of the ini, the security policy's word, a mark for each login, view options."""

from __future__ import annotations

from typing import Any

import pytest
from pyramid.authentication import AuthTktCookieHelper
from pyramid.config import Configurator
from pyramid.exceptions import ConfigurationError
from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import forget, remember
from pyramid.session import SignedCookieSessionFactory

from tests.integrations.helpers import sent_on
from tests.support import SECRET, Browser, World, words

TEXTS = {"second_factor.enrolment": "open", "second_factor.site_name": "Acorn Ledger", "second_factor.rules": "/soft if_enrolled"}


class Policy:
    """The security policy of Pyramid's documentation: a signed ticket in a cookie, which outlives the session."""

    def __init__(self) -> None:
        self._helper = AuthTktCookieHelper("the app's own key", hashalg="sha512")

    def identity(self, request: Request) -> Any:
        if token := request.headers.get("X-Token"):
            return {"userid": token} if request.environ.get("late") else None
        return self._helper.identify(request)

    def authenticated_userid(self, request: Request) -> str | None:
        found = self.identity(request)
        return found and found["userid"]

    def permits(self, request: Request, context: Any, permission: str) -> bool:
        return self.authenticated_userid(request) is not None

    def remember(self, request: Request, userid: str, **options: Any) -> Any:
        return self._helper.remember(request, userid, **options)

    def forget(self, request: Request, **options: Any) -> Any:
        return self._helper.forget(request, **options)


class PyramidWorld(World):
    def __init__(self, texts: dict[str, str] = TEXTS, **options: Any) -> None:
        super().__init__()
        config = Configurator(settings=dict(texts))
        config.set_session_factory(SignedCookieSessionFactory("the app's own key"))
        config.include("authy_wsgi.integrations.pyramid")
        config.set_second_factor(**{name: value for name, value in self.settings.items() if name not in ("identity", "enrolment", "site_name")})
        config.set_security_policy(Policy())
        self.views(config)
        self.wsgi = config.make_wsgi_app()
        self.gate = self.wsgi.registry["authy_wsgi.second_factor"]
        self.backend = self.gate.backend

    def views(self, config: Configurator) -> None:
        def said(text: str) -> Any:
            def view(request: Request) -> Response:
                seen = request.second_factor.proven
                return Response(f"{text}: {seen.user_id} {[proof.channel for proof in seen.proofs]} {request.POST.get('amount', '')}")

            return view

        def login(request: Request) -> Response:
            response = Response("signed in")
            response.headerlist.extend(remember(request, request.POST["user"]))
            return response

        def logout(request: Request) -> Response:
            response = Response("signed out")
            response.headerlist.extend(forget(request))
            return response

        pages: dict[str, tuple[Any, dict[str, Any]]] = {
            "/members": (said("members"), {}),
            "/soft": (said("soft"), {}),
            "/pay": (said("paid"), {"second_factor_max_age": "1m"}),
            "/admin": (said("admin"), {"second_factor_strength": "code"}),
            "/login": (login, {}),
            "/logout": (logout, {}),
        }
        for path, (view, options) in pages.items():
            config.add_route(path, path)
            config.add_view(view, route_name=path, **options)

    def person(self, user: str = "alice") -> Browser:
        browser = Browser(self, None, None, {})
        browser.post("/login", {"user": user}, status=200)
        return browser


def test_settings_come_from_the_ini_and_objects_from_code() -> None:
    world = PyramidWorld({**TEXTS, "second_factor.exempt": "/static"})
    assert world.gate.settings.exempt == ("/static",)
    assert world.gate.settings.site_name == "Acorn Ledger"
    assert world.person().get("/soft").text == "soft: alice [] "
    assert world.person().enrolled().text == "members: alice ['sms'] "


def test_a_view_asks_for_a_younger_or_a_stronger_proof() -> None:
    world = PyramidWorld()
    alice = world.person()
    alice.enrolled()
    assert alice.get("/pay").text.startswith("paid: alice")
    world.clock.advance(61)
    assert alice.get("/pay").status_int == 303
    assert alice.get("/admin").status_int == 303
    world.phone().install_app()
    page = alice.choose(alice.visit("/admin"), "app")
    assert alice.follow(alice.enter(page, world.phone().app_code)).text.startswith("admin: alice ['app'")


def test_a_form_that_a_view_asks_about_is_kept_and_sent_on() -> None:
    world = PyramidWorld()
    alice = world.person()
    alice.enrolled()
    world.clock.advance(61)
    assert sent_on(alice, "/pay", {"amount": "7"}).text.endswith(" 7")


def test_each_login_is_marked_and_forgetting_ends_our_pass_too() -> None:
    world = PyramidWorld()
    alice = world.person()
    alice.enrolled()
    copy = dict(alice.http.cookies)
    alice.post("/login", {"user": "alice"}, status=200)
    assert "Confirm it is you" in words(alice.visit("/members"))
    for name, value in copy.items():
        alice.http.set_cookie(name, value.strip('"'))
    assert alice.get("/members").status_int == 200
    response = alice.get("/logout", status=200)
    assert any("second_factor=" in value and "Max-Age=0" in value for value in response.headers.getall("Set-Cookie"))
    thief = world.browser(None)
    for name, value in copy.items():
        thief.http.set_cookie(name, value.strip('"'))
    assert thief.get("/members").status_int == 303


def test_a_ticket_that_outlives_the_session_is_another_login_for_us() -> None:
    world = PyramidWorld()
    alice = world.person()
    alice.enrolled()
    alice.http.cookiejar.clear("site.example", "/", "session")
    assert alice.get("/members").status_int == 303


def test_an_app_that_acts_for_somebody_else_than_the_one_proved_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    class Late(PyramidWorld):
        def views(self, config: Configurator) -> None:
            super().views(config)
            config.add_subscriber(lambda event: event.request.environ.__setitem__("late", True), "pyramid.events.ContextFound")

    world = Late()
    answer = world.browser(None).get("/members", headers={"X-Token": "bob", "Accept": "text/html"})
    assert answer.status_int == 503
    assert "acts for somebody whom the gate was not asked about" in caplog.text


def test_what_cannot_work_is_a_configuration_error_with_all_faults() -> None:
    config = Configurator(settings={"second_factor.https": "perhaps"})
    config.set_security_policy(Policy())
    config.include("authy_wsgi.integrations.pyramid")
    with pytest.raises(ConfigurationError) as caught:
        config.commit()
    for each in ("https must be true or false", "secret is missing", "users is missing"):
        assert each in str(caught.value)
    config = Configurator(settings={})
    config.include("authy_wsgi.integrations.pyramid")
    with pytest.raises(ConfigurationError, match="needs a security policy"):
        config.commit()
    config = Configurator(settings={"second_factor.identity": "remote_user"})
    config.set_security_policy(Policy())
    config.include("authy_wsgi.integrations.pyramid")
    with pytest.raises(ConfigurationError, match="identity is no setting here"):
        config.commit()


def test_an_app_without_sessions_is_told_at_start() -> None:
    config = Configurator(settings={"second_factor.secret": SECRET, "second_factor.users": "memory", "second_factor.ledger": "memory"})
    config.set_security_policy(object())
    config.include("authy_wsgi.integrations.pyramid")
    config.set_second_factor(clients=World().client, enrolment="none")
    with pytest.raises(ConfigurationError, match="set_session_factory"):
        config.make_wsgi_app()
