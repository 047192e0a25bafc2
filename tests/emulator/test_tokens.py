"""One-time codes: section 4 of what is known of the service."""

from __future__ import annotations

import re
from typing import Any

import pytest

from authy_wsgi.emulator import Rules

from .service import KEY, START, Service

SMS_IGNORED = "Ignored: SMS is not needed for smartphones. Pass force=true if you want to actually send it anyway."
CALL_IGNORED = "Call ignored. User is using  App Tokens and this call is not necessary. Pass force=true if you still want to call users that are using the App."


def send(service: Service, kind: str, who: object, status: int = 200, **params: Any) -> Any:
    ask = service.post if kind == "email" else service.get
    return ask(f"{kind}/{who}", params, status=status)


# -- sending


def test_an_sms_arrives_and_its_code_verifies_once(service: Service, alice: int) -> None:
    answer = service.get(f"sms/{alice}")
    assert answer == {"success": True, "message": "SMS token was sent", "cellphone": "+1-XXX-XXX-XX70"}
    message = service.phone(alice)["messages"][-1]
    assert message == {"kind": "sms", "code": message["code"], "text": f"Your Authy Demo code is {message['code']}", "at": START}
    assert re.fullmatch(r"[0-9]{7}", message["code"])
    good = service.verify(alice, message["code"])
    assert (good["message"], good["token"], good["success"], good["device"]["os_type"]) == ("Token is valid.", "is valid", "true", "sms")
    assert good["device"]["id"] is None
    again = service.verify(alice, message["code"], status=401)
    assert again == {
        "message": "Token is invalid. Token was used recently",
        "success": False,
        "errors": {"message": "Token is invalid. Token was used recently"},
        "error_code": "60019",
    }


@pytest.mark.parametrize(
    ("cellphone", "country_code", "mask"),
    [
        ("9 11 2345-6702", "54", "+54-XXX-XXX-XX02"),
        ("300 123 4512", "57", "+57-XXX-XXX-XX12"),
        ("912 345 667", "351", "+351-XXX-XXX-XX67"),
        ("408-555-5285", "1", "+1-XXX-XXX-XX85"),
    ],
)
def test_the_mask_of_a_number_has_one_shape_for_every_length(service: Service, cellphone: str, country_code: str, mask: str) -> None:
    user = service.register(cellphone, country_code)
    assert service.get(f"sms/{user}")["cellphone"] == mask
    assert service.get(f"call/{user}")["cellphone"] == mask


def test_calls_and_emails_bring_the_same_code(service: Service, alice: int) -> None:
    code = service.sms(alice)
    assert service.get(f"call/{alice}") == {"success": True, "message": "Call started...", "cellphone": "+1-XXX-XXX-XX70"}
    email = service.post(f"email/{alice}?force=true")
    assert set(email) == {"success", "message", "email", "email_id"}
    assert (email["success"], email["message"], email["email"]) == (True, "Email token was sent", "alice@example.com")
    assert re.fullmatch(r"EM[0-9a-f]{32}", email["email_id"])
    assert [(it["kind"], it["code"]) for it in service.phone(alice)["messages"]] == [("sms", code), ("call", code), ("email", code)]
    assert " ".join(code) in service.phone(alice)["messages"][1]["text"]


def test_what_very_old_and_other_clients_add_changes_nothing(service: Service, alice: int) -> None:
    answer = service.get(f"sms/{alice}", {"shortcode": "true", "via": "voice", "user_ip": "1.2.3.4", "ip": "1.2.3.4"})
    assert answer["message"] == "SMS token was sent"
    assert [it["kind"] for it in service.phone(alice)["messages"]] == ["sms"]


def test_with_the_app_messages_are_ignored_unless_forced(service: Service, alice: int) -> None:
    service.emulator.phone(alice).install_app()
    said = {"device": "android", "ignored": True, "success": True}
    assert service.get(f"sms/{alice}") == {"message": SMS_IGNORED, "cellphone": "+1-XXX-XXX-XX70", **said}
    assert service.get(f"call/{alice}") == {"message": CALL_IGNORED, "cellphone": "+1-XXX-XXX-XX70", **said}
    assert service.post(f"email/{alice}")["ignored"] is True
    assert service.phone(alice)["messages"] == []
    for kind in ("sms", "call", "email"):
        assert not {"ignored", "device"} & set(send(service, kind, alice, force="true"))
    assert [it["kind"] for it in service.phone(alice)["messages"]] == ["sms", "call", "email"]


