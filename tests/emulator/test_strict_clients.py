"""What stricter clients than the two that are run whole demand of an answer, each by its own reading: Go and Rust structs, Java's getters, shell globs, C.

The readings are short models of what those clients' sources do with an answer: exact keys and JSON types, ranges of numbers, text that is searched for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import pytest
from webtest import TestRequest, TestResponse

from authy_wsgi.emulator import Rules
from authy_wsgi.emulator.api import TABLE
from authy_wsgi.emulator.failures import CODES

from .service import KEY, START, Service

P = "/protected/json"
PHONE = {"country_code": "1", "phone_number": "201-555-0123"}
UNKNOWN = "550e8400-e29b-41d4-a716-446655440000"


def ask(service: Service, method: str, path: str, **options: Any) -> TestResponse:
    """A request with the key in the header, and whatever answer it gets."""
    params, json_body = options.pop("params", None), options.pop("json", None)
    headers = {"X-Authy-API-Key": KEY, **options.pop("headers", {})}
    if json_body is not None:
        params, headers["Content-Type"] = json.dumps(json_body), "application/json"
    if method == "GET":
        return service.app.get(path, params, headers=headers, expect_errors=True)
    if method == "POST":
        return service.app.post(path, params or "", headers=headers, expect_errors=True)
    return service.app.request(path, method=method, headers=headers, expect_errors=True)


# -- a small language for what an answer must look like


class AtLeast(dict[str, Any]):
    """An object that may have more members than these."""


class Maybe:
    """A member that may be absent or null, but must be that where it is not."""

    def __init__(self, spec: Any) -> None:
        self.spec = spec


class Between:
    """A whole number of that many bits."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high


class Of(dict[str, Any]):
    """An object with any members, all of that kind."""

    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.spec = spec


def complaints(value: Any, spec: Any, at: str = "answer") -> list[str]:
    """What is wrong with a value; a boolean is no number here, and the text "true" is no boolean."""
    if isinstance(spec, tuple):
        return [] if any(not complaints(value, one, at) for one in spec) else [f"{at}: {value!r}"]
    if isinstance(spec, Maybe):
        return [] if value is None else complaints(value, spec.spec, at)
    if isinstance(spec, dict):
        return _members(value, spec, at)
    if isinstance(spec, list):
        found = [f"{at}: {value!r}"] if type(value) is not list else []
        return found or [wrong for number, item in enumerate(value) for wrong in complaints(item, spec[0], f"{at}[{number}]")]
    return [] if _fits(value, spec) else [f"{at}: {value!r}"]


def _members(value: Any, spec: dict[str, Any], at: str) -> list[str]:
    if type(value) is not dict:
        return [f"{at}: {value!r}"]
    if isinstance(spec, Of):
        return [wrong for name, member in value.items() for wrong in complaints(member, spec.spec, f"{at}.{name}")]
    found = [f"{at}.{name} is missing" for name, it in spec.items() if name not in value and not isinstance(it, Maybe)]
    if not isinstance(spec, AtLeast):
        found += [f"{at}.{name} is too much" for name in value if name not in spec]
    return found + [wrong for name, it in spec.items() if name in value for wrong in complaints(value[name], it, f"{at}.{name}")]


def _fits(value: Any, spec: Any) -> bool:
    if isinstance(spec, type):
        return type(value) is spec
    if isinstance(spec, re.Pattern):
        return isinstance(value, str) and spec.fullmatch(value) is not None
    if isinstance(spec, Between):
        return type(value) is int and spec.low <= value <= spec.high
    return type(value) is type(spec) and bool(value == spec)


def test_the_checker_itself_is_strict() -> None:
    assert complaints({"a": 1}, {"a": int}) == []
    for value, spec in (
        ({"a": True}, {"a": int}),
        ({"a": 1}, {"a": bool}),
        ({"a": "true"}, {"a": True}),
        ({"a": 1, "b": 2}, {"a": int}),
        ({}, {"a": int}),
        ({"a": [1, "x"]}, {"a": [int]}),
        ({"a": {"b": 1}}, {"a": Of(str)}),
        ({"a": "x"}, {"a": Maybe(int)}),
        ({"a": 70_000}, AtLeast(a=Between(0, 65_535))),
        ({"a": "xyz"}, {"a": re.compile("[0-9]+")}),
        ({"a": None}, {"a": str}),
    ):
        assert complaints(value, spec) != []


# -- every call that goes well, in every variant, and exactly what it says


def new(service: Service, **fields: Any) -> TestResponse:
    user = {"email": "alice@example.com", "cellphone": "408-555-5270", "country_code": 1, **fields}
    return ask(service, "POST", f"{P}/users/new", json={"user": user})


def user(service: Service, *, app: bool = False) -> int:
    authy_id = service.register()
    if app:
        service.emulator.phone(authy_id).install_app()
    return authy_id


def again(service: Service) -> TestResponse:
    service.register()
    return new(service, email="other@example.com")


def status(service: Service, *, app: bool = False, confirmed: bool = False, removed: bool = False) -> TestResponse:
    who = user(service, app=app)
    if confirmed:
        service.verify(who, service.sms(who))
    if removed:
        ask(service, "POST", f"{P}/users/{who}/remove")
    return ask(service, "GET", f"{P}/users/{who}/status")


def send(service: Service, kind: str, *, app: bool = False, force: bool = False) -> TestResponse:
    who = user(service, app=app)
    return ask(service, "POST" if kind == "email" else "GET", f"{P}/{kind}/{who}", params={"force": "true"} if force else None)


def verify(service: Service, kind: str) -> TestResponse:
    who = user(service, app=kind == "android")
    phone, force = service.emulator.phone(who), {"force": "true"}
    if kind == "generic":
        ask(service, "POST", f"{P}/users/{who}/secret")
    token = {
        "sms": lambda: service.sms(who),
        "call": lambda: ask(service, "GET", f"{P}/call/{who}") and phone.code,
        "android": lambda: phone.app_code,
        "generic": lambda: phone.authenticator_code,
        "any": lambda: "0000000",
    }[kind]()
    return ask(service, "GET", f"{P}/verify/{token}/{who}", params=None if kind == "any" else force)


