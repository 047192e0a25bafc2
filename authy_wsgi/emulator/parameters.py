"""One set of parameters for every request: query, form and JSON merged, `a[b]`, `a[][k]` and `a[0][k]` understood, whatever the verb.

Leaves are text or None: a number, a boolean and a string that say the same are the same to the service, so they are to its handlers.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from authy_wsgi.emulator.wire import ApiError, Environ, invalid
from authy_wsgi.site import RequestError, read_body

BODY_LIMIT = 1024 * 1024
FIELD_LIMIT = 1000
DEPTH_LIMIT = 8

# Text, None, or a list or mapping of such.
Value = Any
Parameters = dict[str, Value]

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)", re.DOTALL)


def read_parameters(environ: Environ) -> Parameters:
    """All parameters of a request; where the query and the body name the same one, the body's counts. `ApiError` 60002 or 60005 for what cannot be read."""
    query = read_form(str(environ.get("QUERY_STRING") or "").encode("latin-1", "replace"))
    return {**query, **_read_body(environ)}


def _read_body(environ: Environ) -> Parameters:
    if environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity"):
        raise invalid("The body is compressed; send it plain.")
    body = _bytes_of(environ)
    content_type, _, rest = str(environ.get("CONTENT_TYPE") or "").lower().partition(";")
    content_type = content_type.strip()
    if not body.strip():
        return {}
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", rest)
    if charset and charset[1] not in ("utf-8", "utf8", "us-ascii"):
        raise ApiError(400, 60005, "Parameters must be UTF-8.")
    if "json" in content_type or (not content_type and body.lstrip()[:1] == b"{"):
        return read_json(body)
    if content_type in ("", "application/x-www-form-urlencoded"):
        return read_form(body)
    raise invalid("The body must be a form (application/x-www-form-urlencoded) or JSON (application/json).")


def _bytes_of(environ: Environ) -> bytes:
    try:
        if environ.get("wsgi.input_terminated") and not environ.get("CONTENT_LENGTH"):
            body: bytes = environ["wsgi.input"].read(BODY_LIMIT + 1)
            if len(body) > BODY_LIMIT:
                raise invalid("The body is larger than 1 MiB.", status=413)
            return body
        return read_body(environ, BODY_LIMIT)
    except RequestError as error:
        raise invalid(error.detail, status=error.status) from None
    except OSError:
        raise invalid("The body did not arrive whole.") from None


def read_json(body: bytes) -> Parameters:
    """The members of a JSON object. `ApiError` for anything else, and for a name that is there twice."""
    try:
        value = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise ApiError(400, 60005, "Parameters must be UTF-8.") from None
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


def read_form(text: bytes) -> Parameters:
    """The fields of a form or query. `ApiError` for broken UTF-8, brackets that make no sense, and a field that is there twice."""
    pieces = [piece for piece in text.split(b"&") if piece]
    if len(pieces) > FIELD_LIMIT:
        raise invalid("There are too many parameters.")
    form: Parameters = {}
    for piece in pieces:
        name, _, value = piece.partition(b"=")
        path = _path(_text(name))
        if len(path) > DEPTH_LIMIT:
            raise invalid("The parameters are nested too deeply.")
        _put(form, path, _text(value))
    return form


def _text(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise ApiError(400, 60005, "Parameters must be UTF-8.") from None


def _path(name: str) -> list[str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise invalid("The name of a parameter cannot be read.")
    return [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]


def _put(node: dict[str, Value], path: list[str], value: str) -> None:
    head, rest = path[0], path[1:]
    if not head:
        raise invalid("The name of a parameter cannot be read.")
    if not rest:
        if head in node:
            # Two readers may each take another one of a repeated field; a client that sends one should hear of it.
            raise invalid("A parameter is there twice.")
        node[head] = value
    elif rest[0]:
        _put(_child(node, head, {}), rest, value)
    else:
        _append(_child(node, head, []), rest[1:], value)


def _child(node: dict[str, Value], name: str, empty: Value) -> Value:
    child = node.setdefault(name, empty)
    if type(child) is not type(empty):
        raise invalid("A parameter is there as two different kinds.")
    return child


def _append(items: list[Value], path: list[str], value: str) -> None:
    """`a[]=v` adds an item; `a[][k]=v` fills the last one until `k` is there already (`res`, `url`, `res`, `url` are two logos)."""
    if not path:
        items.append(value)
        return
    if not items or not isinstance(items[-1], dict) or path[0] in items[-1]:
        items.append({})
    _put(items[-1], path, value)


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
