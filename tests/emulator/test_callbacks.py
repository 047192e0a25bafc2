"""OneTouch callbacks as an application gets them: over a socket and in-process, verified by PyPI's `authy`, field by field."""

from __future__ import annotations

import base64
import hmac
import json
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
from authy.api import AuthyApiClient
from webtest import TestApp
from werkzeug.serving import WSGIRequestHandler, make_server

from authy_wsgi.emulator import Emulator, Rules, callbacks
from authy_wsgi.emulator.adapter import WSGIAdapter
from authy_wsgi.emulator.server import Server

from .service import KEY, START, Service

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LOGOS = [{"res": "default", "url": "https://site.example/a.png"}, {"res": "low", "url": "https://site.example/b.png?x=1&y=2"}]
REQUEST = {
    "message": "Log in to Acorn? ~!'()* é",
    "details": {"Account Number": "981 266-321", "Wo": "Zürich/CH", "Amount": "5 & 6 = 11%", "detail": "prefix of it", "details": "longer"},
    "hidden_details": {"ip": "10.0.0.1"},
    "logos": LOGOS,
}


@dataclass(frozen=True)
class Arrived:
    """One request, as it arrived at the application."""

    method: str
    url: str
    query: str
    body: bytes
    headers: dict[str, str]

    @property
    def tree(self) -> Any:
        """What it says."""
        return json.loads(self.body) if self.method == "POST" else nested(self.query)

    @property
    def authentic(self) -> bool:
        """The verdict of PyPI's `authy`."""
        verdict: bool = AuthyApiClient(KEY).one_touch.validate_one_touch_signature(
            self.headers["HTTP_X_AUTHY_SIGNATURE"], self.headers["HTTP_X_AUTHY_SIGNATURE_NONCE"], self.method, self.url, self.tree
        )
        return verdict


class Receiver:
    """An application with a callback endpoint, as a WSGI app."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.answers: list[tuple[str, list[tuple[str, str]]]] = []
        self.on_arrival: Callable[[Arrived], None] = lambda _arrived: None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        url = f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}{environ['PATH_INFO']}"
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        headers = {name: value for name, value in environ.items() if name.startswith("HTTP_") or name == "CONTENT_TYPE"}
        arrived = Arrived(environ["REQUEST_METHOD"], url, environ["QUERY_STRING"], body, headers)
        self.arrived.append(arrived)
        self.on_arrival(arrived)
        status, more = self.answers.pop(0) if self.answers else ("200 OK", [])
        start_response(status, [("Content-Type", "text/plain"), ("Content-Length", "2"), *more])
        return [b"ok"]


class Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""


class Endpoint:
    """A receiver that an emulator can reach: its URL, and the settings of that emulator."""

    def __init__(self, receiver: Receiver, url: str, **settings: Any) -> None:
        self.receiver = receiver
        self.url = url
        self.settings = settings

    def service(self, rules: Rules | None = None, **settings: Any) -> Service:
        """An emulator with a user whose phone has the app, and with this endpoint; its test callback has been taken off the record."""
        service = Service(rules=rules, callback_url=self.url, **self.settings, **settings)
        service.register()
        service.emulator.phone(1635).install_app()
        service.emulator.callbacks.wait()
        self.receiver.arrived.clear()
        return service


@pytest.fixture(params=["socket", "in-process"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    receiver = Receiver()
    if request.param == "in-process":
        session = requests.Session()
        session.mount("https://app.example", WSGIAdapter(receiver))
        yield Endpoint(receiver, "https://app.example/onetouch", callback_session=session)
        return
    server = make_server("127.0.0.1", 0, receiver, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    yield Endpoint(receiver, f"http://127.0.0.1:{server.port}/onetouch")
    server.shutdown()
    thread.join()
    server.server_close()


def ask(service: Service, **request: Any) -> str:
    """Create an approval request; its uuid."""
    uuid: str = service.post_json("onetouch/users/1635/approval_requests", request or REQUEST)["approval_request"]["uuid"]
    return uuid


def nested(query: str) -> Any:
    """A query as Rails reads it: `a[b]=`, `a[]=`, `a[][b]=`."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, strict_parsing=True):
        head, *rest = re.findall(r"[^\[\]]+|\[\]", name)
        node = tree
        while rest:
            if rest[0] == "[]" and len(rest) == 1:
                node.setdefault(head, []).append(value)
                break
            if rest[0] == "[]":
                items = node.setdefault(head, [])
                if not items or rest[1] in items[-1]:
                    items.append({})
                items[-1][rest[1]] = value
                break
            node = node.setdefault(head, {})
            head, *rest = rest
        else:
            node[head] = value
    return tree


