"""Approval requests: section 7 of what is known of the service."""

from __future__ import annotations

import re
from typing import Any

import pytest

from authy_wsgi.emulator import Rules

from .service import KEY, START, Service

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture
def bob(service: Service, alice: int) -> int:
    """A user with the app."""
    service.emulator.phone(alice).install_app()
    return alice


def ask(service: Service, who: int, **body: Any) -> str:
    uuid: str = service.post_json(f"onetouch/users/{who}/approval_requests", {"message": "Login?", **body})["approval_request"]["uuid"]
    return uuid


def status(service: Service, uuid: str) -> Any:
    return service.get(f"onetouch/approval_requests/{uuid}")["approval_request"]


def test_a_request_reaches_the_phone_and_its_answer_the_caller(service: Service, bob: int) -> None:
    body = {"message": "Login?", "details": {"User": "alice"}, "hidden_details": {"ip": "1.2.3.4"}}
    answer = service.post_json(f"onetouch/users/{bob}/approval_requests", body)
    assert set(answer) == {"approval_request", "success"}
    uuid = answer["approval_request"]["uuid"]
    assert UUID.fullmatch(uuid)
    on_phone = service.phone(bob)["approvals"]
    assert on_phone == [{"uuid": uuid, "message": "Login?", "details": {"User": "alice"}, "status": "pending", "at": START}]
    pending = status(service, uuid)
    assert (pending["status"], pending["processed_at"], pending["seconds_to_expire"]) == ("pending", None, 86400)
    assert pending["created_at"] == "2023-11-14T22:13:20Z"
    service.emulator.advance(5)
    service.emulator.phone(bob).approve()
    done = status(service, uuid)
    assert (done["status"], done["processed_at"], done["device"]["os_type"]) == ("approved", "2023-11-14T22:13:25Z", "android")


FIELDS = {
    "_app_name": str,
    "_app_serial_id": int,
    "_authy_id": int,
    "_id": str,
    "_user_email": str,
    "app_id": str,
    "created_at": str,
    "notified": bool,
    "processed_at": type(None),
    "seconds_to_expire": int,
    "status": str,
    "updated_at": str,
    "user_id": str,
    "uuid": str,
}


def test_the_status_has_every_field_in_its_type(service: Service, bob: int) -> None:
    uuid = ask(service, bob)
    answer = service.get(f"onetouch/approval_requests/{uuid}")
    assert (set(answer), answer["success"]) == ({"approval_request", "success"}, True)
    described = answer["approval_request"]
    assert {name: type(value) for name, value in described.items()} == FIELDS
    for name in ("_id", "app_id", "user_id"):
        assert re.fullmatch(r"[0-9a-f]{24}", described[name])
    for name in ("created_at", "updated_at"):
        assert described[name] == "2023-11-14T22:13:20Z"
    assert (described["_authy_id"], described["_user_email"], described["_app_name"]) == (bob, "alice@example.com", "Authy Demo")
    assert (described["notified"], described["uuid"], described["status"]) == (True, uuid, "pending")
    assert described["_app_serial_id"] == service.get("app/details")["app"]["app_id"]


