"""One set of parameters for every request: query, form and JSON merged, `a[b]`, `a[][k]` and `a[0][k]` understood, whatever the verb.

Leaves are text or None: a number, a boolean and a string that say the same are the same to the service, so they are to its handlers.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from typing import IO, Any, NoReturn
from urllib.parse import unquote_to_bytes

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser
from werkzeug.http import parse_options_header

from authy_wsgi.emulator.failures import failure, invalid
from authy_wsgi.emulator.wire import Environ
from authy_wsgi.site import RequestError, read_body, read_input

BODY_LIMIT = 1024 * 1024
FIELD_LIMIT = 1000
DEPTH_LIMIT = 8

# Text, None, or a list or mapping of such.
Value = Any
Parameters = dict[str, Value]

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)", re.DOTALL)


def read_parameters(environ: Environ, *, once: bool = False) -> Parameters:
    """All parameters of a request; where the query and the body name the same one, the body's counts. `ApiError` 60002 or 60005 for what cannot be read.

    A field that is there twice counts as its last one said; with `once` it is an error.
    """
    query = read_form(str(environ.get("QUERY_STRING") or "").encode("latin-1", "replace"), once=once)
    return {**query, **_read_body(environ, once=once)}


def _read_body(environ: Environ, *, once: bool) -> Parameters:
    if environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity"):
        raise invalid("The body is compressed; send it plain.")
    body = _bytes_of(environ)
    content_type, _, rest = str(environ.get("CONTENT_TYPE") or "").lower().partition(";")
    content_type = content_type.strip()
    if not body.strip():
        return {}
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", rest)
    if charset and charset[1] not in ("utf-8", "utf8", "us-ascii"):
        raise failure(60005, "Parameters must be UTF-8.")
    if "json" in content_type or (not content_type and body.lstrip()[:1] == b"{"):
        return read_json(body, once=once)
    if content_type in ("", "application/x-www-form-urlencoded"):
        return read_form(body, once=once)
    if content_type == "multipart/form-data":
        return read_multipart(environ, body, once=once)
    raise invalid("The body must be a form (application/x-www-form-urlencoded or multipart/form-data) or JSON (application/json).")


def _bytes_of(environ: Environ) -> bytes:
    try:
        if environ.get("wsgi.input_terminated") and not environ.get("CONTENT_LENGTH"):
            body = read_input(environ, BODY_LIMIT + 1)
            if len(body) > BODY_LIMIT:
                raise invalid("The body is larger than 1 MiB.", status=413)
            return body
        return read_body(environ, BODY_LIMIT)
    except RequestError as error:
        raise invalid(error.detail, status=error.status) from None


def read_json(body: bytes, *, once: bool = False) -> Parameters:
    """The members of a JSON object. `ApiError` for anything else."""
    try:
        value = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_unique if once else None, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise failure(60005, "Parameters must be UTF-8.") from None
    except (ValueError, RecursionError):
        raise invalid("The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise invalid("The JSON body must be an object.")
    return {name: _leaves(member, 1) for name, member in value.items()}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise invalid("A parameter is there twice.")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _leaves(value: Any, depth: int) -> Value:
    if depth > DEPTH_LIMIT:
        raise invalid("The parameters are nested too deeply.")
    if isinstance(value, dict):
        return {name: _leaves(member, depth + 1) for name, member in value.items()}
    if isinstance(value, list):
        return [_leaves(member, depth + 1) for member in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else str(value)


def read_form(text: bytes, *, once: bool = False) -> Parameters:
    """The fields of a form or query. `ApiError` for broken UTF-8 and brackets that make no sense."""
    pieces = [piece.partition(b"=") for piece in text.split(b"&") if piece]
    if len(pieces) > FIELD_LIMIT:
        raise invalid("There are too many parameters.")
    return _nest(((_text(name), _text(value)) for name, _, value in pieces), once=once)


def read_multipart(environ: Environ, body: bytes, *, once: bool = False) -> Parameters:
    """The fields of a form that was sent in parts, as `curl -F` does. `ApiError` for files and for what cannot be read."""
    boundary = parse_options_header(str(environ.get("CONTENT_TYPE")))[1].get("boundary", "")
    parser = MultiPartParser(max_form_parts=FIELD_LIMIT, stream_factory=_in_memory)
    try:
        fields, files = parser.parse(io.BytesIO(body), boundary.encode("ascii"), len(body))
    except (ValueError, TypeError, RequestEntityTooLarge):
        raise invalid("The form cannot be read.") from None
    if files:
        raise invalid("The form has a file in it; no call takes one.")
    if not all(isinstance(name, str) for name in fields):
        raise invalid("The form cannot be read.")
    if any("\ufffd" in text for pair in fields.items(multi=True) for text in pair):
        raise failure(60005, "Parameters must be UTF-8.")
    return _nest(fields.items(multi=True), once=once)


def _in_memory(*_about: object, **_more: object) -> IO[bytes]:
    """Where the parser puts a file: the body is bounded already, and nothing is left open."""
    return io.BytesIO()


def _nest(fields: Iterable[tuple[str, str]], *, once: bool) -> Parameters:
    form: Parameters = {}
    for name, value in fields:
        path = _path(name)
        if len(path) > DEPTH_LIMIT:
            raise invalid("The parameters are nested too deeply.")
        _put(form, path, value, once=once)
    return form


def _text(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise failure(60005, "Parameters must be UTF-8.") from None


def _path(name: str) -> list[str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise invalid("The name of a parameter cannot be read.")
    return [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]


def _put(node: dict[str, Value], path: list[str], value: str, *, once: bool) -> None:
    head, rest = path[0], path[1:]
    if not head:
        raise invalid("The name of a parameter cannot be read.")
    if not rest:
        if head in node and once:
            raise invalid("A parameter is there twice.")
        if not isinstance(node.get(head, ""), str):
            raise invalid("A parameter is there as two different kinds.")
        node[head] = value
    elif rest[0]:
        _put(_child(node, head, {}), rest, value, once=once)
    else:
        _append(_child(node, head, []), rest[1:], value, once=once)


def _child(node: dict[str, Value], name: str, empty: Value) -> Value:
    child = node.setdefault(name, empty)
    if type(child) is not type(empty):
        raise invalid("A parameter is there as two different kinds.")
    return child


def _append(items: list[Value], path: list[str], value: str, *, once: bool) -> None:
    """`a[]=v` adds an item; `a[][k]=v` fills the last one until `k` is there already (`res`, `url`, `res`, `url` are two logos)."""
    if not path:
        items.append(value)
        return
    if not items or not isinstance(items[-1], dict) or path[0] in items[-1]:
        items.append({})
    _put(items[-1], path, value, once=once)


def items_of(value: Value) -> list[Value] | None:
    """A list however it was spelled (`a[]`, `a[0]`, a JSON array); None where it is none."""
    if value is None or value == "":
        return []
    if isinstance(value, dict):
        if not all(name.isascii() and name.isdigit() and len(name) < 6 for name in value):
            return None
        return [value[name] for name in sorted(value, key=int)]
    return value if isinstance(value, list) else None


def without_key(parameters: Parameters) -> Parameters:
    """The parameters for a record: all but the API key."""
    return {name: value for name, value in parameters.items() if name != "api_key"}
