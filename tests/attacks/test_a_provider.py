"""A. The call to the provider: what reaches it, and what of its answers is believed."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from requests.adapters import BaseAdapter

from authy_wsgi import AuthyClient, Misconfigured
from authy_wsgi.clients.http import Deadlines
from authy_wsgi.emulator.rules import SHAPES, Rules
from authy_wsgi.emulator.signing import signature
from tests.attacks.helpers import (
    BASE_URL,
    CALLBACK,
    OTHER_PHONE,
    UNLIMITED,
    ZEROS,
    Liar,
    Shut,
    ask,
    asked_for_code,
    calling_back,
    deliver,
    digits_of,
    enrolled,
    fields_of,
    granted,
    is_in,
    lying_world,
    named,
    of,
    post,
    right,
    signed_in,
)
from tests.clients.lab import Closing, RawServer, Reset, Silence, closed_port, http
from tests.support import API_KEY, PHONE, Browser, World, form_to, session_for

# What a person may put into a code without harm.
HARMLESS = " \u00a0-."


def is_code(text: str) -> bool:
    """The rule, in other words than the package's."""
    kept = [character for character in text if character not in HARMLESS]
    return 6 <= len(kept) <= 10 and all(character in "0123456789" for character in kept)


PATH_PIECES = (
    *("../sms", "..%2fsms", "..%252fsms", "%2e%2e/sms", "%2e%2e%2fsms", "..\\sms", "..;/sms", "....//sms", "./{code}", "../verify/{code}", "{code}/../../sms"),
    *(
        "{code}/..",
        "{code}/../sms",
        "{code}/",
        "/{code}",
        "%2f{code}",
        "{code}%2f",
        "sms",
        "call",
        "//",
        "/",
        "\\",
        "~",
        "*",
        "{code}\\..\\sms",
        "%c0%ae%c0%ae/sms",
    ),
)
BEYOND_THE_PATH = (
    *(
        "{code}/{other}#",
        "{code}/{other}?",
        "{code}/{other}%23",
        "{code}%2f{other}%23",
        "{code}#",
        "{code}?force=false",
        "{code}?force=false#",
        "{code}&force=false",
    ),
    *(
        "{code};force=false",
        "{code}?action=x",
        "{code}?api_key=x",
        "{code}/{other}",
        "{code}/{other}/",
        "{code}\r\n",
        "{code}\n",
        "{code}\r\nX-Authy-ID: {other}",
    ),
    *(
        "{code} HTTP/1.1\r\nHost: x",
        "{code}\t",
        "{code}\x00",
        "{code}\x00/{other}",
        "{code},{other}",
        "{code}|{other}",
        "{code}:{other}",
        "{code}@{other}",
        "{code}'",
    ),
    *("{code}%00", "{code}%0a", "{code}%0d%0a", "{code}\u2028", "{code}\x85", "{code}\x0b", "{code}\x0c", "{code}\x1c"),
)
OTHERWISE_NO_CODE = (
    *(
        "",
        " ",
        "-",
        ".",
        " - . ",
        "\u00a0",
        "12345",
        "12345678901",
        "1" * 1000,
        "0" * 60_000,
        "abcdefg",
        "{code}x",
        "x{code}",
        "+{code}",
        "1_234_567",
        "1,234,567",
    ),
    *(
        "1e6",
        "1E+6",
        "0x1234567",
        "0b1010101",
        "0o1234567",
        "1234567L",
        "²³¹²³¹²",
        "①②③④⑤⑥⑦",
        "ⅠⅡⅢⅣⅤⅥⅦ",
        "½½½½½½½",
        "一二三四五六七",
        "{code}\u200b",
        "\ufeff{code}",
        "{code}\u0660",
    ),
    *(
        "{code}\u2003",
        "\u2009{code}",
        "\u3000{code}",
        "{code}\u00ad",
        "{code}\u2010",
        "{code}\u2212",
        "{code}\u2024",
        "true",
        "null",
        "is valid",
        "['{code}']",
        '{{"code":1}}',
    ),
)


