"""The client against the emulator over a socket and in this process: the same results, the same errors, and nothing secret in any of them.

What a person meets by either way is in `test_front_door`, what the client makes of each answer in `test_authy_client`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from authy_wsgi.clients.authy_api import Approval, AuthyAPI, AuthyError, Sent, UserStatus
from authy_wsgi.clients.http import Deadlines
from authy_wsgi.emulator import Emulator, Rules
from authy_wsgi.errors import Misconfigured, Refused, Unavailable
from tests.support import API_KEY, PHONE, Clock

from .conftest import Transport
from .lab import EMAIL, NUMBER, SHORT, UUID, VALID, assert_no_secrets, logged, told_by

BRIEF = Deadlines(connect=0.2, read=0.2, total=0.35)
MARGIN = 1.0


class Line:
    """An emulator, our client's calls to it, and one registered user."""

    def __init__(self, transport: Transport, *, deadlines: Deadlines = SHORT, rules: Rules | None = None) -> None:
        self.clock = Clock()
        self.emulator = Emulator(API_KEY, clock=self.clock, seed=1, rules=rules)
        self.way = transport.to(self.emulator)
        self.api = AuthyAPI(API_KEY, deadlines=deadlines, **self.way)
        self.alice = self.api.register_user(EMAIL, NUMBER, 1)
        self.phone = self.emulator.phone(PHONE)

    def calls(self, api: AuthyAPI | None = None) -> dict[str, Callable[[], Any]]:
        """Every call of the API, each of which works as it is; the last one ends the user."""
        self.phone.install_app()
        self.api.request_sms(self.alice, force=True)
        code, uuid = self.phone.code, self.api.request_approval(self.alice, "Sign in?")
        self.emulator.calls.clear()
        use, alice = api or self.api, self.alice
        return {
            "register_user": lambda: use.register_user(EMAIL, NUMBER, 1),
            "user_status": lambda: use.user_status(alice),
            "request_sms": lambda: use.request_sms(alice),
            "request_call": lambda: use.request_call(alice),
            "request_email": lambda: use.request_email(alice),
            "verify": lambda: use.verify(alice, code),
            "request_approval": lambda: use.request_approval(alice, "Sign in?", details={"User": EMAIL}),
            "approval_status": lambda: use.approval_status(uuid),
            "qr_secret": lambda: use.qr_secret(alice, label=EMAIL),
            "app_details": lambda: use.app_details(),
            "remove_user": lambda: use.remove_user(alice),
        }


@pytest.fixture
def line(transport: Transport) -> Line:
    return Line(transport)


def refusal(call: Callable[[], Any]) -> tuple[int, str, str, str]:
    """The API's own error that a call ends in."""
    with pytest.raises(AuthyError) as caught:
        call()
    error = caught.value
    assert isinstance(error, Refused)
    return error.status, error.error_code, error.message, error.token


USER_NOT_FOUND = (404, "60026", "User not found.", "")
SUSPENDED = (503, "60017", "User has been suspended.", "")


# -- what works


def test_a_number_has_one_id_and_a_bad_one_is_named(line: Line) -> None:
    assert line.api.register_user("other@example.com", "(408) 555 5270", 1) == line.alice == 1635
    assert line.api.register_user(EMAIL, "408-555-5271", 1) == line.alice + 1
    with pytest.raises(AuthyError) as caught:
        line.api.register_user("nobody", "AAA", 999)
    assert (caught.value.status, caught.value.error_code) == (400, "60027")
    assert caught.value.errors == {"email": "is invalid", "country_code": "is not supported", "message": "User was not valid"}


def test_the_status_follows_the_phone(line: Line) -> None:
    assert line.api.user_status(line.alice) == UserStatus(line.alice, registered=False, confirmed=False, disabled=False)
    line.phone.install_app()
    line.api.request_sms(line.alice, force=True)
    line.api.verify(line.alice, line.phone.code)
    assert line.api.user_status(line.alice) == UserStatus(line.alice, registered=True, confirmed=True, disabled=False)
    line.api.remove_user(line.alice)
    assert line.api.user_status(line.alice).disabled is True
    line.clock.advance(86400)
    assert refusal(lambda: line.api.user_status(line.alice)) == USER_NOT_FOUND