@pytest.mark.parametrize(
    ("force", "leniently", "literally"),
    [("true", True, True), ("True", True, False), ("1", True, False), (" true ", True, True), ("false", False, False), ("0", False, False)]
    + [("yes", False, False), ("", False, False), (None, False, False)],
)
def test_how_force_is_read(force: str | None, leniently: bool, literally: bool) -> None:
    for lenient, forced in ((True, leniently), (False, literally)):
        service = Service(rules=Rules(lenient_force=lenient))
        alice = service.register()
        service.emulator.phone(alice).install_app()
        assert ("ignored" in service.get(f"sms/{alice}", {} if force is None else {"force": force})) is not forced


def test_force_may_be_a_boolean_of_a_json_body(service: Service, alice: int) -> None:
    service.emulator.phone(alice).install_app()
    for body, ignored in ((b'{"force":true}', False), (b'{"force":false}', True)):
        answer = service.app.request(
            f"/protected/json/sms/{alice}", method="GET", body=body, headers={"X-Authy-API-Key": KEY, "Content-Type": "application/json"}
        )
        assert ("ignored" in answer.json) is ignored


LANGUAGES = {
    "": "Your Authy Demo code is",
    "en-GB": "Your Authy Demo code is",
    "es": "Su código de Authy Demo es",
    "ES-mx": "Su código de Authy Demo es",
    "de": "Ihr Code für Authy Demo ist",
    "fr": "Votre code Authy Demo est",
    "it": "Il tuo codice Authy Demo è",
    "nl": "Uw code voor Authy Demo is",
    "pt-BR": "Seu código Authy Demo é",
    "pt_BR": "Seu código Authy Demo é",
    "zh-HK": "Your Authy Demo code is",
    "tlh": "Your Authy Demo code is",
    "../../etc": "Your Authy Demo code is",
}


@pytest.mark.parametrize("locale", LANGUAGES)
def test_a_message_speaks_the_locale_or_english(service: Service, alice: int, locale: str) -> None:
    for kind in ("sms", "call", "email"):
        send(service, kind, alice, locale=locale)
    code = service.emulator.phone(alice).code
    sms, call, email = (it["text"] for it in service.phone(alice)["messages"])
    assert sms == email == f"{LANGUAGES[locale]} {code}"
    assert call == f"{LANGUAGES[locale]} {' '.join(code)}"


def test_a_name_of_the_application_with_braces_stays_as_it_is() -> None:
    service = Service(app_name="{code} & {0}")
    alice = service.register()
    assert service.phone(alice)["messages"] == []
    code = service.sms(alice)
    assert service.phone(alice)["messages"][-1]["text"] == f"Your {{code}} & {{0}} code is {code}"


# -- actions


def test_a_code_for_an_action_is_good_for_that_action_only(service: Service, alice: int) -> None:
    code = service.sms(alice, action="pay", action_message="Pay 5 EUR")
    assert service.phone(alice)["messages"][-1]["text"] == f"Pay 5 EUR: Your Authy Demo code is {code}"
    assert service.verify(alice, code, status=401)["error_code"] == "60020"
    service.verify(alice, code, status=401, action="login")
    service.verify(alice, code, action="pay")
    plain = service.sms(alice)
    assert plain != code
    service.verify(alice, plain, status=401, action="pay")
    service.verify(alice, plain)


@pytest.mark.parametrize("kind", ["sms", "call", "email"])
def test_an_action_has_at_most_255_characters(service: Service, alice: int, kind: str) -> None:
    send(service, kind, alice, action="x" * 255, action_message="y" * 255)
    code = service.emulator.phone(alice).code
    for name in ("action", "action_message"):
        answer = send(service, kind, alice, status=400, **{name: "x" * 256})
        assert (answer["error_code"], answer["message"]) == ("60004", f"Invalid parameter: {name} - Must have at most 255 characters")
    assert len(service.phone(alice)["messages"]) == 1
    service.verify(alice, code, action="x" * 255)


# -- what keeps a message from being sent


def test_what_is_switched_off_says_so() -> None:
    service = Service(rules=Rules(sms_enabled=False, calls_enabled=False))
    alice = service.register()
    sms, call = service.get(f"sms/{alice}", status=503), service.get(f"call/{alice}", status=503)
    assert (sms["error_code"], sms["message"]) == ("60007", "SMS is not enabled")
    assert (call["error_code"], call["message"]) == ("60006", "Phone calls are not enabled on this account")
    assert service.phone(alice)["messages"] == []
    assert service.post(f"email/{alice}")["success"] is True