class Ready:
    """A site where alice waits at the page for her code, and bob has a phone of his own; every request to the provider is noted."""

    def __init__(self) -> None:
        self.world, self.liar = lying_world(limits=UNLIMITED)
        enrolled(self.world, "bob", OTHER_PHONE)
        enrolled(self.world)
        self.alice, self.page = asked_for_code(self.world)
        self.fields = fields_of(self.page, "/code")
        self.liar.seen.clear()
        self.shut = Shut(self.world)

    def spelled(self, text: str) -> str:
        return text.format(code=right(self.world), other=self.world.phone(OTHER_PHONE).authy_id)

    def type(self, code: str) -> Any:
        return post(self.world, "/second-factor/code", {**self.fields, "code": code}, self.alice)


@pytest.fixture(scope="module")
def ready() -> Ready:
    return Ready()


@pytest.mark.parametrize("text", **named([*PATH_PIECES, *OTHERWISE_NO_CODE]))
def test_A1_what_is_no_code_causes_no_request_at_all(ready: Ready, text: str) -> None:
    ready.shut(ready.type(ready.spelled(text)), 422, 413)
    assert ready.liar.seen == []


@pytest.mark.parametrize("zero", **named({f"{ord(zero):x}": zero for zero in ZEROS}))
def test_A1_digits_of_other_scripts_cause_no_request(ready: Ready, zero: str) -> None:
    code = right(ready.world)
    for text in (digits_of(zero, code), code[:-1] + digits_of(zero, code[-1]), digits_of(zero, code[0]) + code[1:]):
        ready.shut(ready.type(text), 422)
    assert ready.liar.seen == []


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    text=st.one_of(
        st.text(max_size=24),
        st.text(alphabet="0123456789 -./\\%#?&;:@\u00a0\u2003\r\n\t\x00", min_size=5, max_size=16),
        st.tuples(st.text("0123456789", min_size=3, max_size=10), st.characters(exclude_categories=["Cs"]), st.text("0123456789", max_size=6)).map("".join),
    ).filter(lambda text: not is_code(text))
)
@example("1234567\u0661")
def test_A1_no_text_that_is_not_six_to_ten_digits_causes_a_request(ready: Ready, text: str) -> None:
    ready.shut(ready.type(text), 422)
    assert ready.liar.seen == []


@pytest.mark.parametrize("text", **named(BEYOND_THE_PATH))
def test_A2_separators_fragments_and_line_breaks_cause_no_request(ready: Ready, text: str) -> None:
    ready.shut(ready.type(ready.spelled(text)), 422)
    assert ready.liar.seen == []


def test_A2_the_provider_sees_one_id_and_it_is_the_users() -> None:
    ready = Ready()
    for text in (*BEYOND_THE_PATH, *PATH_PIECES, "1111111"):
        ready.type(ready.spelled(text))
    mine, other = ready.world.phone().authy_id, ready.world.phone(OTHER_PHONE).authy_id
    for name in ("id", "authy_id", "user", "user_id", "token", "factor", "client"):
        ready.shut(ready.type("2222222"), 422)
        ready.shut(post(ready.world, "/second-factor/code", {**ready.fields, "code": "3333333", name: str(other)}, ready.alice), 422)
    assert ready.alice.enter(ready.page, right(ready.world)).status_int == 303
    assert len(ready.liar.seen) == 16
    for _, target, _ in ready.liar.seen:
        path, _, query = target.partition("?")
        assert path.split("/")[-1] == str(mine)
        assert path.count("/") == 5
        assert {name for name, _ in parse_qsl(query)} == {"force", "action"}
        assert str(other) not in target


# A3

