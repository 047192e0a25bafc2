from __future__ import annotations

from typing import Any

import pytest

from authy_wsgi.emulator import Emulator, Rules

from .service import KEY, START, Service

PHONE = {"country_code": "1", "phone_number": "201-555-0123"}


def bare(service: Service, path: str, **settings: Any) -> Any:
    return service.app.get("/protected/json/" + path, expect_errors=True, **settings)


def test_the_key_counts_wherever_it_is(service: Service, alice: int) -> None:
    bare(service, f"users/{alice}/status", params={"api_key": KEY}).mustcontain("User status.")
    fields = {"user[email]": "a@example.com", "user[cellphone]": "405-342-5699", "user[country_code]": "1"}
    service.app.post("/protected/json/users/new", {**fields, "api_key": KEY})
    service.app.post_json("/protected/json/users/new", {"user": {"email": "a@example.com", "cellphone": "4053425699", "country_code": 1}, "api_key": KEY})


@pytest.mark.parametrize("headers", [{}, {"X-Authy-API-Key": "wrong"}, {"X-Authy-API-Key": "é"}])
def test_a_bad_key_is_401_everywhere(service: Service, alice: int, headers: dict[str, str]) -> None:
    for path in (f"users/{alice}/status", f"sms/{alice}", f"verify/1234567/{alice}", "app/details", "phones/info"):
        answer = bare(service, path, headers=headers)
        assert answer.status_int == 401
        assert answer.json == {"message": "Invalid API key", "success": False, "errors": {"message": "Invalid API key"}, "error_code": "60001"}


def test_the_header_goes_before_the_parameter(service: Service, alice: int) -> None:
    assert bare(service, f"users/{alice}/status?api_key={KEY}", headers={"X-Authy-API-Key": "wrong"}).status_int == 401
    assert bare(service, f"users/{alice}/status?api_key=wrong", headers={"X-Authy-API-Key": KEY}).status_int == 200


def test_unknown_addresses_have_the_shape_of_an_error(service: Service) -> None:
    for method, path, status in (("GET", "/x", 404), ("GET", "/protected/xml/app/details", 404), ("POST", "/protected/json/app/details", 405)):
        answer = service.app.request(path, method=method, status=status)
        assert set(answer.json) == {"message", "success", "errors", "error_code"}
        assert answer.json["errors"]["message"] == answer.json["message"]
        assert isinstance(answer.json["error_code"], str)


def test_no_request_asks_by_head(service: Service, alice: int) -> None:
    service.app.head(f"/protected/json/sms/{alice}?api_key={KEY}", status=405)
    assert service.phone(alice)["messages"] == []


def test_the_application_describes_itself(service: Service, alice: int) -> None:
    service.verify(alice, service.sms(alice))
    details = service.get("app/details")
    assert details["message"] == "Application information."
    assert {"app_id", "name", "plan", "sms_enabled"} <= set(details["app"])
    assert details["app"]["name"] == "Authy Demo"
    stats = service.get("app/stats")
    assert (stats["message"], stats["count"], stats["total_users"], stats["app_id"]) == ("Monthly statistics.", 1, 1, details["app"]["app_id"])
    assert stats["stats"] == [{"year": 2023, "month": "November", "api_calls_count": 5, "auths_count": 1, "calls_count": 0, "sms_count": 1, "users_count": 1}]


def test_calls_are_remembered_without_the_key(service: Service, alice: int) -> None:
    service.app.get(f"/protected/json/sms/{alice}?api_key={KEY}&force=true")
    service.get("nowhere", status=404)
    first, second, third = service.emulator.calls
    assert (first.method, first.path, first.route) == ("POST", "/protected/json/users/new", "users/new")
    assert first.parameters["user"]["cellphone"] == "408-555-5270"
    assert (second.route, second.parameters) == ("sms", {"force": "true"})
    assert third.route == ""
    assert KEY not in repr(service.emulator.calls)


def test_seeded_services_draw_the_same(service: Service, alice: int) -> None:
    other = Service()
    assert other.sms(other.register()) == service.sms(alice)
    assert Emulator(KEY).state.dice.hex(64) != Emulator(KEY).state.dice.hex(64)


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(ValueError, match="api_key"):
        Emulator("")