def test_a_landline_takes_calls_and_no_sms() -> None:
    for allowed in (False, True):
        service = Service(rules=Rules(sms_to_landlines=allowed))
        landline = service.register("20 7946 0958", "44")
        answer = service.get(f"sms/{landline}", status=200 if allowed else 403)
        assert answer.get("error_code") == (None if allowed else "60082")
        service.get(f"call/{landline}")
        service.post(f"email/{landline}")
        assert [it["kind"] for it in service.phone(landline)["messages"]] == ["sms"] * allowed + ["call", "email"]


def test_a_suspended_user_is_503_everywhere_until_restored(service: Service, alice: int) -> None:
    phone = service.emulator.phone(alice)
    code = service.sms(alice)
    phone.suspend()
    answers = [send(service, kind, alice, status=503) for kind in ("sms", "call", "email")]
    answers += [service.verify(alice, code, status=503), service.verify(alice, "1234567", status=503)]
    answers.append(service.post(f"onetouch/users/{alice}/approval_requests", {"message": "x"}, status=503))
    for answer in answers:
        assert answer == {
            "message": "User has been suspended.",
            "success": False,
            "errors": {"message": "User has been suspended."},
            "error_code": "60017",
        }
    phone.restore()
    service.verify(alice, code)


# -- verifying

DEVICE = {
    "id",
    "os_type",
    "registration_date",
    "registration_method",
    *("registration_country", "registration_region", "registration_city", "country", "region", "city", "ip"),
    *("last_account_recovery_at", "last_sync_date"),
}


def test_the_answer_is_compact_json(service: Service, alice: int) -> None:
    code = service.sms(alice)
    answer = service.app.get(f"/protected/json/verify/{code}/{alice}?api_key={KEY}&force=true")
    assert '"token":"is valid"' in answer.text
    assert '"success":"true"' in answer.text
    assert answer.headers["Content-Type"] == "application/json;charset=utf-8"
    assert answer.headers["X-Authy-Simulator"] == "1"


def test_success_can_be_a_boolean() -> None:
    service = Service(rules=Rules(verify_success_text=False))
    alice = service.register()
    assert service.verify(alice, service.sms(alice))["success"] is True


def test_a_good_answer_describes_the_device(service: Service, alice: int) -> None:
    phone = service.emulator.phone(alice)
    phone.install_app()
    by_sms = service.verify(alice, service.sms(alice))
    assert set(by_sms) == {"message", "token", "success", "device"}
    by_app = service.verify(alice, phone.app_code or "", user_ip="1.2.3.4")
    for device in (by_sms["device"], by_app["device"]):
        assert set(device) == DEVICE
        assert type(device["registration_date"]) is int
    assert (by_sms["device"]["id"], by_sms["device"]["os_type"], by_sms["device"]["last_sync_date"]) == (None, "sms", None)
    known = service.get(f"users/{alice}/status")["status"]["detailed_devices"][0]
    assert (by_app["device"]["id"], by_app["device"]["os_type"]) == (known["device_id"], "android")


def test_a_wrong_code_says_so(service: Service, alice: int) -> None:
    wrong = service.verify(alice, "0000000", status=401)
    assert wrong == {"message": "Token is invalid", "token": "is invalid", "success": False, "errors": {"message": "Token is invalid"}, "error_code": "60020"}


def test_the_code_of_another_user_is_wrong(service: Service, alice: int) -> None:
    bob = service.register("408-555-5271")
    code = service.sms(alice)
    assert service.verify(bob, code, status=401)["error_code"] == "60020"
    service.verify(alice, code)


def test_without_force_an_unconfirmed_user_passes_with_any_code(service: Service, alice: int) -> None:
    service.sms(alice)
    passed = service.get(f"verify/0000000/{alice}")
    assert (passed["token"], passed["success"]) == ("is valid", "true")
    assert service.get(f"users/{alice}/status")["status"]["confirmed"] is False
    assert service.get(f"verify/0000000/{alice}", {"force": "false"})["success"] == "true"
    assert service.verify(alice, "0000000", status=401)["error_code"] == "60020"
    service.get(f"verify/{service.sms(alice)}/{alice}")
    assert service.get(f"users/{alice}/status")["status"]["confirmed"] is True
    assert service.get(f"verify/0000000/{alice}", status=401)["error_code"] == "60020"


