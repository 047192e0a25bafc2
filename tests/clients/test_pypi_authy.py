"""Every call of PyPI `authy` (unmodified) against the emulator, over a socket. The request lines are those that were recorded of this SDK."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import requests
from authy import AuthyFormatException
from authy.api import AuthyApiClient

from authy_wsgi.emulator import Emulator, Rules
from authy_wsgi.emulator.adapter import WSGIAdapter
from authy_wsgi.emulator.rules import SHAPES
from tests.support import API_KEY

from .conftest import Service

NUMBER = "405-342-5699"
EMAIL = "a+b@x.com"
UNKNOWN = "550e8400-e29b-41d4-a716-446655440000"
PHONE = ("201-555-0123", "1")
ARABIC = "١٢٣٤٥٦٧"
SUPERSCRIPTS = "¹²³¹²³¹"


@pytest.fixture
def client(service: Service, monkeypatch: pytest.MonkeyPatch) -> AuthyApiClient:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # it asks through requests, which would go by a proxy
    return AuthyApiClient(API_KEY, service.url)


@pytest.fixture
def alice(client: AuthyApiClient, service: Service) -> int:
    """A user, whose registration is already forgotten."""
    authy_id: int = client.users.create("alice@example.com", "408-555-5270").id
    service.environs.clear()
    service.emulator.calls.clear()
    return authy_id


@pytest.fixture
def bob(service: Service, alice: int) -> int:
    """A user with the app."""
    service.emulator.phone(alice).install_app()
    return alice


def asked(service: Service) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Each request: its method, its address as it was written, the call that it was, and what the emulator understood of it."""
    lines = [(environ["REQUEST_METHOD"], environ["REQUEST_URI"]) for environ in service.environs]
    return [(*line, seen.route, seen.parameters) for line, seen in zip(lines, service.emulator.calls, strict=True)]


def good(answer: Any) -> Any:
    """What an answer holds whose own object calls it good."""
    assert answer.ok() is True
    assert answer.errors() == {}
    assert answer.response.status_code == 200
    assert answer.content == answer.response.json()
    return answer.content


def bad(answer: Any, status: int, code: str) -> Any:
    """What it holds where its object says that it is not: `errors()` are the service's own."""
    assert answer.ok() is False
    assert answer.errors() == answer.content["errors"]
    assert (answer.response.status_code, answer["error_code"], answer["success"]) == (status, code, False)
    return answer.content


def test_every_request_carries_the_headers_of_this_sdk(client: AuthyApiClient, service: Service, alice: int) -> None:
    good(client.users.status(alice))
    good(client.users.delete(alice))
    asking, deleting = service.environs
    for environ in (asking, deleting):
        assert environ["HTTP_X_AUTHY_API_KEY"] == API_KEY
        assert re.fullmatch(r"AuthyPython/2\.2\.6 \(.+; Python [0-9.]+\S*\)", environ["HTTP_USER_AGENT"])
    assert (asking.get("CONTENT_TYPE", ""), deleting["CONTENT_TYPE"], deleting["CONTENT_LENGTH"]) == ("", "application/json", "2")


@pytest.mark.parametrize(
    ("arguments", "country", "link"), [((), "1", "false"), ((57, True), "57", "true"), (("57",), "57", "false")], ids=["plain", "with everything", "text"]
)
def test_create_gives_an_id(client: AuthyApiClient, service: Service, arguments: tuple[Any, ...], country: str, link: str) -> None:
    user = client.users.create(EMAIL, NUMBER, *arguments)
    assert good(user) == {"message": "User created successfully.", "user": {"id": 1635}, "success": True}
    assert user.id == 1635
    sent = {"user": {"email": EMAIL, "cellphone": NUMBER, "country_code": country}, "send_install_link_via_sms": link}
    assert asked(service) == [("POST", "/protected/json/users/new", "users/new", sent)]
    assert service.emulator.phone(f"+{country}4053425699").authy_id == 1635


def test_create_reports_each_bad_field(client: AuthyApiClient) -> None:
    user = client.users.create("nobody", "AAA-BBB", 1)
    body = bad(user, 400, "60027")
    assert user.id is None
    assert user.errors() == {"email": "is invalid", "cellphone": "is invalid", "message": "User was not valid"}
    assert (body["email"], body["cellphone"], body["message"]) == ("is invalid", "is invalid", "User was not valid")


