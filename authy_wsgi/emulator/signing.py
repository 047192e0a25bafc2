"""How a OneTouch callback is signed: HMAC-SHA256 over nonce, method, URL and the parameters as Rails writes them (`Hash#to_query`)."""

from __future__ import annotations

import base64
import hmac
from typing import Any
from urllib.parse import quote_plus


def to_query(tree: Any) -> str:
    """A JSON object as a query: `parent[child]=`, `parent[]=`, sorted level by level; an empty object or list leaves nothing behind.

    >>> to_query({"foo": {"bar": {"biz": "foo bar"}}, "qux": "net", "none": None, "empty": []})
    'foo%5Bbar%5D%5Bbiz%5D=foo+bar&none=&qux=net'
    """
    return _members(tree, "")


def _members(tree: dict[str, Any], parent: str) -> str:
    # Sorted as they are written, and on each level by itself: the parts of a list keep their order.
    named = [_written(value, f"{parent}[{name}]" if parent else name) for name, value in tree.items()]
    return "&".join(sorted(part for part in named if part))


def _written(value: Any, name: str) -> str:
    if isinstance(value, dict):
        return _members(value, name)
    if isinstance(value, list):
        return "&".join(part for part in (_written(item, f"{name}[]") for item in value) if part)
    return f"{escape(name)}={escape(_text(value))}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def escape(text: str) -> str:
    """Text as Ruby's `CGI.escape` writes it: a space is `+`, and of the marks only `-`, `.`, `_` and `~` stay.

    >>> escape("a b/[c]~!'()*é")
    'a+b%2F%5Bc%5D~%21%27%28%29%2A%C3%A9'
    """
    return quote_plus(text, safe="")


def signature(key: str, nonce: str, method: str, url: str, tree: dict[str, Any]) -> str:
    """What `X-Authy-Signature` says: base64 of the HMAC, keyed with the application's API key. `url` is without a query.

    >>> signature("foo", "1455825429", "POST", "https://foo.bar/", {"foo": {"bar": {"biz": "foo bar"}}, "qux": "net"})
    '+fyGys+d5yNJx9SpeKZdf+N77od1t1cC/fVSWDW2+kY='
    """
    said = f"{nonce}|{method.upper()}|{url}|{to_query(tree)}"
    return base64.b64encode(hmac.digest(key.encode(), said.encode(), "sha256")).decode("ascii")
