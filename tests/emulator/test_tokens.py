from __future__ import annotations

import pytest

from authy_wsgi.emulator import Rules

from .service import KEY, START, Service


def test_an_sms_arrives_and_its_code_verifies_once(service: Service, alice: int) -> None:
    answer = service.get(f"sms/{alice}")
    assert answer == {"success": True, "message": "SMS token was sent", "cellphone": "+1-XXX-XXX-XX70"}
    message = service.phone(alice)["messages"][-1]
    assert message == {"kind": "sms", "code": message["code"], "text": f"Your Authy Demo code is {message['code']}", "at": START}
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


def test_a_wrong_code_says_so(service: Service, alice: int) -> None:
    wrong = service.verify(alice, "0000000", status=401)
    assert wrong == {"message": "Token is invalid", "token": "is invalid", "success": False, "errors": {"message": "Token is invalid"}, "error_code": "60020"}


def test_without_force_an_unconfirmed_user_passes_with_any_code(service: Service, alice: int) -> None:
    service.sms(alice)
    assert service.get(f"verify/0000000/{alice}")["token"] == "is valid"
    assert service.get(f"users/{alice}/status")["status"]["confirmed"] is False
    assert service.get(f"verify/0000000/{alice}", {"force": "false"})["success"] == "true"
    service.verify(alice, service.sms(alice))
    assert service.get(f"verify/0000000/{alice}", status=401)["error_code"] == "60020"


@pytest.mark.parametrize("token", ["abcdefg", "12345", "1" * 13, "1e56789", "+123456", "%D9%A1%D9%A2%D9%A3%D9%A4%D9%A5%D9%A6", "123456%0A", "%20123456"])
def test_malformed_tokens_are_never_good(service: Service, alice: int, token: str) -> None:
    assert service.get(f"verify/{token}/{alice}", status=401)["error_code"] == "60020"


@pytest.mark.parametrize("path", ["verify/../sms/{}", "verify/..%2Fsms/{}", "verify/0000000/..%2Fsms%2F{}", "verify//{}", "verify/../../json/sms/{}"])
def test_a_path_never_climbs(service: Service, alice: int, path: str) -> None:
    answer = service.app.get("/protected/json/" + path.format(alice), headers={"X-Authy-API-Key": KEY}, expect_errors=True)
    assert answer.status_int in (401, 404)
    assert service.phone(alice)["messages"] == []


def test_unknown_users_are_told_in_other_words_by_verify(service: Service) -> None:
    answer = service.get("verify/1234567/99", status=404)
    assert (answer["message"], answer["error_code"]) == ("User doesn't exist", "60016")
    assert service.get("sms/99", status=404)["message"] == "User not found."
    assert service.get("call/99", status=404)["error_code"] == "60026"
    assert service.post("email/99", status=404)["error_code"] == "60026"


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


def test_a_code_for_an_action_is_good_for_that_action_only(service: Service, alice: int) -> None:
    code = service.sms(alice, action="pay", action_message="Pay 5 EUR")
    assert service.phone(alice)["messages"][-1]["text"] == f"Pay 5 EUR: Your Authy Demo code is {code}"
    service.verify(alice, code, status=401)
    service.verify(alice, code, status=401, action="login")
    service.verify(alice, code, action="pay")
    plain = service.sms(alice)
    assert plain != code
    service.verify(alice, plain, status=401, action="pay")
    assert service.get(f"sms/{alice}", {"action": "x" * 256}, status=400)["error_code"] == "60004"


def test_calls_and_emails_bring_the_same_code(service: Service, alice: int) -> None:
    code = service.sms(alice)
    assert service.get(f"call/{alice}", {"locale": "pt-BR"}) == {"success": True, "message": "Call started...", "cellphone": "+1-XXX-XXX-XX70"}
    email = service.post(f"email/{alice}")
    assert (email["message"], email["email"]) == ("Email token was sent", "alice@example.com")
    assert email["email_id"].startswith("EM")
    assert len(email["email_id"]) == 34
    assert [(it["kind"], it["code"]) for it in service.phone(alice)["messages"]] == [("sms", code), ("call", code), ("email", code)]


def test_with_the_app_messages_are_ignored_unless_forced(service: Service, alice: int) -> None:
    service.emulator.phone(alice).install_app()
    ignored = service.get(f"sms/{alice}")
    assert (ignored["ignored"], ignored["device"], ignored["success"]) == (True, "android", True)
    assert ignored["message"].startswith("Ignored: SMS is not needed")
    assert "using  App Tokens" in service.get(f"call/{alice}")["message"]
    assert service.post(f"email/{alice}")["ignored"] is True
    assert service.phone(alice)["messages"] == []
    for force in ("true", "True", "1"):
        forced = service.get(f"sms/{alice}", {"force": force})
        assert not {"ignored", "device"} & set(forced)
    assert len(service.phone(alice)["messages"]) == 3


def test_force_can_be_taken_literally() -> None:
    service = Service(rules=Rules(lenient_force=False))
    alice = service.register()
    service.emulator.phone(alice).install_app()
    assert "ignored" in service.get(f"sms/{alice}", {"force": "True"})
    assert "ignored" not in service.get(f"sms/{alice}", {"force": "true"})


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


def test_a_suspended_user_is_503(service: Service, alice: int) -> None:
    phone = service.emulator.phone(alice)
    phone.suspend()
    for answer in (service.get(f"sms/{alice}", status=503), service.verify(alice, "1234567", status=503)):
        assert (answer["message"], answer["error_code"]) == ("User has been suspended.", "60017")
    phone.restore()
    service.sms(alice)


def test_what_is_switched_off_says_so() -> None:
    service = Service(rules=Rules(sms_enabled=False, calls_enabled=False))
    alice = service.register()
    assert service.get(f"sms/{alice}", status=503)["error_code"] == "60007"
    assert service.get(f"call/{alice}", status=503)["error_code"] == "60006"
