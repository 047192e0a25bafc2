"""What every call has in common, and the application itself: sections 1, 2 and 5 of what is known of the service."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from authy_wsgi.emulator import Emulator, Rules
from authy_wsgi.emulator.api import TABLE

from .service import KEY, START, Service

USER = {"user[email]": "a@example.com", "user[cellphone]": "405-342-5699", "user[country_code]": "1"}
BAD_KEY = {"message": "Invalid API key", "success": False, "errors": {"message": "Invalid API key"}, "error_code": "60001"}
ROUTES = [(method, path.replace("<id>", "1635").replace("<token>", "1234567").replace("<uuid>", "x")) for _, method, path, _ in TABLE]


def bare(service: Service, path: str, **settings: Any) -> Any:
    return service.app.get("/protected/json/" + path, expect_errors=True, **settings)


def parts(fields: dict[str, str], more: str = "") -> tuple[bytes, str]:
    """A form as `curl -F` sends it."""
    boundary = "------------------------d74496d66958873e"
    pieces = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n' for name, value in fields.items()]
    return ("".join(pieces) + f"--{boundary}--\r\n").encode(), f"multipart/form-data; boundary={boundary}"


# -- the key


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_the_key_is_taken_from_header_and_parameter_by_every_call(service: Service, method: str, path: str) -> None:
    for query, headers in ((f"?api_key={KEY}", {}), ("", {"X-Authy-API-Key": KEY})):
        answer = service.app.request(path + query, method=method, headers=headers, expect_errors=True)
        assert answer.json.get("error_code") != "60001"
    for query, headers in (("", {}), ("?api_key=wrong", {}), ("?api_key=", {}), ("?api_key[]=" + KEY, {}), ("", {"X-Authy-API-Key": "é"})):
        answer = service.app.request(path + query, method=method, headers=headers, status=401)
        assert answer.json == BAD_KEY


def test_the_key_counts_in_every_kind_of_body(service: Service) -> None:
    service.app.post("/protected/json/users/new", {**USER, "api_key": KEY})
    service.app.post_json("/protected/json/users/new", {"user": {"email": "a@example.com", "cellphone": "4053425699", "country_code": 1}, "api_key": KEY})
    body, content_type = parts({**USER, "api_key": KEY})
    service.app.post("/protected/json/users/new", body, headers={"Content-Type": content_type})
    for data, kind in ((f"api_key={KEY}".encode(), "application/x-www-form-urlencoded"), (json.dumps({"api_key": KEY}).encode(), "application/json")):
        answer = service.app.request("/protected/json/users/1635/status", method="GET", body=data, headers={"Content-Type": kind})
        assert answer.json["status"]["authy_id"] == 1635
    assert len(service.emulator.phones) == 1


def test_the_header_goes_before_the_parameter(service: Service, alice: int) -> None:
    assert bare(service, f"users/{alice}/status?api_key={KEY}", headers={"X-Authy-API-Key": "wrong"}).status_int == 401
    assert bare(service, f"users/{alice}/status?api_key=wrong", headers={"X-Authy-API-Key": KEY}).status_int == 200


@pytest.mark.parametrize("key", ["k", "A" * 500, "pass word", "é"])
def test_any_text_can_be_the_key(key: str) -> None:
    from webtest import TestApp

    app = TestApp(Emulator(key))
    assert app.get("/protected/json/app/details", {"api_key": key}).json["success"] is True
    assert app.get("/protected/json/app/details", {"api_key": key + "x"}, status=401).json == BAD_KEY


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(ValueError, match="api_key"):
        Emulator("")


# -- parameters


def test_a_form_may_come_in_parts(service: Service, alice: int) -> None:
    body, content_type = parts(USER)
    assert service.post("users/new", body, **{"Content-Type": content_type})["user"]["id"] == alice + 1
    phone = service.emulator.phone(alice)
    phone.install_app()
    fields = {"message": "Añadir?", "details[Bank account]": "235 27", "logos[][res]": "default", "logos[][url]": "https://x/y.png", "seconds_to_expire": "60"}
    body, content_type = parts(fields)
    service.post(f"onetouch/users/{alice}/approval_requests", body, **{"Content-Type": content_type})
    asked = phone.approvals[-1]
    assert (asked["message"], asked["details"]) == ("Añadir?", {"Bank account": "235 27"})
    body, content_type = parts({"country_code": "1", "phone_number": "201-555-0123"})
    headers = {"X-Authy-API-Key": KEY, "Content-Type": content_type}
    assert service.app.request("/protected/json/phones/info", method="GET", body=body, headers=headers).json["type"] == "cellphone"


def test_a_form_in_parts_that_holds_a_file_is_refused_and_leaves_no_file_open(service: Service) -> None:
    body, content_type = parts(USER, '; filename="x.txt"')
    for cut in (len(body), -30):
        assert service.post("users/new", body[:cut], status=400, **{"Content-Type": content_type})["error_code"] == "60002"
    # A file that was left open is an error of this test, not of a later one.
    gc.collect()


REPEATED: list[tuple[str, bytes, str]] = [
    ("?user[email]=nobody&user[email]=b@example.com&user[cellphone]=4053425699&user[country_code]=1", b"", ""),
    ("", b"user[email]=nobody&user[cellphone]=4053425699&user[country_code]=1&user[email]=b@example.com", "application/x-www-form-urlencoded"),
    ("", b'{"user":{"email":"nobody","cellphone":"4053425699","country_code":1,"email":"b@example.com"}}', "application/json"),
]


@pytest.mark.parametrize(("query", "body", "content_type"), REPEATED)
def test_the_last_of_a_repeated_field_counts_unless_that_is_refused(query: str, body: bytes, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    service = Service()
    user = service.post("users/new" + query, body, **headers)["user"]["id"]
    assert service.get(f"users/{user}/status")["status"]["email"] == "b@example.com"
    strict = Service(rules=Rules(refuse_repeated=True))
    assert strict.post("users/new" + query, body, status=400, **headers)["error_code"] == "60002"
    assert strict.emulator.phones == []


def test_query_and_body_are_one_set_of_parameters_of_every_verb(service: Service, alice: int) -> None:
    service.emulator.phone(alice).install_app()
    path = f"/protected/json/sms/{alice}?action=pay&force=false"
    headers = {"X-Authy-API-Key": KEY, "Content-Type": "application/x-www-form-urlencoded"}
    sent = service.app.request(path, method="GET", body=b"force=true&locale=es", headers=headers)
    assert "ignored" not in sent.json
    assert service.emulator.calls[-1].parameters == {"action": "pay", "force": "true", "locale": "es"}
    service.verify(alice, service.emulator.phone(alice).code, action="pay")


def test_a_form_type_without_a_body_is_fine(service: Service, alice: int) -> None:
    assert service.get(f"users/{alice}/status", **{"Content-Type": "application/x-www-form-urlencoded"})["success"] is True
    assert service.post(f"users/{alice}/remove", **{"Content-Type": "application/json"})["success"] is True


# -- addresses


@pytest.mark.parametrize(
    "path", ["/x", "/protected/json", "/protected/json/", "/protected/json/nothing", "/onetouch/json/", "/dashboard/json/application/webhooks"]
)
def test_an_unknown_address_has_the_shape_of_an_error(service: Service, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = service.app.request(path, method=method, status=404, headers={"X-Authy-API-Key": KEY})
        assert set(answer.json) == {"message", "success", "errors", "error_code"}
        assert answer.json["errors"] == {"message": answer.json["message"]}
        assert (answer.json["success"], answer.json["error_code"]) == (False, "60002")


def test_xml_is_told_to_say_json(service: Service) -> None:
    for path in ("/protected/xml/app/details", "/onetouch/xml/approval_requests/x", "/protected/xml/users/new"):
        answer = service.app.get(path, status=404)
        assert "json" in answer.json["message"]
        assert (answer.content_type, answer.json["error_code"]) == ("application/json", "60002")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_another_method_is_405_and_does_nothing(service: Service, alice: int, method: str, path: str) -> None:
    for other in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - {m for m, p in ROUTES if p == path}:
        answer = service.app.request(path, method=other, status=405, headers={"X-Authy-API-Key": KEY})
        assert (answer.json["success"], answer.json["error_code"]) == (False, "60002")
    service.app.head(path, headers={"X-Authy-API-Key": KEY}, status=405)
    assert service.phone(alice)["messages"] == []
    assert service.get(f"users/{alice}/status")["status"]["account_disabled"] is False


@pytest.mark.parametrize("raw", [False, True])
def test_two_slashes_at_the_start_are_one_and_elsewhere_they_are_two(service: Service, alice: int, raw: bool) -> None:
    def ask(path: str, status: int) -> None:
        service.app.get(f"{path}?api_key={KEY}", status=status, extra_environ={"PATH_INFO": path, **({"REQUEST_URI": path} if raw else {})})

    ask(f"//protected/json/users/{alice}/status", 200)
    ask(f"/protected//json/users/{alice}/status", 404)
    ask(f"//protected/json/verify//{alice}", 404)


@pytest.mark.parametrize("below", ["", "/sim", "/a/b"])
def test_it_can_be_mounted_below_a_path(below: str) -> None:
    from webtest import TestApp
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    emulator = Emulator(KEY)
    app = TestApp(DispatcherMiddleware(Service().emulator, {below: emulator}) if below else emulator)
    user = app.post(f"{below}/protected/json/users/new?api_key={KEY}", USER).json["user"]["id"]
    picture = app.post(f"{below}/protected/json/users/{user}/secret?api_key={KEY}").json["qr_code"]
    assert picture.startswith(f"http://localhost:80{below}/qr/")
    assert app.get(picture).content_type == "image/png"


# -- what is remembered


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


# -- the application


def test_the_application_describes_itself(service: Service) -> None:
    answer = service.get("app/details", {"user_ip": "1.2.3.4"})
    assert (set(answer), answer["message"], answer["success"]) == ({"app", "message", "success"}, "Application information.", True)
    types = {name: type(value) for name, value in answer["app"].items()}
    assert types == {
        "app_id": int,
        "name": str,
        "plan": str,
        "sms_enabled": bool,
        "phone_calls_enabled": bool,
        "onetouch_enabled": bool,
        "white_label": bool,
    }
    assert (answer["app"]["name"], answer["app"]["sms_enabled"], answer["app"]["phone_calls_enabled"], answer["app"]["onetouch_enabled"]) == (
        "Authy Demo",
        True,
        True,
        True,
    )


def test_the_details_say_what_is_switched_off_and_the_name_they_were_given() -> None:
    service = Service(rules=Rules(sms_enabled=False, calls_enabled=False, onetouch_enabled=False), app_name="A very long name of an application")
    app = service.get("app/details")["app"]
    assert (app["sms_enabled"], app["phone_calls_enabled"], app["onetouch_enabled"]) == (False, False, False)
    assert app["name"] == "A very long name of an applica"


def month(year: int, name: str, **counted: int) -> dict[str, object]:
    nothing = dict.fromkeys(("api_calls_count", "auths_count", "calls_count", "sms_count", "users_count"), 0)
    return {"year": year, "month": name, **nothing, **counted}


def test_the_statistics_count_what_really_happened(service: Service, alice: int) -> None:
    service.verify(alice, service.sms(alice))
    details = service.get("app/details")
    stats = service.get("app/stats", {"user_ip": "1.2.3.4"})
    assert {name: stats[name] for name in ("message", "count", "total_users", "app_id", "success")} == {
        "message": "Monthly statistics.",
        "count": 1,
        "total_users": 1,
        "app_id": details["app"]["app_id"],
        "success": True,
    }
    assert stats["stats"] == [month(2023, "November", api_calls_count=5, auths_count=1, sms_count=1, users_count=1)]


def test_what_did_not_happen_is_not_counted(service: Service, alice: int) -> None:
    def rows() -> Any:
        return service.get("app/stats")["stats"]

    def check(**counted: int) -> None:
        assert rows() == [month(2023, "November", users_count=1, **counted)]

    check(api_calls_count=2)
    # Not the application's: another key, no such call, a fault in its place.
    bare(service, f"sms/{alice}", headers={"X-Authy-API-Key": "wrong"})
    service.get("nowhere", status=404)
    service.emulator.add_fault(route="sms", kind="status")
    service.get(f"sms/{alice}", status=503)
    check(api_calls_count=3)
    # Calls, but nobody was let in: wrong, used, unknown.
    code = service.sms(alice)
    service.verify(alice, "1234567", status=401)
    service.verify(99, code, status=404)
    check(api_calls_count=7, sms_count=1)
    service.verify(alice, code)
    service.verify(alice, code, status=401)
    check(api_calls_count=10, sms_count=1, auths_count=1)
    # Ignored messages are not sent, e-mails are no SMS, and a known number is no new user.
    service.emulator.phone(alice).install_app()
    for kind in ("sms", "call"):
        service.get(f"{kind}/{alice}")
    service.post(f"email/{alice}", {"force": "true"})
    service.register()
    check(api_calls_count=15, sms_count=1, auths_count=1)
    service.get(f"call/{alice}", {"force": "true"})
    check(api_calls_count=17, sms_count=1, auths_count=1, calls_count=1)


def test_an_answer_that_any_code_would_have_got_counts_as_one(service: Service, alice: int) -> None:
    service.get(f"verify/0000000/{alice}")
    assert service.get("app/stats")["stats"][0]["auths_count"] == 1


def test_codes_of_phone_verification_are_counted_as_messages(service: Service) -> None:
    for via in ("sms", "sms", "call"):
        service.post("phones/verification/start", {"country_code": "1", "phone_number": "201-555-0123", "via": via})
    row = service.get("app/stats")["stats"][0]
    assert (row["sms_count"], row["calls_count"], row["users_count"]) == (2, 1, 0)


def test_each_month_has_its_row_and_its_english_name(service: Service, alice: int) -> None:
    service.emulator.set_clock(START + 31 * 86400)
    service.sms(alice)
    service.emulator.set_clock(START + 120 * 86400)
    stats = service.get("app/stats")
    assert stats["stats"] == [
        month(2023, "November", api_calls_count=1, users_count=1),
        month(2023, "December", api_calls_count=1, sms_count=1),
        month(2024, "March", api_calls_count=1),
    ]
    assert stats["count"] == 3


def test_the_users_that_are_left_are_the_total_users(service: Service, alice: int) -> None:
    service.register("408-555-5271")
    service.post(f"users/{alice}/remove")
    assert service.get("app/stats")["total_users"] == 2
    service.emulator.advance(24 * 3600)
    assert service.get("app/stats")["total_users"] == 1
    service.register()
    assert service.get("app/stats")["total_users"] == 2
