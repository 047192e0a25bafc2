"""The article's own SDK (npm `authy`, unmodified) against the emulator: the article's sequence, then every call that the SDK has."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support import API_KEY, PHONE

from .conftest import Service
from .npm.driver import UNDEFINED, Node, Sdk, SdkError, start

KEY = f"api_key={API_KEY}"
EMAIL = "a b@x.com"
NUMBER = "509-555-1212"
UNKNOWN = "550e8400-e29b-41d4-a716-446655440000"


class Script:
    """The running script: its steps as they come, and a line to tell it when a person has acted."""

    def __init__(self, process: Any) -> None:
        self.process = process

    def step(self, name: str) -> tuple[Any, Any]:
        line = self.process.stdout.readline()
        assert line, "the script ended early"
        said = json.loads(line)
        assert said["step"] == name
        return said["err"], said["res"]

    def tell(self, line: str = "") -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


@pytest.fixture
def script(service: Service, tmp_path: Path) -> Iterator[Script]:
    with (tmp_path / "stderr").open("w+") as errors:
        process = start("article.cjs", service.url, API_KEY, folder=tmp_path, errors=errors)
        guard = threading.Timer(30, process.kill)
        guard.start()
        try:
            yield Script(process)
            process.communicate(timeout=10)
            errors.seek(0)
            assert (process.returncode, errors.read()) == (0, "")
        finally:
            guard.cancel()
            process.kill()
            process.communicate()


def test_the_articles_sequence_through_the_npm_sdk(service: Service, script: Script) -> None:
    err, res = script.step("register_user")
    phone = service.emulator.phone(PHONE)
    assert err is None
    assert res == {"message": "User created successfully.", "user": {"id": phone.authy_id}, "success": True}

    err, res = script.step("request_sms")
    assert err is None
    assert res == {"success": True, "message": "SMS token was sent", "cellphone": "+1-XXX-XXX-XX70"}
    assert [message.kind for message in phone.messages] == ["sms"]

    script.tell(phone.code)
    err, res = script.step("verify")
    assert err is None
    assert {name: res[name] for name in ("message", "token", "success")} == {"message": "Token is valid.", "token": "is valid", "success": "true"}

    err, res = script.step("verify wrong")
    assert res is None
    # To the letter what the article shows.
    assert err == {
        "message": "Token is invalid",
        "token": "is invalid",
        "success": False,
        "errors": {"message": "Token is invalid"},
        "error_code": "60020",
    }

    phone.install_app()
    script.tell()
    for name, press, outcome in (("onetouch", phone.approve, "approved"), ("onetouch again", phone.deny, "denied")):
        err, res = script.step(name)
        assert err is None
        uuid = res["approval_request"]["uuid"]
        shown = phone.approvals[-1]
        assert shown["uuid"] == uuid
        assert shown["message"] == "Please authorize login to the registration demo app."
        assert shown["details"] == {"Email Address": "alice@example.com"}
        err, res = script.step("status")
        assert (err, res["approval_request"]["status"]) == (None, "pending")
        press()
        script.tell()
        err, res = script.step("status")
        assert (err, res["success"]) == (None, True)
        assert (res["approval_request"]["status"], res["approval_request"]["uuid"]) == (outcome, uuid)

    # The key was in the query, as this SDK sends it, and nothing was forced.
    assert all("HTTP_X_AUTHY_API_KEY" not in environ for environ in service.environs)
    assert [call.parameters for call in service.emulator.calls if call.route == "verify"] == [{}, {}]
    routes = ["approval_requests/create", "approval_requests/status", "approval_requests/status"]
    assert [call.route for call in service.emulator.calls] == ["users/new", "sms", "verify", "verify", *routes, *routes]


# -- every call, one by one. The request lines are those that were recorded of this SDK.


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
def authy(node: Node, service: Service) -> Sdk:
    return Sdk(node, "authy", service.url)


@pytest.fixture
def alice(authy: Sdk, service: Service) -> int:
    """A user, whose registration is already forgotten."""
    authy_id: int = good(authy("register_user", "alice@example.com", "408-555-5270"))["user"]["id"]
    service.environs.clear()
    service.emulator.calls.clear()
    return authy_id


def good(said: list[Any]) -> Any:
    """The answer where the callback was called as the documentation promises for 200: no error, and the body."""
    err, res = said
    assert err is None
    return res


def bad(said: list[Any]) -> Any:
    """The error where it was called as for any other status: the body as the error, and no result."""
    err, res = [*said, UNDEFINED][:2]
    assert err not in (None, UNDEFINED)
    assert res is UNDEFINED
    return err


def asked(service: Service) -> list[tuple[str, str]]:
    """Each request as it stood in its first line."""
    return [(environ["REQUEST_METHOD"], environ["REQUEST_URI"]) for environ in service.environs]


def routes(service: Service) -> list[tuple[str, dict[str, Any]]]:
    """What the emulator understood of each request."""
    return [(call.route, call.parameters) for call in service.emulator.calls]


@pytest.mark.parametrize(
    ("more", "install", "country"),
    [
        pytest.param([], "true", "1", id="email and phone"),
        pytest.param(["57"], "true", "57", id="with a country code"),
        pytest.param([False], "false", "1", id="without the link"),
        pytest.param(["57", False], "false", "57", id="with everything"),
    ],
)
def test_register_user_sends_a_form_and_gets_an_id(authy: Sdk, service: Service, more: list[Any], install: str, country: str) -> None:
    res = good(authy("register_user", EMAIL.replace(" ", "+"), NUMBER, *more))
    assert res == {"message": "User created successfully.", "user": {"id": 1635}, "success": True}
    assert asked(service) == [("POST", f"/protected/json/users/new?send_install_link_via_sms={install}&{KEY}")]
    user = {"email": "a+b@x.com", "cellphone": NUMBER, "country_code": country}
    assert routes(service) == [("users/new", {"send_install_link_via_sms": install, "user": user})]
    assert service.emulator.phone(f"+{country}5095551212").authy_id == 1635


def test_one_number_registered_twice_is_one_user(authy: Sdk, alice: int) -> None:
    assert good(authy("register_user", "other@example.com", "(408) 555.5270"))["user"]["id"] == alice
    assert good(authy("user_status", alice))["status"]["email"] == "alice@example.com"


def test_register_user_reports_each_bad_field_as_the_error(authy: Sdk, service: Service) -> None:
    fields = {"email": "is invalid", "cellphone": "is invalid"}
    message = "User was not valid"
    refused = {"message": message, "success": False, **fields, "errors": {**fields, "message": message}, "error_code": "60027"}
    assert bad(authy("register_user", EMAIL, "AAA-BBB")) == refused
    # Its %20 is a space again.
    assert routes(service)[0][1]["user"] == {"email": EMAIL, "cellphone": "AAA-BBB", "country_code": "1"}
    assert bad(authy("register_user", "a@x.com", NUMBER, "999"))["errors"] == {"country_code": "is not supported", "message": message}


def test_every_request_carries_the_headers_of_this_sdk(authy: Sdk, service: Service, alice: int) -> None:
    good(authy("user_status", alice))
    good(authy("delete_user", alice))
    asking, deleting = service.environs
    for environ in (asking, deleting):
        assert re.fullmatch(r"AuthyNode/1\.1 \(node v[0-9.]+\)", environ["HTTP_USER_AGENT"])
        assert environ["HTTP_ACCEPT"] == "application/json"
        assert environ["CONTENT_TYPE"] == "application/x-www-form-urlencoded"
        assert "HTTP_X_AUTHY_API_KEY" not in environ
    # A GET without a body has no length and is not waited for; an empty POST says so.
    assert (asking.get("CONTENT_LENGTH", ""), deleting["CONTENT_LENGTH"]) == ("", "0")


@pytest.mark.parametrize(("call", "said"), [("request_sms", "SMS token was sent"), ("request_call", "Call started...")])
def test_a_message_is_sent_with_and_without_force(authy: Sdk, service: Service, alice: int, call: str, said: str) -> None:
    kind = call.removeprefix("request_")
    for more, query in ([], ""), ([True], "force=true&"), ([False], "force=false&"):
        service.environs.clear()
        assert good(authy(call, alice, *more)) == {"success": True, "message": said, "cellphone": "+1-XXX-XXX-XX70"}
        assert asked(service) == [("GET", f"/protected/json/{kind}/{alice}?{query}{KEY}")]
    assert routes(service) == [(kind, {}), (kind, {"force": "true"}), (kind, {"force": "false"})]
    assert [message.kind for message in service.emulator.phone(alice).messages] == [kind] * 3


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("request_sms", "Ignored: SMS is not needed for smartphones. Pass force=true if you want to actually send it anyway."),
        (
            "request_call",
            "Call ignored. User is using  App Tokens and this call is not necessary. Pass force=true if you still want to call users that are using the App.",
        ),
    ],
)
def test_with_the_app_a_message_is_ignored_until_it_is_forced(authy: Sdk, service: Service, alice: int, call: str, said: str) -> None:
    phone = service.emulator.phone(alice)
    phone.install_app()
    ignored = {"message": said, "cellphone": "+1-XXX-XXX-XX70", "device": "android", "ignored": True, "success": True}
    assert good(authy(call, alice)) == ignored
    assert good(authy(call, alice, False)) == ignored
    assert phone.messages == []
    assert set(good(authy(call, alice, True))) == {"success", "message", "cellphone"}
    assert [message.kind for message in phone.messages] == [call.removeprefix("request_")]


@pytest.mark.parametrize("call", ["request_sms", "request_call", "user_status", "delete_user"])
@pytest.mark.parametrize("who", ["99", "tony", "../sms/1635"])
def test_calls_for_nobody_are_told_so(authy: Sdk, service: Service, alice: int, call: str, who: str) -> None:
    err = bad(authy(call, who))
    assert err == {"message": "User not found.", "success": False, "errors": {"message": "User not found."}, "error_code": "60026"}
    ((_, uri),) = asked(service)
    assert ("/..%2Fsms%2F1635" in uri) == (who == "../sms/1635")
    assert service.emulator.phone(alice).messages == []


def test_a_right_code_verifies_once(authy: Sdk, service: Service, alice: int) -> None:
    good(authy("request_sms", alice))
    code = service.emulator.phone(alice).code
    service.environs.clear()
    res = good(authy("verify", alice, code, True))
    assert (res["message"], res["token"], res["success"], res["device"]["os_type"]) == ("Token is valid.", "is valid", "true", "sms")
    assert asked(service) == [("GET", f"/protected/json/verify/{code}/{alice}?force=true&{KEY}")]
    err = bad(authy("verify", alice, code, True))
    text = "Token is invalid. Token was used recently"
    assert err == {"message": text, "success": False, "errors": {"message": text}, "error_code": "60019"}


def test_verify_forces_nothing_unless_told(authy: Sdk, service: Service, alice: int) -> None:
    good(authy("request_sms", alice))
    code = service.emulator.phone(alice).code
    service.environs.clear()
    service.emulator.calls.clear()
    # This SDK's documented trap: until a user has entered one good code, any code is good.
    assert good(authy("verify", alice, "0000000"))["token"] == "is valid"
    wrong = {"message": "Token is invalid", "token": "is invalid", "success": False, "errors": {"message": "Token is invalid"}, "error_code": "60020"}
    assert bad(authy("verify", alice, "0000000", True)) == wrong
    assert good(authy("verify", alice, code))["token"] == "is valid"
    assert bad(authy("verify", alice, "0000000")) == wrong
    plain, forced = f"/protected/json/verify/0000000/{alice}?{KEY}", f"/protected/json/verify/0000000/{alice}?force=true&{KEY}"
    assert asked(service) == [("GET", plain), ("GET", forced), ("GET", plain.replace("0000000", code)), ("GET", plain)]
    assert routes(service) == [("verify", {}), ("verify", {"force": "true"}), ("verify", {}), ("verify", {})]


@pytest.mark.parametrize("token", ["../sms", "", None, "#"])
def test_a_token_without_a_digit_is_never_sent(authy: Sdk, service: Service, alice: int, token: str | None) -> None:
    (err,) = authy("verify", alice, token)
    assert isinstance(err, SdkError)
    assert err.message == "argument 'token' cannot be empty, null, or undefined"
    assert service.environs == []


def test_of_an_odd_token_only_the_digits_are_sent(authy: Sdk, service: Service, alice: int) -> None:
    assert bad(authy("verify", alice, "../sms/1#2"))["error_code"] == "60020"
    assert bad(authy("verify", alice, "1" * 20))["error_code"] == "60020"
    paths = [f"/protected/json/verify/{digits}/{alice}?{KEY}" for digits in ("12", "1" * 16)]
    assert asked(service) == [("GET", path) for path in paths]
    assert service.emulator.phone(alice).messages == []


def test_the_bypass_by_the_id_reaches_no_other_call(authy: Sdk, service: Service, alice: int) -> None:
    err = bad(authy("verify", "../sms/1635", "0000000"))
    assert (err["message"], err["error_code"]) == ("User doesn't exist", "60016")
    assert asked(service) == [("GET", f"/protected/json/verify/0000000/..%2Fsms%2F1635?{KEY}")]
    assert [call.route for call in service.emulator.calls] == ["verify"]
    assert service.emulator.phone(alice).messages == []


def test_an_answer_that_does_not_say_valid_is_an_error_of_the_sdks_own(authy: Sdk, service: Service, alice: int) -> None:
    service.emulator.add_fault(route="verify", kind="body", body='{"success":true,"message":"SMS token was sent"}')
    assert authy("verify", alice, "0000000") == [{"message": "Unknown API response."}, None]


def test_user_status_tells_what_is_known(authy: Sdk, service: Service, alice: int) -> None:
    status = good(authy("user_status", alice))
    assert asked(service) == [("GET", f"/protected/json/users/{alice}/status?{KEY}")]
    assert (status["message"], status["success"]) == ("User status.", True)
    known = {"authy_id": alice, "confirmed": False, "registered": False, "country_code": 1, "phone_number": "XXX-XXX-5270", "email": "alice@example.com"}
    lists = {"devices": [], "has_hard_token": False, "account_disabled": False, "detailed_devices": [], "deleted_devices": []}
    assert status["status"] == {**known, **lists}
    service.emulator.phone(alice).install_app()
    after = good(authy("user_status", alice))["status"]
    assert (after["registered"], after["devices"], len(after["detailed_devices"])) == (True, ["android"], 1)


def test_delete_user_marks_for_deletion(authy: Sdk, service: Service, alice: int) -> None:
    assert good(authy("delete_user", alice)) == {"message": "User was added to remove.", "success": True}
    assert asked(service) == [("POST", f"/protected/json/users/delete/{alice}?{KEY}")]
    assert routes(service) == [("users/remove", {})]
    assert good(authy("user_status", alice))["status"]["account_disabled"] is True


FULL: list[Any] = [
    {"message": "Login?", "details": {"Bank account": "235 27"}, "seconds_to_expire": 120},
    {"ip": "1.2.3.4"},
    [{"res": "default", "url": "https://x/y.png"}, {"res": "low", "url": "https://x/z.png"}],
]


@pytest.fixture
def bob(service: Service, alice: int) -> int:
    """A user with the app."""
    service.emulator.phone(alice).install_app()
    return alice


def test_an_approval_request_with_everything_arrives(authy: Sdk, service: Service, bob: int) -> None:
    res = good(authy("send_approval_request", bob, *FULL))
    (shown,) = service.emulator.phone(bob).approvals
    assert res == {"approval_request": {"uuid": shown["uuid"]}, "success": True}
    assert (shown["message"], shown["details"], shown["status"]) == ("Login?", {"Bank account": "235 27"}, "pending")
    assert asked(service) == [("POST", f"/onetouch/json/users/{bob}/approval_requests?{KEY}")]
    logos = {"0": {"res": "default", "url": "https://x/y.png"}, "1": {"res": "low", "url": "https://x/z.png"}}
    sent = {"message": "Login?", "details": {"Bank account": "235 27"}, "hidden_details": {"ip": "1.2.3.4"}, "logos": logos, "seconds_to_expire": "120"}
    assert routes(service) == [("approval_requests/create", sent)]
    status = good(authy("check_approval_status", shown["uuid"]))["approval_request"]
    assert (status["seconds_to_expire"], status["status"]) == (120, "pending")
    service.clock.advance(120)
    assert good(authy("check_approval_status", shown["uuid"]))["approval_request"]["status"] == "expired"


def test_an_approval_request_with_a_message_alone_lives_for_a_day(authy: Sdk, service: Service, bob: int) -> None:
    uuid = good(authy("send_approval_request", bob, {"message": "Login?"}, None, None))["approval_request"]["uuid"]
    assert routes(service) == [("approval_requests/create", {"message": "Login?"})]
    assert good(authy("check_approval_status", uuid))["approval_request"]["seconds_to_expire"] == 86400


@pytest.mark.parametrize("outcome", ["approved", "denied"])
def test_check_approval_status_follows_the_phone(authy: Sdk, service: Service, bob: int, outcome: str) -> None:
    uuid = good(authy("send_approval_request", bob, {"message": "Login?"}, None, None))["approval_request"]["uuid"]
    service.environs.clear()
    pending = good(authy("check_approval_status", uuid))
    assert asked(service) == [("GET", f"/onetouch/json/approval_requests/{uuid}?{KEY}")]
    assert (pending["success"], pending["approval_request"]["status"], pending["approval_request"]["processed_at"]) == (True, "pending", None)
    phone = service.emulator.phone(bob)
    {"approved": phone.approve, "denied": phone.deny}[outcome]()
    done = good(authy("check_approval_status", uuid))["approval_request"]
    assert (done["status"], done["uuid"], done["_authy_id"], done["_user_email"]) == (outcome, uuid, bob, "alice@example.com")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", done["processed_at"])


def test_approval_requests_that_cannot_be_are_errors(authy: Sdk, alice: int) -> None:
    assert bad(authy("send_approval_request", "99", {"message": "Login?"}, None, None))["error_code"] == "60026"
    assert bad(authy("send_approval_request", alice, {"message": "Login?"}, None, None))["error_code"] == "60050"
    missing = bad(authy("check_approval_status", UNKNOWN))
    assert missing == {"message": f"Approval request not found: {UNKNOWN}", "success": False, "errors": {}, "error_code": "60049"}


@pytest.mark.parametrize("uuid", ["../../../protected/json/sms/1635", "..%2f..%2f..%2fprotected%2fjson%2fsms%2f1635", "x/../../../../protected/json/sms/1635"])
def test_a_climbing_uuid_reaches_no_other_call(authy: Sdk, service: Service, alice: int, uuid: str) -> None:
    # This SDK puts it into the path as it is.
    err = bad(authy("check_approval_status", uuid))
    assert asked(service) == [("GET", f"/onetouch/json/approval_requests/{uuid}?{KEY}")]
    assert err["error_code"] in ("60002", "60049")
    assert service.emulator.phone(alice).messages == []


NUMBERED = {"phone_number": "201-555-0123", "country_code": "1"}


@pytest.mark.parametrize(
    ("more", "sent", "said"),
    [
        pytest.param([], {"via": "sms"}, "Text message sent to +1 201-555-0123.", id="plain"),
        pytest.param(["call"], {"via": "call"}, "Call to +1 201-555-0123 initiated.", id="by call"),
        pytest.param(
            [{"via": "sms", "locale": "en", "code_length": "6"}],
            {"via": "sms", "locale": "en", "code_length": "6"},
            "Text message sent to +1 201-555-0123.",
            id="with parameters",
        ),
    ],
)
def test_verification_start_sends_a_code(authy: Sdk, service: Service, more: list[Any], sent: dict[str, str], said: str) -> None:
    res = good(authy("phones.verification_start", *NUMBERED.values(), *more))
    assert (res["message"], res["success"], res["seconds_to_expire"], res["is_cellphone"], res["is_ported"]) == (said, True, 599, True, False)
    assert isinstance(res["carrier"], str)
    assert asked(service) == [("POST", f"/protected/json/phones/verification/start?{KEY}")]
    assert routes(service) == [("phones/verification/start", {**NUMBERED, **sent})]
    (message,) = service.emulator.phone("+12015550123").messages
    assert (message.kind, len(message.code)) == (sent["via"], int(sent.get("code_length", "4")))


def test_verification_check_asks_with_a_body_on_get(authy: Sdk, service: Service) -> None:
    good(authy("phones.verification_start", *NUMBERED.values()))
    code = service.emulator.phone("+12015550123").code
    service.environs.clear()
    wrong = bad(authy("phones.verification_check", *NUMBERED.values(), "12345"))
    assert (wrong["message"], wrong["error_code"]) == ("Verification code is incorrect", "60022")
    right = good(authy("phones.verification_check", *NUMBERED.values(), code))
    assert right == {"message": "Verification code is correct.", "success": True}
    none = bad(authy("phones.verification_check", *NUMBERED.values(), code))
    assert (none["message"], none["error_code"]) == ("No pending verifications for +1 201-555-0123 found.", "60023")
    # All of it came in a form on a GET.
    assert asked(service) == [("GET", f"/protected/json/phones/verification/check?{KEY}")] * 3
    assert all(int(environ["CONTENT_LENGTH"]) > 0 for environ in service.environs)
    assert routes(service)[2] == ("phones/verification/check", {**NUMBERED, "verification_code": code})


def test_verification_status_follows_the_verification(authy: Sdk, service: Service) -> None:
    assert bad(authy("phones.verification_status", *NUMBERED.values()))["error_code"] == "60023"
    good(authy("phones.verification_start", *NUMBERED.values()))
    assert good(authy("phones.verification_status", *NUMBERED.values()))["success"] is True
    assert routes(service)[-1] == ("phones/verification/status", NUMBERED)


def test_info_describes_a_number(authy: Sdk, service: Service) -> None:
    res = good(authy("phones.info", "7754615609", "1"))
    assert re.fullmatch(r"Phone number information as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", res["message"])
    assert (res["type"], res["ported"], res["success"]) == ("cellphone", False, True)
    assert isinstance(res["provider"], str)
    assert asked(service) == [("GET", f"/protected/json/phones/info?{KEY}")]
    assert routes(service) == [("phones/info", {"phone_number": "7754615609", "country_code": "1"})]
    assert bad(authy("phones.info", "77", "1"))["error_code"] == "60033"


CALLS: dict[str, list[Any]] = {
    "register_user": [EMAIL, NUMBER],
    "request_sms": [1635],
    "request_call": [1635],
    "verify": [1635, "0000000"],
    "user_status": [1635],
    "delete_user": [1635],
    "send_approval_request": [1635, *FULL],
    "check_approval_status": [UNKNOWN],
    "phones.verification_start": list(NUMBERED.values()),
    "phones.verification_check": [*NUMBERED.values(), "0000"],
    "phones.verification_status": list(NUMBERED.values()),
    "phones.info": list(NUMBERED.values()),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_with_a_wrong_key_is_refused(node: Node, service: Service, alice: int, call: str) -> None:
    said = Sdk(node, "authy", service.url, key="wrong")(call, *CALLS[call])
    if call == "verify":  # its own callback passes both on
        assert len(said) == 2
    assert bad(said) == {"message": "Invalid API key", "success": False, "errors": {"message": "Invalid API key"}, "error_code": "60001"}
    ((_, uri),) = asked(service)
    assert ("api_key", "wrong") in parse_qsl(urlsplit(uri).query)


def test_a_connection_that_breaks_is_an_error_of_its_own(authy: Sdk, service: Service, alice: int) -> None:
    service.emulator.add_fault(route="*", kind="drop")
    (err,) = authy("user_status", alice)
    assert isinstance(err, SdkError)
    assert err.code == "ECONNRESET"
