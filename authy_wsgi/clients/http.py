"""The wire: one requests Session per process, with a deadline that holds, and one place that turns failures into our errors.

`requests` bounds each read, not their sum: a server that trickles a byte a second holds a worker for ever. Here every read and write gets what is left
of one total. (Name resolution is the operating system's and has its own limits.)
"""

from __future__ import annotations

import io
import ipaddress
import json
import logging
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from authy_wsgi.errors import Misconfigured, Unavailable

_BODY_LIMIT = 256 * 1024
_PART = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)

log = logging.getLogger("authy_wsgi.wire")


class Reply(NamedTuple):
    """An answer as it came: HTTP status, and the body if it is one JSON object, else None."""

    status: int
    body: Mapping[str, Any] | None


class Deadlines(NamedTuple):
    """Seconds: to connect, for one read, for the whole exchange."""

    connect: float = 3.0
    read: float = 6.0
    total: float = 8.0


class _PacedReader(io.RawIOBase):
    """Reads from a socket, each time with no more patience than the request has left."""

    def __init__(self, raw: io.RawIOBase, sock: _PacedSocket) -> None:
        self._raw = raw
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.pace()
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PacedSocket:
    """A connected socket whose every read and write is bounded by `deadline` (monotonic seconds)."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._patience: float | None = None
        self.deadline = float("inf")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, seconds: float | None) -> None:
        self._patience = seconds
        self._sock.settimeout(seconds)

    def pace(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the total deadline has passed")
        if left != float("inf"):
            self._sock.settimeout(min(left, self._patience or left))

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.pace()
        self._sock.sendall(data, flags)

    def makefile(self, _mode: str = "rb", buffering: int = -1) -> io.BufferedReader:
        return io.BufferedReader(_PacedReader(self._sock.makefile("rb", buffering=0), self), buffering if buffering > 0 else io.DEFAULT_BUFFER_SIZE)


class _Paced:
    """Mixed into urllib3's connections: the deadline of the request under way (set by the session, per thread) reaches the socket."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock = _PacedSocket(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if isinstance(self.sock, _PacedSocket):
            self.sock.deadline = _under_way.deadline
        super().request(*args, **kwargs)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if isinstance(self.sock, _PacedSocket):
            self.sock.deadline = _under_way.deadline
        super().send(data)  # type: ignore[misc]


class _UnderWay(threading.local):
    deadline = float("inf")


_under_way = _UnderWay()


class _PacedHTTPConnection(_Paced, HTTPConnection):
    pass


class _PacedHTTPSConnection(_Paced, HTTPSConnection):
    pass


class _PacedHTTPPool(HTTPConnectionPool):
    ConnectionCls = _PacedHTTPConnection


class _PacedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _PacedHTTPSConnection


class _PacedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PacedHTTPPool, "https": _PacedHTTPSPool}


class _NoPaths(logging.Filter):
    """SECURITY: urllib3 logs request lines and retried URLs at DEBUG, and the path of an Authy verify holds the code."""

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        return "/protected/" not in said and "/onetouch/" not in said


