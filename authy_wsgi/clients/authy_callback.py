"""OneTouch callbacks as the service sends them: whether one is genuine, and which approval requests it is about.

Sources: Twilio's page on OneTouch callbacks, and callbacks of 2016 to 2023 that its client libraries and their users recorded. The string that is signed is
`nonce|METHOD|URL|parameters`, the parameters written as Rails' `Hash#to_query` writes them.
"""

from __future__ import annotations

import binascii
import hmac
import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, quote_plus

NONCE_SECONDS = 300
_NONCE = re.compile(r"([0-9]{9,11})(\.[0-9]{1,9})?", re.ASCII)
_UUID = re.compile(r"[0-9A-Za-z-]{8,64}", re.ASCII)
_DEPTH = 12
_FIELDS = 1000
_NAME = 200


def genuine(api_key: str, method: str, url: str, query: str, headers: Mapping[str, str], body: bytes, now: int) -> tuple[str, ...] | None:
    """The uuids that a callback speaks of; None for one that is not signed with our key, stale, or of another shape.

    `url` is the callback's address as the console has it, without a query; `headers` need `X-Authy-Signature` and its nonce; `query` counts for GET.
    """
    nonce, claimed = headers.get("X-Authy-Signature-Nonce", ""), _signature(headers.get("X-Authy-Signature", ""))
    sent = _NONCE.fullmatch(nonce)
    if sent is None or claimed is None or abs(now - int(sent[1])) > NONCE_SECONDS:
        return None
    try:
        parameters, said = _of_query(query) if method == "GET" else _of_body(body)
    except (ValueError, RecursionError):
        return None
    right = hmac.digest(api_key.encode(), f"{nonce}|{method}|{url}|{parameters}".encode("utf-8", "surrogatepass"), "sha256")
    # SECURITY: the decoded bytes are compared, in constant time; a base64 text has several spellings.
    return _uuids(said) if hmac.compare_digest(right, claimed) else None


def _signature(text: str) -> bytes | None:
    try:
        found = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == 32 else None


# What is said: the members that matter, by their written names, of the one encoding and the other.


def _of_body(body: bytes) -> tuple[str, Mapping[str, str]]:
    # Numbers stay the texts that they were signed as.
    tree = json.loads(body.decode("utf-8"), object_pairs_hook=_once, parse_int=str, parse_float=str, parse_constant=_no_constant)
    if not isinstance(tree, dict):
        raise ValueError("not an object")
    said = dict(_leaves(tree))
    return to_query(tree), said


def _of_query(query: str) -> tuple[str, Mapping[str, str]]:
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_FIELDS)
    said: dict[str, str] = {}
    for name, value in pairs:
        if name in said and "[]" not in name:
            raise ValueError("a name is there twice")
        said[name] = value
    # In the order it came in, which is the order it was signed in; written anew, since a proxy may have spelled it in another way.
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs), said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    # SECURITY: a leaf is signed with its whole path, so a long name over many leaves would cost anybody's request the product of both, before any key.
    if any(len(name) > _NAME for name in members):
        raise ValueError("a name is too long")
    # SECURITY: of two members of one name another reader may believe the other one.
    if len(members) != len(pairs):
        raise ValueError("a name is there twice")
    return members


def _no_constant(_name: str) -> Any:
    raise ValueError("not a number")


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        here = f"{path}[{name}]" if path else name
        if isinstance(value, dict):
            yield from _leaves(value, here)
        elif isinstance(value, str):
            yield here, value


def to_query(tree: Mapping[str, Any]) -> str:
    """The parameters as they are signed: `a[b]=`, `a[]=`, each level sorted by what is written; nothing for what is empty.

    >>> to_query({"foo": {"bar": {"biz": "foo bar"}}, "qux": None, "no": {}, "yes": True})
    'foo%5Bbar%5D%5Bbiz%5D=foo+bar&qux=&yes=true'
    """
    if _count(tree) > _FIELDS:
        raise ValueError("too many parameters")
    return _joined(tree, "", 0)


def _count(value: Any) -> int:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, inner))


def _joined(value: Any, name: str, depth: int) -> str:
    if depth > _DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, Mapping):
        return "&".join(sorted(filter(None, (_joined(each, f"{name}[{key}]" if name else key, depth + 1) for key, each in value.items()))))
    if isinstance(value, list):
        return "&".join(filter(None, (_joined(each, f"{name}[]", depth + 1) for each in value)))
    text = {True: "true", False: "false", None: ""}[value] if value is None or isinstance(value, bool) else str(value)
    return f"{quote_plus(name)}={quote_plus(text)}"


def _uuids(said: Mapping[str, str]) -> tuple[str, ...] | None:
    """What a genuine callback is about. The members of the top level must say what their nested copies say."""
    inner = "approval_request[transaction]"
    status, uuid, nested = said.get("status"), said.get("uuid", ""), said.get(f"{inner}[uuid]", "")
    if said.get("callback_action") != "approval_request_status" or status not in ("approved", "denied") or said.get(f"{inner}[status]") != status:
        return None
    if not (_UUID.fullmatch(uuid) and _UUID.fullmatch(nested)):
        return None
    # Until 2016 the outer one was the callback's own, and the device went by a uuid too, not by a number.
    if uuid != nested and not ("-" in said.get("device_uuid", "") and _UUID.fullmatch(said["device_uuid"])):
        return None
    return (nested,) if uuid == nested else (nested, uuid)