TRUE: dict[str, Any] = {"message": "Token is valid.", "token": "is valid", "success": "true", "device": {"id": None, "os_type": "sms"}}
ODD: tuple[Any, ...] = (
    None,
    False,
    0,
    1,
    1.0,
    "",
    "True",
    "TRUE",
    " true",
    "true ",
    "1",
    "yes",
    "ok",
    "false",
    [],
    ["true"],
    [True],
    {},
    {"true": True},
    "is valid.",
    "IS VALID",
)


def _without(name: str) -> dict[str, Any]:
    return {key: value for key, value in TRUE.items() if key != name}


LIES: dict[str, bytes] = {
    "nothing": b"",
    "space": b" ",
    "null": b"null",
    "true": b"true",
    "text": b'"is valid"',
    "number": b"1",
    "list": b"[]",
    "object": b"{}",
    "list of it": json.dumps([TRUE]).encode(),
    "it twice": json.dumps(TRUE).encode() * 2,
    "it and more": json.dumps(TRUE).encode() + b"x",
    "it cut off": json.dumps(TRUE).encode()[:-1],
    "inside": json.dumps({"body": TRUE}).encode(),
    "as text": json.dumps(json.dumps(TRUE)).encode(),
    "HTML": b"<html><body>Token is valid.</body></html>",
    "HTML around it": b"<pre>" + json.dumps(TRUE).encode() + b"</pre>",
    "form": b"success=true&token=is+valid&message=Token+is+valid.",
    "XML": b"<hash><success>true</success><token>is valid</token></hash>",
    "script": b"x(" + json.dumps(TRUE).encode() + b")",
    "not UTF-8": json.dumps(TRUE).encode().replace(b"is valid", b"is valid\xff"),
    "deep": b"[" * 50_000,
    "huge": json.dumps({**TRUE, "filler": "x" * 300_000}).encode(),
    "huge space": b" " * 300_000 + json.dumps(TRUE).encode(),
    "sms": json.dumps({"success": True, "message": "SMS token was sent", "cellphone": "+1-XXX-XXX-XX70"}).encode(),
    "user": json.dumps({"success": True, "message": "User created successfully.", "user": {"id": 1}}).encode(),
    "approval": json.dumps({"success": True, "approval_request": {"status": "approved"}}).encode(),
    "refusal": json.dumps({"success": False, "message": "Token is invalid", "token": "is invalid"}).encode(),
    "success alone": b'{"success": true}',
    "refusal that says success": json.dumps({"success": True, "message": "Token is invalid", "token": "is invalid"}).encode(),
    **{f"without {name}": json.dumps(_without(name)).encode() for name in ("message", "token", "success")},
    **{f"success {value!r}": json.dumps({**TRUE, "success": value}).encode() for value in ODD},
    **{f"token {value!r}": json.dumps({**TRUE, "token": value}).encode() for value in (*ODD, "is invalid", True, "true", "valid")},
    **{f"message {value!r}": json.dumps({**TRUE, "message": value}).encode() for value in (*ODD, "Token is invalid", "token is valid.", True)},
    **{f"{name} in capitals": json.dumps({**_without(name), name.upper(): TRUE[name]}).encode() for name in ("message", "token", "success")},
}


class Lied(Ready):
    """The same, where verify answers what `says` holds."""

    def __init__(self) -> None:
        super().__init__()
        self.says: Any = None
        self.liar.lies["verify"] = lambda _environ, _truth: self.says


@pytest.fixture(scope="module")
def lied() -> Lied:
    return Lied()


@pytest.mark.parametrize("lie", **named(LIES))
def test_A3_a_200_that_is_not_the_one_genuine_success_is_refused(lied: Lied, lie: bytes) -> None:
    lied.says = lie
    seen = len(lied.liar.seen)
    lied.shut(lied.type("7654321"), 422, 503, what=lie)
    assert len(lied.liar.seen) == seen + 1


@pytest.mark.parametrize("status", [201, 202, 204, 206, 299, 301, 302, 303, 307, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503, 504])
def test_A3_the_genuine_body_under_another_status_is_refused(lied: Lied, status: int) -> None:
    lied.says = (status, b"" if status == 204 else json.dumps(TRUE).encode(), {"Location": f"{BASE_URL}/protected/json/verify/1234567/1"})
    lied.shut(lied.type("7654321"), 422, 503)


