"""Every test client of the kit, on the site of its framework: through the pages, past them, and what is said where that goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django.test
import flask.testing
import pytest
import webtest
import werkzeug.test
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from authy_wsgi import Login, MemoryLedger, MemoryStore, Profile, SecondFactor
from authy_wsgi.testing import Authy, Clock, enrol, mint, second_factor_of
from authy_wsgi.testing.flask import FlaskClient
from authy_wsgi.testing.passes import number_for
from authy_wsgi.testing.walk import WalksSecondFactor
from authy_wsgi.testing.webtest import TestApp
from authy_wsgi.testing.werkzeug import Client
from tests.frameworks import bottle_site, django_site, flask_site, plain_site, pyramid_site
from tests.support import SECRET

# Pyramid and Bottle are tested by WebTest's client as well.
DOORS = ["webtest", "werkzeug", "flask", "django", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pyramid", "bottle"))]


def _never(_environ: dict[str, Any]) -> None:
    raise AssertionError("the framework hands its login over")


class Site:
    """One of the sites, and what its people see by the test client of its framework."""

    def __init__(self, door: str, authy: Authy, clock: Clock, **settings: Any) -> None:
        self.door = door
        self.authy = authy
        self.clock = clock
        given: dict[str, Any] = {
            "identity": _never,
            "secret": SECRET,
            "users": MemoryStore(),
            "ledger": MemoryLedger(),
            "single_process": True,
            "clients": authy.client(),
            "enrolment": "open",
            "logout_url": "/logout",
            "channels": ["push", "app", "sms", "call", "email"],
            "clock": clock,
            "site_name": "Acorn Ledger",
            **settings,
        }
        sites: dict[str, Any] = {"flask": flask_site, "django": django_site, "pyramid": pyramid_site, "bottle": bottle_site}
        self.gate, self.app = sites.get(door, plain_site).make(given)

    def client(self) -> Any:
        if self.door == "flask":
            self.app.test_client_class = FlaskClient
            return self.app.test_client()
        if self.door == "django":
            from authy_wsgi.testing.django import Client as DjangoClient

            return DjangoClient(SERVER_NAME="site.example")
        return Client(self.app) if self.door == "werkzeug" else TestApp(self.app)

    def sign_in(self, client: Any, user: str = "alice") -> None:
        if self.door == "django":
            assert client.post("/login", {"user": user}, secure=True).status_code == 200
        elif self.door in ("flask", "werkzeug"):
            assert client.post("/login", data={"user": user}).status_code == 200
        else:
            client.post("/login", {"user": user}, status=200)

    def alice(self) -> Any:
        client = self.client()
        self.sign_in(client)
        return client

    def get(self, client: Any, path: str) -> str:
        """The text of a page, whatever its status."""
        if self.door == "django":
            return str(client.get(path, secure=True).content.decode())
        return str(client.get(path).text if self.door in ("flask", "werkzeug") else client.get(path, status="*").text)


def text(response: Any) -> str:
    return str(response.content.decode() if hasattr(response, "content") else response.text)


@pytest.fixture(params=DOORS)
def site(request: pytest.FixtureRequest, authy: Authy, second_factor_clock: Clock) -> Site:
    return Site(request.param, authy, second_factor_clock)


def test_the_first_time_enrols_on_the_way(site: Site) -> None:
    alice = site.alice()
    assert text(alice.pass_second_factor("alice", path="/members/x?y=1")) == "members: alice ['sms']"
    assert site.get(alice, "/members") == "members: alice ['sms']"
    assert [message.kind for message in site.authy.phone(number_for("alice")).messages] == ["sms"]


@pytest.mark.parametrize("channel", ["sms", "call", "app", "push", "email"])
def test_each_channel(site: Site, channel: str) -> None:
    enrol(site.gate, "alice", "+14085555270")
    site.clock.advance(3600)
    if channel == "app":
        # What a ledger of this hour has not seen might be used already.
        site.gate.backend.begin(Login("bob", "s"), context=site.gate.backend.context())
        site.clock.advance(600)
    alice = site.alice()
    assert text(alice.pass_second_factor("alice", channel)) == f"front: alice ['{channel}']"


def test_the_first_time_to_a_number_of_my_own(site: Site) -> None:
    alice = site.alice()
    assert text(alice.pass_second_factor("alice", phone="+1 408 555 5299")) == "front: alice ['sms']"
    assert [message.kind for message in site.authy.phone("+14085555299").messages] == ["sms"]


def test_a_text_message_although_the_phone_has_the_app(site: Site) -> None:
    enrol(site.gate, "alice", "+14085555270")
    site.authy.phone("+14085555270").install_app()
    assert text(site.alice().pass_second_factor()) == "front: alice ['sms']"


def test_where_somebody_is_asked(site: Site) -> None:
    alice = site.alice()
    asked = alice.expect_second_factor("/members")
    assert getattr(asked, "status_code", None) == 303 or asked.status_int == 303
    form = alice.expect_second_factor("/members", method="POST", fields={"a": "b"})
    assert getattr(form, "status_code", None) == 401 or form.status_int == 401
    alice.pass_second_factor()
    with pytest.raises(AssertionError, match="alice has given it already, by sms"):
        alice.expect_second_factor("/members")
    site.clock.advance(61)
    alice.expect_second_factor("/pay")


def test_granted_without_a_walk(site: Site) -> None:
    alice = site.alice()
    alice.grant_second_factor("alice", "app", age=50)
    assert site.get(alice, "/pay") == "paid: alice ['app']"
    assert site.authy.phone(number_for("alice")).messages == []
    site.clock.advance(11)
    alice.expect_second_factor("/pay")
    assert site.get(alice, "/members") == "members: alice ['app']"


def test_a_granted_pass_is_a_real_one(site: Site) -> None:
    alice = site.alice()
    alice.grant_second_factor("alice")
    site.gate.backend.revoke("alice")
    site.clock.advance(61)
    alice.expect_second_factor("/members")
    alice.grant_second_factor("alice")
    site.get(alice, "/logout")
    site.sign_in(alice)
    alice.expect_second_factor("/members")


def test_a_granted_pass_is_nobody_elses(site: Site) -> None:
    alice = site.alice()
    alice.grant_second_factor("alice")
    site.sign_in(alice, "bob")
    alice.expect_second_factor("/members")


def test_whoever_is_not_signed_in_is_told(site: Site) -> None:
    stranger = site.client()
    for call in (stranger.pass_second_factor, stranger.grant_second_factor, stranger.expect_second_factor):
        with pytest.raises(AssertionError, match="nobody is signed in"):
            call()


def test_somebody_else_than_the_test_thinks_is_told(site: Site) -> None:
    alice = site.alice()
    for call in (alice.pass_second_factor, alice.grant_second_factor):
        with pytest.raises(AssertionError, match="'alice' is signed in, not 'bob'"):
            call("bob")


@pytest.mark.parametrize("site", ["webtest"], indirect=True)
class TestWhatGoesWrong:
    def test_a_way_that_there_is_not(self, site: Site) -> None:
        enrol(site.gate, "alice")
        with pytest.raises(AssertionError, match=r"no way 'fax' for alice\. The page says: .*Choose how"):
            site.alice().pass_second_factor("alice", "fax")

    def test_a_new_phone_by_push(self, site: Site) -> None:
        with pytest.raises(AssertionError, match="proved by sms first: enrol"):
            site.alice().pass_second_factor("alice", "push")

    def test_a_number_that_is_none(self, site: Site) -> None:
        with pytest.raises(AssertionError, match=r"said no .422.: Add your phone .*number"):
            site.alice().pass_second_factor("alice", phone="12")

    def test_a_provider_that_is_down(self, site: Site) -> None:
        enrol(site.gate, "alice")
        site.authy.emulator.add_fault(route="sms", kind="status", status=503)
        with pytest.raises(AssertionError, match=r"said no \(503\)"):
            site.alice().pass_second_factor("alice")

    def test_a_pass_of_nobody_enrolled(self, site: Site) -> None:
        with pytest.raises(LookupError, match="has no factor"):
            mint(site.gate, Login("alice", "s"))

    def test_a_pass_by_a_channel_that_there_is_not(self, site: Site) -> None:
        enrol(site.gate, "alice")
        with pytest.raises(ValueError, match="no channel 'fax'"):
            mint(site.gate, Login("alice", "s"), "fax")


def test_an_exempt_path_is_named(authy: Authy, second_factor_clock: Clock) -> None:
    site = Site("webtest", authy, second_factor_clock, exempt="/members")
    with pytest.raises(AssertionError, match="alice goes through here without"):
        site.alice().expect_second_factor("/members")


def test_a_gate_that_only_logs_is_named(authy: Authy, second_factor_clock: Clock) -> None:
    site = Site("webtest", authy, second_factor_clock, enforce=False)
    with pytest.raises(AssertionError, match="enforce=False only logs"):
        site.alice().pass_second_factor()


def test_a_number_that_the_site_knows(authy: Authy, second_factor_clock: Clock) -> None:
    profile = Profile(name="Alice", email="alice@example.com", phone="408 555 5270", country="US")
    site = Site("webtest", authy, second_factor_clock, enrolment="known", profile=lambda _user: profile)
    assert text(site.alice().pass_second_factor("alice")) == "front: alice ['sms']"
    assert authy.phone("+14085555270").messages
    other = Site("webtest", authy, second_factor_clock, enrolment="known", profile=lambda _user: profile)
    other.alice().grant_second_factor("alice")
    assert authy.phone_of(other.gate.backend.accounts.user("alice")).number == "+14085555270"


def test_a_store_that_is_only_read_takes_no_factor(authy: Authy, second_factor_clock: Clock) -> None:
    class Nobody:
        def get(self, user_id: str) -> None:
            return None

    site = Site("webtest", authy, second_factor_clock, users=Nobody(), enrolment="none")
    with pytest.raises(TypeError, match="has no save"):
        site.alice().grant_second_factor()


def test_below_a_prefix(authy: Authy, second_factor_clock: Clock) -> None:
    site = Site("webtest", authy, second_factor_clock, logout_url="/app/logout")
    mounted = DispatcherMiddleware(lambda *_: [], {"/app": site.app})
    alice = TestApp(mounted, second_factor=site.gate)
    alice.post("/app/login", {"user": "alice"})
    alice.expect_second_factor("/app/members")
    assert alice.pass_second_factor("alice", path="/app/members").text == "members: alice ['sms']"


def test_plain_http_is_spoken_where_the_site_wants_it(authy: Authy, second_factor_clock: Clock) -> None:
    site = Site("webtest", authy, second_factor_clock, https=False)
    alice = site.alice()
    assert alice.pass_second_factor("alice").request.scheme == "http"
    assert Site("webtest", authy, second_factor_clock).alice().pass_second_factor("alice").request.scheme == "https"


def test_a_live_service_is_found_too(authy: Authy, second_factor_clock: Clock) -> None:
    from authy_wsgi import AuthyClient

    site = Site("webtest", authy, second_factor_clock, clients=AuthyClient(authy.api_key, base_url=authy.url))
    assert text(site.alice().pass_second_factor("alice")) == "front: alice ['sms']"


def test_a_service_that_is_not_here_is_said(authy: Authy, second_factor_clock: Clock) -> None:
    from authy_wsgi import AuthyClient

    site = Site("webtest", authy, second_factor_clock, clients=AuthyClient("0123456789abcdef0123456789abcdef", base_url="http://127.0.0.1:9"))
    with pytest.raises(TypeError, match=r"use clients=authy\.client"):
        site.alice().pass_second_factor("alice")


def test_numbers_of_many_users_are_hardly_ever_the_same() -> None:
    numbers = {number_for(f"user{number}") for number in range(1000)}
    assert len(numbers) > 985
    assert number_for("alice") == number_for("alice")


@pytest.mark.parametrize("find", [lambda gate, app: app, lambda gate, app: gate, lambda gate, app: type("Proxy", (), {"app": gate})()])
@pytest.mark.parametrize("door", ["webtest", "flask", "pyramid", "bottle"])
def test_the_gate_is_found(door: str, find: Callable[[Any, Any], Any], authy: Authy, second_factor_clock: Clock) -> None:
    site = Site(door, authy, second_factor_clock)
    assert second_factor_of(find(site.gate, site.app)) is site.gate
    assert isinstance(site.gate, SecondFactor)


def test_an_app_without_a_gate_is_told() -> None:
    with pytest.raises(TypeError, match="No SecondFactor is to be found in this function"):
        TestApp(lambda environ, start_response: [])


def test_middleware_that_copies_the_environ_is_said_where_it_matters(authy: Authy, second_factor_clock: Clock) -> None:
    site = Site("webtest", authy, second_factor_clock)
    alice = TestApp(lambda environ, start_response: site.app(dict(environ), start_response), second_factor=site.gate)
    site.sign_in(alice)
    with pytest.raises(AssertionError, match="copies the environ"):
        alice.grant_second_factor()
    assert text(alice.pass_second_factor("alice")) == "front: alice ['sms']"


@pytest.mark.parametrize("own", [webtest.TestApp, werkzeug.test.Client, flask.testing.FlaskClient, django.test.Client], ids=lambda own: own.__module__)
def test_the_kit_hides_nothing_of_a_frameworks_own_client(own: type) -> None:
    assert not {name for name in vars(WalksSecondFactor) if not name.startswith("__")} & set(dir(own))


def test_djangos_own_ways_to_sign_in_work(authy: Authy, second_factor_clock: Clock) -> None:
    site = Site("django", authy, second_factor_clock)
    from tests.frameworks.django_people.models import Person

    alice = site.client()
    alice.force_login(Person.objects.get_or_create(name="alice")[0], backend="django.contrib.auth.backends.ModelBackend")
    assert text(alice.pass_second_factor()) == "front: alice ['sms']"
