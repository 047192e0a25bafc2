"""Nothing that can be sent makes a 500, and every API failure has the API's shape."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authy_wsgi.emulator.api import TABLE
from authy_wsgi.emulator.parameters import items_of, read_form

from .service import KEY, Service

BODIES = [
    (b"{", "application/json", "60002"),
    (b"[1]", "application/json", "60002"),
    (b"null", "application/json", "60002"),
    (b'{"a":1,"a":2}', "application/json", "60002"),
    (b'{"a":NaN}', "application/json", "60002"),
    (b'{"a":' + b"1" * 5000 + b"}", "application/json", "60002"),
    (b"[" * 100_000, "application/json", "60002"),
    (b'{"a":' * 20 + b"1" + b"}" * 20, "application/json", "60002"),
    (b'{"a":"\xff"}', "application/json", "60005"),
    (b'{"a":"\\ud800"}', "application/json", "60005"),
    (b'{"a":"x"}', "application/json; charset=utf-16", "60005"),
    (b"a=%ff", "application/x-www-form-urlencoded", "60005"),
    (b"a=1&a=2", "application/x-www-form-urlencoded", "60002"),
    (b"a=1&a[b]=2", "application/x-www-form-urlencoded", "60002"),
    (b"a[b=1", "application/x-www-form-urlencoded", "60002"),
    (b"a[][][x]=1", "application/x-www-form-urlencoded", "60002"),
    (b"=1", "application/x-www-form-urlencoded", "60002"),
    (b"a" + b"[b]" * 20 + b"=1", "application/x-www-form-urlencoded", "60002"),
    (b"&".join(b"a%d=1" % at for at in range(1001)), "application/x-www-form-urlencoded", "60002"),
    (b"<xml/>", "text/xml", "60002"),
    (b"--x", "multipart/form-data; boundary=x", "60002"),
]


@pytest.mark.parametrize(("body", "content_type", "code"), BODIES)
def test_bodies_that_cannot_be_read_are_400(service: Service, body: bytes, content_type: str, code: str) -> None:
    answer = service.post("users/new", body, status=400, **{"Content-Type": content_type})
    assert (answer["error_code"], answer["success"]) == (code, False)
    assert service.emulator.calls[-1].parameters == {}


def test_other_faults_of_a_message_are_400(service: Service) -> None:
    assert service.post("users/new", b"a=1", status=400, **{"Content-Encoding": "gzip"})["error_code"] == "60002"
    assert service.post("users/new?a=1&a=2", status=400)["error_code"] == "60002"
    answer = service.app.get("/protected/json/approval_requests/%FF", status=404)
    assert answer.json["error_code"] == "60002"
    assert service.get("/onetouch/json/approval_requests/%FF", status=400)["error_code"] == "60005"
    service.app.get("/phone/%FF", status=400)


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


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.sampled_from(["true", "408-555-5270", "1", "sms", "a@example.com"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.sampled_from(["res", "url", "email"]), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    [
        *("user", "message", "details", "hidden_details", "logos", "seconds_to_expire", "force", "action", "action_message", "type", "email", "qr_size"),
        *("label", "via", "country_code", "phone_number", "code_length", "verification_code", "uuid", "custom_code", "api_key", "locale"),
    ]
)
segments = st.text(max_size=12) | st.sampled_from(["1635", "1234567", "..", "%2F", "sms"])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.sampled_from(TABLE), body=st.dictionaries(names, odd, max_size=4), parts=st.lists(segments, min_size=2, max_size=2), app=st.booleans())
def test_no_call_is_ever_a_500(row: Any, body: dict[str, Any], parts: list[str], app: bool) -> None:
    service = Service()
    service.register()
    if app:
        service.emulator.phone(1635).install_app()
    _, method, path, _ = row
    for name, text in zip(("<token>", "<id>", "<uuid>"), (parts[0], parts[-1], parts[0]), strict=True):
        path = path.replace(name, quote(text, safe=""))
    answer = service.app.request(
        path, method=method, body=json.dumps(body).encode(), headers={"X-Authy-API-Key": KEY, "Content-Type": "application/json"}, expect_errors=True
    )
    check(answer)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from([row[2].replace("<id>", "1635").replace("<token>", "1234567") for row in TABLE] + ["/", "/x"]),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS"]),
    query=st.binary(max_size=40),
    body=st.binary(max_size=60),
    kind=st.sampled_from(["", "application/json", "application/x-www-form-urlencoded", "text/plain", "application/json; charset=", ";;"]),
    phone=st.sampled_from(["", "/phone", "/phone/1635", "/phone/1635/app", "/phone/clock", "/phone/faults", "/phone/1635/approvals/x"]),
)
def test_no_bytes_are_ever_a_500(path: str, method: str, query: bytes, body: bytes, kind: str, phone: str) -> None:
    service = Service()
    service.register()
    query_string = quote(query, safe="=&[]%+").encode().decode()
    headers = {"X-Authy-API-Key": KEY, "Content-Type": kind}
    answer = service.app.request((phone or path) + "?" + query_string, method=method, body=body, headers=headers, expect_errors=True)
    assert answer.status_int < 500
    if not phone and path != "/":
        check(answer)


def check(answer: Any) -> None:
    assert answer.status_int < 500
    assert answer.headers["X-Authy-Simulator"] == "1"
    if answer.status_int == 200:
        assert answer.json["success"] in (True, "true")
        return
    assert answer.json["success"] is False
    assert isinstance(answer.json["message"], str)
    assert isinstance(answer.json["errors"], dict)
    assert answer.json["error_code"].isdigit()
