from __future__ import annotations

import http.client
import json
import logging
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from authy_wsgi.emulator import Emulator
from authy_wsgi.emulator.server import Server

from .service import KEY

HEADERS = {"X-Authy-API-Key": KEY}


@pytest.fixture
def http_session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers.update(HEADERS)
        yield session


@pytest.fixture
def alice(server: Server, http_session: requests.Session) -> int:
    server.emulator.clear_faults()
    body = {"user": {"email": "alice@example.com", "cellphone": "408-555-5270", "country_code": 1}}
    authy_id: int = http_session.post(server.url + "/protected/json/users/new", json=body, timeout=5).json()["user"]["id"]
    return authy_id


def raw(server: Server, request: bytes) -> bytes:
    """What the server sends back for those bytes, until it closes."""
    with socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port), timeout=5) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def test_a_code_travels_over_the_socket(server: Server, http_session: requests.Session, alice: int) -> None:
    base = server.url + "/protected/json"
    assert http_session.get(f"{base}/sms/{alice}", params={"force": True}, timeout=5).json()["success"] is True
    code = http_session.get(f"{server.url}/phone/{alice}.json", timeout=5).json()["messages"][-1]["code"]
    good = http_session.get(f"{base}/verify/{code}/{alice}", params={"force": "true"}, timeout=5)
    assert '"token":"is valid"' in good.text
    assert http_session.get(f"{base}/verify/{code}/{alice}", params={"force": "true"}, timeout=5).status_code == 401


def test_an_encoded_slash_is_not_a_slash(server: Server, alice: int) -> None:
    before = len(server.emulator.phone(alice).messages)
    for climb in ("0000000/..%2Fsms%2F{}", "..%2Fsms/{}", "../sms/{}", "%2e%2e/sms/{}", "..%252Fsms/{}"):
        path = "verify/" + climb.format(alice)
        host, port = urlsplit(server.url).hostname, urlsplit(server.url).port
        connection = http.client.HTTPConnection(str(host), port, timeout=5)
        connection.request("GET", f"/protected/json/{path}?api_key={KEY}")
        with connection.getresponse() as answer:
            assert answer.status in (401, 404)
        connection.close()
    assert len(server.emulator.phone(alice).messages) == before


def test_absolute_addresses_are_the_same_address(server: Server, alice: int) -> None:
    host = urlsplit(server.url).netloc.encode()
    answer = raw(server, b"GET http://%s/protected/json/users/%d/status?api_key=%s HTTP/1.0\r\n\r\n" % (host, alice, KEY.encode()))
    assert answer.startswith(b"HTTP/1.1 200")
    foreign = raw(server, b"GET http://evil.example/phone/ HTTP/1.0\r\n\r\n")
    assert foreign.startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("start", ["/", "//", "///"])
def test_slashes_at_the_start_of_a_path_are_one(server: Server, alice: int, start: str) -> None:
    answer = raw(server, b"GET %sprotected/json/users/%d/status?api_key=%s HTTP/1.0\r\n\r\n" % (start.encode(), alice, KEY.encode()))
    assert answer.startswith(b"HTTP/1.1 200")
    inside = raw(server, b"GET /protected/json/users//%d/status?api_key=%s HTTP/1.0\r\n\r\n" % (alice, KEY.encode()))
    assert inside.startswith(b"HTTP/1.1 404")


