"""The wire: what is on it besides the calls. Faults, deadlines, connections, TLS, and that nothing secret is told of any of them."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from authy_wsgi import AuthyClient
from authy_wsgi.clients import http as wire
from authy_wsgi.clients.authy_api import AuthyAPI, AuthyError
from authy_wsgi.clients.http import Deadlines
from authy_wsgi.emulator import Emulator, WSGIAdapter
from authy_wsgi.errors import Misconfigured, Unavailable
from tests.support import API_KEY

from .conftest import Service
from .lab import (
    AUTHY_ID,
    CALLS,
    CODE,
    EMAIL,
    HASTY,
    NUMBER,
    SHORT,
    VALID,
    WRONG,
    Answer,
    Closing,
    RawServer,
    Reset,
    Silence,
    Trickle,
    api_for,
    assert_no_secrets,
    closed_port,
    http,
    logged,
    told_by,
    wait_until,
)

Raw = Callable[..., RawServer]
GOOD = http(VALID)
MARGIN = 1.0  # how much later than its deadline a call may end


def head(answer: bytes, *lines: bytes) -> bytes:
    """An answer with further header lines at its head."""
    first, _, rest = answer.partition(b"\r\n")
    return b"\r\n".join([first, *lines, rest])


def without_length(status: str = "200 OK", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: application/json", *headers, "", ""]).encode("latin-1")


# Each of these is no answer at all, or one that says nothing that can be believed, whatever was asked.
FAULTS: dict[str, Answer] = {
    "closed without an answer": Closing(),
    "closed within the status line": Closing(b"HTTP/1.1 20"),
    "closed within the headers": Closing(GOOD[:40]),
    "closed within the body": Closing(GOOD[:-10]),
    "reset without an answer": Reset(),
    "reset within the body": Reset(GOOD[:-10]),
    "no HTTP": Closing(b"220 mail.example ESMTP\r\n"),
    "a status of letters": Closing(b"HTTP/1.1 abc OK\r\n\r\n"),
    "a status too large": Closing(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
    "500 with an error of the API": http({"message": "oops", "success": False, "errors": {}, "error_code": "60000"}, "500 Internal Server Error"),
    "500 with HTML": http(b"<h1>Oops</h1>", "500 Internal Server Error", content_type="text/html"),
    "502 with HTML": http(b"<h1>Bad gateway</h1>", "502 Bad Gateway", content_type="text/html"),
    "503 without a body": http(b"", "503 Service Unavailable"),
    "503 with HTML": http(b"<h1>Busy</h1>", "503 Service Unavailable", content_type="text/html"),
    "429 with an error of the API": http({"message": "Too many", "success": False, "errors": {}, "error_code": "60003"}, "429 Too Many Requests"),
    "429 without a body": http(b"", "429 Too Many Requests", "Retry-After: 3600"),
    "401 without a body": http(b"", "401 Unauthorized", 'WWW-Authenticate: Basic realm="x"'),
    "407 of a proxy": http(b"", "407 Proxy Authentication Required", 'Proxy-Authenticate: Basic realm="x"'),
    "404 with HTML": http(b"<h1>Not here</h1>", "404 Not Found", content_type="text/html"),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "HTML under 200": http(b'<p>"token":"is valid" "success":"true" Token is valid.</p>', content_type="text/html"),
    "truncated JSON": http(b'{"message":"Token is valid.","token":"is valid","success":"true"'),
    "two JSON objects": http(GOOD.partition(b"\r\n\r\n")[2] * 2),
    "an empty body": http(b""),
    "a JSON list": http([VALID]),
    "a JSON text": http("Token is valid."),
    "JSON true": http(True),
    "JSON null": http(None),
    "a JSON object in a text": http('{"success":"true"}'),
    "an empty object": http({}),
    "JSONP": http(b'callback({"message":"Token is valid.","token":"is valid","success":"true"})'),
    "bytes that are no text": http(b"\xff\xfe\x00\xd8\x80"),
    "an integer of 10,000 digits": http(b'{"success":true,"message":' + b"9" * 10_000 + b"}"),
    "lists 100,000 deep": http(b"[" * 100_000),
    "objects 30,000 deep": http(b'{"a":' * 30_000),
    "a body that is too large": http(b'{"x":"' + b"x" * 300_000 + b'"}'),
    "a body that is far too large, in chunks": without_length("200 OK", "Transfer-Encoding: chunked") + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 40,
    "a zip bomb": http(gzip.compress(b'{"x":"' + b"x" * 50_000_000 + b'"}', 9), "200 OK", "Content-Encoding: gzip"),
    "gzip that is none": http(VALID, "200 OK", "Content-Encoding: gzip"),
    "chunks that are none": Closing(without_length("200 OK", "Transfer-Encoding: chunked") + b"zz\r\n{}\r\n"),
    "two lengths": http(VALID, "200 OK", "Content-Length: 5"),
    "a length that is no number": Closing(http(VALID).replace(b"Content-Length: ", b"Content-Length: x")[:-5]),
    "a length that is longer than the body": Closing(http(VALID).replace(b"Content-Length: ", b"Content-Length: 9")),
    "a header line without a colon": Closing(head(http([VALID]), b"this has no colon")),
    "a thousand headers": head(GOOD, *(b"X-%d: y" % at for at in range(1000))),
    "a header line of 100 kB": head(GOOD, b"X-Long: " + b"y" * 100_000),
    "a redirect without a place": http(VALID, "302 Found"),
    "a redirect to nonsense": http(VALID, "301 Moved", "Location: http://["),
    "a redirect to bytes that are no text": http(VALID, "301 Moved", "Location: /\xff\xfe"),
    "a redirect to a port of letters": http(VALID, "308 x", "Location: http://a:b:c/"),
    "a redirect to another scheme": http(VALID, "307 x", "Location: file:///etc/passwd"),
    "an upgrade": http(VALID, "101 Switching Protocols", "Upgrade: websocket"),
}
ASKED_OF = ("verify", "request_sms", "register_user", "request_approval", "approval_status")


@pytest.mark.parametrize("name", ASKED_OF)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_unavailable_in_time_and_tells_no_secret(raw: Raw, debug: pytest.LogCaptureFixture, fault: str, name: str) -> None:
    server = raw(FAULTS[fault])
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        CALLS[name].make(api_for(server.url))
    assert time.monotonic() - began < SHORT.total + MARGIN
    assert caught.value.what == "provider"
    assert 0 < len(caught.value.reason) < 200
    assert_no_secrets(told_by(caught.value), logged(debug))
    assert 1 <= len(server.requests) <= (2 if CALLS[name].repeats else 1)


@pytest.mark.parametrize("name", CALLS)
def test_a_refused_connection_is_unavailable_and_tells_no_secret(debug: pytest.LogCaptureFixture, name: str) -> None:
    with pytest.raises(Unavailable) as caught:
        CALLS[name].make(api_for(f"http://127.0.0.1:{closed_port()}"))
    assert "NewConnectionError" in caught.value.reason
    assert_no_secrets(told_by(caught.value), logged(debug))


def test_the_search_for_secrets_finds_what_urllib3_would_tell(raw: Raw, debug: pytest.LogCaptureFixture) -> None:
    # Without this the tests above could pass by looking in the wrong place.
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get(f"http://127.0.0.1:{closed_port()}/other/{CODE}", timeout=1)
    with pytest.raises(AssertionError):
        assert_no_secrets(told_by(caught.value))
    try:
        raise Unavailable("provider", "x") from None
    except Unavailable as error:
        error.__context__ = caught.value
        with pytest.raises(AssertionError):
            assert_no_secrets(told_by(error))
    with requests.Session() as session:
        session.get(f"{raw(GOOD).url}/other/{CODE}", timeout=1)
    with pytest.raises(AssertionError):
        assert_no_secrets(logged(debug))


@pytest.mark.parametrize("path", ["", "/mounted", "/a/b"])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_works_logs_no_secret_wherever_the_api_is_mounted(raw: Raw, debug: pytest.LogCaptureFixture, name: str, path: str) -> None:
    server = raw(http(CALLS[name].genuine))
    CALLS[name].make(api_for(server.url + path))
    assert server.lines[0].split(" ")[1].startswith(path + "/")
    assert_no_secrets(logged(debug))


@pytest.mark.parametrize(
    "lines", [[b"this has no colon"], [b"X-A: 1", b"X-A: 2"], [b"Set-Cookie: a=\xff; domain=evil"], [b"X-\xe9: \xe9"], [b"X: a\rb"], [b" folded: x"]], ids=ascii
)
def test_odd_headers_are_no_error_of_ours_and_tell_no_secret(raw: Raw, debug: pytest.LogCaptureFixture, lines: list[bytes]) -> None:
    api = api_for(raw(Closing(head(GOOD, *lines))).url)
    try:
        assert CALLS["verify"].make(api) == "sms"
    except Unavailable as failure:
        assert_no_secrets(told_by(failure))
    assert_no_secrets(logged(debug))


# Deadlines: a bound on how long a worker can be held.

SLOW: dict[str, Answer] = {
    "silence": Silence(),
    "headers": Trickle(b"", GOOD),
    "headers after the status line": Trickle(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 500, 0.05),
    "an endless header line": Trickle(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 500, 0.05),
    "body": Trickle(GOOD[:-60], GOOD[-60:]),
    "chunks": Trickle(without_length("200 OK", "Transfer-Encoding: chunked"), b"1\r\n{\r\n" * 200, 0.05),
    "the length of a chunk": Trickle(without_length("200 OK", "Transfer-Encoding: chunked"), b"0" * 500, 0.05),
    "trailers": Trickle(without_length("200 OK", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n", b"X-A: b\r\n" * 200, 0.05),
    "body without a length": Trickle(without_length(), b" " * 500, 0.05),
    "100 Continue": Trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, pause=0.02),
    "body of a redirect": Trickle(b"HTTP/1.1 301 x\r\nLocation: /x\r\nContent-Length: 500\r\n\r\n", b"x" * 500, 0.05),
    "body of an error": Trickle(b"HTTP/1.1 500 x\r\nContent-Length: 500\r\n\r\n", b"x" * 500, 0.05),
}


@pytest.mark.parametrize("what", SLOW)
def test_the_total_deadline_holds_however_slowly_it_comes(raw: Raw, debug: pytest.LogCaptureFixture, what: str) -> None:
    deadlines = SHORT if what in ("headers", "body") else HASTY
    api = api_for(raw(SLOW[what]).url, deadlines=deadlines)
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        CALLS["verify"].make(api)
    assert time.monotonic() - began < deadlines.total + MARGIN
    assert_no_secrets(told_by(caught.value), logged(debug))


@pytest.mark.parametrize("name", ["user_status", "approval_status", "app_details"])
def test_asking_twice_stays_within_the_same_deadline(raw: Raw, name: str) -> None:
    server = raw(Closing(), Trickle(b"", GOOD))
    began = time.monotonic()
    with pytest.raises(Unavailable):
        CALLS[name].make(api_for(server.url))
    assert time.monotonic() - began < SHORT.total + MARGIN
    assert len(server.requests) == 2


def test_a_connection_that_nobody_accepts_is_given_up(raw: Raw) -> None:
    server = raw(GOOD, backlog_only=True)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        CALLS["verify"].make(api_for(server.url))
    assert time.monotonic() - began < SHORT.total + MARGIN


def test_the_deadline_of_one_call_is_not_that_of_the_next_on_the_same_connection(raw: Raw) -> None:
    server = raw(GOOD)
    api = api_for(server.url, deadlines=Deadlines(connect=1, read=1, total=1))
    began = time.monotonic()
    while time.monotonic() - began < 1.2:
        assert CALLS["verify"].make(api) == "sms"
    assert server.connections == 1


@pytest.mark.parametrize("kind", ["delay", "trickle"])
def test_the_emulators_slow_faults_end_in_time(service: Service, kind: str) -> None:
    api = api_for(service.url)
    alice = api.register_user("a@example.com", "408-555-5270", 1)
    service.emulator.add_fault(route="sms", kind=kind, seconds=1.5 if kind == "delay" else 0.2)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        api.request_sms(alice)
    assert time.monotonic() - began < SHORT.total + MARGIN
    assert not api.request_sms(alice).ignored


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop"},
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 429},
        {"kind": "status", "status": 503, "body": "<h1>Busy</h1>", "content_type": "text/html"},
        {"kind": "body", "body": "<h1>Fine</h1>", "content_type": "text/html"},
        {"kind": "body", "body": '{"message":"Token is valid.","token":"is valid","succ'},
        {"kind": "body", "body": ""},
        {"kind": "status", "status": 302, "body": '{"message":"Token is valid.","token":"is valid","success":"true"}'},
    ],
    ids=str,
)
def test_the_emulators_other_faults_are_unavailable_and_over_with_the_next_call(service: Service, fault: dict[str, Any]) -> None:
    api = api_for(service.url)
    alice = api.register_user("a@example.com", "408-555-5270", 1)
    api.request_sms(alice)
    service.emulator.add_fault(route="verify", **fault)
    code = service.emulator.phone(alice).code
    with pytest.raises(Unavailable):
        api.verify(alice, code)
    assert api.verify(alice, code) == "sms"


# Asking again


@pytest.mark.parametrize(
    "fault", [Closing(), Reset(), http(b"", "503 x"), http(b"<p>", "500 x"), Closing(GOOD[:-9])], ids=["closed", "reset", "503", "500", "short"]
)
@pytest.mark.parametrize("name", CALLS)
def test_only_what_is_safe_to_repeat_is_repeated(raw: Raw, name: str, fault: Answer) -> None:
    server = raw(fault)
    with pytest.raises(Unavailable):
        CALLS[name].make(api_for(server.url))
    assert 1 <= len(server.requests) <= (2 if CALLS[name].repeats else 1)


@pytest.mark.parametrize("name", ["user_status", "approval_status", "app_details"])
def test_what_is_safe_to_repeat_is_asked_again_once_when_the_line_broke(raw: Raw, debug: pytest.LogCaptureFixture, name: str) -> None:
    server = raw(Closing(), http(CALLS[name].genuine))
    CALLS[name].make(api_for(server.url))
    assert len(server.requests) == 2
    assert "asking again" in debug.text
    assert_no_secrets(logged(debug))


def test_a_connection_that_the_provider_has_closed_meanwhile_is_not_used_again(raw: Raw) -> None:
    server = raw(Closing(http(VALID, "200 OK")))
    api = api_for(server.url)
    CALLS["verify"].make(api)
    wait_until(lambda: all(connection.fileno() == -1 for connection in server._open))
    CALLS["verify"].make(api)
    assert (server.connections, len(server.requests)) == (2, 2)


# Connections


def test_a_sign_in_by_text_message_is_two_calls_on_one_connection(raw: Raw) -> None:
    server = raw(http(CALLS["request_sms"].genuine), GOOD)
    api = api_for(server.url)
    api.request_sms(AUTHY_ID)
    api.verify(AUTHY_ID, CODE)
    assert (len(server.requests), server.connections) == (2, 1)


def test_a_wrong_code_and_an_error_leave_the_connection_open(raw: Raw) -> None:
    server = raw(http(WRONG, "401 Unauthorized"), http(b"<h1>", "503 x"), GOOD)
    api = api_for(server.url)
    for kind in (AuthyError, Unavailable):
        with pytest.raises(kind):
            api.verify(AUTHY_ID, CODE)
    assert api.verify(AUTHY_ID, CODE) == "sms"
    assert server.connections == 1


FORKING = """
    import os, sys
    from authy_wsgi.clients.authy_api import AuthyAPI
    api = AuthyAPI(sys.argv[2], base_url=sys.argv[1])
    api.app_details()
    child = os.fork()
    api.app_details()
    if child == 0:
        os._exit(0)
    sys.exit(os.waitpid(child, 0)[1])
