"""What a person meets when the provider fails: a sentence, nobody let in, a log without secrets, and a right code afterwards that works."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from webtest import TestResponse

from authy_wsgi import AuthyClient
from authy_wsgi.contracts import Factor, User
from authy_wsgi.emulator.server import Server
from tests.support import API_KEY, PHONE, START, Browser, World, form_to, way_form, words

from .conftest import Listener
from .lab import APPROVED, ASKED, CREATED, SENT, SHORT, STATUS, VALID, closed_port, logged, wait_until

MARGIN = 1.0
CANNOT = "The phone service does not answer just now"


class Site(World):
    """A site whose Authy client speaks to the emulator over the socket at `url`, in this process where that is ""."""

    def __init__(self, url: str = "", **settings: Any) -> None:
        self.over_socket = bool(url)
        if url:
            settings["clients"] = AuthyClient(API_KEY, base_url=url, deadlines=SHORT)
        super().__init__(client={"deadlines": SHORT}, **settings)

    def fault(self, route: str, settings: dict[str, Any], count: int = 1) -> None:
        # The total deadline is the socket's; without one only a byte that takes longer than a read may is too late.
        slower = {"seconds": 2.0} if settings["kind"] == "trickle" and not self.over_socket else {}
        self.emulator.add_fault(route=route, count=count, **{**settings, **slower})

    def enrolled(self) -> Browser:
        """A browser of alice's, whose phone the store and the provider have known for long."""
        authy_id = self.client.api.register_user("alice@example.com", "4085555270", 1)
        factor = Factor(id="f1", client="authy", label="+1 ••• ••• 70", added=START, data={"authy_id": authy_id, "email": "a•••@example.com"})
        self.gate.settings.users.save(User(id="alice", factors=(factor,), generation="g1"))
        self.emulator.calls.clear()
        return self.browser("alice")


@pytest.fixture(params=["socket", pytest.param("in-process", marks=pytest.mark.slow)])
def site(request: pytest.FixtureRequest, listener: Listener) -> Iterator[Site]:
    made = Site(listener.server.url if request.param == "socket" else "")
    listener.service = made.emulator
    yield made
    wait_until(lambda: not listener.under_way)


@pytest.fixture
def alice(site: Site) -> Browser:
    return site.enrolled()


