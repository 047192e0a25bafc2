"""The doors of a site: how a browser's requests get to its app. Each is a WSGI app that carries a request on and brings the answer back.

WebTest's browser stands before all of them, so a journey is the same whichever it takes: its lint checks what comes back.
"""

from __future__ import annotations

import http.client
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Thread
from typing import Any
from urllib.parse import quote

from werkzeug.http import parse_cookie
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

PATIENCE = 20.0
# Of one connection, and of no meaning beyond it; and what a server adds to every answer.
HOP = {"connection", "keep-alive", "transfer-encoding", "date", "server", "via"}

Environ = dict[str, Any]
Headers = list[tuple[str, str]]


def mounted(app: Any, below: str) -> Any:
    return DispatcherMiddleware(_nothing, {below: app}) if below else app


def _nothing(_environ: Environ, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"no site is mounted here"]


@dataclass
class Answer:
    status: str
    headers: Headers
    body: bytes


def _target(environ: Environ) -> str:
    """Path and query as they are on the wire."""
    path = quote((environ["SCRIPT_NAME"] + environ["PATH_INFO"]).encode("latin-1"), safe="/!$&'()*+,;=:@~")
    return path + ("?" + environ["QUERY_STRING"] if environ["QUERY_STRING"] else "")


def _headers(environ: Environ) -> dict[str, str]:
    found = {key.removeprefix("HTTP_").replace("_", "-").title(): value for key, value in environ.items() if key.startswith("HTTP_")}
    return found | ({"Content-Type": environ["CONTENT_TYPE"]} if environ.get("CONTENT_TYPE") else {})


def _body(environ: Environ) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return body


# The frameworks' own test clients


def _cookies(header: str) -> dict[str, str]:
    """Names and values of a Cookie header, however they were quoted. An empty one is none: Django's client keeps what was deleted so."""
    return {name: value for name, value in parse_cookie(header).items() if value}


class OwnClient(ABC):
    """A framework's test client, with a jar of its own: what it sends from there must be what WebTest's browser would send."""

    def __init__(self, app: Any, below: str) -> None:
        self._app, self._below = app, below
        self._hold({})

    def adopt(self, header: str) -> None:
        """Hold the cookies of a Cookie header from now on, and no others."""
        self._hold(_cookies(header))

    @abstractmethod
    def _hold(self, cookies: dict[str, str]) -> None:
        """As `adopt`, by name and value."""

    @abstractmethod
    def _ask(self, environ: Environ, target: str, headers: dict[str, str]) -> tuple[Answer, str]:
        """The answer to a request below the mount, and the Cookie header that it went out with."""

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        target, headers = _target(environ), _headers(environ)
        assert target.startswith(self._below + "/"), f"{target} is not below {self._below}: nothing of this site leads there"
        wanted = _cookies(headers.pop("Cookie", ""))
        answer, sent = self._ask(environ, target.removeprefix(self._below), headers)
        assert _cookies(sent) == wanted, "the client's jar has come to other cookies than a browser's"
        start_response(answer.status, answer.headers)
        return [answer.body]


class WerkzeugClient(OwnClient):
    """Werkzeug's `Client`, and those made of it."""

    def _new_client(self) -> Any:
        return Client(self._app)

    def _hold(self, cookies: dict[str, str]) -> None:
        self._client = self._new_client()
        for name, value in cookies.items():
            self._client.set_cookie(name, value, domain="site.example")

    def _ask(self, environ: Environ, target: str, headers: dict[str, str]) -> tuple[Answer, str]:
        base = f"{environ['wsgi.url_scheme']}://{headers.pop('Host')}{self._below}/"
        method, body = environ["REQUEST_METHOD"], _body(environ)
        with self._client.open(target, method=method, base_url=base, headers=headers, data=body or None, buffered=True) as response:
            return Answer(response.status, list(response.headers), response.get_data()), response.request.environ.get("HTTP_COOKIE", "")


class FlaskClient(WerkzeugClient):
    """`app.test_client()`."""

    def _new_client(self) -> Any:
        return self._app.test_client()