# -- phone verification


def test_a_number_is_verified(service: Service) -> None:
    answer = service.post("phones/verification/start", {**PHONE, "via": "sms"})
    assert answer["message"] == "Text message sent to +1 201-555-0123."
    assert (answer["seconds_to_expire"], answer["is_cellphone"], answer["success"]) == (599, True, True)
    phone = service.phone("+12015550123")
    assert phone["authy_id"] is None
    code = phone["messages"][-1]["code"]
    assert len(code) == 4
    wrong = service.get("phones/verification/check", {**PHONE, "verification_code": "x"}, status=401)
    assert (wrong["message"], wrong["error_code"]) == ("Verification code is incorrect", "60022")
    assert service.get("phones/verification/status", PHONE)["status"] == "pending"
    right = service.get("phones/verification/check", {**PHONE, "verification_code": code})
    assert right == {"message": "Verification code is correct.", "success": True}
    assert service.get("phones/verification/status", {"uuid": answer["uuid"]})["status"] == "verified"
    again = service.get("phones/verification/check", {**PHONE, "verification_code": code}, status=404)
    assert (again["message"], again["error_code"]) == ("No pending verifications for +1 201-555-0123 found.", "60023")


def test_a_verification_code_comes_again_and_expires(service: Service) -> None:
    for via in ("sms", "call"):
        service.post_json("phones/verification/start", {**PHONE, "via": via, "code_length": 6, "locale": "en"})
    first, second = service.phone("+12015550123")["messages"]
    assert first["code"] == second["code"]
    assert (first["kind"], second["kind"], len(first["code"])) == ("sms", "call", 6)
    service.emulator.advance(600)
    service.get("phones/verification/check", {**PHONE, "verification_code": first["code"]}, status=404)
    assert service.get("phones/verification/status", PHONE)["status"] == "expired"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"country_code": ""}, "60004"),
        ({"phone_number": "12"}, "60033"),
        ({"via": "pigeon"}, "60004"),
        ({"code_length": "3"}, "60004"),
        ({"code_length": "x"}, "60004"),
        ({"via": ""}, "60004"),
    ],
)
def test_bad_starts_say_what_is_wrong(service: Service, change: dict[str, str], code: str) -> None:
    assert service.post("phones/verification/start", {**PHONE, "via": "sms", **change}, status=400)["error_code"] == code


def test_missing_parameters_are_named(service: Service) -> None:
    answer = service.get("phones/info", {"phone_number": "201-555-0123"}, status=400)
    assert answer["message"] == "Invalid parameter: country_code - Parameter is required"
    assert service.get("phones/verification/status", status=400)["error_code"] == "60042"
    assert service.get("phones/verification/status", {"uuid": "x"}, status=404)["error_code"] == "60023"
    assert service.get("phones/info", {**PHONE, "country_code": "999"}, status=403)["error_code"] == "60078"


def test_custom_codes_need_a_switch(service: Service) -> None:
    body = {**PHONE, "via": "sms", "custom_code": "98765", "custom_message": "It is {{code}}!"}
    assert service.post("phones/verification/start", body, status=403)["error_code"] == "60091"
    allowed = Service(rules=Rules(custom_messages=True))
    allowed.post("phones/verification/start", body)
    assert allowed.phone("+12015550123")["messages"][-1]["text"] == "It is 98765!"
    allowed.post("phones/verification/start", {**body, "phone_number": "201-555-0124", "custom_code": "x"}, status=400)


def test_information_about_a_number_may_be_asked_with_a_body(service: Service) -> None:
    answer = service.app.request(
        f"/protected/json/phones/info?api_key={KEY}",
        method="GET",
        body=b"phone_number=201-555-0123&country_code=1",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    ).json
    assert answer["message"] == "Phone number information as of 2023-11-14 22:13:20 UTC"
    assert (answer["type"], answer["ported"]) == ("cellphone", False)
    assert service.emulator.now == START