def qr(service: Service, then: str = "") -> TestResponse:
    who = user(service)
    made = ask(service, "POST", f"{P}/users/{who}/secret", params={"label": "my app", "qr_size": "240"})
    return ask(service, "GET", f"{P}/users/{who}/secret/export") if then else made


def device(service: Service) -> TestResponse:
    who = user(service, app=True)
    known = ask(service, "GET", f"{P}/users/{who}/status").json["status"]["detailed_devices"][0]["device_id"]
    return ask(service, "DELETE", f"{P}/sdk/devices/{known}")


def verification(service: Service, what: str, via: str = "sms") -> TestResponse:
    started = ask(service, "POST", f"{P}/phones/verification/start", params={**PHONE, "via": via})
    if what == "start":
        return started
    code = {"verification_code": service.emulator.phone("+12015550123").code}
    return ask(service, "GET", f"{P}/phones/verification/{what}", params={**PHONE, **(code if what == "check" else {})})


def approval(service: Service, outcome: str = "", **body: Any) -> TestResponse:
    who = user(service, app=True)
    asked = ask(service, "POST", f"/onetouch/json/users/{who}/approval_requests", json={"message": "Login?", **body})
    if not outcome:
        return asked
    phone = service.emulator.phone(who)
    service.emulator.advance(5)
    {"approved": phone.approve, "denied": phone.deny, "expired": lambda: service.emulator.advance(86400), "pending": lambda: None}[outcome]()
    return ask(service, "GET", f"/onetouch/json/approval_requests/{asked.json['approval_request']['uuid']}")