def test_a_form_in_parts_is_read(server: Server, http_session: requests.Session, alice: int) -> None:
    fields = {"user[email]": "ä@example.com", "user[cellphone]": "(408) 555-5270", "user[country_code]": "1"}
    files = {name: (None, value) for name, value in fields.items()}
    assert http_session.post(server.url + "/protected/json/users/new", files=files, timeout=5).json()["user"]["id"] == alice


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("how", ["-F", "-d", "--data-urlencode"])
def test_curl_speaks_to_it(server: Server, alice: int, how: str) -> None:
    fields = ("user[email]=alice@example.com", "user[cellphone]=408-555-5270", "user[country_code]=1")
    options = [part for field in fields for part in (how, field)]
    command = ["curl", "--silent", "--show-error", "--noproxy", "*", *options, "-H", f"X-Authy-API-Key: {KEY}", server.url + "/protected/json/users/new"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(done.stdout) == {"message": "User created successfully.", "user": {"id": alice}, "success": True}


def test_a_get_with_a_body_and_a_delete_leave_the_connection_in_order(server: Server, http_session: requests.Session, alice: int) -> None:
    server.emulator.phone(alice).install_app()
    base = server.url + "/protected/json"
    number = {"phone_number": "201-555-0123", "country_code": "1"}
    assert http_session.get(f"{base}/phones/info", data=number, timeout=5).json()["type"] == "cellphone"
    device = http_session.get(f"{base}/users/{alice}/status", json={}, timeout=5).json()["status"]["detailed_devices"][0]["device_id"]
    assert http_session.delete(f"{base}/sdk/devices/{device}", timeout=5).json()["success"] is True
    assert http_session.head(f"{base}/app/details", timeout=5).status_code == 405
    # A wrong key is told before the body is of use; what is left of it is not the next request.
    assert http_session.post(f"{base}/users/new", json=number, headers={"X-Authy-API-Key": "wrong"}, timeout=5).status_code == 401
    assert http_session.get(f"{base}/app/details", timeout=5).status_code == 200


def test_another_host_name_is_refused_in_the_shape_of_the_api(server: Server, http_session: requests.Session) -> None:
    answer = http_session.get(server.url + "/protected/json/app/details", headers={"Host": "evil.example"}, timeout=5)
    assert (answer.status_code, answer.json()["error_code"], answer.json()["success"]) == (403, "60002", False)
    with Server(Emulator(KEY, hosts=["authy"])) as other:
        assert http_session.get(other.url + "/protected/json/app/details", headers={"Host": "authy:1234"}, timeout=5).status_code == 200


def test_two_services_side_by_side_know_nothing_of_each_other(server: Server, http_session: requests.Session, alice: int) -> None:
    with Server(Emulator("another key")) as other:
        url = f"{other.url}/protected/json/users/{alice}/status"
        assert http_session.get(url, timeout=5).json()["error_code"] == "60001"
        assert http_session.get(url, headers={"X-Authy-API-Key": "another key"}, timeout=5).json()["error_code"] == "60026"
        port = urlsplit(other.url).port
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def test_a_body_in_chunks_is_read(server: Server, http_session: requests.Session) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"user":{"email":"a@example.com",'
        yield b'"cellphone":"4053425699","country_code":"1"}}'

    answer = http_session.post(server.url + "/protected/json/users/new", data=pieces(), headers={"Content-Type": "application/json"}, timeout=5)
    assert answer.json()["message"] == "User created successfully."
    broken = b"POST /protected/json/users/new HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n"
    assert b'"error_code":"60002"' in raw(server, broken)


def test_a_huge_body_is_refused(server: Server, http_session: requests.Session) -> None:
    for body in (b"x" * (1024 * 1024 + 1), iter([b"x" * 1024 * 1024, b"x"])):
        answer = http_session.post(server.url + "/protected/json/users/new", data=body, timeout=5)
        assert (answer.status_code, answer.json()["error_code"]) == (413, "60002")


def test_a_drop_closes_without_an_answer(server: Server, http_session: requests.Session, alice: int) -> None:
    http_session.post(server.url + "/phone/faults", data={"route": "sms", "kind": "drop"}, timeout=5)
    with pytest.raises(requests.ConnectionError):
        http_session.get(f"{server.url}/protected/json/sms/{alice}", timeout=5)
    assert http_session.get(f"{server.url}/protected/json/sms/{alice}", timeout=5).status_code == 200


def test_a_trickle_is_slower_than_a_timeout_but_whole(server: Server, http_session: requests.Session, alice: int) -> None:
    url = f"{server.url}/protected/json/users/{alice}/status"
    server.emulator.add_fault(route="users/status", kind="trickle", seconds=0)
    whole = http_session.get(url, timeout=5)
    assert whole.json()["status"]["authy_id"] == alice
    server.emulator.add_fault(route="users/status", kind="trickle", seconds=1)
    with pytest.raises(requests.Timeout):
        http_session.get(url, timeout=0.2)


def test_a_delay_outlasts_a_timeout(server: Server, http_session: requests.Session, alice: int) -> None:
    server.emulator.add_fault(route="sms", kind="delay", seconds=1)
    with pytest.raises(requests.Timeout):
        http_session.get(f"{server.url}/protected/json/sms/{alice}", timeout=0.2)
    assert http_session.get(f"{server.url}/protected/json/users/{alice}/status", timeout=5).status_code == 200


def test_the_log_is_silent_unless_asked_and_never_holds_the_key(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    for quiet in (True, False):
        with caplog.at_level(logging.INFO, "authy_wsgi.emulator"), Server(Emulator(KEY, quiet=quiet)) as server:
            requests.get(f"{server.url}/protected/json/app/details?api_key={KEY}", timeout=5).close()
        assert caplog.messages == ([] if quiet else ["GET /protected/json/app/details 200"])
    captured: Any = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_of_many_at_once_one_spends_the_code(server: Server, http_session: requests.Session, alice: int) -> None:
    http_session.get(f"{server.url}/protected/json/sms/{alice}", timeout=5)
    url = f"{server.url}/protected/json/verify/{server.emulator.phone(alice).code}/{alice}?force=true"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: requests.get(url, headers=HEADERS, timeout=5).status_code, range(16)))
    assert sorted(answers) == [200] + [401] * 15


def test_serve_runs_until_it_is_interrupted() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # A runner in the background starts its children with interrupts ignored.
    source = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    source += f"from authy_wsgi.emulator.server import serve; serve('127.0.0.1', {port}, '{KEY}', quiet=False)"
    process = subprocess.Popen([sys.executable, "-c", source], stderr=subprocess.PIPE, text=True)
    try:
        assert wait_for(f"http://127.0.0.1:{port}/phone/", process) == 200
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    finally:
        process.kill()
    assert (process.returncode, said) == (0, "GET /phone/ 200\n")


def wait_for(url: str, process: subprocess.Popen[str]) -> int:
    until = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < until:
        try:
            return requests.get(url, timeout=5).status_code
        except requests.ConnectionError:
            time.sleep(0.05)
    return 0


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_the_url_can_be_opened(host: str, url: str) -> None:
    try:
        server = Server(Emulator(KEY), host)
    except SystemExit:
        pytest.skip("no such network here")
    with server:
        assert server.url.startswith(url)
        assert requests.get(server.url + "/phone/", timeout=5).status_code == 200
