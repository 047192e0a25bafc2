"""What the tests of the Authy client stand on: servers that misbehave on a socket, the answers of the API, and a search for secrets."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import struct
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import pytest

from authy_wsgi.clients.authy_api import AuthyAPI
from authy_wsgi.clients.http import Deadlines
from tests.support import API_KEY

CODE = "7350912"
NUMBER = "4085555270"
EMAIL = "canary@example.com"
AUTHY_ID = 1635
UUID = "550e8400-e29b-41d4-a716-446655440000"
SECRETS = (CODE, API_KEY, NUMBER, EMAIL)
SHORT = Deadlines(connect=0.5, read=0.8, total=1.0)
HASTY = Deadlines(connect=0.3, read=0.3, total=0.5)

# What each call gets when it has worked, by the fact sheet's word.
VALID: dict[str, Any] = {"message": "Token is valid.", "token": "is valid", "success": "true", "device": {"id": None, "os_type": "sms"}}
SENT: dict[str, Any] = {"success": True, "message": "SMS token was sent", "cellphone": "+1-XXX-XXX-XX70"}
CREATED: dict[str, Any] = {"message": "User created successfully.", "user": {"id": AUTHY_ID}, "success": True}
STATUS: dict[str, Any] = {
    "status": {"authy_id": AUTHY_ID, "confirmed": True, "registered": False, "country_code": 1, "devices": [], "account_disabled": False},
    "message": "User status.",
    "success": True,
}
ASKED: dict[str, Any] = {"approval_request": {"uuid": UUID}, "success": True}
APPROVED: dict[str, Any] = {"approval_request": {"_authy_id": AUTHY_ID, "uuid": UUID, "status": "approved"}, "success": True}
SECRET: dict[str, Any] = {"qr_code": "https://s3.example/qr.png", "label": "x", "issuer": "y", "success": True}
REMOVED: dict[str, Any] = {"message": "User was added to remove.", "success": True}
MAILED: dict[str, Any] = {"success": True, "message": "Email token was sent", "email": "a@example.com", "email_id": "EM" + "0" * 32}
APP: dict[str, Any] = {"app": {"app_id": 1, "name": "Demo", "plan": "starter", "sms_enabled": True}, "message": "Application information.", "success": True}
WRONG: dict[str, Any] = {
    "message": "Token is invalid",
    "token": "is invalid",
    "success": False,
    "errors": {"message": "Token is invalid"},
    "error_code": "60020",
}


@dataclass(frozen=True)
class Named:
    """One call of the API: how it is made, what it gets when it worked, and whether it may be asked twice."""

    make: Callable[[AuthyAPI], Any]
    genuine: dict[str, Any]
    repeats: bool = False


CALLS: dict[str, Named] = {
    "register_user": Named(lambda api: api.register_user(EMAIL, NUMBER, 1), CREATED),
    "user_status": Named(lambda api: api.user_status(AUTHY_ID), STATUS, repeats=True),
    "request_sms": Named(lambda api: api.request_sms(AUTHY_ID, action="attempt"), SENT),
    "request_call": Named(lambda api: api.request_call(AUTHY_ID, force=True), {**SENT, "message": "Call started..."}),
    "request_email": Named(lambda api: api.request_email(AUTHY_ID), MAILED),
    "verify": Named(lambda api: api.verify(AUTHY_ID, CODE, action="attempt"), VALID),
    "request_approval": Named(lambda api: api.request_approval(AUTHY_ID, "Sign in?", details={"User": EMAIL}), ASKED),
    "approval_status": Named(lambda api: api.approval_status(UUID), APPROVED, repeats=True),
    "qr_secret": Named(lambda api: api.qr_secret(AUTHY_ID, label=EMAIL), SECRET),
    "remove_user": Named(lambda api: api.remove_user(AUTHY_ID), REMOVED),
    "app_details": Named(lambda api: api.app_details(), APP, repeats=True),
}


# Answers of a raw server. Bytes are sent whole, and the connection stays open.


@dataclass(frozen=True)
class Closing:
    """Those bytes, then the end of the connection."""

    data: bytes = b""


@dataclass(frozen=True)
class Reset:
    """The connection is reset, after those bytes."""

    data: bytes = b""


@dataclass(frozen=True)
class Trickle:
    """Those bytes at once, then the others one by one with a pause before each, without end if they run out."""

    at_once: bytes
    slowly: bytes
    pause: float = 0.2


@dataclass(frozen=True)
class Silence:
    """No answer at all, on an open connection."""


Answer = bytes | Closing | Reset | Trickle | Silence


def http(body: object, status: str = "200 OK", *headers: str, content_type: str = "application/json") -> bytes:
    """A whole answer; a body that is no bytes is sent as compact JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(data)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + data


class RawServer:
    """A TCP server that gives each request the next of its answers, the last one again and again. Counts what arrives."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None, backlog_only: bool = False) -> None:
        self.answers = answers
        self.requests: list[bytes] = []
        self.connections = 0
        self._tls = tls
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._threads: list[threading.Thread] = []
        if not backlog_only:
            self._run(self._accept)

    def _run(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.append(connection)
            self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open.append(connection)
            while (request := _read_request(connection)) and self._answer(connection, request):
                pass
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    def _answer(self, connection: socket.socket, request: bytes) -> bool:
        with self._lock:
            answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
            self.requests.append(request)
        if isinstance(answer, bytes):
            connection.sendall(answer)
            return True
        if isinstance(answer, Silence):
            self._over.wait(20)
        elif isinstance(answer, Trickle):
            self._trickle(connection, answer)
        else:
            connection.sendall(answer.data)
            if isinstance(answer, Reset):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
        return False

    def _trickle(self, connection: socket.socket, answer: Trickle) -> None:
        connection.sendall(answer.at_once)
        for at in range(10_000):
            if self._over.wait(answer.pause):
                return
            connection.sendall(answer.slowly[at : at + 1] or b"x")

    @property
    def lines(self) -> list[str]:
        """The request lines that arrived."""
        return [request.partition(b"\r\n")[0].decode("latin-1") for request in self.requests]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # A thread in accept() holds the listener open: shutdown wakes it.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(5)


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    wanted = next((int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < wanted:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def api_for(url: str, **options: Any) -> AuthyAPI:
    return AuthyAPI(API_KEY, base_url=url, **{"deadlines": SHORT, **options})


# Where secrets could be


def told_by(error: BaseException) -> str:
    """All that an exception says, and those behind it, whether they are shown as a rule or not."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or any(each is other for other in seen):
            continue
        seen.append(each)
        waiting += [each.__cause__, each.__context__, *(arg for arg in each.args if isinstance(arg, BaseException))]
    said = [f"{each!s} {each!r} {each.args!r} {vars(each)!r}" for each in seen]
    return "\n".join([*said, *traceback.format_exception(error)])


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged, at every level, with tracebacks and arguments."""
    form = logging.Formatter()
    records = [record for record in caplog.records if not record.name.startswith(("werkzeug", "asyncio"))]
    return "\n".join(f"{form.format(record)} {record.args!r}" for record in records)


def assert_no_secrets(*texts: str) -> None:
    for text in texts:
        leaked = [secret for secret in SECRETS if secret in text]
        assert not leaked, f"{leaked} in: {text}"


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    over, until = threading.Event(), time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it has not happened"
        over.wait(0.005)
