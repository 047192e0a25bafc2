"""Faults on demand: the next answers of a route come with another status, another body, late, byte by byte, or not at all."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from authy_wsgi.emulator.failures import CODES, failure, invalid
from authy_wsgi.emulator.wire import JSON, Environ, api_answer, status_line
from authy_wsgi.site import RequestError, Response

KINDS = ("status", "body", "delay", "drop", "trickle")
EMPTY = (204, 304)  # statuses whose answer has no body, whatever was asked for
MESSAGE = "This answer was asked for: a fault of the simulator."


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault. `route` is a route's name, the first part of one, or `*`; `count` is how many requests it still hits, 0 until it is cleared.

    `status` answers with that status and an error (`code` is the API's own, 60017 for one, and brings its status and words), or `body`; `body` answers
    200 with it. `delay` waits `seconds` first, `trickle` waits `seconds`
    before every byte, `drop` closes the connection without an answer. The call itself happens only with `delay` and `trickle`.
    """

    route: str
    kind: str
    status: int = 0
    code: int = 0
    body: str | None = None
    content_type: str = "application/json;charset=utf-8"
    seconds: float = 0.0
    count: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        if self.status and not 200 <= self.status <= 599:
            raise ValueError("status must be from 200 to 599")
        if self.code and self.code not in CODES:
            raise ValueError("code must be an error code of the API, 60000 to 60133")
        if not 0 <= self.seconds <= 3600:
            raise ValueError("seconds must be from 0 to 3600")
        if self.count < 0:
            raise ValueError("count must be 0 or more")
        if not (self.content_type.isascii() and self.content_type.isprintable()):
            raise ValueError("content_type must be printable ASCII")

    def hits(self, route: str) -> bool:
        """Whether it is meant for that route."""
        return self.route == "*" or route == self.route or route.startswith(self.route + "/")

    def as_json(self) -> JSON:
        """Its settings."""
        return asdict(self)

    def answer(self) -> Response | None:
        """What to say instead of the call's own answer; None where that one is wanted."""
        if self.kind not in ("status", "body"):
            return None
        if self.code and self.body is None and self.kind == "status":
            error = failure(self.code, status=self.status)
            return api_answer(error.status, error.body)
        status = self.status or (503 if self.kind == "status" else 200)
        if self.body is None and self.kind == "status" and status not in EMPTY:
            return api_answer(status, invalid(MESSAGE).body)
        if status in EMPTY:
            return Response(status=status_line(status), content_type=None)
        response = Response(status=status_line(status), body=(self.body or "").encode("utf-8", "replace"))
        response.headers["Content-Type"] = self.content_type
        return response


class Faults:
    """The faults that wait, oldest first."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """One more."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """None any more."""
        self._waiting.clear()

    def listed(self) -> list[Fault]:
        """Those that still wait."""
        return list(self._waiting)

    def take(self, route: str) -> Fault | None:
        """The fault that hits this request, one less of it."""
        for fault in self._waiting:
            if fault.hits(route):
                if fault.count == 1:
                    self._waiting.remove(fault)
                elif fault.count:
                    fault.count -= 1
                return fault
        return None


def read_fault(form: dict[str, str]) -> Fault:
    """A fault from the fields of a form; `RequestError` 400 for one that cannot be."""
    try:
        return Fault(
            route=form.get("route", "").strip("/ ") or "*",
            kind=form.get("kind", ""),
            status=_whole(form, "status", 0),
            code=_whole(form, "code", 0),
            body=form.get("body"),
            content_type=form.get("content_type") or "application/json;charset=utf-8",
            seconds=_seconds(form.get("seconds") or "0"),
            count=_whole(form, "count", 1),
        )
    except ValueError as error:
        raise RequestError(400, f"That fault cannot be: {error}.") from None


def _whole(form: dict[str, str], name: str, default: int) -> int:
    text = form.get(name, str(default)).strip() or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError(f"{name} must be a whole number")
    return int(text)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("seconds must be a number") from None


def drop(environ: Environ) -> NoReturn:
    """Break the connection: close the server's socket where it is known, and raise `ConnectionResetError` in any case."""
    connection: socket.socket | None = environ.get("werkzeug.socket")
    if connection is not None:
        with suppress(OSError):  # the client may have been faster
            connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError("the simulator dropped this request, as it was told to")


class Trickle:
    """A WSGI app that answers as another one does, but one byte at a time with a pause before each.

    On a socket of Werkzeug's server the status line and the headers trickle as well; elsewhere only the body can.
    """

    def __init__(self, response: Response, seconds: float, sleep: Callable[[float], None]) -> None:
        self._response = response
        self._seconds = seconds
        self._sleep = sleep

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        connection: socket.socket | None = environ.get("werkzeug.socket")
        if connection is None:
            return self._slowly(b"".join(self._response(environ, start_response)))
        for byte in self._slowly(self._on_the_wire(environ)):
            connection.sendall(byte)
        drop(environ)

    def _on_the_wire(self, environ: Environ) -> bytes:
        body: bytes = b"" if environ["REQUEST_METHOD"] == "HEAD" else self._response.body
        lines = [f"HTTP/1.1 {self._response.status}", *(f"{name}: {value}" for name, value in self._response.headerlist), "Connection: close", "", ""]
        return "\r\n".join(lines).encode("latin-1") + body

    def _slowly(self, body: bytes) -> Iterable[bytes]:
        for at in range(len(body)):
            self._sleep(self._seconds)
            yield body[at : at + 1]
