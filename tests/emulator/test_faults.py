from __future__ import annotations

import pytest

from authy_wsgi.emulator import Fault

from .service import KEY, Service


def add_status(service: Service, route: str, status: int, **form: object) -> None:
    service.app.post("/phone/faults", {"route": route, "kind": "status", "status": str(status), **{name: str(value) for name, value in form.items()}})


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
    service.get("onetouch/approval_requests/x", status=500)
    for _ in range(3):
        service.get(f"sms/{alice}", status=429)
        service.get("nowhere", status=429)
    listed = service.app.get("/phone/faults.json").json["faults"]
    assert [(it["route"], it["kind"], it["status"], it["count"]) for it in listed] == [("*", "status", 429, 0)]
    service.app.get("/phone/").mustcontain("Faults that wait", "until cleared")
    service.app.post("/phone/faults/clear")
    assert service.app.get("/phone/faults.json").json == {"faults": []}
    service.sms(alice)


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
    service.sms(alice)


def test_a_trickle_gives_the_true_answer_byte_by_byte(service: Service, alice: int) -> None:
    service.emulator.add_fault(route="users/status", kind="trickle", seconds=0.5)
    answer = service.app.get(f"/protected/json/users/{alice}/status?api_key={KEY}")
    assert answer.json["status"]["authy_id"] == alice
    assert service.slept == [0.5] * len(answer.body)


def test_the_phones_have_no_faults(service: Service, alice: int) -> None:
    service.emulator.add_fault(route="*", kind="status", count=0)
    service.app.get("/phone/")
    service.phone(alice)
    service.emulator.clear_faults()
    assert service.emulator.faults == []


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"kind": "fire"},
        {"kind": "status", "status": "abc"},
        {"kind": "status", "status": "99"},
        {"kind": "status", "status": "204 x"},
        {"kind": "delay", "seconds": "-1"},
        {"kind": "delay", "seconds": "nan"},
        {"kind": "delay", "seconds": "1e9"},
        {"kind": "drop", "count": "-1"},
        {"kind": "body", "content_type": "a\r\nX: y"},
        {"kind": "body", "content_type": "té"},
    ],
)
def test_impossible_faults_are_refused(service: Service, form: dict[str, str]) -> None:
    assert "cannot be" in service.app.post("/phone/faults", {"route": "sms", **form}, status=400).json["message"]
    assert service.emulator.faults == []


@pytest.mark.parametrize("status", [200, 204, 299, 304, 404, 451, 599])
def test_every_status_can_be_asked_for(service: Service, alice: int, status: int) -> None:
    service.emulator.add_fault(route="sms", kind="status", status=status)
    service.app.get(f"/protected/json/sms/{alice}?api_key={KEY}", status=status)