"""


def test_a_fork_gets_a_connection_of_its_own(raw: Raw) -> None:
    server = raw(http(CALLS["app_details"].genuine))
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(FORKING), server.url, API_KEY], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # Three calls: two of the parent on its connection, one of the child on another.
    assert (len(server.requests), server.connections) == (3, 2)


def test_many_threads_share_the_client(service: Service) -> None:
    api = api_for(service.url, deadlines=Deadlines())
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(str(api.app_details()["name"]))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert names == ["Authy Demo"] * 16


def test_nothing_of_the_environment_changes_where_a_call_goes_or_what_it_carries(raw: Raw, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server, proxy = raw(GOOD), raw(GOOD)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password x\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert CALLS["verify"].make(api_for(server.url)) == "sms"
    assert (len(server.requests), proxy.connections) == (1, 0)
    assert b"authorization" not in server.requests[0].lower()


def test_no_cookie_is_kept(raw: Raw) -> None:
    server = raw(http(VALID, "200 OK", "Set-Cookie: track=1; Path=/"))
    api = api_for(server.url)
    for _ in range(2):
        CALLS["verify"].make(api)
    assert b"cookie" not in server.requests[1].lower()


@pytest.mark.parametrize("status", ["301 x", "302 x", "303 x", "307 x", "308 x"])
@pytest.mark.parametrize("name", ASKED_OF)
def test_a_redirect_is_not_followed(raw: Raw, name: str, status: str) -> None:
    elsewhere = raw(http(CALLS[name].genuine))
    server = raw(http(b"", status, f"Location: {elsewhere.url}/"))
    with pytest.raises(Unavailable):
        CALLS[name].make(api_for(server.url))
    assert elsewhere.connections == 0


def test_the_body_of_a_redirect_is_not_read_without_end(raw: Raw) -> None:
    flood = without_length("301 x", "Location: /x", "Transfer-Encoding: chunked") + (b"20000\r\n" + b"x" * 0x20000 + b"\r\n") * 200
    api = api_for(raw(flood).url)
    tracemalloc.start()
    try:
        with pytest.raises(Unavailable):
            CALLS["verify"].make(api)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


# TLS


def certificate(folder: Path, name: str, *, address: str = "127.0.0.1", days: int = 1) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate, as a file to trust and as a server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=3))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, secret = folder / f"{name}.pem", folder / f"{name}.key"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, secret)
    return trusted, context


def trusting(url: str, trusted: Path) -> AuthyAPI:
    # The session that Wire makes for itself, but for whom it trusts.
    session = wire._new_session()
    session.verify = str(trusted)
    return api_for(url, session=session)


def test_a_certificate_that_nobody_vouches_for_ends_the_call_before_anything_is_sent(raw: Raw, debug: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    server = raw(GOOD, tls=certificate(tmp_path, "self")[1])
    with pytest.raises(Unavailable, match="SSLError") as caught:
        CALLS["verify"].make(api_for(server.url))
    assert server.requests == []
    assert_no_secrets(told_by(caught.value), logged(debug))


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_variable_of_the_environment_does_not_choose_whom_to_trust(raw: Raw, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str) -> None:
    trusted, context = certificate(tmp_path, "self")
    monkeypatch.setenv(variable, str(trusted))
    with pytest.raises(Unavailable, match="SSLError"):
        CALLS["verify"].make(api_for(raw(GOOD, tls=context).url))


@pytest.mark.parametrize("options", [{"address": "127.0.0.2"}, {"days": -1}], ids=["another host", "run out"])
def test_a_certificate_that_does_not_fit_is_refused_although_trusted(raw: Raw, tmp_path: Path, options: dict[str, Any]) -> None:
    trusted, context = certificate(tmp_path, "odd", **options)
    server = raw(GOOD, tls=context)
    with pytest.raises(Unavailable, match="SSLError"):
        CALLS["verify"].make(trusting(server.url, trusted))
    assert server.requests == []


def test_over_tls_calls_work_on_one_connection_and_keep_their_deadline(raw: Raw, debug: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    trusted, context = certificate(tmp_path, "good")
    server = raw(GOOD, GOOD, Trickle(b"", GOOD), tls=context)
    api = trusting(server.url, trusted)
    assert [CALLS["verify"].make(api) for _ in range(2)] == ["sms", "sms"]
    assert server.connections == 1
    began = time.monotonic()
    with pytest.raises(Unavailable):
        CALLS["verify"].make(api)
    assert time.monotonic() - began < SHORT.total + MARGIN
    assert_no_secrets(logged(debug))


def test_a_server_that_speaks_no_tls_is_unavailable_and_gets_nothing(raw: Raw) -> None:
    server = raw(Closing(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    began = time.monotonic()
    with pytest.raises(Unavailable):
        CALLS["verify"].make(api_for(server.url.replace("http://", "https://")))
    assert time.monotonic() - began < SHORT.total + MARGIN
    assert API_KEY.encode() not in b"".join(server.requests)


def test_a_handshake_that_does_not_end_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            CALLS["verify"].make(api_for(f"https://127.0.0.1:{silent.getsockname()[1]}"))
        assert time.monotonic() - began < SHORT.total + MARGIN


# Whom the key is told to


@pytest.mark.parametrize(
    "url",
    [
        "http://api.authy.com", "http://192.168.0.1", "http://10.0.0.1:8765", "http://0.0.0.0", "http://localhost.example", "http://127.0.0.1.example",
        "http://127.0.0.1@evil.example", "http://[2001:db8::1]", "ftp://127.0.0.1", "//api.authy.com", "api.authy.com", "https://", "", "https:///x",
        "https://user:pass@api.authy.com", "https://user@api.authy.com", "https://api.authy.com?x=1", "https://api.authy.com#x", "https://api.authy.com?",
        "https://api.authy.com#", "https://[oops", "http://[....]", "https://[:::]", "https://x:abc", "https://x:99999", "https://api.authy.com\n", " https://api.authy.com",
        "https://api.authy .com", "https://api.authy.com/a b", "https://api.authy.com\\x", None, 5,
    ],
    ids=ascii,
)  # fmt: skip
def test_a_base_url_that_cannot_be_or_would_tell_the_key_is_refused_at_once(url: Any) -> None:
    with pytest.raises(Misconfigured, match="base_url"):
        AuthyClient(API_KEY, base_url=url)


@pytest.mark.parametrize(
    "url",
    ["https://api.authy.com", "https://api.authy.com/", "https://proxy.example:8443/authy/", "http://localhost:8765", "http://127.0.0.1", "http://[::1]:80"],
)
def test_https_and_this_machine_are_taken(url: str) -> None:
    assert AuthyClient(API_KEY, base_url=url).api.wire.base_url == url.rstrip("/")


def test_a_simulator_in_the_providers_place_is_not_believed() -> None:
    emulator = Emulator(API_KEY, seed=1, hosts=["api.example"])

    def silent(environ: dict[str, Any], start_response: Any) -> Any:
        return emulator(environ, lambda status, headers, *rest: start_response(status, [pair for pair in headers if pair[0] != "X-Authy-Simulator"], *rest))

    apis = {}
    for name, app in (("says so", emulator), ("hides it", silent)):
        session = requests.Session()
        session.mount("https://", WSGIAdapter(app))
        apis[name] = api_for("https://api.example", session=session)
    alice = apis["hides it"].register_user("a@example.com", "408-555-5270", 1)
    apis["hides it"].request_sms(alice)
    code = emulator.phone(alice).code
    for call in (apis["says so"].app_details, lambda: apis["says so"].request_sms(alice), lambda: apis["says so"].verify(alice, "1234567")):
        with pytest.raises(Unavailable, match="a simulator answered in the provider's place"):
            call()
    # The very code is good where nothing says "simulator": so the header alone has made the difference.
    assert apis["hides it"].verify(alice, code) == "sms"


def test_the_header_of_the_simulator_is_fine_on_this_machine(raw: Raw) -> None:
    assert CALLS["verify"].make(api_for(raw(http(VALID, "200 OK", "X-Authy-Simulator: 1")).url)) == "sms"


def test_the_form_on_the_wire_holds_the_number_and_the_address_but_the_url_does_not(raw: Raw) -> None:
    server = raw(http(CALLS["register_user"].genuine))
    CALLS["register_user"].make(api_for(server.url))
    assert NUMBER.encode() in server.requests[0]
    assert server.lines == ["POST /protected/json/users/new HTTP/1.1"]
    assert EMAIL.partition("@")[0].encode() in server.requests[0]


def test_the_filter_takes_nothing_else_from_the_log(raw: Raw, debug: pytest.LogCaptureFixture) -> None:
    requests.get(f"{raw(GOOD).url}/harmless", timeout=1).close()
    assert any("/harmless" in record.getMessage() for record in debug.records if record.name.startswith("urllib3"))