CELLPHONE = re.compile(r"\+1-XXX-XXX-XX70")
HEX = re.compile(r"[0-9a-f]{24}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
REMOVED = {"message": "User was added to remove.", "success": True}
CREATED = {"message": "User created successfully.", "user": {"id": int}, "success": True}
DETAILED = {
    "device_type": "authy",
    "os_type": str,
    "registration_device_id": (int, None),
    "registration_method": (str, None),
    "device_id": int,
    "last_sync_date": int,
    "creation_date": int,
}
IGNORED_SMS = "Ignored: SMS is not needed for smartphones. Pass force=true if you want to actually send it anyway."
IGNORED_CALL = "Call ignored. User is using  App Tokens and this call is not necessary. Pass force=true if you still want to call users that are using the App."
VALID = {
    "message": "Token is valid.",
    "token": "is valid",
    "success": "true",
    "device": {
        "id": (int, None),
        "os_type": str,
        "registration_date": int,
        **dict.fromkeys(("registration_method", "registration_country", "registration_region", "registration_city"), (str, None)),
        **dict.fromkeys(("country", "region", "city", "ip"), (str, None)),
        "last_account_recovery_at": (int, None),
        "last_sync_date": (int, None),
    },
}
MONTH = {**dict.fromkeys(("api_calls_count", "auths_count", "calls_count", "sms_count", "users_count", "year"), int), "month": "November"}


def known(*, app: bool = False, confirmed: bool = False, removed: bool = False) -> dict[str, Any]:
    described = {
        "authy_id": int,
        "confirmed": confirmed,
        "registered": app,
        "country_code": 1,
        "phone_number": "XXX-XXX-5270",
        "email": "alice@example.com",
        "devices": [str],
        "has_hard_token": False,
        "account_disabled": removed,
        "detailed_devices": [DETAILED],
        "deleted_devices": [str],
    }
    return {"status": described, "message": "User status.", "success": True}


def started(said: str) -> dict[str, Any]:
    flags = {"carrier": str, "is_cellphone": True, "is_ported": False}
    return {**flags, "message": said, "seconds_to_expire": 599, "uuid": UUID, "success": True}


def asked(outcome: str, **more: Any) -> dict[str, Any]:
    texts = dict.fromkeys(("_app_name", "_user_email"), str) | dict.fromkeys(("_id", "app_id", "user_id"), HEX)
    times = {"created_at": INSTANT, "updated_at": INSTANT, "processed_at": INSTANT if outcome in ("approved", "denied") else None, "seconds_to_expire": 86400}
    described = {**texts, **times, "_app_serial_id": int, "_authy_id": int, "notified": bool, "status": outcome, "uuid": UUID, **more}
    return {"approval_request": described, "success": True}


ANSWERED = {"device": AtLeast(id=int, os_type=str, registration_date=int, last_sync_date=int)}
GOOD: dict[str, tuple[Callable[[Service], TestResponse], Any]] = {
    "users/new": (new, CREATED),
    "users/new again": (again, CREATED),
    "users/status": (status, known()),
    "users/status with the app": (lambda it: status(it, app=True), known(app=True)),
    "users/status confirmed": (lambda it: status(it, confirmed=True), known(confirmed=True)),
    "users/status removed": (lambda it: status(it, removed=True), known(removed=True)),
    "users/{id}/remove": (lambda it: ask(it, "POST", f"{P}/users/{user(it)}/remove"), REMOVED),
    "users/{id}/delete": (lambda it: ask(it, "POST", f"{P}/users/{user(it)}/delete"), REMOVED),
    "users/delete/{id}": (lambda it: ask(it, "POST", f"{P}/users/delete/{user(it)}"), REMOVED),
    "users/update": (
        lambda it: ask(it, "POST", f"{P}/users/{user(it)}/update", params={"email": "b@example.com"}),
        {"message": "User was updated successfully", "success": True},
    ),
    "users/register_activity": (
        lambda it: ask(it, "POST", f"{P}/users/{user(it)}/register_activity", params={"type": "banned"}),
        {"message": "Activity was created.", "success": True},
    ),
    "users/secret": (qr, {"qr_code": re.compile(r"https?://.+"), "label": "my app", "issuer": str, "success": True}),
    "users/secret/export": (lambda it: qr(it, "export"), {"secret": re.compile("[A-Z2-7]{32}"), "otp": re.compile("[0-9]{6}"), "success": True}),
    "users/phone_number": (
        lambda it: ask(it, "GET", f"{P}/users/{user(it)}/phone_number"),
        {"phone_number": "4085555270", "country_code": "1", "e164": "+14085555270", "success": True},
    ),
    "sdk/devices": (device, {"message": str, "success": True}),
    "sms": (lambda it: send(it, "sms"), {"success": True, "message": "SMS token was sent", "cellphone": CELLPHONE}),
    "sms ignored": (lambda it: send(it, "sms", app=True), {"message": IGNORED_SMS, "cellphone": CELLPHONE, "device": str, "ignored": True, "success": True}),
    "sms forced": (lambda it: send(it, "sms", app=True, force=True), {"success": True, "message": "SMS token was sent", "cellphone": CELLPHONE}),
    "call": (lambda it: send(it, "call"), {"success": True, "message": "Call started...", "cellphone": CELLPHONE}),
    "call ignored": (lambda it: send(it, "call", app=True), {"message": IGNORED_CALL, "cellphone": CELLPHONE, "device": str, "ignored": True, "success": True}),
    "call forced": (lambda it: send(it, "call", app=True, force=True), {"success": True, "message": "Call started...", "cellphone": CELLPHONE}),
    "email": (
        lambda it: send(it, "email"),
        {"success": True, "message": "Email token was sent", "email": "alice@example.com", "email_id": re.compile("EM[0-9a-f]{32}")},
    ),
    "email ignored": (lambda it: send(it, "email", app=True), AtLeast(message=str, email="alice@example.com", device=str, ignored=True, success=True)),
    **{f"verify by {kind}": (lambda it, kind=kind: verify(it, kind), VALID) for kind in ("sms", "call", "android", "generic", "any")},
    "app/details": (
        lambda it: ask(it, "GET", f"{P}/app/details"),
        {
            "app": {
                "app_id": int,
                "name": str,
                "plan": str,
                **dict.fromkeys(("sms_enabled", "phone_calls_enabled", "onetouch_enabled"), True),
                "white_label": bool,
            },
            "message": "Application information.",
            "success": True,
        },
    ),
    "app/stats": (
        lambda it: send(it, "sms") and ask(it, "GET", f"{P}/app/stats"),
        {"stats": [MONTH], "count": 1, "total_users": 1, "app_id": int, "message": "Monthly statistics.", "success": True},
    ),
    "phones/verification/start": (lambda it: verification(it, "start"), started("Text message sent to +1 201-555-0123.")),
    "phones/verification/start by call": (lambda it: verification(it, "start", "call"), started("Call to +1 201-555-0123 initiated.")),
    "phones/verification/check": (lambda it: verification(it, "check"), {"message": "Verification code is correct.", "success": True}),
    "phones/verification/status": (lambda it: verification(it, "status"), AtLeast(message=str, success=True)),
    "phones/info": (
        lambda it: ask(it, "GET", f"{P}/phones/info", params=PHONE),
        {
            "message": re.compile(r"Phone number information as of 2023-11-14 22:13:20 UTC"),
            "type": "cellphone",
            "provider": str,
            "ported": bool,
            "success": True,
        },
    ),
    "approval_requests/create": (approval, {"approval_request": {"uuid": UUID}, "success": True}),
    "approval_requests/status pending": (lambda it: approval(it, "pending"), asked("pending")),
    "approval_requests/status expired": (lambda it: approval(it, "expired"), asked("expired")),
    "approval_requests/status approved": (lambda it: approval(it, "approved"), asked("approved", **ANSWERED)),
    "approval_requests/status denied": (lambda it: approval(it, "denied"), asked("denied", **ANSWERED)),
}


def test_each_call_that_can_go_well_is_among_these(service: Service) -> None:
    for make, _ in GOOD.values():
        make(service)
    went_well = {call.route for call in service.emulator.calls}
    # A registration by the Authy SDK is never found here: it has no good answer.
    assert went_well == {route for route, *_ in TABLE} - {"registrations/status"}


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_has_exactly_the_members_and_types_on_record(service: Service, name: str) -> None:
    make, spec = GOOD[name]
    answer = make(service)
    assert answer.status_int == 200
    assert complaints(answer.json, spec) == []


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_is_compact_json_in_ascii(service: Service, name: str) -> None:
    answer = GOOD[name][0](service)
    assert answer.body == json.dumps(answer.json, separators=(",", ":")).encode("ascii")
    assert answer.headers["Content-Type"] == "application/json;charset=utf-8"
    assert int(answer.headers["Content-Length"]) == len(answer.body)


@pytest.mark.parametrize("name", GOOD)
def test_success_is_a_boolean_but_the_text_true_of_verify(service: Service, name: str) -> None:
    said = GOOD[name][0](service).json["success"]
    assert said == "true" if name.startswith("verify") else said is True


@pytest.mark.parametrize("name", [name for name in GOOD if not name.startswith("verify")])
def test_no_other_answer_can_be_taken_for_a_good_code(service: Service, name: str) -> None:
    text = GOOD[name][0](service).text
    assert '"token"' not in text
    assert "is valid" not in text
    assert '"success":"true"' not in text


@pytest.mark.parametrize("name", [name for name in GOOD if "ignored" not in name])
def test_ignored_is_not_even_there_unless_something_was_ignored(service: Service, name: str) -> None:
    # Some clients ask only whether the member exists.
    assert "ignored" not in GOOD[name][0](service).json


def test_the_applications_number_is_one_and_the_same(service: Service) -> None:
    pending = approval(service, "pending").json["approval_request"]
    details = ask(service, "GET", f"{P}/app/details").json["app"]
    assert details["app_id"] == ask(service, "GET", f"{P}/app/stats").json["app_id"] == pending["_app_serial_id"]
    assert details["name"] == pending["_app_name"]


def test_the_name_of_the_application_has_at_most_thirty_characters() -> None:
    details = ask(Service(app_name="An application with a very long name indeed"), "GET", f"{P}/app/details").json["app"]
    assert details["name"] == "An application with a very lon"


@pytest.mark.parametrize(
    ("country", "number", "message_mask", "status_mask"),
    [
        ("54", "317-338-9302", "+54-XXX-XXX-XX02", "XXX-XXX-9302"),
        ("57", "300 123 4512", "+57-XXX-XXX-XX12", "XXX-XXX-4512"),
        ("351", "912 344 567", "+351-XXX-XXX-XX67", "XX-XXX-4567"),
        ("1", "408 555 5285", "+1-XXX-XXX-XX85", "XXX-XXX-5285"),
        ("65", "8123 4567", "+65-XXX-XXX-XX67", "X-XXX-4567"),
        ("354", "611 1234", "+354-XXX-XXX-XX34", "XXX-1234"),
        ("49", "1512 3456789", "+49-XXX-XXX-XX89", "XXXX-XXX-6789"),
    ],
)
def test_numbers_are_masked_as_on_record(service: Service, country: str, number: str, message_mask: str, status_mask: str) -> None:
    who = service.register(number, country)
    for kind in ("sms", "call"):
        assert ask(service, "GET", f"{P}/{kind}/{who}").json["cellphone"] == message_mask
    service.emulator.phone(who).install_app()
    for kind in ("sms", "call"):
        assert ask(service, "GET", f"{P}/{kind}/{who}").json["cellphone"] == message_mask
    described = ask(service, "GET", f"{P}/users/{who}/status").json["status"]
    assert (described["phone_number"], described["country_code"]) == (status_mask, int(country))


@pytest.mark.parametrize("country", ["54", "1"])
def test_numbers_that_are_only_local_are_no_numbers(service: Service, country: str) -> None:
    # The Rust client's tests saw this of the real service, with 54.
    answer = ask(service, "POST", f"{P}/phones/verification/start", params={"via": "call", "country_code": country, "phone_number": "555-9302"})
    assert java(answer) == (400, "60033", "Phone number is invalid")
    assert java(new(service, cellphone="555-9302", country_code=country)) == (400, "60027", "User was not valid")
    assert service.emulator.phones == []


# -- every failure


def fill(path: str, token: str = "1234567", who: str = "1635") -> str:
    return path.replace("<token>", token).replace("<id>", who).replace("<uuid>", UNKNOWN)


ROWS = {f"{method} {path}": (method, fill(path)) for _, method, path, _ in TABLE}
NOWHERE = [
    "/x",
    "/protected",
    "/protected/json",
    "/protected/json/",
    "/protected/json/nowhere",
    "/protected/json/users",
    "/protected/json/users/1635",
    "/protected/json/users/new/1",
    "/protected/json/sms",
    "/protected/json/sms/",
    "/protected/json/SMS/1635",
    "/protected/json/verify/1234567",
    "/protected/json/verify//1635",
    "/protected/json/verify/1/2/3",
    "/protected/json/verify/../sms/1635",
    "/protected/json/approval_requests/x",
    "/protected/../protected/json/app/details",
    "/protected/xml/app/details",
    "/onetouch/json",
    "/onetouch/json/users/1635",
    "/onetouch/json/sms/1635",
    "/dashboard/json/application/webhooks",
    "/json/users/1-4085555270/status",
]


def settled(rules: Rules | None = None) -> Service:
    """A service with one user."""
    service = Service(rules=rules) if rules else Service()
    service.register()
    return service


def java(answer: TestResponse) -> tuple[int, str, str]:
    """Status, code and message as the Java client takes them from any answer but 200; it throws where one of the two is no text."""
    assert answer.status_int != 200
    said = answer.json
    assert type(said["message"]) is str
    assert type(said["error_code"]) is str
    return answer.status_int, str(int(said["error_code"])), said["message"]


def shaped(answer: TestResponse) -> None:
    """The shape that every failure has: for Go a map of texts, for Rust a text for a code, and each bad field once more at the top."""
    said = answer.json
    top = {"message": str, "success": False, "errors": Of(str), "error_code": re.compile("6[0-9]{4}")}
    fields = {name: str for name in said if name not in top}
    assert complaints(said, {**top, **fields}) == []
    assert said["errors"].get("message", said["message"]) == said["message"]
    for name in set(said["errors"]) - {"message"}:
        assert said[name] == said["errors"][name]
    assert answer.body == json.dumps(said, separators=(",", ":")).encode("ascii")
    assert answer.headers["Content-Type"] == "application/json;charset=utf-8"


@pytest.mark.parametrize("path", NOWHERE)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_address_has_a_message_and_a_code(method: str, path: str) -> None:
    service = settled()
    answer = ask(service, method, path)
    shaped(answer)
    assert java(answer)[:2] in ((404, "60002"), (405, "60002"))
    assert service.emulator.phone(1635).messages == []


@pytest.mark.parametrize("row", ROWS)
def test_a_wrong_method_has_a_message_and_a_code(row: str) -> None:
    service = settled()
    method, path = ROWS[row]
    for other in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - {method}:
        answer = ask(service, other, path)
        shaped(answer)
        assert java(answer)[:2] == (405, "60002")
    assert service.emulator.phone(1635).messages == []


@pytest.mark.parametrize("row", ROWS)
def test_a_bad_key_has_a_message_and_a_code(row: str) -> None:
    service = settled()
    method, path = ROWS[row]
    for key in ("", "wrong", KEY.upper(), KEY[:-1]):
        answer = ask(service, method, path, headers={"X-Authy-API-Key": key})
        shaped(answer)
        assert java(answer) == (401, "60001", "Invalid API key")
        assert answer.json == {"message": "Invalid API key", "success": False, "errors": {"message": "Invalid API key"}, "error_code": "60001"}
    assert service.emulator.phone(1635).messages == []


@pytest.mark.parametrize("row", [row for row, (_, path) in ROWS.items() if "/1635" in path])
@pytest.mark.parametrize("who", ["99", "0", "tony", "1e3", "1.635e3", "+1635", "1635.0", "0x663", "-1635", "%D9%A1%D9%A6%D9%A3%D9%A5"])
def test_an_unknown_user_has_a_message_and_a_code(row: str, who: str) -> None:
    # PHP's is_numeric and Java's parseLong let more through than digits.
    service = settled()
    method, path = ROWS[row]
    answer = ask(service, method, path.replace("/1635", f"/{who}"), json={"message": "Login?"} if method == "POST" else None)
    shaped(answer)
    expected = {"verify": (404, "60016", "User doesn't exist"), "devices": (404, "60092", CODES[60092][1])}
    assert java(answer) == next((said for part, said in expected.items() if part in path), (404, "60026", "User not found."))


@pytest.mark.parametrize("token", ["1e56789", "+1234567", "-1234567", "1.234567", "0x12345", "1234567.", " 1234567", "12345", "1" * 13, "²²²²²²²", "१२३४५६७"])
@pytest.mark.parametrize("force", ["true", "false", ""])
def test_a_token_that_only_some_clients_take_for_a_number_is_never_good(token: str, force: str) -> None:
    service = settled()
    answer = ask(service, "GET", f"{P}/verify/{_quoted(token)}/1635", params={"force": force} if force else None)
    shaped(answer)
    assert java(answer) == (401, "60020", "Token is invalid")


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def failing(what: str) -> TestResponse:
    """One failure of each kind that the calls themselves have."""
    off = Rules(sms_enabled=False, calls_enabled=False, onetouch_enabled=False, generic_tokens_enabled=False, exports_enabled=False)
    service = settled(off if what.startswith("off ") else None)
    phone = service.emulator.phone(1635)
    start = f"{P}/phones/verification/start"
    one_touch = "/onetouch/json/users/1635/approval_requests"
    made: dict[str, Callable[[], TestResponse]] = {
        "bad user": lambda: new(service, email="x", cellphone="AAA"),
        "bad country": lambda: new(service, country_code=999),
        "no user": lambda: ask(service, "POST", f"{P}/users/new"),
        "bad update": lambda: ask(service, "POST", f"{P}/users/1635/update", params={"email": "x"}),
        "bad activity": lambda: ask(service, "POST", f"{P}/users/1635/register_activity", params={"type": "party"}),
        "bad size": lambda: ask(service, "POST", f"{P}/users/1635/secret", params={"qr_size": "x"}),
        "no secret": lambda: ask(service, "GET", f"{P}/users/1635/secret/export"),
        "registration": lambda: ask(service, "GET", f"{P}/registrations/status", params={"custom_user_id": "1"}),
        "no registration": lambda: ask(service, "GET", f"{P}/registrations/status"),
        "long action": lambda: ask(service, "GET", f"{P}/sms/1635", params={"action": "x" * 256}),
        "wrong code": lambda: ask(service, "GET", f"{P}/verify/0000000/1635", params={"force": "true"}),
        "used code": lambda: _twice(service),
        "suspended sms": lambda: phone.suspend() or ask(service, "GET", f"{P}/sms/1635"),
        "suspended verify": lambda: phone.suspend() or ask(service, "GET", f"{P}/verify/0000000/1635"),
        "removed": lambda: ask(service, "POST", f"{P}/users/1635/remove") and ask(service, "GET", f"{P}/sms/1635"),
        "bad number": lambda: ask(service, "POST", start, params={**PHONE, "phone_number": "555-9302", "via": "sms"}),
        "no number": lambda: ask(service, "GET", f"{P}/phones/info"),
        "bad via": lambda: ask(service, "POST", start, params={**PHONE, "via": "pigeon"}),
        "foreign country": lambda: ask(service, "GET", f"{P}/phones/info", params={**PHONE, "country_code": "999"}),
        "wrong verification": lambda: (
            ask(service, "POST", start, params={**PHONE, "via": "sms"})
            and ask(service, "GET", f"{P}/phones/verification/check", params={**PHONE, "verification_code": "x"})
        ),
        "no verification": lambda: ask(service, "GET", f"{P}/phones/verification/check", params={**PHONE, "verification_code": "1234"}),
        "status of nothing": lambda: ask(service, "GET", f"{P}/phones/verification/status"),
        "custom code": lambda: ask(service, "POST", start, params={**PHONE, "via": "sms", "custom_code": "12345"}),
        "no message": lambda: ask(service, "POST", one_touch),
        "no app": lambda: ask(service, "POST", one_touch, params={"message": "Login?"}),
        "bad logos": lambda: ask(service, "POST", one_touch, json={"message": "Login?", "logos": [{"res": "low", "url": "https://x/"}]}),
        "unknown request": lambda: ask(service, "GET", f"/onetouch/json/approval_requests/{UNKNOWN}"),
        "off sms": lambda: ask(service, "GET", f"{P}/sms/1635"),
        "off call": lambda: ask(service, "GET", f"{P}/call/1635"),
        "off onetouch": lambda: ask(service, "POST", one_touch, params={"message": "Login?"}),
        "off secret": lambda: ask(service, "POST", f"{P}/users/1635/secret"),
        "off export": lambda: ask(service, "GET", f"{P}/users/1635/phone_number"),
        "broken json": lambda: ask(service, "POST", f"{P}/users/new", params="{", headers={"Content-Type": "application/json"}),
        "broken text": lambda: ask(service, "POST", f"{P}/users/new", params=b"a=%ff", headers={"Content-Type": "application/x-www-form-urlencoded"}),
        "odd body": lambda: ask(service, "POST", f"{P}/users/new", params="<x/>", headers={"Content-Type": "text/xml"}),
        "large body": lambda: ask(service, "POST", f"{P}/users/new", params="a=" + "x" * 2**20),
        "foreign host": lambda: ask(service, "GET", f"{P}/app/details", headers={"Host": "evil.example"}),
    }
    return made[what]()


def _twice(service: Service) -> TestResponse:
    code = service.sms(1635)
    service.verify(1635, code)
    return ask(service, "GET", f"{P}/verify/{code}/1635", params={"force": "true"})


BAD = {
    "bad user": (400, "60027"),
    "bad country": (400, "60027"),
    "no user": (400, "60027"),
    "bad update": (400, "60027"),
    "bad activity": (400, "60029"),
    "bad size": (400, "60004"),
    "no secret": (404, "60002"),
    "registration": (404, "60035"),
    "no registration": (400, "60004"),
    "long action": (400, "60004"),
    "wrong code": (401, "60020"),
    "used code": (401, "60019"),
    "suspended sms": (503, "60017"),
    "suspended verify": (503, "60017"),
    "removed": (404, "60026"),
    "bad number": (400, "60033"),
    "no number": (400, "60004"),
    "bad via": (400, "60004"),
    "foreign country": (403, "60078"),
    "wrong verification": (401, "60022"),
    "no verification": (404, "60023"),
    "status of nothing": (400, "60042"),
    "custom code": (403, "60091"),
    "no message": (400, "60004"),
    "no app": (400, "60050"),
    "bad logos": (400, "60004"),
    "unknown request": (404, "60049"),
    "off sms": (503, "60007"),
    "off call": (503, "60006"),
    "off onetouch": (403, "60065"),
    "off secret": (403, "60123"),
    "off export": (403, "60031"),
    "broken json": (400, "60002"),
    "broken text": (400, "60005"),
    "odd body": (400, "60002"),
    "large body": (413, "60002"),
    "foreign host": (403, "60002"),
}


@pytest.mark.parametrize("what", BAD)
def test_every_failure_of_a_call_has_a_message_and_a_code(what: str) -> None:
    answer = failing(what)
    shaped(answer)
    assert java(answer)[:2] == BAD[what]


@pytest.mark.parametrize("what", BAD)
def test_no_failure_can_be_taken_for_a_good_code(what: str) -> None:
    answer = failing(what)
    assert answer.json.get("token", "is invalid") == "is invalid"
    assert not ssh_login(answer)
    assert not vpn(answer.text)


def test_generic_tokens_that_are_off_say_so_in_the_services_words() -> None:
    assert failing("off secret").json["message"] == "The application does not have Generic Tokens enabled"


def test_every_error_code_can_be_had_in_that_shape(service: Service) -> None:
    who = service.register()
    for code in CODES:
        service.emulator.add_fault(route="sms", kind="status", code=code)
        answer = ask(service, "GET", f"{P}/sms/{who}")
        shaped(answer)
        assert java(answer)[:2] == (CODES[code][0], str(code))
        # The Rust client knows these statuses and panics at any other.
        assert answer.status_int in (400, 401, 403, 404, 429, 500, 503)
    assert service.emulator.phone(who).messages == []


# -- Rust: serde wants every member of a struct, of its own width


U16, U32 = Between(0, 2**16 - 1), Between(0, 2**32 - 1)
SAID = {"success": True, "message": str, "error_code": Maybe(str)}
RUST = {
    "users/new": {"user": AtLeast(id=U32)},
    "users/new again": {"user": AtLeast(id=U32)},
    "users/{id}/delete": {},
    **{
        name: {
            "status": AtLeast(
                authy_id=U32,
                country_code=U16,
                phone_number=str,
                devices=[str],
                **dict.fromkeys(("confirmed", "registered", "account_disabled", "has_hard_token"), bool),
            )
        }
        for name in ("users/status", "users/status with the app", "users/status confirmed", "users/status removed")
    },
    **{name: {"cellphone": str, "device": Maybe(str), "ignored": Maybe(bool)} for name in ("sms", "sms ignored", "sms forced", "call", "call ignored")},
    "users/register_activity": {},
    **{f"verify by {kind}": {} for kind in ("sms", "android", "generic", "any")},
    "app/details": {"app": AtLeast(app_id=U32, name=str, plan=str, onetouch_enabled=bool, sms_enabled=bool)},
    "app/stats": {"stats": [AtLeast(month=str, year=U16, **dict.fromkeys(("api_calls_count", "auths_count", "calls_count", "sms_count", "users_count"), U32))]},
    "phones/verification/start": {"is_ported": bool, "is_cellphone": bool},
    "phones/verification/check": {},
    "phones/info": {"type": str, "provider": str, "ported": bool},
}


@pytest.mark.parametrize("name", RUST)
def test_rust_can_fill_its_structs(service: Service, name: str) -> None:
    said = GOOD[name][0](service).json
    if said["success"] == "true":  # it does this to every answer, for the sake of verify
        said["success"] = True
    assert complaints(said, AtLeast({**SAID, **RUST[name]})) == []


def test_rust_finds_the_masked_number_that_it_saw_in_the_real_service(service: Service) -> None:
    fields = {"user[email]": "user@domain.com", "user[country_code]": "54", "user[cellphone]": "317-338-9302"}
    who = ask(service, "POST", f"{P}/users/new", params=fields).json["user"]["id"]
    for query in ("?force=false", "?force=true&action=an_action&action_message=a_message"):
        assert ask(service, "GET", f"{P}/sms/{who}{query}").json["cellphone"] == "+54-XXX-XXX-XX02"


def test_a_post_may_come_without_a_length() -> None:
    service = settled()
    request = TestRequest.blank(f"{P}/users/1635/delete", method="POST", headers={"X-Authy-API-Key": KEY})
    request.environ.pop("CONTENT_LENGTH", None)
    assert service.app.do_request(request).json == REMOVED


# -- Go: encoding/json takes what is absent or null, and nothing of another type

GO = {
    "users/new": {"user": AtLeast(id=int), "errors": Maybe(Of(str)), "message": str},
    **{
        name: {
            "status": AtLeast(authy_id=int, confirmed=bool, registered=bool, country_code=int, phone_number=str, devices=[str]),
            "message": str,
            "success": bool,
        }
        for name in ("users/status", "users/status with the app", "users/status removed")
    },
    **{name: {"message": str} for name in ("sms", "sms ignored", "call", "call ignored")},
    **{f"verify by {kind}": {"message": str, "token": "is valid"} for kind in ("sms", "android", "generic", "any")},
    "users/secret": {"label": str, "issuer": str, "qr_code": str, "message": Maybe(str)},
    "approval_requests/create": {"success": bool, "approval_request": AtLeast(uuid=str, status=Maybe(str), notified=Maybe(bool))},
    **{
        f"approval_requests/status {outcome}": {"success": bool, "approval_request": AtLeast(uuid=str, status=outcome, notified=bool)}
        for outcome in ("pending", "approved", "denied", "expired")
    },
    "phones/verification/start": {"message": str, "success": bool},
    "phones/verification/check": {"message": str, "success": bool},
}


@pytest.mark.parametrize("name", GO)
def test_go_can_fill_its_structs(service: Service, name: str) -> None:
    assert complaints(GOOD[name][0](service).json, AtLeast(GO[name])) == []


@pytest.mark.parametrize("what", BAD)
def test_go_can_fill_its_structs_with_failures(what: str) -> None:
    spec = AtLeast(errors=Of(str), message=str, success=False, token=Maybe(str), user=Maybe(dict), approval_request=Maybe(dict))
    assert complaints(failing(what).json, spec) == []


def test_go_asks_with_two_slashes_and_the_key_in_the_form(service: Service) -> None:
    form = {"user[cellphone]": "432-123-1111", "user[country_code]": "1", "user[email]": "foo@example.com", "api_key": KEY}
    who = service.app.post("//protected/json/users/new", form).json["user"]["id"]
    assert service.app.get(f"//protected/json/sms/{who}", {"api_key": KEY, "force": "true"}).json["message"] == "SMS token was sent"
    code = service.emulator.phone(who).code
    assert service.app.get(f"//protected/json/verify/{code}/{who}", {"api_key": KEY, "force": "true"}).json["token"] == "is valid"
    service.emulator.phone(who).install_app()
    sent = service.app.post(f"//onetouch/json/users/{who}/approval_requests", {"message": "Login?", "details[User]": "foo", "api_key": KEY})
    assert service.emulator.phone(who).approvals[0]["uuid"] == sent.json["approval_request"]["uuid"]
    assert service.emulator.phone(who).approvals[0]["details"] == {"User": "foo"}
    assert KEY not in repr(service.emulator.calls)


# -- Java: getters that throw at another type (its JSON library takes "true" for a boolean, and a number for no text)

JAVA = {
    **{name: {"user": AtLeast(id=Between(0, 2**31 - 1))} for name in ("users/new", "users/new again")},
    **{
        name: {
            "status": AtLeast(
                authy_id=Between(0, 2**31 - 1), confirmed=bool, registered=bool, country_code=Between(0, 2**31 - 1), phone_number=str, devices=[str]
            ),
            "message": str,
            "success": True,
        }
        for name in ("users/status", "users/status with the app", "users/status confirmed", "users/status removed")
    },
    **{
        name: {"message": str, "success": True, "token": Maybe(str)}
        for name in ("sms", "sms ignored", "sms forced", "call", "call ignored", "email", "email ignored", "users/delete/{id}")
    },
    **{f"verify by {kind}": {"message": "Token is valid."} for kind in ("sms", "call", "android", "generic", "any")},
    "approval_requests/create": {"success": True, "approval_request": AtLeast(uuid=str)},
    **{
        f"approval_requests/status {outcome}": {
            "success": True,
            "approval_request": AtLeast(notified=bool, created_at=str, uuid=str, status=outcome, _user_email=str, _app_name=str, updated_at=str),
        }
        for outcome in ("pending", "approved", "denied", "expired")
    },
    "phones/verification/start": {"message": str, "is_ported": Maybe(bool), "is_cellphone": Maybe(bool)},
    "phones/verification/start by call": {"message": str, "is_ported": Maybe(bool), "is_cellphone": Maybe(bool)},
    "phones/verification/check": {"message": str},
    "phones/info": {"message": str, "type": str, "provider": str, "ported": bool},
}


@pytest.mark.parametrize("name", JAVA)
def test_java_gets_what_it_asks_for(service: Service, name: str) -> None:
    assert complaints(GOOD[name][0](service).json, AtLeast(JAVA[name])) == []


def test_java_says_json_where_there_is_none() -> None:
    service = settled()
    kind = {"Content-Type": "application/json"}
    assert ask(service, "POST", f"{P}/email/1635", params="{}", headers=kind).json["message"] == "Email token was sent"
    assert ask(service, "GET", f"{P}/users/1635/status", headers=kind).json["message"] == "User status."
    assert ask(service, "POST", f"{P}/users/delete/1635", headers=kind).json == REMOVED


# -- PHP: everything in the query of a POST that has no body


def test_php_asks_with_a_query_alone(service: Service) -> None:
    query = "user[email]=user@example.com&user[country_code]=1&user[cellphone]=305-456-2345&user[send_install_link_via_sms]=1"
    answer = ask(service, "POST", f"{P}/users/new?{query}")
    assert answer.json == {"message": "User created successfully.", "user": {"id": 1635}, "success": True}
    service.emulator.phone(1635).install_app()
    query = "message=Login%3F&details%5BUser%5D=a+b&logos%5B0%5D%5Bres%5D=default&logos%5B0%5D%5Burl%5D=https%3A%2F%2Fx%2F&seconds_to_expire=60"
    assert ask(service, "POST", f"/onetouch/json/users/1635/approval_requests?{query}").json["success"] is True
    assert service.emulator.phone(1635).approvals[0]["details"] == {"User": "a b"}
    assert ask(service, "POST", f"{P}/phones/verification/start?via=call&country_code=1&phone_number=201-555-0123&code_length=6").json["success"] is True


# -- Ruby: a form in which an absent list is an empty text


def test_ruby_leaves_empty_what_it_was_not_given(service: Service) -> None:
    who = user(service, app=True)
    form = "message=Login%3F&details=&hidden_details=&logos=&seconds_to_expire="
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = ask(service, "POST", f"/onetouch/json/users/{who}/approval_requests", params=form, headers=headers)
    assert complaints(answer.json, {"approval_request": {"uuid": UUID}, "success": True}) == []
    kept = ask(service, "GET", f"/onetouch/json/approval_requests/{answer.json['approval_request']['uuid']}").json["approval_request"]
    assert (kept["seconds_to_expire"], service.emulator.phone(who).approvals[0]["details"]) == (86400, {})


# -- authy-ssh: globs and grep over the raw text


def ssh_enable(text: str) -> list[str]:
    """The ids that `enable` finds; it complains of the phone or the address where their names are anywhere in the text."""
    assert not fnmatchcase(text, "*cellphone*"), "Cellphone is invalid"
    assert not fnmatchcase(text, "*email*"), "Email is invalid"
    assert fnmatchcase(text, "*user*id*"), "Unknown response"
    return re.findall(r"[0-9]+", text)


def ssh_login(answer: TestResponse) -> bool:
    """Whether a login is let through; the text and the status are split at a bar."""
    body, status = f"{answer.text}|{answer.status_int}".split("|")
    return status == "200" and fnmatchcase(body, '*"token":"is*valid"*')


def ssh_sms(text: str) -> str:
    if fnmatchcase(text, "*success*sent*"):
        return "sent"
    return "not enabled" if fnmatchcase(text, "*not*enabled*") else "failed"


@pytest.mark.parametrize("times", [1, 2], ids=["new", "known"])
def test_ssh_finds_one_id_and_no_other_digit(service: Service, times: int) -> None:
    service.register("405-342-5699")
    curl = "user[email]=alice@example.com&user[country_code]=1&user[cellphone]=4085555270"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for _ in range(times):
        answer = service.app.post(f"{P}/users/new?api_key={KEY}", curl, headers=headers)
    assert ssh_enable(answer.text) == ["1636"]
    for word in ("country", "phone", "@"):
        assert word not in answer.text


@pytest.mark.parametrize(("field", "value", "word"), [("cellphone", "AAA", "Cellphone"), ("email", "x", "Email")])
def test_ssh_sees_which_field_is_bad(service: Service, field: str, value: str, word: str) -> None:
    with pytest.raises(AssertionError, match=f"{word} is invalid"):
        ssh_enable(new(service, **{field: value}).text)


@pytest.mark.parametrize("kind", ["sms", "call", "android", "generic"])
def test_ssh_lets_in_with_a_good_code(service: Service, kind: str) -> None:
    assert ssh_login(verify(service, kind)) is True


@pytest.mark.parametrize("what", ["wrong code", "used code", "suspended verify"])
def test_ssh_lets_nobody_in_otherwise(what: str) -> None:
    assert ssh_login(failing(what)) is False


def test_ssh_reads_what_became_of_an_sms(service: Service) -> None:
    assert ssh_sms(send(service, "sms", force=True).text) == "sent"
    assert ssh_sms(send(service, "sms", app=True, force=True).text) == "sent"
    assert ssh_sms(send(service, "sms", app=True).text) == "failed"
    assert ssh_sms(failing("off sms").text) == "not enabled"
    assert ssh_sms(failing("suspended sms").text) == "failed"
    assert ssh_sms(ask(service, "GET", f"{P}/sms/99").text) == "failed"


# -- authy-openvpn: the first twenty tokens of the text, by a parser without a memory


def jsmn(text: str, room: int = 20) -> list[str]:
    """The first tokens of a JSON text in order: objects and lists by their first character, texts without their quotes."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|([{\[])|([^\s{}\[\]:,"]+)', text)
    return [next(part for part in parts if part) if any(parts) else "" for parts in found][:room]


def vpn(text: str) -> bool:
    """Whether it lets in: the value after the first `token`; both are compared over the length that is there, so an empty text is everything."""
    tokens = jsmn(text)
    for at, token in enumerate(tokens[:19]):
        if "token".startswith(token):
            return "is valid".startswith(tokens[at + 1])
    return False


@pytest.mark.parametrize("kind", ["sms", "call", "android", "generic"])
def test_vpn_finds_the_token_among_the_first_twenty(service: Service, kind: str) -> None:
    answer = verify(service, kind)
    assert vpn(answer.text) is True
    assert len(jsmn(answer.text, 1000)) > 20


@pytest.mark.parametrize("name", [name for name in GOOD if not name.startswith("verify")])
def test_vpn_lets_nobody_in_by_another_calls_answer(service: Service, name: str) -> None:
    assert vpn(GOOD[name][0](service).text) is False


def test_the_vpn_model_is_as_gullible_as_the_original() -> None:
    assert vpn('{"success":true,"token":""}') is True
    assert vpn('{"token":"is invalid"}') is False
    assert vpn('{"device":{' + ",".join(f'"k{at}":null' for at in range(10)) + '},"token":"is valid"}') is False


def test_time_stands_where_the_answers_say(service: Service) -> None:
    described = approval(service, "approved").json["approval_request"]
    assert (described["created_at"], described["processed_at"], described["updated_at"]) == (
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:25Z",
        "2023-11-14T22:13:25Z",
    )
    assert described["device"]["last_sync_date"] == START + 5