def test_one_number_registered_twice_is_one_user(client: AuthyApiClient, alice: int) -> None:
    assert client.users.create("other@example.com", "(408) 555.5270").id == alice


@pytest.mark.parametrize(
    ("options", "query", "sent"),
    [
        pytest.param(None, "", {}, id="plain"),
        pytest.param({"force": True}, "?force=True", {"force": "True"}, id="a capital True"),
        pytest.param({"force": "true"}, "?force=true", {"force": "true"}, id="forced"),
        pytest.param(
            {"force": "true", "action": "login", "action_message": "hi there"},
            "?force=true&action=login&action_message=hi+there",
            {"force": "true", "action": "login", "action_message": "hi there"},
            id="with an action",
        ),
    ],
)
@pytest.mark.parametrize(("kind", "said"), [("sms", "SMS token was sent"), ("call", "Call started...")])
def test_a_message_is_sent_with_each_option(
    client: AuthyApiClient, service: Service, alice: int, kind: str, said: str, options: Any, query: str, sent: dict[str, str]
) -> None:
    request = {"sms": client.users.request_sms, "call": client.users.request_call}[kind]
    answer = request(alice) if options is None else request(alice, options)
    assert good(answer) == {"success": True, "message": said, "cellphone": "+1-XXX-XXX-XX70"}
    assert answer.ignored() is False
    assert asked(service) == [("GET", f"/protected/json/{kind}/{alice}{query}", kind, sent)]
    assert [message.kind for message in service.emulator.phone(alice).messages] == [kind]


@pytest.mark.parametrize("kind", ["sms", "call"])
def test_with_the_app_a_message_is_ignored_until_it_is_forced(client: AuthyApiClient, service: Service, bob: int, kind: str) -> None:
    request = {"sms": client.users.request_sms, "call": client.users.request_call}[kind]
    for options in ({}, {"force": "false"}, {"force": False}):
        answer = request(bob, options)
        assert set(good(answer)) == {"message", "cellphone", "device", "ignored", "success"}
        assert answer.ignored() is True
    assert service.emulator.phone(bob).messages == []
    for options in ({"force": True}, {"force": "true"}):
        answer = request(bob, options)
        good(answer)
        assert answer.ignored() is False
    assert [message.kind for message in service.emulator.phone(bob).messages] == [kind] * 2


def test_dot_segments_in_an_id_really_are_another_call(client: AuthyApiClient, service: Service, alice: int) -> None:
    # This SDK's own hole: requests resolves them before anything is sent.
    answer = client.users.request_sms(f"../call/{alice}")
    assert good(answer)["message"] == "Call started..."
    assert asked(service) == [("GET", f"/protected/json/call/{alice}", "call", {})]
    assert [message.kind for message in service.emulator.phone(alice).messages] == ["call"]


def test_a_right_code_verifies_once(client: AuthyApiClient, service: Service, alice: int) -> None:
    client.users.request_sms(alice)
    code = service.emulator.phone(alice).code
    service.environs.clear()
    service.emulator.calls.clear()
    token = client.tokens.verify(alice, code)
    body = good(token)
    assert (body["message"], body["token"], body["success"], body["device"]["os_type"]) == ("Token is valid.", "is valid", "true", "sms")
    assert asked(service) == [("GET", f"/protected/json/verify/{code}/{alice}?force=true", "verify", {"force": "true"})]
    used = client.tokens.verify(str(alice), code)
    assert "token" not in bad(used, 401, "60019")
    assert used.errors() == {"message": "Token is invalid. Token was used recently"}


def test_a_wrong_code_is_not_ok(client: AuthyApiClient, service: Service, alice: int) -> None:
    token = client.tokens.verify(alice, "0000000")
    assert bad(token, 401, "60020")["token"] == "is invalid"
    assert token.errors() == {"message": "Token is invalid"}
    assert client.tokens.verify(alice, 1234567).ok() is False
    assert [call[1] for call in asked(service)] == [f"/protected/json/verify/{digits}/{alice}?force=true" for digits in ("0000000", "1234567")]


def test_without_force_a_fresh_user_passes_with_any_code(client: AuthyApiClient, service: Service, alice: int) -> None:
    token = client.tokens.verify(alice, "0000000", {"force": "false"})
    assert good(token)["token"] == "is valid"
    assert asked(service) == [("GET", f"/protected/json/verify/0000000/{alice}?force=false", "verify", {"force": "false"})]