# -- what arrives


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("press", ["approve", "deny"])
@pytest.mark.parametrize("shape", ["2016", "2017", "2019", "2023"])
def test_an_answer_on_the_phone_arrives_signed(endpoint: Endpoint, method: str, press: str, shape: str) -> None:
    service = endpoint.service(Rules(callback_shape=shape), callback_method=method)
    uuid = ask(service)
    service.emulator.advance(30)
    getattr(service.emulator.phone(1635), press)()
    test, delivery = service.emulator.callbacks.wait()
    status = {"approve": "approved", "deny": "denied"}[press]
    assert (delivery.uuid, delivery.status, delivery.method, delivery.url) == (uuid, status, method, endpoint.url)
    assert (delivery.tries, delivery.answer, delivery.delivered, delivery.at) == (1, "200", True, START + 30)
    assert (test.status, test.answer) == ("test", "200")
    [arrived] = endpoint.receiver.arrived
    assert (arrived.method, arrived.url) == (method, endpoint.url)
    assert arrived.headers["HTTP_X_AUTHY_SIGNATURE_NONCE"] == str(START + 30)
    assert arrived.authentic
    assert arrived.tree["status"] == arrived.tree["approval_request"]["transaction"]["status"] == status
    assert arrived.tree["approval_request"]["transaction"]["uuid"] == uuid
    assert arrived.tree["approval_request"]["transaction"]["details"] == REQUEST["details"]
    assert arrived.tree["approval_request"]["logos"] == LOGOS
    if method == "POST":
        assert (arrived.query, arrived.headers["CONTENT_TYPE"].partition(";")[0]) == ("", "application/json")
    else:
        assert arrived.body == b""


def test_a_callback_that_was_tampered_with_is_refused(endpoint: Endpoint) -> None:
    service = endpoint.service()
    ask(service)
    service.emulator.phone(1635).deny()
    service.emulator.callbacks.wait()
    [arrived] = endpoint.receiver.arrived
    forged = Arrived(arrived.method, arrived.url, "", arrived.body.replace(b'"denied"', b'"approved"'), arrived.headers)
    assert forged.body != arrived.body
    assert not forged.authentic


def test_the_query_of_a_get_is_what_was_signed(endpoint: Endpoint) -> None:
    service = endpoint.service(callback_method="GET")
    ask(service)
    service.emulator.phone(1635).approve()
    service.emulator.callbacks.wait()
    [arrived] = endpoint.receiver.arrived
    said = f"{arrived.headers['HTTP_X_AUTHY_SIGNATURE_NONCE']}|GET|{endpoint.url}|{arrived.query}"
    assert arrived.headers["HTTP_X_AUTHY_SIGNATURE"] == base64.b64encode(hmac.digest(KEY.encode(), said.encode(), "sha256")).decode()
    names = [name for name, _ in parse_qsl(arrived.query, keep_blank_values=True)]
    assert [name for name in names if name.startswith("approval_request[logos]")] == ["approval_request[logos][][res]", "approval_request[logos][][url]"] * 2


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_query_of_the_endpoint_is_kept_and_not_signed(endpoint: Endpoint, method: str) -> None:
    service = endpoint.service()
    service.app.post("/phone/callback", {"url": endpoint.url + "?site=2", "method": method})
    service.emulator.callbacks.wait()
    [arrived] = endpoint.receiver.arrived
    assert arrived.query.startswith("site=2")
    unsigned = Arrived(arrived.method, arrived.url, arrived.query.removeprefix("site=2").removeprefix("&"), arrived.body, arrived.headers)
    assert unsigned.authentic