@pytest.mark.parametrize("token", ["abcdefg", "12345", "1" * 13, "1e56789", "+123456", "%D9%A1%D9%A2%D9%A3%D9%A4%D9%A5%D9%A6", "123456%0A", "%20123456"])
def test_malformed_tokens_are_never_good(service: Service, alice: int, token: str) -> None:
    assert service.get(f"verify/{token}/{alice}", status=401)["error_code"] == "60020"


@pytest.mark.parametrize("length", [6, 7, 12])
def test_codes_of_any_length_that_clients_send_are_judged(service: Service, alice: int, length: int) -> None:
    assert service.verify(alice, "9" * length, status=401)["token"] == "is invalid"


def test_leading_zeros_are_part_of_a_code(service: Service, alice: int) -> None:
    code = service.sms(alice)
    while not code.startswith("0"):
        service.verify(alice, code)
        code = service.sms(alice)
    assert re.fullmatch(r"0[0-9]{6}", code)
    for written in (code.removeprefix("0"), "0" + code):
        assert service.verify(alice, written, status=401)["error_code"] == "60020"
    service.verify(alice, code)


@pytest.mark.parametrize("path", ["verify/../sms/{}", "verify/..%2Fsms/{}", "verify/0000000/..%2Fsms%2F{}", "verify//{}", "verify/../../json/sms/{}"])
@pytest.mark.parametrize("raw", [False, True])
def test_a_path_never_climbs(service: Service, alice: int, path: str, raw: bool) -> None:
    full = "/protected/json/" + path.format(alice)
    answer = service.app.get(full, headers={"X-Authy-API-Key": KEY}, expect_errors=True, extra_environ={"REQUEST_URI": full} if raw else {})
    assert answer.status_int in (401, 404)
    assert answer.json["success"] is False
    assert service.phone(alice)["messages"] == []


def test_unknown_users_are_told_in_other_words_by_verify(service: Service) -> None:
    for who in ("99", "tony"):
        answer = service.get(f"verify/1234567/{who}", status=404)
        assert answer == {"message": "User doesn't exist", "success": False, "errors": {"message": "User doesn't exist"}, "error_code": "60016"}
        assert service.get(f"sms/{who}", status=404)["message"] == "User not found."


# -- how long a code is good


def test_the_same_code_comes_again_while_it_is_good(service: Service, alice: int) -> None:
    first = service.sms(alice)
    service.emulator.advance(599)
    assert service.sms(alice) == first
    service.emulator.advance(1)
    assert service.verify(alice, first, status=401)["error_code"] == "60020"
    second = service.sms(alice)
    assert second != first
    service.verify(alice, second)
    assert service.sms(alice) != second
    assert service.verify(alice, second, status=401)["error_code"] == "60019"


def test_the_lifetime_is_a_setting() -> None:
    service = Service(rules=Rules(code_lifetime=60))
    alice = service.register()
    code = service.sms(alice)
    service.emulator.advance(60)
    service.verify(alice, code, status=401)


def test_the_app_shows_a_new_code_every_step_and_the_last_one_still_works(service: Service, alice: int) -> None:
    phone = service.emulator.phone(alice)
    assert phone.app_code is None
    phone.install_app()
    first = phone.app_code
    assert first is not None
    assert len(first) == 7
    service.emulator.advance(20)
    second = phone.app_code
    assert second not in (None, first)
    assert service.verify(alice, first)["device"]["os_type"] == "android"
    assert service.verify(alice, first, status=401)["error_code"] == "60019"
    service.verify(alice, second, action="pay")
    third = phone.app_code
    service.emulator.advance(40)
    service.verify(alice, third, status=401)
    phone.remove_app()
    assert phone.app_code is None


@pytest.mark.parametrize("step", [10, 20, 60])
def test_the_step_of_the_app_is_a_setting(step: int) -> None:
    service = Service(rules=Rules(app_code_step=step))
    phone = service.emulator.phone(service.register())
    phone.install_app()
    service.emulator.set_clock(START // step * step)
    code = phone.app_code
    service.emulator.advance(step - 1)
    assert phone.app_code == code
    service.emulator.advance(1)
    assert phone.app_code != code


def test_an_app_that_is_gone_gives_no_good_codes(service: Service, alice: int) -> None:
    phone = service.emulator.phone(alice)
    phone.install_app()
    code = phone.app_code
    phone.remove_app()
    assert code is not None
    assert service.verify(alice, code, status=401)["error_code"] == "60020"