def test_a_code_for_an_action_verifies_with_it(client: AuthyApiClient, service: Service, alice: int) -> None:
    client.users.request_sms(alice, {"force": "true", "action": "pay"})
    code = service.emulator.phone(alice).code
    bad(client.tokens.verify(alice, code, {"force": "true"}), 401, "60020")
    good(client.tokens.verify(alice, code, {"action": "pay"}))


@pytest.mark.parametrize(("who", "token"), [(1635, "../sms"), (1635, "12345"), (1635, "1" * 13), ("../sms/1635", "0000000"), ("tony", "0000000")])
def test_odd_tokens_and_ids_are_never_sent(client: AuthyApiClient, service: Service, alice: int, who: Any, token: str) -> None:
    with pytest.raises(AuthyFormatException):
        client.tokens.verify(who, token)
    assert service.environs == []


@pytest.mark.parametrize("digits", [ARABIC, SUPERSCRIPTS], ids=["arabic", "superscripts"])
def test_digits_of_other_scripts_are_sent_and_never_good(client: AuthyApiClient, service: Service, alice: int, digits: str) -> None:
    quoted = requests.utils.quote(digits)
    bad(client.tokens.verify(alice, digits), 401, "60020")
    bad(client.tokens.verify(alice, digits, {"force": "false"}), 401, "60020")
    assert [call[1] for call in asked(service)] == [f"/protected/json/verify/{quoted}/{alice}?force={force}" for force in ("true", "false")]
    assert bad(client.tokens.verify(digits, "0000000"), 404, "60016")["message"] == "User doesn't exist"


def test_the_arabic_digits_of_a_right_code_are_not_that_code(client: AuthyApiClient, service: Service, alice: int) -> None:
    client.users.request_sms(alice)
    code = service.emulator.phone(alice).code
    bad(client.tokens.verify(alice, code.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))), 401, "60020")
    good(client.tokens.verify(alice, code))


def test_an_unknown_user_is_told_in_two_ways(client: AuthyApiClient) -> None:
    for answer in (client.users.request_sms(99), client.users.request_call(99), client.users.status(99), client.users.delete(99), client.users.generate_qr(99)):
        bad(answer, 404, "60026")
        assert answer.errors() == {"message": "User not found."}
    token = client.tokens.verify(99, "0000000")
    bad(token, 404, "60016")
    assert token.errors() == {"message": "User doesn't exist"}


def test_status_tells_what_is_known(client: AuthyApiClient, service: Service, bob: int) -> None:
    answer = client.users.status(bob)
    body = good(answer)
    assert answer.id is None
    assert asked(service) == [("GET", f"/protected/json/users/{bob}/status", "users/status", {})]
    status = body["status"]
    assert (body["message"], body["success"], status["authy_id"], status["country_code"]) == ("User status.", True, bob, 1)
    assert (status["registered"], status["confirmed"], status["devices"]) == (True, False, ["android"])
    assert (status["phone_number"], status["email"], status["account_disabled"]) == ("XXX-XXX-5270", "alice@example.com", False)


def test_delete_marks_for_deletion(client: AuthyApiClient, service: Service, alice: int) -> None:
    answer = client.users.delete(alice)
    assert good(answer) == {"message": "User was added to remove.", "success": True}
    assert asked(service) == [("POST", f"/protected/json/users/{alice}/delete", "users/remove", {})]
    assert client.users.status(alice)["status"]["account_disabled"] is True


@pytest.mark.parametrize(
    ("options", "sent"),
    [({}, {}), ({"size": 300, "label": "my app"}, {"qr_size": "300", "label": "my app"})],
    ids=["plain", "with size and label"],
)
def test_generate_qr_gives_a_picture_and_its_codes_verify(
    client: AuthyApiClient, service: Service, alice: int, options: dict[str, Any], sent: dict[str, str]
) -> None:
    body = good(client.users.generate_qr(alice, **options))
    assert asked(service) == [("POST", f"/protected/json/users/{alice}/secret", "users/secret", sent)]
    assert body["success"] is True
    assert body["qr_code"].startswith(service.url)
    picture = requests.get(body["qr_code"], timeout=5)
    assert picture.status_code == 200
    assert picture.headers["Content-Type"].startswith("image/")
    code = service.emulator.phone(alice).authenticator_code
    assert code is not None
    good(client.tokens.verify(alice, code))