DEVICE_2017 = {
    **dict.fromkeys(
        ["city", "country", "ip", "region", "registration_city", "registration_country", "registration_ip", "registration_region"], (str, type(None))
    ),
    "registration_method": (str, type(None)),
    "os_type": str,
    "last_account_recovery_at": (int, type(None)),
    "id": int,
    "registration_date": int,
    "last_sync_date": int,
}
DEVICE_2019 = {
    **DEVICE_2017,
    "enabled_unlock_methods": list,
    "last_unlock_method_used": str,
    "last_unlock_date": int,
    "multidevice_enabled": bool,
    "multidevice_updated_at": int,
}
DEVICE_2023 = {**DEVICE_2019, "enabled_unlock_methods": str, "last_unlock_date": (int, type(None)), "registration_device_id": int}
DEVICES: dict[str, Any] = {"2016": None, "2017": DEVICE_2017, "2019": DEVICE_2019, "2023": DEVICE_2023}


def check_types(node: Any, types: dict[str, Any]) -> None:
    """Exactly these members, each of one of its types; True is no number."""
    assert set(node) == set(types)
    for name, wanted in types.items():
        allowed = wanted if isinstance(wanted, tuple) else (wanted,)
        assert type(node[name]) in allowed, f"{name} is {node[name]!r}"


@pytest.mark.parametrize("full", [True, False], ids=["everything given", "a message alone"])
@pytest.mark.parametrize("shape", ["2016", "2017", "2019", "2023"])
def test_every_member_has_the_type_of_its_year(endpoint: Endpoint, shape: str, full: bool) -> None:
    service = endpoint.service(Rules(callback_shape=shape))
    uuid = ask(service, **(REQUEST if full else {"message": "Log in?"}))
    service.emulator.advance(30)
    service.emulator.phone(1635).approve()
    service.emulator.callbacks.wait()
    tree = endpoint.receiver.arrived[0].tree
    old, newest = shape == "2016", shape == "2023"
    named = str if old else int
    # What is not there is an object or text without anything in it, or null, as it was in that year.
    nothing: Any = dict if old else type(None)
    outer = {"authy_id": int, "device_uuid": named, "callback_action": str, "uuid": str, "status": str, "approval_request": dict, "signature": str}
    check_types(tree, {**outer, **({} if old else {"device": dict}), **({"multidevice_enabled": bool, "multidevice_updated_at": int} if newest else {})})
    request = tree["approval_request"]
    check_types(request, {"transaction": dict, "expiration_timestamp": int, "logos": list if full else type(None), **({} if old else {"app_id": str})})
    transaction = request["transaction"]
    texts = dict.fromkeys(["device_geolocation", "reason"], str if shape == "2017" else type(None))
    check_types(
        transaction,
        {
            "details": dict if full else nothing,
            "hidden_details": dict if full else nothing,
            "device_details": dict if shape == "2017" else type(None),
            **texts,
            "requester_details": type(None),
            "encrypted": bool,
            "flagged": bool,
            "message": str,
            "status": str,
            "uuid": str,
            "device_signing_time": int,
            "created_at_time": int,
            "customer_uuid": named,
        },
    )
    assert (transaction["encrypted"], transaction["flagged"], transaction["uuid"], transaction["status"]) == (False, False, uuid, "approved")
    assert (transaction["created_at_time"], transaction["device_signing_time"]) == (START, 0 if old else START + 30)
    assert request["expiration_timestamp"] - transaction["created_at_time"] == 86_400
    assert (tree["authy_id"], tree["callback_action"], tree["status"]) == (1635, "approval_request_status", "approved")
    assert len(base64.b64decode(tree["signature"], validate=True)) == 256
    if full:
        assert (transaction["details"], transaction["hidden_details"], request["logos"]) == (REQUEST["details"], REQUEST["hidden_details"], LOGOS)
    else:
        assert not transaction["details"]
        assert not transaction["hidden_details"]
    if old:
        assert UUID.fullmatch(tree["device_uuid"])
        assert UUID.fullmatch(transaction["customer_uuid"])
        assert UUID.fullmatch(tree["uuid"])
        assert tree["uuid"] != uuid
        return
    check_types(tree["device"], DEVICES[shape])
    assert tree["uuid"] == uuid
    assert tree["device_uuid"] == tree["device"]["id"]
    assert re.fullmatch(r"[0-9a-f]{24}", request["app_id"])
    status = service.get(f"onetouch/approval_requests/{uuid}")["approval_request"]
    assert (request["app_id"], transaction["customer_uuid"]) == (status["app_id"], status["_app_serial_id"])
    assert status["device"]["id"] == tree["device"]["id"]