@pytest.fixture
def debug(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def body(value: object, status: int = 0) -> dict[str, Any]:
    text = value if isinstance(value, str) else json.dumps(value)
    return {"kind": "status", "status": status, "body": text} if status else {"kind": "body", "body": text}


# Faults of every call. The call itself happens with those that are slow, and with no other.
FAULTS: dict[str, dict[str, Any]] = {
    "dropped": {"kind": "drop"},
    "late": {"kind": "delay", "seconds": 1.3},
    "trickled": {"kind": "trickle", "seconds": 0.1},
    "500": {"kind": "status", "status": 500},
    "502 with HTML": {"kind": "status", "status": 502, "body": "<h1>Bad gateway</h1>", "content_type": "text/html"},
    "503": {"kind": "status", "status": 503},
    "429": {"kind": "status", "status": 429},
    "401 without an error of the API": body("", 401),
    "404 with HTML": body("<h1>Not found</h1>", 404),
    "302": body(VALID, 302),
    "204": {"kind": "status", "status": 204},
    "HTML": {"kind": "body", "body": "<h1>Token is valid.</h1>", "content_type": "text/html"},
    "truncated JSON": body(json.dumps(VALID)[:-9]),
    "nothing": body(""),
    "a list": body([VALID, SENT, ASKED]),
    "too large": body("[" + "0," * 200_000 + "0]"),
    "success alone": body({"success": True}),
    "the text true alone": body({"success": "true"}),
    "a status of a user": body(STATUS),
    "a wrong key": body({"message": "Invalid API key", "success": False, "errors": {"message": "Invalid API key"}, "error_code": "60001"}, 401),
}
QUICK = [name for name in FAULTS if name not in ("late", "trickled")]
LONG = [pytest.param(name, marks=pytest.mark.slow) for name in ("late", "trickled")]
HAPPENS = ("late", "trickled")
# What would be a success of another call, or nearly one of this.
OF_VERIFY: dict[str, dict[str, Any]] = {
    "the success of a message": body(SENT),
    "the success of a registration": body(CREATED),
    "an approval": body(APPROVED),
    "success 1": body({**VALID, "success": 1}),
    "success True as text": body({**VALID, "success": "True"}),
    "success false": body({**VALID, "success": "false"}),
    "no success": body({name: value for name, value in VALID.items() if name != "success"}),
    "token in capitals": body({**VALID, "token": "IS VALID"}),
    "token a list": body({**VALID, "token": ["is valid"]}),
    "no token": body({name: value for name, value in VALID.items() if name != "token"}),
    "another message": body({**VALID, "message": "Token is invalid"}),
    "a genuine body under 500": body(VALID, 500),
    "a genuine body under 401": body(VALID, 401),
}
OF_SMS: dict[str, dict[str, Any]] = {
    "the success of a verify": body(VALID),
    "that with a boolean": body({**VALID, "success": True}),
    "an approval": body(APPROVED),
}
OF_PUSH: dict[str, dict[str, Any]] = {"the success of a message": body(SENT), "an odd uuid": body({**ASKED, "approval_request": {"uuid": "../x"}})}


def assert_told(page: TestResponse, debug: pytest.LogCaptureFixture, *secrets: str) -> None:
    """The person reads a sentence that blames nobody, and the log says what happened, without secrets."""
    assert page.status_int in (422, 503)
    said = words(page)
    assert CANNOT in said or "is not set up correctly" in said, said
    assert "Traceback" not in page.text
    told = [record.getMessage() for record in debug.records if record.name == "authy_wsgi" and record.levelno >= logging.WARNING]
    assert any("provider" in line or "key" in line for line in told), told
    assert_quiet(debug, page.text, *secrets)


def assert_quiet(debug: pytest.LogCaptureFixture, page: str, *secrets: str) -> None:
    everything = logged(debug)
    for secret in (API_KEY, PHONE, PHONE[2:], *secrets):
        assert secret not in everything
        assert secret not in page


def assert_out(site: World, browser: Browser) -> None:
    before = site.app_calls
    assert browser.get("/members").status_int == 303
    assert site.app_calls == before
    assert browser.cookie() is None


def sent_code(site: World) -> str:
    return site.phone().code


@pytest.mark.parametrize("fault", [*FAULTS, *OF_VERIFY])
def test_a_fault_while_a_code_is_checked(listener: Listener, site: Site, alice: Browser, debug: pytest.LogCaptureFixture, fault: str) -> None:
    page = alice.choose(alice.visit(), "sms")
    code = sent_code(site)
    site.fault("verify", {**FAULTS, **OF_VERIFY}[fault])
    began = time.monotonic()
    page = alice.enter(page, code)
    assert time.monotonic() - began < SHORT.total + MARGIN
    assert_told(page, debug, code)
    assert_out(site, alice)
    if fault == "a wrong key":
        page = alice.get("/second-factor/code")
    if fault in HAPPENS:
        wait_until(lambda: not listener.under_way)
        # The provider has taken this code and we have not heard of it: it is spent, and the next one is good.
        page = alice.enter(page, code)
        assert page.status_int == 422
        assert "used already" in words(page)
        site.clock.advance(31)
        page = alice.choose(page, "sms")
        code = sent_code(site)
    done = alice.enter(page, code)
    assert done.status_int == 303
    assert alice.follow(done).text.endswith("alice ['sms']")


@pytest.mark.parametrize("fault", [*QUICK, *LONG, *OF_SMS])
def test_a_fault_while_a_message_is_sent(listener: Listener, site: Site, alice: Browser, debug: pytest.LogCaptureFixture, fault: str) -> None:
    page = alice.visit()
    site.fault("sms", {**FAULTS, **OF_SMS}[fault])
    began = time.monotonic()
    page = alice.choose(page, "sms")
    assert time.monotonic() - began < SHORT.total + MARGIN
    assert_told(page, debug)
    assert_out(site, alice)
    # Never asked twice for one press of the button.
    assert [call.route for call in site.calls()] == ["sms"]
    assert "sent" not in site.kinds()
    site.clock.advance(31)
    page = alice.choose(alice.visit() if fault == "a wrong key" else page, "sms")
    wait_until(lambda: not listener.under_way)
    assert len(site.phone().messages) == (2 if fault in HAPPENS else 1)
    assert alice.follow(alice.enter(page, sent_code(site))).text.endswith("alice ['sms']")


@pytest.mark.parametrize("fault", [*QUICK, *LONG, *OF_PUSH])
def test_a_fault_while_an_approval_is_asked_for(listener: Listener, site: Site, alice: Browser, debug: pytest.LogCaptureFixture, fault: str) -> None:
    site.phone().install_app()
    page = alice.visit()
    site.fault("approval_requests/create", {**FAULTS, **OF_PUSH}[fault])
    began = time.monotonic()
    page = alice.choose(page, "push")
    assert time.monotonic() - began < SHORT.total + MARGIN
    assert_told(page, debug)
    assert_out(site, alice)
    if fault in HAPPENS:
        wait_until(lambda: not listener.under_way)
        # An approval of a request that we know nothing of lets nobody in.
        site.phone().approve()
        assert_out(site, alice)
    page = alice.choose(alice.visit() if fault == "a wrong key" else page, "app")
    assert alice.follow(alice.enter(page, site.phone().app_code or "")).text.endswith("alice ['app']")


OF_STATUS: dict[str, dict[str, Any]] = {
    "the success of asking": body(ASKED),
    "the success of a verify": body({**VALID, "success": True}),
}


@pytest.mark.parametrize("fault", [*QUICK, *LONG, *OF_STATUS])
def test_a_fault_while_the_phone_is_waited_for(site: Site, alice: Browser, debug: pytest.LogCaptureFixture, fault: str) -> None:
    site.phone().install_app()
    page = alice.choose(alice.visit(), "push")
    # Twice, because this question may be asked again.
    site.fault("approval_requests/status", {**FAULTS, **OF_STATUS}[fault], count=0)
    site.phone().approve()
    site.clock.advance(1)
    began = time.monotonic()
    answer = alice.poll(page, status=503)
    assert time.monotonic() - began < SHORT.total + MARGIN
    assert answer["state"] == "unavailable"
    assert answer["message"]
    assert_quiet(debug, json.dumps(answer))
    assert_out(site, alice)
    site.emulator.clear_faults()
    site.clock.advance(1)
    assert alice.poll(page)["state"] == "approved"
    assert alice.get().text.endswith("alice ['push']")


def approval(site: World, **changes: object) -> dict[str, Any]:
    shown = site.phone().approvals[-1]
    return {"success": True, "approval_request": {"_authy_id": site.phone().authy_id, "uuid": shown["uuid"], "status": "approved", **changes}}


FORGED: dict[str, dict[str, object]] = {
    "of another request": {"uuid": "550e8400-e29b-41d4-a716-446655440000"},
    "of another user": {"_authy_id": 99},
    "of nobody": {"_authy_id": None},
    "in capitals": {"status": "APPROVED"},
    "as a list": {"status": ["approved"]},
    "as a boolean": {"status": True},
}


@pytest.mark.parametrize("forged", FORGED)
def test_an_approval_that_is_not_this_one_lets_nobody_in(site: Site, alice: Browser, debug: pytest.LogCaptureFixture, forged: str) -> None:
    site.phone().install_app()
    page = alice.choose(alice.visit(), "push")
    site.emulator.add_fault(route="approval_requests/status", count=0, **body(approval(site, **FORGED[forged])))
    for _ in range(2):
        site.clock.advance(1)
        assert alice.poll(page, status=503)["state"] == "unavailable"
        assert_out(site, alice)
    # The same body without the change is the genuine one.
    site.emulator.clear_faults()
    site.emulator.add_fault(route="approval_requests/status", **body(approval(site)))
    site.clock.advance(1)
    assert alice.poll(page)["state"] == "approved"


def test_waiting_without_script_survives_a_fault(site: Site, alice: Browser) -> None:
    site.phone().install_app()
    alice.choose(alice.visit(), "push")
    site.emulator.add_fault(route="approval_requests/status", kind="status", status=503, count=0)
    site.clock.advance(1)
    page = alice.get("/second-factor/push")
    assert page.status_int == 200
    assert "Approve on your phone" in words(page)
    site.emulator.clear_faults()
    site.phone().approve()
    site.clock.advance(1)
    page = alice.get("/second-factor/push")
    assert alice.submit(form_to(page, "/poll")).status_int == 303
    assert alice.get().text.endswith("['push']")


OF_NEW = {"the success of a message": body(SENT), "an id of 0": body({**CREATED, "user": {"id": 0}}), "an id true": body({**CREATED, "user": {"id": True}})}


@pytest.mark.parametrize("fault", [*QUICK, *LONG[:1], *OF_NEW])
def test_a_fault_while_a_phone_is_registered_stores_nothing(site: Site, debug: pytest.LogCaptureFixture, fault: str) -> None:
    browser = site.browser("alice")
    site.fault("users/new", {**FAULTS, **OF_NEW}[fault])
    page = browser.enrol()
    assert page.status_int in (422, 503)
    assert CANNOT in words(page) or "is not set up correctly" in words(page)
    # The form keeps what was typed, so that page is not searched for the number; the log is.
    assert_quiet(debug, "", "alice@example.com")
    assert site.gate.settings.users.get("alice") is None
    assert_out(site, browser)
    site.clock.advance(31)
    assert browser.enrolled().text.endswith("alice ['sms']")


@pytest.mark.parametrize("fault", [*QUICK, *LONG[:1]])
def test_a_fault_of_the_question_about_the_app_does_not_stop_an_enrolment(site: Site, debug: pytest.LogCaptureFixture, fault: str) -> None:
    browser = site.browser("alice")
    page = browser.enrol()
    if fault == "a status of a user":
        site.emulator.add_fault(route="users/status", count=0, **body({**STATUS, "status": {**STATUS["status"], "authy_id": 99}}))
    else:
        site.fault("users/status", FAULTS[fault], count=0)
    assert browser.follow(browser.enter(page, sent_code(site))).text.endswith("alice ['sms']")
    assert_quiet(debug, "")
    # Unknown is not no: push is offered.
    site.clock.advance(3600)
    browser.sign_in("alice")
    page = browser.visit()
    assert page.html.find("details") is None
    assert way_form(page, "push")


def test_a_provider_that_is_gone_and_comes_back(debug: pytest.LogCaptureFixture) -> None:
    port = closed_port()
    site = Site(f"http://127.0.0.1:{port}")
    with Server(site.emulator, port=port):
        alice = site.enrolled()
        page = alice.choose(alice.visit(), "sms")
        code = sent_code(site)
    refused = alice.enter(page, code)
    assert_told(refused, debug, code)
    assert_out(site, alice)
    with Server(site.emulator, port=port):
        assert alice.follow(alice.enter(refused, code)).text.endswith("alice ['sms']")


def test_a_broken_provider_costs_tries_but_never_closes_the_account(site: Site, alice: Browser) -> None:
    page = alice.choose(alice.visit(), "sms")
    site.emulator.add_fault(route="verify", kind="status", status=503, count=0)
    for _ in range(8):
        page = alice.enter(page, "1111111")
        assert page.status_int in (429, 503)
    verified = len(site.calls("verify"))
    # What could have been a guess counts as one: the provider is not asked without end.
    assert verified <= 6
    assert "closed" not in site.kinds()
    site.emulator.clear_faults()
    site.clock.advance(3600)
    alice.sign_in("alice")
    page = alice.choose(alice.visit(), "sms")
    assert alice.follow(alice.enter(page, sent_code(site))).text.endswith("alice ['sms']")


@pytest.mark.parametrize(
    ("code", "status", "sentence"),
    [
        ("60082", 403, "This number is a landline"),
        ("60083", 403, "No carrier serves this number"),
        ("60078", 403, "Codes cannot be sent to this country"),
        ("60013", 403, "Codes cannot be sent to this country"),
        ("60007", 503, "Text messages are switched off"),
        ("60010", 503, "used up its text messages"),
        ("60017", 503, "Your phone is suspended"),
        ("60026", 404, "does not know your phone any more"),
    ],
)
def test_a_refusal_that_a_person_can_do_something_about_says_what(
    site: Site, alice: Browser, debug: pytest.LogCaptureFixture, code: str, status: int, sentence: str
) -> None:
    words_of_the_provider = f"provider words of {code}"
    site.emulator.add_fault(route="sms", **body({"message": words_of_the_provider, "success": False, "errors": {}, "error_code": code}, status))
    page = alice.choose(alice.visit(), "sms")
    assert page.status_int == 422
    assert sentence in words(page)
    assert words_of_the_provider not in page.text
    assert f"{code} {words_of_the_provider}" in debug.text
    assert_out(site, alice)


def test_an_error_of_the_provider_cannot_write_into_the_page(site: Site, alice: Browser) -> None:
    evil = "<script>alert(1)</script>"
    for status in (401, 403, 500):
        site.emulator.add_fault(route="sms", **body({"message": evil, "success": False, "errors": {evil: evil}, "error_code": evil}, status))
        page = alice.choose(alice.visit(), "sms")
        assert page.status_int in (422, 503)
        assert "alert(1)" not in page.text
        site.clock.advance(31)