@pytest.mark.parametrize("kind", ["sms", "call", "email"])
def test_a_message_arrives_and_is_ignored_where_there_is_the_app(line: Line, kind: str) -> None:
    send = {"sms": line.api.request_sms, "call": line.api.request_call}
    if kind == "email":
        assert line.api.request_email(line.alice) == EMAIL
    else:
        assert send[kind](line.alice, locale="es") == Sent(ignored=False)
        assert line.phone.messages[-1].text.startswith("Su código")
    assert [message.kind for message in line.phone.messages] == [kind]
    assert line.api.verify(line.alice, line.phone.code) == "sms"
    line.phone.install_app()
    if kind == "email":
        # An e-mail that was not sent is no success of sending one.
        with pytest.raises(Unavailable):
            line.api.request_email(line.alice)
    else:
        assert send[kind](line.alice) == Sent(ignored=True, device="android")
        assert send[kind](line.alice, force=True) == Sent(ignored=False)
    assert len(line.phone.messages) == (1 if kind == "email" else 2)


@pytest.mark.parametrize("call", ["request_sms", "request_call", "request_email", "qr_secret", "remove_user", "user_status"])
def test_an_unknown_user_is_not_found(line: Line, call: str) -> None:
    assert refusal(lambda: getattr(line.api, call)(99)) == USER_NOT_FOUND
    assert refusal(lambda: line.api.request_approval(99, "Sign in?")) == USER_NOT_FOUND


def test_a_code_is_right_wrong_reused_or_nobodys(line: Line) -> None:
    line.api.request_sms(line.alice)
    code = line.phone.code
    assert refusal(lambda: line.api.verify(line.alice, "0000000")) == (401, "60020", "Token is invalid", "is invalid")
    assert line.api.verify(line.alice, code) == "sms"
    assert refusal(lambda: line.api.verify(line.alice, code)) == (401, "60019", "Token is invalid. Token was used recently", "")
    assert refusal(lambda: line.api.verify(99, code)) == (404, "60016", "User doesn't exist", "")
    line.phone.install_app()
    assert line.api.verify(line.alice, line.phone.app_code or "") == "android"


def test_a_code_for_an_action_is_good_for_it_alone(line: Line) -> None:
    line.api.request_sms(line.alice, action="attempt-1")
    assert refusal(lambda: line.api.verify(line.alice, line.phone.code, action="attempt-2"))[1] == "60020"
    assert line.api.verify(line.alice, line.phone.code, action="attempt-1") == "sms"


def test_a_code_that_never_was_one_is_not_sent(line: Line) -> None:
    line.emulator.calls.clear()
    for odd in ("../sms", "12345", "1" * 11, "١٢٣٤٥٦", "123456\n", ""):
        with pytest.raises(ValueError, match="6 to 10 digits"):
            line.api.verify(line.alice, odd)
    assert line.emulator.calls == []


def test_a_suspended_user_is_told_by_every_call_that_needs_one(line: Line) -> None:
    line.api.request_sms(line.alice)
    code = line.phone.code
    line.phone.suspend()
    for call in (line.api.request_sms, line.api.request_call, line.api.request_email, lambda who: line.api.verify(who, code)):
        assert refusal(lambda call=call: call(line.alice)) == SUSPENDED  # type: ignore[misc]
    line.phone.restore()
    assert line.api.verify(line.alice, code) == "sms"


@pytest.mark.parametrize("status", ["pending", "approved", "denied", "expired"])
def test_an_approval_is_what_became_of_it(line: Line, status: str) -> None:
    line.phone.install_app()
    uuid = line.api.request_approval(line.alice, "Sign in?", details={"User": "alice"}, logos=[{"res": "default", "url": "https://x.example/y.png"}])
    assert line.phone.approvals[-1]["details"] == {"User": "alice"}
    press: dict[str, Callable[[], object]] = {"approved": line.phone.approve, "denied": line.phone.deny, "expired": lambda: line.clock.advance(120)}
    press.get(status, lambda: None)()
    assert line.api.approval_status(uuid) == Approval(uuid, line.alice, status)  # type: ignore[arg-type]


def test_an_approval_that_nobody_asked_for_and_one_without_the_app_are_errors(line: Line) -> None:
    status, code, message, _ = refusal(lambda: line.api.approval_status(UUID))
    assert (status, code, message.partition(":")[0]) == (404, "60049", "Approval request not found")
    assert refusal(lambda: line.api.request_approval(line.alice, "Sign in?"))[:2] == (400, "60050")


def test_the_picture_of_a_secret_is_where_it_is_said_to_be(line: Line) -> None:
    url = line.api.qr_secret(line.alice, label="Acorn", size=200)
    assert url.startswith(line.way["base_url"] + "/qr/")
    with line.way.get("session") or requests.Session() as session, session.get(url, timeout=5) as image:
        assert (image.status_code, image.headers["Content-Type"], image.content[:4]) == (200, "image/png", b"\x89PNG")
    assert line.api.verify(line.alice, line.phone.authenticator_code or "") == "generic"


def test_the_application_is_described(line: Line) -> None:
    details = line.api.app_details()
    assert (details["name"], details["plan"], details["sms_enabled"]) == ("Authy Demo", "sandbox", True)