@pytest.mark.parametrize("press", ["approve", "deny"])
def test_an_answer_has_its_time_and_its_device(service: Service, bob: int, press: str) -> None:
    uuid = ask(service, bob)
    service.emulator.advance(5)
    getattr(service.emulator.phone(bob), press)()
    service.emulator.advance(5)
    done = status(service, uuid)
    assert done["status"] == {"approve": "approved", "deny": "denied"}[press]
    assert (done["created_at"], done["updated_at"], done["processed_at"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:13:25Z", "2023-11-14T22:13:25Z")
    assert {name: type(value) for name, value in done.items()} == {**FIELDS, "processed_at": str, "device": dict}
    known = service.get(f"users/{bob}/status")["status"]["detailed_devices"][0]
    assert (done["device"]["id"], done["device"]["os_type"]) == (known["device_id"], "android")


def test_an_answer_stays_when_its_time_is_over(service: Service, bob: int) -> None:
    uuid = ask(service, bob, seconds_to_expire=10)
    service.emulator.phone(bob).deny()
    service.emulator.advance(100)
    assert status(service, uuid)["status"] == "denied"


def test_an_expired_request_was_never_processed(service: Service, bob: int) -> None:
    uuid = ask(service, bob, seconds_to_expire=10)
    service.emulator.advance(10)
    described = status(service, uuid)
    assert (described["status"], described["processed_at"], "device" in described) == ("expired", None, False)


def test_requests_can_be_denied_one_by_one(service: Service, bob: int) -> None:
    first, second = ask(service, bob), ask(service, bob)
    phone = service.emulator.phone(bob)
    phone.deny(first)
    assert (status(service, first)["status"], status(service, second)["status"]) == ("denied", "pending")
    phone.approve()
    assert [it["status"] for it in phone.approvals] == ["denied", "approved"]
    with pytest.raises(LookupError):
        phone.approve(first)
    with pytest.raises(LookupError):
        phone.deny()


@pytest.mark.parametrize(("given", "lifetime"), [(..., 86400), (None, 86400), ("", 86400), (120, 120), ("60", 60)])
def test_requests_expire(service: Service, bob: int, given: Any, lifetime: int) -> None:
    uuid = ask(service, bob) if given is ... else ask(service, bob, seconds_to_expire=given)
    service.emulator.advance(lifetime - 1)
    assert status(service, uuid)["status"] == "pending"
    service.emulator.advance(1)
    assert status(service, uuid)["status"] == "expired"
    with pytest.raises(LookupError):
        service.emulator.phone(bob).approve(uuid)


def test_zero_seconds_never_expire(service: Service, bob: int) -> None:
    uuid = ask(service, bob, seconds_to_expire=0)
    service.emulator.advance(10**8)
    assert status(service, uuid)["status"] == "pending"


def test_how_long_a_request_waits_is_a_setting() -> None:
    service = Service(rules=Rules(approval_lifetime=30))
    alice = service.register()
    service.emulator.phone(alice).install_app()
    uuid = ask(service, alice)
    assert status(service, uuid)["seconds_to_expire"] == 30
    service.emulator.advance(30)
    assert status(service, uuid)["status"] == "expired"


def test_every_encoding_says_the_same(service: Service, bob: int) -> None:
    path = f"onetouch/users/{bob}/approval_requests"
    logos = ["logos[0][res]=default&logos[0][url]=https://x/y.png&logos[1][res]=low&logos[1][url]=https://x/z.png"]
    logos.append("logos[][res]=default&logos[][url]=https://x/y.png&logos[][res]=low&logos[][url]=https://x/z.png")
    for one in logos:
        service.post(path, f"message=Login%3F&details%5BBank%20account%5D=235%2027&hidden_details[ip]=1.2.3.4&seconds_to_expire=120&{one}")
        service.post(f"{path}?message=Login?&details[Bank+account]=235+27&{one}")
    approvals = service.phone(bob)["approvals"]
    assert len(approvals) == 4
    assert all((it["message"], it["details"]) == ("Login?", {"Bank account": "235 27"}) for it in approvals)
    kept = [it.logos for it in service.emulator.state.phones["+14085555270"].approvals]
    assert kept == [[{"res": "default", "url": "https://x/y.png"}, {"res": "low", "url": "https://x/z.png"}]] * 4


def test_json_logos_and_indexed_ones_keep_their_order(service: Service, bob: int) -> None:
    logos = [{"res": "low", "url": "https://x/1.png"}, {"res": "default", "url": "https://x/2.png"}, {"res": "med", "url": "https://x/3.png"}]
    ask(service, bob, logos=[{**logo, "extra": "ignored"} for logo in logos])
    fields = "&".join(f"logos[{at}][res]={logos[at]['res']}&logos[{at}][url]={logos[at]['url']}" for at in (2, 0, 1))
    service.post(f"onetouch/users/{bob}/approval_requests", "message=x&" + fields)
    assert [it.logos for it in service.emulator.state.phones["+14085555270"].approvals] == [logos, logos]


def test_values_that_are_no_text_are_shown_as_text(service: Service, bob: int) -> None:
    ask(service, bob, message=5, details={"Amount": 12.5, "Paid": True, "Note": None, "count": 0})
    shown = service.phone(bob)["approvals"][-1]
    assert (shown["message"], shown["details"]) == ("5", {"Amount": "12.5", "Paid": "true", "Note": "", "count": "0"})


def test_hidden_details_do_not_reach_the_phone(service: Service, bob: int) -> None:
    ask(service, bob, hidden_details={"ip": "203.0.113.77"})
    assert "203.0.113.77" not in service.app.get(f"/phone/{bob}.json").text
    assert "203.0.113.77" not in service.app.get(f"/phone/{bob}").text


def test_the_limits_are_taken_to_the_last_character_and_can_be_set(service: Service, bob: int) -> None:
    ask(service, bob, message="m" * 200, details={"k" * 20: "v" * 200}, logos=[{"res": "default", "url": "u" * 500}])
    tight = Service(rules=Rules(message_limit=144, label_limit=5, value_limit=10))
    alice = tight.register()
    tight.emulator.phone(alice).install_app()
    ask(tight, alice, message="m" * 144, details={"k" * 5: "v" * 10})
    for body in ({"message": "m" * 145}, {"details": {"k" * 6: ""}}, {"hidden_details": {"k": "v" * 11}}):
        tight.post_json(f"onetouch/users/{alice}/approval_requests", {"message": "x", **body}, status=400)
    assert len(tight.phone(alice)["approvals"]) == 1


def test_the_least_that_a_client_sends_is_enough(service: Service, bob: int) -> None:
    ask(service, bob, seconds_to_expire=None, details={}, hidden_details={}, logos=[])
    ask(service, bob, details="as one text")
    assert [it["details"] for it in service.phone(bob)["approvals"]] == [{}, {"Details": "as one text"}]


@pytest.mark.parametrize(
    "body",
    [
        {"message": ""},
        {"message": None},
        {"message": "x" * 201},
        {"message": ["x"]},
        {"details": {"x" * 21: "y"}},
        {"details": {"x": "y" * 201}},
        {"details": {"x": {"y": "z"}}},
        {"details": [1]},
        {"hidden_details": {"x": []}},
        {"seconds_to_expire": -1},
        {"seconds_to_expire": "soon"},
        {"seconds_to_expire": 1.5},
        {"seconds_to_expire": 2**31},
        {"logos": "x"},
        {"logos": ["x"]},
        {"logos": [{"res": "low", "url": "https://x/"}]},
        {"logos": [{"res": "huge", "url": "https://x/"}]},
        {"logos": [{"res": "default"}]},
        {"logos": {"a": {"res": "default", "url": "x"}}},
        {"logos": [{"res": "default", "url": "x" * 501}]},
    ],
)
def test_what_is_too_long_or_odd_is_refused(service: Service, bob: int, body: dict[str, Any]) -> None:
    answer = service.post_json(f"onetouch/users/{bob}/approval_requests", {"message": "Login?", **body}, status=400)
    assert (answer["error_code"], answer["success"]) == ("60004", False)
    assert service.phone(bob)["approvals"] == []


def test_without_the_app_a_request_fails(service: Service, alice: int) -> None:
    answer = service.post_json(f"onetouch/users/{alice}/approval_requests", {"message": "Login?"}, status=400)
    assert answer["error_code"] == "60050"


def test_that_failure_is_a_setting() -> None:
    service = Service(rules=Rules(no_app_status=403))
    alice = service.register()
    service.post_json(f"onetouch/users/{alice}/approval_requests", {"message": "Login?"}, status=403)
    lenient = Service(rules=Rules(approval_needs_app=False))
    ask(lenient, lenient.register())
    off = Service(rules=Rules(onetouch_enabled=False))
    assert off.post_json(f"onetouch/users/{off.register()}/approval_requests", {"message": "Login?"}, status=403)["error_code"] == "60065"


def test_a_user_without_the_app_any_more_cannot_be_asked_but_a_waiting_request_can_be_answered(service: Service, bob: int) -> None:
    uuid = ask(service, bob)
    service.emulator.phone(bob).remove_app()
    assert service.post(f"onetouch/users/{bob}/approval_requests", {"message": "x"}, status=400)["error_code"] == "60050"
    service.emulator.phone(bob).approve(uuid)
    assert status(service, uuid)["status"] == "approved"


def test_a_removed_user_cannot_be_asked(service: Service, bob: int) -> None:
    uuid = ask(service, bob)
    service.post(f"users/{bob}/remove")
    assert service.post(f"onetouch/users/{bob}/approval_requests", {"message": "x"}, status=404)["error_code"] == "60026"
    assert status(service, uuid)["status"] == "pending"


def test_unknown_requests_and_users_are_404(service: Service) -> None:
    answer = service.get("onetouch/approval_requests/no-such", status=404)
    assert answer == {"message": "Approval request not found: no-such", "success": False, "errors": {}, "error_code": "60049"}
    assert service.post("onetouch/users/99/approval_requests", {"message": "Login?"}, status=404)["error_code"] == "60026"


def test_an_encoded_slash_stays_in_the_uuid(service: Service) -> None:
    path = "/onetouch/json/approval_requests/..%2F..%2Fx"
    answer = service.app.get(path, headers={"X-Authy-API-Key": KEY}, status=404, extra_environ={"REQUEST_URI": path})
    assert answer.json["message"] == "Approval request not found: ../../x"
