"""A success is believed only when HTTP status and every field say so: each call against answers that almost say it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from authy_wsgi.clients.authy_api import AuthyAPI
from authy_wsgi.errors import SecondFactorError, Unavailable

from .lab import APPROVED, AUTHY_ID, CALLS, CODE, UUID, WRONG, RawServer, api_for, assert_no_secrets, http, told_by

MISSING = "<missing>"


class Answering:
    """One server and one connection for all of these: `answers` is what the next request gets."""

    def __init__(self) -> None:
        self.server = RawServer(b"")
        self.api = api_for(self.server.url)

    def answers(self, answer: bytes) -> AuthyAPI:
        self.server.answers = (answer,)
        return self.api


@pytest.fixture(scope="module")
def provider() -> Iterator[Answering]:
    made = Answering()
    with made.server:
        yield made


def changed(genuine: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy with another value at a dotted path, or with nothing there."""
    body = copy.deepcopy(genuine)
    inner, names = body, path.split(".")
    for name in names[:-1]:
        inner = inner[name]
    if value is MISSING:
        del inner[names[-1]]
    else:
        inner[names[-1]] = value
    return body


def assert_unbelieved(provider: Answering, name: str, answer: bytes) -> None:
    with pytest.raises(Unavailable) as caught:
        CALLS[name].make(provider.answers(answer))
    assert caught.value.what == "provider"
    assert caught.value.reason
    assert_no_secrets(told_by(caught.value))


@pytest.mark.parametrize("name", CALLS)
def test_the_genuine_answer_is_believed(provider: Answering, name: str) -> None:
    CALLS[name].make(provider.answers(http(CALLS[name].genuine)))


@pytest.mark.parametrize("content_type", ["text/html", "application/json;charset=utf-8", "text/plain", ""])
def test_the_content_type_is_not_what_counts(provider: Answering, content_type: str) -> None:
    assert CALLS["verify"].make(provider.answers(http(CALLS["verify"].genuine, content_type=content_type))) == "sms"


@pytest.mark.parametrize("success", ["true", True])
def test_verify_takes_the_text_true_and_the_boolean(provider: Answering, success: object) -> None:
    assert CALLS["verify"].make(provider.answers(http({**CALLS["verify"].genuine, "success": success}))) == "sms"


@pytest.mark.parametrize(
    "value", [1, 1.0, "True", "TRUE", "1", "yes", " true", "false", False, 0, "", None, [], ["true"], {}, {"true": True}, MISSING], ids=repr
)
@pytest.mark.parametrize("name", CALLS)
def test_success_that_is_not_quite_true_is_none(provider: Answering, name: str, value: object) -> None:
    assert_unbelieved(provider, name, http(changed(CALLS[name].genuine, "success", value)))


@pytest.mark.parametrize("name", [name for name in CALLS if name != "verify"])
def test_the_text_true_is_a_success_of_verify_only(provider: Answering, name: str) -> None:
    assert_unbelieved(provider, name, http({**CALLS[name].genuine, "success": "true"}))


@pytest.mark.parametrize(
    "status", ["201 Created", "202 Accepted", "203 x", "206 x", "299 x", "301 x", "304 x", "400 x", "401 x", "403 x", "404 x", "500 x", "503 x"]
)
@pytest.mark.parametrize("name", CALLS)
def test_a_genuine_body_under_another_status_is_no_success(provider: Answering, name: str, status: str) -> None:
    answer = http(CALLS[name].genuine, status)
    # An answer 304 ends with its headers.
    assert_unbelieved(provider, name, answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if status.startswith("304") else answer)


NO_ID = ["", "abc", "-1", "0", "01", "1e3", "1.0", " 1635", "１６３５", -1, 0, 1635.0, 1.5, True, None, [1635], {"id": 1635}, 10**70, "1" * 40, MISSING]
FIELDS: list[tuple[str, str, list[object]]] = [
    ("verify", "token", ["IS VALID", "Is valid", "is valid ", "is invalid", "valid", "", True, 1, None, ["is valid"], {"is valid": 1}, MISSING]),
    ("verify", "message", ["token is valid.", "Token is valid", "Token is invalid", "", True, None, ["Token is valid."], MISSING]),
    ("register_user", "user", ["1635", 1635, None, [], [{"id": 1635}], True, MISSING]),
    ("register_user", "user.id", NO_ID),
    ("user_status", "status", ["registered", None, [], True, MISSING]),
    ("user_status", "status.authy_id", [*NO_ID, AUTHY_ID + 1, str(AUTHY_ID + 1)]),
    ("user_status", "status.registered", ["true", "false", 1, 0, "", None, [], MISSING]),
    ("request_sms", "cellphone", [None, 5, True, [], {}, MISSING]),
    ("request_sms", "ignored", ["true", "false", "", 1, 0, 1.0, [], {}]),
    ("request_call", "cellphone", [None, MISSING]),
    ("request_call", "ignored", ["true", 1]),
    ("request_email", "email_id", [None, 5, True, [], MISSING]),
    ("request_approval", "approval_request", [UUID, None, [], [{"uuid": UUID}], True, MISSING]),
    ("request_approval", "approval_request.uuid", ["", "x", "../users/1635", "a b c d e f", UUID + "\n", "x" * 65, "é" * 36, 5, True, None, [UUID], MISSING]),
    ("approval_status", "approval_request", ["approved", None, [], True, MISSING]),
    ("approval_status", "approval_request.uuid", [UUID.upper(), UUID[:-1] + "1", UUID + " ", "", None, [UUID], 5, MISSING]),
    ("approval_status", "approval_request._authy_id", NO_ID),
    (
        "approval_status",
        "approval_request.status",
        ["APPROVED", "Approved", "approved ", "accepted", "", True, 1, None, ["approved"], {"approved": True}, MISSING],
    ),
    ("qr_secret", "qr_code", [None, 5, True, [], MISSING]),
    ("app_details", "app", [None, "x", [], True, 5, MISSING]),
]