def test_a_request_without_an_end_says_0(endpoint: Endpoint) -> None:
    service = endpoint.service()
    ask(service, message="Log in?", seconds_to_expire=0)
    service.emulator.phone(1635).approve()
    service.emulator.callbacks.wait()
    assert endpoint.receiver.arrived[0].tree["approval_request"]["expiration_timestamp"] == 0


# -- when


def test_an_expiry_sends_nothing(endpoint: Endpoint) -> None:
    service = endpoint.service()
    uuid = ask(service, message="Log in?", seconds_to_expire=60)
    service.emulator.advance(60)
    assert service.get(f"onetouch/approval_requests/{uuid}")["approval_request"]["status"] == "expired"
    with pytest.raises(LookupError):
        service.emulator.phone(1635).approve(uuid)
    service.app.post(f"/phone/1635/approvals/{uuid}", {"status": "approved"}, status=409)
    assert [it.status for it in service.emulator.callbacks.wait()] == ["test"]
    assert endpoint.receiver.arrived == []


def test_a_second_answer_sends_nothing(endpoint: Endpoint) -> None:
    service = endpoint.service()
    uuid = ask(service)
    service.app.post(f"/phone/1635/approvals/{uuid}", {"status": "denied"})
    service.app.post(f"/phone/1635/approvals/{uuid}", {"status": "approved"}, status=409)
    assert [it.status for it in service.emulator.callbacks.wait()] == ["test", "denied"]
    assert [arrived.tree["status"] for arrived in endpoint.receiver.arrived] == ["denied"]


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("by", ["a setting", "the console"])
def test_saving_the_endpoint_sends_a_test_callback(endpoint: Endpoint, by: str, method: str) -> None:
    if by == "a setting":
        service = Service(callback_url=endpoint.url, callback_method=method, **endpoint.settings)
    else:
        service = Service(**endpoint.settings)
        assert service.emulator.callbacks.wait() == []
        service.app.post("/phone/callback", {"url": endpoint.url, "method": method.lower()})
    [delivery] = service.emulator.callbacks.wait()
    assert (delivery.status, delivery.answer) == ("test", "200")
    [arrived] = endpoint.receiver.arrived
    assert arrived.authentic
    assert str(arrived.tree["authy_id"]) == "1234"
    assert arrived.tree["status"] == "approved"
    assert arrived.tree["approval_request"]["transaction"]["message"] == "Request to Login"
    if method == "POST":
        outer = {"authy_id": int, "device_uuid": str, "callback_action": str, "uuid": str, "status": str, "approval_request": dict, "signature": str}
        check_types(arrived.tree, outer)
        check_types(arrived.tree["approval_request"], {"transaction": dict, "logos": str, "expiration_timestamp": str})
        assert arrived.tree["uuid"] == arrived.tree["approval_request"]["transaction"]["uuid"]
        assert arrived.tree["approval_request"]["transaction"]["details"] == {"Email Address": "jdoe@example.com"}


