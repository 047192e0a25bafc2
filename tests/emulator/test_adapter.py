"""The emulator in this process, behind a `requests` session: it answers as it does over a socket."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter

from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.adapter import WSGIAdapter
from authy_wsgi.emulator.server import Server

from .service import KEY, START

HEADERS = {"X-Authy-API-Key": KEY}
USER = {"user": {"email": "alice@example.com", "cellphone": "408-555-5270", "country_code": 1}}
BASE = "http://127.0.0.1:8765"


def session_for(app: Any, **headers: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", WSGIAdapter(app))
    session.mount("https://", WSGIAdapter(app))
    session.headers.update(headers)
    return session


class Echo:
    """A WSGI app that says what it was asked."""

    def __init__(self) -> None:
        self.environ: dict[str, Any] = {}
        self.body = b""
        self.answer: tuple[str, list[tuple[str, str]], Iterable[bytes]] = ("200 OK", [("Content-Type", "text/plain")], [b"echo"])

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH")
        self.environ = dict(environ)
        self.body = environ["wsgi.input"].read(int(length)) if length else b""
        status, headers, chunks = self.answer
        start_response(status, headers)
        return chunks


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def emulator(slept: list[float]) -> Emulator:
    return Emulator(KEY, clock=lambda: START, seed=7, sleep=slept.append)


@pytest.fixture
def http(emulator: Emulator) -> Iterator[requests.Session]:
    with session_for(emulator, **HEADERS) as session:
        session.post(f"{BASE}/protected/json/users/new", json=USER)
        yield session


# -- every way to say something


def spellings() -> list[Any]:
    form = {"user[email]": "bob@example.com", "user[cellphone]": "405-342-5699", "user[country_code]": "1"}
    nested = {"user": {"email": "bob@example.com", "cellphone": "405-342-5699", "country_code": "1"}}

    def pieces() -> Iterator[bytes]:
        yield b'{"user":{"email":"bob@example.com",'
        yield b""
        yield b'"cellphone":"405-342-5699","country_code":"1"}}'

    kind = {"Content-Type": "application/json"}
    return [
        pytest.param(lambda: {"params": form}, id="query"),
        pytest.param(lambda: {"data": form}, id="form"),
        pytest.param(lambda: {"json": nested}, id="JSON"),
        pytest.param(lambda: {"data": json.dumps(nested), "headers": kind}, id="text"),
        pytest.param(lambda: {"data": json.dumps(nested).encode(), "headers": kind}, id="bytes"),
        pytest.param(lambda: {"data": pieces(), "headers": kind}, id="generator"),
        pytest.param(lambda: {"data": io.BytesIO(json.dumps(nested).encode()), "headers": kind}, id="file"),
        pytest.param(lambda: {"files": {name: (None, value) for name, value in form.items()}}, id="multipart"),
    ]


@pytest.mark.parametrize("said", spellings())
def test_parameters_arrive_however_they_are_sent(http: requests.Session, emulator: Emulator, said: Callable[[], dict[str, Any]]) -> None:
    answer = http.post(f"{BASE}/protected/json/users/new", **said())
    assert (answer.status_code, answer.json()) == (200, {"message": "User created successfully.", "user": {"id": 1636}, "success": True})
    assert emulator.calls[-1].parameters == {"user": {"email": "bob@example.com", "cellphone": "405-342-5699", "country_code": "1"}}


@pytest.mark.parametrize("said", [{"data": {"force": "true"}}, {"json": {"force": True}}, {"params": {"force": "true"}}], ids=["form", "JSON", "query"])
def test_a_get_may_have_a_body(http: requests.Session, emulator: Emulator, said: dict[str, Any]) -> None:
    emulator.phone(1635).install_app()
    answer = http.get(f"{BASE}/protected/json/sms/1635", **said)
    assert answer.json()["message"] == "SMS token was sent"
    assert "ignored" in http.get(f"{BASE}/protected/json/sms/1635").json()


def test_the_key_may_be_a_parameter(emulator: Emulator) -> None:
    with session_for(emulator) as session:
        assert session.get(f"{BASE}/protected/json/app/details", params={"api_key": KEY}).status_code == 200
        assert session.get(f"{BASE}/protected/json/app/details").json()["error_code"] == "60001"


def test_a_slash_that_was_encoded_is_not_a_slash(http: requests.Session, emulator: Emulator) -> None:
    for climb in ("0000000/..%2Fsms%2F1635", "..%2Fsms/1635", "..%252Fsms/1635", "%2E%2E%2Fsms/1635"):
        answer = http.get(f"{BASE}/protected/json/verify/{climb}", params={"force": "true"})
        assert answer.status_code in (401, 404)
        assert answer.json()["success"] is False
    assert emulator.phone(1635).messages == []
    assert {call.route for call in emulator.calls[1:]} == {"verify"}


def test_a_path_arrives_as_it_was_written(echo: Echo) -> None:
    session_for(echo).get("http://app.example:8080/a%2Fb/%C3%A9%20~/c;d?x=1&y=%2F+z")
    told = echo.environ
    assert (told["PATH_INFO"], told["QUERY_STRING"]) == ("/a/b/é ~/c;d".encode().decode("latin-1"), "x=1&y=%2F+z")
    assert told["REQUEST_URI"] == told["RAW_URI"] == "/a%2Fb/%C3%A9%20~/c;d?x=1&y=%2F+z"
    assert (told["HTTP_HOST"], told["SERVER_NAME"], told["SERVER_PORT"], told["wsgi.url_scheme"]) == ("app.example:8080", "app.example", "8080", "http")
    session_for(echo).get("https://app.example")
    told = echo.environ
    assert (told["PATH_INFO"], told["QUERY_STRING"], told["SCRIPT_NAME"], told["HTTP_HOST"], told["wsgi.url_scheme"]) == ("/", "", "", "app.example", "https")
    assert told["SERVER_PORT"] == "443"
    session_for(echo).get("http://[::1]:8080/")
    assert (echo.environ["SERVER_NAME"].strip("[]"), echo.environ["HTTP_HOST"]) == ("::1", "[::1]:8080")


def test_headers_and_bodies_arrive_as_a_server_would_hand_them_over(echo: Echo) -> None:
    session = session_for(echo)
    session.post("http://app.example/", data=b"abc", headers={"X-One": "1", "Content-Type": "text/x", "X-Bytes": b"caf\xe9"})
    told = echo.environ
    assert (echo.body, told["CONTENT_LENGTH"], told["CONTENT_TYPE"]) == (b"abc", "3", "text/x")
    assert (told["HTTP_X_ONE"], told["HTTP_X_BYTES"], told["REMOTE_ADDR"], told["REQUEST_METHOD"]) == ("1", "caf\xe9", "127.0.0.1", "POST")
    assert "HTTP_CONTENT_TYPE" not in told
    assert "HTTP_CONTENT_LENGTH" not in told
    session.post("http://app.example/", data=iter([b"ab", b"c"]))
    assert (echo.body, echo.environ["CONTENT_LENGTH"], "HTTP_TRANSFER_ENCODING" in echo.environ) == (b"abc", "3", False)
    session.request("PURGE", "http://app.example/", auth=("user", "word"))
    assert (echo.environ["REQUEST_METHOD"], echo.environ["HTTP_AUTHORIZATION"], echo.body) == ("PURGE", "Basic dXNlcjp3b3Jk", b"")


def test_what_it_hands_over_is_right_wsgi(echo: Echo) -> None:
    echo.answer = ("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")], [b"echo"])
    session = session_for(validator(echo))
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS"):
        assert session.request(method, "http://app.example/a%2Fb?x", data=b"" if method == "GET" else b"abc").text == "echo"


# -- every way to answer


def test_an_answer_has_all_that_a_response_has(http: requests.Session) -> None:
    answer = http.get(f"{BASE}/protected/json/users/9/status")
    assert (answer.status_code, answer.reason, answer.ok, answer.url) == (404, "Not Found", False, f"{BASE}/protected/json/users/9/status")
    assert (answer.headers["content-type"], answer.headers["x-authy-simulator"]) == ("application/json;charset=utf-8", "1")
    assert (answer.encoding, answer.json()["error_code"]) == ("utf-8", "60026")
    assert answer.request.headers["X-Authy-API-Key"] == KEY
    assert answer.elapsed.total_seconds() >= 0
    with pytest.raises(requests.HTTPError, match="404 Client Error: Not Found"):
        answer.raise_for_status()


def test_a_header_may_be_there_twice(echo: Echo) -> None:
    echo.answer = ("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2"), ("X-A", "1"), ("X-A", "2")], [b""])
    session = session_for(echo)
    answer = session.get("http://app.example/")
    assert answer.headers["X-A"] == "1, 2"
    assert answer.cookies.get_dict() == session.cookies.get_dict() == {"a": "1", "b": "2"}
    session.get("http://app.example/")
    assert sorted(echo.environ["HTTP_COOKIE"].split("; ")) == ["a=1", "b=2"]


def test_an_answer_can_be_streamed(http: requests.Session, echo: Echo) -> None:
    with http.get(f"{BASE}/protected/json/app/details", stream=True) as answer:
        assert b"".join(answer.iter_content(7)) == http.get(f"{BASE}/protected/json/app/details").content
    echo.answer = ("200 OK", [("Content-Type", "text/plain")], (line for line in [b"one\n", b"two\n"]))
    with session_for(echo).get("http://app.example/", stream=True) as answer:
        assert list(answer.iter_lines()) == [b"one", b"two"]


def test_chunks_are_closed_when_they_are_read(echo: Echo) -> None:
    class Chunks(list[bytes]):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    chunks = Chunks([b"a", b"b"])
    echo.answer = ("200 OK", [("Content-Type", "text/plain")], chunks)
    assert session_for(echo).get("http://app.example/").text == "ab"
    assert chunks.closed == 1


@pytest.mark.parametrize(("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified"), ("POST", "204 No Content")])
def test_a_body_that_no_server_would_send_is_dropped(echo: Echo, method: str, status: str) -> None:
    echo.answer = (status, [("Content-Length", "4")], [b"echo"])
    answer = session_for(echo).request(method, "http://app.example/", allow_redirects=False)
    assert (answer.status_code, answer.content) == (int(status[:3]), b"")


def test_head_of_the_emulator_has_no_body(http: requests.Session) -> None:
    for path in ("/protected/json/app/details", "/phone/", "/phone/1635.json", "/nowhere"):
        assert http.head(BASE + path).content == b""


def test_redirects_are_followed_as_over_a_socket(http: requests.Session, echo: Echo) -> None:
    answer = http.get(BASE + "/")
    assert (answer.status_code, answer.url, [it.status_code for it in answer.history]) == (200, BASE + "/phone/", [303])
    assert http.get(BASE + "/", allow_redirects=False).headers["Location"] == "/phone/"
    # A session drops the credentials on the way to another host, wherever that host is mounted.
    echo.answer = ("307 Temporary Redirect", [("Location", "http://other.example/x")], [b""])
    other = Echo()
    session = session_for(echo)
    session.mount("http://other.example", WSGIAdapter(other))
    session.post("http://app.example/", data={"a": "1"}, headers={"Authorization": "Bearer x"})
    assert (other.environ["REQUEST_METHOD"], other.body) == ("POST", b"a=1")
    assert "HTTP_AUTHORIZATION" not in other.environ


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("x"), OSError("disk")])
def test_what_the_app_raises_reaches_the_caller(error: Exception) -> None:
    def broken(_environ: object, _start_response: object) -> Iterable[bytes]:
        raise error

    with pytest.raises(type(error)) as caught:
        session_for(broken).get("http://app.example/")
    assert caught.value is error


# -- what goes wrong


@pytest.mark.parametrize("timeout", [3, 3.0, (1, 3), (None, 3)])
def test_a_delay_beyond_the_timeout_is_a_read_timeout(http: requests.Session, emulator: Emulator, slept: list[float], timeout: Any) -> None:
    emulator.add_fault(route="sms", kind="delay", seconds=60)
    with pytest.raises(requests.ReadTimeout) as caught:
        http.get(f"{BASE}/protected/json/sms/1635", timeout=timeout)
    assert slept == [3]
    assert caught.value.request is not None
    assert caught.value.request.url == f"{BASE}/protected/json/sms/1635"
    # The service has done it all the same; the caller does not know.
    assert len(emulator.phone(1635).messages) == 1
    assert http.get(f"{BASE}/protected/json/sms/1635", timeout=timeout).status_code == 200


@pytest.mark.parametrize("timeout", [None, 61, (1, None), (0.001, 61)])
def test_a_delay_within_the_timeout_is_waited_for(http: requests.Session, emulator: Emulator, slept: list[float], timeout: Any) -> None:
    emulator.add_fault(route="sms", kind="delay", seconds=60)
    assert http.get(f"{BASE}/protected/json/sms/1635", timeout=timeout).json()["success"] is True
    assert slept == [60]


def test_a_trickle_comes_whole(http: requests.Session, emulator: Emulator, slept: list[float]) -> None:
    plain = http.get(f"{BASE}/protected/json/users/1635/status").content
    emulator.add_fault(route="users/status", kind="trickle", seconds=0.5)
    assert http.get(f"{BASE}/protected/json/users/1635/status", timeout=1).content == plain
    assert slept == [0.5] * len(plain)


def test_a_trickle_slower_than_the_timeout_is_a_timeout(http: requests.Session, emulator: Emulator, slept: list[float]) -> None:
    emulator.add_fault(route="users/status", kind="trickle", seconds=60)
    with pytest.raises((requests.ReadTimeout, requests.ConnectionError)):
        _ = http.get(f"{BASE}/protected/json/users/1635/status", timeout=3).content
    assert sum(slept) <= 3


def test_a_drop_is_a_connection_error(http: requests.Session, emulator: Emulator) -> None:
    emulator.add_fault(route="sms", kind="drop")
    with pytest.raises(requests.ConnectionError) as caught:
        http.get(f"{BASE}/protected/json/sms/1635")
    assert not isinstance(caught.value, requests.Timeout)
    assert caught.value.request is not None
    assert emulator.phone(1635).messages == []
    assert http.get(f"{BASE}/protected/json/sms/1635").status_code == 200


def test_retries_of_the_session_are_not_made(http: requests.Session, emulator: Emulator) -> None:
    emulator.add_fault(route="sms", kind="status", status=503)
    assert http.get(f"{BASE}/protected/json/sms/1635").status_code == 503
    assert [call.route for call in emulator.calls].count("sms") == 1


# -- as over a socket


@settings(max_examples=40, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]),
    path=st.sampled_from(
        ["/protected/json/users/new", "/protected/json/sms/1635", "/protected/json/verify/..%2Fsms/1635", "/phone/clock", "/x%00y", "/é", "//x", "/."]
    ),
    query=st.dictionaries(st.sampled_from(["force", "action", "a[b]", "é", "api_key", ""]), st.text(st.characters(codec="utf-8"), max_size=5), max_size=3),
    body=st.none()
    | st.binary(max_size=20)
    | st.dictionaries(st.sampled_from(["user[email]", "advance", "x"]), st.text(st.characters(codec="utf-8"), max_size=5), max_size=2),
    headers=st.dictionaries(
        st.sampled_from(["X-Authy-API-Key", "Content-Type", "Accept", "Origin"]), st.sampled_from([KEY, "application/json", "text/html", "x"]), max_size=3
    ),
)
def test_the_same_request_has_the_same_answer_with_and_without_a_socket(
    method: str, path: str, query: dict[str, str], body: Any, headers: dict[str, str]
) -> None:
    said = {"params": query, "data": body, "headers": headers, "allow_redirects": False, "timeout": 10}
    emulators = [Emulator(KEY, clock=lambda: START, seed=7) for _ in range(2)]
    with Server(emulators[0]) as server, requests.Session() as plain, session_for(emulators[1]) as adapted:
        plain.mount("http://", HTTPAdapter(max_retries=0))
        plain.trust_env = False
        answers = [session.request(method, server.url + path, **said) for session in (plain, adapted)]
    assert answers[0].status_code == answers[1].status_code
    assert answers[0].content == answers[1].content
    assert answers[0].reason == answers[1].reason
    left_out = {"date", "server", "connection"}  # the server's own
    shown = [{name.lower(): value for name, value in answer.headers.items() if name.lower() not in left_out} for answer in answers]
    assert shown[0] == shown[1]
    calls = [[(call.method, call.path, call.route, call.parameters) for call in emulator.calls] for emulator in emulators]
    assert calls[0] == calls[1]
