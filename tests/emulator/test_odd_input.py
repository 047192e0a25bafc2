"""Nothing that can be sent makes a 500, and every API failure has the API's shape."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from webtest import TestApp

from authy_wsgi.emulator import Rules
from authy_wsgi.emulator.adapter import WSGIAdapter
from authy_wsgi.emulator.api import TABLE
from authy_wsgi.emulator.failures import CODES
from authy_wsgi.emulator.parameters import items_of, read_form
from authy_wsgi.emulator.server import Server

from .service import KEY, Service

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=x"
BODIES = [
    (b"{", JSON, "60002"),
    (b"[1]", JSON, "60002"),
    (b"null", JSON, "60002"),
    (b'{"a":NaN}', JSON, "60002"),
    (b'{"a":' + b"1" * 5000 + b"}", JSON, "60002"),
    (b"[" * 100_000, JSON, "60002"),
    (b'{"a":' * 20 + b"1" + b"}" * 20, JSON, "60002"),
    (b'{"a":"\xff"}', JSON, "60005"),
    (b'{"a":"\\ud800"}', JSON, "60005"),
    (b'{"\\ud800":1}', JSON, "60005"),
    (b'{"a":"x"}', "application/json; charset=utf-16", "60005"),
    (b"a=%ff", FORM, "60005"),
    (b"%ff=a", FORM, "60005"),
    (b"a=\xff", FORM, "60005"),
    (b"a=1&a[b]=2", FORM, "60002"),
    (b"a[b]=2&a=1", FORM, "60002"),
    (b"a[]=1&a[b]=2", FORM, "60002"),
    (b"a[b=1", FORM, "60002"),
    (b"a]=1", FORM, "60002"),
    (b"[a]=1", FORM, "60002"),
    (b"a[b]c=1", FORM, "60002"),
    (b"a[][][x]=1", FORM, "60002"),
    (b"=1", FORM, "60002"),
    (b"a" + b"[b]" * 20 + b"=1", FORM, "60002"),
    (b"&".join(b"a%d=1" % at for at in range(1001)), FORM, "60002"),
    (b"<xml/>", "text/xml", "60002"),
    (b"a=1", "text/plain", "60002"),
    (b"--x", PARTS, "60002"),
    (b"a=1", PARTS, "60002"),
    (b"a=1", "multipart/form-data", "60002"),
    (b"--x\r\n\r\n", PARTS, "60002"),
    (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1', PARTS, "60002"),
    (b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", PARTS, "60002"),
    (b'--x\r\nContent-Disposition: form-data; name="a[b"\r\n\r\n1\r\n--x--\r\n', PARTS, "60002"),
    (b'--x\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\n1\r\n--x--\r\n', PARTS, "60002"),
    (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--x--\r\n', PARTS, "60005"),
    (b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n1\r\n--x--\r\n', PARTS, "60002"),
    (b"".join(b'--x\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n1\r\n' % at for at in range(1001)) + b"--x--\r\n", PARTS, "60002"),
    (b'--\xe9\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--\xe9--\r\n', "multipart/form-data; boundary=\xe9", "60002"),
]


@pytest.mark.parametrize(("body", "content_type", "code"), BODIES, ids=lambda it: repr(it)[:40])
def test_bodies_that_cannot_be_read_are_400(service: Service, body: bytes, content_type: str, code: str) -> None:
    answer = service.post("users/new", body, status=400, **{"Content-Type": content_type})
    assert (answer["error_code"], answer["success"]) == (code, False)
    assert service.emulator.calls[-1].parameters == {}


def part(name: str, value: str) -> str:
    return f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


TWICE = [
    pytest.param(b'{"a":1,"b":0,"a":2}', JSON, id="JSON"),
    pytest.param(b"a=1&b=0&a=2", FORM, id="form"),
    pytest.param((part("a", "1") + part("b", "0") + part("a", "2") + "--x--\r\n").encode(), PARTS, id="multipart"),
]


@pytest.mark.parametrize(("body", "content_type"), TWICE)
def test_of_a_field_that_is_there_twice_the_last_counts(service: Service, body: bytes, content_type: str) -> None:
    service.post("users/new", body, status=400, **{"Content-Type": content_type})
    assert service.emulator.calls[-1].parameters == {"a": "2", "b": "0"}


@pytest.mark.parametrize(("body", "content_type"), TWICE)
def test_a_field_that_is_there_twice_can_be_an_error(body: bytes, content_type: str) -> None:
    service = Service(rules=Rules(refuse_repeated=True))
    assert service.post("users/new", body, status=400, **{"Content-Type": content_type})["error_code"] == "60002"
    assert service.post("users/new?a=1&a=2", status=400)["error_code"] == "60002"
    assert service.get("app/details?a=1&a=1", status=400)["error_code"] == "60002"
    assert [call.parameters for call in service.emulator.calls] == [{}] * 3
    # The query and the body are not one form: the body counts.
    service.post("users/new?a=1", {"a": "2"}, status=400)
    assert service.emulator.calls[-1].parameters == {"a": "2"}


def test_other_faults_of_a_message_are_400(service: Service) -> None:
    for encoding in ("gzip", "deflate", "x"):
        assert service.post("users/new", b"a=1", status=400, **{"Content-Encoding": encoding})["error_code"] == "60002"
    assert service.post("users/new?a=%FF", status=400)["error_code"] == "60005"
    answer = service.app.get("/protected/json/approval_requests/%FF", status=404)
    assert answer.json["error_code"] == "60002"
    assert service.get("/onetouch/json/approval_requests/%FF", status=400)["error_code"] == "60005"
    service.app.get("/phone/%FF", status=400)


@pytest.mark.parametrize("length", ["-1", "+1", "x", "1.5", "1e3", "0x1", "\xb2", "9" * 5000, "1 1", "3,3"])
def test_an_odd_content_length_is_a_4xx(service: Service, length: str) -> None:
    for path in ("/protected/json/users/new", "/phone/clock", "/phone/state"):
        environ = {"CONTENT_LENGTH": length, "HTTP_X_AUTHY_API_KEY": KEY, "CONTENT_TYPE": FORM}
        service.app.lint = False
        answer = service.app.request(path, method="POST", environ={"wsgi.input": io.BytesIO(b"a=1"), **environ}, expect_errors=True)
        assert answer.status_int in (400, 413)
        assert answer.json["message"].endswith(".")


def test_a_body_that_ends_too_early_is_400(service: Service) -> None:
    service.app.lint = False
    for path in ("/protected/json/users/new", "/phone/clock", "/phone/state"):
        answer = service.app.request(
            path, method="POST", environ={"CONTENT_LENGTH": "10", "HTTP_X_AUTHY_API_KEY": KEY, "CONTENT_TYPE": FORM}, expect_errors=True
        )
        assert answer.status_int == 400


def test_long_numbers_are_400(service: Service) -> None:
    for code in ("000001" + "0" * 5000, "1" * 5000, "0" * 5000, "\u0661", "\xb9", "", "+", "-1"):
        user = {"user": {"email": "a@example.com", "cellphone": "408-555-5270", "country_code": code}}
        assert service.post_json("users/new", user, status=400)["error_code"] == "60027"
        service.post_json("phones/verification/start", {"via": "sms", "country_code": code, "phone_number": "4085555270"}, status="*")
        service.get(f"phones/info?country_code={quote(code)}&phone_number=4085555270", status="*")
    for number in ("4" * 5000, "0" * 5000, "\u0664085555270"):
        user = {"user": {"email": "a@example.com", "cellphone": number, "country_code": "1"}}
        assert service.post_json("users/new", user, status=400)["error_code"] == "60027"


def test_the_body_counts_before_the_query(service: Service) -> None:
    service.post("users/new?user=x&b=2", "user[email]=y", status=400)
    assert service.emulator.calls[-1].parameters == {"user": {"email": "y"}, "b": "2"}


def test_json_without_a_type_is_understood(service: Service) -> None:
    service.post("users/new", b' {"user": {"email": 1.5, "x": [true, null]}}', status=400, **{"Content-Type": ""})
    assert service.emulator.calls[-1].parameters == {"user": {"email": "1.5", "x": ["true", None]}}


def test_lists_are_understood_in_all_spellings() -> None:
    for text in (b"a[][k]=1&a[][j]=2&a[][k]=3", b"a[0][k]=1&a[0][j]=2&a[1][k]=3", b"a[10][k]=3&a[2][k]=1&a[2][j]=2"):
        assert items_of(read_form(text)["a"]) == [{"k": "1", "j": "2"}, {"k": "3"}]
    assert items_of(read_form(b"a[]=1&a[]=2")["a"]) == ["1", "2"]
    assert items_of({"x": "1"}) is None
    assert items_of("x") is None


# -- anything at all

usual = st.sampled_from(["true", "408-555-5270", "1", "sms", "call", "a@example.com", "default", "1234567", "0", "10", "banned", "login", "60", "-1"])
odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | usual,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.sampled_from(["res", "url", "email"]), inner, max_size=3),
    max_leaves=8,
)
NAMES = (
    *("user", "message", "details", "hidden_details", "logos", "seconds_to_expire", "force", "action", "action_message", "type", "email", "qr_size", "data"),
    *("label", "via", "country_code", "phone_number", "code_length", "verification_code", "uuid", "custom_code", "custom_message", "api_key", "locale"),
    *("custom_user_id", "user_ip", "send_install_link_via_sms"),
)
names = st.sampled_from(NAMES)
flat_names = (
    names
    | st.sampled_from(["user[email]", "user[cellphone]", "user[country_code]", "logos[][res]", "logos[0][url]", "details[a]", "details[]", "a[", "]"])
    | st.text(max_size=5)
)
flat = st.lists(st.tuples(flat_names, usual | st.text(max_size=20)), max_size=6)
segments = st.sampled_from(["1635", "1636", "1637", "1638", "1234567", "<code>", "<uuid>", "..", "%2F", "sms", "0", "9" * 30]) | st.text(max_size=12)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PURGE", "get", "\u00c9")

SMALL = {"verification_digits": st.integers(4, 10), "callback_shape": st.sampled_from(["2016", "2017", "2019", "2023"])}
STATUSES = ("no_app_status", "limit_status")


def switch(field: Any) -> st.SearchStrategy[Any]:
    """The settings that a switch has."""
    if field.name in SMALL:
        return SMALL[field.name]
    if field.name in STATUSES:
        return st.sampled_from([400, 403, 429, 503])
    if isinstance(field.default, bool):
        return st.booleans()
    least = 1 if field.name in ("app_code_step", "code_lifetime") else 0
    return st.integers(least, 3) | st.just(field.default) if isinstance(field.default, int) else st.just(field.default)


rules = st.just(Rules()) | st.builds(Rules, **{field.name: switch(field) for field in fields(Rules)})


def as_json(body: dict[str, Any]) -> tuple[str, bytes]:
    return JSON, json.dumps(body).encode()


def as_form(body: list[tuple[str, str]]) -> tuple[str, bytes]:
    return FORM, urlencode(body).encode()


def as_parts(body: list[tuple[str, str]]) -> tuple[str, bytes]:
    return PARTS, ("".join(part(name, value) for name, value in body) + "--x--\r\n").encode()


messages = (
    st.dictionaries(names, odd, max_size=4).map(as_json)
    | flat.map(as_form)
    | flat.map(as_parts)
    | st.tuples(st.sampled_from(["", JSON, FORM, PARTS, "multipart/form-data", "text/plain", "application/json; charset=", ";;"]), st.binary(max_size=60))
)
calls = st.tuples(
    st.sampled_from(TABLE), st.sampled_from(METHODS) | st.none(), st.lists(segments, min_size=2, max_size=2), messages, st.just("") | flat.map(urlencode)
)


@cache
def people() -> bytes:
    """Users of all kinds: one with a secret, one with the app and a request, a suspended one, a removed one."""
    service = Service()
    for number in ("408-555-5270", "405-342-5699", "7754615609", "201-555-0123"):
        service.register(number)
    service.post("users/1635/secret")
    service.emulator.phone(1636).install_app()
    service.post("onetouch/users/1636/approval_requests", {"message": "Log in?"})
    service.post("phones/verification/start", {"via": "sms", "country_code": "1", "phone_number": "408-555-5270"})
    service.sms(1635)
    service.emulator.phone(1637).suspend()
    service.post("users/1638/remove")
    state: bytes = service.app.get("/phone/state.json").body
    return state


def peopled(rules: Rules) -> Service:
    """These users, in a service with these switches and with an application that is not there."""
    session = requests.Session()
    session.mount("http://", WSGIAdapter(nobody))
    session.mount("https://", WSGIAdapter(nobody))
    service = Service(rules=rules, callback_session=session)
    service.app.post("/phone/state", people())
    return service


def nobody(_environ: object, start_response: Any) -> list[bytes]:
    """An application that knows no callbacks."""
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"not here"]


def send(service: Service, method: str, path: str, content_type: str, body: bytes, **more: str) -> Any:
    headers = {"X-Authy-API-Key": KEY, "Content-Type": content_type, **more}
    # The lint knows the usual methods only.
    app = service.app if method.isupper() and method not in ("PURGE", "\u00c9") else TestApp(service.emulator, lint=False)
    return app.request(path, method=method.encode().decode("latin-1"), body=body, headers=headers, expect_errors=True)


@settings(max_examples=150, deadline=None)
@given(rules=rules, calls=st.lists(calls, min_size=1, max_size=4))
def test_no_call_is_ever_a_500(rules: Rules, calls: list[Any]) -> None:
    service = peopled(rules)
    phone = service.emulator.phone(1636)
    for row, method, parts, (content_type, body), query in calls:
        _, usual_method, path, _ = row
        known = {"<code>": service.emulator.phone(1635).code, "<uuid>": phone.approvals[-1]["uuid"]}
        first, last = (quote(known.get(text, text), safe="") for text in parts)
        path = path.replace("<token>", first).replace("<uuid>", first).replace("<id>", last)
        check(send(service, method or usual_method, path + (f"?{query}" if query else ""), content_type, body), path)


def check(answer: Any, path: str) -> None:
    """An answer of the API: a success that says so, or a failure with all that a failure has."""
    assert answer.headers["X-Authy-Simulator"] == "1"
    assert answer.headers["Content-Type"] == "application/json;charset=utf-8"
    if answer.request.method == "HEAD":
        assert answer.status_int in (403, 404, 405)
        assert answer.body == b""
        return
    if answer.status_int == 200:
        assert answer.json["success"] in (True, "true")
        return
    assert answer.json["success"] is False
    assert isinstance(answer.json["message"], str)
    assert isinstance(answer.json["errors"], dict)
    assert all(isinstance(text, str) for text in answer.json["errors"].values())
    assert answer.json["error_code"].isdigit()
    assert int(answer.json["error_code"]) in CODES
    assert answer.status_int < 500 or answer.status_int == 503


@settings(max_examples=150, deadline=None)
@given(
    path=st.sampled_from([row[2].replace("<id>", "1635").replace("<token>", "1234567") for row in TABLE] + ["/x", "//x", "/protected/xml/users/new"]),
    method=st.sampled_from(METHODS),
    query=st.binary(max_size=40),
    message=messages,
)
def test_no_bytes_are_ever_a_500(path: str, method: str, query: bytes, message: tuple[str, bytes]) -> None:
    service = Service()
    service.register()
    check(send(service, method, path + "?" + quote(query, safe="=&[]%+"), *message), path)


# -- the controls and the phones

CONTROLS = {
    "/phone/clock": ["advance", "at"],
    "/phone/faults": ["route", "kind", "status", "code", "body", "content_type", "seconds", "count"],
    "/phone/faults/clear": [],
    "/phone/callback": ["url", "method"],
    "/phone/state": [],
    "/phone/1636/app": ["installed"],
    "/phone/1636/suspension": ["suspended"],
    "/phone/1636/approvals/<uuid>": ["status"],
    "/phone/1639/app": ["installed"],
    "/phone/+14085555270/app": ["installed"],
}
settings_of_controls = st.sampled_from(
    [
        *(
            "0",
            "1",
            "-1",
            "60",
            "9" * 12,
            "9" * 30,
            "-" + "9" * 30,
            "1e400",
            "nan",
            "inf",
            "1_0",
            "\u0661",
            " 5 ",
            "+5",
            "",
            "status",
            "body",
            "delay",
            "drop",
            "trickle",
        ),
        *(
            "60017",
            "60000",
            "60039",
            "503",
            "204",
            "304",
            "99",
            "sms",
            "*",
            "true",
            "false",
            "approved",
            "denied",
            "http://127.0.0.1:9/",
            "https://x.example/?a",
            "http://[",
        ),
        *("GET", "POST", "text/html", "a\r\nX: y", "\x00"),
    ]
) | st.text(max_size=10)
presses = st.sampled_from(sorted(CONTROLS)).flatmap(
    lambda path: st.tuples(st.just(path), st.dictionaries(st.sampled_from([*CONTROLS[path], "x"]), settings_of_controls, max_size=4))
)


@settings(max_examples=60, deadline=None)
@given(presses=st.lists(presses, min_size=1, max_size=4), page=st.booleans(), then=calls)
def test_no_button_or_control_is_ever_a_500(presses: list[Any], page: bool, then: Any) -> None:
    service = peopled(Rules())
    uuid = service.emulator.phone(1636).approvals[-1]["uuid"]
    headers = {"Accept": "text/html"} if page else {}
    for path, form in presses:
        answer = service.app.post(path.replace("<uuid>", uuid), form, headers=headers, status="*")
        sensible(answer)
    for seen in ("/phone/", "/phone/1636", "/phone/1636.json", "/phone/faults.json", "/phone/callback.json", "/phone/state.json"):
        assert KEY not in service.app.get(seen, headers=headers, status=200)
    service.emulator.callbacks.wait()
    for fault in service.emulator.faults:
        assert fault.kind in ("status", "body", "delay", "drop", "trickle")
    service.emulator.clear_faults()
    check(send(service, then[1] or then[0][1], "/protected/json/app/stats", *then[3]), "")


def sensible(answer: Any) -> None:
    """Done, or a 4xx with a sentence."""
    assert answer.status_int in (200, 303) or 400 <= answer.status_int < 500
    if answer.status_int >= 400 and answer.content_type == "application/json" and answer.request.method != "HEAD":
        assert answer.json["message"].endswith(".")


@settings(max_examples=100, deadline=None)
@given(
    path=st.sampled_from(
        [*CONTROLS, "/", "/phone", "/phone/", "/phone/1636", "/phone/1636.json", "/phone/static/phone.css", "/phone/static/..%2Fx", "/qr/x.png", "/phone/x/y/z"]
    ),
    method=st.sampled_from(METHODS),
    query=st.binary(max_size=20) | st.sampled_from([b"page=0", b"page=-1", b"page=" + b"9" * 50, b"q=%00", b"beside=1636", b"beside=x,y", b"q=\xff"]),
    message=messages,
    host=st.sampled_from(["localhost", "localhost:80", "LOCALHOST.", "127.0.0.1:8000", "[::1]", "evil.example", "", "a b", "localhost:x", "\xe9"]),
    origin=st.sampled_from(["", "null", "http://localhost", "https://evil.example", "x", "://"]),
)
def test_no_bytes_to_the_phones_are_ever_a_500(path: str, method: str, query: bytes, message: tuple[str, bytes], host: str, origin: str) -> None:
    service = peopled(Rules())
    headers = {"Host": host, **({"Origin": origin} if origin else {})}
    answer = send(service, method, path + "?" + quote(query, safe="=&[]%+,"), *message, **headers)
    sensible(answer)


@settings(max_examples=60, deadline=None)
@given(
    body=st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9), lambda it: st.lists(it) | st.dictionaries(st.text(), it))
)
def test_no_json_to_the_state_is_ever_a_500(body: Any) -> None:
    service = peopled(Rules())
    before = service.app.get("/phone/state.json").body
    sensible(service.app.post("/phone/state", json.dumps(body).encode(), status=400))
    if isinstance(body, dict):
        sensible(service.app.post("/phone/state", json.dumps({**json.loads(before), **body}).encode(), status="*"))
        sensible(service.app.post("/phone/state", json.dumps({"format": json.loads(before)["format"], **body}).encode(), status=400))
    assert service.app.get("/phone/state.json").body == before


# -- faults


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_of_the_service_can_be_asked_for(service: Service, code: int) -> None:
    service.app.post("/phone/faults", {"route": "app/details", "kind": "status", "code": str(code)})
    status, words = CODES[code]
    answer = service.get("app/details", status=status)
    assert (answer["error_code"], answer["message"], answer["success"]) == (str(code), words, False)
    assert answer["errors"] == ({} if code == 60049 else {"message": words})
    service.get("app/details")


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(["status", "body", "delay", "trickle"]),
    status=st.sampled_from([0, *range(200, 600, 7), 204, 304]),
    code=st.sampled_from([0, *CODES]),
    body=st.none() | st.text(max_size=20),
    route=st.sampled_from([row[0] for row in TABLE] + ["*", "users", ""]),
    row=st.sampled_from(TABLE),
    method=st.sampled_from(METHODS),
)
def test_a_fault_is_what_was_asked_for_and_nothing_else(kind: str, status: int, code: int, body: str | None, route: str, row: Any, method: str) -> None:
    service = Service()
    service.register()
    form = {"route": route, "kind": kind, "status": str(status), "code": str(code), **({} if body is None else {"body": body})}
    sensible(service.app.post("/phone/faults", form, status="*"))
    answer = send(service, method, row[2].replace("<id>", "1635"), FORM, b"")
    asked = status or (CODES[code][0] if code and kind == "status" else {"status": 503, "body": 200}.get(kind, 0))
    if answer.status_int >= 500:
        assert answer.status_int == asked
    assert answer.headers["X-Authy-Simulator"] == "1"
    service.emulator.clear_faults()
    check(send(service, "GET", "/protected/json/users/1635/status", FORM, b""), "")


# -- on a socket

KEYED = f"Host: localhost\r\nX-Authy-API-Key: {KEY}\r\n"
NEW = "/protected/json/users/new"


@pytest.mark.parametrize(
    "request_",
    [
        f"POST {NEW} HTTP/1.1\r\n{KEYED}Content-Length: abc\r\n\r\n",
        f"POST {NEW} HTTP/1.1\r\n{KEYED}Content-Length: -5\r\n\r\n",
        f"POST {NEW} HTTP/1.1\r\n{KEYED}Content-Length: 99999999999999999999\r\n\r\n",
        f"POST {NEW} HTTP/1.1\r\n{KEYED}Content-Length: 3\r\nContent-Length: 4\r\n\r\na=1&",
        f"POST {NEW} HTTP/1.1\r\n{KEYED}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n",
        f"POST {NEW} HTTP/1.1\r\n{KEYED}Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n",
        f"POST {NEW} HTTP/1.1\r\n{KEYED}Transfer-Encoding: chunked\r\n\r\n-3\r\na=1\r\n0\r\n\r\n",
        f"POST {NEW} HTTP/1.1\r\n{KEYED}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        f"POST {NEW} HTTP/1.1\r\n{KEYED}Transfer-Encoding: gzip\r\n\r\n",
        f"GET {NEW} HTTP/1.1\r\n{KEYED}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        f"PURGE {NEW} HTTP/1.1\r\n{KEYED}\r\n",
        f"POST {NEW} HTTP/1.0\r\n\r\n",
        f"POST {NEW}?\xff=\xfe HTTP/1.1\r\n{KEYED}\r\n",
        f"POST {NEW}/\xff HTTP/1.1\r\n{KEYED}\r\n",
        f"POST {NEW} HTTP/1.1\r\n{KEYED}Content-Type: \xff\r\nContent-Length: 1\r\n\r\nx",
        f"POST {NEW} HTTP/1.1\r\nX-Authy-API-Key: \xff\r\nHost: localhost\r\n\r\n",
        f"POST {NEW} HTTP/1.1\r\nHost: \xff\r\n\r\n",
        f"POST {NEW} HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n",
        f"GET /phone/ HTTP/1.1\r\n{KEYED}Content-Length: abc\r\n\r\n",
        f"POST /phone/clock HTTP/1.1\r\n{KEYED}Transfer-Encoding: chunked\r\n\r\nb\r\nadvance=500\r\n0\r\n\r\n",
        f"POST /phone/state HTTP/1.1\r\n{KEYED}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
        f"POST http://localhost{NEW} HTTP/1.1\r\n{KEYED}\r\n",
        f"POST * HTTP/1.1\r\n{KEYED}\r\n",
        f"OPTIONS * HTTP/1.1\r\n{KEYED}\r\n",
    ],
)
def test_no_bytes_on_a_socket_are_ever_a_500(server: Server, request_: str) -> None:
    head, _, body = on_the_wire(server.url, request_).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.")
    status = int(head.split(b" ", 2)[1])
    assert status in (200, 303) or 400 <= status < 500
    if b"X-Authy-Simulator: 1" in head and b"application/json" in head:
        assert json.loads(body.partition(b"HTTP/1.1")[0])["message"]


def on_the_wire(url: str, request_: str) -> bytes:
    """What the server sends back for these characters as bytes, after which nothing more comes."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(request_.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


SERVER = f"""
from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server
server = Server(Emulator({KEY!r}))
print(server.url, flush=True)
server.run()
"""


@pytest.fixture(scope="module")
def apart() -> Iterator[str]:
    """The URL of an emulator in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("more", ["", "Content-Length: 1000000\r\n"], ids=["chunked", "with a length too"])
@pytest.mark.parametrize("says", ["3", "fff", "fffffff", "f" * 40])
@pytest.mark.parametrize("path", [NEW, "/phone/state"])
def test_a_chunk_that_is_cut_off_is_400(apart: str, path: str, says: str, more: str) -> None:
    """The server's own reader would hand out memory from beyond the chunk, or crash."""
    for there in ("", "a="):
        answer = on_the_wire(apart, f"POST {path} HTTP/1.1\r\n{KEYED}Content-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n{more}\r\n{says}\r\n{there}")
        assert answer.startswith(b"HTTP/1.1 400")
    assert requests.get(apart + "/phone/", timeout=10).status_code == 200