def test_without_an_endpoint_nothing_is_sent(endpoint: Endpoint) -> None:
    service = endpoint.service()
    service.app.post("/phone/callback", {"url": ""})
    uuid = ask(service)
    service.emulator.phone(1635).approve()
    assert [it.status for it in service.emulator.callbacks.wait()] == ["test"]
    assert endpoint.receiver.arrived == []
    assert service.get(f"onetouch/approval_requests/{uuid}")["approval_request"]["status"] == "approved"


# -- what the application answers


def test_a_failure_is_not_sent_again_unless_told(endpoint: Endpoint) -> None:
    service = endpoint.service()
    endpoint.receiver.answers = [("500 Oops", [])]
    ask(service)
    service.emulator.phone(1635).approve()
    delivery = service.emulator.callbacks.wait()[-1]
    assert (delivery.tries, delivery.answer, delivery.delivered) == (1, "500", False)
    assert (len(endpoint.receiver.arrived), service.slept) == (1, [])


def test_retries_go_on_until_a_2xx(endpoint: Endpoint) -> None:
    service = endpoint.service(Rules(callback_retries=3, callback_pause=7))
    endpoint.receiver.answers = [("500 Oops", []), ("404 Not Found", []), ("204 No Content", [])]
    ask(service)
    service.emulator.phone(1635).approve()
    delivery = service.emulator.callbacks.wait()[-1]
    assert (delivery.tries, delivery.answer, delivery.delivered) == (3, "204", True)
    assert service.slept == [7, 7]
    assert [arrived.authentic for arrived in endpoint.receiver.arrived] == [True] * 3
    assert len({arrived.body for arrived in endpoint.receiver.arrived}) == 1


def test_retries_come_to_an_end(endpoint: Endpoint) -> None:
    service = endpoint.service(Rules(callback_retries=2))
    endpoint.receiver.answers = [("503 Service Unavailable", [])] * 5
    ask(service)
    service.emulator.phone(1635).approve()
    delivery = service.emulator.callbacks.wait()[-1]
    assert (delivery.tries, delivery.answer) == (3, "503")
    assert service.slept == [5, 5]
    assert len(endpoint.receiver.arrived) == 3


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_a_redirect_is_not_followed(endpoint: Endpoint, status: str) -> None:
    service = endpoint.service()
    endpoint.receiver.answers = [(status, [("Location", "/elsewhere")])]
    ask(service)
    service.emulator.phone(1635).approve()
    delivery = service.emulator.callbacks.wait()[-1]
    assert (delivery.answer, delivery.delivered) == (status[:3], False)
    assert [arrived.url for arrived in endpoint.receiver.arrived] == [endpoint.url]


def test_an_application_that_is_down_is_reported_and_the_phone_goes_on() -> None:
    with socket.socket() as taken:
        # Bound and not listening: a connection is refused, and nobody else can take the port.
        taken.bind(("127.0.0.1", 0))
        service = Service(callback_url=f"http://127.0.0.1:{taken.getsockname()[1]}/onetouch", rules=Rules(callback_retries=1))
        service.register()
        service.emulator.phone(1635).install_app()
        uuid = ask(service)
        service.emulator.phone(1635).approve()
        deliveries = service.emulator.callbacks.wait()
    assert [(it.status, it.tries, it.answer) for it in deliveries] == [("test", 2, "no answer: ConnectionError"), ("approved", 2, "no answer: ConnectionError")]
    assert service.get(f"onetouch/approval_requests/{uuid}")["approval_request"]["status"] == "approved"
    assert service.app.get("/phone/callback.json").json["deliveries"][-1]["answer"] == "no answer: ConnectionError"


