"""Phone verification and information: section 6 of what is known of the service."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from authy_wsgi.emulator import Rules

from .service import KEY, START, Service

PHONE = {"country_code": "1", "phone_number": "201-555-0123"}
E164 = "+12015550123"
LANDLINE = {"country_code": "44", "phone_number": "20 7946 0958"}


def start(service: Service, status: int = 200, **more: Any) -> Any:
    return service.post("phones/verification/start", {**PHONE, "via": "sms", **more}, status=status)


def check(service: Service, code: str, status: int = 200, **more: str) -> Any:
    return service.get("phones/verification/check", {**PHONE, "verification_code": code, **more}, status=status)


def code_of(service: Service, number: str = E164) -> str:
    return service.emulator.phone(number).code


# -- start


def test_a_start_answers_all_that_clients_read(service: Service) -> None:
    answer = start(service)
    assert {name: type(value) for name, value in answer.items()} == {
        "carrier": str,
        "is_cellphone": bool,
        "is_ported": bool,
        "message": str,
        "seconds_to_expire": int,
        "uuid": str,
        "success": bool,
    }
    assert answer["message"] == "Text message sent to +1 201-555-0123."
    assert (answer["seconds_to_expire"], answer["is_cellphone"], answer["success"]) == (599, True, True)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer["uuid"])


def test_the_code_arrives_on_a_phone_that_is_no_users(service: Service) -> None:
    start(service)
    phone = service.phone(E164)
    code = phone["messages"][-1]["code"]
    assert re.fullmatch(r"[0-9]{4}", code)
    assert phone["messages"] == [{"kind": "sms", "code": code, "text": f"Your Authy Demo verification code is: {code}", "at": START}]
    assert phone["authy_id"] is None
    assert service.get("app/stats")["total_users"] == 0


def test_a_call_says_the_code_digit_by_digit(service: Service) -> None:
    assert start(service, via="call")["message"] == "Call to +1 201-555-0123 initiated."
    message = service.phone(E164)["messages"][-1]
    assert (message["kind"], message["text"]) == ("call", f"Your Authy Demo verification code is: {' '.join(message['code'])}")


@pytest.mark.parametrize(
    ("locale", "via", "says"),
    [
        ("es", "call", "Llamada a +1 201-555-0123 fue iniciada."),
        ("es-MX", "call", "Llamada a +1 201-555-0123 fue iniciada."),
        ("es", "sms", "Mensaje enviado a +1 201-555-0123."),
        ("de", "sms", "SMS an +1 201-555-0123 gesendet."),
        ("fr", "call", "Appel vers +1 201-555-0123 lancé."),
        ("it", "sms", "SMS inviato a +1 201-555-0123."),
        ("nl", "sms", "Sms verzonden naar +1 201-555-0123."),
        ("pt-BR", "sms", "Mensagem enviada para +1 201-555-0123."),
        ("ja", "sms", "Text message sent to +1 201-555-0123."),
    ],
)
def test_the_answer_and_the_message_speak_the_locale(service: Service, locale: str, via: str, says: str) -> None:
    assert start(service, via=via, locale=locale)["message"] == says
    text = service.phone(E164)["messages"][-1]["text"]
    assert ("verification code is" in text) == (locale == "ja")
    check(service, code_of(service))


@pytest.mark.parametrize("length", [4, 6, 7, 10])
def test_a_code_is_as_long_as_it_was_asked_for(service: Service, length: int) -> None:
    service.post_json("phones/verification/start", {**PHONE, "via": "sms", "code_length": length})
    assert re.fullmatch(rf"[0-9]{{{length}}}", code_of(service))
    check(service, code_of(service))


def test_its_usual_length_is_a_setting() -> None:
    service = Service(rules=Rules(verification_digits=6))
    start(service)
    assert len(code_of(service)) == 6


@pytest.mark.parametrize("number", ["201-555-0123", "2015550123", "201.555.0123", "(201) 555 0123", "+1 201 555 0123"])
def test_a_number_is_the_same_however_it_is_written(service: Service, number: str) -> None:
    uuid = start(service)["uuid"]
    assert start(service, phone_number=number)["uuid"] == uuid
    assert service.get("phones/verification/status", {**PHONE, "phone_number": number})["uuid"] == uuid
    check(service, code_of(service), phone_number=number)


def test_the_same_code_comes_again_within_its_time_by_text_and_call(service: Service) -> None:
    first = start(service, code_length=6)
    service.emulator.advance(100)
    second = start(service, via="call", code_length=8)
    assert (second["uuid"], second["seconds_to_expire"]) == (first["uuid"], 499)
    messages = service.phone(E164)["messages"]
    assert messages[0]["code"] == messages[1]["code"]
    assert [it["kind"] for it in messages] == ["sms", "call"]
    service.emulator.advance(499)
    check(service, code_of(service))


def test_a_code_expires_after_ten_minutes_and_a_start_then_brings_another_one(service: Service) -> None:
    first = start(service)
    old = code_of(service)
    service.emulator.advance(600)
    assert check(service, old, status=404)["error_code"] == "60023"
    assert service.get("phones/verification/status", PHONE)["status"] == "expired"
    second = start(service)
    assert second["uuid"] != first["uuid"]
    assert service.get("phones/verification/status", {"uuid": first["uuid"]}, status=404)["error_code"] == "60023"
    check(service, code_of(service))


def test_the_lifetime_is_a_setting() -> None:
    service = Service(rules=Rules(code_lifetime=60))
    assert start(service)["seconds_to_expire"] == 59
    service.emulator.advance(60)
    check(service, code_of(service), status=404)


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"country_code": ""}, "60004", "Invalid parameter: country_code - Parameter is required"),
        ({"phone_number": ""}, "60004", "Invalid parameter: phone_number - Parameter is required"),
        ({"via": ""}, "60004", "Invalid parameter: via - Parameter is required"),
        ({"phone_number": "12"}, "60033", "Phone number is invalid"),
        ({"phone_number": "call me"}, "60033", "Phone number is invalid"),
        ({"via": "pigeon"}, "60004", "Invalid parameter: via - Must be sms or call"),
        ({"code_length": "3"}, "60004", "Invalid parameter: code_length - Must be a number from 4 to 10"),
        ({"code_length": "11"}, "60004", "Invalid parameter: code_length - Must be a number from 4 to 10"),
        ({"code_length": "x"}, "60004", "Invalid parameter: code_length - Must be a number from 4 to 10"),
    ],
)
def test_bad_starts_say_what_is_wrong_and_send_nothing(service: Service, change: dict[str, str], code: str, says: str) -> None:
    assert start(service, status=400, **change) == {"message": says, "success": False, "errors": {"message": says}, "error_code": code}
    assert all(phone.messages == [] for phone in service.emulator.phones)


def test_an_unknown_country_is_refused_by_every_call(service: Service) -> None:
    assert start(service, status=403, country_code="999")["error_code"] == "60078"
    for path in ("phones/info", "phones/verification/check", "phones/verification/status"):
        assert service.get(path, {**PHONE, "country_code": "999", "verification_code": "1"}, status=403)["error_code"] == "60078"


def test_a_landline_is_called_but_gets_no_sms() -> None:
    service = Service()
    refused = start(service, status=403, **LANDLINE)
    assert (refused["error_code"], refused["message"]) == ("60082", "Cannot send SMS to landline phone numbers")
    called = start(service, via="call", **LANDLINE)
    assert called["is_cellphone"] is False
    check(service, code_of(service, "+442079460958"), **LANDLINE)
    lenient = Service(rules=Rules(sms_to_landlines=True))
    assert start(lenient, **LANDLINE)["success"] is True


def test_what_is_switched_off_says_so() -> None:
    service = Service(rules=Rules(sms_enabled=False))
    assert start(service, status=503)["error_code"] == "60007"
    assert start(service, via="call")["success"] is True
    service = Service(rules=Rules(calls_enabled=False))
    assert start(service, status=503, via="call")["error_code"] == "60006"
    assert start(service)["success"] is True


def test_codes_and_words_of_ones_own_need_a_switch(service: Service) -> None:
    for custom in ({"custom_code": "98765"}, {"custom_message": "It is {{code}}!"}):
        assert start(service, status=403, **custom)["error_code"] == "60091"
    allowed = Service(rules=Rules(custom_messages=True))
    start(allowed, custom_code="98765", custom_message="It is {{code}}!")
    assert allowed.phone(E164)["messages"][-1]["text"] == "It is 98765!"
    check(allowed, "98765")
    for odd in ("x", "123", "12345678901", "12 34"):
        assert start(allowed, status=400, phone_number="201-555-0124", custom_code=odd)["error_code"] == "60004"


# -- check


def test_a_right_code_is_right_once(service: Service) -> None:
    start(service)
    assert check(service, code_of(service)) == {"message": "Verification code is correct.", "success": True}
    says = "No pending verifications for +1 201-555-0123 found."
    assert check(service, code_of(service), status=404) == {"message": says, "success": False, "errors": {"message": says}, "error_code": "60023"}


def test_a_wrong_code_is_wrong_and_the_right_one_still_good(service: Service) -> None:
    start(service)
    right = code_of(service)
    for wrong in ("0000" if right != "0000" else "1111", "x", right + "0", right[:-1], "0" + right):
        answer = check(service, wrong, status=401)
        assert answer == {
            "message": "Verification code is incorrect",
            "success": False,
            "errors": {"message": "Verification code is incorrect"},
            "error_code": "60022",
        }
    check(service, right)


def test_a_check_without_a_start_or_a_number_says_which(service: Service) -> None:
    assert check(service, "1234", status=404)["error_code"] == "60023"
    assert check(service, "1234", status=400, phone_number="12")["error_code"] == "60033"
    for name in ("country_code", "phone_number", "verification_code"):
        answer = service.get("phones/verification/check", {**PHONE, "verification_code": "1", name: ""}, status=400)
        assert (answer["error_code"], answer["message"]) == ("60004", f"Invalid parameter: {name} - Parameter is required")


def test_a_number_verified_once_can_be_verified_again(service: Service) -> None:
    for _ in range(2):
        start(service)
        check(service, code_of(service))


def test_the_code_of_another_number_is_wrong(service: Service) -> None:
    start(service, custom="", phone_number="201-555-0199", code_length="10")
    start(service, code_length="10")
    check(service, code_of(service, "+12015550199"), status=401)


def test_a_users_codes_and_a_verifications_are_apart(service: Service, alice: int) -> None:
    number = {"country_code": "1", "phone_number": "408-555-5270"}
    users = service.sms(alice)
    start(service, code_length="7", **number)
    numbers = code_of(service, "+14085555270")
    assert service.verify(alice, numbers, status=401)["error_code"] == "60020"
    check(service, users, status=401, **number)
    service.verify(alice, users)
    check(service, numbers, **number)
    assert service.phone("+14085555270")["authy_id"] == alice


# -- with a body on GET


@pytest.mark.parametrize("kind", ["form", "json"])
def test_checks_and_questions_may_come_as_a_body_on_get(service: Service, kind: str) -> None:
    start(service)

    def ask(path: str, **more: str) -> Any:
        body = "&".join(f"{name}={value}" for name, value in {**PHONE, **more}.items()).encode()
        content_type = "application/x-www-form-urlencoded"
        if kind == "json":
            body, content_type = json.dumps({**PHONE, **more}).encode(), "application/json"
        return service.app.request(f"/protected/json/{path}?api_key={KEY}", method="GET", body=body, headers={"Content-Type": content_type}).json

    assert ask("phones/verification/check", verification_code=code_of(service))["success"] is True
    assert ask("phones/info", user_ip="1.2.3.4")["type"] == "cellphone"
    assert ask("phones/verification/status")["status"] == "verified"


# -- status


def test_a_verification_can_be_asked_for_by_number_and_by_uuid(service: Service) -> None:
    uuid = start(service)["uuid"]
    said = service.get("phones/verification/status", {"uuid": uuid})
    assert said == service.get("phones/verification/status", PHONE)
    assert (said["status"], said["success"], said["uuid"]) == ("pending", True, uuid)
    assert (said["country_code"], said["phone_number"]) == ("1", "2015550123")
    check(service, code_of(service))
    assert service.get("phones/verification/status", {"uuid": uuid})["status"] == "verified"


def test_a_status_of_nothing_says_what_is_missing(service: Service) -> None:
    for params in ({}, {"country_code": "1"}, {"phone_number": "201-555-0123"}):
        assert service.get("phones/verification/status", params, status=400)["error_code"] == "60042"
    assert service.get("phones/verification/status", {"uuid": "x"}, status=404)["error_code"] == "60023"
    assert service.get("phones/verification/status", PHONE, status=404)["error_code"] == "60023"


# -- information


@pytest.mark.parametrize(
    ("country_code", "number", "kind"),
    [("1", "201-555-0123", "cellphone"), ("351", "912 345 678", "cellphone"), ("44", "20 7946 0958", "landline"), ("44", "56 0123 4567", "voip")],
)
def test_a_number_is_described_by_its_kind(service: Service, country_code: str, number: str, kind: str) -> None:
    answer = service.get("phones/info", {"country_code": country_code, "phone_number": number, "user_ip": "1.2.3.4"})
    assert {name: type(value) for name, value in answer.items()} == {"message": str, "type": str, "provider": str, "ported": bool, "success": bool}
    assert (answer["type"], answer["success"]) == (kind, True)
    assert answer["message"] == "Phone number information as of 2023-11-14 22:13:20 UTC"


def test_information_is_of_the_services_time_and_leaves_no_phone(service: Service) -> None:
    service.emulator.set_clock(1_511_652_099)
    assert service.get("phones/info", PHONE)["message"] == "Phone number information as of 2017-11-25 23:21:39 UTC"
    assert service.emulator.phones == []


def test_information_about_no_number_says_what_is_wrong(service: Service) -> None:
    missing = service.get("phones/info", {"phone_number": "201-555-0123"}, status=400)
    assert (missing["error_code"], missing["message"]) == ("60004", "Invalid parameter: country_code - Parameter is required")
    assert service.get("phones/info", {**PHONE, "phone_number": "12"}, status=400)["message"] == "Phone number is invalid"
