"""A `requests` adapter that calls the emulator (or any WSGI app) without a socket.

    session = requests.Session()
    session.mount("http://127.0.0.1:8765", WSGIAdapter(Emulator("my key")))

A client that takes a session speaks to it as it would over a socket, and works on what it gets in the same way.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from email.message import Message
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse
from werkzeug.test import create_environ, run_wsgi_app

# Seconds that the caller waits for an answer. A fault that takes longer ends in a TimeoutError instead, when that time is over.
PATIENCE = "authy_wsgi.emulator.patience"


class WSGIAdapter(BaseAdapter):
    """Takes every request to `app`. What the app raises reaches the caller, but for a broken connection and a timeout: those are requests' own errors."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._app = app

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,
        cert: object = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """One request and its answer. `timeout` is as in requests; the other options have no meaning without a socket."""
        environ = _environ(request)
        patience = timeout[1] if isinstance(timeout, tuple) else timeout
        if patience is not None:
            environ[PATIENCE] = patience
        try:
            chunks, status, headers = run_wsgi_app(self._app, environ, buffered=True)
        except TimeoutError as error:
            raise requests.ReadTimeout(error, request=request) from error
        except ConnectionError as error:
            raise requests.ConnectionError(error, request=request) from error
        code, _, reason = status.partition(" ")
        # What no server would send: the answer to HEAD, and these statuses, have no body.
        content = b"" if request.method == "HEAD" or code in ("204", "304") else b"".join(chunks)
        raw = HTTPResponse(
            io.BytesIO(content),
            HTTPHeaderDict(list(headers)),
            status=int(code),
            reason=reason,
            preload_content=False,
            request_method=request.method,
            original_response=_Original(headers),  # type: ignore[arg-type]
        )
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        """Nothing is open."""


class _Original:
    """What requests looks for cookies in: the headers as the standard library would have read them, of a connection that is over."""

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        self.msg = Message()
        for name, value in headers:
            self.msg[name] = value

    def isclosed(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is open."""


def _environ(request: requests.PreparedRequest) -> dict[str, Any]:
    url = urlsplit(request.url or "")
    body: Any = request.body
    if isinstance(body, str):
        body = body.encode()
    elif body is not None and not isinstance(body, bytes):
        # A file or a generator, which requests would have sent in chunks.
        body = body.read() if hasattr(body, "read") else b"".join(body)
    environ: dict[str, Any] = create_environ(
        "/",
        base_url=f"{url.scheme}://{url.netloc}",
        method=request.method or "GET",
        query_string=url.query,
        headers=[(name, value if isinstance(value, str) else value.decode("latin-1")) for name, value in request.headers.items()],
        input_stream=io.BytesIO(body or b""),
    )
    path = unquote_to_bytes(url.path or "/").decode("latin-1")
    raw = (url.path or "/") + (f"?{url.query}" if url.query else "")
    environ |= {
        "SERVER_NAME": url.hostname or "localhost",
        "PATH_INFO": path,
        "REQUEST_URI": raw,
        "RAW_URI": raw,
        "CONTENT_LENGTH": str(len(body or b"")),
        "REMOTE_ADDR": "127.0.0.1",
    }
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return environ