class DjangoClient(OwnClient):
    """`django.test.Client`, with its own handler in the place of WSGI's."""

    def _hold(self, cookies: dict[str, str]) -> None:
        from django.test import Client as OfDjango

        self._client = OfDjango()
        for name, value in cookies.items():
            self._client.cookies[name] = value

    def _ask(self, environ: Environ, target: str, headers: dict[str, str]) -> tuple[Answer, str]:
        from django.db import connections

        kind, secure = headers.pop("Content-Type", "text/plain"), environ["wsgi.url_scheme"] == "https"
        extra = {"SCRIPT_NAME": self._below, "REMOTE_ADDR": environ["REMOTE_ADDR"]}
        found = self._client.generic(environ["REQUEST_METHOD"], target, _body(environ), kind, secure=secure, headers=headers, **extra)
        given = [*found.items(), *(("Set-Cookie", cookie.OutputString()) for cookie in found.cookies.values())]
        sent = found.wsgi_request.environ.get("HTTP_COOKIE", "")
        # Django's client leaves them open for its TestCase to close.
        connections.close_all()
        return Answer(f"{found.status_code} {found.reason_phrase}", given, b"".join(found)), sent


# Pyramid's documentation tests with WebTest, which stands before every door.
CLIENTS: dict[str, type[OwnClient]] = {"plain": WerkzeugClient, "flask": FlaskClient, "bottle": WerkzeugClient, "django": DjangoClient}


def own_client(name: str, app: Any, below: str) -> Callable[[], Any]:
    return lambda: CLIENTS[name](app, below)


# Real servers


class Wire:
    """A proxy that ends TLS, on this machine: carries each request to a server on a connection of its own, and says what the browser's scheme was."""

    def __init__(self, server: str, port: int, log: Callable[[], str]) -> None:
        self._server, self._port, self._log = server, port, log

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        try:
            answer = self._carried(connection, environ)
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(f"{self._server} gave no answer ({error!r}). It said:\n{self._log()}") from None
        finally:
            connection.close()
        assert not answer.status.startswith("5"), f"{self._server} answered {answer.status}. It said:\n{self._log()}"
        start_response(answer.status, answer.headers)
        return [answer.body]

    @staticmethod
    def _carried(connection: http.client.HTTPConnection, environ: Environ) -> Answer:
        body = _body(environ)
        proxied = {"X-Forwarded-Proto": environ["wsgi.url_scheme"], "X-Forwarded-For": environ["REMOTE_ADDR"], "Connection": "close"}
        connection.putrequest(environ["REQUEST_METHOD"], _target(environ), skip_host=True, skip_accept_encoding=True)
        for name, value in {**_headers(environ), **proxied, **({"Content-Length": str(len(body))} if body else {})}.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        response = connection.getresponse()
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in HOP]
        return Answer(f"{response.status} {response.reason}", headers, response.read())


class Waitress:
    """Waitress in a thread of this process, on one socket for all tests: behind it is the app that the latest door was opened to."""

    def __init__(self) -> None:
        import waitress

        self._app: Any = None
        self._sockets: dict[int, Any] = {}
        trust = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": {"x-forwarded-proto", "x-forwarded-for"}, "clear_untrusted_proxy_headers": True}
        self._server = waitress.create_server(self._serve, map=self._sockets, host="127.0.0.1", port=0, threads=2, **trust)
        self._thread = Thread(target=self._run, name="waitress", daemon=True)
        self._thread.start()
        self._wire = Wire("waitress", self._server.effective_port, lambda: "(the captured log)")

    def _serve(self, environ: Environ, start_response: Any) -> Any:
        return self._app(environ, start_response)

    def _run(self) -> None:
        try:
            self._server.run()
        finally:
            # Whatever ended it, nobody is left to wait for an answer.
            self._close()

    def _close(self) -> None:
        from waitress import wasyncore

        wasyncore.close_all(self._sockets)

    def __call__(self, _name: str, app: Any, below: str) -> Callable[[], Any]:
        self._app = mounted(app, below)
        return lambda: self._wire

    def stop(self) -> None:
        self._server.trigger.pull_trigger(self._close)
        self._thread.join(PATIENCE)
        self._server.task_dispatcher.shutdown()
        assert not self._thread.is_alive(), "waitress does not end"