@pytest.mark.parametrize(
    ("name", "path", "value"), [pytest.param(name, path, value, id=f"{name}-{path}-{ascii(value)[:30]}") for name, path, values in FIELDS for value in values]
)
def test_a_field_that_is_not_quite_right_is_not_believed(provider: Answering, name: str, path: str, value: object) -> None:
    assert_unbelieved(provider, name, http(changed(CALLS[name].genuine, path, value)))


@pytest.mark.parametrize("where", ["user.id", "status.authy_id", "approval_request._authy_id"])
def test_an_id_may_come_as_its_digits(provider: Answering, where: str) -> None:
    name = {"user.id": "register_user", "status.authy_id": "user_status"}.get(where, "approval_status")
    found = CALLS[name].make(provider.answers(http(changed(CALLS[name].genuine, where, str(AUTHY_ID)))))
    assert AUTHY_ID in (found if isinstance(found, tuple) else (found,))


def test_the_other_states_of_an_approval_are_told_as_they_are(provider: Answering) -> None:
    for status in ("pending", "approved", "denied", "expired"):
        api = provider.answers(http(changed(APPROVED, "approval_request.status", status)))
        assert api.approval_status(UUID).status == status


# A call and an SMS have the same success, and any success will do for a removal.
ALIKE = {("request_sms", "request_call"), ("request_call", "request_sms"), *(("remove_user", name) for name in CALLS)}
SWAPPED = [(name, other) for name in CALLS for other in CALLS if name != other and (name, other) not in ALIKE]


@pytest.mark.parametrize(("name", "other"), SWAPPED)
@pytest.mark.parametrize("boolean", [False, True], ids=["as it is", "success a boolean"])
def test_the_success_of_another_call_is_none_of_this_one(provider: Answering, name: str, other: str, boolean: bool) -> None:
    body = {**CALLS[other].genuine, "success": True} if boolean else CALLS[other].genuine
    assert_unbelieved(provider, name, http(body))


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500, 503])
@pytest.mark.parametrize("name", CALLS)
def test_an_error_of_the_api_is_never_a_success_of_any_call(provider: Answering, name: str, status: int) -> None:
    with pytest.raises(Exception) as caught:
        CALLS[name].make(provider.answers(http(WRONG, f"{status} x")))
    # Under 200, and where the server itself is broken, it is no word of the API.
    assert type(caught.value).__name__ == ("Unavailable" if status in (200, 500) else "AuthyError")


ERROR_SHAPES: list[Callable[[dict[str, Any]], object]] = [
    lambda error: {**error, "success": True},
    lambda error: {**error, "success": "false"},
    lambda error: {**error, "success": None},
    lambda error: {name: value for name, value in error.items() if name != "success"},
    lambda error: {name: value for name, value in error.items() if name != "message"},
    lambda error: {**error, "message": None},
    lambda error: {**error, "message": ["Token is invalid"]},
    lambda error: [error],
    lambda error: "Token is invalid",
]


@pytest.mark.parametrize("shape", range(len(ERROR_SHAPES)))
def test_an_error_that_is_not_quite_the_apis_is_a_broken_world(provider: Answering, shape: int) -> None:
    assert_unbelieved(provider, "verify", http(ERROR_SHAPES[shape](WRONG), "401 Unauthorized"))


@pytest.mark.parametrize("status", ["401 Unauthorized", "500 x"])
def test_an_errors_words_are_kept_short_and_on_one_line_whatever_came(provider: Answering, status: str) -> None:
    for words in ("m" * 9000, "Token is invalid\r\nCRITICAL forged line", "a\x1b[31mb\x00\x85\u2028c", "lone \ud800 half"):
        flood = {**WRONG, "message": words, "error_code": words, "token": words, "errors": {"message": words, words: "x"}}
        with pytest.raises(SecondFactorError) as caught:
            CALLS["verify"].make(provider.answers(http(flood, status)))
        said = str(caught.value)
        assert len(said) < 400
        assert len(said.splitlines()) == 1
        assert said.isprintable()
        said.encode()


@pytest.mark.parametrize("status", ["401 Unauthorized", "500 x"])
def test_a_code_that_the_provider_repeats_in_its_error_is_not_repeated_by_ours(provider: Answering, status: str) -> None:
    with pytest.raises(SecondFactorError) as caught:
        CALLS["verify"].make(
            provider.answers(http({**WRONG, "message": f"Token {CODE} is invalid", "errors": {"message": f"Token {CODE} is invalid"}}, status))
        )
    assert_no_secrets(told_by(caught.value))