def test_a_removed_user_gets_no_messages_but_a_sent_code_is_still_good(line: Line) -> None:
    line.api.request_sms(line.alice)
    line.api.remove_user(line.alice)
    assert refusal(lambda: line.api.request_sms(line.alice)) == USER_NOT_FOUND
    assert refusal(lambda: line.api.remove_user(line.alice)) == USER_NOT_FOUND
    assert line.api.verify(line.alice, line.phone.code) == "sms"


def test_a_limit_that_was_reached_is_a_provider_that_cannot_just_now(transport: Transport) -> None:
    line = Line(transport, rules=Rules(sms_per_day=1, requests_per_minute=5))
    line.api.request_sms(line.alice)
    with pytest.raises(Unavailable, match="60010"):
        line.api.request_sms(line.alice)
    for _ in range(5):
        line.api.request_call(line.alice)
    with pytest.raises(Unavailable, match="60003"):
        line.api.request_call(line.alice)
    line.clock.advance(86400)
    assert line.api.request_sms(line.alice) == Sent(ignored=False)


def test_of_many_at_once_one_spends_the_code(line: Line) -> None:
    line.api.request_sms(line.alice)
    code = line.phone.code

    def verify(_: int) -> str:
        try:
            return line.api.verify(line.alice, code)
        except AuthyError as error:
            return error.error_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(verify, range(16))) == ["60019"] * 15 + ["sms"]


def test_every_call_asks_its_route_once_and_logs_no_secret(line: Line, debug: pytest.LogCaptureFixture) -> None:
    calls = line.calls()
    del calls["request_email"]  # ignored, which is no success of sending one
    for call in calls.values():
        call()
    assert [call.route for call in line.emulator.calls] == [
        *("users/new", "users/status", "sms", "call", "verify", "approval_requests/create", "approval_requests/status"),
        *("users/secret", "app/details", "users/remove"),
    ]
    assert_no_secrets(logged(debug))
    assert line.phone.code not in logged(debug)


# -- what fails


def test_a_wrong_key_is_a_misconfiguration_of_every_call(line: Line, debug: pytest.LogCaptureFixture) -> None:
    wrong = AuthyAPI("another-key-of-another-application", **line.way)
    for name, call in line.calls(wrong).items():
        with pytest.raises(Misconfigured, match="60001") as caught:
            call()
        assert_no_secrets(told_by(caught.value), logged(debug))
        assert "another-key" not in told_by(caught.value) + logged(debug), name