for _name in ("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(_NoPaths())


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine by its very name."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# Scheme, host and port, perhaps a path: nothing that could swallow what is appended to it.
_BASE = re.compile(r"(https?)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?((?:/[A-Za-z0-9._~-]+)*)/?", re.ASCII)


def _is_host(text: str) -> bool:
    if not text.startswith("["):
        return True
    try:
        return ipaddress.ip_address(text[1:-1]).version == 6
    except ValueError:
        return False


def check_base(url: str, setting: str = "base_url") -> str:
    """The base URL without a slash at its end. `Misconfigured` unless https, or http on loopback."""
    found = _BASE.fullmatch(url) if isinstance(url, str) else None
    if found is None or not _is_host(found[2]) or not 0 < int((found[3] or ":443")[1:]) < 65536:
        raise Misconfigured(f"{setting} must be like https://api.authy.com: scheme, host, perhaps a port and a path.")
    if found[1] == "http" and not is_loopback(url):
        raise Misconfigured(f"{setting} must be https: an API key and codes would travel in clear. Plain http is for this machine (127.0.0.1) only.")
    return url.rstrip("/")


class Wire:
    """Calls to one provider. `call` answers what came; whatever did not come in time, or at all, is `Unavailable("provider")`.

    `session` is for tests and in-process services: a requests Session with an adapter of its own mounted.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], deadlines: Deadlines = Deadlines(), session: requests.Session | None = None) -> None:
        self.base_url = check_base(base_url)
        self._headers = dict(headers)
        self._deadlines = deadlines
        self._lock = threading.Lock()
        self._given = session
        self._session: requests.Session | None = None
        self._pid = 0

    def __repr__(self) -> str:
        return f"Wire({self.base_url!r})"

    def _open(self) -> requests.Session:
        with self._lock:
            # A session that was opened before a fork would share its connections with the other workers.
            if self._session is None or self._pid != os.getpid():
                self._session, self._pid = self._given or _new_session(), os.getpid()
            return self._session

    def call(
        self, method: str, parts: Sequence[str], *, query: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None, repeat: bool = False
    ) -> Reply:
        """One request. `parts` become the path, one segment each; `repeat=True` only for what may safely be asked twice."""
        for part in parts:
            # SECURITY: a code such as "../sms" once turned a verify into a send that answered 200; what is not a plain word never becomes a path.
            if not _PART.fullmatch(part):
                raise ValueError("a part of the path is not a plain word")
        deadline = time.monotonic() + self._deadlines.total
        url = f"{self.base_url}/{'/'.join(parts)}"
        try:
            return self._exchange(method, url, query, form, deadline)
        except Unavailable as failure:
            if not repeat or time.monotonic() >= deadline:
                raise
            log.info("asking again after: %s", failure.reason)
            return self._exchange(method, url, query, form, deadline)

    def _exchange(self, method: str, url: str, query: Mapping[str, str] | None, form: Mapping[str, str] | None, deadline: float) -> Reply:
        _under_way.deadline = deadline
        try:
            return self._send(method, url, query, form, max(0.05, deadline - time.monotonic()))
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            kind = _kind(error)
        finally:
            _under_way.deadline = float("inf")
        # SECURITY: raised out here, because the text of those errors holds the URL, and with it the code; as a context it would travel along.
        raise Unavailable("provider", kind)

    def _send(self, method: str, url: str, query: Mapping[str, str] | None, form: Mapping[str, str] | None, left: float) -> Reply:
        session = self._open()
        prepared = session.prepare_request(requests.Request(method, url, params=query, data=form, headers=self._headers))
        timeout = (min(self._deadlines.connect, left), min(self._deadlines.read, left))
        # By the adapter: a session would read a redirect's whole body and parse where it leads, also where it is told not to follow.
        response = session.get_adapter(url).send(prepared, timeout=timeout, stream=True, verify=True if session.verify is None else session.verify)
        with response:
            body = _read(response)
            self._refuse_simulator(response)
            return Reply(response.status_code, _as_object(body))

    def _refuse_simulator(self, response: requests.Response) -> None:
        if "X-Authy-Simulator" in response.headers and not is_loopback(self.base_url):
            raise Unavailable("provider", "a simulator answered in the provider's place")


def _new_session() -> requests.Session:
    session = requests.Session()
    # Nothing of the environment: a .netrc would add credentials, a proxy variable would lead the API key elsewhere.
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, _PacedAdapter(pool_maxsize=32, max_retries=0))
    return session


def _read(response: requests.Response) -> bytes:
    body = b""
    for piece in response.iter_content(16 * 1024):
        body += piece
        if len(body) > _BODY_LIMIT:
            raise Unavailable("provider", "the answer is too large")
    return body


def _as_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _kind(error: BaseException) -> str:
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
    reason = getattr(inner, "reason", None) if inner is not None else None
    names = [type(each).__name__ for each in (error, inner, reason) if each is not None]
    return " / ".join(dict.fromkeys(names))