def test_registration_status_has_an_answer_of_the_services_shape(client: AuthyApiClient, service: Service) -> None:
    answer = client.users.registration_status("cust 1")
    # What it holds is not known; this is what may be relied on.
    assert isinstance(answer.content, dict)
    assert isinstance(answer["message"], str)
    assert answer["success"] is answer.ok()
    ((method, uri, route, sent),) = asked(service)
    assert (method, uri, sent) == ("GET", "/protected/json/registrations/status?custom_user_id=cust%201", {"custom_user_id": "cust 1"})
    assert route == "registrations/status"


def test_an_approval_request_with_everything_arrives(client: AuthyApiClient, service: Service, bob: int) -> None:
    logos = [{"res": "default", "url": "https://x/y.png"}, {"res": "low", "url": "https://x/z.png"}]
    details, hidden = {"Bank account": "235 27"}, {"ip": "1.2.3.4"}
    answer = client.one_touch.send_request(bob, "Login?", seconds_to_expire=120, details=details, hidden_details=hidden, logos=logos)
    (shown,) = service.emulator.phone(bob).approvals
    assert good(answer) == {"approval_request": {"uuid": shown["uuid"]}, "success": True}
    assert (answer.get_uuid(), answer.status()) == (shown["uuid"], True)
    assert (shown["message"], shown["details"], shown["status"]) == ("Login?", details, "pending")
    sent = {"message": "Login?", "seconds_to_expire": "120", "details": details, "hidden_details": hidden, "logos": logos}
    assert asked(service) == [("POST", f"/onetouch/json/users/{bob}/approval_requests", "approval_requests/create", sent)]


def test_an_approval_request_with_a_message_alone_lives_for_a_day(client: AuthyApiClient, service: Service, bob: int) -> None:
    uuid = client.one_touch.send_request(bob, "Login?").get_uuid()
    assert asked(service)[0][3] == {"message": "Login?", "seconds_to_expire": None, "details": {}, "hidden_details": {}, "logos": []}
    status = client.one_touch.get_approval_status(uuid)
    assert (good(status)["approval_request"]["seconds_to_expire"], status["approval_request"]["status"]) == (86400, "pending")


@pytest.mark.parametrize("outcome", ["approved", "denied", "expired"])
def test_get_approval_status_follows_the_phone(client: AuthyApiClient, service: Service, bob: int, outcome: str) -> None:
    uuid = client.one_touch.send_request(bob, "Login?", seconds_to_expire=60).get_uuid()
    phone = service.emulator.phone(bob)
    {"approved": phone.approve, "denied": phone.deny, "expired": lambda: service.clock.advance(60)}[outcome]()
    answer = client.one_touch.get_approval_status(uuid)
    assert good(answer)["approval_request"]["status"] == outcome
    # `status()` is whether the question was answered, not what the person said.
    assert (answer.status(), answer.get_uuid()) == (True, uuid)
    assert asked(service)[-1] == ("GET", f"/onetouch/json/approval_requests/{uuid}", "approval_requests/status", {})


def test_approval_requests_that_cannot_be_are_not_ok(client: AuthyApiClient, alice: int) -> None:
    bad(client.one_touch.send_request(alice, "Login?"), 400, "60050")
    nobody = client.one_touch.send_request(99, "Login?")
    bad(nobody, 404, "60026")
    assert (nobody.get_uuid(), nobody.status()) == (False, False)
    missing = client.one_touch.get_approval_status(UNKNOWN)
    assert bad(missing, 404, "60049")["message"] == f"Approval request not found: {UNKNOWN}"
    assert (missing.errors(), missing.get_uuid(), missing.status()) == ({}, False, False)


def test_odd_approval_requests_are_never_sent(client: AuthyApiClient, service: Service, bob: int) -> None:
    for who, message in ((str(bob), "Login?"), (None, "Login?"), (bob, "")):
        with pytest.raises(AuthyFormatException):
            client.one_touch.send_request(who, message)
    with pytest.raises(AuthyFormatException):
        client.one_touch.send_request(bob, "Login?", logos=[{"res": "default", "url": "https://x/", "size": "1"}])
    with pytest.raises(TypeError):
        client.one_touch.send_request(bob, "Login?", details={"amount": 1})
    assert service.environs == []


def test_a_long_message_is_cut_to_what_the_service_takes(client: AuthyApiClient, service: Service, bob: int) -> None:
    good(client.one_touch.send_request(bob, "x" * 300, details={"Note": "y" * 300}))
    assert service.emulator.phone(bob).approvals[0]["message"] == "x" * 200
    assert service.emulator.phone(bob).approvals[0]["details"] == {"Note": "y" * 200}