@pytest.mark.parametrize(("error", "name"), [(ValueError("a bug"), "ValueError"), (TimeoutError(), "ReadTimeout"), (ConnectionResetError(), "ConnectionError")])
def test_what_an_application_in_this_process_raises_is_reported(error: Exception, name: str) -> None:
    def broken(_environ: object, _start_response: object) -> Iterable[bytes]:
        raise error

    session = requests.Session()
    session.mount("http://app.example", WSGIAdapter(broken))
    service = Service(callback_url="http://app.example/", callback_session=session)
    service.emulator.callbacks.wait()
    service.app.post("/phone/callback", {"url": "http://app.example/again"})
    assert [it.answer for it in service.emulator.callbacks.wait()] == [f"no answer: {name}"] * 2


def test_a_proxy_of_this_machine_is_not_asked(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    service = endpoint.service()
    assert [it.answer for it in service.emulator.callbacks.wait()] == ["200"]


# -- the console


def test_the_endpoint_can_be_changed_and_read(endpoint: Endpoint) -> None:
    service = Service(**endpoint.settings)
    assert service.app.get("/phone/callback.json").json == {"url": "", "method": "POST", "deliveries": []}
    said = service.app.post("/phone/callback", {"url": f"  {endpoint.url} "}).json
    assert (said["url"], said["method"]) == (endpoint.url, "POST")
    service.app.post("/phone/callback", {"url": endpoint.url + "/2", "method": "GET"})
    service.emulator.callbacks.wait()
    said = service.app.get("/phone/callback.json").json
    assert (said["url"], said["method"]) == (endpoint.url + "/2", "GET")
    shown = [(it["method"], it["url"], it["status"], it["tries"], it["answer"], it["at"]) for it in said["deliveries"]]
    assert shown == [("POST", endpoint.url, "test", 1, "200", START), ("GET", endpoint.url + "/2", "test", 1, "200", START)]
    assert [(arrived.method, arrived.url) for arrived in endpoint.receiver.arrived] == [("POST", endpoint.url), ("GET", endpoint.url + "/2")]
    service.app.post("/phone/callback", {"url": ""})
    assert service.app.get("/phone/callback.json").json["url"] == ""
    assert KEY not in service.app.get("/phone/callback.json").text


@pytest.mark.parametrize(
    "url",
    [
        *(
            "x",
            "/callback",
            "//127.0.0.1/x",
            "127.0.0.1:8000/x",
            "http:/127.0.0.1/x",
            "http://",
            "http:///x",
            "http://:80/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
        ),
        *("javascript:alert(1)", "http://user:word@127.0.0.1/", "http://127.0.0.1/#x", "http://127.0.0.1:0/", "http://127.0.0.1:99999/", "http://127.0.0.1:x/"),
        *(
            "http://[::1/",
            "http://127.0.0.1/a b",
            "http://127.0.0.1/\u00e9",
            "http://127.0.0.1/a\r\nX: y",
            "http://127.0.0.1/\x00",
            "http://127.0.0.1/" + "x" * 2000,
        ),
    ],
)
def test_a_url_that_is_no_endpoint_is_400_with_a_sentence(url: str) -> None:
    service = Service(callback_url="")
    answer = service.app.post("/phone/callback", {"url": url}, status=400).json
    assert answer["message"].startswith("The callback URL must be a whole one")
    assert service.app.get("/phone/callback.json").json == {"url": "", "method": "POST", "deliveries": []}
    with pytest.raises(ValueError, match="The callback URL must be a whole one"):
        Emulator(KEY, callback_url=url)


def test_only_post_and_get_are_methods() -> None:
    service = Service()
    for method in ("PUT", "post it", "\u00e9"):
        answer = service.app.post("/phone/callback", {"url": "http://127.0.0.1:1/", "method": method}, status=400).json
        assert answer["message"] == "The method of a callback is POST or GET."
    assert service.app.get("/phone/callback.json").json["url"] == ""


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}, {"Host": "evil.example"}])
def test_another_sites_page_cannot_set_the_endpoint(headers: dict[str, str]) -> None:
    service = Service()
    answer = service.app.post("/phone/callback", {"url": "http://127.0.0.1:1/"}, headers=headers, status=403).json
    assert answer["message"].endswith(".")
    assert service.app.get("/phone/callback.json").json == {"url": "", "method": "POST", "deliveries": []}


