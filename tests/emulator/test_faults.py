"""Faults on demand: the next answers of a route go wrong in the way that was asked for. The table of codes is section 9 of what is known of the service."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest

from authy_wsgi.emulator import Fault
from authy_wsgi.emulator.api import TABLE
from authy_wsgi.emulator.failures import CODES, GUESSED

from .service import KEY, Service

# Typed from the table of what is known, not from the code: HTTP status, and the words where they are on record.
ON_RECORD: dict[int, tuple[int, str | None]] = {
    60000: (400, None),
    60001: (401, "Invalid API key"),
    60002: (400, None),
    60003: (429, None),
    60004: (400, None),
    60005: (400, None),
    60006: (503, "Phone calls are not enabled on this account"),
    60007: (503, "SMS is not enabled"),
    60015: (503, "SMS token was not sent"),
    60016: (404, "User doesn't exist"),
    60017: (503, "User has been suspended."),
    60019: (401, "Token is invalid. Token was used recently"),
    60020: (401, "Token is invalid"),
    60021: (403, None),
    60022: (401, "Verification code is incorrect"),
    60023: (404, None),
    60025: (500, "Server error while querying phone information. Please try again later"),
    60026: (404, "User not found."),
    60027: (400, "User was not valid"),
    60032: (400, None),
    60033: (400, "Phone number is invalid"),
    60042: (400, None),
    60046: (400, None),
    60049: (404, None),
    60060: (503, None),
    60064: (403, None),
    60065: (403, None),
    60066: (403, None),
    60069: (400, None),
    60070: (400, None),
    60071: (404, None),
    60072: (404, None),
    60073: (400, None),
    60074: (400, None),
    60075: (400, None),
    60078: (403, None),
    60082: (403, None),
    60083: (403, None),
}
# All codes that are named anywhere; 60039-41, 43-45, 48, 62, 67, 76-77, 81, 84-85 and 88 are in no source.
NAMED = {
    *chain(
        range(60000, 60039),
        (60042, 60046, 60047),
        range(60049, 60062),
        range(60063, 60067),
        range(60068, 60076),
        (60078, 60079, 60080, 60082, 60083, 60086, 60087),
        range(60089, 60134),
    )
}


def add_status(service: Service, route: str, status: int, **form: object) -> None:
    service.app.post("/phone/faults", {"route": route, "kind": "status", "status": str(status), **{name: str(value) for name, value in form.items()}})


def waiting(service: Service) -> list[tuple[str, str, int]]:
    return [(it["route"], it["kind"], it["count"]) for it in service.app.get("/phone/faults.json").json["faults"]]


# -- error codes


def test_there_is_a_fault_for_every_code_that_is_named_anywhere_and_for_no_other() -> None:
    assert set(CODES) == NAMED
    assert set(ON_RECORD) == NAMED - GUESSED


@pytest.mark.parametrize("code", sorted(NAMED))
def test_a_fault_of_a_code_is_the_answer_that_the_service_gives(service: Service, alice: int, code: int) -> None:
    service.emulator.add_fault(route="verify", kind="status", code=code)
    answer = service.app.get(f"/protected/json/verify/1234567/{alice}?api_key={KEY}", expect_errors=True)
    status, words = ON_RECORD.get(code, (answer.status_int, None))
    assert answer.status_int == status
    assert 400 <= status <= 599
    said = answer.json
    assert (said["error_code"], said["success"]) == (str(code), False)
    assert said["message"] == (words or said["message"]) != ""
    assert said["errors"] == ({} if code == 60049 else {"message": said["message"]})
    assert set(said) - {"token"} == {"message", "success", "errors", "error_code"}
    assert said.get("token") == ("is invalid" if code == 60020 else None)
    assert answer.headers["Content-Type"] == "application/json;charset=utf-8"
    assert ": " not in answer.text.replace(said["message"], "")
    # The call itself has not happened, and the next one does.
    service.verify(alice, service.sms(alice))


def test_a_code_can_come_with_another_status(service: Service, alice: int) -> None:
    add_status(service, "sms", 429, code=60010)
    assert service.get(f"sms/{alice}", status=429)["error_code"] == "60010"
    service.emulator.add_fault(route="sms", kind="status", code=60017, status=403)
    assert service.get(f"sms/{alice}", status=403)["message"] == "User has been suspended."


@pytest.mark.parametrize("code", [60039, 60048, 60088, 60134, 60200, 1, -60001])
def test_a_code_that_no_source_names_is_refused(service: Service, code: int) -> None:
    with pytest.raises(ValueError, match="code must be"):
        Fault(route="*", kind="status", code=code)
    service.app.post("/phone/faults", {"kind": "status", "code": str(code)}, status=400).mustcontain("That fault cannot be: code must be")
    assert service.emulator.faults == []


# -- which requests are hit


def test_a_fault_hits_once_and_the_call_does_not_happen(service: Service, alice: int) -> None:
    add_status(service, "sms", 503)
    answer = service.get(f"sms/{alice}", status=503)
    assert (answer["success"], answer["error_code"]) == (False, "60002")
    assert service.phone(alice)["messages"] == []
    service.sms(alice)


def test_faults_know_their_route_and_their_count(service: Service, alice: int) -> None:
    add_status(service, "approval_requests", 500, count=2)
    add_status(service, "*", 429, count=0)
    service.emulator.phone(alice).install_app()
    service.post(f"onetouch/users/{alice}/approval_requests", {"message": "x"}, status=500)
    assert waiting(service) == [("approval_requests", "status", 1), ("*", "status", 0)]
    service.get("onetouch/approval_requests/x", status=500)
    for _ in range(3):
        service.get(f"sms/{alice}", status=429)
        service.get("nowhere", status=429)
    assert waiting(service) == [("*", "status", 0)]
    service.app.get("/phone/").mustcontain("until cleared")
    service.app.post("/phone/faults/clear")
    assert service.app.get("/phone/faults.json").json == {"faults": []}
    service.sms(alice)


@pytest.mark.parametrize("name", sorted({row[0] for row in TABLE}))
def test_every_route_can_be_hit_by_its_name_and_by_the_first_part_of_it(service: Service, alice: int, name: str) -> None:
    calls = [(method, path.replace("<id>", str(alice)).replace("<token>", "1").replace("<uuid>", "x")) for route, method, path, _ in TABLE if route == name]
    for route in {name, name.partition("/")[0], "*"}:
        service.emulator.add_fault(route=route, kind="status", status=418, count=0)
        for method, path in calls:
            service.app.request(path, method=method, headers={"X-Authy-API-Key": KEY}, status=418)
        service.emulator.clear_faults()


def test_the_first_part_of_a_name_is_a_whole_part(service: Service, alice: int) -> None:
    service.emulator.add_fault(route="users/secret", kind="status", status=418, count=0)
    service.emulator.add_fault(route="user", kind="status", status=418, count=0)
    service.emulator.add_fault(route="s", kind="status", status=418, count=0)
    service.post(f"users/{alice}/secret", status=418)
    service.get(f"users/{alice}/secret/export", status=418)
    service.get(f"users/{alice}/status")
    service.sms(alice)


def test_the_oldest_fault_that_fits_goes_first(service: Service, alice: int) -> None:
    for route, status in (("sms", 500), ("*", 501), ("verify", 502), ("sms", 503)):
        add_status(service, route, status)
    statuses = [service.app.get(f"/protected/json/sms/{alice}?api_key={KEY}", expect_errors=True).status_int for _ in range(4)]
    assert statuses == [500, 501, 503, 200]
    assert waiting(service) == [("verify", "status", 1)]


def test_a_fault_may_be_written_with_slashes_and_without_a_route(service: Service) -> None:
    for route, kept in (("/users/new/", "users/new"), (" sms ", "sms"), ("", "*")):
        assert service.app.post("/phone/faults", {"route": route, "kind": "status"}).json["route"] == kept
    assert service.app.post("/phone/faults", {"kind": "status"}).json["route"] == "*"


def test_a_request_with_a_wrong_key_is_hit_too(service: Service, alice: int) -> None:
    add_status(service, "sms", 500)
    service.get(f"sms/{alice}", status=500, **{"X-Authy-API-Key": "wrong"})
    service.get(f"sms/{alice}", status=401, **{"X-Authy-API-Key": "wrong"})


def test_the_phones_have_no_faults(service: Service, alice: int) -> None:
    service.emulator.add_fault(route="*", kind="status", count=0)
    service.app.get("/phone/")
    service.phone(alice)
    service.emulator.clear_faults()
    assert service.emulator.faults == []


# -- as programs see them


def test_a_fault_is_answered_and_listed_with_all_of_its_settings(service: Service) -> None:
    told = {"route": "sms", "kind": "body", "status": 202, "code": 0, "body": "x", "content_type": "text/plain", "seconds": 0.0, "count": 3}
    form = {name: str(value) for name, value in told.items()}
    assert service.app.post("/phone/faults", form).json == told
    assert service.app.get("/phone/faults.json").json == {"faults": [told]}
    assert service.emulator.faults == [Fault(**told)]  # type: ignore[arg-type]
    assert service.emulator.add_fault(route="verify", kind="drop") == Fault(route="verify", kind="drop")
    usual = {"status": 0, "code": 0, "body": None, "content_type": "application/json;charset=utf-8", "seconds": 0.0, "count": 1}
    assert service.app.get("/phone/faults.json").json["faults"][1] == {"route": "verify", "kind": "drop", **usual}
    service.app.post("/phone/faults/clear", status=200)
    assert service.emulator.faults == []


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({}, "kind must be one of status, body, delay, drop, trickle"),
        ({"kind": "fire"}, "kind must be one of"),
        ({"kind": "status", "status": "abc"}, "status must be a whole number"),
        ({"kind": "status", "status": "99"}, "status must be from 200 to 599"),
        ({"kind": "status", "status": "204 x"}, "status must be a whole number"),
        ({"kind": "status", "code": "x"}, "code must be a whole number"),
        ({"kind": "delay", "seconds": "-1"}, "seconds must be from 0 to 3600"),
        ({"kind": "delay", "seconds": "nan"}, "seconds must be from 0 to 3600"),
        ({"kind": "delay", "seconds": "1e9"}, "seconds must be from 0 to 3600"),
        ({"kind": "delay", "seconds": "soon"}, "seconds must be a number"),
        ({"kind": "drop", "count": "-1"}, "count must be"),
        ({"kind": "drop", "count": "x"}, "count must be a whole number"),
        ({"kind": "body", "content_type": "a\r\nX: y"}, "content_type must be printable ASCII"),
        ({"kind": "body", "content_type": "té"}, "content_type must be printable ASCII"),
    ],
)
def test_impossible_faults_are_refused_with_a_sentence(service: Service, form: dict[str, str], says: str) -> None:
    message = service.app.post("/phone/faults", {"route": "sms", **form}, status=400).json["message"]
    assert message.startswith("That fault cannot be: " + says)
    assert service.emulator.faults == []


# -- kinds


def test_a_body_can_be_anything(service: Service, alice: int) -> None:
    service.app.post("/phone/faults", {"route": "verify", "kind": "body", "body": "<h1>Bad gateway</h1>", "content_type": "text/html"})
    answer = service.app.get(f"/protected/json/verify/1234567/{alice}?api_key={KEY}")
    assert (answer.text, answer.content_type, answer.headers["X-Authy-Simulator"]) == ("<h1>Bad gateway</h1>", "text/html", "1")
    service.app.post("/phone/faults", {"route": "verify", "kind": "status", "status": "502", "body": "{"})
    broken = service.app.get(f"/protected/json/verify/1234567/{alice}?api_key={KEY}", status=502)
    assert broken.text == "{"


def test_a_delay_waits_and_then_goes_on(service: Service, alice: int) -> None:
    service.emulator.add_fault(route="sms", kind="delay", seconds=7.5)
    service.sms(alice)
    assert service.slept == [7.5]


def test_a_drop_breaks_the_connection(service: Service, alice: int) -> None:
    service.emulator.add_fault(Fault(route="sms", kind="drop"))
    with pytest.raises(ConnectionResetError):
        service.get(f"sms/{alice}")
    assert service.phone(alice)["messages"] == []
    service.sms(alice)


def test_a_trickle_gives_the_true_answer_byte_by_byte(service: Service, alice: int) -> None:
    service.emulator.add_fault(route="users/status", kind="trickle", seconds=0.5)
    answer = service.app.get(f"/protected/json/users/{alice}/status?api_key={KEY}")
    assert answer.json["status"]["authy_id"] == alice
    assert service.slept == [0.5] * len(answer.body)


@pytest.mark.parametrize("status", [200, 204, 299, 304, 404, 451, 599])
def test_every_status_can_be_asked_for(service: Service, alice: int, status: int) -> None:
    service.emulator.add_fault(route="sms", kind="status", status=status)
    answer: Any = service.app.get(f"/protected/json/sms/{alice}?api_key={KEY}", status=status)
    assert (answer.body == b"") == (status in (204, 304))
    assert service.phone(alice)["messages"] == []
