"""Users: sections 2 and 3 of what is known of the service."""

from __future__ import annotations

import base64
import hmac
import json
import re
import struct
from io import BytesIO
from typing import Any

import pytest
import segno

from authy_wsgi.emulator import Rules

from .service import KEY, START, Service

NUMBERS = ["408-555-5270", "408.555.5270", "(408) 555 5270", "4085555270", "+1 408 555 5270", "408-5555270", " 408 555 5270 "]
DAY = 24 * 3600
REMOVALS = ["users/{}/remove", "users/{}/delete", "users/delete/{}"]


def fields(cellphone: str = "408-555-5270", country_code: object = "1", email: str = "alice@example.com") -> dict[str, object]:
    return {"user[email]": email, "user[cellphone]": cellphone, "user[country_code]": country_code}


def totp(secret: str, at: int) -> str:
    """What an authenticator shows: RFC 6238 with SHA-1, 6 digits, 30 seconds, computed here anew."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.digest(key, struct.pack(">Q", at // 30), "sha1")
    return f"{(struct.unpack('>I', mac[mac[19] & 15 :][:4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


# -- registration


@pytest.mark.parametrize("written", NUMBERS)
def test_one_number_has_one_id_however_it_is_written(service: Service, alice: int, written: str) -> None:
    assert service.register(written) == alice


@pytest.mark.parametrize(
    ("country_code", "spellings"),
    [
        ("351", ["912345678", "912 345 678", "912-345-678", "+351 912 345 678"]),
        ("49", ["0151 23456789", "151 23456789", "15123456789"]),
        ("+54", ["11 2345-6702", "1123456702"]),
        ("44", ["07400 123456", "7400123456"]),
    ],
)
def test_a_number_abroad_has_one_id_too(service: Service, country_code: str, spellings: list[str]) -> None:
    assert len({service.register(written, country_code) for written in spellings}) == 1
    assert len(service.emulator.phones) == 1


def test_another_number_has_another_id(service: Service, alice: int) -> None:
    assert len({alice, service.register("408-555-5271"), service.register("912 345 678", "351")}) == 3


def test_a_new_user_is_announced_in_the_words_that_clients_look_for(service: Service) -> None:
    answer = service.post("users/new", fields("405-342-5699"))
    assert answer == {"message": "User created successfully.", "user": {"id": 1635}, "success": True}
    assert type(answer["user"]["id"]) is int


def test_nothing_else_is_said_of_a_new_user(service: Service) -> None:
    # Shell scripts look for these words, and take all digits of the answer for the id.
    text = service.app.post("/protected/json/users/new", {**fields(), "api_key": KEY}).text
    assert "".join(re.findall(r"[0-9]", text)) == "1635"
    assert not [word for word in ("cellphone", "email", "country") if word in text]


def test_a_second_address_is_added_and_the_first_one_stays_in_sight(service: Service, alice: int) -> None:
    for email in ("second@example.com", "alice@example.com", "third@example.com"):
        assert service.register(email=email) == alice
    assert service.get(f"users/{alice}/status")["status"]["email"] == "alice@example.com"
    assert service.post(f"email/{alice}")["email"] == "alice@example.com"
    service.post(f"users/{alice}/update", {"email": "second@example.com"})
    assert service.get(f"users/{alice}/status")["status"]["email"] == "second@example.com"
    assert service.get("app/stats")["total_users"] == 1


def test_users_can_be_registered_in_every_encoding(service: Service, alice: int) -> None:
    user = {"email": "alice@example.com", "cellphone": "408 555 5270", "country_code": 1}
    assert service.post_json("users/new", {"user": user, "send_install_link_via_sms": False})["user"]["id"] == alice
    assert service.post_json("users/new", {"user": {**user, "country_code": "1"}})["user"]["id"] == alice
    query = "?user[email]=alice%40example.com&user[cellphone]=4085555270&user[country_code]=1"
    assert service.post("users/new" + query)["user"]["id"] == alice
    mixed = {"user[email]": "b@example.com", "user[cellphone]": "4085555270", "user[country_code]": "1"}
    assert service.post("users/new?send_install_link_via_sms=true", mixed)["user"]["id"] == alice
    assert service.post("users/new?user[email]=a%40example.com", {"user[cellphone]": "x"}, status=400)["email"] == "is invalid and can't be blank"


def test_bad_users_are_told_field_by_field(service: Service) -> None:
    answer = service.post("users/new", fields("AAA-BBB", "999", "nobody"), status=400)
    assert answer == {
        "message": "User was not valid",
        "success": False,
        "email": "is invalid",
        "country_code": "is not supported",
        "errors": {"email": "is invalid", "country_code": "is not supported", "message": "User was not valid"},
        "error_code": "60027",
    }
    blank = service.post("users/new", {"user[cellphone]": "AAA", "user[country_code]": "1"}, status=400)
    assert (blank["email"], blank["cellphone"]) == ("is invalid and can't be blank", "is invalid")
    assert blank["errors"] == {"email": blank["email"], "cellphone": "is invalid", "message": "User was not valid"}


@pytest.mark.parametrize(
    ("cellphone", "country_code", "field"),
    [
        ("408-555-5270", "", "country_code"),
        ("408-555-5270", "0", "country_code"),
        ("408-555-5270", "US", "country_code"),
        ("408-555-5270", "-1", "country_code"),
        ("+351 912 345 678", "1", "cellphone"),
        ("", "1", "cellphone"),
        ("12", "1", "cellphone"),
        ("408-555-5270-5270-5270", "1", "cellphone"),
        ("call me", "1", "cellphone"),
        ("４０８５５５５２７０", "1", "cellphone"),
    ],
)
def test_a_number_that_is_none_is_named(service: Service, cellphone: str, country_code: str, field: str) -> None:
    answer = service.post("users/new", fields(cellphone, country_code), status=400)
    assert [name for name in ("email", "cellphone", "country_code") if name in answer] == [field]
    assert service.emulator.phones == []


@pytest.mark.parametrize("body", [{}, {"user": None}, {"user": "x"}, {"user": ["x"]}, {"user": {"email": {}, "cellphone": [1], "country_code": {"a": 1}}}])
def test_odd_users_are_not_valid(service: Service, body: dict[str, object]) -> None:
    assert service.post_json("users/new", body, status=400)["error_code"] == "60027"


WISHES: list[tuple[str, dict[str, Any], int]] = [
    ("", {}, 1),
    ("?send_install_link_via_sms=true", {}, 1),
    ("?send_install_link_via_sms=false", {}, 0),
    ("", {"send_install_link_via_sms": True}, 1),
    ("", {"send_install_link_via_sms": False}, 0),
    ("", {"user": {"send_install_link_via_sms": "false"}}, 0),
    ("", {"user": {"send_install_link_via_sms": "true"}}, 1),
]


@pytest.mark.parametrize(("query", "more", "messages"), WISHES)
def test_an_install_link_is_sent_where_the_dashboard_says_so_unless_it_is_not_wanted(query: str, more: dict[str, Any], messages: int) -> None:
    for switched_on in (True, False):
        service = Service(rules=Rules(install_links=switched_on))
        user = {"email": "a@example.com", "cellphone": "4085555270", "country_code": 1, **more.get("user", {})}
        for _ in range(2):
            service.post_json("users/new" + query, {**more, "user": user})
        arrived = service.phone("+14085555270")["messages"]
        assert len(arrived) == (messages if switched_on else 0)
        assert all((it["kind"], it["code"]) == ("sms", "") and "https://" in it["text"] for it in arrived)
        assert service.get("app/stats")["stats"][0]["sms_count"] == len(arrived)


@pytest.mark.parametrize(
    ("rules", "cellphone", "country_code"),
    [({"sms_enabled": False}, "4085555270", "1"), ({}, "20 7946 0958", "44"), ({"sms_per_day": 1}, "4085555270", "1")],
)
def test_an_install_link_that_cannot_be_sent_keeps_nobody_from_registering(rules: dict[str, Any], cellphone: str, country_code: str) -> None:
    service = Service(rules=Rules(install_links=True, **rules))
    service.register("408-555-5271")
    before = service.get("app/stats")["stats"][0]["sms_count"]
    user = service.register(cellphone, country_code)
    assert service.phone(user)["messages"] == []
    assert service.get("app/stats")["stats"][0]["sms_count"] == before


# -- status

STATUS_FIELDS = {
    "authy_id": int,
    "confirmed": bool,
    "registered": bool,
    "country_code": int,
    "phone_number": str,
    "email": str,
    "devices": list,
    "has_hard_token": bool,
    "account_disabled": bool,
    "detailed_devices": list,
    "deleted_devices": list,
}


@pytest.mark.parametrize("installed", [True, False])
def test_the_status_has_every_field_in_its_type(service: Service, alice: int, installed: bool) -> None:
    if installed:
        service.emulator.phone(alice).install_app()
    answer = service.get(f"users/{alice}/status")
    assert (set(answer), answer["message"], answer["success"]) == ({"status", "message", "success"}, "User status.", True)
    assert {name: type(value) for name, value in answer["status"].items()} == STATUS_FIELDS
    assert answer["status"]["devices"] == (["android"] if installed else [])
    assert [{name: type(value).__name__ for name, value in device.items()} for device in answer["status"]["detailed_devices"]] == installed * [
        {
            "device_type": "str",
            "os_type": "str",
            "registration_device_id": "NoneType",
            "registration_method": "str",
            "device_id": "int",
            "last_sync_date": "int",
            "creation_date": "int",
        }
    ]
    if installed:
        assert (answer["status"]["detailed_devices"][0]["device_type"], answer["status"]["detailed_devices"][0]["creation_date"]) == ("authy", START)


def test_the_status_shows_little_of_the_number(service: Service, alice: int) -> None:
    status = service.get(f"users/{alice}/status", {"user_ip": "127.0.0.1"})["status"]
    assert status["phone_number"] == "XXX-XXX-5270"
    assert (status["authy_id"], status["country_code"], status["email"]) == (alice, 1, "alice@example.com")
    assert (status["registered"], status["confirmed"], status["devices"], status["detailed_devices"]) == (False, False, [], [])
    portuguese = service.get(f"users/{service.register('912 345 678', '351')}/status")["status"]
    assert (portuguese["phone_number"], portuguese["country_code"]) == ("XX-XXX-5678", 351)


def test_the_status_knows_of_the_app_and_of_the_first_good_code(service: Service, alice: int) -> None:
    service.emulator.phone(alice).install_app()
    service.verify(alice, service.sms(alice))
    status = service.get(f"users/{alice}/status")["status"]
    assert (status["registered"], status["confirmed"], status["devices"]) == (True, True, ["android"])
    service.emulator.phone(alice).remove_app()
    status = service.get(f"users/{alice}/status")["status"]
    assert (status["registered"], status["confirmed"], status["devices"]) == (False, True, [])


def test_a_status_may_be_asked_with_a_json_body(service: Service, alice: int) -> None:
    for body in (b"{}", b'{"user_ip":"1.2.3.4"}'):
        answer = service.app.request(
            f"/protected/json/users/{alice}/status", method="GET", body=body, headers={"X-Authy-API-Key": KEY, "Content-Type": "application/json"}
        )
        assert answer.json["status"]["authy_id"] == alice


@pytest.mark.parametrize("who", ["tony", "99", "-1", "1635 ", "%D9%A1", "%C2%B2", "9" * 40, "1635%00"])
def test_only_ascii_digits_are_an_id(service: Service, alice: int, who: str) -> None:
    answer = service.get(f"users/{who}/status", status=404)
    assert (answer["message"], answer["error_code"], answer["success"]) == ("User not found.", "60026", False)
    assert service.verify(who, "1234567", status=404)["success"] is False  # type: ignore[arg-type]


def test_a_slash_within_an_id_finds_nobody_and_climbs_nowhere(service: Service, alice: int) -> None:
    for path in ("/protected/json/users/..%2Fsms/status", f"/protected/json/users/..%2F..%2Fsms%2F{alice}/status"):
        answer = service.app.get(path, headers={"X-Authy-API-Key": KEY}, status=404, extra_environ={"REQUEST_URI": path})
        assert (answer.json["message"], answer.json["error_code"]) == ("User not found.", "60026")
    assert service.phone(alice)["messages"] == []


UNKNOWN = [
    ("GET", "users/99/status"),
    *(("POST", path.format(99)) for path in REMOVALS),
    ("POST", "users/99/update"),
    ("POST", "users/99/register_activity"),
    ("POST", "users/99/secret"),
    ("GET", "users/99/secret/export"),
    ("GET", "users/99/phone_number"),
    ("GET", "sms/99"),
    ("GET", "call/99"),
    ("POST", "email/99"),
    ("POST", "/onetouch/json/users/99/approval_requests"),
]


@pytest.mark.parametrize(("method", "path"), UNKNOWN)
def test_an_unknown_user_is_not_found_wherever_it_is_asked_for(service: Service, alice: int, method: str, path: str) -> None:
    full = path if path.startswith("/") else "/protected/json/" + path
    answer = service.app.request(full, method=method, headers={"X-Authy-API-Key": KEY}, status=404)
    assert answer.json == {"message": "User not found.", "success": False, "errors": {"message": "User not found."}, "error_code": "60026"}


# -- removal


@pytest.mark.parametrize("path", REMOVALS)
def test_a_removed_user_verifies_for_a_day(service: Service, alice: int, path: str) -> None:
    code = service.sms(alice)
    assert service.post(path.format(alice), {"user_ip": "1.2.3.4"}) == {"message": "User was added to remove.", "success": True}
    status = service.get(f"users/{alice}/status")["status"]
    assert (status["account_disabled"], status["authy_id"]) == (True, alice)
    assert service.get(f"sms/{alice}", status=404)["error_code"] == "60026"
    for other in REMOVALS:
        assert service.post(other.format(alice), status=404)["error_code"] == "60026"
    service.verify(alice, code)
    service.emulator.advance(DAY)
    assert service.verify(alice, "1234567", status=404)["message"] == "User doesn't exist"
    assert service.get(f"users/{alice}/status", status=404)["error_code"] == "60026"


def test_the_codes_of_a_removed_users_app_verify_to_the_last_second(service: Service, alice: int) -> None:
    phone = service.emulator.phone(alice)
    phone.install_app()
    service.post(f"users/{alice}/delete")
    service.emulator.advance(DAY - 1)
    service.verify(alice, phone.app_code or "")
    service.emulator.advance(1)
    assert service.verify(alice, phone.app_code or "", status=404)["error_code"] == "60016"


def test_how_long_a_removal_takes_is_a_setting() -> None:
    service = Service(rules=Rules(deletion_delay=60))
    alice = service.register()
    service.post(f"users/{alice}/remove")
    service.emulator.advance(59)
    assert service.get(f"users/{alice}/status")["status"]["account_disabled"] is True
    service.emulator.advance(1)
    service.get(f"users/{alice}/status", status=404)
    at_once = Service(rules=Rules(deletion_delay=0))
    bob = at_once.register()
    at_once.post(f"users/{bob}/remove")
    assert at_once.verify(bob, "1234567", status=404)["error_code"] == "60016"


def test_a_removed_number_comes_back_with_its_id(service: Service, alice: int) -> None:
    service.verify(alice, service.sms(alice))
    service.post(f"users/{alice}/remove")
    assert service.register() == alice
    assert service.get(f"users/{alice}/status")["status"]["confirmed"] is True
    service.post(f"users/{alice}/remove")
    service.emulator.advance(DAY)
    assert service.register() == alice
    status = service.get(f"users/{alice}/status")["status"]
    assert (status["confirmed"], status["account_disabled"]) == (False, False)


def test_a_removal_that_was_taken_back_never_comes(service: Service, alice: int) -> None:
    service.post(f"users/{alice}/remove")
    service.register()
    service.emulator.advance(2 * DAY)
    assert service.get(f"users/{alice}/status")["status"]["account_disabled"] is False


# -- update, activity


def test_the_email_can_be_changed(service: Service, alice: int) -> None:
    assert service.post(f"users/{alice}/update", {"email": "new@example.com"}) == {"message": "User was updated successfully", "success": True}
    assert service.get(f"users/{alice}/status")["status"]["email"] == "new@example.com"
    assert service.post(f"users/{alice}/update", {"email": "nobody"}, status=400)["email"] == "is invalid"
    assert service.post(f"users/{alice}/update", status=400)["error_code"] == "60004"
    assert service.get(f"users/{alice}/status")["status"]["email"] == "new@example.com"


@pytest.mark.parametrize("kind", ["password_reset", "banned", "unbanned", "cookie_login"])
def test_activities_are_of_four_kinds(service: Service, alice: int, kind: str) -> None:
    path = f"users/{alice}/register_activity"
    done = {"message": "Activity was created.", "success": True}
    assert service.post(path, {"type": kind, "data[reason]": "forgot", "user_ip": "1.2.3.4"}) == done
    assert service.post_json(path, {"type": kind, "data": {"reason": "forgot", "times": [1, 2]}, "ip": "1.2.3.4"}) == done


@pytest.mark.parametrize("kind", ["party", "Banned", "", None])
def test_another_activity_is_refused_with_the_list(service: Service, alice: int, kind: str | None) -> None:
    answer = service.post_json(f"users/{alice}/register_activity", {} if kind is None else {"type": kind}, status=400)
    text = "You can only create the following activities: password_reset, banned, unbanned, cookie_login."
    assert answer == {"message": text, "success": False, "errors": {"message": text}, "error_code": "60029"}


# -- the secret for another authenticator


def test_the_picture_shows_the_secret_and_the_answer_does_not_say_it(service: Service, alice: int) -> None:
    answer = service.post_json(f"users/{alice}/secret", {"qr_size": 240, "label": "my app"})
    assert set(answer) == {"qr_code", "label", "issuer", "success"}
    assert (answer["label"], answer["issuer"], answer["success"]) == ("my app", "Authy Demo", True)
    assert re.fullmatch(r"http://localhost:80/qr/[0-9a-f]{32}\.png", answer["qr_code"])
    image = service.app.get(answer["qr_code"])
    assert (image.content_type, image.body[:8], image.headers["Cache-Control"]) == ("image/png", b"\x89PNG\r\n\x1a\n", "no-store")
    width, height = struct.unpack(">II", image.body[16:24])
    assert width == height
    assert 180 < width <= 240
    secret = service.get(f"users/{alice}/secret/export")["secret"]
    assert secret not in json.dumps(answer)
    code = segno.make_qr(f"otpauth://totp/Authy%20Demo:my%20app?secret={secret}&issuer=Authy%20Demo", error="m")
    expected = BytesIO()
    code.save(expected, kind="png", scale=width // code.symbol_size(border=4)[0], border=4)
    assert image.body == expected.getvalue()


def test_without_a_label_the_application_and_the_address_are_shown(service: Service, alice: int) -> None:
    assert service.post(f"users/{alice}/secret")["label"] == "Authy Demo: alice@example.com"


def test_the_secrets_codes_are_those_of_every_authenticator(service: Service, alice: int) -> None:
    assert service.emulator.phone(alice).authenticator_code is None
    service.post(f"users/{alice}/secret")
    secret = service.get(f"users/{alice}/secret/export")["secret"]
    assert service.emulator.phone(alice).authenticator_code == totp(secret, START)
    good = service.verify(alice, totp(secret, START))
    assert (good["token"], good["success"], good["device"]["os_type"]) == ("is valid", "true", "generic")
    assert service.verify(alice, totp(secret, START), status=401)["error_code"] == "60019"
    # One step early or late is taken, two are not.
    assert service.verify(alice, totp(secret, START - 30))["token"] == "is valid"
    assert service.verify(alice, totp(secret, START + 30))["token"] == "is valid"
    assert service.verify(alice, totp(secret, START + 60), status=401)["error_code"] == "60020"
    assert service.verify(alice, totp(secret, START - 60), status=401)["error_code"] == "60020"


def test_a_new_secret_replaces_the_old_one_and_its_picture(service: Service, alice: int) -> None:
    first = service.post(f"users/{alice}/secret")["qr_code"]
    old = service.get(f"users/{alice}/secret/export")["secret"]
    second = service.post(f"users/{alice}/secret")["qr_code"]
    new = service.get(f"users/{alice}/secret/export")["secret"]
    assert first != second
    assert old != new
    service.app.get(first, status=404)
    service.app.get(second)
    assert service.verify(alice, totp(old, START), status=401)["error_code"] == "60020"
    service.verify(alice, totp(new, START))


@pytest.mark.parametrize("body", [{"qr_size": "big"}, {"qr_size": 0}, {"qr_size": 10000}, {"qr_size": -1}, {"label": "x" * 201}, {"label": ["x"]}])
def test_a_picture_that_cannot_be_drawn_is_refused_and_the_old_secret_stays(service: Service, alice: int, body: dict[str, object]) -> None:
    service.post(f"users/{alice}/secret")
    before = service.get(f"users/{alice}/secret/export")
    assert service.post_json(f"users/{alice}/secret", body, status=400)["error_code"] == "60004"
    assert service.get(f"users/{alice}/secret/export") == before


def test_generic_tokens_can_be_switched_off() -> None:
    service = Service(rules=Rules(generic_tokens_enabled=False))
    alice = service.register()
    answer = service.post(f"users/{alice}/secret", status=403)
    assert (answer["error_code"], answer["message"]) == ("60123", "The application does not have Generic Tokens enabled")


# -- exports


def test_the_secret_can_be_exported_with_the_code_of_this_moment(service: Service, alice: int) -> None:
    assert service.get(f"users/{alice}/secret/export", status=404)["success"] is False
    service.post(f"users/{alice}/secret")
    answer = service.get(f"users/{alice}/secret/export")
    assert {name: type(value) for name, value in answer.items()} == {"secret": str, "otp": str, "success": bool}
    assert re.fullmatch(r"[A-Z2-7]{32}", answer["secret"])
    assert answer["otp"] == totp(answer["secret"], START)
    service.verify(alice, answer["otp"])
    service.emulator.advance(30)
    assert service.get(f"users/{alice}/secret/export") == {**answer, "otp": totp(answer["secret"], START + 30)}


def test_the_number_can_be_exported_whole(service: Service, alice: int) -> None:
    assert service.get(f"users/{alice}/phone_number") == {"phone_number": "4085555270", "country_code": "1", "e164": "+14085555270", "success": True}
    portuguese = service.register("912 345 678", "351")
    assert service.get(f"users/{portuguese}/phone_number")["e164"] == "+351912345678"


def test_exports_can_be_switched_off() -> None:
    service = Service(rules=Rules(exports_enabled=False))
    alice = service.register()
    service.post(f"users/{alice}/secret")
    for path in ("secret/export", "phone_number"):
        answer = service.get(f"users/{alice}/{path}", status=403)
        assert (answer["error_code"], answer["success"]) == ("60031", False)
        assert "4085555270" not in json.dumps(answer)


# -- the SDK


def test_a_registration_by_the_sdk_is_never_there(service: Service) -> None:
    assert service.get("registrations/status", {"custom_user_id": "cust 1"}, status=404)["error_code"] == "60035"
    missing = service.get("registrations/status", status=400)
    assert (missing["error_code"], missing["message"]) == ("60004", "Invalid parameter: custom_user_id - Parameter is required")


def test_a_device_that_is_deleted_has_the_app_no_more(service: Service, alice: int) -> None:
    other = service.register("408-555-5271")
    for each in (alice, other):
        service.emulator.phone(each).install_app()
    device = service.get(f"users/{alice}/status")["status"]["detailed_devices"][0]["device_id"]
    headers = {"X-Authy-API-Key": KEY}
    service.app.get(f"/protected/json/sdk/devices/{device}", headers=headers, status=405)
    assert service.app.delete(f"/protected/json/sdk/devices/{device}", headers=headers).json["success"] is True
    assert [service.emulator.phone(each).app_installed for each in (alice, other)] == [False, True]
    for unknown in (device, 1, "x"):
        assert service.app.delete(f"/protected/json/sdk/devices/{unknown}", headers=headers, status=404).json["error_code"] == "60092"