def test_the_application_describes_itself(client: AuthyApiClient, service: Service, alice: int) -> None:
    answer = client.apps.fetch()
    body = good(answer)
    assert (body["message"], body["success"]) == ("Application information.", True)
    app = answer["app"]
    assert (type(app["app_id"]), type(app["name"]), type(app["plan"]), app["sms_enabled"]) == (int, str, str, True)
    assert asked(service) == [("GET", "/protected/json/app/details", "app/details", {})]


def test_the_statistics_count_what_happened(client: AuthyApiClient, service: Service) -> None:
    before = good(client.stats.fetch())
    assert (before["message"], before["success"], before["total_users"]) == ("Monthly statistics.", True, 0)
    alice = client.users.create("alice@example.com", "408-555-5270").id
    client.users.request_sms(alice)
    client.users.request_call(alice)
    client.tokens.verify(alice, service.emulator.phone(alice).code)
    after = client.stats.fetch()
    (month,) = good(after)["stats"]
    assert (after["count"], after["total_users"], after["app_id"]) == (1, 1, client.apps.fetch()["app"]["app_id"])
    assert {name: month[name] for name in ("auths_count", "calls_count", "sms_count", "users_count", "month", "year")} == {
        "auths_count": 1,
        "calls_count": 1,
        "sms_count": 1,
        "users_count": 1,
        "month": "November",
        "year": 2023,
    }
    assert asked(service)[0][:3] == ("GET", "/protected/json/app/stats", "app/stats")


@pytest.mark.parametrize(
    ("via", "options", "length", "said"),
    [
        ("sms", {}, 4, "Text message sent to +1 201-555-0123."),
        ("call", {"code_length": 10}, 10, "Call to +1 201-555-0123 initiated."),
        ("sms", {"code_length": "6", "locale": "en"}, 6, "Text message sent to +1 201-555-0123."),
    ],
)
def test_verification_start_sends_a_code(client: AuthyApiClient, service: Service, via: str, options: dict[str, Any], length: int, said: str) -> None:
    answer = client.phones.verification_start(*PHONE, via=via, **options)
    body = good(answer)
    assert (body["message"], body["success"], body["seconds_to_expire"], body["is_cellphone"]) == (said, True, 599, True)
    locale = {"locale": "en"} if "locale" in options else {}
    sent = {"phone_number": PHONE[0], "country_code": "1", "via": via, "code_length": str(length), **locale}
    assert asked(service) == [("POST", "/protected/json/phones/verification/start", "phones/verification/start", sent)]
    (message,) = service.emulator.phone("+12015550123").messages
    assert (message.kind, len(message.code)) == (via, length)


def test_verification_check_takes_the_right_code_once(client: AuthyApiClient, service: Service) -> None:
    client.phones.verification_start(*PHONE)
    code = service.emulator.phone("+12015550123").code
    wrong = client.phones.verification_check(*PHONE, "12345")
    bad(wrong, 401, "60022")
    assert wrong.errors() == {"message": "Verification code is incorrect"}
    right = client.phones.verification_check(*PHONE, code)
    assert good(right) == {"message": "Verification code is correct.", "success": True}
    query = f"phone_number=201-555-0123&country_code=1&verification_code={code}"
    assert asked(service)[2][:2] == ("GET", f"/protected/json/phones/verification/check?{query}")
    assert bad(client.phones.verification_check(*PHONE, code), 404, "60023")["message"] == "No pending verifications for +1 201-555-0123 found."


def test_odd_verifications_are_never_sent(client: AuthyApiClient, service: Service) -> None:
    for options in ({"via": "pigeon"}, {"code_length": 3}, {"code_length": 11}, {"code_length": "x"}):
        with pytest.raises(AuthyFormatException):
            client.phones.verification_start(*PHONE, **options)
    assert service.environs == []


def test_bad_numbers_are_told(client: AuthyApiClient) -> None:
    for answer in (client.phones.verification_start("12", "1"), client.phones.verification_check("12", "1", "1234"), client.phones.info("12", "1")):
        bad(answer, 400, "60033")
        assert answer.errors() == {"message": "Phone number is invalid"}
    missing = client.phones.info("201-555-0123", "")
    assert bad(missing, 400, "60004")["message"] == "Invalid parameter: country_code - Parameter is required"