@pytest.mark.parametrize("success", ["true", True])
def test_A3_the_genuine_success_gets_in(success: object) -> None:
    lied = Lied()
    lied.says = {**TRUE, "success": success}
    assert granted(lied.type("7654321"))


# A4 and A5


def _push(world: World, user: str = "alice", number: str = PHONE) -> tuple[Browser, Any]:
    world.phone(number).install_app()
    browser = world.browser(user)
    page = browser.choose(browser.visit(), "push")
    assert "Approve on your phone" in page.text
    return browser, page


def test_A4_an_approval_of_another_phone_is_worth_nothing_wherever_its_uuid_is_put(world: World) -> None:
    enrolled(world)
    enrolled(world, "mallory", OTHER_PHONE)
    _, own = _push(world, "mallory", OTHER_PHONE)
    world.phone(OTHER_PHONE).approve()
    uuid = world.phone(OTHER_PHONE).approvals[-1]["uuid"]
    assert uuid not in own.text
    alice, page = _push(world)
    fields, shut = fields_of(page, "/poll"), Shut(world)
    names = (
        "uuid",
        "approval_uuid",
        "onetouch_uuid",
        "approval_request[uuid]",
        "challenge",
        "cid",
        "id",
        "request",
        "reference",
        "hidden",
        "status",
        "authy_id",
    )
    for name in names:
        world.clock.advance(1)
        said = {name: uuid, "status": "approved"}
        for answer in (
            post(world, "/second-factor/poll", {**fields, **said}, alice),
            post(world, "/second-factor/poll", fields, alice, query=f"{name}={uuid}&status=approved"),
            post(world, "/second-factor/poll", fields, alice, headers={"Accept": "application/json", "X-" + name.title(): uuid}),
            ask(world, "/second-factor/push", query=f"{name}={uuid}", **of(alice)),
            post(world, "/second-factor/poll", json.dumps(said).encode(), alice, content_type="application/json"),
        ):
            shut(answer, 200, 303, 400, what=name)
        cookie = {**of(alice), "cookie": f"{of(alice)['cookie']}; {name}={uuid}; uuid={uuid}"}
        shut(ask(world, "/second-factor/push", **cookie), 200)
    assert not is_in(alice)
    assert uuid not in {call.path.rpartition("/")[2] for call in world.calls("approval_requests/status")} or not granted(shut(ask(world, **of(alice))))
    world.phone().approve()
    world.clock.advance(1)
    assert alice.poll(page)["state"] == "approved"


def test_A4_no_page_of_ours_shows_a_uuid(world: World) -> None:
    enrolled(world)
    alice, page = _push(world)
    world.clock.advance(1)
    uuid = world.phone().approvals[-1]["uuid"]
    polled = alice.http.post(form_to(page, "/poll").action, fields_of(page, "/poll"), headers={"Accept": "application/json"})
    for answer in (page, alice.get("/second-factor/push"), polled):
        assert uuid not in answer.text
        assert uuid not in str(answer.headerlist)


def test_A5_an_approval_of_one_sign_in_opens_no_other(world: World) -> None:
    enrolled(world)
    world.phone().install_app()
    attacker = world.browser("alice")
    waiting = attacker.visit()
    alice, page = _push(world)
    # The attacker's own push does not even reach the phone, and their tab may ask what it likes.
    assert attacker.choose(waiting, "push").status_int == 422
    fields = fields_of(page, "/poll")
    shut = Shut(world)
    world.phone().approve()
    world.clock.advance(1)
    shut(post(world, "/second-factor/poll", fields, attacker), 403)
    shut(post(world, "/second-factor/poll", {**fields, "csrf": fields_of(waiting, "/start")["csrf"]}, attacker))
    for path in ("/second-factor/push", "/second-factor/continue", "/second-factor/", "/members"):
        shut(attacker.get(path), 200, 303)
    assert not is_in(attacker)
    assert alice.poll(page)["state"] == "approved"
    assert is_in(alice)
    assert not is_in(attacker)


