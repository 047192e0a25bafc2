"""The article's sequence, step by step, and every other call: our client against the emulator, over a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from authy_wsgi.clients.authy_api import Approval, AuthyAPI, AuthyError, Sent, UserStatus
from authy_wsgi.errors import Misconfigured
from tests.support import API_KEY, PHONE

from .conftest import Service

ASK = "Please authorize login to the registration demo app."


@pytest.fixture
def api(service: Service) -> AuthyAPI:
    return AuthyAPI(API_KEY, base_url=service.url)


@pytest.fixture
def alice(api: AuthyAPI, service: Service) -> int:
    authy_id = api.register_user("alice@example.com", "408-555-5270", 1)
    service.emulator.calls.clear()
    service.environs.clear()
    return authy_id


def test_the_articles_sequence(service: Service, api: AuthyAPI) -> None:
    phone = lambda: service.emulator.phone(PHONE)  # noqa: E731
    authy_id = api.register_user("alice@example.com", "408-555-5270", 1)
    assert authy_id == phone().authy_id

    assert api.request_sms(authy_id) == Sent(ignored=False)
    assert [message.kind for message in phone().messages] == ["sms"]

    assert api.verify(authy_id, phone().code) == "sms"
    with pytest.raises(AuthyError) as caught:
        api.verify(authy_id, "1234567")
    error = caught.value
    assert (error.message, error.token, error.success, error.error_code) == ("Token is invalid", "is invalid", False, "60020")
    assert error.errors == {"message": "Token is invalid"}
    assert error.status == 401

    phone().install_app()
    for press, status in ((phone().approve, "approved"), (phone().deny, "denied")):
        uuid = api.request_approval(authy_id, ASK, details={"Email Address": "alice@example.com"})
        shown = phone().approvals[-1]
        assert (shown["uuid"], shown["message"], shown["details"]) == (uuid, ASK, {"Email Address": "alice@example.com"})
        assert api.approval_status(uuid) == Approval(uuid, authy_id, "pending")
        press()
        assert api.approval_status(uuid) == Approval(uuid, authy_id, status)  # type: ignore[arg-type]


def test_the_first_code_is_really_checked_although_nobody_has_used_one_yet(service: Service, api: AuthyAPI, alice: int) -> None:
    assert not api.user_status(alice).confirmed
    with pytest.raises(AuthyError, match="60020"):
        api.verify(alice, "0000000")
    assert not api.user_status(alice).confirmed


def test_an_approval_request_that_nobody_answers_expires(service: Service, api: AuthyAPI, alice: int) -> None:
    service.emulator.phone(alice).install_app()
    uuid = api.request_approval(alice, ASK, seconds_to_expire=60)
    service.clock.advance(61)
    assert api.approval_status(uuid).status == "expired"


def test_a_code_is_good_once_and_the_second_time_says_used(service: Service, api: AuthyAPI, alice: int) -> None:
    api.request_sms(alice)
    code = service.emulator.phone(alice).code
    api.verify(alice, code)
    with pytest.raises(AuthyError, match=r"60019 Token is invalid\. Token was used recently"):
        api.verify(alice, code)


def test_a_code_that_was_sent_for_an_action_is_good_for_that_action_only(service: Service, api: AuthyAPI, alice: int) -> None:
    api.request_sms(alice, action="one")
    code = service.emulator.phone(alice).code
    for other in ("", "two"):
        with pytest.raises(AuthyError, match="60020"):
            api.verify(alice, code, action=other)
    assert api.verify(alice, code, action="one") == "sms"


def test_a_message_is_ignored_for_who_has_the_app_unless_forced(service: Service, api: AuthyAPI, alice: int) -> None:
    phone = service.emulator.phone(alice)
    phone.install_app()
    assert api.request_sms(alice) == Sent(ignored=True, device="android")
    assert api.request_call(alice) == Sent(ignored=True, device="android")
    assert phone.messages == []
    assert api.request_sms(alice, force=True) == Sent(ignored=False)
    assert api.request_call(alice, force=True) == Sent(ignored=False)
    assert [message.kind for message in phone.messages] == ["sms", "call"]
    assert api.verify(alice, phone.app_code or "") == "android"


def test_a_code_arrives_by_call_and_by_email(service: Service, api: AuthyAPI, alice: int) -> None:
    assert api.request_call(alice) == Sent(ignored=False)
    assert api.request_email(alice) == "alice@example.com"
    phone = service.emulator.phone(alice)
    assert [message.kind for message in phone.messages] == ["call", "email"]
    api.verify(alice, phone.code)


def test_the_status_tells_of_the_app_and_of_the_first_good_code(service: Service, api: AuthyAPI, alice: int) -> None:
    assert api.user_status(alice) == UserStatus(alice, registered=False, confirmed=False, disabled=False)
    service.emulator.phone(alice).install_app()
    api.verify(alice, service.emulator.phone(alice).app_code or "")
    assert api.user_status(alice) == UserStatus(alice, registered=True, confirmed=True, disabled=False)


def test_the_secret_for_another_authenticator_is_a_picture_and_its_codes_verify(service: Service, api: AuthyAPI, alice: int) -> None:
    url = api.qr_secret(alice, label="Acorn: alice", size=200)
    assert url.startswith(service.url)
    api.verify(alice, service.emulator.phone(alice).authenticator_code or "")
    assert service.emulator.calls[0].parameters == {"qr_size": "200", "label": "Acorn: alice"}


def test_a_removed_user_is_marked_and_then_unknown(service: Service, api: AuthyAPI, alice: int) -> None:
    api.remove_user(alice)
    assert api.user_status(alice).disabled
    with pytest.raises(AuthyError) as caught:
        api.request_sms(alice)
    assert (caught.value.status, caught.value.error_code) == (404, "60026")


def test_the_application_says_its_name_and_plan(api: AuthyAPI) -> None:
    assert {name: api.app_details()[name] for name in ("name", "plan", "sms_enabled")} == {"name": "Authy Demo", "plan": "sandbox", "sms_enabled": True}


def test_one_number_has_one_id_however_it_is_written(api: AuthyAPI, alice: int) -> None:
    assert api.register_user("other@example.com", "(408) 555.5270", 1) == alice
    assert api.register_user("other@example.com", "4085555271", 1) != alice


def test_a_number_that_cannot_be_is_an_error_that_names_its_field(api: AuthyAPI) -> None:
    with pytest.raises(AuthyError) as caught:
        api.register_user("alice@example.com", "12", 1)
    assert caught.value.error_code == "60027"
    assert caught.value.errors == {"cellphone": "is invalid", "message": "User was not valid"}


def test_a_wrong_key_is_a_misconfiguration_and_not_a_wrong_code(service: Service, alice: int) -> None:
    stranger = AuthyAPI("not-the-right-key", base_url=service.url)
    for call in (lambda: stranger.verify(alice, "1234567"), stranger.app_details, lambda: stranger.request_sms(alice)):
        with pytest.raises(Misconfigured, match="60001") as caught:
            call()
        assert "not-the-right-key" not in str(caught.value)


# The wire form

WIRE: list[tuple[Callable[[AuthyAPI, int], Any], str, str, dict[str, Any]]] = [
    (lambda api, who: api.user_status(who), "GET", "/protected/json/users/{}/status", {}),
    (lambda api, who: api.request_sms(who), "GET", "/protected/json/sms/{}", {}),
    (
        lambda api, who: api.request_sms(who, force=True, action="a1", locale="pt-BR"),
        "GET",
        "/protected/json/sms/{}",
        {"force": "true", "action": "a1", "locale": "pt-BR"},
    ),
    (lambda api, who: api.request_call(who, force=True), "GET", "/protected/json/call/{}", {"force": "true"}),
    (lambda api, who: api.request_email(who, action="a1"), "POST", "/protected/json/email/{}", {"action": "a1"}),
    (lambda api, who: api.qr_secret(who), "POST", "/protected/json/users/{}/secret", {"qr_size": "300", "label": ""}),
    (lambda api, who: api.remove_user(who), "POST", "/protected/json/users/{}/remove", {}),
    (lambda api, _who: api.app_details(), "GET", "/protected/json/app/details", {}),
]


@pytest.mark.parametrize(("call", "method", "path", "parameters"), WIRE, ids=[f"{row[2]} {row[3]}" for row in WIRE])
def test_a_call_on_the_wire(
    service: Service, api: AuthyAPI, alice: int, call: Callable[[AuthyAPI, int], Any], method: str, path: str, parameters: dict[str, Any]
) -> None:
    call(api, alice)
    assert [(it.method, it.path, it.parameters) for it in service.emulator.calls] == [(method, path.format(alice), parameters)]


def test_registering_never_sends_the_install_link(service: Service, api: AuthyAPI) -> None:
    api.register_user("a+b@example.com", "912 345 678", 351)
    user = {"email": "a+b@example.com", "cellphone": "912 345 678", "country_code": "351"}
    assert [call.parameters for call in service.emulator.calls] == [{"user": user, "send_install_link_via_sms": "false"}]


@pytest.mark.parametrize("action", ["", "attempt-1"])
def test_every_verify_is_forced(service: Service, api: AuthyAPI, alice: int, action: str) -> None:
    api.request_sms(alice, action=action)
    service.emulator.calls.clear()
    for token in ("0000000", service.emulator.phone(alice).code):
        try:
            api.verify(alice, token, action=action)
        except AuthyError:
            assert token == "0000000"
    expected = {"force": "true", "action": action} if action else {"force": "true"}
    assert [call.parameters for call in service.emulator.calls] == [expected, expected]


def test_an_approval_request_carries_all_its_parts_within_their_limits(service: Service, api: AuthyAPI, alice: int) -> None:
    service.emulator.phone(alice).install_app()
    logos = [{"res": "default", "url": "https://x.example/y.png"}, {"res": "low", "url": "https://x.example/z.png"}]
    details = {"Bank [account]": "235 27 é&=", "a label of more than twenty characters": "v" * 300}
    api.request_approval(alice, "m" * 300, details=details, hidden_details={"ip": "192.0.2.1"}, logos=logos, seconds_to_expire=90)
    sent = service.emulator.calls[-1]
    assert (sent.method, sent.path) == ("POST", f"/onetouch/json/users/{alice}/approval_requests")
    assert sent.parameters["message"] == "m" * 200
    assert sent.parameters["details"] == {"Bank account": "235 27 é&=", "a label of more than": "v" * 200}
    assert sent.parameters["hidden_details"] == {"ip": "192.0.2.1"}
    assert list(sent.parameters["logos"].values() if isinstance(sent.parameters["logos"], dict) else sent.parameters["logos"]) == logos
    assert sent.parameters["seconds_to_expire"] == "90"


def test_the_key_travels_in_the_header_alone(service: Service, api: AuthyAPI, alice: int) -> None:
    service.emulator.phone(alice).install_app()
    api.request_sms(alice, force=True)
    api.verify(alice, service.emulator.phone(alice).code)
    api.approval_status(api.request_approval(alice, ASK))
    api.qr_secret(alice)
    assert len(service.environs) == 5
    for environ in service.environs:
        assert [name for name, value in environ.items() if API_KEY in str(value)] == ["HTTP_X_AUTHY_API_KEY"]
    assert API_KEY not in repr(service.emulator.calls)


# SECURITY: what becomes a part of a path is judged before anything is sent.

NO_CODES = [
    "../sms", "1234567#", "1234567/", "1234567?x", "1234567&force=false", "12345%37", "..", "", " ", "12345", "12345678901", "1234567\n",
    " 1234567", "1234567 ",
    "+1234567", "-1234567", "1_234_567", "1e100000", "0x123456",
    "١٢٣٤٥٦٧", "１２３４５６７", "²²²²²²²", "१२३४५६७", "1234567\x00", "123456\u200b7",
]  # fmt: skip


@pytest.mark.parametrize("token", NO_CODES, ids=ascii)
def test_what_is_not_a_code_is_never_sent(service: Service, api: AuthyAPI, alice: int, token: str) -> None:
    with pytest.raises(ValueError) as caught:
        api.verify(alice, token)
    assert service.environs == []
    assert not token.strip() or token not in str(caught.value)


@pytest.mark.parametrize("token", ["123456", "0000000", "1234567890"])
def test_codes_of_six_to_ten_digits_are_sent_as_they_are(service: Service, api: AuthyAPI, alice: int, token: str) -> None:
    with pytest.raises(AuthyError):
        api.verify(alice, token)
    assert [call.path for call in service.emulator.calls] == [f"/protected/json/verify/{token}/{alice}"]


@pytest.mark.parametrize("uuid", ["", "..", "../users/1635", "a/b", "a%2Fb", "a?b", "a#b", "a b", "a\n", "é", "x" * 65], ids=ascii)
def test_what_is_not_a_plain_word_never_becomes_a_path(service: Service, api: AuthyAPI, uuid: str) -> None:
    with pytest.raises(ValueError):
        api.approval_status(uuid)
    assert service.environs == []


@pytest.mark.parametrize("authy_id", ["../call/1635", "1635/../1", "1635?force=true", ""], ids=ascii)
def test_an_id_that_is_no_plain_word_never_becomes_a_path(service: Service, api: AuthyAPI, alice: int, authy_id: Any) -> None:
    for call in (
        lambda: api.request_sms(authy_id),
        lambda: api.verify(authy_id, "1234567"),
        lambda: api.user_status(authy_id),
        lambda: api.request_approval(authy_id, "x"),
        lambda: api.qr_secret(authy_id),
        lambda: api.remove_user(authy_id),
    ):
        with pytest.raises(ValueError):
            call()
    assert service.environs == []


@pytest.mark.parametrize(
    "key", ["", "short", "with space inside", "line\nbreak-in-key", "é" * 32, "x" * 129, None, 12345678901234567890123456789012, b"x" * 32]
)
def test_a_key_that_cannot_be_is_refused_at_once_and_not_repeated(key: Any) -> None:
    with pytest.raises(Misconfigured) as caught:
        AuthyAPI(key)
    assert not key or str(key) not in str(caught.value)


def test_no_repr_holds_the_key(api: AuthyAPI) -> None:
    assert API_KEY not in f"{api!r} {api.wire!r}"
