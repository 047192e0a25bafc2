"""Every call of npm `authy-client` (unmodified) against the emulator. It is strict: it refuses answers whose texts, fields or types are not the service's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from authy_wsgi.emulator import Emulator, Rules
from authy_wsgi.emulator.adapter import WSGIAdapter
from authy_wsgi.emulator.rules import SHAPES
from tests.support import API_KEY

from .conftest import Service
from .npm.driver import VERSIONS, Node, Sdk, SdkError

EMAIL = "alice@example.com"
UNKNOWN = "550e8400-e29b-41d4-a716-446655440000"
ALICE = {"countryCode": "US", "email": EMAIL, "phone": "408-555-5270"}
NUMBER = {"countryCode": "US", "phone": "201-555-0123"}
IP = {"ip": "127.0.0.1"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
def sdk(node: Node, service: Service) -> Sdk:
    return Sdk(node, "authy-client", service.url)


@pytest.fixture
def call(sdk: Sdk) -> Callable[..., Any]:
    """Make a call, and get what its promise brings."""
    return sdk.promise


@pytest.fixture
def alice(call: Callable[..., Any], service: Service) -> int:
    """A user, whose registration is already forgotten."""
    authy_id: int = call("registerUser", ALICE)["user"]["id"]
    service.environs.clear()
    service.emulator.calls.clear()
    return authy_id


@pytest.fixture
def bob(service: Service, alice: int) -> int:
    """A user with the app."""
    service.emulator.phone(alice).install_app()
    return alice


def asked(service: Service) -> list[tuple[str, str, dict[str, Any]]]:
    """Each request: its method, its address as it was written, and what the emulator understood of it."""
    lines = [(environ["REQUEST_METHOD"], environ["REQUEST_URI"]) for environ in service.environs]
    return [(*line, seen.parameters) for line, seen in zip(lines, service.emulator.calls, strict=True)]


def refused(make: Callable[[], Any], status: int, code: str) -> dict[str, Any]:
    """The body of an answer that the service itself refused with."""
    with pytest.raises(SdkError) as raised:
        make()
    error = raised.value
    assert (error.kind, error.code, error.body["error_code"]) == ("HttpError", status, code)
    assert error.message == error.body["message"]
    assert error.body["success"] is False
    return dict(error.body)


@pytest.mark.parametrize(
    ("country", "phone", "user"),
    [
        ("US", "509-555-1212", {"country_code": "1", "cellphone": "5095551212"}),
        ("1", "(509) 555 1212", {"country_code": "1", "cellphone": "5095551212"}),
        ("PT", "912345678", {"country_code": "351", "cellphone": "912345678"}),
        ("351", "+351 912 345 678", {"country_code": "351", "cellphone": "912345678"}),
        ("DE", "01512 3456789", {"country_code": "49", "cellphone": "15123456789"}),
        ("SG", "8123 4567", {"country_code": "65", "cellphone": "81234567"}),
    ],
)
def test_register_user_registers_in_many_countries(call: Callable[..., Any], service: Service, country: str, phone: str, user: dict[str, str]) -> None:
    answer = call("registerUser", {"countryCode": country, "email": EMAIL, "phone": phone})
    assert answer == {"message": "User created successfully.", "user": {"id": 1635}, "success": True}
    assert asked(service) == [("POST", "/protected/json/users/new", {"user": {**user, "email": EMAIL}})]
    assert service.emulator.phone("+" + "".join(user.values())).authy_id == 1635
    # What it demands of a status: a real calling code, a text for the number, booleans that are there.
    status = call("getUserStatus", {"authyId": 1635})["status"]
    assert str(status["country_code"]) == user["country_code"]
    assert status["phone_number"].replace("-", "") == "X" * (len(user["cellphone"]) - 4) + user["cellphone"][-4:]


def test_every_request_carries_the_header_with_the_key(call: Callable[..., Any], service: Service, alice: int) -> None:
    call("getUserStatus", {"authyId": alice})
    call("deleteUser", {"authyId": alice})
    for environ in service.environs:
        assert environ["HTTP_X_AUTHY_API_KEY"] == API_KEY
        assert environ["HTTP_USER_AGENT"].startswith(f"authy-client/{VERSIONS['authy-client']} ")
        assert environ["CONTENT_TYPE"] == "application/json"
        assert environ["CONTENT_LENGTH"] == "2"


def test_one_number_registered_twice_is_one_user(call: Callable[..., Any], alice: int) -> None:
    again = call("registerUser", {**ALICE, "email": "other@example.com", "phone": "+1 (408) 555-5270"})
    assert again["user"]["id"] == alice


@pytest.mark.parametrize(("name", "kind", "said"), [("requestSms", "sms", "SMS token was sent"), ("requestCall", "call", "Call started...")])
def test_a_message_is_sent_with_each_option(call: Callable[..., Any], service: Service, alice: int, name: str, kind: str, said: str) -> None:
    plain = call(name, {"authyId": alice})
    assert plain == {"success": True, "message": said, "cellphone": "+1-XXX-XXX-XX70"}
    assert call(name, {"authyId": alice}, {"action": "pay", "force": True, "message": "Pay 5 EUR"}) == plain
    path = f"/protected/json/{kind}/{alice}"
    options = {"action": "pay", "action_message": "Pay 5 EUR", "force": "true"}
    assert asked(service) == [("GET", path, {}), ("GET", f"{path}?action=pay&action_message=Pay%205%20EUR&force=true", options)]
    assert [message.kind for message in service.emulator.phone(alice).messages] == [kind, kind]


@pytest.mark.parametrize("name", ["requestSms", "requestCall"])
def test_with_the_app_a_message_is_ignored_until_it_is_forced(call: Callable[..., Any], service: Service, bob: int, name: str) -> None:
    ignored = call(name, {"authyId": bob})
    assert (ignored["ignored"], ignored["device"], ignored["cellphone"]) == (True, "android", "+1-XXX-XXX-XX70")
    assert service.emulator.phone(bob).messages == []
    assert not {"ignored", "device"} & set(call(name, {"authyId": bob}, {"force": True}))
    assert len(service.emulator.phone(bob).messages) == 1


def test_verify_token_takes_a_right_code_once(call: Callable[..., Any], service: Service, alice: int) -> None:
    call("requestSms", {"authyId": alice})
    code = service.emulator.phone(alice).code
    asked_with = {"authyId": alice, "token": code}
    service.environs.clear()
    service.emulator.calls.clear()
    answer = call("verifyToken", asked_with, {"force": True})
    assert (answer["message"], answer["token"], answer["success"]) == ("Token is valid.", "is valid", "true")
    assert asked(service) == [("GET", f"/protected/json/verify/{code}/{alice}?force=true", {"force": "true"})]
    refused(lambda: call("verifyToken", asked_with, {"force": True}), 401, "60019")
    wrong = refused(lambda: call("verifyToken", {"authyId": alice, "token": "0000000"}), 401, "60020")
    assert (wrong["message"], wrong["token"]) == ("Token is invalid", "is invalid")
    assert asked(service)[-1] == ("GET", f"/protected/json/verify/0000000/{alice}", {})


def test_verify_token_takes_the_code_of_the_app(call: Callable[..., Any], service: Service, bob: int) -> None:
    answer = call("verifyToken", {"authyId": bob, "token": service.emulator.phone(bob).app_code}, {"force": True})
    assert answer["device"]["os_type"] == "android"


@pytest.mark.parametrize("token", ["../sms", "12345", "123456789", "12345a7"])
def test_verify_token_sends_digits_only(call: Callable[..., Any], service: Service, alice: int, token: str) -> None:
    with pytest.raises(SdkError) as raised:
        call("verifyToken", {"authyId": alice, "token": token})
    assert (raised.value.kind, raised.value.code, raised.value.fields) == ("ValidationFailedError", 400, ["token"])
    assert service.environs == []


@pytest.mark.parametrize(("more", "sent"), [([], {}), ([IP], {"user_ip": "127.0.0.1"})], ids=["plain", "with an ip"])
def test_get_user_status_asks_with_json_on_get(call: Callable[..., Any], service: Service, bob: int, more: list[Any], sent: dict[str, str]) -> None:
    answer = call("getUserStatus", {"authyId": bob}, *more)
    assert asked(service) == [("GET", f"/protected/json/users/{bob}/status", sent)]
    assert service.environs[0]["CONTENT_TYPE"] == "application/json"
    status = answer["status"]
    assert (answer["message"], status["authy_id"], status["devices"]) == ("User status.", bob, ["android"])
    assert (status["confirmed"], status["registered"], status["has_hard_token"], status["phone_number"]) == (False, True, False, "XXX-XXX-5270")


@pytest.mark.parametrize(("more", "sent"), [([], {}), ([IP], {"user_ip": "127.0.0.1"})], ids=["plain", "with an ip"])
def test_delete_user_marks_for_deletion(call: Callable[..., Any], service: Service, alice: int, more: list[Any], sent: dict[str, str]) -> None:
    assert call("deleteUser", {"authyId": alice}, *more) == {"message": "User was added to remove.", "success": True}
    assert asked(service) == [("POST", f"/protected/json/users/{alice}/remove", sent)]


@pytest.mark.parametrize("kind", ["banned", "cookie_login", "password_reset", "unbanned"])
def test_register_activity_takes_note(call: Callable[..., Any], service: Service, alice: int, kind: str) -> None:
    answer = call("registerActivity", {"authyId": alice, "data": {"reason": "forgot"}, "type": kind}, IP)
    assert answer == {"message": "Activity was created.", "success": True}
    sent = {"data": {"reason": "forgot"}, "type": kind, "user_ip": "127.0.0.1"}
    assert asked(service) == [("POST", f"/protected/json/users/{alice}/register_activity", sent)]


def test_the_application_describes_and_counts_itself(call: Callable[..., Any], service: Service, alice: int) -> None:
    call("requestSms", {"authyId": alice})
    details = call("getApplicationDetails")
    assert (details["message"], details["app"]["sms_enabled"]) == ("Application information.", True)
    stats = call("getApplicationStatistics", IP)
    assert (stats["message"], stats["app_id"], stats["count"], stats["total_users"]) == ("Monthly statistics.", details["app"]["app_id"], 1, 1)
    # Just these seven, or it refuses the answer.
    counted = {"api_calls_count", "auths_count", "calls_count", "month", "sms_count", "users_count", "year"}
    assert [set(month) for month in stats["stats"]] == [counted]
    assert stats["stats"][0]["sms_count"] == 1
    assert asked(service)[1:] == [("GET", "/protected/json/app/details", {}), ("GET", "/protected/json/app/stats?user_ip=127.0.0.1", {"user_ip": "127.0.0.1"})]


def test_statistics_of_several_months_are_taken(call: Callable[..., Any], service: Service, alice: int) -> None:
    service.clock.advance(62 * 86400)
    stats = call("getApplicationStatistics")
    assert stats["count"] == len(stats["stats"]) >= 2


@pytest.mark.parametrize(("via", "said"), [("sms", "Text message sent to +1 201-555-0123."), ("call", "Call to +1 201-555-0123 initiated.")])
def test_a_phone_is_verified(call: Callable[..., Any], service: Service, via: str, said: str) -> None:
    answer = call("startPhoneVerification", {**NUMBER, "via": via}, {"codeLength": 4, "locale": "es"})
    assert answer["success"] is True
    assert (answer["is_cellphone"], answer["is_ported"]) == (True, False)
    # `code_length` it takes and does not send.
    number = {"country_code": "1", "phone_number": "2015550123"}
    assert asked(service) == [("POST", "/protected/json/phones/verification/start", {**number, "locale": "es", "via": via})]
    (message,) = service.emulator.phone("+12015550123").messages
    assert (message.kind, len(message.code)) == (via, 4)
    refused(lambda: call("verifyPhone", {**NUMBER, "token": "00000"}), 401, "60022")
    assert call("verifyPhone", {**NUMBER, "token": message.code}) == {"message": "Verification code is correct.", "success": True}
    query = f"country_code=1&phone_number=2015550123&verification_code={message.code}"
    assert asked(service)[-1] == ("GET", f"/protected/json/phones/verification/check?{query}", {**number, "verification_code": message.code})
    refused(lambda: call("verifyPhone", {**NUMBER, "token": message.code}), 404, "60023")
    assert call("startPhoneVerification", {**NUMBER, "via": via})["message"] == said


@pytest.mark.parametrize(
    ("country", "phone", "kind"),
    [("US", "201-555-0123", "cellphone"), ("PT", "912345678", "cellphone"), ("DE", "030 123456", "landline"), ("US", "800-234-5678", "voip")],
)
def test_get_phone_information_describes_a_number(call: Callable[..., Any], country: str, phone: str, kind: str) -> None:
    answer = call("getPhoneInformation", {"countryCode": country, "phone": phone}, IP)
    assert (answer["type"], answer["ported"], answer["success"]) == (kind, False, True)
    assert re.fullmatch(r"Phone number information as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", answer["message"])
    assert isinstance(answer["provider"], str)


FULL: dict[str, Any] = {
    "details": {"visible": {"Bank account": "235 27"}, "hidden": {"ip": "1.2.3.4"}},
    "logos": [{"res": "default", "url": "https://example.com/y.png"}, {"res": "low", "url": "https://example.com/z.png"}],
    "message": "Login?",
}


@pytest.mark.parametrize("outcome", ["approved", "denied", "expired"])
def test_an_approval_request_is_followed_to_its_end(call: Callable[..., Any], service: Service, bob: int, outcome: str) -> None:
    answer = call("createApprovalRequest", {"authyId": bob, **FULL}, {"ttl": 120})
    phone = service.emulator.phone(bob)
    (shown,) = phone.approvals
    assert answer == {"approval_request": {"uuid": shown["uuid"]}, "success": True}
    assert (shown["message"], shown["details"]) == ("Login?", {"Bank account": "235 27"})
    sent = {"details": {"Bank account": "235 27"}, "hidden_details": {"ip": "1.2.3.4"}, "logos": FULL["logos"], "message": "Login?", "seconds_to_expire": "120"}
    assert asked(service) == [("POST", f"/onetouch/json/users/{bob}/approval_requests", sent)]
    pending = call("getApprovalRequest", {"id": shown["uuid"]})["approval_request"]
    assert (pending["status"], pending["processed_at"], pending["_user_email"], pending["_authy_id"]) == ("pending", None, EMAIL, bob)
    assert asked(service)[-1] == ("GET", f"/onetouch/json/approval_requests/{shown['uuid']}", {})
    {"approved": phone.approve, "denied": phone.deny, "expired": lambda: service.clock.advance(120)}[outcome]()
    # It checks every field of it by itself; this is what is left to see.
    done = call("getApprovalRequest", {"id": shown["uuid"]})
    assert (done["success"], done["approval_request"]["status"]) == (True, outcome)


def test_an_approval_request_with_a_message_alone_lives_for_a_day(call: Callable[..., Any], service: Service, bob: int) -> None:
    uuid = call("createApprovalRequest", {"authyId": bob, "message": "Login?"})["approval_request"]["uuid"]
    assert asked(service)[0][2] == {"message": "Login?"}
    assert call("getApprovalRequest", {"id": uuid})["approval_request"]["seconds_to_expire"] == 86400


def test_what_is_not_there_is_refused_in_the_services_words(call: Callable[..., Any], alice: int) -> None:
    nobody = {"authyId": "99"}
    for name, more in (("requestSms", {}), ("requestCall", {}), ("getUserStatus", {}), ("deleteUser", {}), ("registerActivity", {"type": "banned"})):
        assert refused(lambda name=name, more=more: call(name, {**nobody, **more}), 404, "60026")["message"] == "User not found."
    refused(lambda: call("createApprovalRequest", {**nobody, "message": "Login?"}), 404, "60026")
    refused(lambda: call("createApprovalRequest", {"authyId": alice, "message": "Login?"}), 400, "60050")
    assert refused(lambda: call("verifyToken", {**nobody, "token": "0000000"}), 404, "60016")["message"] == "User doesn't exist"
    assert refused(lambda: call("getApprovalRequest", {"id": UNKNOWN}), 404, "60049")["errors"] == {}


@pytest.mark.parametrize("uuid", ["../users/1635", "../../../protected/json/sms/1635"])
def test_a_climbing_id_stays_in_its_segment(call: Callable[..., Any], service: Service, alice: int, uuid: str) -> None:
    assert refused(lambda: call("getApprovalRequest", {"id": uuid}), 404, "60049")["message"] == f"Approval request not found: {uuid}"
    assert service.environs[0]["REQUEST_URI"] == "/onetouch/json/approval_requests/" + uuid.replace("/", "%2F")
    assert service.emulator.phone(alice).messages == []


CALLS: dict[str, dict[str, Any]] = {
    "registerUser": ALICE,
    "requestSms": {"authyId": 1635},
    "requestCall": {"authyId": 1635},
    "verifyToken": {"authyId": 1635, "token": "0000000"},
    "getUserStatus": {"authyId": 1635},
    "deleteUser": {"authyId": 1635},
    "registerActivity": {"authyId": 1635, "type": "banned"},
    "getApplicationDetails": {},
    "getApplicationStatistics": {},
    "startPhoneVerification": {**NUMBER, "via": "sms"},
    "verifyPhone": {**NUMBER, "token": "0000"},
    "getPhoneInformation": NUMBER,
    "createApprovalRequest": {"authyId": 1635, "message": "Login?"},
    "getApprovalRequest": {"id": UNKNOWN},
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_with_a_wrong_key_is_refused(node: Node, service: Service, alice: int, name: str) -> None:
    sdk = Sdk(node, "authy-client", service.url, key="wrong")
    assert refused(lambda: sdk.promise(name, CALLS[name]), 401, "60001")["message"] == "Invalid API key"


def test_callbacks_get_the_answer_or_the_error(sdk: Sdk, alice: int) -> None:
    err, res = sdk("requestSms", {"authyId": alice})
    assert (err, res["message"]) == (None, "SMS token was sent")
    (error,) = sdk("requestSms", {"authyId": 99})
    assert (error.code, error.message) == (404, "User not found.")


# What it would say to answers that are not the service's: without this, none of the above proves anything.
UNLIKE = {
    "registerUser": (ALICE, "users/new", '{"message":"User created.","user":{"id":1},"success":true}', "message"),
    "getUserStatus": (
        {"authyId": 1635},
        "users/status",
        '{"message":"User status.","success":true,"status":{"authy_id":1,"confirmed":true,"country_code":999,"devices":[],"phone_number":"x"}}',
        "status.country_code",
    ),
    "requestSms": ({"authyId": 1635}, "sms", '{"message":"SMS token was sent","success":true}', "cellphone"),
    "verifyToken": ({"authyId": 1635, "token": "0000000"}, "verify", '{"message":"Token is valid","token":"is valid","success":"true"}', "message"),
    "getPhoneInformation": (NUMBER, "phones/info", '{"message":"x","ported":"no","provider":"x","type":"x","success":true}', "message"),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_it_is_as_strict_as_it_is_said_to_be(call: Callable[..., Any], service: Service, alice: int, name: str) -> None:
    arguments, route, body, field = UNLIKE[name]
    service.emulator.add_fault(route=route, kind="body", body=body)
    with pytest.raises(SdkError) as raised:
        call(name, arguments)
    assert (raised.value.kind, raised.value.code) == ("AssertionFailedError", 500)
    assert field in raised.value.fields


# -- callbacks


class Site:
    """An application that OneTouch callbacks come to, and the emulator that sends them: all in this process."""

    url = "https://site.example/callback"

    def __init__(self, shape: str) -> None:
        self.requests: list[dict[str, Any]] = []
        there, here = requests.Session(), requests.Session()
        there.mount("https://site.example", WSGIAdapter(self))
        self.emulator = Emulator(API_KEY, seed=1, rules=Rules(callback_shape=shape), callback_url=self.url, callback_session=there)
        here.mount("http://localhost", WSGIAdapter(self.emulator))
        here.headers["X-Authy-API-Key"] = API_KEY
        self.session = here

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        names = {"host": "HTTP_HOST", "x-authy-signature": "HTTP_X_AUTHY_SIGNATURE", "x-authy-signature-nonce": "HTTP_X_AUTHY_SIGNATURE_NONCE"}
        headers = {name: environ[key] for name, key in names.items()}
        self.requests.append({"method": "POST", "protocol": "https", "url": environ["PATH_INFO"], "headers": headers, "body": json.loads(body)})
        start_response("200 OK", [("Content-Length", "0")])
        return []

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.session.post(f"http://localhost{path}", json=body, timeout=5)
        assert answer.status_code == 200
        return answer.json()

    def answered(self, press: str) -> dict[str, Any]:
        """What the application gets when somebody has pressed that button."""
        user = {"email": EMAIL, "cellphone": "408-555-5270", "country_code": 1}
        authy_id = self.post("/protected/json/users/new", {"user": user})["user"]["id"]
        phone = self.emulator.phone(authy_id)
        phone.install_app()
        asked = {"message": "Login & pay?", "details": {"amount": "5 EUR / month", "to": "José"}, "logos": FULL["logos"]}
        self.post(f"/onetouch/json/users/{authy_id}/approval_requests", asked)
        {"approved": phone.approve, "denied": phone.deny}[press]()
        assert [delivery.answer for delivery in self.emulator.callbacks.wait()] == ["200", "200"]
        return self.requests[-1]


@pytest.mark.parametrize("press", ["approved", "denied"])
def test_verify_callback_accepts_a_callback_of_its_time(node: Node, press: str) -> None:
    site = Site("2016")
    callback = site.answered(press)
    assert callback["body"]["status"] == press
    sdk = Sdk(node, "authy-client", site.url)
    assert sdk.promise("verifyCallback", callback) == callback
    # The test callback of saving the endpoint is as good.
    assert sdk.promise("verifyCallback", site.requests[0])["body"]["authy_id"] == 1234
    callback["body"]["approval_request"]["transaction"]["message"] += "!"
    with pytest.raises(SdkError) as raised:
        sdk.promise("verifyCallback", callback)
    assert raised.value.fields == ["headers.x-authy-signature"]


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "2016"])
def test_of_a_later_callback_it_dislikes_the_device_id_alone(node: Node, shape: str) -> None:
    callback = Site(shape).answered("approved")
    sdk = Sdk(node, "authy-client", Site.url)
    with pytest.raises(SdkError) as raised:
        sdk.promise("verifyCallback", callback)
    assert (raised.value.kind, raised.value.fields) == ("ValidationFailedError", ["body.device_uuid"])
    # As a text it signs the same.
    callback["body"]["device_uuid"] = str(callback["body"]["device_uuid"])
    assert sdk.promise("verifyCallback", callback)["body"]["status"] == "approved"