def test_A5_an_approval_that_nobody_collected_opens_no_later_sign_in(world: World) -> None:
    enrolled(world)
    alice, page = _push(world)
    world.phone().approve()
    world.clock.advance(151)
    attacker, other = _push(world)
    assert attacker.poll(other)["state"] == "pending"
    assert not is_in(attacker)
    assert alice.poll(page)["state"] == "approved"
    assert attacker.poll(other)["state"] == "pending"
    assert not is_in(attacker)


# A6


def _answered(method: str = "POST", shape: str = "2019", logos: int = 0) -> tuple[World, dict[str, Any], Browser, Any]:
    """A site with callbacks, a push that has been approved, its callback still on the way."""
    world, outbox = calling_back(method, Rules(callback_shape=shape))
    enrolled(world)
    alice, page = _push(world)
    world.phone().approve()
    world.emulator.callbacks.wait()
    assert len(outbox.sent) == 1
    world.clock.advance(1)
    world.emulator.calls.clear()
    return world, outbox.sent[0], alice, page


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("shape", SHAPES)
def test_A6_a_genuine_callback_of_every_shape_counts_once_and_only_hints(method: str, shape: str) -> None:
    world, sent, alice, page = _answered(method, shape)
    assert alice.poll(page)["state"] == "pending"
    shut = Shut(world)
    for _ in range(5):
        answer = shut(deliver(world, sent), 200)
        assert answer.body == b""
    assert world.calls() == []
    assert not is_in(alice)
    assert alice.poll(page)["state"] == "approved"
    assert len(world.calls("approval_requests/status")) == 1
    assert is_in(alice)