def test_the_overview_shows_the_endpoint(endpoint: Endpoint) -> None:
    service = endpoint.service()
    service.app.get("/phone/").mustcontain(endpoint.url)


# -- at the same time


def test_the_application_may_ask_the_emulator_while_it_is_called(endpoint: Endpoint) -> None:
    service = endpoint.service()
    seen: list[Any] = []
    with Server(service.emulator) as server:

        def look_up(arrived: Arrived) -> None:
            uuid = arrived.tree["uuid"]
            over_a_socket = requests.get(f"{server.url}/onetouch/json/approval_requests/{uuid}", headers={"X-Authy-API-Key": KEY}, timeout=5).json()
            in_process = TestApp(service.emulator).get(f"/onetouch/json/approval_requests/{uuid}", headers={"X-Authy-API-Key": KEY}).json
            seen.extend([over_a_socket["approval_request"]["status"], in_process["approval_request"]["status"]])

        endpoint.receiver.on_arrival = look_up
        uuid = ask(service)
        requests.post(f"{server.url}/phone/1635/approvals/{uuid}", data={"status": "approved"}, timeout=5).raise_for_status()
        assert service.emulator.callbacks.wait()[-1].answer == "200"
    assert seen == ["approved", "approved"]


def test_of_several_at_once_each_arrives_once_and_in_order(endpoint: Endpoint) -> None:
    service = endpoint.service()
    uuids = [ask(service, message=f"Request {number}") for number in range(8)]
    handset = service.emulator.phone(1635)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(handset.approve, uuids[:4]))
        list(pool.map(handset.deny, uuids[4:]))
    deliveries = service.emulator.callbacks.wait()[1:]
    assert {it.uuid: it.status for it in deliveries} == dict(zip(uuids, ["approved"] * 4 + ["denied"] * 4, strict=True))
    assert {it.answer for it in deliveries} == {"200"}
    assert [arrived.tree["uuid"] for arrived in endpoint.receiver.arrived] == [it.uuid for it in deliveries]
    assert all(arrived.authentic for arrived in endpoint.receiver.arrived)


def test_wait_waits_and_gives_up_when_told(endpoint: Endpoint) -> None:
    service = endpoint.service()
    arrived, go_on = threading.Event(), threading.Event()
    endpoint.receiver.on_arrival = lambda _arrived: (arrived.set(), go_on.wait(10))[0]
    ask(service)
    service.emulator.phone(1635).approve()
    assert arrived.wait(10)
    under_way = service.emulator.callbacks.deliveries[-1]
    assert (under_way.status, under_way.answer, under_way.delivered) == ("approved", "", False)
    assert service.app.get("/phone/callback.json").json["deliveries"][-1]["answer"] == ""
    with pytest.raises(TimeoutError):
        service.emulator.callbacks.wait(0.05)
    go_on.set()
    assert service.emulator.callbacks.wait()[-1].answer == "200"


def test_the_last_hundred_are_kept() -> None:
    receiver = Receiver()
    session = requests.Session()
    session.mount("http://app.example", WSGIAdapter(receiver))
    service = Service(callback_session=session)
    for number in range(103):
        service.app.post("/phone/callback", {"url": f"http://app.example/{number}"})
    deliveries = service.emulator.callbacks.wait()
    assert [it.url for it in deliveries] == [f"http://app.example/{number}" for number in range(3, 103)]
    assert len(receiver.arrived) == 103


def test_after_a_pause_the_sender_goes_on(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends its thread when there is nothing to do."""
    monkeypatch.setattr(callbacks, "IDLE", 0.01)
    others = set(threading.enumerate())
    service = endpoint.service()
    for thread in set(threading.enumerate()) - others:
        thread.join(10)
        assert not thread.is_alive()
    ask(service)
    service.emulator.phone(1635).approve()
    assert [it.answer for it in service.emulator.callbacks.wait()] == ["200", "200"]
