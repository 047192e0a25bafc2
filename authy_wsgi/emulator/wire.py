"""The wire: compact JSON, and paths that are decoded once."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from authy_wsgi.emulator.failures import failure
from authy_wsgi.site import Response

Environ = dict[str, Any]
JSON = dict[str, Any]

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*")


def to_json(body: object) -> str:
    """Compact JSON in ASCII: some clients look for `"token":"is valid"` in the text, without a space."""
    return json.dumps(body, separators=(",", ":"))


def api_answer(status: int, body: JSON) -> Response:
    """An API answer as it leaves."""
    response = Response(status=status_line(status), body=to_json(body).encode("ascii"))
    response.headers["Content-Type"] = "application/json;charset=utf-8"
    response.headers["Cache-Control"] = "no-store"
    return response


def status_line(status: int) -> str:
    """`404 Not Found`, also for a status that has no name."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def path_of(environ: Environ) -> str:
    """The path below the mount point, each segment percent-encoded anew: a slash that was encoded stays inside its segment, and `..` is a segment like any."""
    mount = str(environ.get("SCRIPT_NAME") or "")
    decoded = (mount + str(environ.get("PATH_INFO") or "")).encode("latin-1", "replace")
    raw = str(environ.get("REQUEST_URI") or environ.get("RAW_URI") or "").encode("latin-1", "replace").decode("latin-1")
    raw = _AUTHORITY.sub("", raw, count=1).partition("?")[0].partition("#")[0]
    # The server's raw path is believed only where it says the same as PATH_INFO: a middleware may have rewritten the one and not the other.
    if not _says(raw, decoded):
        raw = quote(decoded, safe="/")
    segments = raw.split("/")[1 + mount.count("/") :]
    # Some clients begin with two slashes, which the service took for one.
    return "/" + "/".join(quote(unquote_to_bytes(segment.encode("latin-1")), safe="") for segment in segments).lstrip("/")


def _says(raw: str, decoded: bytes) -> bool:
    plain = unquote_to_bytes(raw.encode("latin-1"))
    return plain == decoded or plain.decode("utf-8", "replace") == decoded.decode("utf-8", "replace")


def decode_segment(segment: str) -> str:
    """One segment of `path_of` as text; 60005 where it is not UTF-8."""
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise failure(60005, "Invalid UTF-8 in the address.") from None
