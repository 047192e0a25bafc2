"""Limits that can be reached: what is refused, by which words, and that each opens again when its time is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from authy_wsgi.emulator import Rules

from .service import START, Service

NUMBER = {"country_code": "1", "phone_number": "201-555-0123"}
MINUTE_ENDS = START // 60 * 60 + 60
DAY_ENDS = 1_700_006_400  # the 15th of November 2023, 0:00 UTC
MONTH_ENDS = 1_701_388_800  # the 1st of December 2023, 0:00 UTC

LIMITS = [
    ("sms", "sms_per_day", "60010", "Daily SMS limit reached", DAY_ENDS),
    ("sms", "sms_per_month", "60009", "Monthly SMS limit reached", MONTH_ENDS),
    ("call", "calls_per_day", "60012", "Daily calls limit reached", DAY_ENDS),
    ("call", "calls_per_month", "60011", "Monthly calls limit reached", MONTH_ENDS),
]


def limited(**rules: Any) -> Service:
    return Service(rules=Rules(**rules))


def send(service: Service, kind: str, who: int, status: int = 200) -> Any:
    return service.get(f"{kind}/{who}", {"force": "true"}, status=status)


@pytest.mark.parametrize(("kind", "rule", "code", "says", "ends"), LIMITS)
@pytest.mark.parametrize("status", [429, 503])
def test_a_limit_of_messages_is_the_applications_and_opens_when_its_time_is_over(kind: str, rule: str, code: str, says: str, ends: int, status: int) -> None:
    service = limited(**{rule: 2, "limit_status": status})
    alice, bob = service.register(), service.register("408-555-5271")
    send(service, kind, alice)
    send(service, kind, bob)
    for who in (alice, bob):
        refused = send(service, kind, who, status)
        assert refused == {"message": says, "success": False, "errors": {"message": says}, "error_code": code}
    assert [len(phone.messages) for phone in service.emulator.phones] == [1, 1]
    service.emulator.set_clock(ends - 1)
    assert send(service, kind, alice, status)["error_code"] == code
    service.emulator.set_clock(ends)
    for _ in range(2):
        send(service, kind, alice)
    assert send(service, kind, alice, status)["error_code"] == code


@pytest.mark.parametrize(("kind", "rule"), [("sms", "sms_per_day"), ("call", "calls_per_day")])
def test_one_limit_is_not_the_others(kind: str, rule: str) -> None:
    service = limited(**{rule: 1})
    alice = service.register()
    send(service, kind, alice)
    send(service, kind, alice, 429)
    other = "call" if kind == "sms" else "sms"
    for _ in range(3):
        send(service, other, alice)
        service.post(f"email/{alice}")
    service.verify(alice, service.emulator.phone(alice).code)


def test_without_limits_there_is_none() -> None:
    service = Service()
    alice = service.register()
    for _ in range(60):
        send(service, "sms", alice)
        service.verify(alice, "0000000", status=401)
    service.verify(alice, service.emulator.phone(alice).code)


@pytest.mark.parametrize(("kind", "rule", "code"), [("sms", "sms_per_day", "60010"), ("call", "calls_per_day", "60012")])
def test_phone_verification_spends_the_same_messages(kind: str, rule: str, code: str) -> None:
    service = limited(**{rule: 1})
    service.post("phones/verification/start", {**NUMBER, "via": kind})
    assert send(service, kind, service.register(), 429)["error_code"] == code
    assert service.post("phones/verification/start", {**NUMBER, "via": kind}, status=429)["error_code"] == code


def test_what_one_limit_refuses_is_not_taken_from_the_other() -> None:
    service = limited(sms_per_day=1, sms_per_month=3)
    alice = service.register()
    for day in range(3):
        send(service, "sms", alice)
        assert [send(service, "sms", alice, 429)["error_code"] for _ in range(4)] == ["60009" if day == 2 else "60010"] * 4
        service.emulator.set_clock(DAY_ENDS + day * 86400)
    assert send(service, "sms", alice, 429)["error_code"] == "60009"
    assert len(service.emulator.phone(alice).messages) == 3


def test_a_request_that_is_refused_for_itself_costs_nothing() -> None:
    service = limited(sms_per_day=1)
    alice = service.register()
    service.get(f"sms/{alice}", {"action": "x" * 256}, status=400)
    service.get("sms/99", status=404)
    for bad in ({"code_length": "3"}, {"phone_number": "12"}, {"custom_code": "1"}):
        service.post("phones/verification/start", {**NUMBER, "via": "sms", **bad}, status="4*")  # type: ignore[arg-type]
    service.post("phones/verification/start", {"country_code": "44", "phone_number": "20 7946 0958", "via": "sms"}, status=403)
    service.emulator.phone(alice).install_app()
    assert service.get(f"sms/{alice}")["ignored"] is True
    send(service, "sms", alice)
    send(service, "sms", alice, 429)


# -- requests in a minute


@pytest.mark.parametrize("status", [429, 503])
def test_the_fourth_request_of_a_minute_is_one_too_many(status: int) -> None:
    service = limited(requests_per_minute=3, limit_status=status)
    alice = service.register()
    for _ in range(3):
        service.get(f"users/{alice}/status")
    refused = service.get(f"users/{alice}/status", status=status)
    says = "Too many requests. Try again later."
    assert refused == {"message": says, "success": False, "errors": {"message": says}, "error_code": "60003"}
    service.emulator.set_clock(MINUTE_ENDS - 1)
    service.get(f"users/{alice}/status", status=status)
    service.emulator.set_clock(MINUTE_ENDS)
    for _ in range(3):
        service.get(f"users/{alice}/status")
    service.get(f"users/{alice}/status", status=status)


def test_each_user_and_each_call_has_its_own_minute() -> None:
    service = limited(requests_per_minute=1)
    alice, bob = service.register(), service.register("408-555-5271")
    for who in (alice, bob):
        service.get(f"users/{who}/status")
        code = service.sms(who)
        service.verify(who, code)
        for path in (f"users/{who}/status", f"sms/{who}", f"verify/{code}/{who}"):
            assert service.get(path, status=429)["error_code"] == "60003"
    # What was refused has not happened.
    assert [len(phone.messages) for phone in service.emulator.phones] == [1, 1]


def test_the_limit_of_a_user_or_number_does_not_depend_on_its_spelling() -> None:
    service = limited(requests_per_minute=1)
    alice = service.register()
    for again in ("408.555.5270", "+1 408 555 5270"):
        fields = {"user[email]": "a@example.com", "user[cellphone]": again, "user[country_code]": "1"}
        service.post("users/new", fields, status=429)
    service.register("408-555-5271")
    service.get("phones/info", NUMBER)
    for again in ("2015550123", "(201) 555 0123"):
        service.get("phones/info", {**NUMBER, "phone_number": again}, status=429)
    service.get("phones/info", {**NUMBER, "phone_number": "201-555-0124"})
    service.get(f"users/{alice}/status")
    service.get(f"users/0{alice}/status", status=429)


def test_requests_with_a_wrong_key_take_nothing_from_a_minute() -> None:
    service = limited(requests_per_minute=1)
    alice = service.register()
    for _ in range(3):
        service.get(f"users/{alice}/status", status=401, **{"X-Authy-API-Key": "wrong"})
    service.get(f"users/{alice}/status")


def test_a_limit_that_was_reached_is_kept_with_the_state(tmp_path: Path) -> None:
    service = limited(sms_per_day=1)
    alice = service.register()
    send(service, "sms", alice)
    service.emulator.save(tmp_path / "state")
    again = limited(sms_per_day=1)
    again.emulator.load(tmp_path / "state")
    assert send(again, "sms", alice, 429)["error_code"] == "60010"
    again.emulator.set_clock(DAY_ENDS)
    send(again, "sms", alice)


# -- wrong codes in a row


def test_after_too_many_wrong_codes_a_user_is_suspended_until_restored() -> None:
    service = limited(wrong_codes=3)
    alice = service.register()
    code = service.sms(alice)
    for _ in range(3):
        assert service.verify(alice, "0000000", status=401)["error_code"] == "60020"
    for _ in range(2):
        answer = service.verify(alice, code, status=503)
        assert (answer["error_code"], answer["message"]) == ("60017", "User has been suspended.")
    assert send(service, "sms", alice, 503)["error_code"] == "60017"
    service.emulator.advance(30 * 86400)
    assert service.verify(alice, "0000000", status=503)["error_code"] == "60017"
    service.emulator.phone(alice).restore()
    # Restored, the count begins anew.
    for _ in range(2):
        service.verify(alice, "0000000", status=401)
    service.verify(alice, service.sms(alice))


def test_a_good_code_begins_the_count_anew() -> None:
    service = limited(wrong_codes=2)
    alice = service.register()
    for _ in range(3):
        service.verify(alice, "0000000", status=401)
        service.verify(alice, service.sms(alice))


def test_only_codes_that_could_have_been_guesses_count_and_only_against_their_user() -> None:
    service = limited(wrong_codes=1)
    alice, bob = service.register(), service.register("408-555-5271")
    code = service.sms(alice)
    service.get(f"verify/0000000/{bob}")  # an unconfirmed user without force passes with any
    service.verify(alice, code)
    for _ in range(3):
        assert service.verify(alice, code, status=401)["error_code"] == "60019"
        service.verify(alice, "abcdefg", status=401)
    service.verify(bob, "0000000", status=401)
    service.verify(bob, "0000000", status=503)
    service.verify(alice, service.sms(alice))


# -- of a request


def test_the_number_of_details_can_be_limited() -> None:
    service = limited(details_limit=2)
    alice = service.register()
    service.emulator.phone(alice).install_app()
    path = f"onetouch/users/{alice}/approval_requests"
    two, three = ({str(at): "x" for at in range(count)} for count in (2, 3))
    service.post_json(path, {"message": "?", "details": two, "hidden_details": two})
    for name in ("details", "hidden_details"):
        answer = service.post_json(path, {"message": "?", name: three}, status=400)
        assert (answer["error_code"], answer["message"]) == ("60004", f"Invalid parameter: {name} - Must be at most 2")
    free = Service()
    free.emulator.phone(free.register()).install_app()
    free.post_json(f"onetouch/users/{alice}/approval_requests", {"message": "?", "details": {str(at): "x" for at in range(100)}})


# -- switches that cannot be


@pytest.mark.parametrize(
    ("switch", "value", "says"),
    [
        ("limit_status", 200, "limit_status must be a status from 400 to 599"),
        ("no_app_status", 600, "no_app_status must be a status from 400 to 599"),
        ("code_lifetime", 0, "code_lifetime must be at least a second"),
        ("app_code_step", 0, "app_code_step must be at least a second"),
        ("sms_per_day", -1, "sms_per_day must be 0 or more"),
        ("wrong_codes", "3", "wrong_codes must be a"),
        ("sms_enabled", 1, "sms_enabled must be True or False"),
        ("requests_per_minute", True, "requests_per_minute must be a"),
        ("verification_digits", 3, "verification_digits must be from 4 to 10"),
        ("verification_digits", 11, "verification_digits must be from 4 to 10"),
        ("callback_shape", "1999", "callback_shape must be one of 2023, 2019, 2017, 2016"),
    ],
)
def test_a_switch_that_cannot_be_is_refused_at_once(switch: str, value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Rules(**{switch: value})