def test_info_describes_a_number(client: AuthyApiClient, service: Service) -> None:
    body = good(client.phones.info("7754615609", "1"))
    assert re.fullmatch(r"Phone number information as of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", body["message"])
    assert (body["type"], body["ported"], body["success"]) == ("cellphone", False, True)
    sent = {"phone_number": "7754615609", "country_code": "1"}
    assert asked(service) == [("GET", "/protected/json/phones/info?phone_number=7754615609&country_code=1", "phones/info", sent)]


class Site:
    """An application that OneTouch callbacks come to, in this process."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str, dict[str, Any]]] = []
        self.session = requests.Session()
        self.session.mount("https://site.example", WSGIAdapter(self))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        tree = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        self.requests.append((environ["HTTP_X_AUTHY_SIGNATURE"], environ["HTTP_X_AUTHY_SIGNATURE_NONCE"], environ["REQUEST_METHOD"], tree))
        start_response("200 OK", [("Content-Length", "0")])
        return []


@pytest.mark.parametrize("press", ["approved", "denied"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sdk_validates_the_callbacks(service: Service, shape: str, press: str) -> None:
    site, url = Site(), "https://site.example/callback"
    service.emulator = Emulator(API_KEY, clock=service.clock, rules=Rules(callback_shape=shape), callback_url=url, callback_session=site.session)
    client = AuthyApiClient(API_KEY, service.url)
    alice = client.users.create("alice@example.com", "408-555-5270").id
    phone = service.emulator.phone(alice)
    phone.install_app()
    press_it = {"approved": phone.approve, "denied": phone.deny}[press]
    logos = [{"res": "default", "url": "https://x/y.png"}, {"res": "low", "url": "https://x/z.png"}]
    # A label of digits alone it takes for the index of a list, and so refuses what is right.
    for details, valid in (({"Amount": "5 EUR / month", "to": "José & co."}, True), ({}, True), ({"2024": "x"}, False)):
        client.one_touch.send_request(alice, "Log in?", details=details, logos=logos)
        press_it()
        service.emulator.callbacks.wait()
        signature, nonce, method, tree = site.requests[-1]
        assert (method, tree["status"], tree["authy_id"]) == ("POST", press, alice)
        assert client.one_touch.validate_one_touch_signature(signature, nonce, method, url, tree) is valid
        assert client.one_touch.validate_one_touch_signature(signature, nonce, method, url, {**tree, "status": "pending"}) is False


def test_every_call_with_a_wrong_key_is_refused(client: AuthyApiClient, service: Service, alice: int) -> None:
    wrong = AuthyApiClient("wrong", service.url)
    answers = [
        wrong.users.create(EMAIL, NUMBER),
        wrong.users.request_sms(alice),
        wrong.users.request_call(alice),
        wrong.users.status(alice),
        wrong.users.delete(alice),
        wrong.users.generate_qr(alice),
        wrong.users.registration_status("1"),
        wrong.tokens.verify(alice, "0000000"),
        wrong.apps.fetch(),
        wrong.stats.fetch(),
        wrong.phones.verification_start(*PHONE),
        wrong.phones.verification_check(*PHONE, "1234"),
        wrong.phones.info(*PHONE),
        wrong.one_touch.send_request(alice, "Login?"),
        wrong.one_touch.get_approval_status(UNKNOWN),
    ]
    for answer in answers:
        bad(answer, 401, "60001")
        assert answer.errors() == {"message": "Invalid API key"}
    assert len(service.environs) == len(answers)
    assert client.users.status(alice)["status"]["account_disabled"] is False


def test_an_answer_that_is_no_json_is_told_as_text(client: AuthyApiClient, service: Service, alice: int) -> None:
    service.emulator.add_fault(route="sms", kind="status", status=503, body="invalid key", content_type="text/html")
    answer = client.users.request_sms(alice)
    assert (answer.ok(), answer.content, answer.errors()) == (False, "invalid key", {"error": "invalid key"})


def test_the_sdk_refuses_a_right_code_in_json_with_spaces(client: AuthyApiClient, service: Service, alice: int) -> None:
    # Why the emulator's JSON is compact.
    service.emulator.add_fault(route="verify", kind="body", body=json.dumps({"message": "Token is valid.", "token": "is valid", "success": "true"}))
    answer = client.tokens.verify(alice, "0000000")
    assert (answer.response.status_code, answer.ok()) == (200, False)