def _changed(sent: Mapping[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    tree = json.loads(sent["body"])
    change(tree)
    return {"body": json.dumps(tree).encode()}


def _header(name: str, change: Callable[[str], str]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda sent: {"headers": {**sent["headers"], name: change(sent["headers"][name])}}


SIGNATURE, NONCE = "X-Authy-Signature", "X-Authy-Signature-Nonce"
FORGED: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "unsigned": lambda sent: {"headers": {NONCE: sent["headers"][NONCE]}},
    "no nonce": lambda sent: {"headers": {SIGNATURE: sent["headers"][SIGNATURE]}},
    "no headers": lambda sent: {"headers": {}},
    "empty signature": _header(SIGNATURE, lambda _: ""),
    "signature cut": _header(SIGNATURE, lambda text: text[:-5]),
    "first byte": _header(SIGNATURE, lambda text: ("A" if text[0] != "A" else "B") + text[1:]),
    "a space in it": _header(SIGNATURE, lambda text: text[:9] + " " + text[9:]),
    "in quotes": _header(SIGNATURE, lambda text: f'"{text}"'),
    "twice": _header(SIGNATURE, lambda text: f"{text},{text}"),
    "small letters": _header(SIGNATURE, lambda text: text.lower()),
    "other nonce": _header(NONCE, lambda text: str(int(text) + 1)),
    "nonce with a plus": _header(NONCE, lambda text: "+" + text),
    "nonce with a space": _header(NONCE, lambda text: " " + text),
    "nonce with a zero": _header(NONCE, lambda text: "0" + text),
    "nonce of Arabic digits": _header(NONCE, lambda text: digits_of("\u0660", text).encode().decode("latin-1")),
    "approved for denied": lambda sent: _changed(sent, lambda tree: tree.update(status="denied")),
    "other uuid": lambda sent: _changed(sent, lambda tree: tree.update(uuid="550e8400-e29b-41d4-a716-446655440000")),
    "other id": lambda sent: _changed(sent, lambda tree: tree.update(authy_id=1)),
    "a member more": lambda sent: _changed(sent, lambda tree: tree.update(more=1)),
    "a member less": lambda sent: _changed(sent, lambda tree: tree.pop("device_uuid")),
    "deep inside": lambda sent: _changed(sent, lambda tree: tree["approval_request"]["transaction"].update(message="another")),
    "a member twice": lambda sent: {"body": sent["body"][:-1] + b',"status":"approved"}'},
    "a member twice, first": lambda sent: {"body": b'{"status":"approved",' + sent["body"][1:]},
    "no JSON": lambda sent: {"body": sent["body"][:-1]},
    "a list": lambda sent: {"body": b"[" + sent["body"] + b"]"},
    "empty": lambda _: {"body": b""},
    "deeply nested": lambda _: {"body": b'{"a":' * 40_000 + b"1" + b"}" * 40_000},
    "too large": lambda sent: {"body": sent["body"] + b" " * 65536},
    "as a GET": lambda _: {"method": "GET", "body": b""},
    "with HEAD": lambda _: {"method": "HEAD", "body": b""},
    "with PUT": lambda _: {"method": "PUT"},
    "for another client": lambda _: {"path": "/second-factor/callback/verify"},
    "at another page": lambda _: {"path": "/second-factor/poll"},
    "below it": lambda _: {"path": "/second-factor/callback/authy/x"},
}


@pytest.fixture(scope="module")
def approved() -> tuple[World, dict[str, Any], Browser, Any]:
    return _answered()


@pytest.mark.parametrize("forged", **named(FORGED))
def test_A6_a_callback_that_is_not_the_providers_word_changes_nothing(
    approved: tuple[World, dict[str, Any], Browser, Any], forged: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> None:
    world, sent, alice, page = approved
    shut = Shut(world)
    shut(deliver(world, sent, **forged(sent)), 400, 403, 404, 405, 413)
    # No provider call and no pass: a hint would have made this one ask.
    assert alice.poll(page)["state"] == "pending"
    assert world.calls() == []


@pytest.mark.parametrize("seconds", [-302, 301, 3600, 86400])
def test_A6_a_stale_callback_changes_nothing(seconds: int) -> None:
    world, sent, _, _ = _answered()
    world.clock.advance(seconds)
    Shut(world)(deliver(world, sent), 403)
    assert world.calls() == []


def test_A6_members_in_another_order_and_many_logos_verify() -> None:
    logos = [{"res": res, "url": f"https://site.example/{res}.png"} for res in ("default", "low", "med", "high")]
    world, outbox = calling_back(client={"logos": logos})
    enrolled(world)
    alice, page = _push(world)
    world.phone().approve()
    world.emulator.callbacks.wait()
    sent = outbox.sent[0]
    assert sent["body"].count(b"/high.png") == 1
    world.clock.advance(1)

    def turned(value: Any) -> Any:
        return {key: turned(inner) for key, inner in reversed(value.items())} if isinstance(value, dict) else value

    other_order = json.dumps(turned(json.loads(sent["body"])), indent=2).encode()
    assert deliver(world, sent, body=other_order).status_int == 200
    assert alice.poll(page)["state"] == "approved"


@pytest.mark.parametrize("key", **named(["f" * 32, API_KEY.upper(), API_KEY[:-1], API_KEY + " ", ""]))
def test_A6_a_callback_signed_with_another_key_changes_nothing(approved: tuple[World, dict[str, Any], Browser, Any], key: str) -> None:
    world, sent, alice, page = approved
    nonce = sent["headers"][NONCE]
    headers = {SIGNATURE: signature(key, nonce, "POST", CALLBACK, json.loads(sent["body"])), NONCE: nonce}
    Shut(world)(deliver(world, sent, headers=headers), 403)
    assert alice.poll(page)["state"] == "pending"
    assert world.calls() == []


@pytest.mark.parametrize(
    "url", **named([CALLBACK + "/", CALLBACK.replace("https", "http"), CALLBACK.replace("site.example", "SITE.example"), CALLBACK + "?x=1", ""])
)
def test_A6_a_callback_signed_for_another_address_changes_nothing(approved: tuple[World, dict[str, Any], Browser, Any], url: str) -> None:
    world, sent, alice, page = approved
    nonce = sent["headers"][NONCE]
    headers = {SIGNATURE: signature(API_KEY, nonce, "POST", url, json.loads(sent["body"])), NONCE: nonce}
    Shut(world)(deliver(world, sent, headers=headers), 403)
    assert alice.poll(page)["state"] == "pending"
    assert world.calls() == []


def test_A6_a_genuine_callback_opens_nothing_that_the_provider_does_not_confirm() -> None:
    world, sent, alice, page = _answered()
    world.emulator.add_fault(
        route="approval_requests/status", kind="body", body=json.dumps({"success": True, "approval_request": {"status": "pending"}}), count=0
    )
    assert deliver(world, sent).status_int == 200
    shut = Shut(world)
    answer = post(world, "/second-factor/poll", fields_of(page, "/poll"), alice, headers={"Accept": "application/json"})
    shut(answer, 200, 503)
    assert not is_in(alice)


# A7


class Raising(BaseAdapter):
    """A transport that fails before a byte is sent."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def send(self, *_: Any, **__: Any) -> requests.Response:
        raise self.error

    def close(self) -> None:
        """Nothing is open."""


ERRORS: dict[str, BaseException] = {
    "name resolution": requests.ConnectionError("Failed to resolve 'api.authy.com' ([Errno -2] Name or service not known)"),
    "connect timeout": requests.ConnectTimeout("timed out"),
    "read timeout": requests.ReadTimeout("timed out"),
    "proxy": requests.exceptions.ProxyError("no"),
    "TLS": requests.exceptions.SSLError("certificate verify failed"),
    "chunks": requests.exceptions.ChunkedEncodingError("no"),
    "content": requests.exceptions.ContentDecodingError("no"),
    "redirects": requests.TooManyRedirects("no"),
    "OSError": OSError(101, "Network is unreachable"),
    "KeyError": KeyError("success"),
    "TypeError": TypeError("'NoneType' object is not subscriptable"),
    "ValueError": ValueError("no"),
    "RecursionError": RecursionError("no"),
    "MemoryError": MemoryError(),
    "AssertionError": AssertionError("no"),
    "RuntimeError": RuntimeError("dictionary changed size during iteration"),
}
CHANNELS = {"code": "app", "message": "sms", "push": "push", "waiting": "push"}


def _do(world: World, alice: Browser, page: Any, what: str) -> Any:
    """The step of a sign-in that asks the provider."""
    if what == "code":
        return alice.enter(page, right(world, "app"))
    if what == "waiting":
        world.clock.advance(1)
        return post(world, "/second-factor/poll", fields_of(page, "/poll"), alice)
    form = next(form for form in page.forms.values() if form.action.endswith("/start") and form["channel"].value == CHANNELS[what])
    return alice.submit(form)


def _at(world: World, what: str) -> tuple[Browser, Any]:
    """A browser where that step is the next one."""
    alice = world.browser("alice")
    page = alice.visit()
    if what in ("code", "waiting"):
        page = alice.choose(page, CHANNELS[what])
    return alice, page


@pytest.fixture(params=list(CHANNELS))
def step(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("error", **named(ERRORS))
def test_A7_whatever_a_client_raises_lets_nobody_in(step: str, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    liar = Liar()
    session = session_for(liar)
    world = World(clients=AuthyClient(API_KEY, base_url=BASE_URL, session=session), limits=UNLIMITED)
    liar.emulator = world.emulator
    enrolled(world)
    world.phone().install_app()
    alice, page = _at(world, step)
    shut = Shut(world)
    caplog.clear()
    session.mount("http://", Raising(error))
    answer = shut(_do(world, alice, page, step), 503)
    assert "Traceback" not in answer.text
    assert type(error).__name__ not in answer.text
    assert [record for record in caplog.records if record.name.startswith("authy_wsgi") and record.levelno >= 30]
    assert not is_in(alice)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503, 504])
def test_A7_an_error_status_lets_nobody_in(step: str, status: int) -> None:
    world, liar = lying_world(limits=UNLIMITED)
    enrolled(world)
    world.phone().install_app()
    alice, page = _at(world, step)
    liar.lies[""] = lambda *_: (status, b"<html>Sorry</html>", {"Content-Type": "text/html"})
    Shut(world)(_do(world, alice, page, step), 422, 503)
    assert not is_in(alice)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder: Path = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days", "2"]
    subprocess.run([*map(str, command), "-subj", "/CN=api.authy.com"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


HASTY = Deadlines(connect=0.3, read=0.3, total=0.5)
SOCKETS: dict[str, Any] = {
    "refused": None,
    "silence": Silence(),
    "closed at once": Closing(),
    "reset": Reset(),
    "half an answer": Closing(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + json.dumps(TRUE).encode()),
    "garbage": Closing(b"\x16\x03\x01\x02\x00\x01\x00"),
    "500": http(TRUE, "500 Internal Server Error"),
    "429": http(TRUE, "429 Too Many Requests"),
    "a redirect to itself": http(TRUE, "302 Found", "Location: /"),
}


def _elsewhere(world: World, url: str) -> World:
    """The same site, store and ledger, with its provider at another address."""
    client = AuthyClient(API_KEY, base_url=url, deadlines=HASTY)
    other = World(clients=client, users=world.settings["users"], ledger=world.settings["ledger"], clock=world.clock)
    other.clock, other.emulator = world.clock, world.emulator
    return other


@pytest.mark.parametrize("answer", **named(SOCKETS))
def test_A7_a_provider_that_is_down_lets_nobody_in(answer: Any) -> None:
    world = World()
    enrolled(world)
    world.phone().install_app()
    with RawServer(answer or b"") as server:
        site = _elsewhere(world, server.url if answer else f"http://127.0.0.1:{closed_port()}")
        alice, page = _at(site, "code")
        Shut(site)(_do(site, alice, page, "code"), 503)
        assert not is_in(alice)


def test_A7_a_provider_with_a_certificate_of_its_own_lets_nobody_in(certificate: ssl.SSLContext) -> None:
    world = World()
    enrolled(world)
    world.phone().install_app()
    with RawServer(http(TRUE), tls=certificate) as server:
        site = _elsewhere(world, server.url)
        alice, page = _at(site, "code")
        Shut(site)(_do(site, alice, page, "code"), 503)
        assert server.requests == []


@pytest.mark.parametrize(
    "name", ["failmode", "fail_open", "failopen", "fail_safe", "bypass", "allow_on_error", "skip_on_error", "timeout_allows", "optional", "debug"]
)
def test_A7_there_is_no_setting_that_opens_on_a_fault(name: str) -> None:
    with pytest.raises(Misconfigured, match=f"{name}.*is not a setting"):
        World(**{name: True})


def test_A7_a_provider_that_is_down_during_enrolment_enrols_nobody() -> None:
    world, liar = lying_world()
    browser = world.browser("alice")
    page = browser.enrol()
    liar.lies["verify"] = lambda *_: (500, b"", {})
    Shut(world)(browser.enter(page, right(world)), 503)
    assert world.settings["users"].get("alice") is None
    assert not is_in(browser)
    liar.lies.clear()
    assert browser.enter(page, right(world)).status_int == 303
    assert is_in(browser)


def test_A7_whoever_is_in_stays_in_while_the_provider_is_down() -> None:
    world, liar = lying_world()
    alice = signed_in(world)
    liar.lies[""] = lambda *_: (500, b"", {})
    seen = len(liar.seen)
    world.clock.advance(3600)
    assert is_in(alice)
    assert len(liar.seen) == seen
