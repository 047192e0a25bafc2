"""The routes of the API: which call serves a path, who may ask, and one shape for every failure."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import NamedTuple

from authy_wsgi.emulator import application, onetouch, tokens, users, verification
from authy_wsgi.emulator.ask import Ask
from authy_wsgi.emulator.failures import ApiError, failure, invalid
from authy_wsgi.emulator.parameters import Parameters
from authy_wsgi.emulator.wire import JSON, Environ, decode_segment
from authy_wsgi.site import RequestError, Routes

_P = "/protected/json"

TABLE: tuple[tuple[str, str, str, Callable[[Ask], JSON]], ...] = (
    ("users/new", "POST", f"{_P}/users/new", users.new),
    ("users/status", "GET", f"{_P}/users/<id>/status", users.status),
    ("users/remove", "POST", f"{_P}/users/<id>/remove", users.remove),
    ("users/remove", "POST", f"{_P}/users/<id>/delete", users.remove),
    ("users/remove", "POST", f"{_P}/users/delete/<id>", users.remove),
    ("users/update", "POST", f"{_P}/users/<id>/update", users.update),
    ("users/register_activity", "POST", f"{_P}/users/<id>/register_activity", users.register_activity),
    ("users/secret", "POST", f"{_P}/users/<id>/secret", users.secret),
    ("users/secret/export", "GET", f"{_P}/users/<id>/secret/export", users.export_secret),
    ("users/phone_number", "GET", f"{_P}/users/<id>/phone_number", users.export_number),
    ("registrations/status", "GET", f"{_P}/registrations/status", users.registration_status),
    ("sdk/devices", "DELETE", f"{_P}/sdk/devices/<id>", users.remove_device),
    ("sms", "GET", f"{_P}/sms/<id>", tokens.sms),
    ("call", "GET", f"{_P}/call/<id>", tokens.call),
    ("email", "POST", f"{_P}/email/<id>", tokens.email),
    ("verify", "GET", f"{_P}/verify/<token>/<id>", tokens.verify),
    ("app/details", "GET", f"{_P}/app/details", application.details),
    ("app/stats", "GET", f"{_P}/app/stats", application.stats),
    ("phones/verification/start", "POST", f"{_P}/phones/verification/start", verification.start),
    ("phones/verification/check", "GET", f"{_P}/phones/verification/check", verification.check),
    ("phones/verification/status", "GET", f"{_P}/phones/verification/status", verification.status),
    ("phones/info", "GET", f"{_P}/phones/info", verification.info),
    ("approval_requests/create", "POST", "/onetouch/json/users/<id>/approval_requests", onetouch.create),
    ("approval_requests/status", "GET", "/onetouch/json/approval_requests/<uuid>", onetouch.status),
)

ROUTE_NAMES = tuple(dict.fromkeys(name for name, *_ in TABLE))
HANDLERS: Mapping[str, Callable[[Ask], JSON]] = {name: handler for name, _, _, handler in TABLE}

_ROUTES = Routes((name, path, (method,)) for name, method, path, _ in TABLE)


class Found(NamedTuple):
    """Which call a request is, and the variable parts of its path; or the error that it is none."""

    route: str
    arguments: Mapping[str, str]
    error: ApiError | None = None


def find(method: str, path: str) -> Found:
    """The call for a path as `wire.path_of` gives it."""
    try:
        route, arguments = _ROUTES.find(path, "no HEAD" if method == "HEAD" else method)
        return Found(route, {name: decode_segment(value) for name, value in arguments.items()})
    except ApiError as error:
        return Found("", {}, error)
    except RequestError as error:
        if path.startswith(("/protected/xml/", "/onetouch/xml/")):
            return Found("", {}, invalid("This simulator speaks JSON only: put json where the address says xml.", status=404))
        if error.status == 405:
            return Found("", {}, invalid("The requested URL does not take that method.", status=405))
        return Found("", {}, invalid("The requested URL was not found.", status=404))


def key_of(environ: Environ, parameters: Parameters) -> str:
    """The API key that a request came with: the header first, else the parameter."""
    header = str(environ.get("HTTP_X_AUTHY_API_KEY") or "").strip()
    given = parameters.get("api_key")
    return header or (given if isinstance(given, str) else "")


def right_key(given: str, key: str) -> bool:
    """Whether that is the application's API key."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.encode("utf-8", "replace"))


def bad_key() -> ApiError:
    """The error for a wrong or missing API key (60001)."""
    return failure(60001)