# Faults of every call. None of the calls happens.
FAULTS: dict[str, dict[str, Any]] = {
    "dropped": {"kind": "drop"},
    "500": {"kind": "status", "status": 500},
    "500 with HTML": {"kind": "status", "status": 500, "body": "<h1>Oops</h1>", "content_type": "text/html"},
    "502 with HTML": {"kind": "status", "status": 502, "body": "<h1>Bad gateway</h1>", "content_type": "text/html"},
    "503 without an error of the API": {"kind": "status", "status": 503, "body": ""},
    "503 with HTML": {"kind": "status", "status": 503, "body": "<h1>Busy</h1>", "content_type": "text/html"},
    "429": {"kind": "status", "status": 429},
    "429 with text": {"kind": "status", "status": 429, "body": "slow down", "content_type": "text/plain"},
    "401 without an error of the API": {"kind": "status", "status": 401, "body": "invalid key"},
    "204": {"kind": "status", "status": 204},
    "304": {"kind": "status", "status": 304},
    "302": {"kind": "status", "status": 302, "body": '{"success":true}'},
    "HTML under 200": {"kind": "body", "body": '<p>"token":"is valid"</p>', "content_type": "text/html"},
    "truncated JSON": {"kind": "body", "body": '{"message":"Token is valid.","token":"is valid","success":"tr'},
    "nothing": {"kind": "body", "body": ""},
    "a list": {"kind": "body", "body": '[{"success":true}]'},
    "an empty object": {"kind": "body", "body": "{}"},
    "a body that is too large": {"kind": "body", "body": "[" + "0," * 200_000 + "0]"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_any_call_is_unavailable_tells_no_secret_and_is_over_with_the_next(line: Line, debug: pytest.LogCaptureFixture, fault: str) -> None:
    calls = line.calls()
    code = line.phone.code
    messages = len(line.phone.messages)
    line.emulator.add_fault(route="*", count=0, **FAULTS[fault])
    for name, call in calls.items():
        with pytest.raises(Unavailable) as caught:
            call()
        assert (caught.value.what, 0 < len(caught.value.reason) < 200) == ("provider", True), name
        assert_no_secrets(told_by(caught.value), logged(debug))
        assert code not in told_by(caught.value) + logged(debug)
    assert len(line.phone.messages) == messages
    line.emulator.clear_faults()
    assert calls["verify"]() == "sms"
    assert calls["user_status"]().disabled is False
    calls["remove_user"]()


SLOW = [("delay", 1.0), ("trickle", 0.6)]


@pytest.mark.parametrize(("kind", "seconds"), SLOW)
@pytest.mark.parametrize("name", ["verify", "approval_status", "remove_user"])
def test_an_answer_that_comes_too_late_is_unavailable_in_time_though_the_call_has_happened(
    transport: Transport, debug: pytest.LogCaptureFixture, name: str, kind: str, seconds: float
) -> None:
    line = Line(transport, deadlines=BRIEF)
    calls = line.calls()
    code = line.phone.code
    line.emulator.add_fault(route="*", kind=kind, seconds=seconds, count=0)
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        calls[name]()
    assert time.monotonic() - began < BRIEF.total + MARGIN
    assert_no_secrets(told_by(caught.value), logged(debug))
    assert code not in told_by(caught.value) + logged(debug)
    transport.wait()
    line.emulator.clear_faults()
    if name == "approval_status":
        assert calls[name]().status == "pending"
    else:
        assert refusal(calls[name])[1] == {"verify": "60019", "remove_user": "60026"}[name]


def test_what_may_be_asked_twice_is_asked_again_when_the_line_broke(line: Line, debug: pytest.LogCaptureFixture) -> None:
    calls = line.calls()
    for name in ("user_status", "approval_status", "app_details"):
        line.emulator.add_fault(route="*", kind="drop")
        calls[name]()
        assert line.emulator.faults == []
    assert debug.text.count("asking again") == 3
    assert_no_secrets(logged(debug))
    for name in ("verify", "request_sms", "remove_user"):
        line.emulator.add_fault(route="*", kind="drop")
        line.emulator.calls.clear()
        with pytest.raises(Unavailable):
            calls[name]()
        assert len(line.emulator.calls) == 1


# -- the provider's codes

KEYS = ["60001", "60047", "60056", "60061", "60063", "60073"]
BUSY = ["60000", "60003", "60008", "60057", "60060", "60025", "60120"]
# The status is that of section 9 of what is known of the service, where it is known.
TOLD = {
    "60002": 400,
    "60004": 400,
    "60006": 503,
    "60007": 503,
    "60009": None,
    "60010": None,
    "60011": None,
    "60012": None,
    "60013": None,
    "60014": None,
    "60015": 503,
    "60016": 404,
    "60017": 503,
    "60019": 401,
    "60020": 401,
    "60022": 401,
    "60026": 404,
    "60027": 400,
    "60033": 400,
    "60049": 404,
    "60050": None,
    "60051": None,
    "60065": 403,
    "60078": 403,
    "60082": 403,
    "60083": 403,
}


@pytest.mark.parametrize("code", [*KEYS, *BUSY, *TOLD])
def test_a_code_of_the_provider_is_the_same_error_of_every_call(line: Line, debug: pytest.LogCaptureFixture, code: str) -> None:
    calls = line.calls()
    sent = line.phone.code
    line.emulator.add_fault(route="*", kind="status", code=int(code), count=0)
    for call in calls.values():
        with pytest.raises((AuthyError, Unavailable, Misconfigured)) as caught:
            call()
        error = caught.value
        assert type(error) is (Misconfigured if code in KEYS else Unavailable if code in BUSY else AuthyError)
        assert code in str(error)
        if isinstance(error, AuthyError):
            assert (error.error_code, error.success) == (code, False)
            assert error.status == (TOLD[code] or error.status)
            assert error.message
            assert error.token == ("is invalid" if code == "60020" else "")
        assert_no_secrets(told_by(error), logged(debug))
        assert sent not in told_by(error) + logged(debug)


def test_a_genuine_answer_in_the_place_of_another_is_believed_by_its_own_call_alone(line: Line) -> None:
    calls = line.calls()
    line.emulator.add_fault(route="*", kind="body", body=json.dumps(VALID), count=0)
    for name, call in calls.items():
        if name == "verify":
            assert call() == "sms"
        else:
            with pytest.raises(Unavailable):
                call()


def test_the_record_of_calls_holds_no_key_and_the_whole_of_what_was_asked(line: Line) -> None:
    calls = line.calls()
    calls["register_user"]()
    calls["verify"]()
    assert API_KEY not in repr(line.emulator.calls)
    new, verify = line.emulator.calls
    assert (new.method, new.parameters["user"]["cellphone"], new.parameters["send_install_link_via_sms"]) == ("POST", NUMBER, "false")
    assert (verify.method, verify.parameters) == ("GET", {"force": "true"})
