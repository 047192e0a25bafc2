"""Requests of ours, read safely, and answers of ours, written as we mean them.

Werkzeug finds the page for a path and WebOb carries the message; this module is the one place where both are tamed for hostile input: a form is read
by `read_form` alone, whatever is odd about it raises `RequestError` (a 4xx page, never a 500), and `Response` sends `Location` as written.
"""

from __future__ import annotations

import io
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

import webob
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule

from authy_wsgi.contracts import Environ

FORM_LIMIT = 64 * 1024
FORM_TYPE = "application/x-www-form-urlencoded"


class RequestError(Exception):
    """A request that cannot be served. `status` is 4xx; `detail` is a sentence for the caller that says what to do."""

    def __init__(self, status: int, detail: str, *, allow: Iterable[str] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.allow = tuple(allow)


class Response(webob.Response):
    """A WebOb response whose `Location` leaves as written: an absolute path stays one."""

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        # uWSGI hands over requests without a method; WebOb would raise, outside of the gate.
        environ.setdefault("REQUEST_METHOD", "GET")
        answer: Iterable[bytes] = super().__call__(environ, start_response)
        return answer

    def _abs_headerlist(self, environ: Environ) -> list[tuple[str, str]]:
        # SECURITY: WebOb would join Location with the inner scheme and the client's Host (wrong behind TLS, and an open redirect in old versions).
        return list(self.headerlist)


class Routes:
    """A table of pages: which name serves a path and method. Paths are matched as they are; nothing is merged, redirected or decoded twice."""

    def __init__(self, table: Iterable[tuple[str, str, Iterable[str]]], **converters: Any) -> None:
        rules = [Rule(path, endpoint=name, methods=list(methods)) for name, path, methods in table]
        self._map = Map(rules, strict_slashes=False, merge_slashes=False, redirect_defaults=False, converters=converters or None)
        self._map.update()

    def find(self, path: str, method: str) -> tuple[str, Mapping[str, Any]]:
        """The name and arguments for a path; `RequestError` 404 or 405."""
        if "//" in path:
            raise RequestError(404, "There is no such page here.")
        try:
            name, arguments = self._map.bind("", path_info=path or "/").match(method=method)
        except MethodNotAllowed as error:
            raise RequestError(405, "This address does not take that method.", allow=sorted(error.valid_methods or ())) from None
        except (HTTPException, ValueError):
            raise RequestError(404, "There is no such page here.") from None
        return name, arguments


def path_of(environ: Environ) -> str:
    """PATH_INFO as text; `RequestError` 400 where it is not UTF-8."""
    try:
        return str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8")
    except UnicodeError:
        raise RequestError(400, "This address is not valid UTF-8.") from None


def _as_bytes(text: str) -> bytes:
    """The bytes of a WSGI string (bytes in Latin-1, PEP 3333); of text, where a framework has put the decoded path into the same environ."""
    try:
        data = text.encode("latin-1")
        data.decode("utf-8")
    except UnicodeError:
        return text.encode("utf-8", "replace")
    return data


def as_path(*raw: str) -> str:
    """WSGI path strings as one percent-encoded absolute path of our own origin."""
    # SECURITY: "//host" and "/\host" are read as another origin by browsers; a path of ours starts with exactly one slash.
    return "/" + quote(_as_bytes("".join(raw)).lstrip(b"/\\"), safe="/~:@!$&'()*+,;=")


def encoded_path(path: str) -> str:
    """A path that a URL held, still percent-encoded, with what is left of odd characters encoded too."""
    return "/" + quote(_as_bytes(path).lstrip(b"/\\"), safe="/%~:@!$&'()*+,;=")


def encoded_query(query: str) -> str:
    """A query string with its question mark, percent-encoded where it was not; "" for none."""
    return "?" + quote(_as_bytes(query), safe="=&+%/:;,@!~*'()-._?$") if query else ""


def read_input(environ: Environ, size: int) -> bytes:
    """At most `size` bytes of the request's body, fewer at its end. `RequestError` 400 where it did not arrive whole."""
    stream: Any = environ["wsgi.input"]
    # SECURITY: Werkzeug's reader of chunks is a RawIOBase, whose own read() hands it a buffer that a short chunk makes smaller: Python 3.11 then copies
    # what lies behind it in memory, or dies. A BufferedReader's buffer cannot shrink, so the short chunk is a ValueError.
    buffered = io.BufferedReader(stream) if isinstance(stream, io.RawIOBase) else None
    try:
        data: bytes = (buffered or stream).read(size)
    except (OSError, ValueError):
        raise RequestError(400, "This request ended before all of it had arrived. Please send it again.") from None
    finally:
        if buffered is not None:
            buffered.detach()
    return data


def read_body(environ: Environ, limit: int = FORM_LIMIT) -> bytes:
    """The request's body: exactly Content-Length bytes. `RequestError` 400 or 413."""
    text = str(environ.get("CONTENT_LENGTH") or "0").strip()
    if not (text.isascii() and text.isdigit()):
        raise RequestError(400, "The Content-Length of this request is not a number.")
    length = int(text) if len(text) < 12 else limit + 1
    if length > limit:
        raise RequestError(413, f"This request is larger than {limit // 1024} KiB.")
    body = b""
    while len(body) < length:
        piece = read_input(environ, length - len(body))
        if not piece:
            raise RequestError(400, "This request ended before all of it had arrived. Please send it again.")
        body += piece
    return body


def parse_form(text: str) -> dict[str, str]:
    """`a=b&c=d` as a mapping; UTF-8, each name once. `RequestError` 400 for anything else."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=100)
    except (UnicodeError, ValueError):
        raise RequestError(400, "A field of this request is not valid UTF-8.") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        # SECURITY: two readers may each take another one of a repeated field.
        raise RequestError(400, "A field of this request is there twice.")
    return form


def read_form(environ: Environ) -> dict[str, str]:
    """The fields of a POST to one of our pages: form-urlencoded, UTF-8, at most 64 KiB, each field once. `RequestError` for all else."""
    content_type, _, parameters = str(environ.get("CONTENT_TYPE", "")).lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('" ')
    if content_type.strip() != FORM_TYPE or charset not in ("", "utf-8", "utf8"):
        raise RequestError(400, f"This page takes {FORM_TYPE} in UTF-8 only.")
    try:
        text = read_body(environ).decode("ascii")
    except UnicodeError:
        raise RequestError(400, "This form is not encoded as a browser would.") from None
    return parse_form(text)


def read_query(environ: Environ) -> dict[str, str]:
    """The query string as a mapping, under the same rules as `read_form`."""
    text = str(environ.get("QUERY_STRING", ""))
    if not text.isascii() or len(text) > 8192:
        raise RequestError(400, "The query of this address is not valid.")
    return parse_form(text)


def header(environ: Environ, name: str) -> str:
    """A request header by its usual name, "" where absent."""
    return str(environ.get("HTTP_" + name.upper().replace("-", "_"), ""))


def same_origin(environ: Environ, origins: frozenset[str] = frozenset()) -> bool:
    """False where the browser says that another site sent this request. `origins`: our public ones, where they are known.

    Headers that are absent say nothing (old browsers, programs); the CSRF token is still asked for.
    """
    site = header(environ, "Sec-Fetch-Site")
    if site and site not in ("same-origin", "none"):
        return False
    origin = header(environ, "Origin")
    if not origin:
        return True
    if origins:
        return origin in origins
    # Without a public URL only the host can be compared: the scheme may be that of the inner hop.
    return plain_host(origin.partition("://")[2]) == plain_host(header(environ, "Host"))


def plain_host(host: str) -> str:
    """A host as browsers write it: without the port that goes without saying."""
    return host.lower().removesuffix(":443").removesuffix(":80")


def client_network(environ: Environ) -> str:
    """The caller's public network: an IPv4 address, an IPv6 /64, "" for anything that is not public (a proxy's address, for one)."""
    try:
        address = ipaddress.ip_address(str(environ.get("REMOTE_ADDR", "")))
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if not address.is_global:
        return ""
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrom", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def browser_family(environ: Environ) -> str:
    """ "Firefox on Linux": words from a fixed list, never the raw header (it is shown on a phone)."""
    agent = header(environ, "User-Agent")
    browser = next((name for mark, name in _BROWSERS if mark in agent), "a browser")
    system = next((name for mark, name in _SYSTEMS if mark in agent), "")
    return f"{browser} on {system}" if system else browser
